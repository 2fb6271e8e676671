"""Time whole searches beside R's mclust, and count how often each way to choose finds the true number of clusters.

    python -m bench.pages.choosing                      # rewrites bench/results/choosing.md
    python -m bench.pages.choosing --section numbers    # counts anew, and keeps the seconds
    python -m bench.pages.choosing --case iris          # one case or one kind of rows, printed only

The searches are over 14 structures × K = 1 … 9, for the lowest BIC, by gaussmix and by R's mclust. Both search the same
candidates on the same numbers, each with its defaults. The time in which R starts and reads the file is not counted.
Without R or mclust only gaussmix is timed.

The true number is known where rows are drawn from clusters. Every repeat draws rows anew, and searches 4 structures
× K = 1 … 8.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist
from scipy.stats import ortho_group
from sklearn.datasets import load_iris, make_moons
from sklearn.metrics import adjusted_rand_score

from bench.pages.base import RESULTS, Page, facts, parser_of
from bench.peers.mclust import Mclust
from gaussmix import GaussianMixture, GaussianMixtureIC
from gaussmix.families import family_named

BARS = {"iris": 5, "2,000 × 6": 15, "20,000 × 8": 30}  # mclust's time by ours, at least
SHORT = 1000  # rows


def clusters(n_rows: int, n_features: int, n_clusters: int) -> NDArray[np.float64]:
    """Rows of Gaussian clusters that overlap a little, each with its own covariance."""
    rng = np.random.default_rng(0)
    centres = 2.0 * rng.normal(size=(n_clusters, n_features))
    shapes = rng.normal(size=(n_clusters, n_features, n_features)) / np.sqrt(n_features) + np.eye(n_features)
    labels = rng.integers(n_clusters, size=n_rows)
    offsets: NDArray[np.float64] = np.einsum("nij,nj->ni", shapes[labels], rng.normal(size=(n_rows, n_features)))
    return centres[labels] + offsets


CASES: dict[str, Callable[[], NDArray[np.float64]]] = {
    "iris": lambda: load_iris().data,
    "2,000 × 6": lambda: clusters(2000, 6, 5),
    "20,000 × 8": lambda: clusters(20_000, 8, 6),
    "58,000 × 9": lambda: clusters(58_000, 9, 7),
}


def repeats(rows: NDArray[np.float64]) -> int:
    """How often a search runs. The least time counts, because other work easily disturbs a short search."""
    return 5 if len(rows) < SHORT else 1


def ours(rows: NDArray[np.float64]) -> dict[str, Any]:
    """Seconds, the lowest BIC, and the structure and number of components that have it."""
    seconds = np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(repeats(rows)):
            began = perf_counter()
            best = GaussianMixtureIC(random_state=0).fit(rows)
            seconds = min(seconds, perf_counter() - began)
    chosen = f"{best.covariance_type_} {best.n_components_}"
    return {"seconds": seconds, "bic": best.results_["bic"][best.best_index_], "chosen": chosen}


def theirs(rows: NDArray[np.float64], limit: float) -> dict[str, Any]:
    """The same of mclust, or why it was not measured."""
    missing = Mclust().missing()
    if missing is not None:
        return {"skipped": missing}
    with tempfile.TemporaryDirectory() as folder:
        data, out = Path(folder) / "data.csv", Path(folder) / "out.json"
        np.savetxt(data, rows, delimiter=",", fmt="%.17g")
        script = Path(__file__).with_suffix(".R")
        try:
            words = [str(script), str(data), str(out), str(repeats(rows))]
            subprocess.run(["Rscript", "--vanilla", *words], check=True, timeout=limit)
        except subprocess.TimeoutExpired:
            return {"skipped": f"over {limit:g} s"}
        found: dict[str, Any] = json.loads(out.read_text())
    return found


Draw = Callable[[np.random.Generator, int, int], NDArray[np.float64]]  # rows of a cluster about 0


def drawn(
    n_rows: int, n_clusters: int, n_features: int, apart: float, draw: Draw, weights: Sequence[float] = ()
) -> Callable[[np.random.Generator], NDArray[np.float64]]:
    """A function that draws clusters, each turned anew, whose nearest centres are so far apart."""

    def rows(rng: np.random.Generator) -> NDArray[np.float64]:
        centres = rng.normal(size=(n_clusters, n_features))
        centres *= apart / pdist(centres).min(initial=np.inf) if n_clusters > 1 else 0.0
        labels = rng.choice(n_clusters, size=n_rows, p=weights or None)
        offsets = draw(rng, n_rows, n_features)
        for k in range(n_clusters):
            offsets[labels == k] = offsets[labels == k] @ ortho_group.rvs(n_features, random_state=rng)
        return centres[labels] + offsets

    return rows


def gaussian(rng: np.random.Generator, n_rows: int, n_features: int) -> NDArray[np.float64]:
    return rng.normal(size=(n_rows, n_features))


def t3(rng: np.random.Generator, n_rows: int, n_features: int) -> NDArray[np.float64]:
    """Student's t with 3 degrees of freedom."""
    return gaussian(rng, n_rows, n_features) / np.sqrt(rng.chisquare(3, size=(n_rows, 1)) / 3)


