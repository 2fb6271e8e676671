"""How far below the best known maximum fits end, and in what time: default fits, k-means starts, and other packages.

    python -m bench.pages.optimum --mlbench FOLDER/data   # an hour; writes bench/results/optimum.*
    python -m bench.pages.optimum --sets 4 16 --seeds 3   # these sets anew, the others as they were
    python -m bench.pages.optimum --sets none             # the page anew, from the figures that are there
    python -m bench.pages.optimum --peers                 # further methods too: ten starts, oneDAL, mclust

Gaps are nats per row below the best fit that any run of this page has found; hits are fits with a gap of at most 0.005.
Every fit uses one thread, since scikit-learn's own share of the work is hardly parallel. Times are those of the
processor, and of the clock. Fits take turns, and the median of the ratios to scikit-learn's fit of the same turn
counts, because the machine may be busy. A method gets so many seeds as fit into `--seconds`, one at least.

The search was tuned on the first `TUNED` sets only.

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
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import numpy as np
import sklearn.mixture
from matplotlib import pyplot as plt
from matplotlib.ticker import LogLocator, NullFormatter
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_sample_image, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from threadpoolctl import threadpool_limits

from bench.pages.base import RESULTS, Page, parser_of
from bench.pages.skipping import mlbench
from bench.peers.mclust import Mclust
from bench.peers.onedal import OneDAL
from gaussmix import GaussianMixture, Mixture
from gaussmix.families import FAMILIES
from gaussmix.numerics.arrays import Array

DATA, FIGURE = (RESULTS / f"optimum.{ending}" for ending in ("json", "png"))
N_ROWS, MANY, HIT = 20_000, 500_000, 0.005
CENTRES = {2: 6.0, 4: 4.0, 8: 2.5, 12: 2.0, 16: 1.8}  # number of features → standard deviation of the means
OTHER = "scikit-learn"  # to whose fits times are compared
ASKED_HITS, TUNED, FEW = 0.9, 16, 20_000
BELOW = 1e-4  # nats per row: what counts as lower
CLASSES = {  # the column of the classes in sets of mlbench
    "Vehicle": "Class", "Glass": "Type", "Sonar": "Class", "PimaIndiansDiabetes": "diabetes", "Vowel": "Class",
    "Satellite": "classes", "Ionosphere": "Class", "LetterRecognition": "lettr",
}  # fmt: skip
MODELS = {"full": "VVV", "tied": "EEE", "diag": "VVI"}  # mclust's names


def generated(n_features: int, n_components: int, n_rows: int = N_ROWS) -> Array:
    """Rows of components of many shapes and weights, which overlap little."""
    rng = np.random.default_rng(1000 * n_features + n_components)
    means = CENTRES[n_features] * rng.normal(size=(n_components, n_features))
    labels = rng.choice(n_components, n_rows, p=rng.dirichlet(np.full(n_components, 4.0)))
    turned = np.linalg.qr(rng.normal(size=(n_components, n_features, n_features)))[0]
    factors = turned * np.exp(rng.uniform(-1.0, 0.6, size=(n_components, 1, n_features)))
    return means[labels] + np.einsum("nij,nj->ni", factors[labels], rng.normal(size=(n_rows, n_features)))


def pixels(seed: int = 0) -> Array:
    """Colours of pixels of china.jpg, with noise, because they are whole numbers."""
    rng = np.random.default_rng(seed)
    colours = load_sample_image("china.jpg").reshape(-1, 3).astype(np.float64)
    return colours[rng.choice(len(colours), N_ROWS, replace=False)] + rng.normal(scale=0.3, size=(N_ROWS, 3))


def patches() -> Array:
    """Grey patches of 8 × 8 pixels of china.jpg, with noise."""
    rng = np.random.default_rng(0)
    grey = load_sample_image("china.jpg").mean(axis=2)
    every = np.lib.stride_tricks.sliding_window_view(grey, (8, 8)).reshape(-1, 64)
    return every[rng.choice(len(every), N_ROWS, replace=False)] + rng.normal(scale=0.5, size=(N_ROWS, 64))


def overlapping(
    n_rows: int,
    n_features: int,
    n_components: int,
    spread: float,
    seed: int,
    sizes: Array | None = None,
    degrees: float | None = None,
) -> Array:
    """Rows of components whose means have this standard deviation; of t components with so many degrees of freedom."""
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(n_components, n_features)) * spread
    share = rng.dirichlet(np.full(n_components, 4.0)) if sizes is None else sizes / sizes.sum()
    labels = rng.choice(n_components, n_rows, p=share)
    rows = np.empty((n_rows, n_features))
    for k in range(n_components):
        factor = rng.normal(size=(n_features, n_features)) / np.sqrt(n_features) + 0.5 * np.eye(n_features)
        own = labels == k
        noise = rng.normal(size=(own.sum(), n_features)) @ factor
        if degrees is not None:
            noise /= np.sqrt(rng.chisquare(degrees, own.sum()) / degrees)[:, None]
        rows[own] = means[k] + noise
    return rows


def spiral() -> Array:
    rng = np.random.default_rng(0)
    turn = rng.uniform(0, 6 * np.pi, 12_000)
    return np.c_[turn * np.cos(turn), turn * np.sin(turn)] / 3 + 0.15 * rng.normal(size=(12_000, 2))


def wine() -> Array:
    rows = load_wine().data[:, [0, 6, 9, 12]]
    return (rows - rows.mean(axis=0)) / rows.std(axis=0)


def diabetes() -> Array:
    """With noise, because some columns are whole numbers."""
    rows = load_diabetes(scaled=False).data[:, [0, 2, 3, 4, 8]]
    standardised: Array = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    standardised += 1e-3 * np.random.default_rng(0).normal(size=rows.shape)
    return standardised


def small_patches() -> Array:
    """Grey patches of 4 × 4 pixels of china.jpg without their mean, with noise."""
    grey = load_sample_image("china.jpg").mean(axis=2) / 255
    every = np.lib.stride_tricks.sliding_window_view(grey, (4, 4)).reshape(-1, 16)
    rows = every[np.random.default_rng(31).choice(len(every), N_ROWS, replace=False)]
    centred: Array = rows - rows.mean(axis=1, keepdims=True)
    centred += 1e-2 * np.random.default_rng(32).normal(size=rows.shape)
    return centred


def digits() -> Array:
    """Five principal components of some pixels of handwritten digits."""
    pixels_of = load_digits().data[:, 20:44]
    centred = pixels_of - pixels_of.mean(axis=0)
    axes: Array = np.linalg.svd(centred, full_matrices=False)[2][:5]
    return np.asarray(centred @ axes.T)


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
    "overlap, 2-d, K=15": (lambda: overlapping(15_000, 2, 15, 4.0, 11), 15, "full"),
    "overlap, 4-d, K=20": (lambda: overlapping(15_000, 4, 20, 2.0, 12), 20, "full"),
    "overlap, 2-d, K=40": (lambda: overlapping(20_000, 2, 40, 6.0, 13), 40, "full"),
    "heavy overlap, 3-d, K=8": (lambda: overlapping(15_000, 3, 8, 0.7, 18), 8, "full"),
    "6 t, 4-d, K=12": (lambda: overlapping(15_000, 4, 6, 1.8, 14, degrees=3.0), 12, "full"),
    "7 t, 2-d, K=15": (lambda: overlapping(15_000, 2, 7, 2.5, 15, degrees=2.5), 15, "full"),
    "uneven, 3-d, K=10": (lambda: overlapping(40_000, 3, 10, 2.5, 16, np.geomspace(1, 800, 10)), 10, "full"),
    "uneven, 6-d, K=15": (lambda: overlapping(40_000, 6, 15, 1.5, 17, np.geomspace(1, 500, 15)), 15, "full"),
    "other pixels, K=16": (lambda: pixels(1), 16, "full"),
    "spiral, K=20": (spiral, 20, "full"),
    "wine, K=5": (wine, 5, "full"),
    "diabetes, K=6": (diabetes, 6, "full"),
    "small patches, K=16": (small_patches, 16, "full"),
    "digits, K=8": (digits, 8, "full"),
}
FEW_OF_ALL = "k-means is kept, since rows are fewer than 20 for each number in a component's mean and covariance"
WHOLE = "many features of a component are one whole number, so that it has axes as flat as the ridge"
REASONS = {"patches, K=32": FEW_OF_ALL, "wine, K=5": FEW_OF_ALL, "Shuttle, K=10": WHOLE, "Letter, K=26": WHOLE}
# Seconds of the processor and of the clock, the mean log-likelihood, and how many components are unsound, if known.
Fitted = tuple[float, float, float, int]
Method = Callable[[Array, int, str, int], Fitted]  # of rows, a number of components, a structure and a seed


def count_unsound(weights: Array, covariances: Array, n_rows: int) -> int:
    """Components with fewer rows than two for each number in a mean and its variance, or with few and nearly flat."""
    if covariances.ndim != 3:
        return int((weights * n_rows < 4).sum())
    n_numbers, within = covariances.shape[1] + 1, np.einsum("k,kij->ij", weights, covariances)
    root = np.linalg.inv(np.linalg.cholesky(within))
    flat = np.linalg.eigvalsh(root @ covariances @ root.T)[:, 0] < 5e-6
    mass = weights * n_rows
    return int(((mass < 2 * n_numbers) | (flat & (mass < 10 * n_numbers))).sum())


def by_estimator(estimator: Any, rows: Array, n_components: int, structure: str, seed: int, **options: Any) -> Fitted:
    """A fit by a class with scikit-learn's parameters."""
    start, clock = time.process_time(), time.perf_counter()
    fit = estimator(n_components, covariance_type=structure, random_state=seed, **options).fit(rows)
    seconds = time.process_time() - start, time.perf_counter() - clock
    return *seconds, float(fit.score(rows)), count_unsound(fit.weights_, fit.covariances_, len(rows))


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
    return seconds, seconds, float(mixture.log_density(rows, n_jobs=1).mean()), 0


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
    return found["seconds"], found["seconds"], found["score"], 0


