"""Blocks of consecutive rows, which sources yield; an engine sees the data only in blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.interfaces.leaves import LEAF_ROWS, S, Tree, count_leaves
from gaussmix._src.numerics.arrays import Array, Indices, Rows


@dataclass(frozen=True, eq=False)
class Block:
    """Consecutive rows with their weights and with prior information about the component of each row.

    Parameters
    ----------
    first_row : index of the block's first row in the whole data.
    rows : (n_rows, n_features), float32 or float64 in data units, with any strides. Rows are never written to, and NaN
        is a missing value.
    row_weight : (n_rows,) non-negative frequency weights; None if all weights are 1.
    assignment : responsibilities (n_rows, n_components) or labels (n_rows,) int32. Engines read `assignment` only under
        `AssignmentRule.ASSIGNMENT`. A fit may use labels in `assignment` as its `prior_indices`.
    log_prior : (n_priors, n_components), log prior probabilities of the components, added to log p(x, k), nats. In each
        row the largest entry is 0, and −inf excludes a component. If there is a background, its column comes last. None
        without prior information.
    prior_indices : (n_rows,) int32, the index of the row of `log_prior` that applies to each row of data, or −1 for
        none. If `prior_indices` is None, `log_prior` has one row for each row of data.
    error : covariances (n_rows, n_features, n_features) of the measurement errors of the rows, data units², or
        variances (n_rows, n_features) if the errors of the features are independent; None if there are no errors.
    """

    first_row: int
    rows: Rows
    row_weight: Array | None = None
    assignment: Array | NDArray[np.int32] | None = None
    log_prior: Array | None = None
    prior_indices: NDArray[np.int32] | None = None
    error: Array | None = None

    @property
    def n_rows(self) -> int:
        return int(self.rows.shape[0])

    @property
    def has_missing(self) -> bool:
        """Return whether a value is missing."""
        return bool(self.n_rows) and bool(np.isnan(self.rows.min()))

    @property
    def row_slice(self) -> slice:
        """Return the slice that the rows of this block take in arrays of all rows."""
        return slice(self.first_row, self.first_row + self.n_rows)

    @property
    def weight(self) -> Array:
        """Return the row weights, (n_rows,), even if all weights are 1."""
        return np.ones(self.n_rows) if self.row_weight is None else self.row_weight

    @property
    def total_weight(self) -> float:
        """Return the sum of the row weights, or the number of rows if there are no weights."""
        if self.row_weight is None:
            return float(self.n_rows)
        return self.sum_of(lambda leaf: float(leaf.weight.sum()))

    @property
    def n_leaves(self) -> int:
        """Count the leaves that the block has rows of, if the first row of the block begins a leaf."""
        return count_leaves(self.n_rows)

    def row_range(self, first: int, last: int) -> Block:
        """Return rows first … last − 1 of this block as a view."""
        return self._replace(self.first_row + first, lambda name: getattr(self, name)[first:last])

    def split(self, n_rows: int = LEAF_ROWS) -> Iterator[Block]:
        """Yield views of this block with at most `n_rows` rows each. An empty block is yielded once."""
        for start in range(0, max(self.n_rows, 1), n_rows):
            yield self if self.n_rows <= n_rows else self.row_range(start, start + n_rows)

    def sum_of(self, of_leaf: Callable[[Block], S]) -> S:
        """Return the sum of the results of a function on each leaf of the block, added in the order of the tree."""
        tree = Tree[S]()
        for leaf in self.split():
            tree.add(of_leaf(leaf))
        return tree.total

    def take(self, indices: Indices, first_row: int) -> Block:
        """Copy the rows at the given indices (n_indices,) into a block whose first row has index `first_row`."""
        return self._replace(first_row, lambda name: np.take(getattr(self, name), indices, axis=0))

    def _replace(self, first_row: int, values: Callable[[str], Any]) -> Block:
        """Return a block of other rows, with `values(name)` for every array that has one entry for each row."""
        prior = "log_prior" if self.prior_indices is None else "prior_indices"
        names = "rows", "row_weight", "assignment", "error", prior
        result = {name: values(name) for name in names if getattr(self, name) is not None}
        return replace(self, first_row=first_row, **result)

    def on_host(self) -> Block:
        """Return the same block with NumPy arrays, copied if they are on a device."""
        return self._replace(self.first_row, lambda name: np.asarray(getattr(self, name)))

    def row_log_prior(self, n_columns: int) -> Array | None:
        """Return the log prior of each row, (n_rows, n_columns), 0 in absent columns; None without one."""
        if self.log_prior is None:
            return None
        table = np.zeros((len(self.log_prior) + 1, n_columns))  # row of zeros at the end, which index −1 selects
        table[:-1, : self.log_prior.shape[1]] = self.log_prior[:, :n_columns]
        return table[:-1] if self.prior_indices is None else table[self.prior_indices]

    @classmethod
    def concatenate(cls, blocks: Iterable[Block]) -> Block:
        """Join consecutive blocks with all their arrays. A single block is returned unchanged."""
        first, *others = blocks
        if not others:
            return first
        return first._replace(
            first.first_row, lambda name: np.concatenate([getattr(block, name) for block in (first, *others)])
        )


@dataclass(eq=False)
class BlockState:
    """State that a source stores with a block between passes. A lost state is made again.

    Parameters
    ----------
    n_components : number of components, which determines the shape of the sums.
    """

    n_components: int = 0

    @property
    def n_bytes(self) -> int:
        """Estimate the memory that the state takes. A source may drop the state to free this memory."""
        return 0


@dataclass(frozen=True)
class RowStatistics:
    """Number and weights of all rows, as one pass over the data counts them.

    Parameters
    ----------
    n_rows : number of rows.
    total_weight : sum of the row weights; the number of rows if there are no weights.
    n_positive : number of rows of positive weight.
    largest_weight : the largest row weight; None if there are no weights.
    """

    n_rows: int
    total_weight: float
    n_positive: int
    largest_weight: float | None

    @classmethod
    def from_block(cls, block: Block) -> RowStatistics:
        """Compute the statistics of the rows of a block."""
        weight = block.row_weight
        if weight is None:
            return cls(block.n_rows, float(block.n_rows), block.n_rows, None)
        largest = float(weight.max(initial=0.0))
        return cls(block.n_rows, block.total_weight, int(np.count_nonzero(weight)), largest)

    def __add__(self, other: RowStatistics) -> RowStatistics:
        """Return the statistics of the rows of both operands together."""
        largest = [each.largest_weight for each in (self, other) if each.largest_weight is not None]
        return RowStatistics(
            self.n_rows + other.n_rows,
            self.total_weight + other.total_weight,
            self.n_positive + other.n_positive,
            max(largest, default=None),
        )

    def scaled(self, factor: float) -> RowStatistics:
        """Return the statistics of the same rows with their weights multiplied by a power of 2."""
        largest = None if self.largest_weight is None else self.largest_weight * factor
        return replace(self, total_weight=self.total_weight * factor, largest_weight=largest)


def nodes(blocks: Iterable[Block]) -> Iterator[Block]:
    """Yield the rows of consecutive blocks, from row 0 on, in blocks that are nodes of the tree (`leaves.Tree`).

    Rows are copied only if a block ends inside a leaf.
    """
    for block in _aligned(blocks):
        first, end = block.first_row // LEAF_ROWS, block.first_row // LEAF_ROWS + block.n_leaves
        while first < end:
            size = 1 << ((end - first).bit_length() - 1)
            size = min(size, first & -first) if first else size
            start = first * LEAF_ROWS - block.first_row
            yield block if size == block.n_leaves else block.row_range(start, start + size * LEAF_ROWS)
            first += size


def _aligned(blocks: Iterable[Block]) -> Iterator[Block]:
    """Yield the same rows in blocks that begin and end at the boundaries of leaves."""
    pending: list[Block] = []  # blocks at the beginning of an incomplete leaf
    for block in blocks:
        missing = LEAF_ROWS - sum(part.n_rows for part in pending) if pending else 0
        if block.n_rows < missing:
            pending.append(block)
            continue
        if pending:
            yield Block.concatenate([*pending, block.row_range(0, missing)])
        whole = missing + (block.n_rows - missing) // LEAF_ROWS * LEAF_ROWS
        if whole > missing:
            yield block if (missing, whole) == (0, block.n_rows) else block.row_range(missing, whole)
        pending = [block.row_range(whole, block.n_rows)] if whole < block.n_rows else []
    if pending:
        yield Block.concatenate(pending)


Block.__module__ = "gaussmix.extend"  # the module from which users import the class
