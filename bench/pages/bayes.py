"""Compare the times of variational Bayes with scikit-learn's, and the bounds at which both end.

    python -m bench.pages.bayes               # ten minutes; writes bench/results/bayes.md
    python -m bench.pages.bayes --seeds 3     # three minutes
    python -m bench.pages.bayes --large       # 100,000 × 128 with 79 clusters, printed only
    python -m bench.pages.bayes --missed 27   # lists which of 27 columns and 8 sines end below k-means by default

Seconds are processor time over all threads, so that other work on the machine matters little. Both bounds are computed
by gaussmix directly after the M-step of the responsibilities, because scikit-learn's bound omits constants.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from time import perf_counter, process_time
from typing import Any

import numpy as np
import sklearn.mixture
from numpy.typing import NDArray
from sklearn.metrics import normalized_mutual_info_score
from threadpoolctl import threadpool_limits

from bench.pages.base import Page, parser_of
from gaussmix import BayesianGaussianMixture, GaussianMixture, fit_many
from gaussmix._src.numerics.arrays import Array

THEIRS = sklearn.mixture.BayesianGaussianMixture
STEP_SETTINGS: dict[str, Any] = {"init_params": "random_from_data", "random_state": 0, "tol": 0.0, "reg_covar": 0.0}
CTGAN: dict[str, Any] = {"weight_concentration_prior": 0.001, "random_state": 0}  # settings of the package CTGAN
N_COLUMNS, N_TIMED, N_TIMED_THEIRS = 1000, 24, 2  # columns on the page; columns that each package fits
MIN_GAP = 0.1  # nats of all rows: a larger difference means another optimum


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Return the processor seconds of a call, and its result."""
    began = process_time()
    found = call()
    return process_time() - began, found


def clusters(n_rows: int, n_features: int, n_clusters: int, seed: int) -> tuple[Array, NDArray[np.int64]]:
    """Return clusters of different shapes, some of which touch, and the cluster of each row."""
    rng = np.random.default_rng(seed)
    places = 4 * rng.normal(size=(n_clusters, n_features))
    shapes = rng.normal(size=(n_clusters, n_features, n_features)) / np.sqrt(n_features)
    labels = rng.integers(n_clusters, size=n_rows)
    rows = rng.normal(size=(n_rows, n_features))
    for k in range(n_clusters):
        own = labels == k
        rows[own] = rows[own] @ shapes[k].T + places[k]
    return rows, labels


def steps_of(estimators: Sequence[tuple[Any, int, int]], rows: Array, clock: Callable[[], float]) -> Array:
    """Return milliseconds per step of each estimator by a clock: a long fit minus a short one, the least of five each.

    The estimators come with these two numbers of steps, and alternate, so that other work on the machine affects all
    alike.
    """
    least = np.full((len(estimators), 2), np.inf)
    for _ in range(5):
        for i, (estimator, *numbers) in enumerate(estimators):
            for j, n_steps in enumerate(numbers):
                began = clock()
                estimator.set_params(max_iter=n_steps).fit(rows)
                least[i, j] = min(least[i, j], clock() - began)
    n_between = np.array([long - short for _, short, long in estimators])
    return np.asarray(1e3 * (least[:, 1] - least[:, 0]) / n_between)


def bound_of(estimator: Any, rows: Array, **settings: Any) -> float:
    """Return gaussmix's bound after an M-step from the responsibilities of a fit, in nats; `settings` has priors."""
    start: dict[str, Any] = {"init_params": estimator.predict_proba(rows), "split_merge": False, "max_iter": 1}
    return BayesianGaussianMixture(estimator.n_components, **settings, **start).fit(rows).lower_bound_


def columns(n_rows: int, count: int) -> list[Array]:
    """Return columns of tables: with several modes, skewed, and with whole numbers."""
    rng = np.random.default_rng(0)
    found = []
    for i in range(count):
        n_modes = int(rng.integers(2, 7))
        mode = rng.choice(n_modes, size=n_rows, p=rng.dirichlet(np.full(n_modes, 2.0)))
        places, spreads = 5 * rng.normal(size=n_modes), np.exp(0.5 * rng.normal(size=n_modes))
        kinds = (
            places[mode] + spreads[mode] * rng.normal(size=n_rows),
            rng.lognormal(size=n_rows),
            rng.gamma(2.0, size=n_rows),
            np.round(rng.normal(40, 12, size=n_rows)),
        )
        found.append(kinds[i % 4][:, None])
    return found


