"""Rows as users give them: what no fit can use, in one place for arrays, files and groups, and the extreme rows."""

from __future__ import annotations

from collections.abc import Iterator
from math import frexp
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.numerics.arrays import PIECE_VALUES, Array, Indices, Rows, pieces

AnyArray = TypeVar("AnyArray", bound=NDArray[Any])

ROWS_PER_CALL = 65_520  # rows for one call, whose mask stays in the cache
COLUMNS_PER_CALL = 1024  # numbers of rows that are compared together
MAX_DOUBLE = float(np.finfo(np.float64).max)
MAX_TOTAL_WEIGHT = 1e150  # of all rows together
MIN_SPREAD = 1e-152  # a thousandth of its square still has all its digits
MAX_MERGE_FRACTION = 1e-8  # of a column's range: rounding integers by less leaves log densities good to about 1e-7
MIN_MERGED_INTEGER = 2.0**53  # integers of this size may merge in a double


def patterns(missing: NDArray[np.bool_]) -> Iterator[tuple[Indices, Indices]]:
    """The places of rows that lack the same features, with the features that they have; complete rows come first."""
    is_complete = ~missing.any(axis=1)
    if is_complete.any():
        yield np.flatnonzero(is_complete), np.arange(missing.shape[1])
    others = np.flatnonzero(~is_complete)
    packed, pattern = np.unique(np.packbits(missing[others], axis=1), axis=0, return_inverse=True)
    order = others[np.argsort(pattern.ravel(), kind="stable")]
    for indices in np.split(order, np.cumsum(np.bincount(pattern.ravel(), minlength=len(packed)))[:-1]):
        if indices.size:
            yield indices, np.flatnonzero(~missing[indices[0]])


def in_whole_steps(array: AnyArray) -> AnyArray:
    """The array, or a copy if its strides are not whole elements, as those of a field of packed records."""
    if any(stride % array.itemsize for stride in array.strides):
        return array.copy()
    return array


def largest_of(n_rows: int) -> float:
    """The largest number that so many rows may hold: squared offsets add up without overflow."""
    return float((MAX_DOUBLE / (4 * n_rows)) ** 0.5)


class BadCell(NamedTuple):
    """A number that can't be used: where it is, what it is, and what to do."""

    row: int
    column: int
    value: float

    @property
    def name(self) -> str:
        """ "NaN", "infinity" or the number."""
        return f"{self.value:.3g}" if np.isfinite(self.value) else "NaN" if np.isnan(self.value) else "infinity"

    @property
    def sentence(self) -> str:
        """What is wrong with the cell, and the advice, as sentences."""
        if np.isfinite(self.value):
            return f"{self.name} is too large. {self.advice}"
        return f"the value is {'missing (NaN or null)' if np.isnan(self.value) else 'infinite'}. {self.advice}"

    @property
    def advice(self) -> str:
        if np.isfinite(self.value):
            return "Its square overflows: rescale the column."
        return "Remove or fill such rows first."


def bad_cell(rows: Rows, largest: float = MAX_DOUBLE, *, may_miss: bool = False) -> BadCell | None:
    """The first number that is NaN or larger than `largest` in size; None if there is none.

    NaN passes where values `may_miss`. Works on `ROWS_PER_CALL` rows at a time, so that it makes no mask of all rows.
    """
    if rows.dtype.kind == "f" and rows.dtype != np.float64:
        largest = min(largest, float(np.finfo(rows.dtype).max))  # else float32 would round it to inf, and let inf pass
    for first in range(0, len(rows), ROWS_PER_CALL):
        part = rows[first : first + ROWS_PER_CALL]
        if -largest <= float(part.min()) and float(part.max()) <= largest:  # false for NaN
            continue
        with np.errstate(invalid="ignore"):
            cells = np.argwhere(np.abs(part) > largest if may_miss else ~(np.abs(part) <= largest))
        if len(cells):
            row, column = cells[0].tolist()
            return BadCell(first + row, column, float(part[row, column]))
    return None


