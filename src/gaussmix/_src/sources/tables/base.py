"""Define the input of table readers (a file or a pipe), and the base class of tables with numeric columns."""

from __future__ import annotations

import os
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gaussmix._src.errors import listed
from gaussmix._src.numerics.threads import cached_property
from gaussmix._src.sources.files.base import check_cells
from gaussmix._src.sources.opening import DEFAULT_MEMORY, check_memory
from gaussmix._src.sources.traffic import physical_memory

if TYPE_CHECKING:
    from gaussmix._src.sources.files.stores import Requests, StoredFile

BATCH_ROWS = 65_536
BATCH_BYTES = 2**22  # size of a batch in bytes; larger batches are not read faster
COLUMN_BYTES = 2**13  # assumed bytes of memory per column of an open table; readers were measured to take 10 to 18 kB
STANDARD = "-"  # file name that means standard input or output
INDEX_OF_FRAME = "it is the index of a data frame"
# Names of the column in which a written data frame has its index; the name is "" in CSV files.
INDEX = re.compile(r"__index_level_\d+__|Unnamed: 0|")
_MIN_COUNTED_ROWS = 10  # in a table with fewer rows, a column may be 1, 2, 3, … by chance
_INDEX_NAME = re.compile(r"(?:^|[\W_])(?:id|idx|index|key|nr|no|number|row)$", re.IGNORECASE)
# First bytes of compressed files, as regular expressions, and the compression codecs.
_CODECS = {
    rb"\x1f\x8b": "gzip",
    rb"BZh[1-9](1AY|\x17rE)": "bz2",
    rb"\x28\xb5\x2f\xfd": "zstd",
    rb"\x04\x22\x4d\x18": "lz4",
}


class BadTable(ValueError):
    """The error for a table that can't be read or used, with a message that names the file and the position."""


