"""Rows of Spark frames: work goes to the executors, by operations that Spark Connect has too."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gaussmix.errors import warn
from gaussmix.sources.base import Source
from gaussmix.sources.lazy import LazySource
from gaussmix.sources.opening import Request
from gaussmix.sources.spark.cluster import loaded
from gaussmix.sources.spark.table import Table


def open_spark(data: Any, asked: Request) -> Source:
    """Open a Spark frame."""
    table = Table.of(data, asked.columns, asked.weights)
    for notice in table.columns.notices:
        warn(f"{table.name}: {notice}")
    return SparkSource(replace(table, may_miss=asked.missing))


class SparkSource(LazySource):
    """The rows of a Spark frame, which stay with the executors.

    Parameters
    ----------
    table : what is known of the rows.
    """

    def __init__(self, table: Table) -> None:
        super().__init__(table)
        self._frame = table

    def _read(self) -> Source:
        return loaded(self._frame)