def merging_error(column: str, low: float, high: float, difference: float) -> ValueError:
    """The error for integers between two numbers that differ by at most so much, and merge in a double."""
    return ValueError(
        f"{column} holds integers of size {max(abs(low), abs(high)):.3g} that differ by at most {difference:.0f}: a "
        "double can't tell such integers apart. Leave the column out if it only names rows, or subtract a constant "
        "from it first."
    )


def steps_of(low: float, high: float) -> float:
    """The distance of doubles of the size of integers between these; 0 where rounding them to doubles does no harm."""
    largest = float(max(abs(low), abs(high)))
    if not largest >= MIN_MERGED_INTEGER:
        return 0.0
    step = float(np.spacing(largest))
    return step if step > MAX_MERGE_FRACTION * (high - low) else 0.0


def extreme_rows(rows: Rows, row_weight: Array | None = None) -> NDArray[np.intp]:
    """The rows with the smallest and the largest number of each feature, (2, n_features); the first of equals.

    With weights (n_rows,), only rows of positive weight count. NaN counts only where a feature has nothing else.
    Uses argmin, because along the first axis NumPy's argmin is 2 to 10 times as fast as its min.
    """
    if row_weight is None and rows.size <= PIECE_VALUES:
        return np.array(_extremes(rows))
    low, high = [], []
    for part in pieces(rows.shape):
        values = np.arange(part.start, min(part.stop, len(rows)))
        if row_weight is not None:
            values = values[row_weight[part] > 0]
        if len(values):
            low_indices, high_indices = _extremes(rows[part] if row_weight is None else rows[values])
            low.append(values[low_indices])
            high.append(values[high_indices])
    if len(low) == 1:
        return np.array([low[0], high[0]])
    lowest, highest, columns = np.array(low), np.array(high), np.arange(rows.shape[1])
    first, last = _extremes(rows[lowest, columns])[0], _extremes(rows[highest, columns])[1]
    return np.array([lowest[first, columns], highest[last, columns]])


def extremes(rows: Rows, row_weight: Array | None = None) -> Rows:
    """The smallest and the largest number of each feature, (2, n_features), in the rows of `extreme_rows`.

    A zero has no sign: which of −0 and 0 NumPy finds depends on the processor.
    """
    if row_weight is None and rows.flags.c_contiguous and rows.size > 16 * COLUMNS_PER_CALL:
        low, high = np.concatenate([_ends_of(rows[part]) for part in pieces(rows.shape)], axis=1)
        if not np.isnan(low.min()):
            columns = np.arange(rows.shape[1])
            return np.array([low[low.argmin(axis=0), columns], high[high.argmax(axis=0), columns]]) + 0.0
    return rows[extreme_rows(rows, row_weight), np.arange(rows.shape[1])] + 0.0


def _ends_of(rows: Rows) -> Rows:
    """Rows with the same extremes, (2, n, n_features): NumPy compares long rows quickest, so several make one."""
    n_rows, n_features = rows.shape
    together = min(max(1, COLUMNS_PER_CALL // n_features), n_rows)
    n_wide = n_rows // together * together
    wide, rest = rows[:n_wide].reshape(-1, together * n_features), rows[n_wide:]
    ends = wide.min(axis=0), wide.max(axis=0)
    return np.array([np.concatenate((end.reshape(-1, n_features), rest)) for end in ends])


def _extremes(values: Rows) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The places of the smallest and the largest number of each column."""
    if not np.isnan(values.min()):
        return values.argmin(axis=0), values.argmax(axis=0)
    missing = np.isnan(values)
    return np.where(missing, np.inf, values).argmin(axis=0), np.where(missing, -np.inf, values).argmax(axis=0)


MIN_EXPONENT = -1021  # of the unit of weights, so that it has a reciprocal


def unit_of_weights(largest: float) -> float:
    """The power of 2 that brings weights below 1, where the largest is this."""
    return 2.0 ** max(frexp(largest)[1], MIN_EXPONENT)