def methods(limit: float, *, peers: bool) -> tuple[dict[str, Method], dict[str, str]]:
    """What fits, and why some of it is not here."""
    ours = partial(by_estimator, GaussianMixture, n_jobs=1)
    theirs = partial(by_estimator, sklearn.mixture.GaussianMixture)
    found: dict[str, Method] = {"default": ours, "kmeans": partial(ours, init_params="kmeans"), OTHER: theirs}
    if not peers:
        return found, {}
    found |= {
        "n_init=10": partial(ours, n_init=10, init_params="kmeans"),
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
            if isinstance(found[method], str) or (turn and (turn + 1) / turn * sum(run[0] for run in have) > budget):
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
            {m: r if isinstance(r, str) else [f"{x:.4f}" for x in r[-1][:3]] for m, r in found.items()},
            flush=True,
        )
    return found


def fits_of(found: dict[str, Any]) -> dict[str, Array]:
    """The fits of each method that ran, a row each."""
    return {method: np.array(runs) for method, runs in found.items() if isinstance(runs, list) and method != "best"}


def cells_of(name: str, found: dict[str, Any]) -> Iterator[tuple[str | None, ...]]:
    """Rows of the table for one set."""
    fits = fits_of(found)
    for method, runs in found.items():
        if isinstance(runs, str):
            yield name, method, runs, *[None] * 5
        if method not in fits:
            continue
        seconds, clock, gaps = fits[method][:, 0], fits[method][:, 1], found["best"] - fits[method][:, 2]
        hits = f"{int((gaps <= HIT).sum())} of {len(gaps)}"
        times = f"{np.median(seconds):.3f}", f"{np.median(clock):.3f}", f"{_ratio(fits, method):.2f}"
        yield name, method, f"{np.median(gaps):.4f}", f"{gaps.max():.4f}", hits, *times