def odd_column(seed: int) -> Array:
    """Return a column as synthesisers fit it: rounded, skewed, with long tails and a peak of equal numbers."""
    rng = np.random.default_rng(seed)
    n_rows = int(np.exp(rng.uniform(np.log(500), np.log(30_000))))
    n_equal, n_modes = int(n_rows * rng.uniform(0.1, 0.4)), int(rng.integers(2, 7))

    def peaks(n: int, n_modes: int) -> Array:
        places = np.sort(10 * rng.random(n_modes)) + np.arange(n_modes) * rng.uniform(1, 6)
        mode = rng.choice(n_modes, size=n, p=rng.dirichlet(np.full(n_modes, 3.0)))
        return rng.normal(places[mode], np.exp(0.5 * rng.normal(size=n_modes))[mode])

    def with_equal(values: Array, *places: float) -> Array:
        return np.concatenate((values, np.resize(np.array(places), n_equal)))

    two, several = peaks(n_rows - n_equal, 2), peaks(n_rows - n_equal, n_modes)
    kinds = (
        with_equal(two, float(two.mean())),
        with_equal(several, np.round(several[0])),
        with_equal(several, *np.round(several[:2])),
        with_equal(rng.lognormal(1.0, rng.uniform(0.3, 1.2), n_rows - n_equal), 0.0),
        np.round(peaks(n_rows, n_modes)),
        np.round(rng.gamma(2.0, 10.0, n_rows) / rng.choice([1, 5])),
        rng.lognormal(0.0, rng.uniform(0.3, 1.2), n_rows),
        peaks(n_rows, n_modes + 1),
        2 * rng.standard_t(rng.uniform(1.5, 4.0), n_rows) + np.where(rng.random(n_rows) < 0.3, 15.0, 0.0),
    )
    return np.asarray(kinds[seed % len(kinds)][:, None])


def sine() -> Array:
    """Return the rows of scikit-learn's gallery example plot_gmm_sin."""
    rng = np.random.RandomState(0)
    noise = rng.normal(size=(100, 2)) * [0.1, 0.2]
    x = np.arange(100) * 4 * np.pi / 100 - 6
    return np.column_stack((x + noise[:, 0], 3 * (np.sin(x) + noise[:, 1])))


def print_missed(n_columns: int) -> None:
    """Print the columns in which the default ends below its own k-means start by the bound, and the times of both."""
    sine_prior = {"weight_concentration_prior": 0.01, "mean_precision_prior": 0.01, "covariance_prior": np.eye(2)}
    starts: tuple[dict[str, Any], ...] = {}, {"init_params": "kmeans"}
    sines = [(sine(), {**sine_prior, "random_state": seed}) for seed in range(8)]
    for name, fits in ("columns", [(odd_column(seed), CTGAN) for seed in range(n_columns)]), ("sine", sines):
        gaps, seconds = list[float](), np.zeros(2)
        for rows, settings in fits:
            ends = [timed(partial(BayesianGaussianMixture(10, **settings, **start).fit, rows)) for start in starts]
            seconds += [took for took, _ in ends]
            gaps.append(ends[1][1].lower_bound_ - ends[0][1].lower_bound_)
        below = [round(gap, 1) for gap in gaps if gap > MIN_GAP]
        print(f"{name}: {len(below)} of {len(gaps)} below, by {below} nats; s {seconds.round(2)}", flush=True)


def step_rows() -> Iterator[tuple[str, ...]]:
    """Return the rows of the table of steps."""
    rows = clusters(200_000, 16, 16, 0)[0] * 0.25 + np.random.default_rng(1).normal(size=(200_000, 16))
    for structure in ("full", "tied", "diag", "spherical"):
        settings: dict[str, Any] = {"n_components": 16, "covariance_type": structure, **STEP_SETTINGS}
        em = GaussianMixture(**{**settings, "reg_covar": 1e-6})
        both = [(BayesianGaussianMixture(split_merge=False, **settings), 2, 42), (THEIRS(**settings), 1, 5)]
        with threadpool_limits(1):
            em_seconds, own, theirs = steps_of([(em, 2, 42), *both], rows, process_time)
        on_all = steps_of(both, rows, perf_counter)
        alone = f"{em_seconds:.1f}", f"{own:.1f}", f"{theirs:.0f}", f"×{theirs / own:.0f}"
        yield structure, *alone, f"{on_all[0]:.1f}", f"{on_all[1]:.0f}", f"×{on_all[1] / on_all[0]:.0f}"


