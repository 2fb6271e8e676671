"""Rows up to 1e300 standard deviations away have responsibilities, and a log density wherever a double holds it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from trust_cases import truth
from trust_cases.case import STRUCTURES, Case, Model, blobs, expect, expect_close

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
# In the shape of each structure. "spherical" has two equal variances, so that far away two components stay alike.
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
    """Every structure, distance and direction."""
    for structure in STRUCTURES:
        for name, direction in DIRECTIONS.items():
            for distance in DISTANCES:
                check = judged(structure, direction, distance)
                yield Case("far rows", f"{distance:g} away, {name}, {structure}", check)


def judged(structure: str, direction: Any, distance: float) -> Any:
    """A row at a distance, from the middle between the first two components."""

    def check(model: Model) -> None:
        covariances = COVARIANCES[structure]
        fitted = model(3, covariance_type=structure, random_state=0).fit(blobs())
        # Not by max_iter=0, with which scikit-learn's fit fails where precisions are given.
        fitted._set_parameters((WEIGHTS, MEANS, covariances, factors(structure, covariances)))
        x = np.array([1.0, 0.0, 0.0]) + direction * distance
        log_density, shares = truth.exact_row(x, WEIGHTS, MEANS, truth.dense(structure, covariances, 3, 3))
        found = fitted.predict_proba(x[None])[0]
        expect_close(found.sum(), 1, 1e-12, "the sum of predict_proba")
        expect_close(found, shares, ROUNDING, "predict_proba")
        expect(fitted.predict(x[None])[0] == int(np.argmax(shares)), "predict is another component")
        if abs(log_density) < 8e307:
            expected = float(log_density)
            expect_close(fitted.score_samples(x[None]), [expected], 1e-9 * (1 + abs(expected)), "score_samples")

    return check


def factors(structure: str, covariances: Any) -> Any:
    """C with C Cᵀ = Σ⁻¹, as scikit-learn's `precisions_cholesky_`."""
    if structure in ("full", "tied"):
        return np.linalg.inv(np.linalg.cholesky(covariances)).swapaxes(-1, -2)
    return covariances**-0.5
