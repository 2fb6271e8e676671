"""The partitions of a Dask array or frame, computed in this process."""

from __future__ import annotations

from errno import EIO

import dask
import numpy as np

from gaussmix.numerics.arrays import Array, Rows
from gaussmix.sources.dask.table import Table
from gaussmix.sources.files.base import Cursor, Reader
from gaussmix.waist.block import Block


class PartReader(Reader):
    """The partitions of a table, computed in this process one after the other."""

    def __init__(self, table: Table) -> None:
        self.name, self.names, self.dtype, self.weights = table.name, table.names, table.dtype, table.weights
        self._table, self.has_names, self.may_miss = table, table.has_names, table.may_miss
        self.sizes = table.sizes or dask.compute(*[dask.delayed(_size)(part) for part in table.parts])
        self.n_rows = sum(self.sizes)

    def cursor(self) -> Cursor:
        return _PartCursor(self._table)

    def place(self, row: int) -> str:
        return self._table.place(row)


class _PartCursor(Cursor):
    def __init__(self, table: Table) -> None:
        self._name, self._parts = table.name, iter(table.parts)
        self._now, self._row = Block(0, np.empty((0, 0))), 0

    def fill(self, rows: Rows, row_weight: Array | None) -> None:
        first = 0
        while first < len(rows):
            if self._row == self._now.n_rows:
                part = next(self._parts, None)
                if part is None:
                    raise OSError(EIO, "has fewer rows than before", self._name)
                (self._now,), self._row = dask.compute(part), 0
            count = min(len(rows) - first, self._now.n_rows - self._row)
            taken = self._now.between(self._row, self._row + count)
            rows[first : first + count] = taken.rows
            if row_weight is not None:
                row_weight[first : first + count] = taken.row_weight
            first, self._row = first + count, self._row + count

    def close(self) -> None:
        """Nothing is open."""


def _size(block: Block) -> int:
    return block.n_rows
