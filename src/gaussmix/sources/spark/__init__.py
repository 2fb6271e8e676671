"""Rows of Spark frames: work goes to the executors, by operations that Spark Connect has too."""

from __future__ import annotations

from gaussmix.sources.base import Source
from gaussmix.sources.lazy import LazySource
from gaussmix.sources.spark.cluster import loaded
from gaussmix.sources.spark.table import Table


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
