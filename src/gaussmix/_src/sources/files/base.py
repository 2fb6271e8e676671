"""Read tables that do not fit into memory: in every pass, a thread reads rows into buffers, which are reused."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from errno import EIO
from queue import Empty, SimpleQueue
from threading import Thread
from time import perf_counter
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.errors import ParameterTypeError, listed
from gaussmix._src.interfaces.block import Block, RowStatistics
from gaussmix._src.interfaces.leaves import LEAF_ROWS, count_leaves
from gaussmix._src.numerics.arrays import Array, Rows
from gaussmix._src.numerics.rows import MAX_DOUBLE, MAX_TOTAL_WEIGHT, bad_cell, largest_of
from gaussmix._src.numerics.threads import limit_threads
from gaussmix._src.sources.array import ArraySource
from gaussmix._src.sources.base import Source, log_pass
from gaussmix._src.sources.files.listing import FileVersions
from gaussmix._src.sources.row_statistics import RowStatistic
from gaussmix._src.sources.survey import Survey

N_BUFFERS = 2  # while one buffer is filled, the other is processed; a third buffer would save no time
MAX_CHUNK_BYTES = 2**23  # maximum number of bytes read at a time; larger reads are not faster
STATES_FRACTION = 0.14  # fraction of `memory` for the `BlockState` objects that engines store for blocks
WAIT_SECONDS = 0.05  # maximum time in seconds until Ctrl-C is handled


@dataclass(frozen=True)
class TableInfo:
    """A description of a table for other processes: it has the attributes of a `Reader`, but no files."""

    name: str
    names: Sequence[str]
    weights: str | None
    dtype: np.dtype[Any]
    may_miss: bool = False
    has_names: bool = True
    integer_columns: Sequence[int] = ()
    n_rows: int = 0

    def only(self, columns: Sequence[int] | None) -> TableInfo:
        """Return the description of a table with only the columns at these indices; None stands for all columns."""
        return self if columns is None else replace(self, names=[self.names[column] for column in columns])

    def describe_location(self, row: int) -> str:
        """Return the position of a row for messages."""
        return f"{self.name}, row {row}"

    def invalid_reason(self, block: Block) -> str | None:
        """Return an error message for the first invalid row of a block; None if all rows are valid."""
        try:
            check_numbers(self, block.first_row, block.rows, block.row_weight)
        except ValueError as error:
            return str(error)
        return None

    def answer(
        self, task: Callable[[Block], NDArray[Any]], rows: Rows, describe_location: Callable[[int], str]
    ) -> NDArray[Any]:
        """Check the values of rows, run a task on the rows in one thread, and return the task's result."""
        check_cells(describe_location, self.names, 0, rows, self.may_miss)
        with limit_threads(1):
            return task(Block(0, rows))


class Reader(ABC):
    """A table that can be read several times, from the first row to the last."""

    name: str  # name of the table in messages
    n_rows: int  # number of rows
    names: Sequence[str]  # names of the features
    dtype: np.dtype[Any]  # float32 or float64
    weights: str | None = None  # name of the column of row weights; None if there are no weights
    order: Literal["C", "F"] = "F"  # memory order of buffers, "C" or "F", in which reading is fastest
    has_names: bool = True  # whether the table itself has names of columns
    may_miss: bool = False  # whether feature values may be missing
    integer_columns: Sequence[int] = ()  # indices of columns of 64-bit integers
    versions: FileVersions = FileVersions(())  # versions of the files, which must not change until reading has ended

    @abstractmethod
    def parts(self) -> Iterator[Any]:
        """Yield all rows in order, in parts of any size. `n_rows` or `num_rows` is the number of rows of a part."""

    @abstractmethod
    def put_part(self, part: Any, first: int, rows: Rows, row_weight: Array | None) -> None:
        """Copy rows and weights of a part, starting at its row `first`, until `rows` and `row_weight` are full."""

    def describe_location(self, row: int) -> str:
        """Return the position of a row for messages, such as its file, its row group and its index."""
        return f"{self.name}, row {row}"

    def bytes_of(self, n_rows: int) -> int:
        """Return the size of `n_rows` rows in memory."""
        return n_rows * (len(self.names) + (self.weights is not None)) * self.dtype.itemsize

    def empty_block(self, n_rows: int) -> Block:
        """Return an empty block with space for `n_rows` rows."""
        rows = np.empty((n_rows, len(self.names)), self.dtype, self.order)
        return Block(0, rows, None if self.weights is None else np.empty(n_rows))


