"""A block: consecutive rows, as a source yields them; all that an engine sees of the data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gaussmix.numerics.arrays import Array, Places, Rows
from gaussmix.numerics.pieces import taken

BLOCK_ROWS = 65_520  # rows in the blocks that `cut` makes: 455 of the core's tiles of 144 rows


@dataclass(frozen=True, eq=False)
class Block:
    """Consecutive rows and what is known of each.

    Parameters
    ----------
    first_row : number of the first row in the whole data.
    rows : (n_rows, n_features), float32 or float64 in data units, any strides; never written to.
    row_weight : (n_rows,) non-negative frequency weights; 1 when absent.
    given : responsibilities (n_rows, n_components) or labels (n_rows,) int32, read by `Rule.GIVEN` only.
    log_prior : (n_components,), what is known of the components of all these rows, added to log p(x, k): 0 where a
        component is allowed, −inf where not; 0 when absent. A source puts rows with other knowledge in other blocks.
    """

    first_row: int
    rows: Rows
    row_weight: Array | None = None
    given: Array | NDArray[np.int32] | None = None
    log_prior: Array | None = None

    @property
    def n_rows(self) -> int:
        return int(self.rows.shape[0])

    @property
    def places(self) -> slice:
        """Where its rows are in arrays of all rows."""
        return slice(self.first_row, self.first_row + self.n_rows)

    @property
    def total_weight(self) -> float:
        """Sum of the row weights, the number of rows where there are none."""
        return float(self.n_rows) if self.row_weight is None else float(self.row_weight.sum())

    def cut(self, n_rows: int = BLOCK_ROWS) -> Iterator[Block]:
        """Cut into blocks of at most `n_rows` rows, views of this one."""
        for start in range(0, self.n_rows, n_rows):
            part = slice(start, start + n_rows)
            yield replace(
                self,
                first_row=self.first_row + start,
                rows=self.rows[part],
                row_weight=None if self.row_weight is None else self.row_weight[part],
                given=None if self.given is None else self.given[part],
            )

    def taken(self, places: Places, first_row: int) -> Block:
        """Copy the rows at some places (n_places,) of this block to a block that begins with row `first_row`."""
        return replace(
            self,
            first_row=first_row,
            rows=taken(self.rows, places),
            row_weight=None if self.row_weight is None else self.row_weight[places],
            given=None if self.given is None else self.given[places],
        )

    @classmethod
    def joined(cls, blocks: Iterable[Block]) -> Block:
        """Join consecutive blocks, their rows and weights; a single block is returned as it is."""
        first, *others = blocks
        if not others:
            return first
        weights = [block.row_weight for block in (first, *others) if block.row_weight is not None]
        rows = np.concatenate([block.rows for block in (first, *others)])
        return cls(first.first_row, rows, np.concatenate(weights) if weights else None)
