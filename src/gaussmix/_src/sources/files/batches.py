"""Open tables that yield record batches: files, and tables of PyArrow, polars, DuckDB, Delta Lake and Iceberg.

Tables that are slow to read or can be read only once are first copied to a temporary file that is fast to read.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from gaussmix._src.errors import ParameterTypeError, warn
from gaussmix._src.sources.base import Source
from gaussmix._src.sources.files.arrow import BatchReader, DatasetReader, OnceReader, TableReader
from gaussmix._src.sources.files.base import FileSource, open_source
from gaussmix._src.sources.files.npy import NpyReader
from gaussmix._src.sources.open_options import OpenOptions
from gaussmix._src.sources.tables import Files, open_table
from gaussmix._src.sources.tables.base import BATCH_ROWS, Dialect, batch_rows


def open_files(data: Any, request: OpenOptions) -> Source:
    """Open the files of a path, a pattern or a folder, or a table of files (`Files`) that is already open."""
    table = data if isinstance(data, Files) else open_table(os.fspath(data), dialect=Dialect(memory=request.memory))
    return _opened(TableReader(replace(table, memory=request.memory), request.columns, request.weights), request)


def open_dataset(data: Any, request: OpenOptions) -> Source:
    """Open a `pyarrow.dataset.Dataset`."""
    return _opened(DatasetReader(data, request.columns, request.weights, request.memory), request)


def open_delta(data: Any, request: OpenOptions) -> Source:
    """Open a Delta table as a PyArrow data set of its files."""
    dataset, name = data.to_pyarrow_dataset(), f"version {data.version()} of the Delta table"
    requested = request.columns, request.weights, request.memory
    return _opened(DatasetReader(dataset, *requested, name, "; `vacuum` removes files of old versions"), request)


def open_iceberg(data: Any, request: OpenOptions) -> Source:
    """Open an Iceberg table, or a scan of an Iceberg table."""
    scan = data if hasattr(data, "to_arrow_batch_reader") else data.scan()
    return _opened(OnceReader("the Iceberg table", scan.to_arrow_batch_reader(), request), request)


def open_stream(data: Any, request: OpenOptions) -> Source:
    """Open a `pyarrow.RecordBatchReader`."""
    return _opened(OnceReader("the stream of record batches", data, request), request)


def open_relation(data: Any, request: OpenOptions) -> Source:
    """Open a DuckDB relation."""
    read = getattr(data, "to_arrow_reader", None) or data.fetch_arrow_reader  # the latter name before DuckDB 1.5
    return _opened(OnceReader("the relation", read(BATCH_ROWS), request), request)


def open_lazy_frame(data: Any, request: OpenOptions) -> Source:
    """Open a polars lazy frame, whose record batches are computed one after the other."""
    if not hasattr(data, "collect_batches"):
        raise ParameterTypeError("Rows of a LazyFrame can be read in batches from polars 1.34 on. Pass X.collect().")
    batches = data.collect_batches(maintain_order=True)
    schema = data.head(0).collect().to_arrow().schema
    stream = pa.RecordBatchReader.from_batches(
        schema, (batch for part in batches for batch in part.to_arrow().cast(schema).to_batches())
    )
    return _opened(OnceReader("the frame", stream, request), request)


def _opened(table: BatchReader, request: OpenOptions) -> Source:
    """Return a source of a table: in memory, read in every pass, or copied to a file if reading is slow."""
    for notice in table.notices:
        warn(notice)
    together = table.bytes_of(table.n_together)
    if together > request.memory:
        raise ValueError(
            f"{table.name} has {table.n_together} rows in a batch that can only be read as a whole: "
            f"{-(-together // 10**6)} MB. Set memory= to at least that, or write the file with smaller batches."
        )
    reader = spool(table) if table.is_slow and request.cache is None else table
    if request.cache is not None:
        reader = cached_copy(table, request.cache)
    reader.may_miss = request.missing
    source = open_source(reader, request.memory)
    if isinstance(reader, NpyReader) and isinstance(reader.spool, _Spool):
        if isinstance(source, FileSource):
            file = reader.files[0].path
            size = f"{file.stat().st_size / 1e6:.0f} MB"
            warn(f"{reader.name} is slow to read, so its values are copied to the temporary file {file} ({size}).")
        else:
            reader.spool.remove()
    return source


def spool(table: BatchReader) -> NpyReader:
    """Copy a table's values to a temporary .npy file, which is deleted together with the returned reader.

    Raises OSError if the disk is full or the table can't be read.
    """
    scratch = tempfile.mkdtemp(prefix="gaussmix-")
    path = Path(scratch) / "rows.npy"
    try:
        write(table, path, "set TMPDIR to a folder on a larger disk")
        reader = _copied(table, path)
    except BaseException:
        _remove(scratch)
        raise
    reader.spool = _Spool(scratch)
    return reader


def cached_copy(table: BatchReader, folder: Path) -> NpyReader:
    """Return a reader of the .npy copy of a table's values in a folder; write this copy if it does not exist.

    Raises OSError if the disk is full or the table can't be read, and ValueError if the table is not made of files.
    """
    if not table.identity:
        raise ValueError(f"cache= can store copies of files, but not of {table.name}: leave out cache=.")
    folder.mkdir(parents=True, exist_ok=True)
    what = (table.identity, table.read_columns, table.weights, table.dtype.str)
    path = folder / f"gaussmix-{sha256(repr(what).encode()).hexdigest()[:32]}.npy"
    if not path.exists():
        scratch = tempfile.mkdtemp(prefix="gaussmix-", dir=folder)
        try:
            write(table, Path(scratch) / path.name, "name a folder on a larger disk by cache=")
            os.replace(Path(scratch) / path.name, path)  # makes the file visible when it is complete
        finally:
            _remove(scratch)
    return _copied(table, path)


def _copied(table: BatchReader, path: Path) -> NpyReader:
    """Return a reader of a .npy copy of a table's values."""
    reader = NpyReader([path], table.read_columns, table.names, table.weights, table.dtype)
    reader.name, reader.origin, reader.has_names = table.name, table, table.has_names
    reader.integer_columns = table.integer_columns
    return reader


