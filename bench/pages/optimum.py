"""How far below the best known maximum fits end, and in what time: k-means, a search, and other packages.

    python -m bench.pages.optimum --mlbench FOLDER/data   # two hours; writes bench/results/optimum.*
    python -m bench.pages.optimum --sets 4 16 --seeds 3   # these sets anew, the others as they were
    python -m bench.pages.optimum --sets none             # the page anew, from the figures that are there

Gaps are nats per row below the best fit of the table to the same rows; hits are fits with a gap of at most 0.005. Every
fit uses one thread, since scikit-learn's own share of the work is hardly parallel. Times are those of the processor.
Fits take turns, and the median of the ratios to scikit-learn's fit of the same turn counts, because the machine may be
busy. A method gets so many seeds as fit into `--seconds`, one at least.

Letter and Shuttle are in R's mlbench (Debian: `apt-get download r-cran-mlbench`, `dpkg -x`; `pip install rdata` reads
them). oneDAL is in scikit-learn-intelex, mclust in r-cran-mclust. What is not there is named and left out.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import numpy as np
import sklearn.mixture
from matplotlib import pyplot as plt
from matplotlib.ticker import LogLocator, NullFormatter
from sklearn.datasets import load_sample_image
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from bench.pages.base import RESULTS, facts, head, parser_of
from bench.pages.skipping import mlbench
from bench.peers.mclust import Mclust
from bench.peers.onedal import OneDAL
from gaussmix import GaussianMixture, Mixture
from gaussmix.families import FAMILIES
from gaussmix.numerics.arrays import Array

PAGE, DATA, FIGURE = (RESULTS / f"optimum.{ending}" for ending in ("md", "json", "png"))
N_ROWS, MANY, HIT = 20_000, 500_000, 0.005
CENTRES = {2: 6.0, 4: 4.0, 8: 2.5, 12: 2.0, 16: 1.8}  # number of features → standard deviation of the means
OTHER = "scikit-learn"  # to whose fits times are compared
ASKED_HITS, ASKED_TIME = 0.9, 0.2
REASONS = [
    "Time: the search tries some five moves for each component. Most of its time is EM of the few components that",
    "a move touches, 4 to 20 steps on 250 rows of each. That does not grow with the rows: at 500,000 rows it is a",
    "small part of a fit, at 20,000 it is most of it, and scikit-learn's single fit takes only 0.4 to 2 seconds",
    "there. Where components share a covariance a move touches all of them, so that each costs EM of all rows of",
    "the search.",
    "",
    "Hits: Shuttle and Letter are whole numbers. Their likelihood has many maxima with nearly flat components;",
    "the search refuses those of few rows, and ends in different ones of the others. Colours of pixels have no",
    "separate components.",
]
MODELS = {"full": "VVV", "tied": "EEE", "diag": "VVI"}  # mclust's names


def generated(n_features: int, n_components: int, n_rows: int = N_ROWS) -> Array:
    """Rows of components of many shapes and weights, which overlap little."""
    rng = np.random.default_rng(1000 * n_features + n_components)
    means = CENTRES[n_features] * rng.normal(size=(n_components, n_features))
    labels = rng.choice(n_components, n_rows, p=rng.dirichlet(np.full(n_components, 4.0)))
    turned = np.linalg.qr(rng.normal(size=(n_components, n_features, n_features)))[0]
    factors = turned * np.exp(rng.uniform(-1.0, 0.6, size=(n_components, 1, n_features)))
    rows: Array = means[labels] + np.einsum("nij,nj->ni", factors[labels], rng.normal(size=(n_rows, n_features)))
    return rows


def pixels() -> Array:
    """Colours of pixels of china.jpg, with noise, because they are whole numbers."""
    rng = np.random.default_rng(0)
    colours = load_sample_image("china.jpg").reshape(-1, 3).astype(np.float64)
    rows: Array = colours[rng.choice(len(colours), N_ROWS, replace=False)] + rng.normal(scale=0.3, size=(N_ROWS, 3))
    return rows


def patches() -> Array:
    """Grey patches of 8 × 8 pixels of china.jpg, with noise."""
    rng = np.random.default_rng(0)
    grey = load_sample_image("china.jpg").mean(axis=2)
    every = np.lib.stride_tricks.sliding_window_view(grey, (8, 8)).reshape(-1, 64)
    rows: Array = every[rng.choice(len(every), N_ROWS, replace=False)] + rng.normal(scale=0.5, size=(N_ROWS, 64))
    return rows


SETS: dict[str, tuple[Callable[[], Array] | str, int, str]] = {  # rows, or their name in mlbench
    "2-d, K=15": (lambda: generated(2, 15), 15, "full"),
    "2-d, K=40": (lambda: generated(2, 40), 40, "full"),
    "4-d, K=20": (lambda: generated(4, 20), 20, "full"),
    "8-d, K=16": (lambda: generated(8, 16), 16, "full"),
    "12-d, K=24": (lambda: generated(12, 24), 24, "full"),
    "16-d, K=32": (lambda: generated(16, 32), 32, "full"),
    "pixels, K=16": (pixels, 16, "full"),
    "pixels, K=64": (pixels, 64, "full"),
    "patches, K=32": (patches, 32, "full"),
    "Shuttle, K=10": ("Shuttle", 10, "full"),
    "Letter, K=26": ("LetterRecognition", 26, "full"),
    "4-d, K=20, tied": (lambda: generated(4, 20), 20, "tied"),
    "4-d, K=20, diag": (lambda: generated(4, 20), 20, "diag"),
    "pixels, K=16, diag": (pixels, 16, "diag"),
    "many, 2-d, K=15": (lambda: generated(2, 15, MANY), 15, "full"),
    "many, 4-d, K=20": (lambda: generated(4, 20, MANY), 20, "full"),
    "many, 8-d, K=16": (lambda: generated(8, 16, MANY), 16, "full"),
    "many, 16-d, K=32": (lambda: generated(16, 32, MANY), 32, "full"),
}
Fitted = tuple[float, float]  # seconds, and the mean log-likelihood
Method = Callable[[Array, int, str, int], Fitted]  # of rows, a number of components, a structure and a seed


def by_estimator(estimator: Any, rows: Array, n_components: int, structure: str, seed: int, **options: Any) -> Fitted:
    """A fit by a class with scikit-learn's parameters."""
    start = time.process_time()
    fit = estimator(n_components, covariance_type=structure, random_state=seed, **options).fit(rows)
    return time.process_time() - start, float(fit.score(rows))