def gamma(rng: np.random.Generator, n_rows: int, n_features: int) -> NDArray[np.float64]:
    """Skewed: each feature has a gamma distribution of shape 2."""
    return rng.gamma(2, 0.7, size=(n_rows, n_features))


def uniform(rng: np.random.Generator, n_rows: int, n_features: int) -> NDArray[np.float64]:
    return rng.uniform(-1.7, 1.7, size=(n_rows, n_features))


def moons(rng: np.random.Generator) -> NDArray[np.float64]:
    return make_moons(800, noise=0.08, random_state=int(rng.integers(2**31)))[0]


# What is drawn, the true number of clusters, and how: rows, clusters, features, distance of the nearest centres.
KINDS: dict[str, tuple[int, Callable[[np.random.Generator], NDArray[np.float64]]]] = {
    "one Gaussian, 600 × 2": (1, drawn(600, 1, 2, 1, gaussian)),
    "one Gaussian, 600 × 8": (1, drawn(600, 1, 8, 1, gaussian)),
    "4 Gaussians, 15 sd apart, 600 × 2": (4, drawn(600, 4, 2, 15, gaussian)),
    "4 Gaussians, 15 sd apart, 600 × 8": (4, drawn(600, 4, 8, 15, gaussian)),
    "4 Gaussians, 5 sd apart, 1,000 × 2": (4, drawn(1000, 4, 2, 5, gaussian)),
    "4 Gaussians, 4 sd apart, 1,000 × 2": (4, drawn(1000, 4, 2, 4, gaussian)),
    "4 Gaussians, 3 sd apart, 1,000 × 2": (4, drawn(1000, 4, 2, 3, gaussian)),
    "3 Gaussians of .60, .36, .04, 6 sd apart, 1,000 × 2": (3, drawn(1000, 3, 2, 6, gaussian, [0.6, 0.36, 0.04])),
    "one t cluster (3 degrees of freedom), 900 × 2": (1, drawn(900, 1, 2, 1, t3)),
    "3 t clusters, 900 × 2": (3, drawn(900, 3, 2, 14, t3)),
    "3 skewed clusters (gamma), 900 × 2": (3, drawn(900, 3, 2, 7, gamma)),
    "3 skewed clusters (gamma), 900 × 5": (3, drawn(900, 3, 5, 7, gamma)),
    "3 squares, 900 × 2": (3, drawn(900, 3, 2, 5, uniform)),
    "2 half moons, 800 × 2": (2, moons),
}
STRUCTURES = ["full", "tied", "diag", "spherical"]
MOST = 8  # clusters
PAIRS = 5  # of bootstrap samples, for each number of clusters
ALIKE = 0.95  # mean adjusted Rand index; the best of 0.8, 0.85, 0.9 and 0.95 on four other draws of each kind
WAYS = ["BIC", "ICL", "AIC", "CV", "merging", "resampling"]


def numbers_of(rows: NDArray[np.float64]) -> list[int]:
    """The number of clusters that each of WAYS finds."""
    searches = partial(
        GaussianMixtureIC, range(1, MOST + 1), covariance_type=STRUCTURES, init_params="hierarchical", random_state=0
    )
    by_cv, by_bic = searches(criterion="cv").fit(rows), searches().fit(rows)
    table = by_cv.results_
    chosen = [table["n_components"][int(np.nanargmin(table[name]))] for name in ("bic", "icl", "aic")]
    return [*chosen, by_cv.n_components_, by_bic.merge(rows).n_clusters, most_stable(rows)]


