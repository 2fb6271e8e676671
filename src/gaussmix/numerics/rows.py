"""Rows as users give them: whole strides, the first bad cell, and the extreme rows."""

from __future__ import annotations

from math import frexp
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gaussmix.numerics.arrays import Array, Rows
from gaussmix.numerics.pieces import pieces

AnyArray = TypeVar("AnyArray", bound=NDArray[Any])

AT_A_TIME = 65_520  # rows for one call, whose mask stays in the cache


def in_whole_steps(array: AnyArray) -> AnyArray:
    """The array, or a copy if its strides are no whole elements, as those of a field of packed records."""
    if any(stride % array.itemsize for stride in array.strides):
        return array.copy()
    return array


def first_beyond(rows: Rows, largest: float, *, may_miss: bool = False) -> tuple[int, int] | None:
    """Row and column of the first number that is NaN or larger than `largest` in size; None if there is none.

    NaN passes where values `may_miss`. Works on `AT_A_TIME` rows at a time, so that it makes no mask of all rows.
    """
    if rows.dtype.kind == "f":
        largest = min(largest, float(np.finfo(rows.dtype).max))  # else float32 would round it to inf, and let inf pass
    for first in range(0, len(rows), AT_A_TIME):
        part = rows[first : first + AT_A_TIME]
        if -largest <= float(part.min()) and float(part.max()) <= largest:  # false for NaN
            continue
        with np.errstate(invalid="ignore"):
            cells = np.argwhere(np.abs(part) > largest if may_miss else ~(np.abs(part) <= largest))
        if len(cells):
            return first + int(cells[0, 0]), int(cells[0, 1])
    return None


def extreme_rows(rows: Rows, row_weight: Array | None = None) -> NDArray[np.intp]:
    """The rows with the smallest and the largest number of each feature, (2, n_features); the first of equals.

    With weights (n_rows,), only rows of positive weight count. NaN counts only where a feature has nothing else.
    Uses argmin, because along the first axis NumPy's argmin is 2 to 10 times as fast as its min.
    """
    low, high = [], []
    for part in pieces(rows.shape):
        numbers = np.arange(part.start, min(part.stop, len(rows)))
        if row_weight is not None:
            numbers = numbers[row_weight[part] > 0]
        if len(numbers):
            low_places, high_places = _extremes(rows[part] if row_weight is None else rows[numbers])
            low.append(numbers[low_places])
            high.append(numbers[high_places])
    if len(low) == 1:
        return np.array([low[0], high[0]])
    lowest, highest, columns = np.array(low), np.array(high), np.arange(rows.shape[1])
    first, last = _extremes(rows[lowest, columns])[0], _extremes(rows[highest, columns])[1]
    return np.array([lowest[first, columns], highest[last, columns]])


def _extremes(values: Rows) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The places of the smallest and the largest number of each column."""
    low: NDArray[np.intp] = values.argmin(axis=0)
    if not np.isnan(values[low, np.arange(values.shape[1])]).any():
        return low, values.argmax(axis=0)
    missing = np.isnan(values)
    return np.where(missing, np.inf, values).argmin(axis=0), np.where(missing, -np.inf, values).argmax(axis=0)


SMALLEST_EXPONENT = -1021  # of the unit of weights, so that it has a reciprocal


def unit_of_weights(largest: float) -> float:
    """The power of 2 that brings weights below 1, where the largest is this."""
    return 2.0 ** max(frexp(largest)[1], SMALLEST_EXPONENT)