def by_onedal(rows: Array, n_components: int, structure: str, seed: int) -> Fitted:
    """A fit from oneDAL's own start, the best of some short runs; to the tolerance of the others."""
    import daal4py

    form = {"covarianceStorage": "" if structure == "full" else "diagonal"}
    start = time.process_time()
    begun = daal4py.em_gmm_init(nComponents=n_components, engine=daal4py.engines_mt19937(seed=seed), **form)
    begin = begun.compute(rows)
    algorithm = daal4py.em_gmm(n_components, maxIterations=100, accuracyThreshold=1e-3 * len(rows), **form)
    found = algorithm.compute(rows, begin.weights, begin.means, begin.covariances)
    seconds = time.process_time() - start
    covariances = np.array(found.covariances)  # with the least variance of the others, which add it
    covariances += 1e-6 * np.eye(rows.shape[1]) if structure == "full" else 1e-6
    shape = FAMILIES[structure].shape(n_components, rows.shape[1])
    mixture = Mixture(found.weights[0], found.means, covariances.reshape(shape), FAMILIES[structure])
    return seconds, float(mixture.log_density(rows, n_jobs=1).mean())


def by_mclust(rows: Array, n_components: int, structure: str, seed: int, limit: float) -> Fitted:
    """A fit by R's mclust, which draws nothing that a seed would change here."""
    with tempfile.TemporaryDirectory() as folder:
        data, out = Path(folder) / "data.csv", Path(folder) / "out.json"
        np.savetxt(data, rows, delimiter=",", fmt="%.17g")
        words = [str(Path(__file__).with_suffix(".R")), str(data), str(out), str(n_components), MODELS[structure]]
        subprocess.run(["Rscript", "--vanilla", *words], check=True, timeout=limit, stderr=subprocess.DEVNULL)
        if not (written := out.read_text()):
            raise RuntimeError("mclust has no fit of this model")
        found = json.loads(written)
    return found["seconds"], found["score"]


