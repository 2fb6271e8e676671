"""Rows of Dask arrays and frames: work goes to the workers of a cluster, or partitions come to this process."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

from gaussmix.errors import listed, warn
from gaussmix.sources.base import Source
from gaussmix.sources.dask.cluster import loaded
from gaussmix.sources.dask.parts import PartReader
from gaussmix.sources.dask.table import Table
from gaussmix.sources.files.base import opened
from gaussmix.sources.lazy import LazySource
from gaussmix.sources.opening import Request


def open_dask(data: Any, asked: Request) -> Source:
    """Open a Dask array, frame or series."""
    table = Table.of(data, asked.columns, asked.weights)
    if table.left_out:
        warn(f"{table.name}: left out {listed(table.left_out)}, which hold no numbers.")
    return DaskSource(replace(table, may_miss=asked.missing), asked.memory)


class DaskSource(LazySource):
    """The rows of a Dask array or frame.

    Where there is a `distributed.Client`, the rows stay in the memory of its workers, and passes go there. Elsewhere
    partitions are computed in this process: once, or in every pass where they do not fit into `memory`.

    Parameters
    ----------
    table : what is known of the rows.
    memory : bytes, where there is no cluster.
    """

    def __init__(self, table: Table, memory: int) -> None:
        super().__init__(table)
        self._parts, self._memory = table, memory

    def _read(self) -> Source:
        client = _client()
        return opened(PartReader(self._parts), self._memory) if client is None else loaded(client, self._parts)


def _client() -> Any:
    """The client of a cluster; None where there is none."""
    if "distributed" not in sys.modules:
        return None
    from distributed import default_client

    try:
        return default_client()
    except ValueError:
        return None