class NoRows(BadTable):
    """The error for a file without rows; `names` contains the names of columns if the file has a header."""

    def __init__(self, message: str, names: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.names = names


@dataclass(frozen=True)
class Dialect:
    """Settings for reading a table from text, such as CSV."""

    has_header: bool | None = None  # whether the first line has names of columns; None to guess
    delimiter: str | None = None  # delimiter of fields; " " means any run of blanks and tabs; None to guess
    decimal: str | None = None  # decimal mark, "." or ","; None to guess
    missing: tuple[str, ...] = ()  # texts that mark a missing value, in addition to the usual texts such as "NA"
    thousands: str | None = None  # thousands separator; if it is ".", the decimal mark is ","
    encoding: str | None = None  # encoding, by its name in Python; None to guess
    # Memory limit in bytes; it also limits the length of a line.
    memory: int = field(default=check_memory(DEFAULT_MEMORY), repr=False, compare=False)

    @property
    def max_line_length(self) -> int:
        """Return the maximum number of characters that a line may have."""
        return max(2**20, self.memory // 8)

    def check_width(self, name: str, n_columns: int) -> None:
        """Raise BadTable if an open table with `n_columns` columns would take more memory than the limit."""
        if n_columns > max(2**14, self.memory // COLUMN_BYTES):
            needed = f"{-(-n_columns * COLUMN_BYTES // 10**6)} MB"
            raise BadTable(f"{name} has {n_columns:,} columns, and needs {needed}. Set memory= to at least that.")


@dataclass(frozen=True)
class Input:
    """The file or pipe that contains a table and can be read several times, with the user's settings for reading."""

    name: str  # name of the file for messages
    contents: bytes | None = None  # all bytes of a pipe, as a pipe can be read only once; None for a file
    dialect: Dialect = Dialect()  # settings for reading text
    stored: StoredFile | None = None  # file in a store; None for a file on this machine
    requests: Requests | None = None  # requests, made in advance, for bytes of a stored file

    @classmethod
    def from_file(cls, file: str | Path | StoredFile, dialect: Dialect) -> Input:
        """Open a file or a pipe; "-" means standard input. Raises OSError if the file can't be opened."""
        name = str(file)
        if name == STANDARD:
            return cls("standard input", sys.stdin.buffer.read(), dialect)
        if not isinstance(file, str | Path):
            return cls(name, None, dialect, file)
        with open(name, "rb") as opened:
            return cls(name, None if os.path.isfile(name) else opened.read(), dialect)

    def first_bytes(self, n_bytes: int) -> bytes:
        """Return the first `n_bytes` bytes, or all bytes if there are fewer."""
        if self.stored is not None:
            return self.stored.read(0, n_bytes)
        with self.opened() as file:
            return bytes(file.read(n_bytes))

    @property
    def files(self) -> tuple[Path | StoredFile, ...]:
        """Return the file in a tuple; () if the bytes are in memory."""
        return () if self.contents is not None else (self.stored or Path(self.name),)

    def opened(self) -> pa.NativeFile:
        """Open the input as a file with random access."""
        return self._file(pa.OSFile) if self.stored is None else self.stored.opened(self.requests)

    def mapped(self) -> pa.NativeFile:
        """Map the file into memory. If the file is truncated while it is mapped, a read can kill the process."""
        return self._file(pa.memory_map)

    def _file(self, of_path: Callable[[bytes], pa.NativeFile]) -> pa.NativeFile:
        """Open a local file by its name as bytes, because Arrow rejects names that are not valid UTF-8."""
        return of_path(os.fsencode(self.name)) if self.contents is None else pa.BufferReader(self.contents)

    def stream(self) -> pa.NativeFile:
        """Open the input as a binary stream, which decompresses compressed files."""
        start = self.first_bytes(8)
        codec = next((codec for beginning, codec in _CODECS.items() if re.match(beginning, start)), None)
        return pa.input_stream(self.opened(), compression=codec)


@contextmanager
def reading(source: Input, format: str) -> Iterator[None]:
    """Convert errors of a reader to BadTable with one sentence, except OSError, whose message is clear already."""
    try:
        yield
    except BadTable:
        raise
    except MemoryError as error:
        raise no_memory(source.name, error) from None
    except (pa.ArrowException, ValueError, EOFError, TypeError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise BadTable(f"{source.name} can't be read as {format}: {first_line(error)}.") from None


def no_memory(what: str, error: MemoryError) -> Exception:
    """Return the error to raise after MemoryError: the file claims an impossible size, or memory is short."""
    size = re.search(r"of size (\d+)", str(error))
    if size and int(size[1]) > physical_memory():
        return BadTable(f"{what} is damaged: it claims a part of {int(size[1]):,} bytes, more than this machine has.")
    return MemoryError(f"{what}: there is not enough memory to read it ({first_line(error)}). Lower memory=.")


def first_line(error: Exception) -> str:
    """Return the first line of a library's error message, without its full stop."""
    return str(error).partition("\n")[0].rstrip(".")


@dataclass(frozen=True, kw_only=True)
class Table(ABC):
    """A table with known columns, whose rows are read a few at a time."""

    name: str  # name of the file for messages
    names: tuple[str, ...]  # names of the columns; x0, x1, … if the table has no names
    has_names: bool = True  # whether the table itself has names of columns
    notices: tuple[str, ...] = ()  # messages about guesses
    # Delimiter of fields and decimal mark that are used if the table is written as CSV.
    delimiter: str = ","
    decimal: str = "."
    missing: tuple[str, ...] = ()  # texts that mark a missing value
    thousands: str | None = None  # thousands separator of numbers in CSV; None if there is none
    encoding: str = "utf-8"  # encoding of text
    files: tuple[Path | StoredFile, ...] = ()  # files that every pass reads; () if the bytes are in memory

    @property
    @abstractmethod
    def schema(self) -> pa.Schema:
        """Return the names and types of the columns. In text formats, the types are guessed from the first rows."""

    @cached_property
    def column_indices(self) -> Mapping[str, int]:
        """Return a dictionary from the name of each column to its index."""
        return {name: index for index, name in enumerate(self.names)}

    @property
    def n_rows(self) -> int | None:
        """Return the number of rows; None if the number is unknown before the rows are read."""
        return None

    @abstractmethod
    def batches(self, columns: Sequence[str], numeric: Collection[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield record batches of these columns. In text formats, columns that are not in `numeric` remain text.

        Raises BadTable or OSError if rows can't be read, or if one of the columns `numeric` has text.
        """

    def describe_location(self, row: int) -> str:
        """Return the position of a row for messages: the file, and the line or the index of the row."""
        return f"{self.name}, row {row}"

    def why_not_numeric(self, name: str, kind: pa.DataType) -> str:
        """Return the reason why a column is not numeric, worded as the end of a sentence."""
        return describe_type(kind)

    def is_slow(self, columns: Collection[str]) -> bool:
        """Return whether reading these columns takes longer than an EM step, or the number of rows is unknown."""
        return self.n_rows is None

    def n_together(self, columns: Collection[str]) -> int:
        """Return the largest number of rows that must be read together; 0 if any number of rows can be read."""
        return 0

    def ranges(self, columns: Collection[str], max_bytes: int) -> Iterable[tuple[int, int]]:
        """Return the byte ranges (offset, size) of these columns in files of stores, in the order of reading.

        At most about `max_bytes` bytes may be in memory at a time.
        """
        return [(0, file.size) for file in self.files if not isinstance(file, Path)]

    def with_requests(self, requests: Requests) -> Self:
        """Return the table of a stored file, which takes its bytes from requests that were sent in advance."""
        twin: Any = copy(self)  # a copy, so that cached properties are also copied
        vars(twin)["source"] = replace(twin.source, requests=requests)
        return twin

    def difference_from(self, other: Table) -> str | None:
        """Describe the first column that differs from another table; return None if all columns are the same.

        A column with only nulls, which may have no type, is the same as a column of any type.
        """
        if self.names != other.names:
            return self._name_difference(other)
        pairs = zip(self.schema, other.schema, strict=True)
        differing = (ours for ours, theirs in pairs if ours.type not in (theirs.type, pa.null()))
        return next((f"column {ours.name!r} of {ours.type}" for ours in differing), None)

    def _name_difference(self, other: Table) -> str | None:
        """Describe the first column that only one of two tables has, or the different order of equal columns."""
        absent = [f"no column {name!r}" for name in other.names if name not in self.column_indices]
        more = [f"column {name!r}" for name in self.names if name not in other.column_indices]
        return next(iter(absent + more), "its columns in a different order")

    def numeric_names(self, without: Collection[str] = ()) -> tuple[str, ...]:
        """Return the names of numeric columns, except the columns `without` and the index of a data frame."""
        self.check_bad_cells(without)
        names = (each.name for each in self.schema if is_numeric(each.type) and not INDEX.fullmatch(each.name))
        return tuple(name for name in names if name not in without)

    def counting_names(self, names: Sequence[str]) -> list[str]:
        """Return the columns that only number the rows, judged by their names and by the first batch.

        The numbers are consecutive. They may be in any order if the column has the name of an index, such as "id".
        Otherwise they must count from 0 or 1, because a column such as "rank" may contain the same numbers in another
        order.
        """
        integers = [name for name in names if self.has_names and pa.types.is_integer(self.schema.field(name).type)]
        batch = next(self.batches(integers, integers), None) if integers else None
        if batch is None or batch.num_rows < _MIN_COUNTED_ROWS:
            return []
        counting = []
        for name in integers:
            values, is_called = doubles(batch.column(name)), _INDEX_NAME.search(name)
            if (is_called or values[0] in (0, 1)) and (np.diff(np.sort(values) if is_called else values) == 1).all():
                counting.append(name)
        others = [name for name in names if is_numeric(self.schema.field(name).type) and name not in counting]
        return counting if others else []

    def bad_cells(self, name: str) -> str | None:
        """Describe the cells of a text column that are not numbers; return None if there are many or no such cells."""
        return None

    def check_bad_cells(self, without: Collection[str]) -> None:
        """Raise BadTable if a few cells of a text column are not numbers: typing errors must not exclude a column."""
        for name in self.names:
            result = None if name in without else self.bad_cells(name)
            if result is not None:
                where, advice = f"{self.name}, column {name!r}", "correct these cells, or exclude the column"
                raise BadTable(f"{where} contains only numbers except {result}: {advice}.")

    def check_has(self, name: str) -> None:
        """Raise BadTable for a column that does not exist."""
        if name not in self.column_indices:
            raise BadTable(f"{self.name} has no column {name!r}; it has {listed(self.names)}.")

    def check_numeric(self, columns: Sequence[str]) -> None:
        """Raise BadTable for a column that does not exist or is not numeric."""
        for name in columns:
            self.check_has(name)
            kind = self.schema.field(name).type
            if not is_numeric(kind):
                raise BadTable(f"{self.name}, column {name!r}: {self.why_not_numeric(name, kind)}.")

    def parts(self, n_rows: int, numeric: Collection[str] = ()) -> Iterator[pa.Table]:
        """Yield tables of `n_rows` rows and all columns. In text formats, only the columns `numeric` become numbers."""
        return in_parts(self.batches(self.names, numeric), n_rows)

    def rows(self, columns: Sequence[str], n_rows: int, *, may_miss: bool = False) -> Iterator[NDArray[np.float64]]:
        """Yield arrays (n_rows, n_columns) of finite numbers, with NaN for missing values, `n_rows` rows at a time.

        Raises BadTable if there are no rows, a value is infinite, or a value is missing and `may_miss` is False.
        """
        first = 0
        for part in in_parts(self.batches(columns, columns), n_rows):
            rows = np.empty((part.num_rows, len(columns)))
            for column, name in enumerate(columns):
                rows[:, column] = doubles(part[name])
            check_cells(self.describe_location, columns, first, rows, may_miss)
            yield rows
            first += len(rows)
        if not first:
            raise BadTable(f"{self.name} has no rows.")

    def all_rows(self, columns: Sequence[str], *, may_miss: bool = False) -> NDArray[np.float64]:
        """Return one array (n_rows, n_columns) of all rows of these columns; raise the same errors as `rows`."""
        return np.concatenate(list(self.rows(columns, BATCH_ROWS, may_miss=may_miss)))


def valid(batch: pa.RecordBatch, name: str) -> pa.RecordBatch:
    """Return a record batch if its offsets are valid; otherwise raise BadTable with the name of the column.

    Arrow does not check offsets in files, so a damaged offset in a text column would crash the process.
    """
    try:
        batch.validate(full=True)
    except pa.ArrowException:
        named = [(f"{name}, column {column!r}", batch.column(at)) for at, column in enumerate(batch.schema.names)]
        for where, values in (*named, (name, batch)):
            try:
                values.validate(full=True)
            except pa.ArrowException as error:
                raise BadTable(f"{where} is damaged: {first_line(error)}.") from None
    return batch


def batch_rows(n_columns: int) -> int:
    """Return the number of rows to read at a time, a multiple of 8, if there are `n_columns` columns."""
    return max(8, min(BATCH_ROWS, BATCH_BYTES // (8 * n_columns) // 8 * 8))


def in_parts(batches: Iterator[pa.RecordBatch], n_rows: int) -> Iterator[pa.Table]:
    """Yield the rows of record batches as tables of `n_rows` rows; the last table may have fewer rows."""
    waiting: list[pa.RecordBatch] = []
    missing = n_rows
    for batch in batches:
        while batch.num_rows >= missing:
            yield pa.Table.from_batches([*waiting, batch.slice(0, missing)])
            batch, waiting, missing = batch.slice(missing), [], n_rows
        if batch.num_rows:
            waiting.append(batch)
            missing -= batch.num_rows
    if waiting:
        yield pa.Table.from_batches(waiting)


def doubles(column: pa.Array | pa.ChunkedArray) -> NDArray[np.float64]:
    """Return the numbers of a column as float64, with NaN for null."""
    return column_values(as_doubles(column))


def as_doubles(column: pa.Array | pa.ChunkedArray) -> Any:
    """Convert a column of numbers to Arrow's float64; nulls remain null."""
    if pa.types.is_decimal(column.type):  # PyArrow's cast of a decimal does not always return the nearest float
        column = pc.cast(column, pa.string())
    return pc.cast(column, pa.float64(), safe=False)


def column_values(column: pa.Array | pa.ChunkedArray) -> NDArray[Any]:
    """Return a read-only array of a column's values, with NaN for null; PyArrow's `to_numpy` would import pandas."""
    if column.null_count:
        column = pc.fill_null(column, np.nan)
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    return np.from_dlpack(column)


def is_numeric(kind: Any) -> bool:
    """Return whether an Arrow type is numeric. Boolean columns count as numeric, as in data frames."""
    types = pa.types
    return any(is_kind(kind) for is_kind in (types.is_integer, types.is_floating, types.is_decimal, types.is_boolean))


def fill_null_types(schema: pa.Schema, others: Iterable[pa.Schema]) -> pa.Schema:
    """Return the schema; a column of only nulls gets its type from the first schema in `others` with a type for it.

    Columns that share their name remain unchanged, so that later checks of names can reject them.
    """
    nulls = (field.name for field in schema if pa.types.is_null(field.type))
    untyped = {name for name in nulls if schema.names.count(name) == 1}
    typed: dict[str, pa.Field] = {}
    for other in others if untyped else ():
        present = (each for each in other if each.name in untyped and not pa.types.is_null(each.type))
        typed |= {each.name: each.with_nullable(True) for each in present}
        untyped -= typed.keys()
        if not untyped:
            break
    return pa.schema([typed.get(field.name, field) for field in schema], schema.metadata) if typed else schema


def mark_categories(schema: pa.Schema) -> pa.Schema:
    """Return the schema with dictionary types for categorical columns of pandas, even if Parquet stores plain numbers.

    The schema is returned unchanged if the metadata, which pandas adds to files, are damaged.
    """
    try:
        described = (schema.pandas_metadata or {}).get("columns", ())
        names = {each.get("field_name") for each in described if each.get("pandas_type") == "categorical"}
    except (AttributeError, TypeError, ValueError):
        return schema
    for index, each in enumerate(schema if names else ()):
        if each.name in names and is_numeric(each.type):
            schema = schema.set(index, each.with_type(pa.dictionary(pa.int32(), each.type)))
    return schema


def describe_type(kind: Any) -> str:
    """Describe the values of a type that is not numeric, worded as the end of a sentence."""
    if pa.types.is_null(kind):
        return "it is empty"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "it contains text, not numbers"
    if pa.types.is_temporal(kind):
        return "it contains dates, times or durations; write them as numbers first, such as days since the first"
    if pa.types.is_dictionary(kind):
        return "it contains categories, not numbers"
    return f"it contains {kind}, not numbers"


def check_names(name: str, names: Sequence[str]) -> None:
    """Raise BadTable if two columns have the same name."""
    seen: set[str] = set()
    for column in names:
        if column in seen:
            raise BadTable(f"{name} has two columns called {column!r}: rename one.")
        seen.add(column)
