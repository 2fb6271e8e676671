"""Give access to rows on the executors of a Spark cluster."""

from __future__ import annotations

import pickle
import re
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import chain, product
from math import inf
from pathlib import PurePosixPath
from threading import Thread
from time import perf_counter
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

import numpy as np
import pyarrow as pa
from pyspark import StorageLevel
from pyspark.sql import functions

from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.leaves import LEAF_ROWS, Tree, count_leaves
from gaussmix._src.sources.base import Change, S, Source, T, log_pass
from gaussmix._src.sources.files.base import TableInfo
from gaussmix._src.sources.open_options import OpenOptions
from gaussmix._src.sources.remote import LazySource, Remote, leaves_per_partition, merged
from gaussmix._src.sources.spark import jobs, pieces
from gaussmix._src.sources.spark.pieces import Layout
from gaussmix._src.sources.spark.store import FitPass, StateStore
from gaussmix._src.sources.spark.table import SparkTable
from gaussmix._src.sources.traffic import Traffic

TASKS_PER_CORE = 2  # minimum number of tasks per core, if there are enough rows, so that all cores finish together
MAX_TASKS = 16  # maximum number of tasks per core; if there are more partitions, a task handles several partitions
RESULT_SIZE_KEY = "spark.driver.maxResultSize"
MAX_TREES = 16  # maximum number of trees of sums that this process receives; if there are more, executors merge them


def open_spark(data: Any, request: OpenOptions) -> Source:
    """Open a Spark data frame, whose rows stay on the executors."""
    table = SparkTable.from_data(data, request)
    return LazySource(table.info, table.per_row, partial(load_rows, table), table.columns.notices)


def load_rows(table: SparkTable) -> Source:
    """Return a source of the rows of a data frame, which stay on the executors.

    Raises RuntimeError if the Spark session of the data frame was stopped.
    """
    context = getattr(table.frame.sparkSession, "sparkContext", None)  # None if Spark Connect is used
    if context is not None and context._jsc is None:
        raise RuntimeError("The Spark session of X was stopped. Start a session, and create the data frame again.")
    frame = jobs.on_executors(table.values, partial(pieces.pieces, columns=table.columns), pieces.PIECES)
    return SparkCluster(frame, table.info)


