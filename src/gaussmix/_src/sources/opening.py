"""Tables that need not fit into memory, opened as sources: what `gaussmix.open` takes, by registered names."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from gaussmix._src import plugins
from gaussmix._src.errors import ParameterTypeError
from gaussmix._src.sources.base import Source
from gaussmix._src.sources.files.paths import EXTENSIONS
from gaussmix._src.sources.open_options import Opener, OpenOptions

DEFAULT_MEMORY = "512 MB"


_BATCHES = "gaussmix._src.sources.files.batches"

# What a table is called (its library and class, or the extension of its file) → what opens it: a function, or the
# module and name of one, which is imported at the first such table. Other packages add theirs by entry points.
SOURCES: dict[str, Opener | str] = {
    "gaussmix.Files": f"{_BATCHES}:open_files",
    "pyarrow.Dataset": f"{_BATCHES}:open_dataset",
    "pyarrow.RecordBatchReader": f"{_BATCHES}:open_stream",
    "deltalake.DeltaTable": f"{_BATCHES}:open_delta",
    "pyiceberg.Table": f"{_BATCHES}:open_iceberg",
    "pyiceberg.DataScan": f"{_BATCHES}:open_iceberg",
    "polars.LazyFrame": f"{_BATCHES}:open_lazy_frame",
    "duckdb.DuckDBPyRelation": f"{_BATCHES}:open_relation",
    "dask.Array": "gaussmix._src.sources.dask:open_dask",
    "dask.DataFrame": "gaussmix._src.sources.dask:open_dask",
    "dask.Series": "gaussmix._src.sources.dask:open_dask",
    "h5py.Dataset": "gaussmix._src.sources.hdf5:open_hdf5",
    "pyspark.DataFrame": "gaussmix._src.sources.spark.cluster:open_spark",
    "ray.Dataset": "gaussmix._src.sources.ray:open_ray",
    "ray.ObjectRef": "gaussmix._src.sources.ray:open_ray",
    "list of ray.ObjectRef": "gaussmix._src.sources.ray:open_ray",
}
IN_MEMORY = {"builtins", "numpy", "pandas", "scipy"}  # libraries whose tables no other package opens
SEVERAL = "Name several files by a pattern, by their folder, or by pyarrow.dataset.dataset(files)."
_SIZE_SUFFIXES = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_SIZE = re.compile(r"\s*([0-9.]+)\s*([KMGT]?)(i?)B?\s*", re.IGNORECASE)


def open(
    data: Any,
    *,
    columns: Sequence[str] | None = None,
    weights: str | None = None,
    memory: int | str = DEFAULT_MEMORY,
    missing: bool = False,
    cache: str | os.PathLike[str] | None = None,
) -> Source:
    """Open a table whose rows need not fit into memory, as `X` for `fit`, `score`, `bic` and predictions.

    Tables that fit into half of the memory are read at once. Of larger ones every pass of EM reads the rows again, a
    few leaves of 65,520 rows at a time, ahead of the work. Both give the same bits.

    Parameters
    ----------
    data : a path, or a pattern such as ``"data/*.parquet"``, of Parquet, Arrow (Feather), .npy or CSV files, which are
        read in the order of their names; a folder of such files; the same as a URL, such as
        ``"s3://bucket/rows/*.parquet"``; a `pyarrow.dataset.Dataset` or `RecordBatchReader`; a table of Delta or
        Iceberg; a polars `LazyFrame`; a DuckDB relation; a Dask array, whose columns are called x0, x1 …, or data
        frame; a Spark data frame; a Ray `Dataset`, or a list of Ray's references of arrays or tables; an
        `h5py.Dataset`, whose columns are called x0, x1 … too.
    columns : the features; by default all columns that hold numbers.
    weights : the column of row weights, frequencies ≥ 0; None where all are 1.
    memory : bytes, or a text such as "512 MB": for rows and what is kept with them. The libraries need about
        200 MB more.
    missing : whether cells of features may be missing (NaN or null). Else the first such cell is an error, which names
        it.
    cache : a folder in which the numbers of files are kept as .npy: the files are read once, every pass reads the copy,
        and so does the next program that opens the same unchanged files. Delete it whenever you like. None for no
        cache.

    Returns
    -------
    source : the rows. CSV, tables with slow compression (zstd, gzip, brotli) and what can be read once only are first
        written to a temporary .npy file, in TMPDIR; a warning says where and how large. It goes when the source does.

    Raises
    ------
    FileNotFoundError : no file has this name.
    PermissionError : a store refuses access.
    OSError : a store did not answer, though it was asked five times.
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
    request = OpenOptions(columns, weights, check_memory(memory), missing, None if cache is None else Path(cache))
    opener = _of_files(os.fspath(data)) if isinstance(data, str | os.PathLike) else _registered(_kind(data))
    if opener is None:
        wrong = f"open takes a path, a pattern or a table that is not in memory, not {type(data).__name__}."
        raise ParameterTypeError(f"{wrong} {SEVERAL}" if isinstance(data, list | tuple) else wrong)
    if cache is not None and not isinstance(data, str | os.PathLike) and _kind(data) != "gaussmix.Files":
        raise ValueError(f"cache= keeps the numbers of files, not of a {type(data).__name__}: leave it out.")
    return opener(data, request)


