"""A source of many small blocks: rows in memory, cut as files and clusters might cut them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle

import numpy as np

from gaussmix.numerics.arrays import Array, Rows
from gaussmix.sources.array import ArraySource
from gaussmix.sources.base import Given, Source
from gaussmix.waist.block import Block

SIZES = 61, 7, 30  # rows in one block after the other, over and over; more where there are thousands of rows


class ManyBlocks(Source):
    """An array in blocks of unlike sizes.

    Parameters
    ----------
    rows, row_weight, given : as for `ArraySource`.
    """

    def __init__(self, rows: Rows, row_weight: Array | None = None, given: Given | None = None) -> None:
        self.n_rows, self.n_features, self.dtype = rows.shape[0], rows.shape[1], rows.dtype
        self._all = Block(0, rows, row_weight, given)

    def blocks(self) -> Iterator[Block]:
        return cut(self._all)


def cut(block: Block) -> Iterator[Block]:
    """Consecutive parts of a block: at least two where it has two rows."""
    sizes, times, first = cycle(SIZES), 1 + block.n_rows // 3000, 0
    while first < block.n_rows:
        size = min(next(sizes) * times, max(1, block.n_rows - 1))
        yield block.between(first, first + size)
        first += size


def labelled(source: Source, labels, component_label) -> Source:
    """The same rows, where a label ≥ 0 leaves the components that have it."""
    is_allowed = np.unique(component_label)[:, None] == component_label
    return source.with_log_prior(np.where(is_allowed, 0.0, -np.inf), np.asarray(labels, dtype=np.int32))


def cut_all_arrays() -> None:
    """From now on every array in memory is cut into many blocks, whoever reads it."""

    def blocks(self: ArraySource) -> Iterator[Block]:
        return (part for block in self._blocks for part in cut(block))

    ArraySource.blocks = blocks
    ArraySource.whole = None
