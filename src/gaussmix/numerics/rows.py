"""Arrays as they come from users: made fit for an engine, the first cell that is not, and how far they reach."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gaussmix.numerics.arrays import Array, Rows
from gaussmix.numerics.pieces import pieces

AnyArray = TypeVar("AnyArray", bound=NDArray[Any])

AT_A_TIME = 65_520  # rows whose extremes are found by one call: their mask stays in the cache


def in_whole_steps(array: AnyArray) -> AnyArray:
    """The array, or a copy where its strides are no whole elements: a field of packed records."""
    if any(stride % array.itemsize for stride in array.strides):
        return array.copy()
    return array


def first_beyond(rows: Rows, largest: float) -> tuple[int, int] | None:
    """Row and column of the first number that is NaN or larger than `largest` in size; None where there is none.

    A block at a time, so that no mask of all rows is made.
    """
    for first in range(0, len(rows), AT_A_TIME):
        part = rows[first : first + AT_A_TIME]
        with np.errstate(invalid="ignore"):
            if -largest <= float(part.min()) and float(part.max()) <= largest:  # false for NaN
                continue
        row, column = np.argwhere(~(np.abs(part) <= largest))[0]
        return first + int(row), int(column)
    return None


def extreme_rows(rows: Rows, row_weight: Array | None = None) -> NDArray[np.intp]:
    """The rows with the smallest and the largest number of each feature, (2, n_features); the first of equals.

    Of the rows of positive weight where there are weights (n_rows,). By argmin, which NumPy does 2 to 10 times faster
    along the first axis than min.
    """
    low, high = [], []
    for part in pieces(rows.shape):
        numbers = np.arange(part.start, min(part.stop, len(rows)))
        if row_weight is not None:
            numbers = numbers[row_weight[part] > 0]
        if len(numbers):
            values = rows[part] if row_weight is None else rows[numbers]
            low.append(numbers[values.argmin(axis=0)])
            high.append(numbers[values.argmax(axis=0)])
    lowest, highest, columns = np.array(low), np.array(high), np.arange(rows.shape[1])
    first, last = rows[lowest, columns].argmin(axis=0), rows[highest, columns].argmax(axis=0)
    return np.array([lowest[first, columns], highest[last, columns]])
