"""Rows of Dask arrays and frames: work goes to the workers of a cluster, or partitions come to this process."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import accumulate, pairwise
from time import sleep
from typing import Any, Self
from uuid import uuid4

import dask
import dask.array as da
import numpy as np
from dask.sizeof import sizeof
from numpy.typing import NDArray

from gaussmix.numerics.arrays import Array, Rows
from gaussmix.numerics.rows import first_beyond
from gaussmix.numerics.threads import at_most
from gaussmix.sources.base import Number, S, Source, T, Task
from gaussmix.sources.files.base import Cursor, Reader, check_columns, check_numbers, opened
from gaussmix.waist.block import Block, Profile, nodes
from gaussmix.waist.leaves import LEAF_ROWS, Tree

IN_GRAPH = 100_000  # bytes of a task; a larger one goes to each worker once, before the pass
MOST_ATTEMPTS = 10  # passes begun again after what they need was lost
PAUSE = 0.5  # seconds before that
MOST_FITS = 4  # whose states are kept beside the same rows


@dataclass(frozen=True)
class Table:
    """What is known of a Dask array or frame before any of its partitions is computed.

    Parameters
    ----------
    name : for messages.
    names : of the columns that are features; x1, x2 … for arrays.
    weights : the column of row weights; None where there are none.
    dtype : of the features, float32 or float64.
    has_names : whether the columns have names of their own.
    parts : a delayed `Block` for each partition, whose `first_row` is not read.
    sizes : numbers of rows of the partitions; None where Dask does not know them.
    left_out : columns that hold no numbers.
    """

    name: str
    names: Sequence[str]
    weights: str | None
    dtype: np.dtype[Any]
    has_names: bool
    parts: Sequence[Any] = field(repr=False)
    sizes: Sequence[int] | None
    left_out: Sequence[str] = ()

    @classmethod
    def of(cls, data: Any, columns: Sequence[str] | None, weights: str | None) -> Table:
        """Of a Dask array or frame; parameters as for `gaussmix.open`.

        Raises
        ------
        ValueError : a column is absent or holds no numbers, or an array has other than two dimensions.
        """
        return _of_array(data, columns, weights) if isinstance(data, da.Array) else _of_frame(data, columns, weights)

    def place(self, row: int) -> str:
        """Where a row is, for messages."""
        return f"{self.name}, row {row}"

    def per_row(self, task: Callable[[Block], NDArray[Any]], dtype: Any, n_columns: int | None) -> Any:
        """What a task returns for rows, as a Dask array whose chunks are the partitions; nothing is computed yet."""
        sent = dask.delayed(_Checked(task, self.name, self.names), pure=False, traverse=False)
        width = () if n_columns is None else (n_columns,)
        sizes: Sequence[float] = self.sizes or [np.nan] * len(self.parts)
        found = [
            da.from_delayed(dask.delayed(_answer, pure=False)(part, sent, number), (size, *width), dtype)
            for number, (part, size) in enumerate(zip(self.parts, sizes, strict=True))
        ]
        return da.concatenate(found)


def _of_array(data: Any, columns: Sequence[str] | None, weights: str | None) -> Table:
    if data.ndim != 2:
        raise ValueError(f"Expected 2D array, got {data.ndim}D array instead: X has a row for each sample.")
    if data.dtype.kind not in "biuf":
        raise ValueError(f"the Dask array holds {data.dtype}, not real numbers.")
    every = [f"x{1 + column}" for column in range(data.shape[1])]
    names = list(columns or (name for name in every if name != weights))
    check_columns("the Dask array", every, columns, weights)
    dtype = np.dtype(np.float32 if data.dtype == np.float32 else np.float64)
    numbers = partial(
        _numbers_of_array,
        places=None if names == every else [every.index(name) for name in names],
        weight_place=None if weights is None else every.index(weights),
        dtype=dtype,
    )
    chunks = data.rechunk({1: -1}).to_delayed().ravel()
    sizes = None if np.isnan(data.chunks[0]).any() else list(data.chunks[0])
    parts = [dask.delayed(numbers, pure=False)(chunk) for chunk in chunks]
    return Table("the Dask array", names, weights, dtype, False, parts, sizes)


def _of_frame(data: Any, columns: Sequence[str] | None, weights: str | None) -> Table:
    check_columns("the Dask frame", list(data.columns), columns, weights)
    every = {name: _kind(dtype) for name, dtype in data.dtypes.items()}
    numeric = [name for name, kind in every.items() if kind in "biuf" and name != weights]
    names = list(columns or numeric)
    for name in (*names, *([weights] if weights else ())):
        if every[name] not in "biuf":
            raise ValueError(f"the Dask frame, column {name!r}: {data.dtypes[name]} is no type of real numbers.")
    if not names:
        raise ValueError("the Dask frame has no column of numbers to fit.")
    is_single = all(_numpy_type(data.dtypes[name]) in (np.float32, np.float16) for name in names)
    dtype = np.dtype(np.float32 if is_single else np.float64)
    numbers = partial(_numbers_of_frame, names=names, weights=weights, dtype=dtype)
    kept = data[[*names, *([weights] if weights and weights not in names else [])]]
    parts = [dask.delayed(numbers, pure=False)(part) for part in kept.to_delayed()]
    has_names = all(isinstance(name, str) for name in names)
    left_out = [] if columns else [str(name) for name in every if name not in (*numeric, weights)]
    return Table("the Dask frame", names, weights, dtype, has_names, parts, None, left_out)


def _numpy_type(dtype: Any) -> Any:
    """The type of NumPy behind one of pandas, which may also hold missing values."""
    return getattr(dtype, "numpy_dtype", dtype)


def _kind(dtype: Any) -> str:
    return str(getattr(_numpy_type(dtype), "kind", "O"))


def _numbers_of_array(chunk: Any, places: Sequence[int] | None, weight_place: int | None, dtype: Any) -> Block:
    every = np.asarray(chunk)
    rows = every if places is None else every[:, places]
    weight = None if weight_place is None else every[:, weight_place].astype(np.float64)
    return Block(0, rows.astype(dtype, copy=False), weight)


def _numbers_of_frame(frame: Any, names: Sequence[Any], weights: Any, dtype: Any) -> Block:
    rows = np.empty((len(frame), len(names)), dtype, order="F")
    for column, name in enumerate(names):
        rows[:, column] = frame[name].to_numpy(dtype, na_value=np.nan)
    weight = None if weights is None else frame[weights].to_numpy(np.float64, na_value=np.nan)
    return Block(0, rows, weight)


class DaskSource(Source):
    """The rows of a Dask array or frame. Nothing is computed before the first pass.

    Where there is a `distributed.Client`, the rows stay in the memory of its workers, and passes go there. Elsewhere
    partitions are computed in this process: once, or in every pass where they do not fit into `memory`.

    Parameters
    ----------
    table : what is known of the rows.
    memory : bytes, where there is no cluster.
    """

    def __init__(self, table: Table, memory: int) -> None:
        self.n_features, self.dtype = len(table.names), table.dtype
        self.feature_names = tuple(table.names) if table.has_names else None
        self._table, self._memory = table, memory

    @cached_property
    def _rows(self) -> Source:
        client = _client()
        return opened(_PartReader(self._table), self._memory) if client is None else _loaded(client, self._table)

    @cached_property
    def n_rows(self) -> int:  # type: ignore[override]
        return self._rows.n_rows

    def blocks(self) -> Iterable[Block]:
        return self._rows.blocks()

    @property
    def whole(self) -> Block | None:
        return self._rows.whole

    def map_merge(self, task: Task[S]) -> S:
        return self._rows.map_merge(task)

    def map_rows(self, task: Callable[[Block], T]) -> Iterator[T]:
        return self._rows.map_rows(task)

    @property
    def profile(self) -> Profile:
        return self._rows.profile

    def sample(self, n_rows: int) -> Block:
        return self._rows.sample(n_rows)

    def changed(self, change: Callable[[Block], Iterable[Block]], n_rows: int) -> Source:
        return self._rows.changed(change, n_rows)

    def fresh(self) -> Self:
        twin = super().fresh()
        twin._rows = self._rows.fresh()
        return twin

    def per_row(self, task: Callable[[Block], NDArray[Number]], dtype: Any, n_columns: int | None = None) -> Any:
        return self._table.per_row(task, dtype, n_columns)


def _client() -> Any:
    """The client of a cluster; None where there is none."""
    if "distributed" not in sys.modules:
        return None
    from distributed import default_client

    try:
        return default_client()
    except ValueError:
        return None


class _PartReader(Reader):
    """The partitions of a table, computed in this process one after the other."""

    def __init__(self, table: Table) -> None:
        self.name, self.names, self.dtype, self.weights = table.name, table.names, table.dtype, table.weights
        self._table, self.has_names = table, table.has_names
        self.sizes = table.sizes or dask.compute(*[dask.delayed(_size)(part) for part in table.parts])
        self.n_rows = sum(self.sizes)

    def cursor(self) -> Cursor:
        return _PartCursor(self._table.parts)

    def place(self, row: int) -> str:
        return self._table.place(row)


class _PartCursor(Cursor):
    def __init__(self, parts: Sequence[Any]) -> None:
        self._parts = iter(parts)
        self._now, self._row = Block(0, np.empty((0, 0))), 0

    def fill(self, rows: Rows, row_weight: Array | None) -> None:
        first = 0
        while first < len(rows):
            if self._row == self._now.n_rows:
                (self._now,), self._row = dask.compute(next(self._parts)), 0
            count = min(len(rows) - first, self._now.n_rows - self._row)
            part = self._now.between(self._row, self._row + count)
            rows[first : first + count] = part.rows
            if row_weight is not None:
                row_weight[first : first + count] = part.row_weight
            first, self._row = first + count, self._row + count

    def close(self) -> None:
        """Nothing is open."""


def _size(block: Block) -> int:
    return block.n_rows


def _loaded(client: Any, table: Table) -> Source:
    """The rows on the workers of a cluster, checked.

    Raises
    ------
    ValueError : there are no rows, or the first number or weight that no fit can use is named.
    """
    source = _Cluster(
        client, client.compute([dask.delayed(_alone, pure=False)(part) for part in table.parts]),
        len(table.names), table.dtype,
    )  # fmt: skip
    if source.n_rows == 0:
        raise ValueError(f"{table.name} has no rows.")
    about = _About(table.name, table.names, table.weights, source.n_rows)
    flaws = (flaw for found in source.each(_flaw, about) for flaw in found)
    flaw = next((flaw for flaw in flaws if flaw is not None), None)
    if flaw is not None:
        raise ValueError(flaw)
    return source


@dataclass(frozen=True)
class _About:
    """What a message about a number says of its table."""

    name: str
    names: Sequence[str]
    weights: str | None
    n_rows: int

    def place(self, row: int) -> str:
        return f"{self.name}, row {row}"


class _Held:
    """Consecutive rows on a worker, from the beginning of a leaf on, and the states that fits keep beside them.

    Parameters
    ----------
    blocks : nodes of the tree of leaves.
    """

    def __init__(self, blocks: Sequence[Block]) -> None:
        self.blocks = blocks
        self._states: dict[Hashable, tuple[Hashable, list[Any]]] = {}

    def __reduce__(self) -> Any:
        return _Held, (self.blocks,)  # what is sent elsewhere goes without states

    def sums(self, task: Task[Any], fit: Hashable) -> list[tuple[int, Any]]:
        """How many leaves each node has, and what a task says of it."""
        key, states = self._states.pop(fit, (None, []))  # another thread may come, and then makes its own
        if key != task.key:
            states = [task.open(block) for block in self.blocks]
        found = [(block.n_leaves, task.call(block, state)) for block, state in zip(self.blocks, states, strict=True)]
        self._states[fit] = task.key, states
        while len(self._states) > MOST_FITS:
            self._states.pop(next(iter(self._states)), None)
        return found


def _bytes_of(block: Block) -> int:
    """For Dask, which brings small things to where it has room, and would move rows if it took them for small."""
    arrays = block.rows, block.row_weight, block.given
    return sum(array.nbytes for array in arrays if array is not None)


def _bytes_held(held: _Held) -> int:
    return sum(map(_bytes_of, held.blocks))


sizeof.register(Block, _bytes_of)
sizeof.register(_Held, _bytes_held)


class _Cluster(Source):
    """Rows in the memory of the workers of a cluster; each worker has whole leaves.

    Tasks are short and know nothing of each other, so a worker that is lost costs what it held and what it was doing.
    Its rows are computed again from where they came from. Each result has a key, so none is counted twice.

    Parameters
    ----------
    client : of the cluster.
    parts : a future of a list of blocks for each partition, in the order of the rows; `Block.first_row` is not read.
    n_features, dtype : of the rows.
    """

    def __init__(self, client: Any, parts: Sequence[Any], n_features: int, dtype: np.dtype[Any]) -> None:
        self._client, self.n_features, self.dtype = client, n_features, dtype
        sizes = _gathered(client, parts, lambda: client.map(_rows_of, parts, pure=False))
        self.n_rows = sum(sizes)
        self._held, self._fit = _aligned(client, parts, sizes), uuid4().hex
        self._threads = max(1, sum(client.nthreads().values()) // max(1, len(self._held)))

    def blocks(self) -> Iterator[Block]:
        return self.map_rows(_itself)

    def map_merge(self, task: Task[S]) -> S:
        if self.whole is not None:
            return super().map_merge(task)
        tree = Tree[S]()
        for found in self.each(_Held.sums, task, self._fit):
            for n_leaves, sums in found:
                tree.add(sums, n_leaves)
        return tree.total

    def map_rows(self, task: Callable[[Block], T]) -> Iterator[T]:
        return (result for found in self.each(_results, task) for result in found)

    def changed(self, change: Callable[[Block], Iterable[Block]], n_rows: int) -> Source:
        """As for every source, but the changed blocks are kept, and not made again in every pass."""
        sent = self._sent(change)
        parts = self._client.map(_changed, self._held, change=sent, pure=False)
        return _Cluster(self._client, parts, self.n_features, self.dtype)

    def fresh(self) -> Self:
        twin = super().fresh()
        twin._fit = uuid4().hex
        return twin

    def each(self, work: Callable[..., T], *arguments: Any) -> list[T]:
        """What a function of `_Held` and some arguments returns for each part of the rows, in their order."""

        def submit() -> list[Any]:
            sent, n_threads = self._sent((work, arguments)), self._threads
            futures: list[Any] = self._client.map(_work, self._held, sent=sent, n_threads=n_threads, pure=False)
            return futures

        found: list[T] = _gathered(self._client, self._held, submit)
        return found

    def _sent(self, what: Any) -> Any:
        """What tasks of one pass share: itself where it is small, else where each worker has it."""
        from distributed.protocol.pickle import dumps

        packed = dumps(what)
        return packed if len(packed) <= IN_GRAPH else self._client.scatter(packed, broadcast=True, hash=False)


def _gathered(client: Any, needed: Sequence[Any], submit: Callable[[], Sequence[Any]]) -> list[Any]:
    """The results of what `submit` sends to the workers; sent again where workers died with what it needs.

    Parameters
    ----------
    client : of the cluster.
    needed : futures of what the tasks read. The cluster computes again what was lost, but gives up where workers died
        several times meanwhile; then it is asked anew.
    """
    from distributed import CancelledError, KilledWorker

    for _ in range(MOST_ATTEMPTS - 1):
        try:
            return list(client.gather(submit()))
        except (KilledWorker, CancelledError):
            if client.status != "running":
                raise
            sleep(PAUSE)  # until the client has heard what else was lost
            with suppress(KeyError):  # distributed 2026.8 does the work, and then looks for futures that nobody has
                client.retry([future for future in needed if future.status == "error"])
    return list(client.gather(submit()))


def _aligned(client: Any, parts: Sequence[Any], sizes: Sequence[int]) -> list[Any]:
    """Futures of `_Held`: the leaves that begin in a partition are with it, so fewer rows than a leaf has move."""
    starts = [0, *accumulate(sizes)]
    n_rows = starts[-1]
    cuts = [min(-(-start // LEAF_ROWS) * LEAF_ROWS, n_rows) for start in starts]
    held = []
    for number, (first, end) in enumerate(pairwise(cuts)):
        if first == end:
            continue
        pieces = [client.submit(_piece, parts[number], first - starts[number], end - starts[number], pure=False)]
        later = number + 1
        while starts[later] < end:
            if sizes[later]:
                pieces.append(client.submit(_piece, parts[later], 0, end - starts[later], pure=False))
            later += 1
        held.append(client.submit(_join, first, pieces, pure=False))
    return held


def _alone(block: Block) -> list[Block]:
    return [block]


def _rows_of(part: Sequence[Block]) -> int:
    return sum(block.n_rows for block in part)


def _piece(part: Sequence[Block], first: int, end: int) -> list[Block]:
    """Rows first … end − 1 of a partition."""
    found = []
    for block in part:
        if first < block.n_rows and end > 0:
            found.append(block.between(max(first, 0), min(end, block.n_rows)))
        first, end = first - block.n_rows, end - block.n_rows
    return found


def _join(first_row: int, pieces: Sequence[Sequence[Block]]) -> _Held:
    whole = Block.joined([block for piece in pieces for block in piece])
    return _Held(list(nodes([replace(whole, first_row=first_row)])))


def _work(held: _Held, sent: bytes, n_threads: int) -> Any:
    work, arguments = pickle.loads(sent)
    with at_most(n_threads):
        return work(held, *arguments)


def _results(held: _Held, task: Callable[[Block], T]) -> list[T]:
    return [task(block) for block in held.blocks]


def _changed(held: _Held, change: Any) -> list[Block]:
    change = pickle.loads(change)
    return [changed for block in held.blocks for changed in change(block)]


def _itself(block: Block) -> Block:
    return block


def _flaw(held: _Held, about: _About) -> list[str | None]:
    """What is wrong with the numbers of each block; None where nothing is."""
    return [_sentence(block, about) for block in held.blocks]


def _sentence(block: Block, about: _About) -> str | None:
    try:
        check_numbers(about, block.first_row, block.rows, block.row_weight)
    except ValueError as error:
        return str(error)
    return None


@dataclass(frozen=True)
class _Checked:
    """A task for rows that nobody has looked at.

    Parameters
    ----------
    task : gives a result for each row.
    name, names : of the table and its columns, for messages.
    """

    task: Callable[[Block], NDArray[Any]]
    name: str
    names: Sequence[str]

    def __call__(self, rows: Rows, partition: int) -> NDArray[Any]:
        cell = first_beyond(rows, float(np.finfo(np.float64).max))
        if cell is not None:
            what = "missing (NaN or null)" if np.isnan(rows[cell]) else "infinite"
            raise ValueError(
                f"{self.name}, partition {partition}, row {cell[0]} of it, column {self.names[cell[1]]!r}: the value "
                f"is {what}. Remove or fill such rows first."
            )
        return self.task(Block(0, rows))


def _answer(block: Block, checked: _Checked, partition: int) -> NDArray[Any]:
    with at_most(1):
        return checked(block.rows, partition)
