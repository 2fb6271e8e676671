"""Cut Spark partitions into pieces, and join pieces into nodes of the summation tree, on executors."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from itertools import accumulate, groupby
from operator import attrgetter, itemgetter
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark import TaskContext

from gaussmix._src.interfaces.block import Block, nodes
from gaussmix._src.interfaces.leaves import LEAF_ROWS, Tree
from gaussmix._src.numerics.threads import limit_threads
from gaussmix._src.sources.base import Change
from gaussmix._src.sources.files.arrow import Columns
from gaussmix._src.sources.files.base import TableInfo
from gaussmix._src.sources.remote import WorkerPartition
from gaussmix._src.sources.row_statistics import checksum
from gaussmix._src.sources.spark.store import FitPass, StateStore, read, stored_states
from gaussmix._src.sources.spark.table import FILE, ROW

MAX_PIECE_BYTES = 2**25  # maximum size in bytes of a piece of rows, which passes through Java as one value
ROWS_CHANGED = "no longer has the rows that were first computed: order it by a key, or write it to Parquet files first"

INCOMPLETE_DIGEST = -1  # replaces the digest of a partition that has lost rows

PIECES = "file string, row long, part int, number int, n_rows long, invalid_reason string, content binary"
PARTS = "number int, first_row long, content binary"
STORED = "number int, path string, digest long, invalid_reason string"
RESULTS = "number int, part int, digest long, result binary"  # schema of results; part: index of component group
_ARROW_TYPES = {"string": pa.string(), "int": pa.int32(), "long": pa.int64(), "binary": pa.binary()}
Batches = Iterator[pa.RecordBatch]


@dataclass(frozen=True)
class Layout:
    """The position of each piece among all rows, and the division of all rows into partitions of 2^m × 65,520 rows."""

    info: TableInfo  # description of the table
    piece_keys: NDArray[np.int64] = field(repr=False)  # `piece_key` of each piece, in increasing order
    starts: NDArray[np.int64] = field(repr=False)  # index of each piece's first row, in the order of `piece_keys`
    n_leaves: int  # number of leaves (65,520 rows) per partition
    n_per_task: int  # number of partitions per task, a power of 2
    store: StateStore  # files with the rows of partitions on executors

    @property
    def rows_changed_message(self) -> str:
        """Return the error message for a data frame whose rows have changed since this layout was created."""
        return f"{self.info.name} {ROWS_CHANGED}."

    @property
    def n_partitions(self) -> int:
        """Return the number of partitions."""
        return -(-self.info.n_rows // (self.n_leaves * LEAF_ROWS))

    @property
    def n_tasks(self) -> int:
        """Return the number of tasks in a pass."""
        return -(-self.n_partitions // self.n_per_task)

    def n_merged(self, max_trees: int) -> int:
        """Return the number of partitions per tree, a power of 2 that gives at most `max_trees` trees."""
        n_merged = self.n_per_task
        while self.n_partitions > n_merged * max_trees:
            n_merged *= 2
        return n_merged

    def start(self, part: int, index: int) -> int | None:
        """Return the index of a piece's first row; None if the piece did not exist when this layout was created."""
        key = piece_key(np.int64(part), np.int64(index))
        result = int(np.searchsorted(self.piece_keys, key))
        return int(self.starts[result]) if result < len(self.piece_keys) and self.piece_keys[result] == key else None

    def bounds(self, partition: int) -> tuple[int, int]:
        """Return the index of a partition's first row, and the index after its last row."""
        size = self.n_leaves * LEAF_ROWS
        return partition * size, min((partition + 1) * size, self.info.n_rows)


def piece_key(part: NDArray[np.int64] | np.int64, index: NDArray[np.int64] | np.int64) -> Any:
    """Combine a piece's Spark partition and its index in this partition into one number, the key of the piece."""
    return (part << 32) | index


