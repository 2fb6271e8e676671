"""Define sources: objects that cut rows into blocks, run a task on each block, and merge the results."""

from __future__ import annotations

import logging
import pickle
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from math import frexp, inf
from operator import attrgetter
from time import perf_counter
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.interfaces.block import Block, BlockState, RowStatistics, nodes
from gaussmix._src.interfaces.leaves import LEAF_ROWS, Summable, Tree
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.rows import extreme_rows
from gaussmix._src.numerics.threads import cached_property
from gaussmix._src.sources.row_statistics import RowStatistic, compute_statistics, kinds_for
from gaussmix._src.sources.survey import are_drawn, hashes, sampled

S = TypeVar("S", bound=Summable)
S_co = TypeVar("S_co", bound=Summable, covariant=True)
T = TypeVar("T")
F = TypeVar("F", bound=RowStatistic)
RowResult = TypeVar("RowResult", bound=np.generic)
log = logging.getLogger("gaussmix")
Change = Callable[[Block], Iterable[Block]]  # a function of this type must be picklable
Assignment = Array | NDArray[np.int32]  # responsibilities (n_rows, n_components) or labels (n_rows,)


class Task(Protocol[S_co]):
    """A computation on blocks of rows; its results are summed. Tasks are picklable to be sent to workers."""

    @property
    def key(self) -> Hashable:
        """Return the task's key: tasks with equal keys share the `BlockState` that is stored for each block."""

    def open(self, block: Block) -> BlockState:
        """Create the state to store for a block between passes. If a source discards a state, it calls `open` again."""

    def call(self, block: Block, state: Any) -> S_co:
        """Return the result for one block. Each block is a node of the summation tree (see `interfaces.leaves`)."""


@dataclass(frozen=True, eq=False)
class LeafReduction(Generic[S]):
    """A task that adds up the results of a picklable function, which is called for each leaf (65,520 rows)."""

    of_leaf: Callable[[Block], S]

    key: ClassVar[str] = "leaves"

    def open(self, block: Block) -> BlockState:
        return BlockState()

    def call(self, block: Block, state: BlockState) -> S:
        return block.sum_of(self.of_leaf)