def methods(limit: float) -> tuple[dict[str, Method], dict[str, str]]:
    """What fits, and why some of it is not here."""
    ours, theirs = (
        partial(by_estimator, GaussianMixture, n_jobs=1),
        partial(by_estimator, sklearn.mixture.GaussianMixture),
    )
    found: dict[str, Method] = {
        "default": ours,
        "n_init=10": partial(ours, n_init=10),
        "search": partial(ours, init_params="search"),
        OTHER: theirs,
        f"{OTHER}, n_init=10": partial(theirs, n_init=10),
        "oneDAL": by_onedal,
        "mclust": partial(by_mclust, limit=limit),
    }
    missing = {"oneDAL": OneDAL().missing(), "mclust": Mclust().missing()}
    absent = {name: why for name, why in missing.items() if why is not None}
    return {name: method for name, method in found.items() if name not in absent}, absent


def measured(rows: Array, name: str, chosen: dict[str, Method], n_seeds: int, budget: float) -> dict[str, Any]:
    """Method → the turns in which it ran, its seconds and scores; or why it did not."""
    _, n_components, structure = SETS[name]
    found: dict[str, Any] = {}
    for turn in range(n_seeds):
        for method, fit in chosen.items():
            have = found.setdefault(method, [])
            if method == "oneDAL" and structure == "tied":
                found[method] = "has no such structure"
            if method == f"{OTHER}, n_init=10" and turn == 0 and 10 * found[OTHER][0][0] > 4 * budget:
                found[method] = "takes too long"
            if isinstance(found[method], str) or (turn and (turn + 1) / turn * sum(s for s, _ in have) > budget):
                continue
            if method == "mclust" and turn:
                continue
            try:
                have.append(fit(rows, n_components, structure, turn))
            except (subprocess.SubprocessError, RuntimeError) as error:
                found[method] = "took too long" if isinstance(error, subprocess.TimeoutExpired) else "failed"
        print(
            name,
            turn,
            {m: r if isinstance(r, str) else [f"{x:.4f}" for x in r[-1]] for m, r in found.items()},
            flush=True,
        )
    return found


def lines_of(name: str, found: dict[str, Any]) -> list[str]:
    """Rows of the table for one set."""
    fits = {method: np.array(runs) for method, runs in found.items() if not isinstance(runs, str)}
    best = max(runs[:, 1].max() for runs in fits.values())
    lines = []
    for method, runs in found.items():
        if isinstance(runs, str):
            lines.append(f"| {name} | {method} | {runs} | | | | |")
            continue
        seconds, gaps = fits[method][:, 0], best - fits[method][:, 1]
        turns = min(len(seconds), len(fits[OTHER]))
        ratio = np.median(seconds[:turns] / fits[OTHER][:turns, 0])
        hits = f"{int((gaps <= HIT).sum())} of {len(gaps)}"
        shown = f"{np.median(gaps):.4f} | {gaps.max():.4f} | {hits} | {np.median(seconds):.2f} | {ratio:.2f}"
        lines.append(f"| {name} | {method} | {shown} |")
    return lines


def bars(results: dict[str, Any]) -> list[str]:
    """What was asked of the search, and on which sets it holds."""
    hits, quick, above = [], [], []
    for name, found in results.items():
        fits = {method: np.array(runs) for method, runs in found.items() if not isinstance(runs, str)}
        best, search = max(runs[:, 1].max() for runs in fits.values()), fits["search"]
        turns = min(len(search), len(fits[OTHER]))
        if (best - search[:, 1] <= HIT).mean() >= ASKED_HITS:
            hits.append(name)
        if np.median(search[:turns, 0] / fits[OTHER][:turns, 0]) <= ASKED_TIME:
            quick.append(name)
        theirs = fits.get(f"{OTHER}, n_init=10", fits[OTHER])
        if np.median(search[:, 1]) >= np.median(theirs[:, 1]):
            above.append(name)
    asked = {
        f"at least 9 of 10 fits within {HIT} of the best": hits,
        f"at most {ASKED_TIME} of the time of scikit-learn's single fit": quick,
        "not below the median of scikit-learn's ten starts (of its single one where those take too long)": above,
    }
    lines = ["", "## What was asked of the search", ""]
    for what, where in asked.items():
        missed = [name for name in results if name not in where]
        but = f" Not: {'; '.join(missed)}." if missed else ""
        lines.append(f"- {what[0].upper()}{what[1:]}: on {len(where)} of {len(results)} sets.{but}")
    return [*lines, "", *REASONS]


