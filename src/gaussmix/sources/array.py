"""Rows in memory: one block, never copied."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix.numerics.arrays import Array, Rows
from gaussmix.numerics.hashing import mix, uniform
from gaussmix.numerics.pieces import taken
from gaussmix.numerics.rows import extreme_rows
from gaussmix.sources.base import Task
from gaussmix.waist.block import BLOCK_ROWS, Block
from gaussmix.waist.moments import Partial


class ArraySource:
    """An array (n_rows, n_features), float32 or float64 with any strides, and its row weights."""

    def __init__(
        self,
        rows: Rows,
        row_weight: Array | None = None,
        given: Array | NDArray[np.int32] | None = None,
        log_prior: Array | None = None,
    ) -> None:
        self.block = Block(0, rows, row_weight, given, log_prior)
        self._opened: tuple[object, Any] | None = None

    @property
    def n_features(self) -> int:
        return int(self.block.rows.shape[1])

    @property
    def n_rows(self) -> int:
        return self.block.n_rows

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.block.rows.dtype

    def map_merge(self, task: Task) -> Partial:
        if self._opened is None or self._opened[0] != task.key:
            self._opened = task.key, task.open(self.block)
        return task.call(self.block, self._opened[1])

    def sample(self, n_rows: int) -> Block:
        if self.n_rows <= n_rows:
            return self.block
        weight, chosen = self.block.row_weight, [extreme_rows(self.block.rows, self.block.row_weight).ravel()]
        fair = self.block.total_weight / n_rows
        for first in range(0, self.n_rows, BLOCK_ROWS):  # a block at a time, for the sake of memory
            numbers = np.arange(first, min(first + BLOCK_ROWS, self.n_rows), dtype=np.uint64)
            part = 1.0 if weight is None else weight[first : first + BLOCK_ROWS]
            chosen.append(numbers[uniform(mix(mix(numbers))) * fair < part].astype(np.intp))
        places = np.unique(np.concatenate(chosen))
        drawn = None if weight is None else np.maximum(weight[places], fair)
        return Block(0, taken(self.block.rows, places), drawn)
