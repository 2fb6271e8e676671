"""Read the labels of rows from a column of X, without an array of all labels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.interfaces.block import Block
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.sources.base import Source

MAX_LABELS = 2**16  # maximum number of distinct labels


def values_in(source: Source, column: int) -> Array:
    """Return the distinct values of a column in increasing order, up to `MAX_LABELS` + 1 values. NaN means missing."""
    return source.sum_of(partial(_values, column=column)).values


def labelled(source: Source, column: int, values: Array, indices: NDArray[np.int32]) -> Source:
    """Return a source without the column of labels; the indices of the labels are in `Block.assignment` instead.

    `values` (n_values,) must be increasing. A row with the value `values[i]` gets `indices[i]`, and a row with any
    other value gets −1.
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
    """Return the block without the column of labels, and with the labels' indices as its assignment."""
    rows, last = block.rows, block.rows.shape[1] - 1
    cells = rows[:, column]
    labels = np.full(block.n_rows, -1, np.int32)
    if len(values):
        at = np.minimum(np.searchsorted(values, cells), len(values) - 1)  # NaN and other values don't equal values[at]
        labels[:] = np.where(values[at] == cells, indices[at], -1)
    at_an_end = {0: slice(1, None), last: slice(0, last)}  # slices remove the first or the last column without a copy
    retained = rows[:, at_an_end[column]] if column in at_an_end else np.delete(rows, column, axis=1)
    return [replace(block, rows=retained, assignment=labels)]
