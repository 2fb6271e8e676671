"""Roots of many functions at once, each between two ends that are known to hold it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gaussmix.numerics.arrays import Array

# At points (n,) of the functions numbered (n,): values, and slopes.
Increasing = Callable[[Array, NDArray[np.intp]], tuple[Array, Array]]

_PRECISION = 8 * float(np.finfo(np.float64).eps)
_STEPS = 200  # bisection of the widest bracket there is takes as many as float64 has exponents and digits


def increasing_roots(function: Increasing, low: Array, high: Array, length: float, start: Array | None = None) -> Array:
    """Where increasing functions cross 0, to rounding: Newton's method, and bisection where that leaves the bracket.

    Press et al. (2007), Numerical Recipes, section 9.4 (`rtsafe`), for a vector of functions. Functions whose root is
    found are not evaluated again.

    Parameters
    ----------
    function : value and slope; of a value of ±inf only the sign counts.
    low, high : (n,), finite, where the values are ≤ 0 and ≥ 0.
    start : (n,), between them, where to begin; None for the middle.
    length : the shortest distance over which the functions change; steps below its rounding end the search.
    """
    low, high = low.copy(), high.copy()
    x = low + 0.5 * (high - low) if start is None else start.copy()
    step_before = high - low
    numbers = np.flatnonzero(low < high)
    for _ in range(_STEPS):
        if not len(numbers):
            break
        at = x[numbers]
        with np.errstate(all="ignore"):
            value, slope = function(at, numbers)
            step = value / slope
        low[numbers] = np.where(value <= 0, at, low[numbers])
        high[numbers] = np.where(value >= 0, at, high[numbers])
        below, above = low[numbers], high[numbers]
        to = at - step
        is_newton = (to >= below) & (to <= above) & (np.abs(step) <= 0.5 * np.abs(step_before[numbers]))
        to = np.where(is_newton, to, below + 0.5 * (above - below))
        step_before[numbers] = to - at
        x[numbers] = to
        with np.errstate(divide="ignore"):
            rounding = _PRECISION * (np.abs(to) + np.minimum(1 / slope, length))
        is_done = (np.abs(to - at) <= rounding) | (value == 0)
        numbers = numbers[~is_done]
    return x
