"""Rows up to 1e300 standard deviations away have responsibilities, and a log density if a double can hold it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from trust_cases import truth
from trust_cases.case import STRUCTURES, Case, Model, blobs, expect, expect_close, initial

DISTANCES = 1e1, 1e3, 1e5, 1e8, 1e10, 1e12, 1e16, 1e20, 1e50, 1e100, 1e150, 1e200, 1e300

WEIGHTS = np.array([0.5, 0.3, 0.2])
MEANS = np.array([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0], [0.0, 4.0, 1.0]])
FULL = np.array(
    [
        [[1.0, 0.5, 0.0], [0.5, 2.0, 0.25], [0.0, 0.25, 1.0]],
        [[2.0, -0.5, 0.0], [-0.5, 1.0, 0.0], [0.0, 0.0, 0.5]],
        [[1.0, 0.0, 0.25], [0.0, 0.5, 0.0], [0.25, 0.0, 4.0]],
    ]
)
# Covariances in the shape of each structure. Two variances of "spherical" are equal, so that distant rows may have
# positive responsibilities of two components.
COVARIANCES = {
    "full": FULL,
    "tied": FULL[0],
    "diag": np.array([[1.0, 2.0, 1.0], [2.0, 1.0, 0.5], [1.0, 0.5, 4.0]]),
    "spherical": np.array([2.0, 2.0, 0.5]),
}
DIRECTIONS = {
    "all columns": np.array([1.0, 1.0, 1.0]),
    "minus all columns": np.array([-1.0, -1.0, -1.0]),
    "one column": np.array([1.0, 0.0, 0.0]),
    "between two components": np.array([0.0, 0.0, 1.0]),
}
ROUNDING = 1e-6


def cases() -> Iterator[Case]:
    """Yield cases of every structure, distance and direction."""
    for structure in STRUCTURES:
        for name, direction in DIRECTIONS.items():
            for distance in DISTANCES:
                check = compare_row(structure, direction, distance)
                yield Case("distant rows", f"{distance:g} away, {name}, {structure}", check)
        for distance in DISTANCES[:8]:
            name = f"a step with half of the rows {distance:g} away, {structure}"
            yield Case("distant rows", name, compare_step(structure, distance))


def compare_row(structure: str, direction: Any, distance: float) -> Any:
    """Return a check of predictions of a row at a distance from the midpoint between the first two means."""

    def check(model: Model) -> None:
        covariances = COVARIANCES[structure]
        fitted = model(3, covariance_type=structure, random_state=0).fit(blobs())
        # max_iter=0 is not used, because scikit-learn's fit then fails with `precisions_init`.
        fitted._set_parameters((WEIGHTS, MEANS, covariances, factors(structure, covariances)))
        x = np.array([1.0, 0.0, 0.0]) + direction * distance
        log_density, responsibilities = truth.exact_row(x, WEIGHTS, MEANS, truth.dense(structure, covariances, 3, 3))
        actual = fitted.predict_proba(x[None])[0]
        expect_close(actual.sum(), 1, 1e-12, "the sum of predict_proba")
        expect_close(actual, responsibilities, ROUNDING, "predict_proba")
        expect(fitted.predict(x[None])[0] == np.argmax(responsibilities), "predict is not the most probable component")
        if abs(log_density) < 8e307:
            expected = float(log_density)
            expect_close(fitted.score_samples(x[None]), [expected], 1e-9 * (1 + abs(expected)), "score_samples")

    return check


def compare_step(structure: str, distance: float) -> Any:
    """Return a check of the weights after a step from unit covariances.

    With unit covariances the log odds are linear, so that long double computes them exactly at any distance.
    """

    def check(model: Model) -> None:
        rows = np.vstack([blobs(), blobs() + distance])
        start = initial(structure, MEANS) | {"weights_init": WEIGHTS}
        fitted = model(3, max_iter=1, tol=0.0, **start).fit(rows)
        means = MEANS.astype(np.longdouble)
        midpoints = (means + means[0]) / 2
        log_odds = np.stack([(rows - midpoints[k]) @ (means[k] - means[0]) for k in range(3)], axis=1) + np.log(WEIGHTS)
        responsibilities = np.exp(log_odds - log_odds.max(axis=1, keepdims=True))
        responsibilities /= responsibilities.sum(axis=1, keepdims=True)
        expect_close(fitted.weights_, responsibilities.mean(axis=0), 1e-7, "weights_")

    return check


def factors(structure: str, covariances: Any) -> Any:
    """Return C with C Cᵀ = Σ⁻¹, as scikit-learn's `precisions_cholesky_`."""
    if structure in ("full", "tied"):
        return np.linalg.inv(np.linalg.cholesky(covariances)).swapaxes(-1, -2)
    return covariances**-0.5