def _ratio(fits: dict[str, Array], method: str) -> float:
    turns = min(len(fits[method]), len(fits[OTHER]))
    return float(np.median(fits[method][:turns, 0] / fits[OTHER][:turns, 0]))


def bars(results: dict[str, Any]) -> list[str]:
    """What was asked of default fits, and where it holds."""
    lines, every = list[str](), {name: fits_of(found) for name, found in results.items()}
    hits = [
        name
        for name, fits in every.items()
        if (results[name]["best"] - fits["default"][:, 2] <= HIT).mean() >= ASKED_HITS
    ]
    untouched = [name for number, name in enumerate(SETS) if number >= TUNED and name in results]
    n_untouched = sum(name in untouched for name in hits)
    lines.append(
        f"- At least 9 of 10 fits within {HIT} of the best known: on {len(hits)} of {len(results)} sets, and on "
        f"{n_untouched} of the {len(untouched)} that the search was not tuned on. Not on "
        f"{'; '.join(name for name in results if name not in hits)}."
    )
    for why in dict.fromkeys(REASONS.values()):
        if named := [name for name in results if name not in hits and REASONS.get(name) == why]:
            lines.append(f"  On {' and on '.join(named)}, {why}.")
    n_fits = n_below = n_compared = n_below_theirs = 0
    for fits in every.values():
        default, kmeans, theirs = (fits[method] for method in ("default", "kmeans", OTHER))
        both = min(len(default), len(kmeans))
        n_fits, n_below = n_fits + both, n_below + int((default[:both, 2] < kmeans[:both, 2] - BELOW).sum())
        both = min(len(default), len(kmeans), len(theirs))
        sound = (theirs[:both, 3] == 0) & (default[:both, 2] != kmeans[:both, 2])
        n_compared += int(sound.sum())
        n_below_theirs += int((sound & (default[:both, 2] < theirs[:both, 2] - BELOW)).sum())
    lines.append(f"- Below our own fit from k-means by more than {BELOW}: {n_below} of {n_fits} fits.")
    lines.append(
        f"- Below scikit-learn's fit with the same seed, where the default is a search and that fit has no unsound "
        f"component: {n_below_theirs} of {n_compared} fits."
    )
    for what, names in (
        ("up to 20,000 rows", [name for name in results if not name.startswith(("many", "uneven"))]),
        ("500,000 rows", [name for name in results if name.startswith("many")]),
    ):
        ratios = {name: _ratio(every[name], "default") for name in names}
        if ratios:
            worst = max(ratios, key=lambda name: ratios[name])
            lines.append(
                f"- Time of scikit-learn's single fit, {what}: median {np.median(list(ratios.values())):.2f}, "
                f"worst {ratios[worst]:.2f} ({worst})."
            )
    return lines


