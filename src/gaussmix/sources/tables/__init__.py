"""Tables in files and pipes: a new format is a function in a file of its own, and an entry of `FORMATS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath

from gaussmix.sources.files.paths import paths_of
from gaussmix.sources.tables.arrow_table import read_arrow
from gaussmix.sources.tables.base import (
    STANDARD,
    BadTable,
    Dialect,
    Input,
    Table,
    invented_names,
    is_numeric,
)
from gaussmix.sources.tables.csv_table import read_csv
from gaussmix.sources.tables.files import Files
from gaussmix.sources.tables.npy_table import read_npy
from gaussmix.sources.tables.parquet_table import read_parquet
from gaussmix.sources.tables.typed_table import BATCH_ROWS, batch_rows

__all__ = [
    "BATCH_ROWS",
    "FORMATS",
    "BadTable",
    "Dialect",
    "Files",
    "Table",
    "batch_rows",
    "format_by_name",
    "invented_names",
    "is_numeric",
    "open_table",
]


@dataclass(frozen=True)
class Format:
    """A format of tables.

    Parameters
    ----------
    read : makes a table of the bytes. Raises BadTable if they are not of this format, OSError if they can't be read.
    extensions : of the names of its files, in lower case.
    beginnings : how its files begin.
    """

    read: Callable[[Input], Table]
    extensions: tuple[str, ...]
    beginnings: tuple[bytes, ...] = ()


_ARROW_STREAM = b"\xff\xff\xff\xff"
FORMATS = {
    "csv": Format(read_csv, (".csv", ".tsv", ".txt")),
    "parquet": Format(read_parquet, (".parquet", ".pq"), (b"PAR1",)),
    "arrow": Format(read_arrow, (".arrow", ".arrows", ".ipc", ".feather"), (b"ARROW1", b"FEA1", _ARROW_STREAM)),
    "npy": Format(read_npy, (".npy",), (b"\x93NUMPY",)),
}
GUESSED = Dialect()  # from the first two lines of a file
_UNREADABLE = (  # extensions, a beginning, and what to do
    ((".gmm",), b"", "is a model, not a table: name the rows to read"),
    ((".json", ".jsonl", ".ndjson"), b"", "is JSON, which is not read: write it as CSV or Parquet first"),
    ((".npz",), b"", "holds several arrays: save the one to read as .npy"),
    ((".xlsx", ".xls", ".ods"), b"", "is a spreadsheet: save it as CSV first"),
    ((".zip",), b"PK\x03\x04", "is a zip archive: unpack it first; one table is read compressed by gzip"),
    ((".pkl", ".pickle", ".joblib", ".rds", ".rdata", ".mat", ".h5"), b"", "is no table that is read: write it as CSV"),
)


def open_table(name: str, format: str | None = None, dialect: Dialect = GUESSED) -> Files:
    """Open a file, a pipe, or several files as one table.

    Parameters
    ----------
    name : of a file or a pipe, "-" for standard input, a pattern or a folder.
    format : a key of FORMATS. By default the extension of the first file decides, then its first bytes; else it is
        "csv".
    dialect : how CSV is to be read; what it does not say is guessed from the first two lines.

    Raises
    ------
    BadTable : a file is not of its format or of none that is read, or files have unlike columns.
    OSError : a file can't be opened.
    """
    names = [STANDARD] if name == STANDARD else [str(path) for path in paths_of(name)]
    inputs = [Input.of(each, dialect) for each in names]
    if format is None:
        _check_readable(inputs[0])
    format = format or format_by_name(inputs[0].name) or _format_by_beginning(inputs[0]) or "csv"
    return Files.of([FORMATS[format].read(each) for each in inputs])


def format_by_name(path: str) -> str | None:
    """The format that the extension of a path stands for; None if it stands for none."""
    extension = PurePath(path).suffix.lower()
    return next((name for name, format in FORMATS.items() if extension in format.extensions), None)


def _format_by_beginning(source: Input) -> str | None:
    return next((name for name, format in FORMATS.items() if source.first_bytes(8).startswith(format.beginnings)), None)


def _check_readable(source: Input) -> None:
    """Raise BadTable for a file that surely is no table, and say what to do."""
    extension, start = PurePath(source.name).suffix.lower(), source.first_bytes(8)
    for extensions, beginning, advice in _UNREADABLE:
        if extension in extensions or (beginning and start.startswith(beginning)):
            raise BadTable(f"{source.name} {advice}.")