def add_births(page: Page, n_seeds: int) -> None:
    """Append the section on fits that start with one component."""
    n_higher, seconds = 0, list[float]()

    def rows() -> Iterator[tuple[object, ...]]:
        nonlocal n_higher
        for seed in range(n_seeds):
            rows, _ = clusters(20_000, 8, 20, seed)
            took, ours = timed(partial(BayesianGaussianMixture(30, random_state=seed).fit, rows))
            settings: dict[str, Any] = {"n_components": 30, "random_state": seed, "reg_covar": 0.0}
            theirs_took, theirs = timed(partial(THEIRS(**settings).fit, rows))
            bound, used = bound_of(theirs, rows), int((theirs.weights_ > 1e-4).sum())
            n_higher += ours.lower_bound_ >= bound
            seconds.append(took)
            own = f"{took:.3f}", (ours.mass_ > 0).sum(), f"{ours.lower_bound_:.1f}"
            yield seed, *own, f"{theirs_took:.1f}", used, f"{bound - ours.lower_bound_:.1f}"

    page.say(f"## From one component: 20,000 × 8, 20 clusters, at most 30 components, {n_seeds} seeds")
    page.table("seed | gaussmix, s | K | bound | scikit-learn, s | K | its bound minus gaussmix's", rows(), n_words=0)
    sentence = f"gaussmix's bound is at least as high as scikit-learn's for {n_higher} of {n_seeds} seeds."
    page.say(f"{sentence} gaussmix takes {np.median(seconds):.3f} s in the median, and at most {max(seconds):.3f} s.")


def limit_rows() -> Iterator[tuple[str, ...]]:
    """Return the rows of the table on the cost of the limit."""
    for n_rows in (20_000, 200_000):
        rows, _ = clusters(n_rows, 8, 10, 0)
        least = [
            min(timed(partial(BayesianGaussianMixture(n, random_state=0).fit, rows))[0] for _ in range(5))
            for n in (10, 100)
        ]
        yield f"{n_rows:,}", *(f"{each:.3f}" for each in least), f"×{least[1] / least[0]:.2f}"


def columns_line() -> str:
    """Return the sentences on fits of columns, whose times are extrapolated to all columns."""
    estimator = BayesianGaussianMixture(10, **CTGAN)
    some = columns(50_000, N_TIMED)
    took, _ = timed(lambda: fit_many(some, estimator=estimator))
    theirs, ends = timed(lambda: [THEIRS(n_components=10, **CTGAN).fit(rows) for rows in some[:N_TIMED_THEIRS]])
    scaled = took * N_COLUMNS / N_TIMED, theirs * N_COLUMNS / N_TIMED_THEIRS
    n_higher = sum(
        estimator.fit(rows).lower_bound_ >= bound_of(end, rows, **CTGAN) for end, rows in zip(ends, some, strict=False)
    )
    return (
        f"`fit_many` takes {scaled[0]:.0f} s and scikit-learn {scaled[1]:.0f} s, extrapolated from {N_TIMED} and "
        f"{N_TIMED_THEIRS} columns. gaussmix's bound is at least as high for {n_higher} of these {N_TIMED_THEIRS} "
        "columns."
    )


def large() -> None:
    """Print the time of a fit with many features, and how well its clusters agree with the true ones."""
    rows, labels = clusters(100_000, 128, 79, 0)
    took, found = timed(lambda: BayesianGaussianMixture(200, random_state=0).fit(rows))
    score = normalized_mutual_info_score(labels, found.predict(rows))
    print(f"100,000 × 128, 79 clusters: {took:.0f} s, K = {(found.mass_ > 0).sum()}, NMI {score:.3f}")


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--missed", type=int, default=0, help="columns")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.missed:
        print_missed(options.missed)
        return
    if options.large:
        large()
        return
    page = Page(__file__, "Variational Bayes compared with scikit-learn's", "processor seconds")
    page.say("## An EM step: 200,000 × 16, 16 overlapping components, ms")
    names = "gaussmix | scikit-learn | ratio"
    page.table(f"structure | `GaussianMixture` | {names} | on all processors: {names}", step_rows())
    page.say("The columns on all processors contain elapsed time, and the other columns processor time.")
    with threadpool_limits(1):
        add_births(page, options.seeds)
        page.say("## Time by the limit on the number of components: 10 clusters in 8 features, s")
        page.table("rows | at most 10 | at most 100 | ratio", limit_rows(), n_words=0)
        page.say(f"## {N_COLUMNS:,} columns of 50,000 numbers with CTGAN's settings", "", columns_line())
    page.say(f"Load average of the machine at the end, including other work: {os.getloadavg()[0]:.2f}.")
    page.write()


if __name__ == "__main__":
    main()
