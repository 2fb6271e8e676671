"""Rows of Dask arrays and frames: work goes to the workers of a cluster, or partitions come to this process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Any, Self

from numpy.typing import NDArray

from gaussmix.sources.base import Number, S, Source, T, Task
from gaussmix.sources.dask.cluster import loaded
from gaussmix.sources.dask.parts import PartReader
from gaussmix.sources.dask.table import Table
from gaussmix.sources.files.base import opened
from gaussmix.waist.block import Block, Profile


class DaskSource(Source):
    """The rows of a Dask array or frame. Nothing is computed before the first pass.

    Where there is a `distributed.Client`, the rows stay in the memory of its workers, and passes go there. Elsewhere
    partitions are computed in this process: once, or in every pass where they do not fit into `memory`.

    Parameters
    ----------
    table : what is known of the rows.
    memory : bytes, where there is no cluster.
    """

    def __init__(self, table: Table, memory: int) -> None:
        self.n_features, self.dtype = len(table.names), table.dtype
        self.feature_names = tuple(table.names) if table.has_names else None
        self._table, self._memory = table, memory

    @cached_property
    def _rows(self) -> Source:
        client = _client()
        return opened(PartReader(self._table), self._memory) if client is None else loaded(client, self._table)

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

    @property
    def profile(self) -> Profile:
        return self._rows.profile

    def sample(self, n_rows: int) -> Block:
        return self._rows.sample(n_rows)

    def changed(self, change: Callable[[Block], Iterable[Block]], n_rows: int) -> Source:
        return self._rows.changed(change, n_rows)

    def fresh(self) -> Self:
        twin = super().fresh()
        twin._rows = self._rows.fresh()
        return twin

    def per_row(self, task: Callable[[Block], NDArray[Number]], dtype: Any, n_columns: int | None = None) -> Any:
        return self._table.per_row(task, dtype, n_columns)


def _client() -> Any:
    """The client of a cluster; None where there is none."""
    if "distributed" not in sys.modules:
        return None
    from distributed import default_client

    try:
        return default_client()
    except ValueError:
        return None
