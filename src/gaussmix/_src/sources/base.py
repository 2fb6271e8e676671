"""Sources say where rows are: they cut rows into blocks, take work to each block and merge what comes back."""

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
from gaussmix._src.sources.row_statistics import RowStatistic, findings, kinds_for
from gaussmix._src.sources.survey import are_drawn, hashes, sampled

S = TypeVar("S", bound=Summable)
S_co = TypeVar("S_co", bound=Summable, covariant=True)
T = TypeVar("T")
F = TypeVar("F", bound=RowStatistic)
RowResult = TypeVar("RowResult", bound=np.generic)
log = logging.getLogger("gaussmix")
Change = Callable[[Block], Iterable[Block]]  # picklable
Assignment = Array | NDArray[np.int32]  # responsibilities (n_rows, n_components) or labels (n_rows,)


class Task(Protocol[S_co]):
    """Work on a block whose results add up. It must be picklable, because it goes where the rows are."""

    @property
    def key(self) -> Hashable:
        """Tasks with equal keys share the states that are kept with blocks."""

    def open(self, block: Block) -> BlockState:
        """Make the state of a block, which may be kept between passes. It may be lost, and is then made again."""

    def call(self, block: Block, state: Any) -> S_co:
        """Do the work on one block, which is a node of the tree of leaves (`interfaces.leaves`)."""


@dataclass(frozen=True, eq=False)
class LeafReduction(Generic[S]):
    """The task that adds up what a picklable function returns for each leaf."""

    of_leaf: Callable[[Block], S]

    key: ClassVar[str] = "leaves"

    def open(self, block: Block) -> BlockState:
        return BlockState()

    def call(self, block: Block, state: BlockState) -> S:
        return block.sum_of(self.of_leaf)


