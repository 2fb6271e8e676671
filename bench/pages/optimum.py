"""Measure how far below the best known maximum fits end, and their times: defaults, k-means starts, and scikit-learn.

    python -m bench.pages.optimum --mlbench FOLDER/data   # an hour; rewrites bench/results/optimum.md
    python -m bench.pages.optimum --sets 4 16 --seeds 3   # sets whose names begin like this, printed only

Gaps are nats per row below the best fit that any run of this page has found, which optimum.json stores. A hit is a fit
with a gap of at most 0.005. Every fit uses one thread, because scikit-learn's own work is hardly parallel. Times are
processor time. Fits alternate, and the page gives the median ratio to scikit-learn's fit with the same seed, because
the machine may be busy. A set gets as many seeds as fit into `--seconds`, but at least one.

The search was tuned on the first `TUNED` sets only.

The data sets Letter and Shuttle are part of R's mlbench. On Debian, `apt-get download r-cran-mlbench` and `dpkg -x`
extract them. The package `rdata` reads the files.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from sklearn.datasets import load_diabetes, load_digits, load_sample_image, load_wine

from bench import baseline
from bench.pages.base import RESULTS, Page, parser_of
from bench.pages.tables import OTHER, OURS, results
from gaussmix._src.numerics.arrays import Array

BEST = RESULTS / "optimum.json"
N_ROWS, MANY, HIT = 20_000, 500_000, 0.005
CENTRES = {2: 6.0, 4: 4.0, 8: 2.5, 12: 2.0, 16: 1.8}  # number of features → standard deviation of the means
REQUIRED_HITS, TUNED = 0.9, 16
LOWER = 1e-4  # nats per row: a fit counts as lower if it is below by this


def generated(n_features: int, n_components: int, n_rows: int = N_ROWS) -> Array:
    """Return rows of components of many shapes and weights, which overlap little."""
    rng = np.random.default_rng(1000 * n_features + n_components)
    means = CENTRES[n_features] * rng.normal(size=(n_components, n_features))
    labels = rng.choice(n_components, n_rows, p=rng.dirichlet(np.full(n_components, 4.0)))
    turned = np.linalg.qr(rng.normal(size=(n_components, n_features, n_features)))[0]
    factors = turned * np.exp(rng.uniform(-1.0, 0.6, size=(n_components, 1, n_features)))
    return means[labels] + np.einsum("nij,nj->ni", factors[labels], rng.normal(size=(n_rows, n_features)))


def pixels(seed: int = 0) -> Array:
    """Return colours of pixels of china.jpg, with noise added, because they are whole numbers."""
    rng = np.random.default_rng(seed)
    colours = load_sample_image("china.jpg").reshape(-1, 3).astype(np.float64)
    return colours[rng.choice(len(colours), N_ROWS, replace=False)] + rng.normal(scale=0.3, size=(N_ROWS, 3))


def patches() -> Array:
    """Return grey patches of 8 × 8 pixels of china.jpg, with noise."""
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
    """Return rows of normal components, or of t components if `degrees` is not None.

    Each coordinate of their means has the standard deviation `spread`.
    """
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
    """Return points near a spiral of three turns."""
    rng = np.random.default_rng(0)
    turn = rng.uniform(0, 6 * np.pi, 12_000)
    return np.c_[turn * np.cos(turn), turn * np.sin(turn)] / 3 + 0.15 * rng.normal(size=(12_000, 2))


def wine() -> Array:
    """Return four standardised columns of the wine data."""
    rows = load_wine().data[:, [0, 6, 9, 12]]
    return (rows - rows.mean(axis=0)) / rows.std(axis=0)


def diabetes() -> Array:
    """Return the diabetes data with noise, because some columns contain only integers."""
    rows = load_diabetes(scaled=False).data[:, [0, 2, 3, 4, 8]]
    standardised: Array = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    standardised += 1e-3 * np.random.default_rng(0).normal(size=rows.shape)
    return standardised


def small_patches() -> Array:
    """Return grey patches of 4 × 4 pixels of china.jpg without their mean, with noise."""
    grey = load_sample_image("china.jpg").mean(axis=2) / 255
    every = np.lib.stride_tricks.sliding_window_view(grey, (4, 4)).reshape(-1, 16)
    rows = every[np.random.default_rng(31).choice(len(every), N_ROWS, replace=False)]
    centred: Array = rows - rows.mean(axis=1, keepdims=True)
    centred += 1e-2 * np.random.default_rng(32).normal(size=rows.shape)
    return centred


def digits() -> Array:
    """Return five principal components of some pixels of handwritten digits."""
    some_pixels = load_digits().data[:, 20:44]
    centred = some_pixels - some_pixels.mean(axis=0)
    axes: Array = np.linalg.svd(centred, full_matrices=False)[2][:5]
    return np.asarray(centred @ axes.T)


SETS: dict[str, tuple[Callable[[], Array] | str, int, str]] = {  # rows, or the name of the set in mlbench
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
CONSTANT = "many features are constant within a component, so that only the ridge keeps their variances above 0"
REASONS = {"Shuttle, K=10": CONSTANT, "Letter, K=26": CONSTANT}


def read_mlbench(folder: Path, name: str) -> Array:
    """Return the numeric columns of a data set of the R package."""
    import rdata

    frame = rdata.read_rda(folder / f"{name}.rda")[name]
    return np.ascontiguousarray(frame.select_dtypes("number").to_numpy(dtype=np.float64))


def fit_each_seed(rows: Array, name: str, n_seeds: int, budget: float) -> Iterator[dict[str, baseline.Fit]]:
    """Fit with one seed after the other, until the fits of a seed would exceed the budget of seconds."""
    spent = 0.0
    for seed in range(n_seeds):
        if seed and (seed + 1) / seed * spent > budget:
            return
        found = dict(results(rows, *SETS[name][1:], seed=seed))
        spent += sum(seconds for _, seconds in found.values())
        yield found


def cells_of(name: str, fits: list[dict[str, baseline.Fit]], best: float) -> Iterator[tuple[object, ...]]:
    """Return the rows of the table for one set."""
    for what in (*OURS, OTHER):
        runs = np.array([found[what] for found in fits])
        gaps, hits = best - runs[:, 0], f"{(best - runs[:, 0] <= HIT).sum()} of {len(fits)}"
        times = f"{np.median(runs[:, 1]):.3f}", f"{ratio(fits, what):.2f}"
        yield name, what, f"{np.median(gaps):.4f}", f"{gaps.max():.4f}", hits, *times


def ratio(fits: list[dict[str, baseline.Fit]], what: str) -> float:
    """Return the median ratio of seconds to scikit-learn's fit with the same seed."""
    return float(np.median([found[what][1] / found[OTHER][1] for found in fits]))


