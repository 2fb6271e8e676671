"""Shifts and changes of units do not change a fit, except that the logarithm of the units adds to log densities."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from trust_cases.case import CENTRES, INITS, STRUCTURES, Case, Model, blobs, expect_close, initial

SHIFTS = 1e3, 1e4, 1e5, 1e6, 1e7, 1e8
SCALES = 1e-150, 1e-100, 1e-50, 1e-10, 1e-3, 1e3, 1e10, 1e50, 1e100, 1e150
EXTREMES = 1e-160, 1e160
UNITS = {
    "1e-5, 1, 1e5": (1e-5, 1.0, 1e5),
    "1e10, 1e-10, 1": (1e10, 1e-10, 1.0),
    "1e-100, 1e3, 1e60": (1e-100, 1e3, 1e60),
    "1e-150, 1, 1e150": (1e-150, 1.0, 1e150),
    "1e150, 1e150, 1e-150": (1e150, 1e150, 1e-150),
}


def cases() -> Iterator[Case]:
    """Yield cases of every structure and initialisation."""
    for structure in STRUCTURES:
        for start in INITS:
            for shift in SHIFTS:
                check = compare_random(structure, start, shift=shift)
                yield Case("shifts", f"shift {shift:g}, {structure}, {start}", check)
            for scale in (*SCALES, *EXTREMES):
                check = compare_random(structure, start, scale=scale)
                yield Case("scales", f"scale {scale:g}, {structure}, {start}", check, may_reject=scale in EXTREMES)
        for shift in SHIFTS:
            yield Case("shifts", f"shift {shift:g}, {structure}, given", compare_initial(structure, shift, np.ones(3)))
        for scale in (*SCALES, *EXTREMES):
            name, units = f"scale {scale:g}, {structure}, given", np.full(3, scale)
            yield Case("scales", name, compare_initial(structure, 0, units), may_reject=scale in EXTREMES)
            if scale in SCALES:
                yield Case("scales", f"{name}, no ridge", compare_initial(structure, 0, units, reg_covar=0))
    for structure in ("full", "tied", "diag"):
        for name, units in UNITS.items():
            yield Case("units", f"units {name}, {structure}", compare_initial(structure, 0, np.array(units)))
            check = compare_initial(structure, 0, np.array(units), reg_covar=0)
            yield Case("units", f"units {name}, {structure}, no ridge", check)
            check = compare_initial(structure, 2.0**7, np.array(units))  # shifted by about 100 standard deviations
            yield Case("units", f"units {name} and far from 0, {structure}", check)


def log_densities(model: Model, X: Any, **parameters: Any) -> Any:
    """Return log densities of the rows after a fit with a small tolerance."""
    return model(3, tol=1e-8, max_iter=500, **parameters).fit(X).score_samples(X)


def compare_random(structure: str, start: str, shift: float = 0.0, scale: float = 1.0) -> Any:
    """Return a check of fits that initialise EM from shifted and scaled rows."""

    def check(model: Model) -> None:
        X, parameters = blobs(), {"covariance_type": structure, "init_params": start, "random_state": 0}
        plain = log_densities(model, X, **parameters)
        actual = log_densities(model, (X + shift) * scale, **parameters) + 3 * np.log(scale)
        expect_close(actual, plain, 1e-6, "score_samples")

    return check


def compare_initial(structure: str, shift: float, units: Any, **parameters: Any) -> Any:
    """Return a check of fits whose initial parameters are shifted and scaled together with the rows."""

    def check(model: Model) -> None:
        X, start = blobs(), initial(structure, CENTRES) | parameters
        plain = log_densities(model, X, **start)
        pairs = {"spherical": (units[0], units[0]), "diag": (units, units)}
        first, second = pairs.get(structure, (units, units[:, None]))
        with np.errstate(over="ignore"):  # the estimator must reject values that overflow
            precisions = start["precisions_init"] / first / second
        transformed = start | {"means_init": (CENTRES + shift) * units, "precisions_init": precisions}
        actual = log_densities(model, (X + shift) * units, **transformed) + np.log(units).sum()
        expect_close(actual, plain, 1e-6, "score_samples")

    return check
