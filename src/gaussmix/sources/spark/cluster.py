"""Rows on the executors of a Spark cluster."""

from __future__ import annotations

import pickle
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from operator import itemgetter
from pathlib import PurePosixPath
from threading import Thread
from time import perf_counter
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

from pyspark import StorageLevel
from pyspark.sql import functions

from gaussmix.errors import warn
from gaussmix.sources.base import Source, T, log, log_pass
from gaussmix.sources.files.base import About
from gaussmix.sources.opening import Request
from gaussmix.sources.remote import LazySource, Remote
from gaussmix.sources.spark import jobs, pieces
from gaussmix.sources.spark.pieces import Layout
from gaussmix.sources.spark.store import Store
from gaussmix.sources.spark.table import Table
from gaussmix.waist.block import Block
from gaussmix.waist.leaves import LEAF_ROWS, count_leaves

LARGEST_TARGET = 2**27  # bytes of rows that a worker holds at a time while it joins them
TASKS = 2  # for each core, if there are leaves enough, so that cores are done at about the same time


def open_spark(data: Any, asked: Request) -> Source:
    """Open a Spark frame, whose rows stay with the executors."""
    table = Table.of(data, asked)
    for notice in table.columns.notices:
        warn(f"{table.about.name}: {notice}")
    return LazySource(table.about, table.per_row, partial(loaded, table))


def loaded(table: Table) -> Source:
    """The rows of a frame, checked and kept by the executors.

    Raises ValueError: there are no rows, or the first number or weight that no fit can use is named.
    """
    began = perf_counter()
    frame = jobs.on_executors(table.numbers, partial(pieces.pieces, columns=table.columns), pieces.PIECES)
    source = Cluster(frame, table.about)
    if source.flaw is not None:
        raise ValueError(source.flaw)
    log.info("loaded %s: %d rows, %.3g s", table.about.name, source.n_rows, perf_counter() - began)
    return source