class Cursor:
    """A position among the rows of a reader; reading rows advances the position."""

    def __init__(self, reader: Reader) -> None:
        reader.versions.check()
        self._reader, self._parts = reader, reader.parts()
        self._part: Any = None
        self._row = self._n_rows = 0  # index of the next row in the current part; number of rows of this part
        self._n_read = 0

    def read(self, room: Block) -> Block:
        """Read the next rows into the arrays of the block `room`, and return a block of these rows.

        Raises OSError if rows can't be read, and ValueError, which reports the row, if a row is invalid.
        """
        reader, first = self._reader, 0
        block = replace(room, first_row=self._n_read).row_range(0, reader.n_rows - self._n_read)
        while first < block.n_rows:
            if self._row == self._n_rows:
                self._part, self._row = next(self._parts, None), 0
                if self._part is None:
                    raise OSError(EIO, f"has fewer rows than the {reader.n_rows} rows that it had before", reader.name)
                self._n_rows = getattr(self._part, "num_rows" if hasattr(self._part, "num_rows") else "n_rows")
            target = block.row_range(first, first + self._n_rows - self._row)
            reader.put_part(self._part, self._row, target.rows, target.row_weight)
            first, self._row = first + target.n_rows, self._row + target.n_rows
        check_numbers(reader, self._n_read, block.rows, block.row_weight)
        self._n_read += block.n_rows
        return block

    def close(self) -> None:
        """Close open files. Raises OSError if any file has changed since the file was opened."""
        if hasattr(self._parts, "close"):
            self._parts.close()
        self._reader.versions.check()


