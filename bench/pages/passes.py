"""How many passes over the rows fits take, with acceleration and without, and how high they end.

    python -m bench.pages.passes                  # five minutes; rewrites bench/results/passes.md

Every fit has `tol` 1e-8 and one k-means start, unless its line says otherwise. Passes are counted, so that
a busy machine does not matter.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from threadpoolctl import threadpool_limits

from bench.pages.base import Page, parser_of
from bench.pages.optimum import pixels
from gaussmix import FactorAnalyzer, GaussianMixture
from gaussmix.numerics.arrays import Array

CONTINUOUS = [0, 2, 3, 4, 5, 6, 7, 8, 9]  # columns of diabetes; the other one is the sex


def overlapping(n_features: int, n_components: int, seed: int, apart: float) -> Array:
    """20,000 rows of components of many shapes, whose means lie `apart` of their spread."""
    rng = np.random.default_rng(seed)
    means = apart * rng.normal(size=(n_components, n_features))
    labels = rng.choice(n_components, 20_000, p=rng.dirichlet(np.full(n_components, 5.0)))
    factors = rng.normal(size=(n_components, n_features, n_features)) / np.sqrt(n_features) + 0.5 * np.eye(n_features)
    return means[labels] + np.einsum("nij,nj->ni", factors[labels], rng.normal(size=(20_000, n_features)))


def factored(n_rows: int, n_features: int, n_factors: int, seed: int) -> Array:
    """Rows of two factor analysers."""
    rng = np.random.default_rng(seed)
    loadings, means = rng.normal(size=(2, n_features, n_factors)), rng.normal(size=(2, n_features))
    labels = rng.integers(2, size=n_rows)
    rows: Array = means[labels] + np.einsum("nij,nj->ni", loadings[labels], rng.normal(size=(n_rows, n_factors)))
    rows += np.exp(0.5 * rng.normal(size=n_features)) * rng.normal(size=(n_rows, n_features))
    return rows


def factors(n_factors: int) -> dict[str, Any]:
    return {"covariance_type": FactorAnalyzer(n_factors)}


class Case(NamedTuple):
    """What is fitted."""

    rows: Callable[[], Array]
    n_components: int
    options: dict[str, Any]


SLOW = {
    "generated, 2-d, K=4": Case(lambda: overlapping(2, 4, 100, 0.8), 4, {}),
    "generated, 2-d, K=4, nearer": Case(lambda: overlapping(2, 4, 12, 0.6), 4, {}),
    "generated, 1-d, K=4": Case(lambda: overlapping(1, 4, 15, 0.7), 4, {}),
    "generated, 3-d, K=5": Case(lambda: overlapping(3, 5, 103, 0.6), 5, {}),
    "generated, 20-d, K=2, 4 factors": Case(lambda: factored(5_000, 20, 3, 5), 2, factors(4)),
    "wine, K=2, 4 factors": Case(lambda: load_wine().data, 2, factors(4)),
    "breast cancer, K=3, 4 factors": Case(lambda: load_breast_cancer().data, 3, factors(4)),
    "breast cancer, K=2, 6 factors": Case(lambda: load_breast_cancer().data, 2, factors(6)),
    "wine, K=3, 6 factors": Case(lambda: load_wine().data, 3, factors(6)),
    "diabetes, K=3, 2 factors": Case(lambda: load_diabetes().data[:, CONTINUOUS], 3, factors(2)),
}
FAST = {
    "generated, 2-d, K=3, apart": Case(lambda: overlapping(2, 3, 1, 6.0), 3, {}),
    "generated, 8-d, K=16": Case(lambda: overlapping(8, 16, 3, 3.0), 16, {}),
    "generated, 2-d, K=4, `tol` 1e-3": Case(lambda: overlapping(2, 4, 100, 0.8), 4, {"tol": 1e-3}),
    "iris, K=3": Case(lambda: load_iris().data, 3, {}),
    "iris, K=5": Case(lambda: load_iris().data, 5, {}),
    "iris, K=3, VEV": Case(lambda: load_iris().data, 3, {"covariance_type": "VEV"}),
    "wine, K=3": Case(lambda: load_wine().data, 3, {}),
    "wine, K=2, 4 factors, `tol` 1e-3": Case(lambda: load_wine().data, 2, factors(4) | {"tol": 1e-3}),
    "breast cancer, K=6, VEE": Case(lambda: load_breast_cancer().data, 6, {"covariance_type": "VEE"}),
    "digits, K=10, diag": Case(lambda: load_digits().data, 10, {"covariance_type": "diag"}),
    "pixels, K=4": Case(pixels, 4, {}),
}


def with_ridge(cases: dict[str, Case], ridge: float) -> dict[str, Case]:
    return {name: case._replace(options=case.options | {"reg_covar": ridge}) for name, case in cases.items()}


def measured(cases: dict[str, Case]) -> Iterator[tuple[str | None, ...]]:
    """Rows of a table, and of the geometric mean of its ratios."""
    ratios = []
    for name, case in cases.items():
        rows, ends = case.rows(), []
        for acceleration in (None, "auto"):
            common = {"tol": 1e-8, "max_iter": 50_000, "init_params": "kmeans", "random_state": 0, "n_jobs": 1}
            options: dict[str, Any] = common | case.options
            ends.append(GaussianMixture(case.n_components, acceleration=acceleration, **options).fit(rows))
        plain, fast = ends
        ratios.append(plain.n_iter_ / fast.n_iter_)
        gain = f"{fast.score(rows) - plain.score(rows):+.1e}" if fast.n_iter_ != plain.n_iter_ else "equal"
        yield name, f"{plain.n_iter_:,}", f"{fast.n_iter_:,}", f"{ratios[-1]:.2f}", gain
    yield "geometric mean", None, None, f"{np.exp(np.log(ratios).mean()):.2f}", None


def main() -> None:
    parser_of(__doc__).parse_args()
    page = Page(__file__, "Passes", "`tol` 1e-8 unless named; nats per row")
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", RuntimeWarning)
        for title, cases in (
            ("Where EM creeps, without a ridge", with_ridge(SLOW, 0.0)),
            ("The same with the automatic ridge", SLOW),
            ("Where EM does not creep", FAST),
        ):
            page.say(f"## {title}")
            page.table("fit | EM | accelerated | ratio | ends higher by", measured(cases))
    page.write()


if __name__ == "__main__":
    main()
