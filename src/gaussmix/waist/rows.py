"""Arrays as they come from users, made fit for an engine, and the first cell that is not."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gaussmix.waist.arrays import Rows
from gaussmix.waist.block import BLOCK_ROWS

AnyArray = TypeVar("AnyArray", bound=NDArray[Any])


def in_whole_steps(array: AnyArray) -> AnyArray:
    """The array, or a copy where its strides are no whole elements: a field of packed records."""
    if any(stride % array.itemsize for stride in array.strides):
        return array.copy()
    return array


def first_beyond(rows: Rows, largest: float) -> tuple[int, int] | None:
    """Row and column of the first number that is NaN or larger than `largest` in size; None where there is none.

    A block at a time, so that no mask of all rows is made.
    """
    for first in range(0, len(rows), BLOCK_ROWS):
        part = rows[first : first + BLOCK_ROWS]
        with np.errstate(invalid="ignore"):
            if -largest <= float(part.min()) and float(part.max()) <= largest:  # false for NaN
                continue
        row, column = np.argwhere(~(np.abs(part) <= largest))[0]
        return first + int(row), int(column)
    return None