class _Spool:
    """A temporary folder, which is deleted when the last reader that uses it in this process is deleted."""

    def __init__(self, path: str) -> None:
        self._path, self._at_end = path, weakref.finalize(self, _remove, path)

    def remove(self) -> None:
        """Delete the folder now and not in a finaliser, because Python ignores Ctrl-C while a finaliser runs."""
        _remove(self._path)
        self._at_end.detach()

    def __deepcopy__(self, memo: object) -> _Spool:
        return self

    def __reduce__(self) -> Any:
        return type(None), ()  # pickles None, so that only this process deletes the folder


def write(table: BatchReader, path: Path, advice: str) -> None:
    """Write the numbers of a table to a .npy file in C order. If the disk is full, the error ends with `advice`."""
    n_rows, columns = 0, table.read_columns
    step = batch_rows(len(columns))
    dtype = table.dtype if table.weights is None else np.dtype(np.float64)  # weights are never rounded to float32
    try:
        with open(path, "wb") as file:
            _write_header(file, (0, len(columns)), dtype)  # a placeholder as long as the final header
            for whole in table.parts():
                for first in range(0, whole.num_rows, step):
                    batch = whole.slice(first, step)
                    rows = np.empty((batch.num_rows, len(columns)), dtype)
                    table.put(batch, rows[:, : len(table.names)], None if table.weights is None else rows[:, -1])
                    file.write(rows.data)
                    n_rows += len(rows)
            file.seek(0)
            _write_header(file, (n_rows, len(columns)), dtype)
    except OSError as error:
        if error.errno is None or error.filename is not None:  # an error with a file name arose while reading the table
            raise
        reason = f"{error.strerror} while {table.name} was copied to a .npy file; {advice}"
        raise OSError(error.errno, reason, str(path)) from None


def _write_header(file: BinaryIO, shape: tuple[int, int], dtype: np.dtype[np.generic]) -> None:
    """Write the header of a .npy file, in which NumPy leaves room for any number of rows."""
    header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _remove(path: str) -> None:
    import shutil

    shutil.rmtree(path, ignore_errors=True)