class Source(ABC):
    """Rows somewhere: all that fits and predictions know of their data.

    A new source sets the attributes and yields blocks; everything else follows. A source whose rows lie in other
    processes overrides `map_merge`, `map_rows` and `changed` too, and sends the work there.

    Attributes
    ----------
    n_rows : number of rows, at least 1.
    n_features : number of columns.
    dtype : float32 or float64, the type of the rows in every block.
    feature_names : of the columns; None where they have none.
    may_miss : cells may be missing: NaN.
    integer_columns : places of the columns whose numbers were integers of 64 bits, which may have merged in a double.
    has_errors : blocks say how large measurement errors are.
    has_log_prior : blocks say what is known of the components of their rows.
    memory : bytes for the states kept with blocks; those for which there is no room are made again in every pass.
    is_read_again : every pass reads the rows from files, so that fits at the same time take more memory each.
    is_remote : a pass costs more than the work on the rows, so that the first one finds out all that may be asked.
    max_fits : how many fits at the same time have their states kept, in other processes; None in this one.
    is_lazy : `per_row` computes nothing yet, so that its result needs no memory.
    is_on_device : the rows of blocks are a `DeviceArray`.
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
    is_lazy: ClassVar[bool] = False

    _origin: tuple[Source, float] | None = None  # the same rows, and what their weights were multiplied by
    _states: tuple[Hashable, dict[int, BlockState]] = None, {}  # a task's key; states by the first row
    _cache: dict[Hashable, Any]  # what passes found out about all rows

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.n_rows} rows, {self.n_features} features, {self.dtype}>"

    @abstractmethod
    def blocks(self) -> Iterable[Block]:
        """Cut the rows into blocks of any sizes: consecutive rows, in order, and the same blocks in every pass.

        `Block.first_row` counts over all rows. Numbers are finite. All blocks have row weights, or none has.
        """

    @cached_property
    def whole(self) -> Block | None:
        """All rows as one block; None where they do not fit into a leaf."""
        return Block.concatenate(self.blocks()) if self.n_rows <= LEAF_ROWS else None

    def map_merge(self, task: Task[S]) -> S:
        """Run a task on nodes of the tree of leaves, and merge what they say; the same bits however blocks are cut."""
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
        """The sum of what a picklable function returns for each leaf of 65,520 rows."""
        return self.map_merge(LeafReduction(of_leaf))

    def cached(self, key: Hashable, find: Callable[[], T]) -> T:
        """What `find` returns, found once for each key."""
        cached = self.__dict__.setdefault("_cache", {})
        if key not in cached:
            cached[key] = find()
        return cached[key]

    def map_rows(self, task: Callable[[Block], T]) -> Iterator[T]:
        """What a picklable function returns for each block, in the order of the rows."""
        return map(task, self.blocks())

    def each_row(self, task: Callable[[Block], NDArray[RowResult]]) -> NDArray[RowResult]:
        """What a picklable function returns for the rows of each block, as one array (n_rows, …)."""
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
        """What `each_row` returns; where rows come from a lazy array, a lazy array of results with its chunks.

        A lazy array must know `dtype` and `shape`: those of the result for one row.
        """
        return self.each_row(task)

    @property
    def is_incomplete(self) -> bool:
        """Whether some of what a row should be is unknown."""
        return self.may_miss or self.has_errors

    def array_like(self) -> Any:
        """Return an empty array of the library, on the device and of the type of the rows; None for NumPy's."""
        return None

    @property
    def kind(self) -> dict[str, bool]:
        """The properties of the rows by which `make_engine` chooses an engine."""
        return {"is_incomplete": self.is_incomplete, "is_on_device": self.is_on_device}

    @cached_property
    def row_totals(self) -> RowStatistics:
        """Numbers and weights of all rows."""
        return self.collect(RowStatistics)

    def collect(self, kind: type[F]) -> F:
        """The finding of a kind about all rows, made once."""
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
            cached.update(self._find(first if kind in first else [*first, kind]))
        return cached[kind]

    def _find(self, kinds: Sequence[type[RowStatistic]]) -> Mapping[type[RowStatistic], Any]:
        """Findings about all rows, from one pass."""
        return dict(zip(kinds, self.sum_of(partial(findings, kinds=kinds)), strict=True))

    @property
    def row_weight(self) -> Array | None:
        """The weights of all rows, (n_rows,), in memory; None where all are 1."""
        return None if self.row_totals.largest_weight is None else self.each_row(attrgetter("weight"))

    def sample(self, n_rows: int) -> Block:
        """All rows where there are at most `n_rows`, else about that many chosen by a hash of the row number.

        The same rows for any partition into blocks. A row is chosen with probability p = min(1, weight / fair),
        fair = total weight / `n_rows`, and stands for weight / p: heavy rows are always chosen, rows of weight 0 never.
        The first rows with the smallest and the largest number of each feature are always chosen too, so that no start
        overlooks an outlier; they count as if they had been drawn.
        """
        if self.n_rows <= n_rows:
            return Block.concatenate(self.blocks())
        if self._origin is not None:
            origin, factor = self._origin
            return _times(origin.sample(n_rows), factor)
        return self.cached(("sample", n_rows), partial(self._draw, n_rows))

    def _draw(self, n_rows: int) -> Block:
        fair = self.row_totals.total_weight / n_rows
        blocks, is_drawn = zip(*self.map_rows(partial(_drawn, fair=fair)), strict=True)
        return sampled(Block.concatenate(blocks), np.concatenate(is_drawn), fair)

    def changed(self, change: Change, n_rows: int, columns: Sequence[int] | None = None) -> Source:
        """The `n_rows` rows in the blocks that a picklable function makes of each block; they are counted again.

        `columns` are the places of those that are left; None for all.
        """
        return _Changed(self, change, n_rows, columns)

    def without_states(self) -> Self:
        """The same rows without the states of their blocks: fits at the same time need a source each."""
        self.__dict__.setdefault("_cache", {})  # what is found out about the rows is theirs, too
        twin = object.__new__(type(self))  # copy.copy takes longer than all of a small fit's steps
        twin.__dict__.update(self.__dict__, _states=(None, {}))
        return twin

    def with_assignment(self, assignment: Assignment) -> Source:
        """The same rows, shared as `assignment` says: labels (n_rows,) or responsibilities (n_rows, n_components)."""
        return self._with_origin(self.changed(partial(_with_assignment, assignment=assignment), self.n_rows))

    def with_log_prior(self, log_prior: Array, indices: NDArray[np.int32] | None = None) -> Source:
        """The same rows and what is known of their components; as in `Block`, with places (n_rows,) of all rows.

        Without places, labels in `Block.given` are the places.
        """
        change = partial(_with_log_prior, log_prior=log_prior, indices=indices)
        twin = self._with_origin(self.changed(change, self.n_rows))
        twin.has_log_prior = True
        return twin

    def reweighted(self, factor: float) -> Source:
        """The same rows with their weights multiplied by a factor. Rows without weights stay without."""
        twin = self.changed(partial(_reweighted, factor=factor), self.n_rows)
        return self._with_origin(twin, factor) if frexp(factor)[0] == 0.5 else twin  # else sums have other bits

    def _with_origin(self, twin: Source, factor: float = 1.0) -> Source:
        """The same rows with what is known of them; `factor` is a power of 2."""
        twin._origin = self, factor
        return twin

    def part(self, choose: Callable[[Block], NDArray[np.bool_]], n_rows: int) -> Source:
        """The `n_rows` rows for which a picklable function of their block is true, counted again."""
        return self.changed(partial(_part, choose=choose), n_rows)


