"""Blocks of consecutive rows. Sources yield the data in blocks, and engines process one block at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.interfaces.leaves import LEAF_ROWS, TILE_ROWS, S, Tree, count_leaves
from gaussmix._src.numerics.arrays import Array, Indices, Rows


@dataclass(frozen=True, eq=False)
class Block:
    """Consecutive rows of data with row weights and with prior information about the component of each row.

    Parameters
    ----------
    first_row : index of the block's first row in the data set.
    rows : values of the rows, (n_rows, n_features), float32 or float64 in data units, with any strides. NaN marks a
        missing value. Code that receives a block must not change this array.
    row_weight : non-negative frequency weights of the rows, (n_rows,); None if all weights are 1.
    assignment : given responsibilities (n_rows, n_components), or given labels (n_rows,) int32. Engines read
        `assignment` only under `AssignmentRule.ASSIGNMENT`. The array of labels may also serve as `prior_indices`.
    log_prior : table of log prior probabilities of the components, (n_priors, n_components), in nats; None without
        priors. Engines add a row of `log_prior` to log p(x, k) of each row x. Each row of the table has the maximum 0;
        −inf excludes a component. If there is a noise component, the last column is its column.
    prior_indices : for each row of data, the index of its row in `log_prior`, or −1 if the row has no prior, (n_rows,)
        int32. If `prior_indices` is None, `log_prior` has one row for each row of data.
    error : covariance matrices of the rows' measurement errors, (n_rows, n_features, n_features), or, if features have
        independent errors, variances (n_rows, n_features), in data units²; None without measurement errors.
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
        """Return whether the block contains a missing value."""
        return bool(self.n_rows) and bool(np.isnan(self.rows.min()))  # the minimum is NaN if any value is NaN

    @property
    def are_empty(self) -> NDArray[np.bool_]:
        """Return whether each row has no observed value, (n_rows,)."""
        return np.asarray(np.isnan(self.rows).all(axis=1))

    @property
    def row_slice(self) -> slice:
        """Return the slice that selects the rows of this block in an array of all rows."""
        return slice(self.first_row, self.first_row + self.n_rows)

    @property
    def weight(self) -> Array:
        """Return the row weights as an array (n_rows,), even if all weights are 1."""
        return np.ones(self.n_rows) if self.row_weight is None else self.row_weight

    @property
    def total_weight(self) -> float:
        """Return the sum of the row weights, or the number of rows if there are no weights."""
        if self.row_weight is None:
            return float(self.n_rows)
        return self.sum_of(lambda leaf: float(leaf.weight.sum()))

    @property
    def n_leaves(self) -> int:
        """Count the leaves (65,520 rows each) of the block, which must begin at the first row of a leaf."""
        return count_leaves(self.n_rows)

    def row_range(self, first: int, last: int) -> Block:
        """Return a view of this block with rows `first` to `last` − 1."""
        return self._replace(self.first_row + first, lambda name: getattr(self, name)[first:last])

    def split(self, n_rows: int = LEAF_ROWS) -> Iterator[Block]:
        """Yield views of this block with at most `n_rows` rows each; for an empty block, yield one empty block."""
        for start in range(0, max(self.n_rows, 1), n_rows):
            yield self if self.n_rows <= n_rows else self.row_range(start, start + n_rows)

    def split_by_values(self, n_per_row: int, max_values: int) -> Iterator[Block]:
        """Yield views of whole tiles with at most `max_values` values at `n_per_row` values a row, or of one tile."""
        return self.split(max(1, max_values // (TILE_ROWS * n_per_row)) * TILE_ROWS)

    def sum_of(self, of_part: Callable[[Block], S], n_rows: int = LEAF_ROWS) -> S:
        """Call `of_part` with each part of `n_rows` rows, by default each leaf, and add the results in a `Tree`."""
        tree = Tree[S]()
        for part in self.split(n_rows):
            tree.add(of_part(part))
        return tree.total

    def take(self, indices: Indices, first_row: int) -> Block:
        """Copy the rows at `indices` (n_indices,) to a new block, whose first row gets the index `first_row`."""
        return self._replace(first_row, lambda name: np.take(getattr(self, name), indices, axis=0))

    def _replace(self, first_row: int, values: Callable[[str], Any]) -> Block:
        """Return a copy of the block in which `values(name)` replaces each array that has one entry per row."""
        prior = "log_prior" if self.prior_indices is None else "prior_indices"
        names = "rows", "row_weight", "assignment", "error", prior
        result = {name: values(name) for name in names if getattr(self, name) is not None}
        return replace(self, first_row=first_row, **result)

    def on_host(self) -> Block:
        """Return this block with NumPy arrays, which are copied if they are on a device (GPU)."""
        host = self._replace(self.first_row, lambda name: np.asarray(getattr(self, name)))
        return host if host.row_weight is None else replace(host, row_weight=host.row_weight.astype(np.float64))

    def row_log_prior(self, n_columns: int) -> Array | None:
        """Return the log prior of each row, (n_rows, n_columns), with 0 in missing columns; None without a prior."""
        table = self.log_prior_table(n_columns)
        if table is None:
            return None
        return table[:-1] if self.prior_indices is None else table[np.asarray(self.prior_indices)]

    def log_prior_table(self, n_columns: int) -> Array | None:
        """Return `log_prior` with zeros in missing columns, and with an additional last row of zeros for index −1."""
        if self.log_prior is None:
            return None
        table = np.zeros((len(self.log_prior) + 1, n_columns))
        table[:-1, : self.log_prior.shape[1]] = self.log_prior[:, :n_columns]
        return table

    @classmethod
    def concatenate(cls, blocks: Iterable[Block]) -> Block:
        """Return one block that joins the arrays of consecutive blocks. A single block is returned unchanged."""
        first, *others = blocks
        if not others:
            return first
        return first._replace(
            first.first_row, lambda name: np.concatenate([getattr(block, name) for block in (first, *others)])
        )


@dataclass(eq=False)
class BlockState:
    """State that a source stores with a block of rows between passes. If a state is lost, the engine makes a new state.

    Parameters
    ----------
    n_components : number of components of the mixture.
    affects_results : whether losing the state changes results, instead of only costing time.
    """

    n_components: int = 0
    affects_results: ClassVar[bool] = False

    @property
    def n_bytes(self) -> int:
        """Return an estimate of the state's memory in bytes. A source may drop the state to free this memory."""
        return 0


@dataclass(frozen=True)
class RowStatistics:
    """Number and weights of all rows, computed in one pass over the data.

    Parameters
    ----------
    n_rows : number of rows.
    total_weight : sum of the row weights; the number of rows if the rows have no weights.
    n_positive : number of rows with positive weight.
    largest_weight : largest row weight; None if the rows have no weights.
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
        """Return the statistics after multiplication of all row weights by `factor`, a power of 2."""
        largest = None if self.largest_weight is None else self.largest_weight * factor
        return replace(self, total_weight=self.total_weight * factor, largest_weight=largest)


def nodes(blocks: Iterable[Block]) -> Iterator[Block]:
    """Yield the rows of consecutive blocks, beginning with row 0, in new blocks that each fill a node of `leaves.Tree`.

    Rows are copied only if an input block ends inside a leaf (65,520 rows).
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
    """Yield the rows of consecutive blocks in new blocks that begin and end at boundaries of leaves (65,520 rows)."""
    pending: list[Block] = []  # input blocks that together contain the first rows of a leaf
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