def is_table(data: Any) -> bool:
    """Whether this is something for `open`, and not an array or a frame in memory."""
    return isinstance(data, str | os.PathLike) or bool(_kind(data))


def check_memory(memory: int | str) -> int:
    """Bytes of a number or a text such as "512 MB" or "2 GiB"."""
    result = _SIZE.fullmatch(str(memory))
    try:
        index = float(result[1]) if result else 0.0
    except ValueError:
        index = 0.0
    unit = _SIZE_SUFFIXES[result[2].upper()] if result else 1
    n_bytes = int(index * (1024 ** round(np.log10(unit) / 3) if result and result[3] else unit))
    if n_bytes < 1:
        raise ValueError(f"memory must be bytes or a text such as '512 MB', got {memory!r}.")
    return n_bytes


def _kind(data: Any) -> str:
    """The name that the library and class of a table are registered under; "" if none is. No library is imported."""
    if isinstance(data, list | tuple) and data:
        name = f"list of {_kind(data[0])}"
        return name if name in SOURCES else ""
    names = [f"{each.__module__.partition('.')[0].strip('_')}.{each.__name__}" for each in type(data).__mro__]
    cached = next((name for name in names if name in SOURCES), "")
    if cached or names[0].partition(".")[0] in IN_MEMORY:
        return cached
    return next((name for name in names if name in plugins.points("gaussmix.sources")), "")


def _registered(name: str) -> Opener | None:
    """What opens tables of this name, here or in another package; None if nothing does."""
    result = SOURCES.get(name)
    if not isinstance(result, str):
        return result or plugins.load("gaussmix.sources", name)
    module, _, function = result.partition(":")
    try:
        opener = getattr(import_module(module), function)
    except ImportError as error:
        if error.name != "pyarrow":
            raise
        raise ImportError("Tables other than .npy need pyarrow: pip install 'gaussmix[cli]'.") from None
    return opener


def is_for_others(name: str) -> bool:
    """Whether another package opens the files of a path, a pattern or a folder, by their extension."""
    from gaussmix._src.sources.files.listing import list_files

    return _opener_of_others(list_files(name)[0].suffix.lower()) is not None


def _opener_of_others(extension: str) -> Opener | None:
    is_own = not extension or any(extension in each for each in EXTENSIONS.values())
    return _registered(extension) if extension in SOURCES or not is_own else None


def _of_files(name: str) -> Opener | None:
    """What opens the files of a path, a pattern or a folder."""
    from gaussmix._src.sources.files.listing import list_files
    from gaussmix._src.sources.files.npy import is_numeric_array, open_npy  # for tables in files alone

    first = list_files(name)[0]
    opener = _opener_of_others(first.suffix.lower())
    if opener is None and isinstance(first, Path) and first.is_file() and is_numeric_array(first):  # and no pipe
        return open_npy
    return opener or _registered("gaussmix.Files")