class FileSource(Source):
    """A source that has only a few blocks of a reader's rows in memory at a time.

    A separate thread reads the next block in advance. Because buffers are reused, callers must not store blocks.
    `memory` is the number of bytes for buffers and for the `BlockState` objects of engines.
    """

    whole = None
    is_read_again = is_remote = True
    on_progress: Callable[[int], None] | None = None  # function to call with the number of rows of each processed block

    def __init__(self, reader: Reader, memory: int) -> None:
        self.n_rows, self.n_features, self.dtype = reader.n_rows, len(reader.names), reader.dtype
        self.feature_names = tuple(reader.names) if reader.has_names else None
        self.reader, self.memory, self.may_miss = reader, int(STATES_FRACTION * memory), reader.may_miss
        self.integer_columns = reader.integer_columns
        # All buffers together have at most a quarter of the memory. A chunk has 2^m leaves, so that it is a node of the
        # summation tree.
        max_leaves = max(min(MAX_CHUNK_BYTES, memory // (4 * N_BUFFERS)) // reader.bytes_of(LEAF_ROWS), 1)
        self._chunk_rows = min(1 << (max_leaves.bit_length() - 1), count_leaves(self.n_rows)) * LEAF_ROWS

    def __repr__(self) -> str:
        return f"<FileSource {self.reader.name}: {self.n_rows} rows, {self.n_features} features, {self.dtype}>"

    def blocks(self) -> Iterator[Block]:
        began = perf_counter()
        with closing(_PrefetchedBlocks(self.reader, self._chunk_rows)) as blocks:
            for block in blocks:
                yield block
                if self.on_progress is not None:
                    self.on_progress(block.n_rows)
        log_pass(self, began)

    def sample(self, n_rows: int) -> Block:
        if self.n_rows <= n_rows:
            # Blocks are copied because their buffers are reused.
            return Block.concatenate(block.take(np.arange(block.n_rows), block.first_row) for block in self.blocks())
        self.collect(RowStatistics)  # the pass that computes these statistics also draws the sample
        return super().sample(n_rows)

    def _compute_statistics(self, kinds: Sequence[type[RowStatistic]]) -> Mapping[Any, Any]:
        """Compute several row statistics in one pass, which also draws the sample that `sample` caches."""
        if RowStatistics not in kinds:
            return super()._compute_statistics(kinds)
        survey = Survey(self.n_rows, kinds)
        for block in self.blocks():
            survey.add(block)
        _check_positive_weight(self.reader, survey.findings[RowStatistics])
        sample = survey.sample()
        return survey.findings if sample is None else {**survey.findings, ("sample", LEAF_ROWS): sample}


class _PrefetchedBlocks:
    """An iterator over the blocks of one pass, which a separate thread reads while other blocks are processed.

    The thread is a daemon thread, which opens and closes the cursor, so that Python can exit while a slow disk is read.
    """

    def __init__(self, reader: Reader, chunk_rows: int) -> None:
        self._reader, self._n_chunks, self._is_over = reader, -(-reader.n_rows // chunk_rows), False
        self._buffers: SimpleQueue[Block] = SimpleQueue()
        self._results: SimpleQueue[tuple[Block, Block] | BaseException | None] = SimpleQueue()
        for _ in range(N_BUFFERS):
            self._buffers.put(reader.empty_block(chunk_rows))
        self._thread = Thread(target=self._read_all, name="gaussmix-reader", daemon=True)

    def __iter__(self) -> Iterator[Block]:
        self._thread.start()
        while (result := self._next()) is not None:
            buffer, block = result
            yield block
            self._buffers.put(buffer)
        self._reader.versions.check()  # files may have changed after the thread finished

    def _next(self) -> tuple[Block, Block] | None:
        """Wait for the next block; return its buffer and the block, or None after the last block."""
        while True:
            try:
                result = self._results.get(timeout=WAIT_SECONDS)
            except Empty:
                continue  # between two waits, Python can handle Ctrl-C
            if isinstance(result, BaseException):
                raise result
            return result

    def _read_all(self) -> None:
        try:
            with closing(Cursor(self._reader)) as cursor:
                for _ in range(self._n_chunks):
                    buffer = self._buffers.get()
                    if self._is_over:
                        return
                    self._results.put((buffer, cursor.read(buffer)))
            self._results.put(None)
        except BaseException as error:
            self._results.put(error)

    def close(self) -> None:
        """Stop reading."""
        self._is_over = True
        self._buffers.put(self._reader.empty_block(0))  # wakes the reading thread if it is waiting for a buffer
        if self._thread.is_alive():
            self._thread.join()


def open_source(reader: Reader, memory: int) -> Source:
    """Return a source of a reader's rows: in memory if they fit into half of `memory`, otherwise read in every pass.

    Raises ValueError if there are no rows or a row is invalid, and OSError if rows can't be read.
    """
    if reader.n_rows == 0:
        raise ValueError(f"{reader.name} has no rows.")
    if reader.n_rows > LEAF_ROWS and reader.bytes_of(reader.n_rows) > memory // 2:
        return FileSource(reader, memory)
    with closing(Cursor(reader)) as cursor:
        block = cursor.read(reader.empty_block(reader.n_rows))
    source = ArraySource(block.rows, block.row_weight)
    _check_positive_weight(reader, source.row_totals)
    source.feature_names = tuple(reader.names) if reader.has_names else None
    source.may_miss, source.integer_columns = reader.may_miss, reader.integer_columns
    return source


class Chosen(NamedTuple):
    """The selected columns of an array: features and weights."""

    names: list[str]
    indices: list[int]
    weight_index: int | None
    dtype: np.dtype[Any]  # type of the features in memory
    integer_columns: list[int]

    @classmethod
    def from_columns(
        cls, name: str, all_columns: Sequence[str], columns: Sequence[str] | None, weights: str | None, kind: Any
    ) -> Self:
        """Select the features, by default all columns except the weights; raise ValueError for an invalid name."""
        check_columns(name, all_columns, columns, weights)
        indices = {column: index for index, column in enumerate(all_columns)}
        names = list(columns or (column for column in all_columns if column != weights))
        if not names:
            raise ValueError(f"{name} has no column of numbers to fit.")
        dtype = np.dtype(np.float32 if kind == np.float32 else np.float64)
        weight_index = None if weights is None else indices[weights]
        return cls(names, [indices[each] for each in names], weight_index, dtype, long_integers([kind] * len(names)))


def long_integers(dtypes: Iterable[Any]) -> list[int]:
    """Return the indices of columns of 64-bit integers, which doubles may not represent exactly."""
    return [index for index, dtype in enumerate(dtypes) if dtype.kind in "iu" and dtype.itemsize == 8]


def _check_positive_weight(reader: Reader, profile: RowStatistics) -> None:
    if not profile.n_positive:
        raise ValueError(f"{reader.name}: every weight of column {reader.weights!r} is 0.")


def check_columns(name: str, all_columns: Sequence[Any], columns: Sequence[Any] | None, weights: Any) -> None:
    """Check the names of a table's columns, and the selection of features and weights among these columns.

    Parameters
    ----------
    name : name of the table, for error messages.
    all_columns : names of all columns of the table.
    columns : names of the selected features; None for all columns except the weights.
    weights : name of the column of row weights; None if rows have no weights.

    Raises
    ------
    ValueError : two columns have the same name, a selected column does not exist, or a column is selected twice.
    TypeError : `columns` is not a list of names, or `weights` is not a name.
    """
    counts = Counter(all_columns)
    twice = next((column for column, count in counts.items() if count > 1), None)
    if twice is not None:
        raise ValueError(f"{name} has two columns called {twice!r}: rename one.")
    is_list = isinstance(columns, Sequence) and not isinstance(columns, str)
    if columns is not None and not (is_list and columns and all(isinstance(each, Hashable) for each in columns)):
        raise ParameterTypeError(f"columns must be a list of names, got {columns!r:.60}.")
    if not isinstance(weights, Hashable):
        raise ParameterTypeError(f"weights must be the name of a column, not {weights!r:.60}.")
    chosen = list(columns or ())
    for column in (*chosen, *([weights] if weights is not None else [])):
        if column not in counts:
            raise ValueError(f"{name} has no column {column!r}; it has {listed(list(all_columns))}.")
    if weights in chosen:
        raise ValueError(f"{weights!r} can't be both a feature and the column of weights.")
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"columns must not name a column more than once, got {chosen!r}.")


def check_cells(
    where: Callable[[int], str], names: Sequence[str], first: int, rows: Rows, may_miss: bool, limit: float = MAX_DOUBLE
) -> None:
    """Raise ValueError for the first missing, infinite or too large value; the message has its position and advice."""
    cell = bad_cell(rows, limit, may_miss=may_miss)
    if cell is not None:
        raise ValueError(f"{where(first + cell.row)}, column {names[cell.column]!r}: {cell.sentence}")


def check_numbers(reader: Reader | TableInfo, first_row: int, rows: Rows, row_weight: Array | None) -> None:
    """Raise ValueError for the first row with an invalid value or weight; the message has its position and advice."""
    largest = largest_of(reader.n_rows)
    check_cells(reader.describe_location, reader.names, first_row, rows, reader.may_miss, largest)
    if row_weight is None:
        return
    wrong = ~((row_weight >= 0) & (row_weight <= MAX_TOTAL_WEIGHT))
    if wrong.any():
        row = int(wrong.argmax())
        where = f"{reader.describe_location(first_row + row)}, column {reader.weights!r}"
        if np.isnan(row_weight[row]):
            raise ValueError(f"{where}: the weight is missing (NaN or null). Give a number: 0 leaves the row out.")
        raise ValueError(f"{where}: the weight {row_weight[row]:g} is not between 0 and {MAX_TOTAL_WEIGHT:g}.")
