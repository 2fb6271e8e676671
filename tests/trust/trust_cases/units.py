"""Origin and units do not matter, except that log densities change by the logarithm of the units."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from trust_cases.case import CENTRES, STARTS, STRUCTURES, Case, Model, blobs, expect_close, given

SHIFTS = 1e3, 1e4, 1e5, 1e6, 1e7, 1e8
SCALES = 1e-150, 1e-100, 1e-50, 1e-10, 1e-3, 1e3, 1e10, 1e50, 1e100, 1e150
BEYOND = 1e-160, 1e160
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
        for start in STARTS:
            for shift in SHIFTS:
                yield Case("shifts", f"shift {shift:g}, {structure}, {start}", changed(structure, start, shift=shift))
            for scale in (*SCALES, *BEYOND):
                check = changed(structure, start, scale=scale)
                yield Case("scales", f"scale {scale:g}, {structure}, {start}", check, may_refuse=scale in BEYOND)
        for shift in SHIFTS:
            yield Case("shifts", f"shift {shift:g}, {structure}, given", moved(structure, shift, np.ones(3)))
        for scale in (*SCALES, *BEYOND):
            name, units = f"scale {scale:g}, {structure}, given", np.full(3, scale)
            yield Case("scales", name, moved(structure, 0, units), may_refuse=scale in BEYOND)
            if scale in SCALES:
                yield Case("scales", f"{name}, no ridge", moved(structure, 0, units, reg_covar=0))
    for structure in ("full", "tied", "diag"):
        for name, units in UNITS.items():
            yield Case("units", f"units {name}, {structure}", moved(structure, 0, np.array(units)))
            check = moved(structure, 0, np.array(units), reg_covar=0)
            yield Case("units", f"units {name}, {structure}, no ridge", check)
            check = moved(structure, 2.0**7, np.array(units))  # the shift is about a hundred standard deviations
            yield Case("units", f"units {name} and far from 0, {structure}", check)


def fitted(model: Model, X: Any, **parameters: Any) -> Any:
    """Return log densities of the rows after a long fit."""
    return model(3, tol=1e-8, max_iter=500, **parameters).fit(X).score_samples(X)


def changed(structure: str, start: str, shift: float = 0.0, scale: float = 1.0) -> Any:
    def check(model: Model) -> None:
        X, parameters = blobs(), {"covariance_type": structure, "init_params": start, "random_state": 0}
        plain = fitted(model, X, **parameters)
        found = fitted(model, (X + shift) * scale, **parameters) + 3 * np.log(scale)
        expect_close(found, plain, 1e-6, "score_samples")

    return check


def moved(structure: str, shift: float, units: Any, **parameters: Any) -> Any:
    """Fit from given parameters, shifted and then scaled together with the rows."""

    def check(model: Model) -> None:
        X, start = blobs(), given(structure, CENTRES) | parameters
        plain = fitted(model, X, **start)
        inverse = start["precisions_init"]
        with np.errstate(over="ignore"):  # overflow is for the estimator to refuse
            for unit in (units[0],) * 2 if structure == "spherical" else (units, units[:, None]):
                inverse = inverse / (units if structure == "diag" else unit)
        there = start | {"means_init": (CENTRES + shift) * units, "precisions_init": inverse}
        found = fitted(model, (X + shift) * units, **there) + np.log(units).sum()
        expect_close(found, plain, 1e-6, "score_samples")

    return check