class Source(ABC):
    """The rows of a data set, stored in memory or elsewhere. Fits and predictions access data only through sources.

    A subclass sets the attributes and implements `blocks`; all other methods have defaults. If the rows are in other
    processes, the subclass also overrides `map_merge`, `map_rows` and `changed` to send the work to these processes.

    Attributes
    ----------
    n_rows : number of rows, at least 1.
    n_features : number of columns.
    dtype : float32 or float64, the type of the rows in every block.
    feature_names : names of the columns; None if the columns have no names.
    may_miss : whether values may be missing (NaN).
    integer_columns : indices of columns of 64-bit integers, which doubles may not represent exactly.
    has_errors : whether the values of blocks have measurement errors.
    has_log_prior : whether blocks have prior information about the component of each row.
    memory : maximum size in bytes of all stored `BlockState` objects; further states are recomputed in every pass.
    is_read_again : whether every pass reads the rows from files, so that each concurrent fit needs its own buffers.
    is_remote : whether a pass over the rows is expensive, so that the first pass computes all row statistics at once.
    max_fits : maximum number of concurrent fits whose states workers can store; None if the rows are in this process.
    is_lazy : whether `per_row` returns a lazy result, which takes no memory until it is computed.
    is_on_device : whether the rows of blocks are a `DeviceArray`.
    array_like : empty array of the same array library, device and type as the rows; None for NumPy arrays.
    """

    n_rows: int
    n_features: int
    dtype: np.dtype[Any]
    feature_names: tuple[str, ...] | None = None
    may_miss: bool = False
    integer_columns: Sequence[int] = ()
    has_errors: bool = False
    has_log_prior: bool = False
    memory: float = inf
    is_read_again: bool = False
    is_remote: bool = False
    max_fits: int | None = None
    is_on_device: bool = False
    array_like: Any = None
    is_lazy: ClassVar[bool] = False

    _origin: tuple[Source, float] | None = None  # original source of these rows, and the factor that multiplied weights
    _states: tuple[Hashable, dict[int, BlockState]] = None, {}  # task key; state of each block, by index of first row
    _cache: dict[Hashable, Any]  # stored results of passes over all rows

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.n_rows} rows, {self.n_features} features, {self.dtype}>"

    @abstractmethod
    def blocks(self) -> Iterable[Block]:
        """Return the rows in order, as blocks of any number of rows. Every call must return the same blocks.

        `Block.first_row` is the index of a block's first row in the data set. Values are finite or NaN. Either all
        blocks have row weights, or no block has row weights.
        """

    @cached_property
    def whole(self) -> Block | None:
        """Return all rows as one block if they are one array in memory, or at most 65,520 rows; otherwise None."""
        return Block.concatenate(self.blocks()) if self.n_rows <= LEAF_ROWS else None

    @property
    def sampled_checksum(self) -> int:
        """Return a number that most changes of the rows change; 0 if rows are not in the memory of this process."""
        return 0

    def map_merge(self, task: Task[S]) -> S:
        """Run a task on each node of the summation tree, and return the sum of results, whatever the block sizes."""
        if self._states[0] != task.key:
            self._states = task.key, {}
        states, whole = self._states[1], self.whole
        if whole is not None:
            states[0] = states[0] if 0 in states else task.open(whole)
            return task.call(whole, states[0])
        tree, left = Tree[S](), self.memory
        for node in nodes(self.blocks()):
            state = states.pop(node.first_row, None) or task.open(node)
            tree.add(task.call(node, state), node.n_leaves)
            left -= state.n_bytes
            if left > 0:
                states[node.first_row] = state
        return tree.total

    def sum_of(self, of_leaf: Callable[[Block], S]) -> S:
        """Call a picklable function for each leaf (65,520 rows), and return the sum of the results."""
        return self.map_merge(LeafReduction(of_leaf))

    def cached(self, key: Hashable, find: Callable[[], T]) -> T:
        """Return the result of `find`, which is called once for each key; the result is stored for later calls."""
        cached = self.__dict__.setdefault("_cache", {})
        if key not in cached:
            cached[key] = find()
        return cached[key]

    def map_rows(self, task: Callable[[Block], T]) -> Iterator[T]:
        """Call a picklable function for each block, and yield the results in the order of the rows."""
        return map(task, self.blocks())

    def each_row(self, task: Callable[[Block], NDArray[RowResult]]) -> NDArray[RowResult]:
        """Call a picklable function for each block, and concatenate the results into one array (n_rows, …)."""
        whole = self.whole
        if whole is not None:
            return task(whole)
        results = self.map_rows(task)
        result = next(results)
        value, first = np.empty((self.n_rows, *result.shape[1:]), result.dtype), 0
        for part in chain([result], results):
            value[first : first + len(part)] = part
            first += len(part)
        return value

    def per_row(self, task: Callable[[Block], NDArray[RowResult]], dtype: Any, shape: tuple[int, ...] = ()) -> Any:
        """Return the result of `each_row`; for lazy data, return a lazy array with the chunks of the data.

        For lazy data, `dtype` and `shape` must describe the result for one row.
        """
        return self.each_row(task)

    @property
    def is_incomplete(self) -> bool:
        """Return whether values may be missing or have measurement errors."""
        return self.may_miss or self.has_errors

    @cached_property
    def row_totals(self) -> RowStatistics:
        """Return the number of rows, the sum of the row weights, and similar totals."""
        return self.collect(RowStatistics)

    def collect(self, kind: type[F]) -> F:
        """Return the statistic of class `kind` for all rows, which is computed once and then stored."""
        if self._origin is not None:
            origin, factor = self._origin
            finding = origin.collect(kind)
            has_weights = factor != 1.0 and origin.row_totals.largest_weight is not None
            return finding.scaled(factor) if has_weights else finding
        cached, whole = self.__dict__.setdefault("_cache", {}), self.whole
        if kind not in cached and whole is not None:
            cached[kind] = kind.from_block(whole)
        if kind not in cached:
            needs_all = self.is_remote and RowStatistics not in cached
            first = kinds_for(self.n_features, may_miss=self.may_miss) if needs_all else []
            cached.update(self._compute_statistics(first if kind in first else [*first, kind]))
        return cached[kind]

    def _compute_statistics(self, kinds: Sequence[type[RowStatistic]]) -> Mapping[type[RowStatistic], Any]:
        """Compute several row statistics in one pass over all rows."""
        return dict(zip(kinds, self.sum_of(partial(compute_statistics, kinds=kinds)), strict=True))

    @property
    def row_weight(self) -> Array | None:
        """Return the weights of all rows, (n_rows,), in memory; None if all weights are 1."""
        return None if self.row_totals.largest_weight is None else self.each_row(attrgetter("weight"))

    def sample(self, n_rows: int) -> Block:
        """Return all rows if there are at most `n_rows`, otherwise a sample of about `n_rows` rows.

        The sample does not depend on the partition into blocks. A row is drawn by the hash of its index with
        probability p = min(1, weight / w), where w = total weight / `n_rows`; the row's weight becomes weight / p.
        Rows of weight ≥ w are always drawn, and rows of weight 0 are never drawn. For each feature, the first rows
        with the minimum and the maximum are treated as drawn, so that no initialisation misses an outlier.
        """
        if self.n_rows <= n_rows:
            return Block.concatenate(self.blocks())
        if self._origin is not None:
            origin, factor = self._origin
            return _times(origin.sample(n_rows), factor)
        return self.cached(("sample", n_rows), partial(self._draw, n_rows))

    def _draw(self, n_rows: int) -> Block:
        drawn_weight = self.row_totals.total_weight / n_rows
        blocks, is_drawn = zip(*self.map_rows(partial(_drawn, drawn_weight=drawn_weight)), strict=True)
        return sampled(Block.concatenate(blocks), np.concatenate(is_drawn), drawn_weight)

    def changed(self, change: Change, n_rows: int, columns: Sequence[int] | None = None) -> Source:
        """Return a source of the blocks that a picklable function of blocks returns, with `n_rows` rows in total.

        Row indices of the new source begin at 0. `columns` are the indices of remaining columns; None if all remain.
        """
        return _Changed(self, change, n_rows, columns)._copy_flags(self)

    def without_states(self) -> Self:
        """Return a source of the same rows without stored states, because each concurrent fit needs its own states."""
        self.__dict__.setdefault("_cache", {})  # creates the cache of row statistics that `self` and `twin` share
        twin = object.__new__(type(self))  # copy.copy would take longer than all EM steps of a small fit
        twin.__dict__.update(self.__dict__, _states=(None, {}))
        return twin

    def with_assignment(self, assignment: Assignment) -> Source:
        """Return a source of the same rows with labels (n_rows,) or responsibilities (n_rows, n_components)."""
        return self._with_origin(self.changed(partial(with_row_values, assignment=assignment), self.n_rows))

    def with_log_prior(self, log_prior: Array, indices: NDArray[np.int32] | None = None) -> Source:
        """Return a source of the same rows with log prior probabilities of their components; see `Block`.

        `indices` (n_rows,) gives, for each row, the index of the row's entry in `log_prior`. If `indices` is None, the
        labels in `Block.assignment` serve as these indices; without labels, `log_prior` has one entry per row.
        """
        change = partial(_with_log_prior, log_prior=log_prior, indices=indices)
        twin = self._with_origin(self.changed(change, self.n_rows))
        twin.has_log_prior = True
        return twin

    def reweighted(self, factor: float) -> Source:
        """Return a source of the same rows with weights multiplied by a factor; rows without weights get no weights."""
        twin = self.changed(partial(_reweighted, factor=factor), self.n_rows)
        return self._with_origin(twin, factor) if frexp(factor)[0] == 0.5 else twin  # scaling by a power of 2 is exact

    def _copy_flags(self, source: Source) -> Self:
        """Copy from another source the flags that describe the contents of its blocks; return this source."""
        self.may_miss, self.has_errors, self.has_log_prior = source.may_miss, source.has_errors, source.has_log_prior
        return self

    def _with_origin(self, twin: Source, factor: float = 1.0) -> Source:
        """Make `twin` share the row statistics of this source, scaled by `factor`, a power of 2; return `twin`."""
        twin._origin = self, factor
        return twin

    def part(self, choose: Callable[[Block], NDArray[np.bool_]], n_rows: int) -> Source:
        """Return a source of the `n_rows` rows that a picklable function selects in all blocks, indexed from 0."""
        return self.changed(partial(_part, choose=choose), n_rows)


