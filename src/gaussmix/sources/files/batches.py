"""Openers of tables that yield record batches: files, and tables of PyArrow, polars and DuckDB."""

from __future__ import annotations

import os
from typing import Any

import pyarrow as pa

from gaussmix.errors import warn
from gaussmix.sources.base import Source
from gaussmix.sources.files import spool
from gaussmix.sources.files.arrow import BatchReader, DatasetReader, OnceReader, TableReader
from gaussmix.sources.files.base import FileSource, opened
from gaussmix.sources.files.npy import NpyReader
from gaussmix.sources.opening import Request
from gaussmix.sources.tables import BATCH_ROWS, Files, open_table


def open_files(data: Any, asked: Request) -> Source:
    """Open a path, a pattern, a folder, or files that were opened as a table."""
    table = data if isinstance(data, Files) else open_table(os.fspath(data))
    return _opened(TableReader(table, asked.columns, asked.weights), asked)


def open_dataset(data: Any, asked: Request) -> Source:
    """Open a `pyarrow.dataset.Dataset`."""
    return _opened(DatasetReader(data, asked.columns, asked.weights), asked)


def open_stream(data: Any, asked: Request) -> Source:
    """Open a `pyarrow.RecordBatchReader`."""
    return _opened(OnceReader("the record batches", data, asked.columns, asked.weights), asked)


def open_relation(data: Any, asked: Request) -> Source:
    """Open a relation of DuckDB."""
    read = getattr(data, "to_arrow_reader", None) or data.fetch_arrow_reader  # before DuckDB 1.5
    return _opened(OnceReader("the relation", read(BATCH_ROWS), asked.columns, asked.weights), asked)


def open_lazy_frame(data: Any, asked: Request) -> Source:
    """Open a lazy frame of polars, whose record batches are made one after the other."""
    batches = data.collect_batches(maintain_order=True)
    schema = data.head(0).collect().to_arrow().schema
    stream = pa.RecordBatchReader.from_batches(
        schema, (batch for part in batches for batch in part.to_arrow().cast(schema).to_batches())
    )
    return _opened(OnceReader("the frame", stream, asked.columns, asked.weights), asked)


def _opened(table: BatchReader, asked: Request) -> Source:
    for notice in table.notices:
        warn(notice)
    together = table.bytes_of(table.n_together)
    if together > asked.memory:
        raise ValueError(
            f"{table.name} has {table.n_together} rows in a batch that can only be read as a whole: "
            f"{together / 1e6:.0f} MB. Give memory= as much, or write the file with smaller batches."
        )
    reader = spool.spooled(table) if table.is_slow else table
    reader.may_miss = asked.missing
    source = opened(reader, asked.memory)
    if isinstance(source, FileSource) and isinstance(reader, NpyReader):
        file = reader.files[0].path
        size = f"{file.stat().st_size / 1e6:.0f} MB"
        warn(f"{reader.name} is slow to read: its numbers are in {file} ({size}) as long as they are used.")
    return source
