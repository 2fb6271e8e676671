"""Implement sources of rows in other processes, and of tables that are not read before the first pass."""

from __future__ import annotations

import platform
import re
from abc import abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import reduce
from itertools import accumulate
from operator import add
from time import perf_counter
from typing import Any, NamedTuple, Self
from uuid import uuid4

from numpy.typing import NDArray

from gaussmix._src.errors import warn
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.leaves import LEAF_ROWS, Tree, count_leaves
from gaussmix._src.numerics.threads import cached_property
from gaussmix._src.sources.base import Change, RowResult, S, Source, T, Task, log
from gaussmix._src.sources.files.base import TableInfo
from gaussmix._src.sources.traffic import FAN_IN, Traffic
from gaussmix._src.version import package_version

MAX_FITS = 4  # maximum number of fits for which workers store states of the same rows
MAX_PARTITION_BYTES = 2**27  # maximum size in bytes of a partition of rows; a worker assembles it in memory
# If there are enough rows, each worker has about this number of partitions, so that workers have equal loads.
PARTITIONS_PER_WORKER = 4
# Modules that gaussmix, or Spark's calls of gaussmix, import; gaussmix does not explain errors about other modules.
_LACKS = re.compile(r"No module named '(gaussmix|joblib|narwhals|numpy|pyarrow|safetensors|scipy|sklearn)\b")
_OTHER_VERSION = re.compile(r"ImportError: (The .*? has gaussmix .*?, but your program has .*? on all \w+\.)")


class NewPartition(NamedTuple):
    """A new partition of rows, to be stored on a worker, with the ranges of rows of old partitions that form it.

    Parameters
    ----------
    owner : worker that will store the new partition; None if there is no worker.
    first_row : index of the first row of the new partition among all rows.
    spans : ranges of rows of old partitions: index of the old partition, first row and end in this partition.
    """

    owner: str | None
    first_row: int
    spans: Sequence[tuple[int, int, int]]


def plan_partitions(sizes: Sequence[int], row_bytes: int, n_threads: Mapping[str, int]) -> list[NewPartition]:
    """Return new partitions for old partitions of `sizes` rows. `n_threads` has each worker's number of threads."""
    n_leaves = leaves_per_partition(sum(sizes), row_bytes, PARTITIONS_PER_WORKER * max(len(n_threads), 1))
    cuts = cut_partitions(sizes, n_leaves * LEAF_ROWS)
    return [NewPartition(owner, *cut) for owner, cut in zip(assign_workers(n_threads, len(cuts)), cuts, strict=True)]


