"""A block: consecutive rows, as a source yields them; all that an engine sees of the data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gaussmix.numerics.arrays import Array, Rows

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
        component is allowed, −inf where not; 0 when absent. Rows of which unlike things are known have a row each,
        (n_rows, n_components); no engine takes a step on them, so their source cuts them apart.
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
                log_prior=self.log_prior
                if self.log_prior is None or self.log_prior.ndim == 1
                else self.log_prior[part],
            )
