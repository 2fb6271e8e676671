"""Rows that do not fit into memory: read in every pass, ahead of the work, into buffers that are used again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from errno import EIO
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import Any, NamedTuple

import numpy as np

from gaussmix.errors import listed
from gaussmix.numerics.arrays import Array, Rows
from gaussmix.numerics.rows import LARGEST, LARGEST_WEIGHT, bad_cell, largest_of
from gaussmix.sources.array import ArraySource
from gaussmix.sources.base import Source
from gaussmix.sources.findings import Finding
from gaussmix.sources.survey import Survey
from gaussmix.waist.block import Block, Profile
from gaussmix.waist.leaves import LEAF_ROWS, count_leaves

N_BUFFERS = 3  # one is filled, one waits, one is worked on
LARGEST_CHUNK = 2**25  # bytes of rows; larger ones read no faster
WAIT = 0.05  # seconds between looks whether the other thread has given up


class Cursor(ABC):
    """A place in the rows of a reader, from which the following rows are read."""

    @abstractmethod
    def fill(self, rows: Rows, row_weight: Array | None) -> None:
        """Read the next `len(rows)` rows, and their weights where there are any.

        Raises OSError, or ValueError with the place, for what can't be read.
        """

    @abstractmethod
    def close(self) -> None:
        """Give back what is open. Raises OSError where files have changed since they were opened."""


@dataclass(frozen=True)
class About:
    """What messages say of a table without files: attributes as for `Reader`. It can be sent to other processes."""

    name: str
    names: Sequence[str]
    weights: str | None
    n_rows: int
    may_miss: bool = False

    def place(self, row: int) -> str:
        """Where a row is."""
        return f"{self.name}, row {row}"

    def flaw(self, block: Block) -> str | None:
        """What is wrong with the first row of a block that no fit can use; None where all are right."""
        try:
            check_numbers(self, block.first_row, block.rows, block.row_weight)
        except ValueError as error:
            return str(error)
        return None


class Reader(ABC):
    """A table that can be read again and again, from the first row to the last.

    Attributes
    ----------
    name : of the file or files, for messages.
    n_rows : number of rows.
    names : of the columns that are features.
    dtype : float32 or float64.
    weights : the column of row weights; None where there are none.
    order : "C" or "F", how rows lie in the buffers that cursors fill fastest.
    has_names : whether the names are the table's own.
    may_miss : cells of features may be missing.
    """

    name: str
    n_rows: int
    names: Sequence[str]
    dtype: np.dtype[Any]
    weights: str | None = None
    order: str = "F"
    has_names: bool = True
    may_miss: bool = False

    @abstractmethod
    def cursor(self) -> Cursor:
        """A cursor before the first row."""

    @abstractmethod
    def place(self, row: int) -> str:
        """Where a row is, for messages: its file, its row group and its number, counted from 0."""

    def bytes_of(self, n_rows: int) -> int:
        """Size of so many rows in memory."""
        return n_rows * (len(self.names) + (self.weights is not None)) * self.dtype.itemsize


class PartedReader(Reader):
    """A table that yields its rows in parts of any sizes."""

    @abstractmethod
    def parts(self) -> Iterator[Any]:
        """All rows in order, from the first to the last; each part has `n_rows` or `num_rows`."""

    @abstractmethod
    def put_part(self, part: Any, first: int, rows: Rows, row_weight: Array | None) -> None:
        """Copy as many rows of a part as there is room for, from `first` on, and their weights."""

    def cursor(self) -> Cursor:
        return _PartsCursor(self)

    def place(self, row: int) -> str:
        return f"{self.name}, row {row}"

    def check_unchanged(self) -> None:
        """Raise OSError where files have changed since they were opened; asked at the end of each pass."""


class _PartsCursor(Cursor):
    def __init__(self, reader: PartedReader) -> None:
        self._reader, self._parts = reader, reader.parts()
        self._part: Any = None
        self._row = self._n_rows = 0  # of the part

    def fill(self, rows: Rows, row_weight: Array | None) -> None:
        first = 0
        while first < len(rows):
            if self._row == self._n_rows:
                self._part, self._row = next(self._parts, None), 0
                if self._part is None:
                    reader = self._reader
                    raise OSError(EIO, f"has fewer rows than the {reader.n_rows} it had before", reader.name)
                self._n_rows = self._part.n_rows if isinstance(self._part, Block) else self._part.num_rows
            count = min(len(rows) - first, self._n_rows - self._row)
            room = slice(first, first + count)
            self._reader.put_part(self._part, self._row, rows[room], None if row_weight is None else row_weight[room])
            first, self._row = first + count, self._row + count

    def close(self) -> None:
        if hasattr(self._parts, "close"):
            self._parts.close()
        self._reader.check_unchanged()


class FileSource(Source):
    """Rows of a reader, a few leaves of them in memory at a time.

    A thread reads ahead. Nothing that is read is kept between passes, so blocks may not be kept either.

    Parameters
    ----------
    reader : where the rows are.
    memory : bytes for buffers and for what engines keep beside blocks.
    """

    whole = None
    is_read_again = is_far = True
    watch: Callable[[int], None] | None = None  # is called with the number of rows that were worked on

    def __init__(self, reader: Reader, memory: int) -> None:
        self.n_rows, self.n_features, self.dtype = reader.n_rows, len(reader.names), reader.dtype
        self.feature_names = tuple(reader.names) if reader.has_names else None
        self.reader, self.memory, self.may_miss = reader, memory // 4, reader.may_miss
        most = max(min(LARGEST_CHUNK, memory // (4 * N_BUFFERS)) // reader.bytes_of(LEAF_ROWS), 1)
        self._chunk_rows = min(1 << (most.bit_length() - 1), count_leaves(self.n_rows)) * LEAF_ROWS

    def __repr__(self) -> str:
        return f"<FileSource {self.reader.name}: {self.n_rows} rows, {self.n_features} features, {self.dtype}>"

    def blocks(self) -> Iterator[Block]:
        with closing(_Ahead(self.reader, self._chunk_rows)) as chunks:
            for block in chunks:
                yield block
                if self.watch is not None:
                    self.watch(block.n_rows)

    def sample(self, n_rows: int) -> Block:
        if self.n_rows <= n_rows:
            return Block.joined(block.between(0, block.n_rows) for block in self.blocks())
        self.of_all(Profile)  # found out together with the sample
        return self._found["survey"].sample(n_rows) or super().sample(n_rows)

    def _find(self, kinds: Sequence[type[Finding]]) -> Mapping[Any, Any]:
        if Profile not in kinds:
            return super()._find(kinds)
        survey = Survey(self.n_rows, LEAF_ROWS, kinds)
        for block in self.blocks():
            survey.add(block)
        _check_some_weight(self.reader, survey.findings[Profile])
        return {**survey.findings, "survey": survey}


def read_whole(reader: Reader) -> Block:
    """All rows of a reader, in memory."""
    rows = np.empty((reader.n_rows, len(reader.names)), reader.dtype, order="C" if reader.order == "C" else "F")
    weight = None if reader.weights is None else np.empty(reader.n_rows)
    with closing(reader.cursor()) as cursor:
        cursor.fill(rows, weight)
    check_numbers(reader, 0, rows, weight)
    return Block(0, rows, weight)


def opened(reader: Reader, memory: int) -> Source:
    """The rows of a reader: in memory where they fit into half of it, else read in every pass.

    Raises
    ------
    ValueError : there are no rows, or one that no fit can use.
    OSError : rows can't be read.
    """
    if reader.n_rows == 0:
        raise ValueError(f"{reader.name} has no rows.")
    if reader.n_rows > LEAF_ROWS and reader.bytes_of(reader.n_rows) > memory // 2:
        return FileSource(reader, memory)
    block = read_whole(reader)
    source = ArraySource(block.rows, block.row_weight)
    _check_some_weight(reader, source.profile)
    source.feature_names = tuple(reader.names) if reader.has_names else None
    source.may_miss = reader.may_miss
    return source


def _check_some_weight(reader: Reader, profile: Profile) -> None:
    if not profile.n_positive:
        raise ValueError(f"{reader.name}: every weight of column {reader.weights!r} is 0.")


class _Chunk(NamedTuple):
    rows: Rows
    row_weight: Array | None


class _Ahead:
    """The blocks of one pass, read by a thread of its own while others are worked on."""

    def __init__(self, reader: Reader, chunk_rows: int) -> None:
        self._reader, self._chunk_rows = reader, chunk_rows
        self._free: Queue[_Chunk] = Queue()
        self._read: Queue[_Chunk | BaseException] = Queue(1)
        self._is_over = Event()
        self._thread = Thread(target=self._read_all, name="gaussmix-reader", daemon=True)

    def __iter__(self) -> Iterator[Block]:
        shape, weights = (self._chunk_rows, len(self._reader.names)), self._reader.weights
        for _ in range(N_BUFFERS):
            rows = np.empty(shape, self._reader.dtype, order="C" if self._reader.order == "C" else "F")
            self._free.put(_Chunk(rows, None if weights is None else np.empty(shape[0])))
        self._thread.start()
        for first_row in range(0, self._reader.n_rows, self._chunk_rows):
            chunk = self._next()
            n_rows = min(self._chunk_rows, self._reader.n_rows - first_row)
            weight = None if chunk.row_weight is None else chunk.row_weight[:n_rows]
            yield Block(first_row, chunk.rows[:n_rows], weight)
            self._free.put(chunk)
        self._thread.join()
        if not self._read.empty():  # whether files have changed is known at the end
            self._next()

    def _next(self) -> _Chunk:
        while True:
            try:
                found = self._read.get(timeout=WAIT)
            except Empty:
                continue  # lets Ctrl-C in
            if isinstance(found, BaseException):
                raise found
            return found

    def _read_all(self) -> None:
        try:
            with closing(self._reader.cursor()) as cursor:
                for first_row in range(0, self._reader.n_rows, self._chunk_rows):
                    chunk = self._wait_for_a_buffer()
                    if chunk is None:
                        return
                    n_rows = min(self._chunk_rows, self._reader.n_rows - first_row)
                    rows, weight = chunk.rows[:n_rows], chunk.row_weight
                    cursor.fill(rows, None if weight is None else weight[:n_rows])
                    check_numbers(self._reader, first_row, rows, None if weight is None else weight[:n_rows])
                    self._put(chunk)
        except BaseException as error:
            self._put(error)

    def _wait_for_a_buffer(self) -> _Chunk | None:
        while not self._is_over.is_set():
            try:
                return self._free.get(timeout=WAIT)
            except Empty:
                continue
        return None

    def _put(self, what: _Chunk | BaseException) -> None:
        while not self._is_over.is_set():
            try:
                self._read.put(what, timeout=WAIT)
            except Full:
                continue
            return

    def close(self) -> None:
        """Stop reading."""
        self._is_over.set()
        if self._thread.is_alive():
            self._thread.join()


def check_columns(name: str, every: Sequence[Any], columns: Sequence[Any] | None, weights: Any) -> None:
    """Raise ValueError for a choice among the columns of a table that can't be meant.

    Parameters
    ----------
    name : of the table.
    every : its columns.
    columns, weights : as for `gaussmix.open`.
    """
    twice = next((column for column in every if list(every).count(column) > 1), None)
    if twice is not None:
        raise ValueError(f"{name} has two columns called {twice!r}: rename one.")
    if isinstance(columns, str) or (columns is not None and not len(columns)):
        raise ValueError(f"columns must be a list of names, got {columns!r}.")
    chosen = list(columns or ())
    for column in (*chosen, *([weights] if weights is not None else [])):
        if column not in every:
            raise ValueError(f"{name} has no column {column!r}; it has {listed(list(every))}.")
    if weights in chosen:
        raise ValueError(f"{weights!r} can't be a feature and the weight.")
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"columns must name each column once, got {chosen!r}.")


def check_cells(
    place: Callable[[int], str],
    names: Sequence[str],
    first_row: int,
    rows: Rows,
    largest: float = LARGEST,
    *,
    may_miss: bool = False,
) -> None:
    """Raise ValueError for the first number that is missing, infinite or too large: its place, and what to do."""
    cell = bad_cell(rows, largest, may_miss=may_miss)
    if cell is not None:
        raise ValueError(f"{place(first_row + cell.row)}, column {names[cell.column]!r}: {cell.sentence}")


def check_numbers(reader: Reader | About, first_row: int, rows: Rows, row_weight: Array | None) -> None:
    """Raise ValueError for the first row that no fit can use: its place, and what to do."""
    check_cells(reader.place, reader.names, first_row, rows, largest_of(reader.n_rows), may_miss=reader.may_miss)
    if row_weight is None:
        return
    wrong = ~((row_weight >= 0) & (row_weight <= LARGEST_WEIGHT))
    if wrong.any():
        row = int(wrong.argmax())
        where = f"{reader.place(first_row + row)}, column {reader.weights!r}"
        if np.isnan(row_weight[row]):
            raise ValueError(f"{where}: the weight is missing (NaN or null). Give a number: 0 leaves the row out.")
        raise ValueError(f"{where}: the weight {row_weight[row]:g} is not between 0 and {LARGEST_WEIGHT:g}.")
