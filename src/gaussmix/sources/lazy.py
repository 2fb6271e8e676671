"""Rows of a table that nobody reads before the first pass."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from gaussmix.sources.base import F, Number, S, Source, T, Task
from gaussmix.waist.block import Block


class LazyTable(Protocol):
    """What is known of a table before it is read."""

    @property
    def names(self) -> Sequence[str]:
        """The columns that are features."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the features, float32 or float64."""

    @property
    def has_names(self) -> bool:
        """Whether the columns have names of their own."""

    @property
    def may_miss(self) -> bool:
        """Whether cells may be missing."""

    def per_row(self, task: Callable[[Block], NDArray[Any]], dtype: Any, shape: tuple[int, ...]) -> Any:
        """What a task returns for rows, in the kind of thing that the table is; nothing is computed yet."""


class LazySource(Source):
    """The rows of a table. Nothing is computed before the first pass.

    Parameters
    ----------
    table : what is known of the rows.
    """

    def __init__(self, table: LazyTable) -> None:
        self.n_features, self.dtype = len(table.names), table.dtype
        self.feature_names = tuple(table.names) if table.has_names else None
        self._table, self.may_miss = table, table.may_miss

    @abstractmethod
    def _read(self) -> Source:
        """The rows, where passes find them."""

    @cached_property
    def _rows(self) -> Source:
        return self._read()

    @cached_property
    def n_rows(self) -> int:  # type: ignore[override]
        return self._rows.n_rows

    def blocks(self) -> Iterable[Block]:
        return self._rows.blocks()

    @property
    def whole(self) -> Block | None:
        return self._rows.whole

    def map_merge(self, task: Task[S]) -> S:
        return self._rows.map_merge(task)

    def map_rows(self, task: Callable[[Block], T]) -> Iterator[T]:
        return self._rows.map_rows(task)

    def of_all(self, kind: type[F]) -> F:
        return self._rows.of_all(kind)

    def sample(self, n_rows: int) -> Block:
        return self._rows.sample(n_rows)

    def changed(self, change: Callable[[Block], Iterable[Block]], n_rows: int) -> Source:
        return self._rows.changed(change, n_rows)

    def fresh(self) -> Self:
        twin = super().fresh()
        twin._rows = self._rows.fresh()
        return twin

    def per_row(self, task: Callable[[Block], NDArray[Number]], dtype: Any, shape: tuple[int, ...] = ()) -> Any:
        return self._table.per_row(task, dtype, shape)
