"""Draw samples of rows by hashes of row indices, in the same pass that computes row statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.interfaces.block import Block, RowStatistics
from gaussmix._src.interfaces.leaves import LEAF_ROWS, Tree
from gaussmix._src.numerics.arrays import Array, Indices
from gaussmix._src.numerics.hashing import mix, uniform
from gaussmix._src.numerics.rows import extreme_rows
from gaussmix._src.sources.row_statistics import RowStatistic, compute_statistics

SPARE_ROWS = 2_048  # number of rows stored beyond the expected number: eight standard deviations of a sample's size


def hashes(block: Block) -> Array:
    """Return, for each row of a block, a number between 0 and 1 that depends only on the index of the row."""
    return uniform(mix(mix(np.arange(block.row_slice.start, block.row_slice.stop, dtype=np.uint64))))


def are_drawn(hashed: Array, row_weight: Array | None, drawn_weight: float) -> NDArray[np.bool_]:
    """Return a mask of the drawn rows; a row of weight w is drawn with probability min(1, w / `drawn_weight`)."""
    return hashed * drawn_weight < (1.0 if row_weight is None else row_weight)


def sampled(block: Block, drawn: NDArray[np.bool_], drawn_weight: float) -> Block:
    """Return the drawn rows and the rows with extreme values, with the weights that these rows represent."""
    sample = _with_extremes(Block(0, block.rows, block.row_weight), drawn)[1]
    if sample.row_weight is None:
        return sample
    return replace(sample, row_weight=np.maximum(sample.row_weight, drawn_weight))


def _with_extremes(block: Block, chosen: NDArray[np.bool_]) -> tuple[Indices, Block]:
    """Add the rows with extreme values to the chosen rows; return the indices and a copy of all chosen rows."""
    chosen[extreme_rows(block.rows, block.row_weight)] = True
    indices = chosen.nonzero()[0]
    return indices, block.take(indices, 0)


@dataclass
class Survey:
    """A collector that computes row statistics of consecutive blocks and samples about 65,520 of their rows.

    A row is sampled if the hash of its index, divided by its weight, is less than 1 / w, where w is the weight that a
    sampled row represents. Because w is known only at the end, the rows with the smallest hash / weight are stored.
    """

    n_rows: int  # total number of rows in all blocks
    kinds: Sequence[type[RowStatistic]]  # classes of statistics, including `RowStatistics`
    _findings: Tree[Any] = field(default_factory=Tree)
    _rows: list[tuple[Array, Block]] = field(default_factory=list)  # stored rows, with the hashes of row indices
    _n_rows: int = 0
    _limit: float = np.inf  # rows are stored if their keys (hash / weight) are below this limit

    def add(self, block: Block) -> None:
        """Add the next block, which must be a node of the summation tree, to the statistics and the sample."""
        self._findings.add(block.sum_of(partial(compute_statistics, kinds=self.kinds)), block.n_leaves)
        for part in block.split() if self.n_rows > LEAF_ROWS else ():
            self._keep(part)

    @property
    def findings(self) -> dict[type[RowStatistic], Any]:
        """Return a dictionary from the class of each statistic to its value."""
        return dict(zip(self.kinds, self._findings.total, strict=True))

    def sample(self) -> Block | None:
        """Return the same rows as `Source.sample(LEAF_ROWS)`; None if too few rows were stored."""
        drawn_weight = self.findings[RowStatistics].total_weight / LEAF_ROWS
        if not self._rows or self._limit * drawn_weight < 1 + 1e-9:
            return None
        hashed, block = self._joined()
        return sampled(block, are_drawn(hashed, block.row_weight, drawn_weight), drawn_weight)

    def _keep(self, part: Block) -> None:
        if part.row_weight is not None and not part.row_weight.any():
            return
        self._keep_smallest(hashes(part), part)
        limit = LEAF_ROWS + SPARE_ROWS
        if self._n_rows > 1.5 * limit:
            hashed, block = self._joined()
            self._limit = min(self._limit, float(np.partition(_keys(hashed, block), limit)[limit]))
            self._rows, self._n_rows = [], 0
            self._keep_smallest(hashed, block)

    def _keep_smallest(self, hashed: Array, block: Block) -> None:
        """Store the rows with keys (hash / weight) below the limit, and the rows with extreme values."""
        indices, retained = _with_extremes(block, _keys(hashed, block) < self._limit)
        self._rows.append((hashed[indices], retained))
        self._n_rows += len(indices)

    def _joined(self) -> tuple[Array, Block]:
        hashed, blocks = zip(*self._rows, strict=True)
        return np.concatenate(hashed), Block.concatenate(blocks)


def _keys(hashed: Array, block: Block) -> Array:
    """Return the key of each row: its hash divided by its weight, or infinity for rows of weight 0."""
    with np.errstate(divide="ignore"):
        return hashed if block.row_weight is None else hashed / block.row_weight
