"""Sources that divide rows into many small blocks, as files and compute clusters do, and rows in many groups."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle

import numpy as np
from common import ArraySource, Block, Model

from gaussmix import FAMILIES, Mixture
from gaussmix._src.numerics.arrays import Array, Rows
from gaussmix.extend import Source

SIZES = 61, 7, 30  # numbers of rows in consecutive blocks, repeated; scaled up for thousands of rows


class ManyBlocks(Source):
    """Source of an array in blocks of different sizes.

    Parameters
    ----------
    rows, row_weight : same as in `ArraySource`.
    """

    def __init__(self, rows: Rows, row_weight: Array | None = None) -> None:
        self.n_rows, self.n_features, self.dtype = rows.shape[0], rows.shape[1], rows.dtype
        self._all = Block(0, rows, row_weight)

    def blocks(self) -> Iterator[Block]:
        return cut(self._all)


def cut(block: Block) -> Iterator[Block]:
    """Yield consecutive parts of a block: at least two parts if the block has two or more rows."""
    sizes, times, first = cycle(SIZES), 1 + block.n_rows // 3000, 0
    while first < block.n_rows:
        size = min(next(sizes) * times, max(1, block.n_rows - 1))
        yield block.row_range(first, first + size)
        first += size


def separated_clusters(
    structure: str, rng: np.random.Generator, n_rows: int, distance: float = 30.0, n_features: int = 6
) -> tuple[Array, Model]:
    """Draw rows of 60 clusters, about `distance` apart, and return the rows with a mixture near the clusters."""
    family, centres = FAMILIES[structure], distance * rng.normal(size=(60, n_features))
    rows = centres[rng.integers(60, size=n_rows)] + rng.normal(size=(n_rows, n_features))
    covariances = np.broadcast_to(np.eye(n_features) if family.kind.is_matrix else 1.0, family.shape(60, n_features))
    means = centres + 0.3 * rng.normal(size=centres.shape)
    return rows, Mixture(np.full(60, 1 / 60), means, covariances, family)._model


def labelled(source: Source, labels, component_label) -> Source:
    """Return the source with labels, where a label ≥ 0 allows only the components with this label."""
    is_allowed = np.unique(component_label)[:, None] == component_label
    return source.with_log_prior(np.where(is_allowed, 0.0, -np.inf), np.asarray(labels, dtype=np.int32))


def cut_all_arrays() -> None:
    """Make every array source yield many blocks, for the rest of the process."""

    def blocks(self: ArraySource) -> Iterator[Block]:
        return (part for block in self._blocks for part in cut(block))

    ArraySource.blocks = blocks
    ArraySource.whole = None
