"""Time a step of EM with weights, labels, noise, priors, trimming and bounded eigenvalues beside a plain one.

    python -m bench.pages.real_data                # some minutes; rewrites bench/results/real_data.md

Full covariances, one thread, float64. A step is a tenth of what ten more steps take from the same start. The fits take
turns; the least processor time of each counts.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.pages.base import Page, parser_of
from gaussmix import Full, GaussianMixture, NormalInverseWishart, Restrictions

N_ROWS, N_FEATURES, N_COMPONENTS = 250_000, 16, 16
ROUNDS, FEW, MANY = 4, 2, 12
Array = NDArray[np.float64]


def rows_of(rng: np.random.Generator, apart: float) -> tuple[Array, NDArray[np.int64]]:
    """Rows of components whose means are so many deviations apart in each feature, and their components."""
    labels = rng.integers(N_COMPONENTS, size=N_ROWS)
    means = apart * rng.normal(size=(N_COMPONENTS, N_FEATURES))
    return means[labels] + rng.normal(size=(N_ROWS, N_FEATURES)), labels


def variants(rng: np.random.Generator, labels: NDArray[np.int64]) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Name → parameters of the estimator and arguments of `fit`."""
    some, most = (np.where(rng.random(N_ROWS) < share, labels, -1) for share in (0.1, 0.9))
    return {
        "plain": ({}, {}),
        "weights": ({}, {"sample_weight": rng.uniform(0.5, 1.5, size=N_ROWS)}),
        "labels of 10 %": ({}, {"labels": some}),
        "labels of 90 %": ({}, {"labels": most}),
        "noise": ({"noise": 0.01}, {}),
        "prior and Dirichlet": ({"prior": NormalInverseWishart(weights=2.0)}, {}),
        "equal weights": ({"restrictions": Restrictions(equal_weights=True)}, {}),
        "max_condition": ({"covariance_type": Full(1e4)}, {}),
        "trim": ({"trim": 0.05}, {}),
    }


def seconds_of(rows: Array, start: dict[str, Any], n_steps: int, how: tuple[dict[str, Any], dict[str, Any]]) -> float:
    """The processor time of a fit of so many steps."""
    parameters, arguments = how
    options: dict[str, Any] = {"reg_covar": 0.0, "tol": 0.0, "n_jobs": 1, "max_iter": n_steps} | parameters
    mixture, began = GaussianMixture(N_COMPONENTS, **options, **start), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mixture.fit(rows, **arguments)
    return time.process_time() - began


def measured(name: str, apart: float) -> Iterator[tuple[str, ...]]:
    """The rows of one kind of data."""
    rng = np.random.default_rng(0)
    rows, labels = rows_of(rng, apart)
    first = [rows[labels == k][:2000] for k in range(N_COMPONENTS)]
    start: dict[str, Any] = {
        "weights_init": np.full(N_COMPONENTS, 1 / N_COMPONENTS),
        "means_init": np.array([part.mean(axis=0) for part in first]),
        "covariances_init": np.array([np.cov(part.T) for part in first]),
    }
    tried = variants(rng, labels)
    least = {(key, n_steps): np.inf for key in tried for n_steps in (FEW, MANY)}
    for _ in range(ROUNDS):
        for key, n_steps in least:
            least[key, n_steps] = min(least[key, n_steps], seconds_of(rows, start, n_steps, tried[key]))
    step = {key: (least[key, MANY] - least[key, FEW]) / (MANY - FEW) for key in tried}
    for key, each in step.items():
        yield name, key, f"{1e3 * each:.1f}", f"{each / step['plain']:.2f}"


def main() -> None:
    parser_of(__doc__).parse_args()
    how = f"least processor time of {ROUNDS} runs in turns, one thread"
    page = Page(__file__, "Weights, labels, noise, priors and trimming", how)
    page.say(f"A step over {N_ROWS:,} rows with {N_FEATURES} features, K = {N_COMPONENTS}, full covariances:")
    rows = (row for kind in (("overlap", 0.5), ("apart", 3.0)) for row in measured(*kind))
    page.table("components | with | ms | ratio to plain", rows, n_words=2)
    page.write()


if __name__ == "__main__":
    main()