def most_stable(rows: NDArray[np.float64]) -> int:
    """The largest number of components with which fits to bootstrap samples label all rows alike; 1 where none does.

    The rule is that of prediction strength, Tibshirani and Walther (2005), J. Comput. Graph. Stat. 14, 511–528.
    """
    rng = np.random.default_rng(0)
    found = 1
    for n_components in range(2, MOST + 1):
        gm = GaussianMixture(n_components, init_params="kmeans", random_state=0)
        labels = [gm.fit(rng.choice(rows, size=len(rows))).predict(rows) for _ in range(2 * PAIRS)]
        agreement = np.mean([adjusted_rand_score(*labels[k : k + 2]) for k in range(0, 2 * PAIRS, 2)])
        found = n_components if agreement >= ALIKE else found
    return found


def count(name: str, n_repeats: int) -> tuple[object, ...]:
    """A row of the second table: in how many repeats each way finds the true number."""
    truth, draw = KINDS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = np.array([numbers_of(draw(np.random.default_rng(repeat))) for repeat in range(n_repeats)])
    return name, truth, *(found == truth).sum(axis=0)


def compare(name: str, limit: float) -> tuple[object, ...]:
    """A row of the first table."""
    rows = CASES[name]()
    ours(rows[:50])  # loads what the first call loads
    mine, other = ours(rows), theirs(rows, limit)
    own = name, f"{mine['seconds']:.2f}", f"{mine['bic']:.3f} ({mine['chosen']})"
    if "skipped" in other:
        return *own, "–", other["skipped"], "–", BARS.get(name, "–")
    model, n_components = other["chosen"].split()
    peer = f"{other['bic']:.3f} ({family_named(model).name} {n_components})"
    return *own, f"{other['seconds']:.2f}", peer, f"{other['seconds'] / mine['seconds']:.1f}", BARS.get(name, "–")


def seconds(options: Namespace) -> Page:
    """The section of searches that are timed."""
    how = "seconds of a whole search, 14 structures × K = 1 … 9, for the lowest BIC"
    version = Mclust().missing() or Mclust().version()
    page = Page(__file__, "Seconds of a search, beside R's mclust", how, facts() | {"mclust": version})
    names = "data | gaussmix | lowest BIC | mclust | lowest BIC | times as fast | bar"
    page.table(names, (compare(name, options.limit) for name in chosen(CASES, options)), n_words=7)
    return page


def numbers(options: Namespace) -> Page:
    """The section of true numbers."""
    how = (
        f"in how many of {options.repeats} repeats, each with new rows, each way finds the true number."
        f" The searches are over {len(STRUCTURES)} structures × K = 1 … {MOST}. Merging starts from the lowest BIC."
        " Resampling takes the largest number of components with which two fits to bootstrap samples label the rows"
        f" alike (full covariances; the adjusted Rand index, the mean of {PAIRS} pairs, is at least {ALIKE}), else 1."
        " Searches start from Ward's hierarchy, fits to bootstrap samples from k-means"
    )
    page, names = Page(__file__, "How often is the true number found?", how), f"clusters | true | {' | '.join(WAYS)}"
    rows = (count(name, options.repeats) for name in chosen(KINDS, options))
    page.table(names, rows)
    return page


def chosen(names: Iterable[str], options: Namespace) -> list[str]:
    """Those that are asked for."""
    return [name for name in names if options.case is None or name in options.case]


SECTIONS = {"seconds": seconds, "numbers": numbers}


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--section", choices=SECTIONS, help="only this one; the page keeps the other")
    parser.add_argument("--case", action="append", choices=[*CASES, *KINDS], help="only this, and nothing is written")
    parser.add_argument("--limit", type=float, default=600, help="seconds that mclust may take for a case")
    parser.add_argument("--repeats", type=int, default=20, help="draws of rows, to count true numbers")
    options = parser.parse_args()
    page = RESULTS / "choosing.md"
    _, *kept = page.read_text(encoding="utf-8").split("\n## ")
    sections = dict(zip(SECTIONS, kept, strict=True))
    for name, section in SECTIONS.items():
        if options.section in (None, name):
            sections[name] = section(options).text.removeprefix("# ")
    if options.case is None:
        page.write_text("\n## ".join(["# Choosing a mixture\n", *sections.values()]), encoding="utf-8")


if __name__ == "__main__":
    main()
