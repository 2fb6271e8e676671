"""Rows in many small blocks, cut as files and clusters might cut them, and rows of many clusters."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle

import numpy as np
from common import ArraySource, Block, Model

from gaussmix import FAMILIES, Mixture
from gaussmix._src.numerics.arrays import Array, Rows
from gaussmix._src.sources.base import Assignment
from gaussmix.extend import Source

SIZES = 61, 7, 30  # rows in one block after the other, over and over; more where there are thousands of rows


class ManyBlocks(Source):
    """An array in blocks of unlike sizes.

    Parameters
    ----------
    rows, row_weight, given : as for `ArraySource`.
    """

    def __init__(self, rows: Rows, row_weight: Array | None = None, given: Assignment | None = None) -> None:
        self.n_rows, self.n_features, self.dtype = rows.shape[0], rows.shape[1], rows.dtype
        self._all = Block(0, rows, row_weight, given)

    def blocks(self) -> Iterator[Block]:
        return cut(self._all)


def cut(block: Block) -> Iterator[Block]:
    """Consecutive parts of a block: at least two where it has two rows."""
    sizes, times, first = cycle(SIZES), 1 + block.n_rows // 3000, 0
    while first < block.n_rows:
        size = min(next(sizes) * times, max(1, block.n_rows - 1))
        yield block.row_range(first, first + size)
        first += size


def clusters_apart(
    structure: str, rng: np.random.Generator, n_rows: int, distance: float = 30.0
) -> tuple[Array, Model]:
    """Rows of 60 clusters `distance` apart in six dimensions, which are visited in order, and a mixture near them."""
    family, centres = FAMILIES[structure], distance * rng.normal(size=(60, 6))
    rows = centres[rng.integers(60, size=n_rows)] + rng.normal(size=(n_rows, 6))
    covariances = np.broadcast_to(np.eye(6) if family.kind.is_matrix else 1.0, family.shape(60, 6))
    means = centres + 0.3 * rng.normal(size=centres.shape)
    return rows, Mixture(np.full(60, 1 / 60), means, covariances, family)._model


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