def draw(results: dict[str, Any]) -> None:
    """Nats per row below the best against seconds, a picture for each set and a point for each fit."""
    n_columns = 4
    n_lines = -(-len(results) // n_columns)
    figure, axes = plt.subplots(n_lines, n_columns, figsize=(14, 3.0 * n_lines), layout="constrained", squeeze=False)
    names = list(dict.fromkeys(method for found in results.values() for method in fits_of(found)))
    for axis, (name, found) in zip(axes.flat, results.items(), strict=False):
        for method, runs in fits_of(found).items():
            colour, gaps = f"C{names.index(method)}", np.maximum(found["best"] - runs[:, 2], 1e-5)
            axis.plot(runs[:, 0], gaps, ".", color=colour, alpha=0.4)
            marker = "*" if method == "default" else "o"
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
    parser.add_argument("--classes", action="store_true", help="also the agreement with known classes")
    parser.add_argument("--peers", action="store_true", help="further methods")
    arguments = parser.parse_args()
    chosen, absent = methods(10 * arguments.seconds, peers=arguments.peers)
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
            found = measured(values, name, chosen, arguments.seeds, arguments.seconds)
            ends = [float(runs[:, 2].max()) for runs in fits_of(found).values()]
            known = results.get(name, {}).get("best", -np.inf)  # of the same rows
            results[name] = found | {"best": max(known, *ends)}
            results = {each: results[each] for each in SETS if each in results}
            write(results, notes, arguments)
    write(results, notes, arguments, has_classes=arguments.classes)


def labelled(folder: Path | None) -> dict[str, tuple[Array, Any]]:
    """Standardised rows of known classes."""
    found = {
        of.__name__.removeprefix("load_"): of(return_X_y=True) for of in (load_iris, load_wine, load_breast_cancer)
    }
    images, digit = load_digits(return_X_y=True)
    images = images - images.mean(axis=0)
    found["digits"] = images @ np.linalg.svd(images, full_matrices=False)[2][:8].T, digit
    for name, column in CLASSES.items():
        if folder is None:
            break
        import rdata

        frame = rdata.read_rda(folder / f"{name}.rda")[name].dropna()
        rows = frame.drop(columns=[column]).select_dtypes("number").to_numpy(dtype=np.float64)
        found[name] = rows, np.unique(frame[column].astype(str), return_inverse=True)[1]
    varied = {name: (rows[:, rows.std(axis=0) > 0], classes) for name, (rows, classes) in found.items()}
    return {name: ((rows - rows.mean(0)) / rows.std(0), classes) for name, (rows, classes) in varied.items()}


def agreement(folder: Path | None) -> Iterator[tuple[object, ...]]:
    """Rows of a table: how well the clusters of default fits, and of fits from k-means, agree with classes."""
    every = []
    for name, (rows, classes) in labelled(folder).items():
        n_classes = len(np.unique(classes))
        for structure in ("full", "tied", "diag"):
            both = []
            for start in ("auto", "kmeans"):
                fit = partial(GaussianMixture, n_classes, covariance_type=structure, init_params=start)
                fits = [fit(random_state=seed).fit(rows) for seed in range(3)]
                both.append(np.mean([adjusted_rand_score(classes, fit.predict(rows)) for fit in fits]))
            every.append(both)
            size = f"{len(rows):,}", rows.shape[1], n_classes
            yield name, structure, *size, *(f"{each:.3f}" for each in both)
    for title, means in (("mean, full", np.mean(every[::3], axis=0)), ("mean", np.mean(every, axis=0))):
        yield title, *[None] * 4, *(f"{each:.3f}" for each in means)


def write(results: dict[str, Any], notes: dict[str, list[str]], arguments: Any, *, has_classes: bool = False) -> None:
    """The page, its data and the figure."""
    page = Page(__file__, "Optima", f"at most {arguments.seeds} seeds")
    page.say(f"![Likelihood against seconds]({FIGURE.name})")
    names = "set | fit | gap: median | worst | hits | seconds | clock | of scikit-learn's"
    page.table(names, (row for name, found in results.items() for row in cells_of(name, found)), n_words=2)
    page.say("## What was asked of default fits", "", *bars(results))
    if has_classes:
        page.say("## Agreement with classes")
        page.say("Adjusted Rand index, means of three seeds; standardised features.")
        names = "set | structure | rows | features | classes | default | kmeans"
        page.table(names, agreement(arguments.mlbench), n_words=2)
    if notes:
        page.say("Left out: " + "; ".join(f"{', '.join(what)} ({why})" for why, what in notes.items()) + ".")
    page.write({"results": results})
    draw(results)


if __name__ == "__main__":
    main()
