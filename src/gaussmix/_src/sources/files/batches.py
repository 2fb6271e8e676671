"""Openers of tables that yield record batches: files, and tables of PyArrow, polars and DuckDB.

Tables that are slow to read, or can be read once only, are first written to a temporary file that is fast to read.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gaussmix._src.errors import warn
from gaussmix._src.sources.base import Source
from gaussmix._src.sources.files.arrow import BatchReader, DatasetReader, OnceReader, TableReader
from gaussmix._src.sources.files.base import FileSource, opened
from gaussmix._src.sources.files.npy import NpyReader
from gaussmix._src.sources.request import Request
from gaussmix._src.sources.tables import Files, open_table
from gaussmix._src.sources.tables.base import BATCH_ROWS, Dialect, batch_rows

HEADER = 128  # bytes, room for any number of rows


def open_files(data: Any, asked: Request) -> Source:
    """Open a path, a pattern, a folder, or files that were opened as a table."""
    table = data if isinstance(data, Files) else open_table(os.fspath(data), dialect=Dialect(memory=asked.memory))
    return _opened(TableReader(replace(table, memory=asked.memory), asked.columns, asked.weights), asked)


def open_dataset(data: Any, asked: Request) -> Source:
    """Open a `pyarrow.dataset.Dataset`."""
    return _opened(DatasetReader(data, asked.columns, asked.weights, asked.memory), asked)


def open_delta(data: Any, asked: Request) -> Source:
    """Open a table of Delta, whose files are a data set."""
    dataset, name = data.to_pyarrow_dataset(), f"version {data.version()} of the table of Delta"
    of_asked = asked.columns, asked.weights, asked.memory
    return _opened(DatasetReader(dataset, *of_asked, name, "; `vacuum` removes files of old versions"), asked)


def open_iceberg(data: Any, asked: Request) -> Source:
    """Open a table of Iceberg, or a scan of one."""
    scan = data if hasattr(data, "to_arrow_batch_reader") else data.scan()
    return _opened(OnceReader("the table of Iceberg", scan.to_arrow_batch_reader(), asked), asked)


def open_stream(data: Any, asked: Request) -> Source:
    """Open a `pyarrow.RecordBatchReader`."""
    return _opened(OnceReader("the record batches", data, asked), asked)


def open_relation(data: Any, asked: Request) -> Source:
    """Open a relation of DuckDB."""
    read = getattr(data, "to_arrow_reader", None) or data.fetch_arrow_reader  # before DuckDB 1.5
    return _opened(OnceReader("the relation", read(BATCH_ROWS), asked), asked)


def open_lazy_frame(data: Any, asked: Request) -> Source:
    """Open a lazy frame of polars, whose record batches are made one after the other."""
    batches = data.collect_batches(maintain_order=True)
    schema = data.head(0).collect().to_arrow().schema
    stream = pa.RecordBatchReader.from_batches(
        schema, (batch for part in batches for batch in part.to_arrow().cast(schema).to_batches())
    )
    return _opened(OnceReader("the frame", stream, asked), asked)


def _opened(table: BatchReader, asked: Request) -> Source:
    for notice in table.notices:
        warn(notice)
    together = table.bytes_of(table.n_together)
    if together > asked.memory:
        raise ValueError(
            f"{table.name} has {table.n_together} rows in a batch that can only be read as a whole: "
            f"{together / 1e6:.0f} MB. Give memory= as much, or write the file with smaller batches."
        )
    reader = spooled(table) if table.is_slow and asked.cache is None else table
    if asked.cache is not None:
        reader = cached(table, asked.cache)
    reader.may_miss = asked.missing
    source = opened(reader, asked.memory)
    if isinstance(reader, NpyReader) and isinstance(reader.spool, _Spool):
        if isinstance(source, FileSource):
            file = reader.files[0].path
            size = f"{file.stat().st_size / 1e6:.0f} MB"
            warn(f"{reader.name} is slow to read: its numbers are in {file} ({size}) as long as they are used.")
        else:
            reader.spool.remove()
    return source


def spooled(table: BatchReader) -> NpyReader:
    """The numbers of a table in a temporary .npy file, which goes with the reader.

    Raises OSError: the disk is full, or the table can't be read.
    """
    place = tempfile.mkdtemp(prefix="gaussmix-")
    path = Path(place) / "rows.npy"
    try:
        write(table, path, "set TMPDIR to a folder on a larger disk")
        reader = _copied(table, path)
    except BaseException:
        _remove(place)
        raise
    reader.spool = _Spool(place)
    return reader


def cached(table: BatchReader, folder: Path) -> NpyReader:
    """The numbers of files in a .npy file of a folder, which stays there for the next time.

    Raises OSError: the disk is full, or the table can't be read. ValueError: the table is not of files.
    """
    if not table.identity:
        raise ValueError(f"cache= keeps the numbers of files, not of {table.name}: leave it out.")
    folder.mkdir(parents=True, exist_ok=True)
    what = (table.identity, table.read_columns, table.weights, table.dtype.str)
    path = folder / f"gaussmix-{sha256(repr(what).encode()).hexdigest()[:32]}.npy"
    if not path.exists():
        place = tempfile.mkdtemp(prefix="gaussmix-", dir=folder)
        try:
            write(table, Path(place) / path.name, "name a folder on a larger disk by cache=")
            os.replace(Path(place) / path.name, path)  # whole or not at all
        finally:
            _remove(place)
    return _copied(table, path)


def _copied(table: BatchReader, path: Path) -> NpyReader:
    """A reader of the numbers of a table that a file is a copy of."""
    reader = NpyReader([path], table.read_columns, table.names, table.weights, table.dtype)
    reader.name, reader.origin, reader.has_names = table.name, table, table.has_names
    reader.integers = table.integers
    return reader


class _Spool:
    """Removes a folder once no reader of this process has it; copies of a reader have it, too."""

    def __init__(self, place: str) -> None:
        self._place, self._at_end = place, weakref.finalize(self, _remove, place)

    def remove(self) -> None:
        """Remove the folder now. A Ctrl-C meanwhile reaches the caller; Python ignores one that comes at the end."""
        _remove(self._place)
        self._at_end.detach()

    def __deepcopy__(self, memo: object) -> _Spool:
        return self

    def __reduce__(self) -> Any:
        return type(None), ()


def write(table: BatchReader, path: Path, advice: str) -> None:
    """Write the numbers of a table, by rows, as .npy; `advice` is for a full disk."""
    n_rows, columns = 0, table.read_columns
    step = batch_rows(len(columns))
    dtype = table.dtype if table.weights is None else np.dtype(np.float64)  # weights are never rounded
    try:
        with open(path, "wb") as file:
            file.write(bytes(HEADER))
            for whole in table.parts():
                for first in range(0, whole.num_rows, step):
                    batch = whole.slice(first, step)
                    rows = np.empty((batch.num_rows, len(columns)), dtype)
                    table.put(batch, rows[:, : len(table.names)], None if table.weights is None else rows[:, -1])
                    file.write(rows.data)
                    n_rows += len(rows)
            file.seek(0)
            file.write(_header(n_rows, len(columns), dtype))
    except OSError as error:
        if error.errno is None or error.filename is not None:  # reading the table failed: only its errors name a file
            raise
        reason = f"{error.strerror} while {table.name} was spooled; {advice}"
        raise OSError(error.errno, reason, str(path)) from None


def _header(n_rows: int, n_columns: int, dtype: np.dtype[np.generic]) -> bytes:
    what = f"{{'descr': '{dtype.str}', 'fortran_order': False, 'shape': ({n_rows}, {n_columns}), }}"
    return b"\x93NUMPY\x01\x00" + (HEADER - 10).to_bytes(2, "little") + what.ljust(HEADER - 11).encode() + b"\n"


def _remove(place: str) -> None:
    import shutil

    shutil.rmtree(place, ignore_errors=True)
