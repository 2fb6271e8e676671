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

MOST = 2**16  # different labels


def values_in(source: Source, place: int) -> Array:
    """The different values of a column, rising, NaN where one is missing; the first `MOST` + 1 if there are more."""
    return source.sum_of(partial(_values, place=place)).values


def labelled(source: Source, place: int, values: Array, numbers: NDArray[np.int32]) -> Source:
    """The rows without a column, in `Block.given` the number of its value; −1 for other values than these, which rise.

    `numbers` is (n_values,).
    """
    kept = [each for each in range(source.n_features) if each != place]
    change = partial(_labelled, place=place, values=values, numbers=numbers)
    twin = source.changed(change, source.n_rows, kept)
    names = source.feature_names
    twin.feature_names = None if names is None else tuple(names[each] for each in kept)
    twin.integers = [at for at, each in enumerate(kept) if each in source.integers]
    return twin


@dataclass(frozen=True, eq=False)
class _Values:
    values: Array

    def __add__(self, other: _Values) -> _Values:
        return _Values(np.unique(np.concatenate([self.values, other.values]))[: MOST + 1])


def _values(leaf: Block, place: int) -> _Values:
    return _Values(np.unique(leaf.rows[:, place].astype(np.float64))[: MOST + 1])


def _labelled(block: Block, place: int, values: Array, numbers: NDArray[np.int32]) -> Iterable[Block]:
    rows, last = block.rows, block.rows.shape[1] - 1
    cells = rows[:, place]
    given = np.full(block.n_rows, -1, np.int32)
    if len(values):
        found = np.minimum(np.searchsorted(values, cells), len(values) - 1)
        given[:] = np.where(values[found] == cells, numbers[found], -1)
    at_an_end = {0: slice(1, None), last: slice(0, last)}  # then what is left need not be copied
    kept = rows[:, at_an_end[place]] if place in at_an_end else np.delete(rows, place, axis=1)
    return [replace(block, rows=kept, given=given)]
