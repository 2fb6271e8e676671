"""Which reader a table takes: by the user's word, the extension of its name, or its first bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath

from gaussmix.sources.tables.arrow_table import read_arrow, read_npy, read_parquet
from gaussmix.sources.tables.csv_table import CsvTable
from gaussmix.sources.tables.inputs import Input
from gaussmix.sources.tables.tables import Table

READERS: dict[str, Callable[[Input], Table]] = {
    "csv": CsvTable.open,
    "parquet": read_parquet,
    "arrow": read_arrow,
    "npy": read_npy,
}
EXTENSIONS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".ipc": "arrow",
    ".feather": "arrow",
    ".npy": "npy",
}
_BEGINNINGS = {
    b"PAR1": "parquet",
    b"ARROW1": "arrow",
    b"FEA1": "arrow",
    b"\xff\xff\xff\xff": "arrow",  # a stream
    b"\x93NUMPY": "npy",
}


def open_table(path: str, format: str | None = None, has_header: bool | None = None) -> Table:
    """Open a table.

    Parameters
    ----------
    path : of a file; "-" for standard input.
    format : a name in READERS; None to find it out.
    has_header : of CSV; None to find it out.

    Raises
    ------
    BadTable : it is not what it is read as.
    OSError : it can't be opened.
    """
    source = Input.of(path)
    format = format or EXTENSIONS.get(PurePath(source.name).suffix.lower()) or _by_beginning(source)
    return CsvTable.open(source, has_header) if format == "csv" else READERS[format](source)


def _by_beginning(source: Input) -> str:
    start = source.start(6)
    return next((format for beginning, format in _BEGINNINGS.items() if start.startswith(beginning)), "csv")
