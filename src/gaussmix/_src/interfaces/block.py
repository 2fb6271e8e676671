"""A block: consecutive rows, as a source yields them; all that an engine sees of the data."""

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
    """Consecutive rows and what is known of each.

    Parameters
    ----------
    first_row : number of the first row in the whole data.
    rows : (n_rows, n_features), float32 or float64 in data units, any strides; never written to. NaN is a missing cell.
    row_weight : (n_rows,) non-negative frequency weights; 1 when absent.
    assignment : responsibilities (n_rows, n_components) or labels (n_rows,) int32. Engines read them by
        `AssignmentRule.ASSIGNMENT` only. Labels may also be the `prior_indices` of a fit.
    log_prior : (n_priors, n_components), what is known of the components of a row, added to log p(x, k), nats: 0 for
        one at least, and less for others, −inf where a component is not allowed. One more column, the last, is of the
        background where there is one. Nothing is known when absent.
    prior_indices : (n_rows,) int32, which row of `log_prior` belongs to each row, −1 where nothing is known; when
        absent `log_prior` has a row for each.
    error : covariances (n_rows, n_features, n_features) of the measurement errors of the rows, or variances where these
        are independent (n_rows, n_features), data units²; 0 when absent.
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
        """Whether a cell is missing."""
        return bool(self.n_rows) and bool(np.isnan(self.rows.min()))

    @property
    def row_slice(self) -> slice:
        """Where its rows are in arrays of all rows."""
        return slice(self.first_row, self.first_row + self.n_rows)

    @property
    def weight(self) -> Array:
        """The row weights, (n_rows,), even if all are 1."""
        return np.ones(self.n_rows) if self.row_weight is None else self.row_weight

    @property
    def total_weight(self) -> float:
        """Sum of the row weights, the number of rows where there are none."""
        if self.row_weight is None:
            return float(self.n_rows)
        return self.sum_of(lambda leaf: float(leaf.weight.sum()))

    @property
    def n_leaves(self) -> int:
        """How many leaves of the tree it has rows of, if it begins with a leaf."""
        return count_leaves(self.n_rows)

    def row_range(self, first: int, last: int) -> Block:
        """Rows first … last − 1 of this block, a view."""
        return self._replace(self.first_row + first, lambda name: getattr(self, name)[first:last])

    def split(self, n_rows: int = LEAF_ROWS) -> Iterator[Block]:
        """Cut into blocks of at most `n_rows` rows, views of this one; at least one, which may be empty."""
        for start in range(0, max(self.n_rows, 1), n_rows):
            yield self if self.n_rows <= n_rows else self.row_range(start, start + n_rows)

    def sum_of(self, of_leaf: Callable[[Block], S]) -> S:
        """The sum of what a function returns for each leaf of the block, in the order of the tree."""
        tree = Tree[S]()
        for leaf in self.split():
            tree.add(of_leaf(leaf))
        return tree.total

    def take(self, indices: Indices, first_row: int) -> Block:
        """Copy the rows at some indices (n_indices,) of this block to a block that begins with row `first_row`."""
        return self._replace(first_row, lambda name: np.take(getattr(self, name), indices, axis=0))

    def _replace(self, first_row: int, values: Callable[[str], Any]) -> Block:
        """A block of other rows, given what holds for them in place of each array that has an entry for each row."""
        prior = "log_prior" if self.prior_indices is None else "prior_indices"
        names = "rows", "row_weight", "assignment", "error", prior
        result = {name: values(name) for name in names if getattr(self, name) is not None}
        return replace(self, first_row=first_row, **result)

    def on_host(self) -> Block:
        """Return the same block with NumPy arrays, copied if they are on a device."""
        return self._replace(self.first_row, lambda name: np.asarray(getattr(self, name)))

    def row_log_prior(self, n_columns: int) -> Array | None:
        """What is known of each row, (n_rows, n_columns), 0 in a column that `log_prior` lacks; None if nothing is."""
        if self.log_prior is None:
            return None
        table = np.zeros((len(self.log_prior) + 1, n_columns))  # the last row is that of index −1
        table[:-1, : self.log_prior.shape[1]] = self.log_prior[:, :n_columns]
        return table[:-1] if self.prior_indices is None else table[self.prior_indices]

    @classmethod
    def concatenate(cls, blocks: Iterable[Block]) -> Block:
        """Join consecutive blocks and what they say of their rows; a single block is returned as it is."""
        first, *others = blocks
        if not others:
            return first
        return first._replace(
            first.first_row, lambda name: np.concatenate([getattr(block, name) for block in (first, *others)])
        )


@dataclass(eq=False)
class BlockState:
    """What is stored with a block between passes. It may be lost, and is then made again.

    Parameters
    ----------
    n_components : K, for the sums of a step.
    """

    n_components: int = 0

    @property
    def n_bytes(self) -> int:
        """Memory of the state, about; a source may drop the state."""
        return 0


@dataclass(frozen=True)
class RowStatistics:
    """What one pass finds out about all rows.

    Parameters
    ----------
    n_rows : number of rows.
    total_weight : sum of the row weights; the number of rows where there are no weights.
    n_positive : number of rows of positive weight.
    largest_weight : the largest row weight; None where there are no weights.
    """

    n_rows: int
    total_weight: float
    n_positive: int
    largest_weight: float | None

    @classmethod
    def from_block(cls, block: Block) -> RowStatistics:
        """The profile of the rows of a block."""
        weight = block.row_weight
        if weight is None:
            return cls(block.n_rows, float(block.n_rows), block.n_rows, None)
        largest = float(weight.max(initial=0.0))
        return cls(block.n_rows, block.total_weight, int(np.count_nonzero(weight)), largest)

    def __add__(self, other: RowStatistics) -> RowStatistics:
        """The profile of these rows and others."""
        largest = [each.largest_weight for each in (self, other) if each.largest_weight is not None]
        return RowStatistics(
            self.n_rows + other.n_rows,
            self.total_weight + other.total_weight,
            self.n_positive + other.n_positive,
            max(largest, default=None),
        )

    def scaled(self, factor: float) -> RowStatistics:
        """The profile of the same rows with their weights multiplied by a power of 2."""
        largest = None if self.largest_weight is None else self.largest_weight * factor
        return replace(self, total_weight=self.total_weight * factor, largest_weight=largest)


def nodes(blocks: Iterable[Block]) -> Iterator[Block]:
    """The rows of consecutive blocks, which begin with row 0, in blocks that are nodes of the tree (`leaves.Tree`).

    Rows are copied only where a block ends inside a leaf.
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
    """The same rows in blocks that begin and end where leaves do."""
    pending: list[Block] = []  # the beginning of a leaf
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


Block.__module__ = "gaussmix.extend"  # where users import it from