def rows_of_piece(n_features: int, dtype: np.dtype[Any]) -> int:
    """Return the maximum number of rows in a piece."""
    return max(1, min(LEAF_ROWS, MAX_PIECE_BYTES // (n_features * dtype.itemsize)))


def pieces(batches: Batches, columns: Columns) -> Batches:
    """Yield the rows of a Spark partition as pieces; if rows come from files, no piece has rows of two files."""
    limit = rows_of_piece(len(columns.names), columns.dtype)
    builder = _PieceBuilder(columns, TaskContext.get().partitionId())
    names = [*columns.read_columns, FILE, ROW]
    for run in _runs(batch.rename_columns(names[: batch.num_columns]) for batch in batches):
        if run is None:
            yield from builder.flush()
            continue
        first = 0
        while first < run.num_rows:
            part = run.slice(first, limit - builder.n_rows)
            builder.add(part)
            first += part.num_rows
            if builder.n_rows == limit:
                yield from builder.flush()
    yield from builder.flush()


def _runs(batches: Batches) -> Iterator[pa.RecordBatch | None]:
    """Yield batches that are cut between rows of different files or distant rows of a file; yield None at each cut."""
    before: tuple[Any, int] | None = None
    for batch in batches:
        if FILE not in batch.schema.names:
            yield batch
            continue
        file, row = batch.column(FILE).dictionary_encode(), batch.column(ROW).to_numpy()
        if not batch.num_rows:
            continue
        jump = np.diff(row)
        cuts = np.flatnonzero((np.diff(file.indices.to_numpy()) != 0) | (jump <= 0) | (jump >= LEAF_ROWS)) + 1
        if before is not None and (before[0] != file[0].as_py() or not 0 < row[0] - before[1] < LEAF_ROWS):
            yield None
        first = 0
        for cut in (*cuts.tolist(), batch.num_rows):
            if first:
                yield None
            yield batch.slice(first, cut - first)
            first = cut
        before = file[-1].as_py(), int(row[-1])


class _PieceBuilder:
    """Builder of pieces, which stores the rows of the next piece."""

    def __init__(self, columns: Columns, part: int) -> None:
        self._columns, self._part, self._next_number = columns, part, 0
        self._batches: list[pa.RecordBatch] = []
        self.n_rows = 0

    def add(self, batch: pa.RecordBatch) -> None:
        self._batches.append(batch)
        self.n_rows += batch.num_rows

    def flush(self) -> Batches:
        """Yield the rows added since the previous piece as one piece; yield nothing if no rows were added."""
        if not self.n_rows:
            return
        rows = np.empty((self.n_rows, len(self._columns.names)), self._columns.dtype, order="F")
        weight = None if self._columns.weights is None else np.empty(self.n_rows)
        first, invalid_reason, first_batch = 0, None, self._batches[0]
        try:
            for batch in self._batches:
                part = slice(first, first + batch.num_rows)
                self._columns.put(batch, rows[part], None if weight is None else weight[part])
                first += batch.num_rows
        except ValueError as error:
            invalid_reason = str(error)
        file, row = "", 0
        if FILE in first_batch.schema.names:
            file, row = first_batch.column(FILE)[0].as_py(), first_batch.column(ROW)[0].as_py()
        yield make_piece(Block(0, rows, weight), self._part, self._next_number, file, row, invalid_reason)
        self._batches, self.n_rows, self._next_number = [], 0, self._next_number + 1


def make_piece(
    block: Block, part: int, index: int, file: str = "", row: int = 0, invalid_reason: str | None = None
) -> pa.RecordBatch:
    """Return a block as a piece: a record batch with a single row, which contains the pickled block."""
    return _record(PIECES, file, row, part, index, block.n_rows, invalid_reason, pickle.dumps(block, 5))


def parts(batches: Batches, layout: Layout, partitions: Sequence[int] | None = None) -> Batches:
    """Cut pieces at the ends of partitions; yield the parts of all partitions, or of `partitions` only."""
    size = layout.n_leaves * LEAF_ROWS
    for batch in batches:
        for part, index, content in zip(*(batch.column(name) for name in ("part", "number", "content")), strict=True):
            start = layout.start(part.as_py(), index.as_py())
            if start is None:
                continue  # the rows have changed; a digest will reveal this later
            block = replace(pickle.loads(content.as_buffer()), first_row=start)
            first = 0
            while first < block.n_rows:
                partition = (start + first) // size
                end = min(block.n_rows, (partition + 1) * size - start)
                if partitions is None or partition in partitions:
                    yield _record(PARTS, partition, start + first, pickle.dumps(block.row_range(first, end), 5))
                first = end


@dataclass(frozen=True)
class _Partition:
    index: int
    nodes: list[Block]
    digest: int
    invalid_reason: str | None


def _joined(batches: Batches, layout: Layout) -> Iterator[_Partition]:
    """Yield the partitions of a task one after the other; the parts of each partition may come in any order."""
    contents = ((number.as_py(), each) for batch in batches for number, _, each in zip(*batch.columns, strict=True))
    for number, records in groupby(contents, itemgetter(0)):
        blocks = sorted((pickle.loads(content.as_buffer()) for _, content in records), key=attrgetter("first_row"))
        first, end = layout.bounds(number)
        # The parts are complete if each part begins where the part before it ends.
        if [block.first_row for block in blocks] + [end] != [*accumulate((b.n_rows for b in blocks), initial=first)]:
            yield _Partition(number, [], INCOMPLETE_DIGEST, layout.rows_changed_message)
            continue
        joined = list(nodes(blocks))
        reasons = (layout.info.invalid_reason(node) for node in joined)
        yield _Partition(number, joined, _digest(joined), next((why for why in reasons if why is not None), None))


def _digest(blocks: Iterable[Block]) -> int:
    """Return a checksum of rows and weights."""
    digest = 0
    for block in blocks:
        digest = checksum(block, digest)
    return digest


def store_partitions(batches: Batches, layout: Layout) -> Batches:
    """Join partitions, write each to a file, and yield the paths and digests."""
    for partition in _joined(batches, layout):
        path = layout.store.write(partition.index, partition.nodes, partition.digest)
        yield _record(STORED, partition.index, path, partition.digest, partition.invalid_reason)


Work = tuple[Callable[..., Any], Sequence[Any]]  # function of a `WorkerPartition`, and the function's further arguments
# Function of a partition's index, blocks and file; yields results.
Results = Callable[[int, list[Block], str], Iterable[bytes]]


def visit(batches: Batches, results: Results, digests: NDArray[np.int64]) -> Batches:
    """Yield the results of partitions whose rows are stored on this machine and have the expected digests."""
    for batch in batches:
        for index, path, digest in zip(*(batch.column(position).to_pylist() for position in range(3)), strict=True):
            yield from _result_batches(index, digest, read(path, digests[index]), path, results)


def make_and_visit(batches: Batches, layout: Layout, results: Results, digests: NDArray[np.int64]) -> Batches:
    """Join partitions again, store them on this machine, and yield the results of partitions that are unchanged."""
    for partition in _joined(batches, layout):
        retained, path = partition.nodes if partition.digest == digests[partition.index] else None, ""
        if retained is not None:
            path = layout.store.write(partition.index, retained, partition.digest)
        yield from _result_batches(partition.index, partition.digest, retained, path, results)


def _result_batches(index: int, digest: int, nodes: list[Block] | None, path: str, results: Results) -> Batches:
    for part, result in enumerate([None] if nodes is None else results(index, nodes, path)):
        yield _record(RESULTS, index, part, digest, result)


def compute_results(
    index: int, nodes: list[Block], path: str, work: Work, store: StateStore, n_parts: int, fit_pass: FitPass | None
) -> Iterator[bytes]:
    """Yield the pickled result of `work` on a partition, split into one result per component group if `n_parts` > 1."""
    function, arguments = work
    states = store.states(index)
    stored = nullcontext() if fit_pass is None else stored_states(path, states, fit_pass)
    with limit_threads(TaskContext.get().cpus()), stored:
        result = function(WorkerPartition(nodes, states), *arguments)
    for part in [result] if n_parts == 1 else result.split_by_component(n_parts):
        yield pickle.dumps(part, 5)


def take(index: int, nodes: list[Block], path: str, max_rows: int) -> Iterator[bytes]:
    """Yield the rows of a partition in pickled blocks of at most `max_rows` rows."""
    return (pickle.dumps(part, 5) for block in nodes for part in block.split(max_rows))


def merge(batches: Batches, digests: NDArray[np.int64]) -> Batches:
    """Merge the sums of each component group into the record of the first partition, and empty all later records."""
    # For each component group: its first partition, and a merged tree or the pickled bytes of a single tree.
    retained: dict[int, tuple[int, Any]] = {}
    n_present = Counter[int]()
    for batch in batches:
        for index, part, digest, result in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            is_current = result is not None and digest == digests[index]
            n_present[part] += is_current
            if not (is_current and result):
                yield _record(RESULTS, index, part, digest, result)
            elif part not in retained:
                retained[part] = index, result
            else:
                first, tree = retained[part]
                tree = tree if isinstance(tree, Tree) else pickle.loads(tree)
                retained[part] = first, tree + pickle.loads(result)
                yield _record(RESULTS, index, part, digest, b"")
    for part, (index, tree) in retained.items():
        if isinstance(tree, Tree):
            tree = pickle.dumps(tree.closed() if n_present[part] == len(digests) else tree, 5)
        yield _record(RESULTS, index, part, digests[index], tree)


def make_and_change(batches: Batches, layout: Layout, change: Change, size: int, digests: NDArray[np.int64]) -> Batches:
    """Apply a function to the blocks of partitions, and yield the changed blocks as pieces of at most `size` rows."""
    for partition in _joined(batches, layout):
        if partition.digest != digests[partition.index]:
            yield make_piece(Block(0, np.empty((0, 0))), partition.index, 0, invalid_reason=layout.rows_changed_message)
            continue
        changed = (result for block in partition.nodes for result in change(block))
        for index, block in enumerate(piece for result in changed for piece in result.split(size)):
            yield make_piece(block, partition.index, index)


def forget(batches: Batches, store: StateStore) -> Batches:
    """Remove all files of a store from this machine, and yield empty batches, because Spark expects results."""
    store.remove()
    for batch in batches:
        yield batch.slice(0, 0)


def _record(schema: str, *values: Any) -> pa.RecordBatch:
    """Return a record batch of one row with the given values in the columns of a schema."""
    columns = [column.split() for column in schema.split(", ")]
    arrays = [pa.array([value], _ARROW_TYPES[kind]) for value, (_, kind) in zip(values, columns, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, [name for name, _ in columns])
