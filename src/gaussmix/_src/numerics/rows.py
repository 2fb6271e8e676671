"""Checks of arrays, files and groups for values that no fit can use, and the extreme values of columns."""

from __future__ import annotations

from collections.abc import Iterator
from math import frexp
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.numerics.arrays import PIECE_VALUES, Array, Indices, Rows, pieces

AnyArray = TypeVar("AnyArray", bound=NDArray[Any])

ROWS_PER_CALL = 65_520  # number of rows per NumPy call, for which a mask of all values fits in the cache
COLUMNS_PER_CALL = 1024  # short rows are joined to rows of about this many columns, which NumPy compares faster
MAX_DOUBLE = float(np.finfo(np.float64).max)
MAX_TOTAL_WEIGHT = 1e150  # largest total weight of all rows
MIN_SPREAD = 1e-152  # smallest value for which value² / 1000 is still a normal float64
MAX_MERGE_FRACTION = 1e-8  # if rounding is below this fraction of a column's range, log densities change by about 1e-7
MIN_MERGED_INTEGER = 2.0**53  # integers of at least this size may become the same float64


def patterns(missing: NDArray[np.bool_]) -> Iterator[tuple[Indices, Indices]]:
    """Yield, for each set of missing features, the indices of its rows and the observed features; complete first."""
    packed = np.packbits(missing, axis=1)
    strings = np.ascontiguousarray(packed).view(f"S{packed.shape[1]}").ravel()  # np.unique sorts rows of bits slowly
    _, pattern, counts = np.unique(strings, return_inverse=True, return_counts=True)
    for indices in np.split(np.argsort(pattern, kind="stable"), np.cumsum(counts))[:-1]:
        yield indices, np.flatnonzero(~missing[indices[0]])


def in_whole_steps(array: AnyArray) -> AnyArray:
    """Return the array, or a copy if the strides are not multiples of the item size, as in packed records."""
    return array.copy() if any(stride % array.itemsize for stride in array.strides) else array


def largest_of(n_rows: int) -> float:
    """Return the largest permitted absolute value: the sum of `n_rows` squared differences must not overflow."""
    return float((MAX_DOUBLE / (4 * n_rows)) ** 0.5)


class BadCell(NamedTuple):
    """An invalid value of the data, with its row and column."""

    row: int
    column: int
    value: float

    @property
    def name(self) -> str:
        """Return the invalid value as text: "NaN", "infinity" or the number."""
        return f"{self.value:.3g}" if np.isfinite(self.value) else "NaN" if np.isnan(self.value) else "infinity"

    @property
    def sentence(self) -> str:
        """Return the sentences of an error: what is wrong with the value, and what the user can do."""
        if np.isfinite(self.value):
            return f"{self.name} is too large. {self.advice}"
        if np.isnan(self.value):
            advice = f"{self.advice[:-1]}, or open the table with missing=True if the estimator allows missing values."
            return f"the value is missing (NaN or null). {advice}"
        return f"the value is infinite. {self.advice}"

    @property
    def advice(self) -> str:
        if np.isfinite(self.value):
            return "Its square overflows: rescale the column."
        return "Remove or fill such rows first."


def bad_cell(rows: Rows, largest: float = MAX_DOUBLE, *, may_miss: bool = False) -> BadCell | None:
    """Return the first value that is NaN or whose absolute value exceeds `largest`; None if all values are valid.

    NaN is accepted if `may_miss` is True. To save memory, `ROWS_PER_CALL` rows are checked at a time.
    """
    if rows.dtype.kind == "f" and rows.dtype != np.float64:
        largest = min(largest, float(np.finfo(rows.dtype).max))  # float32 would round a larger limit to inf
    for first in range(0, len(rows), ROWS_PER_CALL):
        part = rows[first : first + ROWS_PER_CALL]
        if -largest <= float(part.min()) and float(part.max()) <= largest:  # never true if a value is NaN
            continue
        with np.errstate(invalid="ignore"):
            cells = np.argwhere(np.abs(part) > largest if may_miss else ~(np.abs(part) <= largest))
        if len(cells):
            row, column = cells[0].tolist()
            return BadCell(first + row, column, float(part[row, column]))
    return None