class Cluster(Remote):
    """Rows on the machines of executors, cut into targets: 2^m leaves each.

    Spark keeps the rows on disk as *pieces*, as the frame gave them (`pieces.PIECES`). A target is joined from pieces,
    written to a file of the machine, and mapped by the Python workers there in every pass. Spark sends the work on a
    target to where its file is, and joins those of executors that are lost on others. A task that finds no file says
    so, and its target is joined from pieces once more.
    """

    def __init__(self, frame: Any, about: About) -> None:
        super().__init__()
        self.n_features, self.dtype = len(about.names), about.dtype
        store = Store(uuid4().hex)
        self._life = _Life(frame.sparkSession, store)
        self._pieces = self._life.keep(frame, StorageLevel.DISK_ONLY)
        found = jobs.answered(self._pieces.drop("content"), f"load {about.name}").to_pylist()
        self.n_rows = sum(piece["n_rows"] for piece in found)
        self._layout, self.flaw = _laid_out(
            found, replace(about, n_rows=self.n_rows), self._n_leaves(frame.sparkSession), store
        )
        if self.flaw is not None:
            self._pieces.unpersist()
            return
        self._held = self._life.keep(self._joined(pieces.hold, pieces.HELD), StorageLevel.MEMORY_AND_DISK)
        held = sorted(jobs.answered(self._held, f"join {about.name} to leaves").to_pylist(), key=itemgetter("number"))
        self._digests = [target["digest"] for target in held]
        self.flaw = next((target["flaw"] for target in held if target["flaw"] is not None), None)

    def changed(self, change: Callable[[Block], Iterable[Block]], n_rows: int) -> Source:
        """As for every source, but the changed blocks are kept, and not made again in every pass."""
        most = pieces.rows_of_piece(self.n_features, self.dtype)
        change_all = partial(pieces.make_and_change, change=change, most=most, digests=self._digests)
        source = Cluster(self._joined(change_all, pieces.PIECES), self._layout.about)
        if source.flaw == self._layout.changed or source.n_rows != n_rows:
            raise OSError(self._layout.changed)
        return source

    def _n_leaves(self, session: Any) -> int:
        """Of a target, a power of 2."""
        if self.n_rows <= LEAF_ROWS:
            return 1
        most = LARGEST_TARGET // (LEAF_ROWS * self.n_features * self.dtype.itemsize)
        most = max(1, min(most, count_leaves(self.n_rows) // (TASKS * _count_cores(session))))
        return 1 << (most.bit_length() - 1)

    def each(self, work: Callable[..., T], *arguments: Any) -> list[T]:
        """As for all rows elsewhere; done once more for targets whose files are not found."""
        began = perf_counter()
        visit = partial(pieces.visit, work=(work, arguments), digests=self._digests, store=self._layout.store)
        found = self._answers(jobs.on_executors(self._held, visit, pieces.RESULTS))
        missing = [number for number in range(self._layout.n_targets) if number not in found]
        if missing:
            make = partial(pieces.make_and_visit, work=(work, arguments), digests=self._digests)
            found |= self._answers(self._joined(make, pieces.RESULTS, missing))
        if len(found) < self._layout.n_targets:
            raise OSError(self._layout.changed)
        log_pass(self, began, found)
        return [pickle.loads(found[number]) for number in range(self._layout.n_targets)]

    def _answers(self, frame: Any) -> dict[int, bytes]:
        """By the number of the target, where there is one."""
        found = jobs.answered(frame, f"a pass over {self.n_rows:,} rows").to_pylist()
        if any(target["digest"] != self._digests[target["number"]] for target in found):
            raise OSError(self._layout.changed)
        return {target["number"]: target["result"] for target in found if target["result"] is not None}

    def _joined(self, work: Callable[..., Any], schema: str, targets: Sequence[int] | None = None) -> Any:
        """A frame of what a function makes of the parts of targets, of all or of some."""
        cut = partial(pieces.parts, layout=self._layout, targets=targets)
        parts = self._pieces.mapInArrow(cut, pieces.PARTS)
        gathered = parts.repartitionById(self._layout.n_targets, functions.col("target"))
        return jobs.on_executors(gathered, partial(work, layout=self._layout), schema)


class _Life:
    """Lives as long as a source, or one of its twins, that needs what executors keep."""

    def __init__(self, session: Any, store: Store) -> None:
        self._frames: list[Any] = []
        weakref.finalize(self, _forget, session, store, self._frames).atexit = False  # then Spark removes all

    def keep(self, frame: Any, level: StorageLevel) -> Any:
        """A frame that Spark keeps as long as this lives."""
        self._frames.append(frame.persist(level))
        return self._frames[-1]


def _spread(session: Any) -> Any:
    """A frame of numbers, with as many tasks as the cluster has room for, as far as Spark knows."""
    return session.range(2**16)


def _count_cores(session: Any) -> int:
    numbered = _spread(session).select(functions.spark_partition_id().alias("part"))
    return int(1 + numbered.agg(functions.max("part")).toArrow()[0][0].as_py())


def _laid_out(found: Sequence[dict[str, Any]], about: About, n_leaves: int, store: Store) -> tuple[Layout, str | None]:
    """Where pieces are, by file and row or else by partition; and the first flaw of them."""
    starts, first = {}, 0
    flaws = [] if found else [f"{about.name} has no rows."]
    for piece in sorted(found, key=_place):
        starts[piece["part"], piece["number"]] = first
        first += piece["n_rows"]
        flaws += [piece["flaw"]] if piece["flaw"] is not None else []
    return Layout(about, starts, n_leaves, store), next(iter(flaws), None)


def _place(piece: dict[str, Any]) -> Any:
    """Files are in the order in which `gaussmix.open` reads them."""
    return PurePosixPath(unquote(piece["file"])), piece["row"], piece["part"], piece["number"]


def _forget(session: Any, store: Store, frames: Iterable[Any]) -> None:
    """Remove what executors keep: in a thread, because this is called where Python collects garbage.

    Each executor gets a task where no core has other work; the files of others go when the executor ends.
    """

    def forget() -> None:
        with suppress(Exception):  # the session has ended, and all is gone
            for frame in frames:
                frame.unpersist()
            _spread(session).mapInArrow(partial(pieces.forget, store=store), "id long").toArrow()

    Thread(target=forget, name="gaussmix-forget", daemon=True).start()
