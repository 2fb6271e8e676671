"""Implement a source for rows in memory, which are never copied."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from gaussmix._src.interfaces.block import Block
from gaussmix._src.numerics.arrays import Array, Rows
from gaussmix._src.numerics.threads import cached_property
from gaussmix._src.sources.base import Assignment, Change, Source, renumbered


class ArraySource(Source):
    """A source whose rows are an array in memory.

    Parameters
    ----------
    rows : array (n_rows, n_features) of float32 or float64, with any strides.
    row_weight : weights of the rows (n_rows,), at least 0; None if all weights are 1.
    assignment : labels (n_rows,) or responsibilities (n_rows, n_components) of the rows, for
        `AssignmentRule.ASSIGNMENT`.
    error : measurement errors of the values, in the form that the class `Block` describes.
    """

    n_rows: int
    n_features: int
    dtype: np.dtype[Any]
    has_errors: bool
    _blocks: Sequence[Block]

    def __init__(
        self,
        rows: Rows,
        row_weight: Array | None = None,
        assignment: Assignment | None = None,
        error: Array | None = None,
    ) -> None:
        self._blocks, self.has_errors = [Block(0, rows, row_weight, assignment, error=error)], error is not None
        (self.n_rows, self.n_features), self.dtype = rows.shape, rows.dtype

    def blocks(self) -> Sequence[Block]:
        return self._blocks

    @cached_property
    def whole(self) -> Block | None:
        return self._blocks[0] if len(self._blocks) == 1 else super().whole

    @property
    def sampled_checksum(self) -> int:
        """Return a checksum of the number of rows and of at most 256 kB of each block, in rows at equal distances."""
        total = self.n_rows
        for block in self._blocks:
            total = zlib.crc32(block.rows[:: 1 + block.rows.nbytes // 2**18].tobytes(), total)
        return total

    def changed(self, change: Change, n_rows: int, columns: Sequence[int] | None = None) -> ArraySource:
        """Return a source of the changed blocks, which are computed once and stored for all later passes."""
        twin = ArraySource(np.empty((0, self.n_features if columns is None else len(columns)), self.dtype))
        twin._blocks = list(renumbered(changed for block in self._blocks for changed in change(block)))
        twin.n_rows = n_rows
        return twin._copy_flags(self)
