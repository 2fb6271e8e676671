"""Rows of Dask arrays and frames: work goes to the workers of a cluster, or partitions come to this process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import dask

from gaussmix.errors import listed, warn
from gaussmix.numerics.arrays import Array, Rows
from gaussmix.sources.base import Source
from gaussmix.sources.dask.cluster import loaded
from gaussmix.sources.dask.table import Table
from gaussmix.sources.files.base import Reader, opened
from gaussmix.sources.opening import Request
from gaussmix.sources.remote import LazySource
from gaussmix.waist.block import Block


def open_dask(data: Any, asked: Request) -> Source:
    """Open a Dask array, frame or series.

    Where there is a `distributed.Client`, the rows stay in the memory of its workers, and passes go there. Elsewhere
    partitions are computed in this process: once, or in every pass where they do not fit into the memory asked for.
    """
    table = Table.of(data, asked)
    if table.left_out:
        warn(f"{table.about.name}: left out {listed(table.left_out)}, which hold no numbers.")
    return LazySource(table.about, table.per_row, partial(_read, table, asked.memory))


def _read(table: Table, memory: int) -> Source:
    client = _client()
    return opened(PartReader(table), memory) if client is None else loaded(client, table)


def _client() -> Any:
    """The client of a cluster; None where there is none."""
    if "distributed" not in sys.modules:
        return None
    from distributed import default_client

    try:
        return default_client()
    except ValueError:
        return None


class PartReader(Reader):
    """The partitions of a table, computed in this process one after the other."""

    def __init__(self, table: Table) -> None:
        about, self._table = table.about, table
        self.name, self.names, self.dtype, self.weights = about.name, about.names, about.dtype, about.weights
        self.has_names, self.may_miss = about.has_names, about.may_miss
        self.n_rows = sum(table.sizes or dask.compute(*[part.n_rows for part in table.parts]))

    def parts(self) -> Iterator[Block]:
        return (dask.compute(part)[0] for part in self._table.parts)

    def put_part(self, part: Block, first: int, rows: Rows, row_weight: Array | None) -> None:
        taken = part.between(first, first + len(rows))
        rows[...] = taken.rows
        if row_weight is not None:
            row_weight[...] = taken.row_weight