class SparkCluster(Remote):
    """A source of rows on the machines of executors, in partitions of 2^m × 65,520 rows.

    Spark stores the rows of the data frame on disk as *pieces*: blocks of rows with the schema `pieces.PIECES`. The
    pieces of a partition are joined and written to a local file, which the Python workers map into memory in every
    pass. Spark sends work to the machine with the file, and rebuilds the partitions of lost executors on other
    executors. If a task does not find the file, the partition is joined from the pieces again.
    """

    def __init__(self, frame: Any, info: TableInfo) -> None:
        super().__init__(info)
        store, self._n_passes = StateStore(uuid4().hex), 0
        self._executor_data = _ExecutorData(frame.sparkSession, store)
        self._pieces = self._executor_data.keep(frame, StorageLevel.DISK_ONLY)
        # This process receives the number of rows and the position of each piece, but not the rows.
        piece_table = jobs.run_job(self._pieces.drop("content"), f"load {info.name}")
        self.n_rows = int(piece_table["n_rows"].to_numpy().sum())
        info, n_cores = replace(info, n_rows=self.n_rows), _count_cores(frame.sparkSession)
        self._layout, self.invalid_reason = _lay_out_pieces(piece_table, info, n_cores, store)
        if self.invalid_reason is not None or not self.n_rows:
            self._pieces.unpersist()
            return
        stored = self._joined(pieces.store_partitions, pieces.STORED)  # file paths on executors, and digests of rows
        self._stored = self._executor_data.keep(stored, StorageLevel.MEMORY_AND_DISK)
        partitions = jobs.run_job(self._stored.drop("path"), f"join {info.name} to leaves").sort_by("number")
        self._digests = partitions["digest"].to_numpy()
        self.invalid_reason = _first_reason(partitions["invalid_reason"])

    def changed(self, change: Change, n_rows: int, columns: Sequence[int] | None = None) -> Source:
        """Return a source of the changed blocks, which executors compute once and store for all later passes."""
        limit = pieces.rows_of_piece(self.n_features, self.dtype)
        change_all = partial(pieces.make_and_change, change=change, size=limit, digests=self._digests)
        source = SparkCluster(self._joined(change_all, pieces.PIECES), self._layout.info.only(columns))
        if source.invalid_reason == self._layout.rows_changed_message or source.n_rows != n_rows:
            raise OSError(self._layout.rows_changed_message)
        return source._copy_flags(self)

    def blocks(self) -> Iterator[Block]:
        """Yield the rows. This process receives one piece at a time."""
        limit = pieces.rows_of_piece(self.n_features, self.dtype)
        arguments = {"results": partial(pieces.take, max_rows=limit), "digests": self._digests}
        for results in self._in_order(partial(pieces.visit, **arguments)):
            self._check(results["number"], results["digest"])
            if results["result"] is not None:
                yield pickle.loads(results["result"])
                continue
            make = self._joined(partial(pieces.make_and_visit, **arguments), pieces.RESULTS, [results["number"]])
            again = jobs.run_job(make, "rows that were lost")
            for index, _, digest, result in zip(*again.columns, strict=True):
                self._check(index.as_py(), digest.as_py())
                yield pickle.loads(result.as_buffer())

    def _in_order(self, work: Callable[..., Any]) -> Iterator[Any]:
        """Yield the results of a function of partitions in the order of the rows, one partition at a time."""
        if hasattr(self._stored, "_jdf"):
            return iter(jobs.on_executors(self._stored, work, pieces.RESULTS).toLocalIterator())
        parts = (self._stored.filter(functions.col("number") == index) for index in range(self._layout.n_partitions))
        return chain.from_iterable(  # one query per partition, because Spark Connect's server stores all results
            jobs.on_executors(part, work, pieces.RESULTS).toLocalIterator() for part in parts
        )

    def each(self, work: Callable[..., T], *arguments: Any) -> list[T]:
        """Run a function on each partition, and return the results; rebuild partitions whose files are not found."""
        result = self._results(1, work, arguments, lambda results: results)
        return [pickle.loads(result[index, 0]) for index in range(self._layout.n_partitions)]

    def totals(self, n_parts: int, work: Callable[..., Tree[S]], *arguments: Any) -> list[S]:
        """Return sums over all rows: each task adds up the sums of its partitions, and a few tasks merge them."""
        self._n_passes += 1
        merge, fit_pass = partial(self._merge, n_parts=n_parts), FitPass(self._fit, self._n_passes)
        result = self._results(n_parts, work, arguments, merge, fit_pass)
        parts: list[list[bytes]] = [[] for _ in range(n_parts)]
        for (_, part), tree in result.items():
            parts[part] += [tree] if tree else []
        return [merged(map(pickle.loads, trees)).total for trees in parts]

    def traffic(self, task: int, node: int, n_components: int) -> Traffic:
        n_leaves, n_trees = count_leaves(self.n_rows), -(-self._layout.n_partitions // self._layout.n_merged(MAX_TREES))
        max_nodes = n_trees + n_leaves.bit_count() - 1  # only the last tree has more than one node
        largest = _bytes_of(self._stored.sparkSession.conf.get(RESULT_SIZE_KEY, "1g"))
        return Traffic(task, node, n_components, self._layout.n_tasks, n_leaves, max_nodes, largest, RESULT_SIZE_KEY)

    def _merge(self, results: Any, n_parts: int) -> Any:
        """Merge partial sums in a data frame into at most `MAX_TREES` trees, or one tree per group of components.

        Results of the partitions of one task are merged where they are. Each further round moves trees to fewer tasks.
        """
        merge, n_merged = partial(pieces.merge, digests=self._digests), self._layout.n_per_task
        trees = results.mapInArrow(merge, pieces.RESULTS) if n_merged > 1 else results
        for max_trees in (MAX_TREES,) if n_parts == 1 else (MAX_TREES, 1):
            before, n_merged = n_merged, self._layout.n_merged(max_trees)
            if n_merged > before:
                gathered = self._repartitioned(trees, n_merged, n_parts).sortWithinPartitions("number")
                trees = gathered.mapInArrow(merge, pieces.RESULTS)
        return trees

    def _repartitioned(self, frame: Any, n_per_task: int, n_parts: int = 1) -> Any:
        """Repartition a data frame: a task gets `n_per_task` consecutive partitions of one group of components."""
        n_groups = -(-self._layout.n_partitions // n_per_task)
        group = functions.shiftright("number", n_per_task.bit_length() - 1)
        group = group if n_parts == 1 else n_groups * functions.col("part") + group
        return frame.repartitionById(n_parts * n_groups, group)

    def _results(
        self,
        n_parts: int,
        work: Callable[..., T],
        arguments: Sequence[Any],
        change: Callable[[Any], Any],
        fit_pass: FitPass | None = None,
    ) -> dict[tuple[int, int], bytes]:
        """Run `work` on all partitions, and return results by partition and group of components, merged by `change`."""
        results = partial(
            pieces.compute_results, work=(work, arguments), store=self._layout.store, n_parts=n_parts, fit_pass=fit_pass
        )
        visit = partial(pieces.visit, results=results, digests=self._digests)
        began = perf_counter()
        result = self._answers(change(jobs.on_executors(self._stored, visit, pieces.RESULTS)))
        wanted = set(product(range(self._layout.n_partitions), range(n_parts)))
        if missing := wanted - result.keys():
            partitions = {index for index, _ in missing}
            # If a partition lacks only some results, the others are already merged, so compute all partitions again.
            if len(missing) < n_parts * len(partitions):
                result, partitions = {}, {index for index, _ in wanted}
            make = partial(pieces.make_and_visit, results=results, digests=self._digests)
            result |= self._answers(change(self._joined(make, pieces.RESULTS, sorted(partitions))))
        if len(result) < len(wanted):
            raise OSError(self._layout.rows_changed_message)
        log_pass(self, began, result)
        return result

    def _answers(self, frame: Any) -> dict[tuple[int, int], bytes]:
        """Return a dictionary of all existing results, by the indices of the partition and the group of components."""
        result = jobs.run_job(frame, f"a pass over {self.n_rows:,} rows").to_pylist()
        for partition in result:
            self._check(partition["number"], partition["digest"])
        return {(each["number"], each["part"]): each["result"] for each in result if each["result"] is not None}

    def _check(self, index: int, digest: int) -> None:
        """Raise OSError if the rows of a partition have changed."""
        if digest != self._digests[index]:
            raise OSError(self._layout.rows_changed_message)

    def _joined(self, work: Callable[..., Any], schema: str, partitions: Sequence[int] | None = None) -> Any:
        """Join all partitions or only `partitions` from their pieces; return a data frame of the results of `work`."""
        cut = partial(pieces.parts, layout=self._layout, partitions=partitions)
        parts = self._pieces.mapInArrow(cut, pieces.PARTS)
        gathered = self._repartitioned(parts, self._layout.n_per_task)
        if self._layout.n_per_task > 1:
            gathered = gathered.sortWithinPartitions("number")
        return jobs.on_executors(gathered, partial(work, layout=self._layout), schema)


class _ExecutorData:
    """A handle of data on executors, which are removed when no source refers to this handle any more."""

    def __init__(self, session: Any, store: StateStore) -> None:
        self._frames: list[Any] = []
        weakref.finalize(self, _forget, session, store, self._frames).atexit = False  # Spark removes all data at exit

    def keep(self, frame: Any, level: StorageLevel) -> Any:
        """Persist a data frame until this object is deleted."""
        self._frames.append(frame.persist(level))
        return self._frames[-1]


def _frame_of_integers(session: Any) -> Any:
    """Return a data frame of integers, which Spark by default processes in one task per core of the cluster."""
    return session.range(2**16)


def _count_cores(session: Any) -> int:
    """Count the cores of the cluster by the partitions of a data frame that has one partition per core."""
    numbered = _frame_of_integers(session).select(functions.spark_partition_id().alias("part"))
    return int(1 + numbered.agg(functions.max("part")).toArrow()[0][0].as_py())


def _lay_out_pieces(table: pa.Table, info: TableInfo, n_cores: int, store: StateStore) -> tuple[Layout, str | None]:
    """Return the layout of pieces in the order of files or Spark partitions, and the first error message or None."""
    files = table["file"].combine_chunks().dictionary_encode()
    # The paths are sorted in the same order as in `gaussmix.open`.
    paths = [PurePosixPath(unquote(file)) for file in files.dictionary.to_pylist()]
    ranks = np.argsort(sorted(range(len(paths)), key=paths.__getitem__))
    names = "row", "part", "number", "n_rows"
    row, part, index, n_rows = (table[name].to_numpy().astype(np.int64) for name in names)
    order = np.lexsort((index, part, row, ranks[files.indices.to_numpy()]))
    starts = np.empty_like(n_rows)
    starts[order] = np.cumsum(n_rows[order]) - n_rows[order]
    keys = pieces.piece_key(part, index)
    by_key = np.argsort(keys)
    n_leaves = leaves_per_partition(info.n_rows, len(info.names) * info.dtype.itemsize, TASKS_PER_CORE * n_cores)
    n_partitions, n_per_task = -(-info.n_rows // (n_leaves * LEAF_ROWS)), 1
    while n_partitions > MAX_TASKS * n_cores * n_per_task:
        n_per_task *= 2
    layout = Layout(info, keys[by_key], starts[by_key], n_leaves, n_per_task, store)
    return layout, _first_reason(table["invalid_reason"].take(order))


def _bytes_of(size: str) -> float:
    """Convert a size in Spark's notation, such as 1g or 512m, to bytes; return infinity for 0, which means no limit."""
    match = re.fullmatch(r"(\d+)([a-z]?)b?", size.strip().lower())
    assert match is not None, "Spark checks its settings"
    return int(match[1]) * 1024.0 ** " kmgtp".index(match[2] or " ") or inf


def _first_reason(reasons: pa.ChunkedArray) -> str | None:
    """Return the first message that is not null; None if all are null."""
    result = reasons.drop_null()
    return result[0].as_py() if len(result) else None


def _forget(session: Any, store: StateStore, frames: Iterable[Any]) -> None:
    """Remove data from executors in a new thread; the garbage collector, which calls this function, must not wait.

    Executors with a free core remove their files at once. The files of other executors are removed when these end.
    """

    def forget() -> None:
        with suppress(Exception):  # raised if the session has ended and has removed the data
            for frame in frames:
                frame.unpersist()
            _frame_of_integers(session).mapInArrow(partial(pieces.forget, store=store), "id long").toArrow()

    Thread(target=forget, name="gaussmix-forget", daemon=True).start()
