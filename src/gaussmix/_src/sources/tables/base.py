"""What a reader of tables takes and makes: bytes from a file or a pipe, and a table whose columns become numbers."""

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
from tokenize import TokenError
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
BATCH_BYTES = 2**22  # of a batch; larger ones read no faster
COLUMN_BYTES = 2**13  # that a column counts, whatever its rows: its readers were seen to take 10 to 18 kB
STANDARD = "-"  # standard input or output
INDEX_OF_FRAME = "it is the index of a data frame"
INDEX = re.compile(r"__index_level_\d+__|Unnamed: 0|")  # how data frames name their index: in CSV not at all
_MIN_COUNTED_ROWS = 10  # rows: fewer may rise by one each by chance
_INDEX_NAME = re.compile(r"(?:^|[\W_])(?:id|idx|index|key|nr|no|number|row)$", re.IGNORECASE)
# How compressed bytes begin.
_CODECS = {
    rb"\x1f\x8b": "gzip",
    rb"BZh[1-9](1AY|\x17rE)": "bz2",
    rb"\x28\xb5\x2f\xfd": "zstd",
    rb"\x04\x22\x4d\x18": "lz4",
}


class BadTable(ValueError):
    """A table that can't be read or used. The message names the file and the place."""


@dataclass(frozen=True)
class Dialect:
    """How text is to be read."""

    has_header: bool | None = None  # whether the first line holds names; None if the user does not say
    delimiter: str | None = None  # between fields, " " for any run of blanks and tabs; None if the user does not say
    decimal: str | None = None  # the mark before the fraction of a number, "." or ","; None if the user does not say
    missing: tuple[str, ...] = ()  # texts that say that a number is missing, beside the usual ones
    thousands: str | None = None  # the mark between groups of three digits, if any; "." makes "," the decimal mark
    encoding: str | None = None  # as Python calls it; None if the user does not say
    # in bytes; bounds what a line may take
    memory: int = field(default=check_memory(DEFAULT_MEMORY), repr=False, compare=False)

    @property
    def longest(self) -> int:
        """Return the largest number of characters in a line."""
        return max(2**20, self.memory // 8)

    def check_width(self, name: str, n_columns: int) -> None:
        """Raise BadTable for a table of so many columns that opening it would take more than the memory."""
        if n_columns > max(2**14, self.memory // COLUMN_BYTES):
            needed = f"{-(-n_columns * COLUMN_BYTES // 10**6)} MB"
            raise BadTable(f"{name} has {n_columns:,} columns, which take {needed} to read. Give memory= as much.")


@dataclass(frozen=True)
class Input:
    """The bytes of a table, which can be read several times, and what the user says of them."""

    name: str  # of the file, for messages
    contents: bytes | None = None  # of a pipe, which can be read only once; None for a file
    dialect: Dialect = Dialect()  # of text
    stored: StoredFile | None = None  # the file, where it is not on this machine
    requests: Requests | None = None  # of a stored file, what is under way

    @classmethod
    def from_file(cls, file: str | Path | StoredFile, dialect: Dialect = Dialect()) -> Input:
        """Open a file or a pipe; "-" is standard input. Raises OSError."""
        name = str(file)
        if name == STANDARD:
            return cls("standard input", sys.stdin.buffer.read(), dialect)
        if not isinstance(file, str | Path):
            return cls(name, None, dialect, file)
        with open(name, "rb") as opened:
            return cls(name, None if os.path.isfile(name) else opened.read(), dialect)

    def first_bytes(self, n_bytes: int) -> bytes:
        """As many of the first bytes as there are."""
        if self.stored is not None:
            return self.stored.read(0, n_bytes)
        with self.opened() as file:
            return bytes(file.read(n_bytes))

    @property
    def files(self) -> tuple[Path | StoredFile, ...]:
        """The file that is read; none where its contents are in memory."""
        return () if self.contents is not None else (self.stored or Path(self.name),)

    def opened(self) -> pa.NativeFile:
        """The bytes as a file that can be read from any place on."""
        return self._file(pa.OSFile) if self.stored is None else self.stored.opened(self.requests)

    def mapped(self) -> pa.NativeFile:
        """The bytes as a file whose buffers are where it lies. Reading one that becomes shorter ends the process."""
        return self._file(pa.memory_map)

    def _file(self, of_path: Callable[[bytes], pa.NativeFile]) -> pa.NativeFile:
        """A file of this machine, by its name as the system has it: Arrow takes no text that is not UTF-8."""
        return of_path(os.fsencode(self.name)) if self.contents is None else pa.BufferReader(self.contents)

    def stream(self) -> pa.NativeFile:
        """The bytes as a binary stream, decompressed where they are compressed."""
        start = self.first_bytes(8)
        codec = next((codec for beginning, codec in _CODECS.items() if re.match(beginning, start)), None)
        return pa.input_stream(self.opened(), compression=codec)


@contextmanager
def reading(source: Input, format: str) -> Iterator[None]:
    """Raise BadTable, in one sentence, for what a reader raises. Errors of the system pass: they say enough."""
    try:
        yield
    except BadTable:
        raise
    except MemoryError as error:
        raise no_memory(source.name, error) from None
    except (pa.ArrowException, ValueError, EOFError, TypeError, OSError, TokenError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = "a bracket or quote is not closed" if isinstance(error, TokenError) else first_line(error)
        raise BadTable(f"{source.name} can't be read as {format}: {reason}.") from None


def no_memory(what: str, error: MemoryError) -> Exception:
    """The error where there is no room for what is read, or a damaged file says that more is to come than can be."""
    size = re.search(r"of size (\d+)", str(error))
    if size and int(size[1]) > physical_memory():
        return BadTable(f"{what} is damaged: it claims a part of {int(size[1]):,} bytes, more than this machine has.")
    return MemoryError(f"{what}: there is not enough memory to read it ({first_line(error)}). Give a smaller memory=.")


def first_line(error: Exception) -> str:
    """What an error of a library says, without its advice and its full stop."""
    return str(error).partition("\n")[0].rstrip(".")


@dataclass(frozen=True, kw_only=True)
class Table(ABC):
    """A table whose columns are known, and which is read some rows at a time."""

    name: str  # of the file, for messages
    names: tuple[str, ...]  # of its columns; x0, x1 … if it has no names
    has_names: bool = True  # whether the names are its own
    notices: tuple[str, ...] = ()  # sentences on what was guessed
    # delimiter, decimal: between the fields, and in numbers, where the table is written as CSV
    delimiter: str = ","
    decimal: str = "."
    missing: tuple[str, ...] = ()  # how text says that a number is missing
    thousands: str | None = None  # between groups of three digits, in numbers of CSV
    encoding: str = "utf-8"  # of text
    files: tuple[Path | StoredFile, ...] = ()  # what is read in every pass; none where the bytes are in memory

    @property
    @abstractmethod
    def schema(self) -> pa.Schema:
        """Names and types of the columns; of text, the types of its first rows."""

    @cached_property
    def column_indices(self) -> Mapping[str, int]:
        """The columns, and where each is among them."""
        return {name: index for index, name in enumerate(self.names)}

    @property
    def n_rows(self) -> int | None:
        """Number of rows; None where only reading them tells."""
        return None

    @abstractmethod
    def batches(self, columns: Sequence[str], numeric: Collection[str] = ()) -> Iterator[pa.RecordBatch]:
        """Columns in this order, some rows at a time. In text formats all are text but the columns `numeric`.

        Raises BadTable, OSError: rows can't be read; one of the columns `numeric` holds text.
        """

    @abstractmethod
    def describe_location(self, row: int) -> str:
        """Where a row is, for messages: its file, and its line or its number, counted from 0."""

    @abstractmethod
    def why_not_numeric(self, name: str, kind: pa.DataType) -> str:
        """What a column holds that is not numbers, as the end of a sentence."""

    def is_slow(self, columns: Collection[str]) -> bool:
        """Whether reading some columns takes longer than a pass of EM, or their number of rows is not known."""
        return self.n_rows is None

    def n_together(self, columns: Collection[str]) -> int:
        """The largest number of rows whose columns can only be read together; 0 where few can be."""
        return 0

    def ranges(self, columns: Collection[str], max_bytes: int) -> Iterable[tuple[int, int]]:
        """Of a stored file: the places and numbers of bytes that some columns take, in the order of reading.

        A reader may hold about `max_bytes` bytes.
        """
        return [(0, file.size) for file in self.files if not isinstance(file, Path)]

    def with_requests(self, requests: Requests) -> Self:
        """The table of a stored file whose bytes are under way."""
        twin: Any = copy(self)  # with its cached properties
        vars(twin)["source"] = replace(twin.source, requests=requests)
        return twin

    def unlike(self, other: Table) -> str | None:
        """Which columns another table does not have; None where it has the same."""
        if self.names != other.names:
            return self._other_names(other)
        unlike = (ours for ours, theirs in zip(self.schema, other.schema, strict=True) if ours.type != theirs.type)
        return next((f"column {ours.name!r} of {ours.type}" for ours in unlike), None)

    def _other_names(self, other: Table) -> str | None:
        """The first column that only one of two tables has, or that both have the same in another order."""
        absent = [f"no column {name!r}" for name in other.names if name not in self.column_indices]
        more = [f"column {name!r}" for name in self.names if name not in other.column_indices]
        return next(iter(absent + more), "its columns in another order")

    def numeric_names(self, without: Collection[str] = ()) -> tuple[str, ...]:
        """The columns that hold numbers, except those in `without` and the index of a data frame."""
        self.check_bad_cells(without)
        names = (each.name for each in self.schema if is_numeric(each.type) and not INDEX.fullmatch(each.name))
        return tuple(name for name in names if name not in without)

    def counting_names(self, names: Sequence[str]) -> list[str]:
        """Those of these columns that count the rows, by the first batch: from 0 or 1, or called like a number."""
        integers = [name for name in names if self.has_names and pa.types.is_integer(self.schema.field(name).type)]
        batch = next(self.batches(integers, integers), None) if integers else None
        if batch is None or batch.num_rows < _MIN_COUNTED_ROWS:
            return []
        result = {name: doubles(batch.column(name)) for name in integers}
        is_called = {name: values[0] in (0, 1) or _INDEX_NAME.search(name) for name, values in result.items()}
        counting = [name for name, values in result.items() if is_called[name] and (np.diff(values) == 1).all()]
        others = [name for name in names if is_numeric(self.schema.field(name).type) and name not in counting]
        return counting if others else []

    def bad_cells(self, name: str) -> str | None:
        """Which cells of a column of text are not numbers, as the end of a sentence, if nearly all are; else None."""
        return None

    def check_bad_cells(self, without: Collection[str] = ()) -> None:
        """Raise BadTable for a column of text that nearly is one of numbers: it would be left out by a typing error."""
        for name in self.names:
            result = None if name in without else self.bad_cells(name)
            if result is not None:
                where, advice = f"{self.name}, column {name!r}", "mend these cells, or exclude the column"
                raise BadTable(f"{where} holds numbers except {result}: {advice}.")

    def check_has(self, name: str) -> None:
        """Raise BadTable for a column that is absent."""
        if name not in self.column_indices:
            raise BadTable(f"{self.name} has no column {name!r}; it has {listed(self.names)}.")

    def check_numeric(self, columns: Sequence[str]) -> None:
        """Raise BadTable for a column that is absent or does not hold numbers."""
        for name in columns:
            self.check_has(name)
            kind = self.schema.field(name).type
            if not is_numeric(kind):
                raise BadTable(f"{self.name}, column {name!r}: {self.why_not_numeric(name, kind)}.")

    def parts(self, n_rows: int, numeric: Collection[str] = ()) -> Iterator[pa.Table]:
        """All columns, `n_rows` rows at a time. Columns of text formats are text, except `numeric`."""
        return in_parts(self.batches(self.names, numeric), n_rows)

    def rows(self, columns: Sequence[str], n_rows: int, *, may_miss: bool = False) -> Iterator[NDArray[np.float64]]:
        """Columns as finite numbers (n_rows, n_columns), `n_rows` at a time, and NaN where cells `may_miss`.

        Raises BadTable: there are no rows, or a value is infinite, or missing where it may not.
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
        """Columns as numbers in memory, (n_rows, n_columns); NaN and errors as for `rows`."""
        return np.concatenate(list(self.rows(columns, BATCH_ROWS, may_miss=may_miss)))


def valid(batch: pa.RecordBatch, name: str) -> pa.RecordBatch:
    """The batch, if nothing in it points outside its buffers; raises BadTable, with the column.

    Arrow follows what a file says without a look: a damaged offset of a text would end the process.
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
    """How many rows of so many columns to read at a time: a multiple of 8."""
    return max(8, min(BATCH_ROWS, BATCH_BYTES // (8 * n_columns) // 8 * 8))


def in_parts(batches: Iterator[pa.RecordBatch], n_rows: int) -> Iterator[pa.Table]:
    """The same rows, `n_rows` at a time."""
    partitions: list[pa.RecordBatch] = []
    missing = n_rows
    for batch in batches:
        while batch.num_rows >= missing:
            yield pa.Table.from_batches([*partitions, batch.slice(0, missing)])
            batch, partitions, missing = batch.slice(missing), [], n_rows
        if batch.num_rows:
            partitions.append(batch)
            missing -= batch.num_rows
    if partitions:
        yield pa.Table.from_batches(partitions)


def doubles(column: pa.Array | pa.ChunkedArray) -> NDArray[np.float64]:
    """The numbers of a column as float64; null becomes NaN."""
    return whole(pc.cast(column, pa.float64(), safe=False))


def whole(column: pa.Array | pa.ChunkedArray) -> NDArray[Any]:
    """The numbers of a column, read-only; null becomes NaN. pyarrow's own `to_numpy` first imports pandas."""
    if column.null_count:
        column = pc.fill_null(column, np.nan)
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    return np.from_dlpack(column)


def is_numeric(kind: Any) -> bool:
    """Whether columns of a type hold numbers; true is 1, as in data frames."""
    types = pa.types
    return any(is_kind(kind) for is_kind in (types.is_integer, types.is_floating, types.is_decimal, types.is_boolean))


def typed(schema: pa.Schema, others: Iterable[pa.Schema]) -> pa.Schema:
    """The schema with a type for columns of nulls alone: that of the first other schema that has one."""
    empty = {field.name for field in schema if pa.types.is_null(field.type)}
    result: dict[str, pa.Field] = {}
    for other in others if empty else ():
        result |= {field.name: field for field in other if field.name in empty and not pa.types.is_null(field.type)}
        empty -= result.keys()
        if not empty:
            break
    fields = [result.get(field.name, field) if pa.types.is_null(field.type) else field for field in schema]
    return pa.schema(fields, schema.metadata) if result else schema


def describe_type(kind: Any) -> str:
    """What the values of a type that is not numeric are, as the end of a sentence."""
    if pa.types.is_null(kind):
        return "it is empty"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "it holds text, not numbers"
    if pa.types.is_temporal(kind):
        return "it holds dates, times or durations; write them as numbers first, such as days since the first"
    if pa.types.is_dictionary(kind):
        return "it holds categories, not numbers"
    return f"it holds {kind}, not numbers"


def check_names(name: str, names: Sequence[str]) -> None:
    """Raise BadTable if two columns have the same name."""
    seen: set[str] = set()
    for column in names:
        if column in seen:
            raise BadTable(f"{name} has two columns called {column!r}: rename one.")
        seen.add(column)