class _Changed(Source):
    """A source that applies a function to the blocks of another source in every pass."""

    def __init__(self, source: Source, change: Change, n_rows: int, columns: Sequence[int] | None) -> None:
        self.n_rows, self.dtype = n_rows, source.dtype
        self.n_features = source.n_features if columns is None else len(columns)
        self.memory, self.is_read_again, self.is_remote = source.memory, source.is_read_again, source.is_remote
        self._source, self._change = source, change

    def blocks(self) -> Iterator[Block]:
        return renumbered(chain.from_iterable(map(self._change, self._source.blocks())))


def has_values(block: Block) -> NDArray[np.bool_]:
    """Return whether each row has an observed value; True for all rows of weight 0, because `Cells` leaves them out."""
    return ~block.are_empty | (block.weight == 0)


def renumbered(blocks: Iterable[Block]) -> Iterator[Block]:
    """Yield the blocks with new row indices, which are consecutive and begin at 0."""
    n_rows = 0
    for block in blocks:
        yield replace(block, first_row=n_rows)
        n_rows += block.n_rows


def in_leaves(block: Block, task: Callable[[Block], NDArray[RowResult]]) -> NDArray[RowResult]:
    """Run a task on each block of 65,520 rows (a leaf), and concatenate the results.

    Because arrays and files have the same leaves, even results that depend on the grouping of rows are bit-identical.
    """
    return np.concatenate([task(leaf) for leaf in block.split()])