def merging_error(column: str, low: float, high: float, difference: float) -> ValueError:
    """Return the error about different integers in a column that become equal when they are converted to float64."""
    return ValueError(
        f"{column} contains integers of size {max(abs(low), abs(high)):.3g} that differ by at most {difference:.0f}: a "
        "double can't distinguish such integers. Leave the column out if it only identifies rows, or subtract a "
        "constant from it first."
    )


def merging_step(low: float, high: float) -> float:
    """Return the spacing of float64 values at the larger of |low| and |high|, or 0 if rounding to them is harmless."""
    largest = float(max(abs(low), abs(high)))
    if not largest >= MIN_MERGED_INTEGER:
        return 0.0
    step = float(np.spacing(largest))
    return step if step > MAX_MERGE_FRACTION * (high - low) else 0.0


def extreme_rows(rows: Rows, row_weight: Array | None = None) -> NDArray[np.intp]:
    """Return the indices of the rows with the smallest and the largest value of each feature, (2, n_features).

    If several rows have the same value, the first row is returned. If weights (n_rows,) are given, rows of weight 0 are
    ignored. NaN is ignored unless all values of a feature are NaN. `argmin` is used, because NumPy's `min` is slower.
    """
    if row_weight is None and rows.size <= PIECE_VALUES:
        return np.array(_extremes(rows))
    low, high = [], []
    for part in pieces(rows.shape):
        indices = np.arange(part.start, min(part.stop, len(rows)))
        if row_weight is not None:
            indices = indices[row_weight[part] > 0]
        if len(indices):
            low_of_part, high_of_part = _extremes(rows[part] if row_weight is None else rows[indices])
            low.append(indices[low_of_part])
            high.append(indices[high_of_part])
    lowest, highest, columns = np.array(low), np.array(high), np.arange(rows.shape[1])
    first, last = _extremes(rows[lowest, columns])[0], _extremes(rows[highest, columns])[1]
    return np.array([lowest[first, columns], highest[last, columns]])


def extremes(rows: Rows, row_weight: Array | None = None) -> Rows:
    """Return the smallest and the largest value of each feature, (2, n_features), as `extreme_rows` finds them.

    A result of −0 is replaced by 0, because it depends on the processor whether NumPy returns −0 or 0.
    """
    if row_weight is None and rows.flags.c_contiguous and rows.size > 16 * COLUMNS_PER_CALL:
        low, high = np.concatenate([_ends_of(rows[part]) for part in pieces(rows.shape)], axis=1)
        if not np.isnan(low.min()):
            columns = np.arange(rows.shape[1])
            return np.array([low[low.argmin(axis=0), columns], high[high.argmax(axis=0), columns]]) + 0.0
    return rows[extreme_rows(rows, row_weight), np.arange(rows.shape[1])] + 0.0


def _ends_of(rows: Rows) -> Rows:
    """Reduce rows to two smaller arrays, (2, n, n_features), with the same smallest and the same largest values."""
    n_rows, n_features = rows.shape
    together = min(max(1, COLUMNS_PER_CALL // n_features), n_rows)
    n_wide = n_rows // together * together
    wide, rest = rows[:n_wide].reshape(-1, together * n_features), rows[n_wide:]
    ends = wide.min(axis=0), wide.max(axis=0)
    return np.array([np.concatenate((end.reshape(-1, n_features), rest)) for end in ends])


def _extremes(values: Rows) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the indices of the smallest and the largest value of each column."""
    if not np.isnan(values.min()):
        return values.argmin(axis=0), values.argmax(axis=0)
    missing = np.isnan(values)
    return np.where(missing, np.inf, values).argmin(axis=0), np.where(missing, -np.inf, values).argmax(axis=0)


MIN_EXPONENT = -1021  # minimum exponent of the scale of weights, so that the reciprocal of the scale does not overflow


def unit_of_weights(largest: float) -> float:
    """Return a power of 2 above the largest weight, so that all weights divided by this power are below 1."""
    return 2.0 ** max(frexp(largest)[1], MIN_EXPONENT)
