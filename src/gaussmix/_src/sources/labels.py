"""Labels that a column of the rows says, so that no array of all rows is made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.interfaces.block import Block
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.sources.base import Source

MAX_LABELS = 2**16  # different labels


def values_in(source: Source, column: int) -> Array:
    """Return the distinct values of a column, rising, at most `MAX_LABELS` + 1; NaN where one is missing."""
    return source.sum_of(partial(_values, column=column)).values


def labelled(source: Source, column: int, values: Array, indices: NDArray[np.int32]) -> Source:
    """The rows without a column, in `Block.given` the number of its value; −1 for other values than these, which rise.

    `indices` is (n_values,).
    """
    retained = [each for each in range(source.n_features) if each != column]
    change = partial(_labelled, column=column, values=values, indices=indices)
    twin = source.changed(change, source.n_rows, retained)
    names = source.feature_names
    twin.feature_names = None if names is None else tuple(names[each] for each in retained)
    twin.integer_columns = [at for at, each in enumerate(retained) if each in source.integer_columns]
    return twin


@dataclass(frozen=True, eq=False)
class _Values:
    values: Array

    def __add__(self, other: _Values) -> _Values:
        return _Values(np.unique(np.concatenate([self.values, other.values]))[: MAX_LABELS + 1])


def _values(leaf: Block, column: int) -> _Values:
    return _Values(np.unique(leaf.rows[:, column].astype(np.float64))[: MAX_LABELS + 1])


def _labelled(block: Block, column: int, values: Array, indices: NDArray[np.int32]) -> Iterable[Block]:
    rows, last = block.rows, block.rows.shape[1] - 1
    cells = rows[:, column]
    labels = np.full(block.n_rows, -1, np.int32)
    if len(values):
        result = np.minimum(np.searchsorted(values, cells), len(values) - 1)
        labels[:] = np.where(values[result] == cells, indices[result], -1)
    at_an_end = {0: slice(1, None), last: slice(0, last)}  # then what is left need not be copied
    retained = rows[:, at_an_end[column]] if column in at_an_end else np.delete(rows, column, axis=1)
    return [replace(block, rows=retained, assignment=labels)]
