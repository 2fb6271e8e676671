"""Open tables in files and pipes. To support a new format, write a function that reads it, and add it to `FORMATS`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial, reduce
from itertools import chain
from pathlib import Path, PurePath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gaussmix._src.errors import counted, listed
from gaussmix._src.numerics.threads import cached_property
from gaussmix._src.sources.files.listing import FileVersions, list_files
from gaussmix._src.sources.files.paths import EXTENSIONS
from gaussmix._src.sources.tables.arrow_table import read_arrow
from gaussmix._src.sources.tables.base import STANDARD, BadTable, Dialect, Input, NoRows, Table, fill_null_types
from gaussmix._src.sources.tables.csv_header import read_csv
from gaussmix._src.sources.tables.typed_table import read_npy, read_parquet


@dataclass(frozen=True)
class Format:
    """A file format of tables."""

    # Function that returns a table for an `Input`. The function raises NoRows if the input is text without rows,
    # BadTable if the input does not have this format, and OSError if the input can't be read.
    read: Callable[[Input], Table]
    extensions: tuple[str, ...]  # extensions of the format's files, in lower case
    beginnings: tuple[bytes, ...] = ()  # sequences of bytes with which files of the format may begin


_ARROW_STREAM = b"\xff\xff\xff\xff"
FORMATS = {
    "csv": Format(read_csv, EXTENSIONS["csv"]),
    "parquet": Format(read_parquet, EXTENSIONS["parquet"], (b"PAR1",)),
    "arrow": Format(read_arrow, EXTENSIONS["arrow"], (b"ARROW1", b"FEA1", _ARROW_STREAM)),
    "npy": Format(read_npy, EXTENSIONS["npy"], (b"\x93NUMPY",)),
}
DEFAULT_DIALECT = Dialect()  # with this dialect, all settings are guessed from the first lines of a file
_NO_TABLE = "is not a supported table: write it as CSV"
_UNREADABLE = (  # for each unsupported format: extensions, first bytes and end of the message
    ((".gmm",), (), "is a model, not a table: name the rows to read"),
    ((".json", ".jsonl", ".ndjson"), (b'{"', b"[{"), "is JSON, which is unsupported: write it as CSV or Parquet first"),
    ((".npz",), (), "contains several arrays: save the one to read as .npy"),
    ((".xlsx", ".xls", ".ods"), (b"\xd0\xcf\x11\xe0",), "is a spreadsheet: save it as CSV first"),
    ((".xz", ".7z"), (b"\xfd7zXZ\0", b"7z\xbc\xaf"), "is compressed in an unsupported way: unpack it first"),
    ((".pkl", ".pickle", ".joblib"), (b"\x80\x04", b"\x80\x05"), _NO_TABLE),
    ((".rds", ".rdata", ".mat", ".h5", ".hdf5"), (b"\x89HDF",), _NO_TABLE),
    ((".orc", ".avro", ".dta", ".sav", ".sas7bdat"), (b"ORC\n", b"Obj\x01", b"<stata_d", b"$FL2"), _NO_TABLE),
    ((".sqlite", ".db", ".duckdb"), (b"SQLite f",), "is a database: write the table to read as CSV or Parquet"),
    (
        (".zip",),
        (b"PK\x03\x04",),
        "is a zip archive or a spreadsheet: unpack it, or save it as CSV; one table is read compressed by gzip",
    ),
)


def open_table(name: str, format: str | None = None, dialect: Dialect = DEFAULT_DIALECT) -> Files:
    """Open a file, a pipe ("-" means standard input), or all files of a pattern, a folder or a URL as one table.

    `format` is a key of FORMATS. By default, the format is found by the extension of the first file or by its first
    bytes; otherwise "csv" is assumed. Settings that are None in `dialect` are guessed from the first lines.

    Text files that are empty or have only the expected header are ignored if another file has rows, because programs
    such as Spark write them.

    Raises BadTable if a file does not have the expected or a supported format, files have different columns, or no file
    has rows, and OSError if a file can't be opened.
    """
    inputs = [Input.from_file(file, dialect) for file in ([STANDARD] if name == STANDARD else list_files(name))]
    start = inputs[0].first_bytes(8)
    if format is None:
        _check_readable(inputs[0].name, start)
    by_beginning = (name for name, format in FORMATS.items() if start.startswith(format.beginnings))
    format = format or format_by_name(inputs[0].name) or next(by_beginning, "csv")
    reads = (partial(_read_table, FORMATS[format], each) for each in inputs)
    if inputs[0].stored is None:
        results = [read() for read in reads]
    else:
        from gaussmix._src.sources.files.stores import run_tasks

        results = list(run_tasks(reads))
    tables = [result for result in results if isinstance(result, Table)]
    errors = [result for result in results if isinstance(result, NoRows)]
    for error in errors:
        if not tables or error.names not in ((), tables[0].names):
            raise error
    files = Files.from_tables(tables, dialect)
    ignored = (f"ignored an empty file: {error}" for error in errors if not error.names)
    return replace(files, notices=(*files.notices, *ignored))


def _read_table(format: Format, file: Input) -> Table | NoRows:
    try:
        return format.read(file)
    except NoRows as error:
        return error


def format_by_name(path: str) -> str | None:
    """Return the name of the format to which the extension of a path belongs; None if there is no such format."""
    extension = PurePath(path).suffix.lower()
    return next((name for name, format in FORMATS.items() if extension in format.extensions), None)


def _check_readable(name: str, start: bytes) -> None:
    """Raise BadTable, with advice, if the name or the first bytes of a file show that it has an unsupported format."""
    extension = PurePath(name).suffix.lower()
    for extensions, beginnings, advice in _UNREADABLE:
        if extension in extensions or start.startswith(beginnings):
            raise BadTable(f"{name} {advice}.")


@dataclass(frozen=True, kw_only=True)
class Files(Table):
    """A table that joins the rows of tables with the same columns; files must not change while they are read."""

    # One table per file, and the versions of the files (sizes and times of modification).
    tables: Sequence[Table]
    versions: FileVersions
    dialect: Dialect = DEFAULT_DIALECT  # settings for reading text
    memory: int = 2**27  # memory limit in bytes; up to half of it is for bytes requested in advance from stores
    complete: tuple[str, ...] = ()  # rows with missing values in these columns are left out
    # A dictionary whose entry "rows" is the number of rows that the last complete pass left out.
    n_left_out: dict[str, int] = field(default_factory=dict)

    @classmethod
    def from_tables(cls, tables: Sequence[Table], dialect: Dialect) -> Files:
        """Combine tables into one table; raise BadTable if two tables have different columns."""
        first = tables[0]
        own = {field.name: getattr(first, field.name) for field in fields(Table)}
        for name in "notices", "files":
            own[name] = tuple(chain.from_iterable(getattr(table, name) for table in tables))
        result = cls(**own, tables=tables, versions=FileVersions(own["files"]), dialect=dialect)
        for table in tables[1:]:
            what = table.difference_from(result)
            if what is not None:
                raise BadTable(f"{table.name} has {what}, unlike {first.name}: all files must have the same columns.")
        return result

    def without(self, columns: Collection[str]) -> Files:
        """Return the table without `columns`; raise BadTable if a column does not exist, or if no column remains."""
        columns = {*columns}
        for name in columns:
            self.check_has(name)
        names = tuple(name for name in self.names if name not in columns)
        if not names:
            raise BadTable(f"{self.name} has no columns other than the excluded {listed(sorted(columns))}.")
        return replace(self, names=names)

    def complete_in(self, columns: Sequence[str]) -> Files:
        """Return the table without the rows that have missing values in these columns."""
        return replace(self, complete=tuple(columns), n_left_out={})

    def complete_rows(self) -> NDArray[np.intp]:
        """Return the indices of the rows that have values in all columns of `complete`."""
        batches = replace(self, complete=()).batches(self.complete)
        parts = [self._is_complete(batch).to_numpy(zero_copy_only=False) for batch in batches]
        return np.flatnonzero(np.concatenate(parts))

    @cached_property
    def schema(self) -> pa.Schema:
        schema = fill_null_types(self.tables[0].schema, (table.schema for table in self.tables[1:]))
        return schema if self.names == tuple(schema.names) else pa.schema([schema.field(name) for name in self.names])

    @property
    def n_rows(self) -> int | None:
        sizes = [None if self.complete else table.n_rows for table in self.tables]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    def batches(self, columns: Sequence[str], numeric: Collection[str] = ()) -> Iterator[pa.RecordBatch]:
        self.versions.check()
        wanted, n_retained, n_left_out = list(dict.fromkeys((*columns, *self.complete))), 0, 0
        for table in self._under_way(wanted):
            try:
                for batch in map(self._typed, table.batches(wanted, numeric)):
                    retained = batch.filter(self._is_complete(batch)) if self.complete else batch
                    n_retained += retained.num_rows
                    n_left_out += batch.num_rows - retained.num_rows
                    yield retained.select(list(columns))
            except (OSError, ValueError):
                self.versions.check()  # raises an error if a changed file is the cause
                raise
        self.versions.check()
        if n_left_out and not n_retained:
            raise BadTable(f"{self.name}: every row has a missing value in one of the columns {listed(self.complete)}.")
        self.n_left_out["rows"] = n_left_out

    def _under_way(self, columns: Collection[str]) -> Iterable[Table]:
        """Return the tables. For tables in stores, request in advance the bytes that a pass reads from them."""
        stored = {file: table for table in self.tables for file in table.files if not isinstance(file, Path)}
        if not stored:
            return self.tables
        from gaussmix._src.sources.files.stores import MAX_REQUEST_BYTES, MAX_REQUESTS, MIN_REQUEST_BYTES, Requests

        wanted = {file: table.ranges(columns, self.memory // 4) for file, table in stored.items()}
        requests = Requests(wanted, max(MIN_REQUEST_BYTES, min(MAX_REQUEST_BYTES, self.memory // (4 * MAX_REQUESTS))))
        return [table.with_requests(requests) for table in self.tables]

    @property
    def left_out_notices(self) -> list[str]:
        """Return a list with a sentence about the rows that the last pass left out; [] if the pass used all rows."""
        count = self.n_left_out.get("rows", 0)
        return [f"left out {counted(count, 'row')} of {self.name} with missing values."] if count else []

    def is_slow(self, columns: Collection[str]) -> bool:
        return bool(self.complete) or any(table.is_slow(columns) for table in self.tables)

    def n_together(self, columns: Collection[str]) -> int:
        return max(table.n_together(columns) for table in self.tables)

    def describe_location(self, row: int) -> str:
        for table in self.tables:
            if not self.complete and table.n_rows is not None:
                if row < table.n_rows:
                    return table.describe_location(row)
                row -= table.n_rows
                continue
            first = 0
            for batch in table.batches(self.complete or table.names[:1]):
                retained = pc.indices_nonzero(self._is_complete(batch)) if self.complete else None
                n_retained = batch.num_rows if retained is None else len(retained)
                if row < n_retained:
                    return table.describe_location(first + (row if retained is None else retained[row].as_py()))
                first, row = first + batch.num_rows, row - n_retained
        raise IndexError(row)

    def why_not_numeric(self, name: str, kind: pa.DataType) -> str:
        return self.tables[0].why_not_numeric(name, kind)

    def bad_cells(self, name: str) -> str | None:
        return next(filter(None, (table.bad_cells(name) for table in self.tables)), None)

    def _typed(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Give columns the same types in all files; types differ if a column has only nulls or is not nullable."""
        if len(self.tables) == 1:
            return batch
        types = fill_null_types(batch.schema, [self.schema])
        return batch.cast(pa.schema([column.with_nullable(True) for column in types], types.metadata))

    def _is_complete(self, batch: pa.RecordBatch) -> pa.Array:
        """Return, for each row, whether all columns of `complete` have values, as text or as numbers."""
        return pc.invert(reduce(pc.or_, (_is_missing(batch.column(name), self.missing) for name in self.complete)))


def _is_missing(column: pa.Array, nulls: Sequence[str]) -> pa.Array:
    if pa.types.is_string(column.type):
        return pc.is_in(pc.utf8_trim_whitespace(column), value_set=pa.array(nulls))
    return pc.is_null(column, nan_is_null=True)
