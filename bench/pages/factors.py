"""Time an EM step of factor analysers of many features, beside the NumPy engine and full matrices; and their memory.

python -m bench.pages.factors    # minutes; rewrites bench/results/factors.md
"""

from __future__ import annotations

import os
import time
import warnings
from functools import partial

import numpy as np
import sklearn.mixture

from bench.pages.base import Page, facts, parser_of, seconds_of
from bench.peak import rise_of_peak
from gaussmix import FactorAnalyzer, GaussianMixture
from gaussmix.em.loop import em_step
from gaussmix.em.objective import Objective
from gaussmix.engines import ENGINES
from gaussmix.mixture.mixture import Mixture
from gaussmix.sources.array import ArraySource

N_ROWS, N_FEATURES, N_COMPONENTS, N_FACTORS = 20_000, 1000, 10, 5
REPEATS = 5


def made_rows() -> tuple[np.ndarray, np.ndarray]:
    """Rows of a mixture of factor analysers, and the component of each row."""
    rng = np.random.default_rng(0)
    labels = rng.integers(N_COMPONENTS, size=N_ROWS)
    rows = rng.normal(size=(N_ROWS, N_FEATURES))
    for k in range(N_COMPONENTS):
        mine = labels == k
        factors, loadings = rng.normal(size=(mine.sum(), N_FACTORS)), rng.normal(size=(N_FACTORS, N_FEATURES))
        rows[mine] += factors @ loadings + 0.3 * rng.normal(size=N_FEATURES)
    return rows, labels


def fitted(rows: np.ndarray, labels: np.ndarray) -> GaussianMixture:
    """The fit after two steps from the labels, on one thread."""
    factors = FactorAnalyzer(N_FACTORS)
    model = GaussianMixture(
        N_COMPONENTS, covariance_type=factors, reg_covar=1e-6, max_iter=2, init_params=labels, n_jobs=1
    )
    return model.fit(rows)


def seconds_of_a_step(rows: np.ndarray, mixture: Mixture, engine: str, n_threads: int, repeats: int) -> float:
    """One E- and M-step."""
    source, made = ArraySource(rows), ENGINES[engine](n_threads)
    work = partial(em_step, source, made, mixture.model, Objective(np.zeros(N_FEATURES)), {})
    return min(seconds_of(work) for _ in range(repeats))


def seconds_of_scikit_learn(rows: np.ndarray, mixture: Mixture) -> tuple[float, float]:
    """Seconds of an iteration of full covariances, a fit of two less a fit of one, and the megabytes of a fit."""
    seconds, extra = [], 0.0
    for n_steps in (1, 2):
        model = sklearn.mixture.GaussianMixture(
            N_COMPONENTS,
            weights_init=mixture.weights,
            means_init=mixture.means,
            precisions_init=np.repeat(np.eye(N_FEATURES)[None], N_COMPONENTS, axis=0),
            max_iter=n_steps,
            tol=0,
        )
        began = time.perf_counter()
        extra = rise_of_peak(partial(model.fit, rows))[1]
        seconds.append(time.perf_counter() - began)
    return seconds[1] - seconds[0], extra


def main() -> None:
    parser_of(__doc__).parse_args()
    warnings.simplefilter("ignore")
    machine = facts() | {"load average at the start, from other work": f"{os.getloadavg()[0]:.1f}"}
    rows, labels = made_rows()
    fitted(rows[:500, :20], labels[:500])  # loads what the first fit loads
    model, extra = rise_of_peak(lambda: fitted(rows, labels))
    mixture = model.mixture_
    numbers = mixture.means.size + mixture.covariances.size
    table = [
        ("gaussmix, factor analysers, 1 thread", seconds_of_a_step(rows, mixture, "native", 1, REPEATS), extra),
        ("gaussmix, factor analysers, 2 threads", seconds_of_a_step(rows, mixture, "native", 2, REPEATS), None),
        ("gaussmix's NumPy engine, the same", seconds_of_a_step(rows, mixture, "numpy", 1, 2), None),
        ("scikit-learn, full", *seconds_of_scikit_learn(rows, mixture)),
    ]
    title = f"Factor analysers: {N_ROWS:,} × {N_FEATURES:,} numbers, K = {N_COMPONENTS}, q = {N_FACTORS}"
    page = Page(__file__, title, machine=machine)
    page.say(
        "Seconds are those of one EM step, the least of a few. MB are the rise of the peak of the resident memory in",
        f"a fit from labels, without the rows. The rows take {rows.nbytes / 2**20:.0f} MB, and the mixture, of",
        f"{numbers:,} numbers, takes {8 * numbers / 2**20:.1f} MB.",
    )
    page.table("| seconds | MB", ((name, f"{seconds:.2f}", mb and f"{mb:.0f}") for name, seconds, mb in table))
    page.write()


if __name__ == "__main__":
    main()
