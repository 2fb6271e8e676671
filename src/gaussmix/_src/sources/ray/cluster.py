"""Rows in the object store of the nodes of a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import cycle, groupby
from operator import itemgetter
from time import perf_counter
from typing import Any
from uuid import uuid4

import ray
from ray import exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from gaussmix._src.interfaces.block import Block, nodes
from gaussmix._src.interfaces.leaves import Tree, count_leaves
from gaussmix._src.numerics.threads import at_most
from gaussmix._src.sources.base import S, Source, T, log_pass
from gaussmix._src.sources.files.base import About
from gaussmix._src.sources.remote import (
    MOST_FITS,
    Held,
    Remote,
    States,
    check_version,
    dealt,
    few,
    laid_out,
    merged,
    version_error,
)
from gaussmix._src.sources.traffic import Traffic
from gaussmix._src.sources.waiting import awaited
from gaussmix._src.version import package_version

MOST_DEATHS = 3  # of workers in a task, or in a pass on one node
WHO = "Ray worker", "nodes"  # and where gaussmix is needed, in messages
IN_CALLS = 100_000  # bytes: Ray sends smaller results through this process

_DEATHS = exceptions.RayActorError, exceptions.WorkerCrashedError, exceptions.NodeDiedError, exceptions.OutOfMemoryError


def loaded(
    parts: Sequence[Any], about: About, count: Callable[[Any, int], int], cut: Callable[[Any, int, int], Block]
) -> Source:
    """The rows of parts, which Ray references, on the nodes of its cluster.

    `count` finds the number of rows of a part, given its number too, and `cut` takes rows from one to before another.

    Raises ImportError: a worker has no gaussmix, or another version of it.
    """
    workers = Workers(about.name)
    counts = [begun("count", count, part, number) for number, part in enumerate(parts)]
    sizes = workers.results(counts, lambda number: f"with partition {number} of {about.name}")
    return Cluster(workers, parts, sizes, about, cut)


class Workers:
    """An actor on each node that has processors now. Actors keep states with rows; Ray's object store has the rows.

    They take no processor from Ray's count, so that they stand in the way of no other work while no pass runs. Ray
    restarts an actor that dies, on another node if its own is gone.
    """

    def __init__(self, table: str) -> None:
        self._table = table
        self._where = f"The Ray cluster at {ray.get_runtime_context().gcs_address}"
        self.results([begun("begin", bool)], has_workers=lambda: False)  # a processor must be free
        self.n_threads = _n_threads()
        self._actors: dict[str, Any] = {}

    def actor(self, node: str) -> Any:
        """The actor of a node."""
        if node not in self._actors:
            self._actors[node] = _ACTOR.options(scheduling_strategy=_on(node)).remote(package_version())
        return self._actors[node]

    def passed(self, submit: Callable[[], Sequence[Any]]) -> list[Any]:
        """The results of what `submit` sends to actors: all of it once more where one dies, until `MOST_DEATHS` have.

        Ray's own repeats are no use: they are over before it knows that a node is gone. Raises as `results`.
        """
        for _ in range(MOST_DEATHS - 1):
            try:
                return list(self._awaited(submit()))
            except exceptions.RayError as error:
                if not isinstance(_cause(error), exceptions.RayActorError):
                    raise self._told(error, "in a pass") from error
            self.results([actor.begin.options(max_task_retries=-1).remote() for actor in self._actors.values()])
        return self.results(submit())

    def results(
        self,
        futures: Sequence[Any],
        where: Callable[[int], str] = lambda _: "in a pass",
        has_workers: Callable[[], bool] = lambda: bool(_n_threads()),
    ) -> list[Any]:
        """The results of tasks, which are called off where one fails; `where` says of a number what that one is.

        Raises
        ------
        RuntimeError : workers died again and again, or rows are lost.
        ImportError : a worker has no gaussmix, or another version.
        TimeoutError : there is no worker, and `max_time` is over.
        """
        found: list[Any] = []
        try:
            for result in self._awaited(futures, has_workers):
                found.append(result)
        except exceptions.RayError as error:
            raise self._told(error, where(len(found))) from error
        return found

    def _awaited(
        self, futures: Sequence[Any], has_workers: Callable[[], bool] = lambda: bool(_n_threads())
    ) -> Iterator[Any]:
        advice = "Add nodes, or see by the command `ray status` whether other work holds all processors."
        n_done = 0
        try:
            for future in futures:
                yield awaited(future.future(), has_workers, self._where, advice)
                n_done += 1
        finally:
            for future in futures[n_done:]:
                ray.cancel(future)

    def _told(self, error: Exception, where: str) -> BaseException:
        """An error of Ray in a sentence; the worker's own error where the work failed."""
        cause = _cause(error)
        version = version_error(str(error), *WHO)
        if version is not None:
            return version
        if isinstance(cause, exceptions.ObjectLostError):
            return RuntimeError(
                f"Rows of {self._table} are lost with a node, and Ray can't compute them again, because ray.put made "
                "them or their owner has ended. Make them anew, by tasks or by ray.data."
            )
        if isinstance(cause, _DEATHS):
            return RuntimeError(
                f"Workers of the Ray cluster died again and again {where}. Mostly they lack memory: give smaller "
                "partitions, or nodes with more memory. The logs of Ray say how they ended."
            )
        known: BaseException = cause
        place = where.removeprefix("with ")
        if place != where and place not in str(known):
            known.add_note(f"It happened in {place}.")
        return known