def requirement_lines(every: dict[str, list[dict[str, baseline.Fit]]], best: dict[str, float]) -> Iterator[str]:
    """Return the requirements on default fits, and the sets that meet them."""
    hits = [
        name
        for name, fits in every.items()
        if np.mean([best[name] - found["default"][0] <= HIT for found in fits]) >= REQUIRED_HITS
    ]
    untouched = [name for name in list(SETS)[TUNED:] if name in every]
    yield (
        f"- At least 9 of 10 fits end within {HIT} of the best known fit: met on {len(hits)} of {len(every)} sets, and "
        f"on {len({*hits} & {*untouched})} of the {len(untouched)} sets on which the search was not tuned. Not met on "
        f"{'; '.join(name for name in every if name not in hits)}."
    )
    for why in dict.fromkeys(REASONS.values()):
        if named := [name for name in every if name not in hits and REASONS.get(name) == why]:
            yield f"  On {' and on '.join(named)}, {why}."
    both = [found for fits in every.values() for found in fits]
    n_below = sum(found["default"][0] < found["kmeans"][0] - LOWER for found in both)
    yield f"- No fit ends below gaussmix's own fit from k-means by more than {LOWER}: {n_below} of {len(both)} fits do."
    for what, is_many in (("up to 20,000 rows", False), ("500,000 rows", True)):
        names = [name for name in every if name.startswith("many") == is_many and not name.startswith("uneven")]
        if ratios := {name: ratio(every[name], "default") for name in names}:
            worst = max(ratios, key=lambda name: ratios[name])
            yield (
                f"- Time relative to a single scikit-learn fit, {what}: median {np.median(list(ratios.values())):.2f}, "
                f"worst {ratios[worst]:.2f} ({worst})."
            )


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--sets", nargs="*", default=[""], help="beginnings of the names of the sets to measure")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=120, help="of the processor, for each set")
    parser.add_argument("--mlbench", type=Path, help="folder with Shuttle.rda and LetterRecognition.rda")
    arguments = parser.parse_args()
    best: dict[str, float] = json.loads(BEST.read_text(encoding="utf-8"))
    every, left_out = {}, list[str]()
    page = Page(__file__, "Optima", f"at most {arguments.seeds} seeds")

    def rows_of_page() -> Iterator[tuple[object, ...]]:
        for name, (rows, _, _) in SETS.items():
            if not name.startswith(tuple(arguments.sets)):
                continue
            if isinstance(rows, str) and arguments.mlbench is None:
                left_out.append(name)
                continue
            values = read_mlbench(arguments.mlbench, rows) if isinstance(rows, str) else rows()
            every[name] = list(fit_each_seed(values, name, arguments.seeds, arguments.seconds))
            best[name] = max(best[name], *(nats for found in every[name] for nats, _ in found.values()))
            yield from cells_of(name, every[name], best[name])

    page.table("set | fit | gap: median | worst | hits | seconds | relative to scikit-learn", rows_of_page(), n_words=2)
    page.say("## Requirements on default fits", "", *requirement_lines(every, best))
    page.say(*(f"Left out: {name} (no --mlbench)." for name in left_out))
    if arguments.sets == [""]:
        page.write()
        BEST.write_text(json.dumps(best, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