def leaves_per_partition(n_rows: int, row_bytes: int, n_tasks: int) -> int:
    """Return the number of leaves (65,520 rows) per partition: 2^m, with at least `n_tasks` partitions if possible."""
    limit = min(MAX_PARTITION_BYTES // (LEAF_ROWS * row_bytes), count_leaves(n_rows) // n_tasks)
    return 1 << (max(limit, 1).bit_length() - 1)


def cut_partitions(sizes: Sequence[int], n_rows: int) -> list[tuple[int, list[tuple[int, int, int]]]]:
    """Return, for each new partition of `n_rows` rows, its first row and the ranges of rows that form it.

    `sizes` has the number of rows of each old partition. A range of rows is given by the index of an old partition, and
    the first row and the end of the range in this partition.
    """
    ends = [*accumulate(sizes)]
    result = []
    for first in range(0, ends[-1] if ends else 0, n_rows):
        end = min(first + n_rows, ends[-1])
        overlapping = range(bisect_right(ends, first), bisect_left(ends, end) + 1)
        starts = {index: ends[index] - sizes[index] for index in overlapping if sizes[index]}
        result.append((first, [(part, max(first - start, 0), end - start) for part, start in starts.items()]))
    return result


def assign_workers(n_threads: Mapping[str, int], n_partitions: int) -> list[str] | list[None]:
    """Assign a worker to each partition, in the order of partitions; workers with more threads get more partitions."""
    threads = sorted(n_threads.items())
    if not threads:  # all workers died after the rows were counted
        return [None] * n_partitions
    ends = list(accumulate(n for _, n in threads))  # number of threads of this worker and all earlier workers
    return [threads[bisect_right(ends, ends[-1] * index // n_partitions)][0] for index in range(n_partitions)]


def merge_in_rounds(trees: Sequence[T], merge: Callable[[Sequence[Sequence[T]]], Sequence[T]]) -> Sequence[T]:
    """Merge trees of partial sums in rounds, until at most `FAN_IN` trees are left.

    The function `merge` merges each group of trees into one tree. The trees stay on the workers.
    """
    while len(trees) > FAN_IN:
        trees = merge([trees[first : first + FAN_IN] for first in range(0, len(trees), FAN_IN)])
    return trees


def merged(trees: Iterable[Tree[S]]) -> Tree[S]:
    """Merge trees of partial sums into one tree."""
    return reduce(add, trees)


def split_by_component(trees: Iterable[Tree[Any]], n_parts: int) -> Any:
    """Merge trees of partial sums into one tree, or into `n_parts` trees, each for a group of components."""
    tree = merged(trees)
    return tree if n_parts == 1 else tree.split_by_component(n_parts)


def check_version(version: str, worker: str, hosts: str) -> None:
    """Raise ImportError if the worker that runs this function has a version of gaussmix other than `version`."""
    if (ours := package_version()) != version:
        raise ImportError(
            f"The {worker} on {platform.node()} has gaussmix {ours}, but your program has {version}. Install {version} "
            f"on all {hosts}."
        )


def version_error(error: str, worker: str, hosts: str, advice: str = "") -> ImportError | None:
    """Return ImportError if an error reports a different version of gaussmix or a missing module, otherwise None.

    `advice` is a sentence that is added to the message if a module is missing.
    """
    other = _OTHER_VERSION.search(error)
    if other is not None:
        return ImportError(other[1])
    lacks = _LACKS.search(error)
    if lacks is None:
        return None
    install = f"Install gaussmix {package_version()} and what it needs on all {hosts}."
    return ImportError(f"A {worker} has no {lacks[1]}. {install}{advice}")


def _of_rows(name: str) -> Any:
    """Return a property by which a `LazySource` has the attribute or method `name` of the source of its rows."""
    return property(lambda source: getattr(source._rows, name))


class LazySource(Source):
    """A source of a table, whose rows the function `read` reads and checks in the first pass.

    The function `results` takes a task, and the type and shape of the task's result for one row. `results` returns the
    results of all rows in a container like the table, such as a lazy array. `notices` are issued as warnings.
    """

    is_lazy = True

    def __init__(
        self,
        info: TableInfo,
        results: Callable[[Callable[[Block], Any], Any, tuple[int, ...]], Any],
        read: Callable[[], Source],
        notices: Iterable[str],
    ) -> None:
        for notice in notices:
            warn(f"{info.name}: {notice}")
        self.n_features, self.dtype, self.may_miss = len(info.names), info.dtype, info.may_miss
        self.feature_names = tuple(info.names) if info.has_names else None
        self.integer_columns = info.integer_columns
        self._name, self._results, self._read = info.name, results, read

    def __repr__(self) -> str:
        return f"<LazySource {self._name}: {self.n_features} features, {self.dtype}>"  # n_rows may be unknown

    @cached_property
    def _rows(self) -> Source:
        began, rows = perf_counter(), self._read()
        if isinstance(rows, Remote):
            invalid_reason = rows.invalid_reason if rows.n_rows else f"{self._name} has no rows."
            if invalid_reason is not None:
                raise ValueError(invalid_reason)
            # Partitions that were not examined when the table was opened may have further columns of integers.
            self.integer_columns = sorted({*self.integer_columns, *rows.integer_columns})
            log.info("loaded %s: %d rows, %.3g s", self._name, rows.n_rows, perf_counter() - began)
        return rows

    n_rows, is_remote, is_read_again, max_fits, whole = map(
        _of_rows, ("n_rows", "is_remote", "is_read_again", "max_fits", "whole")
    )
    blocks, map_merge, map_rows, collect, sample = map(
        _of_rows, ("blocks", "map_merge", "map_rows", "collect", "sample")
    )

    def changed(self, change: Change, n_rows: int, columns: Sequence[int] | None = None) -> Source:
        return self._rows.changed(change, n_rows, columns)._copy_flags(self)

    def without_states(self) -> Self:
        twin = super().without_states()
        twin._rows = self._rows.without_states()
        return twin

    def per_row(self, task: Callable[[Block], NDArray[RowResult]], dtype: Any, shape: tuple[int, ...] = ()) -> Any:
        return self._results(task, dtype, shape)


States = dict[Hashable, tuple[Hashable, list[Any]]]  # for each fit: key of its current task, one state per block


class WorkerPartition:
    """A partition of consecutive rows on a worker: blocks (nodes of the summation tree) and the states of fits."""

    def __init__(self, blocks: Sequence[Block], states: States | None = None) -> None:
        self.blocks, self._states = blocks, {} if states is None else states

    def __reduce__(self) -> Any:
        return WorkerPartition, (self.blocks,)  # sends the rows without the states

    def sums(self, task: Task[S], fit: Hashable) -> Tree[S]:
        """Run a task of a fit on each block, and return a summation tree of the results."""
        # The states are taken out during the call, so that a concurrent thread creates its own states.
        key, states = self._states.pop(fit, (None, []))
        if key != task.key:
            states = [task.open(block) for block in self.blocks]
        tree = Tree[S]()
        for block, state in zip(self.blocks, states, strict=True):
            tree.add(task.call(block, state), block.n_leaves, block.first_row // LEAF_ROWS)
        self._states[fit] = task.key, states
        while len(self._states) > MAX_FITS:
            self._states.pop(next(iter(self._states)), None)
        return tree

    def results(self, task: Callable[[Block], T]) -> list[T]:
        """Call a function for each block, and return the list of results."""
        return [task(block) for block in self.blocks]


class Remote(Source):
    """A source of rows in other processes, in partitions of whole leaves (blocks of 65,520 rows)."""

    is_remote, max_fits = True, MAX_FITS
    invalid_reason: str | None  # error message for the first invalid value or weight; None if all are valid

    def __init__(self, info: TableInfo) -> None:
        self.n_features, self.dtype = len(info.names), info.dtype
        self._fit = uuid4().hex  # key under which workers store the states of this fit

    @abstractmethod
    def each(self, work: Callable[..., T], *arguments: Any) -> Iterable[T]:
        """Call `work` with each `WorkerPartition` and the arguments, and return the results in the rows' order."""

    @abstractmethod
    def totals(self, n_parts: int, work: Callable[..., Tree[S]], *arguments: Any) -> list[S]:
        """Call `work` with each `WorkerPartition` and the arguments, and sum the trees of results that it returns.

        Workers merge the trees. Before the trees of several workers are merged, each tree is split into `n_parts`
        groups of components, and separate tasks merge the trees of each group.
        """

    @abstractmethod
    def traffic(self, task: int, node: int, n_components: int) -> Traffic:
        """Return the `Traffic` of a pass, given the sizes in bytes of a task and of the sums of one node of a tree."""

    def map_merge(self, task: Task[S]) -> S:
        if self.whole is not None:
            return super().map_merge(task)
        sizes, n_parts = getattr(task, "sizes", None), 1
        if sizes is not None:  # the task predicts the size of its sums, which workers split by component if it is large
            key = sizes(self.n_features)
            n_parts = self.cached(("traffic", *key), lambda: self.traffic(*key).checked()).n_parts
        parts: list[Any] = self.totals(n_parts, WorkerPartition.sums, task, self._fit)
        # The result is `BlockMoments` or `Sums` of `BlockMoments`, which both have the method `joined`.
        return parts[0] if n_parts == 1 else parts[0].joined(parts)

    def map_rows(self, task: Callable[[Block], T]) -> Iterator[T]:
        return (result for results in self.each(WorkerPartition.results, task) for result in results)

    def without_states(self) -> Self:
        twin = super().without_states()
        twin._fit = uuid4().hex
        return twin
