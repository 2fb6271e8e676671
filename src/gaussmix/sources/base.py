"""Sources say where rows live: they cut rows into blocks, map a task over them and merge. They never know what."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Protocol

import numpy as np

from gaussmix.waist.block import Block
from gaussmix.waist.moments import Partial


class Task(Protocol):
    """What is to be done with each block; picklable, so that it can go where the rows are."""

    @property
    def key(self) -> Hashable:
        """Tasks of equal key share what they keep beside a block."""

    def open(self, block: Block) -> Any:
        """Make what may be kept beside a block between passes."""

    def call(self, block: Block, state: Any) -> Partial:
        """Do the work on one block."""


class Source(Protocol):
    """Rows somewhere, of known width.

    Parameters
    ----------
    n_features : number of columns.
    n_rows : number of rows.
    dtype : float32 or float64.
    """

    @property
    def n_features(self) -> int: ...

    @property
    def n_rows(self) -> int: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def map_merge(self, task: Task) -> Partial:
        """Run the task on every block, and merge the results in the order of the rows."""

    def sample(self, n_rows: int) -> Block:
        """All rows where there are at most `n_rows`, else about that many chosen by a hash of the row number.

        The same rows for any partition into blocks. A row is chosen with probability p = min(1, weight / fair),
        fair = total weight / `n_rows`, and stands for weight / p: heavy rows are always there, rows of weight 0 never.
        The first rows with the smallest and the largest number of each feature are always there too, so that no start
        overlooks an outlier; they count as if they had been drawn.
        """