class _Changed(Source):
    """The blocks of another source, changed in every pass."""

    def __init__(self, source: Source, change: Change, n_rows: int, columns: Sequence[int] | None) -> None:
        self.n_rows, self.dtype = n_rows, source.dtype
        self.n_features = source.n_features if columns is None else len(columns)
        self.memory, self.is_read_again, self.is_remote = source.memory, source.is_read_again, source.is_remote
        self.may_miss, self.has_errors, self.has_log_prior = source.may_miss, source.has_errors, source.has_log_prior
        self._source, self._change = source, change

    def blocks(self) -> Iterator[Block]:
        return counted_anew(chain.from_iterable(map(self._change, self._source.blocks())))


def counted_anew(blocks: Iterable[Block]) -> Iterator[Block]:
    """Consecutive blocks, counted from row 0."""
    n_rows = 0
    for block in blocks:
        yield replace(block, first_row=n_rows)
        n_rows += block.n_rows


def in_leaves(block: Block, task: Callable[[Block], NDArray[RowResult]]) -> NDArray[RowResult]:
    """What a task returns for the rows of each leaf: for work whose last bits depend on the rows that it gets at once.

    Then arrays and files, whose blocks begin with a leaf, give the same bits.
    """
    return np.concatenate([task(leaf) for leaf in block.split()])


def log_pass(source: Source, began: float, answers: Any = None) -> None:
    """Tell the log how long a pass took since `perf_counter` was `began`, and how large the answers of workers were."""
    if not log.isEnabledFor(logging.DEBUG):
        return
    seconds, n_bytes = perf_counter() - began, source.n_rows * source.n_features * source.dtype.itemsize
    received = "" if answers is None else f", {len(pickle.dumps(answers, 5)) / 1e6:.3g} MB received"
    speed = source.n_rows / max(seconds, 1e-9)
    log.debug("pass: %d rows, %.4g MB, %.3f s, %.3g rows/s%s", source.n_rows, n_bytes / 1e6, seconds, speed, received)


def _drawn(block: Block, fair: float) -> tuple[Block, NDArray[np.bool_]]:
    """The rows of a block that a sample may have, and whether each was drawn (n_drawn,): others are extreme here."""
    weight, drawn = block.row_weight, [np.zeros(0, dtype=np.intp)]
    for part in block.split():  # for the sake of memory
        drawn.append(are_drawn(hashes(part), part.row_weight, fair).nonzero()[0] + part.first_row - block.first_row)
    indices = np.concatenate(drawn)
    extreme = extreme_rows(block.rows, weight) if weight is None or weight.any() else indices
    chosen = np.sort(np.append(indices, extreme), kind="stable")  # np.union1d takes ten times as long
    chosen = chosen[np.diff(chosen, prepend=-1) > 0]
    return replace(block.take(chosen, block.first_row), assignment=None), np.isin(chosen, indices)


def _with_assignment(block: Block, assignment: Assignment) -> Iterable[Block]:
    return [replace(block, assignment=assignment[block.row_slice])]


def _with_log_prior(block: Block, log_prior: Array, indices: NDArray[np.int32] | None) -> Iterable[Block]:
    if indices is None and block.assignment is None:
        return [replace(block, log_prior=log_prior[block.row_slice])]
    indices_here: Any = block.assignment if indices is None else indices[block.row_slice]
    return [replace(block, log_prior=log_prior, prior_indices=indices_here)]


def _reweighted(block: Block, factor: float) -> Iterable[Block]:
    return [_times(block, factor)]


def _times(block: Block, factor: float) -> Block:
    """The block with its weights multiplied by a factor; without weights it stays so."""
    return block if block.row_weight is None else replace(block, row_weight=block.row_weight * factor)


def _part(block: Block, choose: Callable[[Block], NDArray[np.bool_]]) -> Iterable[Block]:
    """The chosen rows of a block; no block where there are none."""
    indices = choose(block).nonzero()[0]
    return [block.take(indices, block.first_row)] if len(indices) else []


Source.__module__ = "gaussmix.extend"  # where users import it from