class Cluster(Remote):
    """Rows in the object store of Ray's nodes, in targets: 2^m leaves each, neighbours on one node.

    Ray computes again what is lost with a node, by the tasks that made it. Each result is a named object, so none is
    counted twice.

    They come from `parts`: references, in the order of the rows. `cut` takes rows of a part from one to before another.
    """

    def __init__(
        self, workers: Workers, parts: Sequence[Any], sizes: Sequence[int], about: About, cut: Callable[..., Block]
    ) -> None:
        super().__init__(about)
        self._workers, self._about, self._key = workers, replace(about, n_rows=sum(sizes)), uuid4().hex
        self.n_rows = sum(sizes)
        cuts = laid_out(sizes, self.n_features * self.dtype.itemsize, workers.n_threads)
        self._nodes: Sequence[Any] = [node for node, *_ in cuts]
        joined = []
        for node, first, places in cuts:
            some, bounds = [parts[number] for number, *_ in places], [(start, end) for _, start, end in places]
            join = partial(_joined, first, bounds, self._about, cut)
            joined.append(begun("join", join, *some, num_returns=2, scheduling_strategy=_on(node)))
        self._blocks = [block for block, _ in joined]
        name = [f"with the rows from {first:,} on of {about.name}" for _, first, _ in cuts]
        flaws = workers.results([flaw for _, flaw in joined], name.__getitem__)
        self.flaw = next((flaw for flaw in flaws if flaw is not None), None)

    @property
    def _held(self) -> Sequence[Any]:
        """A reference to the block of each target."""
        if not ray.is_initialized():
            raise ConnectionError(
                f"Ray was shut down, and the rows of {self._about.name} are lost. Call ray.init, and make them anew."
            )
        return self._blocks

    def changed(
        self, change: Callable[[Block], Iterable[Block]], n_rows: int, columns: Sequence[int] | None = None
    ) -> Source:
        """As for every source, but the changed blocks are kept, and not made again in every pass."""
        held, sent = self._held, ray.put(change)
        made = [begun("change", _changed, block, sent, num_returns=2) for block in held]
        sizes = self._workers.results([size for _, size in made])
        blocks, about = [block for block, _ in made], self._about.only(columns)
        source = Cluster(self._workers, blocks, sizes, about, Block.between)
        source.may_miss = self.may_miss
        return source

    def blocks(self) -> Iterator[Block]:
        """As for every source; a target at a time comes to this process."""
        for block in self._held:
            yield from nodes(self._workers.results([block]))

    def each(self, work: Callable[..., T], *arguments: Any) -> list[T]:
        began = perf_counter()
        parts = self._workers.passed(lambda: self._visits(work, arguments, list))
        found = [result for some in parts for result in some]
        log_pass(self, began, found)
        return found

    def totals(self, n_parts: int, work: Callable[..., Tree[S]], *arguments: Any) -> list[S]:
        """As for all rows elsewhere; each actor merges its trees, and then some merge those of a few others."""

        def submit() -> Sequence[Any]:
            every = self._visits(work, arguments, partial(dealt, n_parts=n_parts), n_parts)
            actors = cycle([self._workers.actor(node) for node in dict.fromkeys(self._nodes)])
            parts = [every] if n_parts == 1 else zip(*every, strict=True)

            def merge(groups: Sequence[Sequence[Any]]) -> list[Any]:
                return [next(actors).merge.remote(*trees) for trees in groups]

            return [next(actors).total.remote(*few(trees, merge)) for trees in parts]

        began = perf_counter()
        found: list[S] = self._workers.passed(submit)
        log_pass(self, began, found)
        return found

    def traffic(self, task: int, node: int, n_components: int) -> Traffic:
        n_workers = len(self._workers.n_threads)
        n_nodes = n_workers if node < IN_CALLS else 1
        return Traffic(task, node, n_components, n_workers, count_leaves(self.n_rows), n_nodes)

    def _visits(
        self,
        work: Callable[..., Any],
        arguments: Sequence[Any],
        gather: Callable[[Iterable[Any]], Any],
        n_results: int = 1,
    ) -> list[Any]:
        """Futures of what each actor gathers of its targets, in the order of the rows."""
        groups, sent = groupby(zip(self._nodes, self._held, strict=True), itemgetter(0)), ray.put((work, arguments))
        return [
            self._workers.actor(node)
            .visit.options(num_returns=n_results)
            .remote(self._key, [block for _, block in group], sent, gather, self._workers.n_threads[node])
            for node, group in groups
        ]