def log_pass(source: Source, began: float, answers: Any = None) -> None:
    """Log the duration of a pass and the size of the workers' answers; `began` is `perf_counter()` at its beginning."""
    if not log.isEnabledFor(logging.DEBUG):
        return
    seconds, n_bytes = perf_counter() - began, source.n_rows * source.n_features * source.dtype.itemsize
    received = "" if answers is None else f", {len(pickle.dumps(answers, 5)) / 1e6:.3g} MB received"
    speed = source.n_rows / max(seconds, 1e-9)
    log.debug("pass: %d rows, %.4g MB, %.3f s, %.3g rows/s%s", source.n_rows, n_bytes / 1e6, seconds, speed, received)


def _drawn(block: Block, drawn_weight: float) -> tuple[Block, NDArray[np.bool_]]:
    """Return a block's drawn rows together with its rows of extreme values, and a mask that marks the drawn rows."""
    weight, drawn = block.row_weight, [np.zeros(0, dtype=np.intp)]
    for part in block.split():  # to save memory, hashes are computed for 65,520 rows at a time
        is_drawn = are_drawn(hashes(part), part.row_weight, drawn_weight)
        drawn.append(is_drawn.nonzero()[0] + part.first_row - block.first_row)
    indices = np.concatenate(drawn)
    has_weight = block.n_rows > 0 if weight is None else weight.any()
    extreme = extreme_rows(block.rows, weight) if has_weight else indices
    chosen = np.sort(np.append(indices, extreme), kind="stable")  # ten times as fast as np.union1d
    chosen = chosen[np.diff(chosen, prepend=-1) > 0]
    return replace(block.take(chosen, block.first_row), assignment=None), np.isin(chosen, indices)


def with_row_values(block: Block, **values: Any) -> Iterable[Block]:
    """Return, in a list, the block with fields taken from arrays that have one entry per row of the source."""
    return [replace(block, **{name: each[block.row_slice] for name, each in values.items()})]


def _with_log_prior(block: Block, log_prior: Array, indices: NDArray[np.int32] | None) -> Iterable[Block]:
    if indices is None and block.assignment is None:
        return [replace(block, log_prior=log_prior[block.row_slice])]
    indices_here: Any = block.assignment if indices is None else indices[block.row_slice]
    return [replace(block, log_prior=log_prior, prior_indices=indices_here)]


def _reweighted(block: Block, factor: float) -> Iterable[Block]:
    return [_times(block, factor)]


def _times(block: Block, factor: float) -> Block:
    """Return the block with its weights multiplied by a factor; a block without weights is unchanged."""
    return block if block.row_weight is None else replace(block, row_weight=block.row_weight * factor)


def _part(block: Block, choose: Callable[[Block], NDArray[np.bool_]]) -> Iterable[Block]:
    """Return, in a list, one block of the rows that `choose` selects from a block; [] if no row is selected."""
    indices = choose(block).nonzero()[0]
    return [block.take(indices, block.first_row)] if len(indices) else []
