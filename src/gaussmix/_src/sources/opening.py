"""Implement `gaussmix.open`, which selects the function that opens a given table."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from gaussmix._src import plugins
from gaussmix._src.errors import ParameterTypeError
from gaussmix._src.sources.base import Source
from gaussmix._src.sources.files.paths import EXTENSIONS
from gaussmix._src.sources.open_options import Opener, OpenOptions

DEFAULT_MEMORY = "512 MB"
_BATCHES = "gaussmix._src.sources.files.batches"

# For each type of table (library and class, or extension of the file), the function that opens the table. A string
# specifies a module and its function, imported when first used. Other packages can add functions by entry points.
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
IN_MEMORY = {"builtins", "numpy", "pandas", "scipy"}  # other packages can't open these libraries' tables
SEVERAL = "To open several files, pass a pattern, their folder or pyarrow.dataset.dataset(files)."
_SIZE = re.compile(r"\s*([0-9]+\.?[0-9]*|\.[0-9]+)\s*([KMGT]?)(i?)B?\s*", re.IGNORECASE)


def open(
    data: Any,
    *,
    columns: Sequence[str] | None = None,
    weights: str | None = None,
    memory: int | str = DEFAULT_MEMORY,
    missing: bool = False,
    cache: str | os.PathLike[str] | None = None,
) -> Source:
    """Open a table that need not fit into memory, for use as `X` in `fit`, `score`, `bic` and predictions.

    A table that fits into half of `memory` is read once. A larger table is read again in every EM step, in blocks of
    65,520 rows or a multiple of that, while earlier blocks are processed. The results are bit-identical in both cases.

    Parameters
    ----------
    data : table to open. `data` can name Parquet, Arrow (Feather), .npy or CSV files by a path, a pattern such as
        ``"data/*.parquet"``, a folder or a URL such as ``"s3://bucket/rows/*.parquet"``; files are read in the order of
        their names. Tables that are not in memory can also be passed as a `pyarrow.dataset.Dataset`, a
        `RecordBatchReader`, a Delta or Iceberg table, a polars `LazyFrame`, a DuckDB relation or an `h5py.Dataset`. For
        clusters, pass a Dask array, a Spark or Dask data frame, a Ray `Dataset`, or a list of Ray references to arrays
        or tables. Columns without names, as in Dask arrays and HDF5, are called x0, x1, ….
    columns : names of the features; by default all numeric columns.
    weights : name of the column of row weights, which are frequencies ≥ 0; None if all weights are 1.
    memory : memory for rows and data stored with them, in bytes or as a string such as "512 MB". Imported libraries
        need about 200 MB in addition.
    missing : whether feature values may be missing (NaN or null). If False, a missing value raises an error that states
        its location.
    cache : folder for .npy copies of the values in files, or None for no copies. With a folder, files are read once:
        later passes, and later programs that open the unchanged files, read the copy. The folder may be deleted.

    Returns
    -------
    source : source of the rows, for use as `X`. CSV files, tables with slow compression (zstd, gzip, brotli) and tables
        that can be read only once are first copied to a temporary .npy file in TMPDIR. A warning reports the location
        and size of this copy, which is deleted together with the source.

    Raises
    ------
    FileNotFoundError : no file matches the path, pattern or URL.
    PermissionError : a store denies access.
    OSError : a store did not answer after five attempts.
    ValueError : a file is damaged or has an unknown format, or a column does not exist or is not numeric.
    ImportError : the format needs a library that is not installed.

    Examples
    --------
    >>> import numpy as np, tempfile, os, gaussmix
    >>> path = os.path.join(tempfile.mkdtemp(), "rows.npy")
    >>> np.save(path, np.random.default_rng(0).normal(size=(1000, 2)))
    >>> gaussmix.GaussianMixture(2, random_state=0).fit(gaussmix.open(path)).means_.shape
    (2, 2)
    """
    if not isinstance(missing, bool):  # text, such as the "error" of estimators, would count as True
        raise ParameterTypeError(f"missing must be True or False, not {missing!r:.60}.")
    request = OpenOptions(columns, weights, check_memory(memory), missing, None if cache is None else Path(cache))
    opener = _of_files(os.fspath(data)) if isinstance(data, str | os.PathLike) else _registered(_kind(data))
    if opener is None:
        wrong = f"open takes a path, a pattern or a table that is not in memory, not {type(data).__name__}."
        raise ParameterTypeError(f"{wrong} {SEVERAL}" if isinstance(data, list | tuple) else wrong)
    if cache is not None and not isinstance(data, str | os.PathLike) and _kind(data) != "gaussmix.Files":
        raise ValueError(f"cache= can store copies of files, but not of a {type(data).__name__}: leave out cache=.")
    return opener(data, request)


def is_table(data: Any) -> bool:
    """Return whether `open` accepts an object as a table. The result is False for arrays and data frames in memory."""
    return isinstance(data, str | os.PathLike) or bool(_kind(data))


def check_memory(memory: int | str) -> int:
    """Return a number of bytes, which may be given as a number or as a string such as "512 MB" or "2 GiB"."""
    size, n_bytes = _SIZE.fullmatch(str(memory)), 0
    if size is not None:
        n_bytes = int(float(size[1]) * (1024 if size[3] else 1000) ** " KMGT".index(size[2].upper() or " "))
    if n_bytes < 1:
        raise ValueError(f"memory must be a number of bytes or a string such as '512 MB', got {memory!r}.")
    return n_bytes


def _kind(data: Any) -> str:
    """Return the registered name of a table's library and class, or "" if no name is registered; import no library."""
    if isinstance(data, list | tuple) and data:
        name = f"list of {_kind(data[0])}"
        return name if name in SOURCES else ""
    names = [f"{each.__module__.partition('.')[0].strip('_')}.{each.__name__}" for each in type(data).__mro__]
    known = next((name for name in names if name in SOURCES), "")
    if known or names[0].partition(".")[0] in IN_MEMORY:
        return known
    return next((name for name in names if name in plugins.points("gaussmix.sources")), "")


def _registered(name: str) -> Opener | None:
    """Return the function that opens tables of this registered name, from gaussmix or another package, or None."""
    result = SOURCES.get(name)
    if not isinstance(result, str):
        return result or plugins.load("gaussmix.sources", name)
    module, _, function = result.partition(":")
    try:
        opener = getattr(import_module(module), function)
    except ImportError as error:
        if error.name != "pyarrow":
            raise
        raise ImportError("Tables other than .npy files need pyarrow: pip install 'gaussmix[cli]'.") from None
    return opener


def is_for_others(name: str) -> bool:
    """Return whether the extension of files (a path, a pattern or a folder) belongs to another package."""
    from gaussmix._src.sources.files.listing import list_files

    return _opener_of_others(list_files(name)[0].suffix.lower()) is not None


def _opener_of_others(extension: str) -> Opener | None:
    is_own = not extension or any(extension in each for each in EXTENSIONS.values())
    return _registered(extension) if extension in SOURCES or not is_own else None


def _of_files(name: str) -> Opener | None:
    """Return the function that opens the files of a path, a pattern or a folder."""
    from gaussmix._src.sources.files.listing import list_files
    from gaussmix._src.sources.files.npy import is_numeric_array, open_npy  # imported here, because only files need it

    first = list_files(name)[0]
    opener = _opener_of_others(first.suffix.lower())
    if opener is None and isinstance(first, Path) and first.is_file() and is_numeric_array(first):  # excludes pipes
        return open_npy
    return opener or _registered("gaussmix.Files")