class GaussmixWorker:
    """An actor: it works on the targets of sources, and keeps the states of the latest sources."""

    def __init__(self, version: str) -> None:
        check_version(version, *WHO)
        self._states: dict[str, list[States]] = {}  # by source, for each of its targets here

    def begin(self) -> None:
        """Do nothing, when the actor has begun."""

    def visit(
        self, source: str, blocks: Sequence[Any], sent: Any, gather: Callable[[Iterable[Any]], Any], n_threads: int
    ) -> Any:
        """What a function of `Held` returns for each target, gathered."""
        work, arguments = sent
        states = self._states.pop(source, None) or [{} for _ in blocks]
        self._states[source] = states
        while len(self._states) > MOST_FITS:
            del self._states[next(iter(self._states))]
        with at_most(n_threads):
            every = zip(blocks, states, strict=True)
            return gather(work(Held(list(nodes([ray.get(block)])), state), *arguments) for block, state in every)

    def merge(self, *trees: Tree[Any]) -> Tree[Any]:
        """The tree of the nodes of all."""
        return merged(trees)

    def total(self, *trees: Tree[Any]) -> Any:
        """The sum of all nodes."""
        return merged(trees).total


def _done(version: str, work: Callable[..., Any], *arguments: Any) -> Any:
    check_version(version, *WHO)
    return work(*arguments)


_ACTOR = ray.remote(num_cpus=0, max_restarts=-1)(GaussmixWorker)
_TASK = ray.remote(max_retries=MOST_DEATHS - 1)(_done)


def begun(doing: str, work: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """References to what a task returns, which Ray's dashboard calls "gaussmix-" and what it does."""
    return _TASK.options(name=f"gaussmix-{doing}", **options).remote(package_version(), work, *arguments)


def _on(node: Any) -> Any:
    """On a node, or elsewhere where it is gone."""
    return NodeAffinitySchedulingStrategy(node, soft=True)


def _n_threads() -> dict[str, int]:
    """Processors of each node that has some."""
    every = {node["NodeID"]: int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]}
    return {node: n_threads for node, n_threads in sorted(every.items()) if n_threads}


def _cause(error: Exception) -> Any:
    """Why a task failed, itself or one whose result it needs."""
    return getattr(error, "cause", None) or error


def _joined(
    first_row: int, bounds: Sequence[tuple[int, int]], about: About, cut: Callable[..., Block], *parts: Any
) -> tuple[Block, str | None]:
    """A target, and the first number in it that no fit can use."""
    block = Block.joined([cut(part, first, end) for part, (first, end) in zip(parts, bounds, strict=True)])
    rows = block.rows if block.rows.flags.forc else block.rows.copy(order="F")  # else each worker would copy them
    block = replace(block, first_row=first_row, rows=rows)
    return block, about.flaw(block)


def _changed(block: Block, change: Callable[[Block], Iterable[Block]]) -> tuple[Block | None, int]:
    """The changed rows of a target, and how many there are."""
    blocks = [changed for each in nodes([block]) for changed in change(each)]
    return Block.joined(blocks) if blocks else None, sum(each.n_rows for each in blocks)
