"""Tables in files, databases and streams, opened as sources of rows that need not fit into memory."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gaussmix.sources.base import Source
from gaussmix.sources.files.base import FileSource, Reader, opened
from gaussmix.sources.files.npy import NpyReader, holds_numbers
from gaussmix.sources.files.paths import paths_of

MEMORY = "512 MB"
_KINDS = {
    "pyarrow.Dataset",
    "pyarrow.RecordBatchReader",
    "polars.LazyFrame",
    "duckdb.DuckDBPyRelation",
    "dask.Array",
    "dask.DataFrame",
    "dask.Series",
    "gaussmix.Files",
    "pyspark.DataFrame",
}
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_SIZE = re.compile(r"\s*([0-9.]+)\s*([KMGT]?)(i?)B?\s*", re.IGNORECASE)


def open(
    data: Any,
    *,
    columns: Sequence[str] | None = None,
    weights: str | None = None,
    memory: int | str = MEMORY,
    missing: bool = False,
) -> Source:
    """Open a table whose rows need not fit into memory, as `X` for `fit`, `score`, `bic` and predictions.

    Tables that fit into half of the memory are read at once. Of larger ones every pass of EM reads the rows again, a
    few leaves of 65,520 rows at a time, ahead of the work. Both give the same bits.

    Parameters
    ----------
    data : a path, or a pattern such as ``"data/*.parquet"``, of Parquet, Arrow (Feather), .npy or CSV files, which are
        read in the order of their names; a folder of such files; a `pyarrow.dataset.Dataset` or `RecordBatchReader`; a
        polars `LazyFrame`; a DuckDB relation; a Dask array, whose columns are called x1, x2 …, or data frame; a Spark
        data frame.
    columns : the features; by default all columns that hold numbers.
    weights : the column of row weights, frequencies ≥ 0; None where all are 1.
    memory : bytes, or a text such as "512 MB": for rows and what is kept beside them. The libraries need about
        150 MB more.
    missing : whether cells of features may be missing (NaN or null): for `GaussianMixtureImputer` alone. Else the first
        such cell is named.

    Returns
    -------
    source : the rows. CSV, tables with slow compression (zstd, gzip, brotli) and what can be read once only are first
        written to a temporary .npy file, in TMPDIR; a warning says where and how large. It goes when the source does.

    Raises
    ------
    FileNotFoundError : no file has this name.
    ValueError : a file is damaged or of no known format, or a column is absent or holds no numbers.
    ImportError : the format needs a library that is not installed.

    Examples
    --------
    >>> import numpy as np, tempfile, os, gaussmix
    >>> path = os.path.join(tempfile.mkdtemp(), "rows.npy")
    >>> np.save(path, np.random.default_rng(0).normal(size=(1000, 2)))
    >>> gaussmix.GaussianMixture(2, random_state=0).fit(gaussmix.open(path)).means_.shape
    (2, 2)
    """
    n_bytes = check_memory(memory)
    if _kind(data).startswith("dask."):
        return _of_dask(data, columns, weights, n_bytes, missing)
    if _kind(data) == "pyspark.DataFrame":
        return _of_spark(data, columns, weights, missing)
    reader = _reader(data, columns, weights, n_bytes)
    reader.may_miss = missing
    source = opened(reader, n_bytes)
    if isinstance(source, FileSource) and isinstance(reader, NpyReader) and reader.origin is not None:
        file = reader.files[0].path
        size = f"{file.stat().st_size / 1e6:.0f} MB"
        _warn(f"{reader.name} is slow to read: its numbers are in {file} ({size}) as long as they are used.")
    return source


def is_table(data: Any) -> bool:
    """Whether `open` may know what this is, and an array or frame in memory it is not."""
    return isinstance(data, str | os.PathLike) or bool(_kind(data))


def check_memory(memory: int | str) -> int:
    """Bytes of a number or a text such as "512 MB" or "2 GiB"."""
    found = _SIZE.fullmatch(str(memory))
    try:
        number = float(found[1]) if found else 0.0
    except ValueError:
        number = 0.0
    unit = _UNITS[found[2].upper()] if found else 1
    n_bytes = int(number * (1024 ** round(np.log10(unit) / 3) if found and found[3] else unit))
    if n_bytes < 1:
        raise ValueError(f"memory must be bytes or a text such as '512 MB', got {memory!r}.")
    return n_bytes


def _kind(data: Any) -> str:
    """The library and class of a table that is not in memory; "" for anything else. No library is imported for it."""
    names = (f"{each.__module__.partition('.')[0].strip('_')}.{each.__name__}" for each in type(data).__mro__)
    return next((name for name in names if name in _KINDS), "")


def _reader(data: Any, columns: Sequence[str] | None, weights: str | None, memory: int) -> Reader:
    """The table behind what the user names."""
    kind = _kind(data)
    if not kind:
        if not isinstance(data, str | os.PathLike):
            raise TypeError(
                f"open takes a path, a pattern or a table that is not in memory, not {type(data).__name__}."
            )
        paths = paths_of(os.fspath(data))
        if paths[0].is_file() and holds_numbers(paths[0]):  # and not a pipe, which can be read once
            return NpyReader(paths, None, columns, weights)
    try:
        from gaussmix.sources.files import arrow, spool
        from gaussmix.sources.tables import BATCH_ROWS, open_table
    except ImportError:
        raise ImportError("Tables other than .npy need pyarrow: pip install 'gaussmix[cli]'.") from None
    table: arrow.BatchReader
    if kind == "pyarrow.Dataset":
        table = arrow.DatasetReader(data, columns, weights)
    elif kind == "pyarrow.RecordBatchReader":
        table = arrow.OnceReader("the record batches", data, columns, weights)
    elif kind == "duckdb.DuckDBPyRelation":
        read = getattr(data, "to_arrow_reader", None) or data.fetch_arrow_reader  # before DuckDB 1.5
        table = arrow.OnceReader("the relation", read(BATCH_ROWS), columns, weights)
    elif kind == "polars.LazyFrame":
        table = arrow.OnceReader("the frame", _batches_of(data), columns, weights)
    else:
        table = arrow.TableReader(data if kind == "gaussmix.Files" else open_table(os.fspath(data)), columns, weights)
    for notice in table.notices:
        _warn(notice)
    together = table.bytes_of(table.n_together)
    if together > memory:
        raise ValueError(
            f"{table.name} has {table.n_together} rows in a batch that can only be read as a whole: "
            f"{together / 1e6:.0f} MB. Give memory= as much, or write the file with smaller batches."
        )
    return spool.spooled(table) if table.is_slow else table


def _of_dask(data: Any, columns: Sequence[str] | None, weights: str | None, memory: int, missing: bool) -> Source:
    from gaussmix.sources.dask import DaskSource
    from gaussmix.sources.dask.table import Table

    table = Table.of(data, columns, weights)
    _warn(_left_out_sentence(table))
    return DaskSource(replace(table, may_miss=missing), memory)


def _of_spark(data: Any, columns: Sequence[str] | None, weights: str | None, missing: bool) -> Source:
    from gaussmix.sources.spark import SparkSource
    from gaussmix.sources.spark.table import Table

    table = Table.of(data, columns, weights)
    for notice in table.columns.notices:
        _warn(f"{table.name}: {notice}")
    return SparkSource(replace(table, may_miss=missing))


def _left_out_sentence(table: Any) -> str | None:
    """Say which columns hold no numbers; None where all do."""
    left_out = ", ".join(map(repr, table.left_out))
    return f"{table.name}: left out {left_out}, which hold no numbers." if left_out else None


def _warn(sentence: str | None) -> None:
    if sentence is not None:
        warnings.warn(sentence, RuntimeWarning, stacklevel=4)


def _batches_of(frame: Any) -> Any:
    """The rows of a lazy frame of polars, as record batches made one after the other."""
    import pyarrow as pa

    batches = frame.collect_batches(maintain_order=True)
    schema = frame.head(0).collect().to_arrow().schema
    return pa.RecordBatchReader.from_batches(
        schema, (batch for part in batches for batch in part.to_arrow().cast(schema).to_batches())
    )