def draw(results: dict[str, Any]) -> None:
    """Nats per row below the best against seconds, a picture for each set and a point for each fit."""
    n_columns = 4
    n_lines = -(-len(results) // n_columns)
    figure, axes = plt.subplots(n_lines, n_columns, figsize=(14, 3.0 * n_lines), layout="constrained", squeeze=False)
    names = list(dict.fromkeys(method for found in results.values() for method in found))
    for axis, (name, found) in zip(axes.flat, results.items(), strict=False):
        fits = {method: np.array(runs) for method, runs in found.items() if not isinstance(runs, str)}
        best = max(runs[:, 1].max() for runs in fits.values())
        for method, runs in fits.items():
            colour, gaps = f"C{names.index(method)}", np.maximum(best - runs[:, 1], 1e-5)
            axis.plot(runs[:, 0], gaps, ".", color=colour, alpha=0.4)
            marker = "*" if method == "search" else "o"
            axis.plot(np.median(runs[:, 0]), np.median(gaps), marker, color=colour, markersize=9, label=method)
        axis.axhline(HIT, color="grey", linewidth=0.7)
        axis.set(xscale="log", yscale="log", title=name)
        axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter(NullFormatter())
    for axis in axes.flat[len(results) :]:
        axis.axis("off")
    for axis in axes[:, 0]:
        axis.set_ylabel("nats per row below the best")
    for axis in axes[-1]:
        axis.set_xlabel("seconds")
    handles = {
        text: handle for axis in axes.flat for handle, text in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles), frameon=False)
    figure.savefig(FIGURE, dpi=80)
    plt.close(figure)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--sets", nargs="*", default=[""], help="sets whose names begin so")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=60, help="of the processor, for each method on each set")
    parser.add_argument("--mlbench", type=Path, help="folder with Shuttle.rda and LetterRecognition.rda")
    arguments = parser.parse_args()
    chosen, absent = methods(10 * arguments.seconds)
    results = json.loads(DATA.read_text())["results"] if DATA.exists() else {}
    notes = defaultdict(list, {why: [name] for name, why in absent.items()})
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        for name, (rows, _, _) in SETS.items():
            if not any(name.startswith(beginning) for beginning in arguments.sets):
                continue
            if isinstance(rows, str):
                if arguments.mlbench is None:
                    notes["no --mlbench"].append(name)
                    continue
                values = mlbench(arguments.mlbench, rows)
            else:
                values = rows()
            results[name] = measured(values, name, chosen, arguments.seeds, arguments.seconds)
            results = {each: results[each] for each in SETS if each in results}
            write(results, notes, arguments)
    if not any(name.startswith(tuple(arguments.sets)) for name in SETS):
        write(results, notes, arguments)


def write(results: dict[str, Any], notes: dict[str, list[str]], arguments: Any) -> None:
    """The page, its data and the figure."""
    made_by = f"`python -m bench.pages.optimum`; {N_ROWS:,} rows, {MANY:,} where many; at most {arguments.seeds} seeds"
    machine = facts()
    lines = [*head("Optima", made_by, machine), "", f"![Likelihood against seconds]({FIGURE.name})", ""]
    lines += ["| set | fit | gap: median | worst | hits | seconds | of scikit-learn's |", "|---|---|" + "---:|" * 5]
    for name, found in results.items():
        lines += lines_of(name, found)
    lines += bars(results)
    if notes:
        lines += ["", "Left out: " + "; ".join(f"{', '.join(what)} ({why})" for why, what in notes.items()) + "."]
    PAGE.write_text("\n".join(lines) + "\n")
    DATA.write_text(json.dumps({"machine": machine, "results": results}, indent=1) + "\n")
    draw(results)
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
