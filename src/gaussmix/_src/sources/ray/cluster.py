"""Give access to rows in the object store of the nodes of a Ray cluster."""

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
from gaussmix._src.numerics.threads import limit_threads
from gaussmix._src.sources import remote
from gaussmix._src.sources.base import Change, S, Source, T, log_pass
from gaussmix._src.sources.files.base import TableInfo
from gaussmix._src.sources.remote import Remote, States, WorkerPartition, check_version, merge_in_rounds, merged
from gaussmix._src.sources.traffic import Traffic
from gaussmix._src.sources.waiting import wait_for
from gaussmix._src.version import package_version

MAX_DEATHS = 3  # a task or a pass fails when this number of workers have died
WORKER_NOUNS = "Ray worker", "nodes"  # for errors: the process that lacks a module, and where to install it
MAX_CALL_BYTES = 100_000  # Ray sends results with fewer bytes through this process

_KILLED = exceptions.WorkerCrashedError, exceptions.NodeDiedError, exceptions.OutOfMemoryError
_DEATH_ERRORS = exceptions.RayActorError, *_KILLED
Cut = Callable[[Any, int, int], Block]  # function that returns the rows of a partition between two indices as a block


def load_rows(
    parts: Sequence[Any],
    info: TableInfo,
    count: Callable[[Any, int], tuple[int, Sequence[int]]],
    cut: Cut,
) -> Source:
    """Return a source of rows on the nodes of a cluster, given Ray references to partitions.

    `count`, a function of a partition and its index, returns the number of rows and the indices of columns of 64-bit
    integers.

    Raises ImportError if a worker has no gaussmix, or a different version from this process.
    """
    workers = RayWorkers(info.name)
    counts = [start_task("count", count, part, index) for index, part in enumerate(parts)]
    results = workers.results(counts, lambda index: f"with partition {index} of {info.name}")
    source = RayCluster(workers, parts, [n_rows for n_rows, _ in results], info, cut)
    source.integer_columns = sorted({column for _, columns in results for column in columns})
    return source


class RayWorkers:
    """The workers of a Ray cluster: one actor on each node that has processors.

    The actors store the `BlockState` objects of fits, and Ray's object store stores the rows. Actors reserve no
    processors, so that they do not block other work while no pass is running. If an actor dies, Ray restarts the actor,
    on another node if necessary.
    """

    def __init__(self, table: str) -> None:
        self._table = table
        self._where = f"The Ray cluster at {ray.get_runtime_context().gcs_address}"
        # This task waits for a free processor. The cluster counts as empty until then, so that a long wait is reported.
        self.results([start_task("begin", bool)], has_workers=lambda: False)
        self.n_threads = _n_threads()
        self._actors: dict[str, Any] = {}

    def actor(self, node: str) -> Any:
        """Return the actor of a node; the first call starts this actor."""
        if node not in self._actors:
            self._actors[node] = _ACTOR.options(scheduling_strategy=_node_strategy(node)).remote(package_version())
        return self._actors[node]

    def run_pass(self, submit: Callable[[], Sequence[Any]]) -> list[Any]:
        """Return the results of the calls of actors that `submit` makes, and run all calls again if an actor dies.

        After `MAX_DEATHS` deaths of actors, the pass fails. Ray's own retries are not enough, because they end before
        Ray detects that a node has died. Raises the same errors as `results`.
        """
        for _ in range(MAX_DEATHS - 1):
            try:
                return list(self._wait_for(submit(), _n_threads))
            except exceptions.RayError as error:
                if not isinstance(_cause(error), exceptions.RayActorError):
                    raise self._describe_error(error, "in a pass") from error
            self.results([actor.begin.options(max_task_retries=-1).remote() for actor in self._actors.values()])
        return self.results(submit())

    def results(
        self,
        futures: Sequence[Any],
        where: Callable[[int], str] = lambda _: "in a pass",
        has_workers: Callable[[], object] = lambda: _n_threads(),
    ) -> list[Any]:
        """Return the results of tasks; if a task fails, cancel later tasks. `where` describes a task, given its index.

        Raises
        ------
        RuntimeError : workers died repeatedly, or rows are lost.
        ImportError : a worker has no gaussmix, or a different version from this process.
        TimeoutError : there was no worker until `max_time` had passed.
        """
        finished: list[Any] = []
        try:
            for result in self._wait_for(futures, has_workers):
                finished.append(result)
        except exceptions.RayError as error:
            raise self._describe_error(error, where(len(finished))) from error
        return finished

    def _wait_for(self, futures: Sequence[Any], has_workers: Callable[[], object]) -> Iterator[Any]:
        advice = "Add nodes, or see by the command `ray status` whether other work holds all processors."
        n_done = 0
        try:
            for future in futures:
                yield wait_for(future.future(), has_workers, self._where, advice)
                n_done += 1
        finally:
            for future in futures[n_done:]:
                ray.cancel(future)

    def _describe_error(self, error: Exception, where: str) -> BaseException:
        """Return an error to raise: a clear message for errors of Ray, or the error raised by the work on a worker.

        `where` is "with" and the name of the rows on which the work failed, or "in a pass".
        """
        cause = _cause(error)
        version = remote.version_error(str(error), *WORKER_NOUNS)
        if version is not None:
            return version
        if isinstance(cause, exceptions.ObjectLostError):
            return RuntimeError(
                f"Rows of {self._table} were lost with a node, and Ray can't recompute them, because ray.put created "
                "them or their owner has ended. Create the rows again, by tasks or by ray.data."
            )
        if isinstance(cause, _DEATH_ERRORS):
            return RuntimeError(
                f"Workers of the Ray cluster died repeatedly {where}. Usually the cause is a lack of memory: use "
                "smaller partitions, or nodes with more memory. The logs of Ray show how the workers ended."
            )
        rows = where.removeprefix("with ")
        if rows != where and rows not in str(cause):
            cause.add_note(f"It happened in {rows}.")
        return cause


class RayCluster(Remote):
    """A source of rows in the object store of Ray's nodes, in partitions of 2^m × 65,520 rows.

    Adjacent partitions are on the same node. If a node is lost, Ray recomputes its rows with the tasks that created
    them. Each result is a named object, so that no result is counted twice. The rows come from `parts`, a list of Ray
    references in the order of the rows. The function `cut` is explained in `load_rows`.
    """

    def __init__(
        self, workers: RayWorkers, parts: Sequence[Any], sizes: Sequence[int], info: TableInfo, cut: Cut
    ) -> None:
        super().__init__(info)
        self._workers, self._info, self._key = workers, replace(info, n_rows=sum(sizes)), uuid4().hex
        self.n_rows = sum(sizes)
        partitions = remote.plan_partitions(sizes, self.n_features * self.dtype.itemsize, workers.n_threads)
        self._nodes: Sequence[Any] = [partition.owner for partition in partitions]
        joined = []
        for node, first, spans in partitions:
            old_parts, bounds = [parts[index] for index, *_ in spans], [(start, end) for _, start, end in spans]
            join = partial(_joined, first, bounds, self._info, cut)
            joined.append(start_task("join", join, *old_parts, num_returns=2, scheduling_strategy=_node_strategy(node)))
        self._blocks = [block for block, _ in joined]
        where = [f"with the rows of {info.name} from row {first:,} on" for _, first, _ in partitions]
        reasons = workers.results([invalid_reason for _, invalid_reason in joined], where.__getitem__)
        self.invalid_reason = next((why for why in reasons if why is not None), None)

    @property
    def _references(self) -> Sequence[Any]:
        """Return, for each partition, a Ray reference to its block of rows."""
        if not ray.is_initialized():
            raise ConnectionError(
                f"Ray was shut down: the rows of {self._info.name} are lost. Call ray.init and create the rows again."
            )
        return self._blocks

    def changed(self, change: Change, n_rows: int, columns: Sequence[int] | None = None) -> Source:
        """Return a source of the changed blocks, which the nodes compute once and store for all later passes."""
        blocks, sent = self._references, ray.put(change)
        tasks = [start_task("change", _changed, block, sent, num_returns=2) for block in blocks]
        sizes = self._workers.results([size for _, size in tasks])
        blocks, info = [block for block, _ in tasks], self._info.only(columns)
        return RayCluster(self._workers, blocks, sizes, info, Block.row_range)._copy_flags(self)

    def blocks(self) -> Iterator[Block]:
        """Yield the rows. This process receives one partition at a time."""
        for block in self._references:
            yield from nodes(self._workers.results([block]))

    def each(self, work: Callable[..., T], *arguments: Any) -> list[T]:
        began = perf_counter()
        parts = self._workers.run_pass(lambda: self._visits(work, arguments, list, 1))
        results = [result for part in parts for result in part]
        log_pass(self, began, results)
        return results

    def totals(self, n_parts: int, work: Callable[..., Tree[S]], *arguments: Any) -> list[S]:
        """Return sums over all rows: each actor adds up the sums of its partitions, and a few actors merge them."""

        def submit() -> Sequence[Any]:
            futures = self._visits(work, arguments, partial(remote.split_by_component, n_parts=n_parts), n_parts)
            actors = cycle([self._workers.actor(node) for node in dict.fromkeys(self._nodes)])
            parts = [futures] if n_parts == 1 else zip(*futures, strict=True)

            def merge(groups: Sequence[Sequence[Any]]) -> list[Any]:
                return [next(actors).merge.remote(*trees) for trees in groups]

            return [next(actors).total.remote(*merge_in_rounds(trees, merge)) for trees in parts]

        began = perf_counter()
        result: list[S] = self._workers.run_pass(submit)
        log_pass(self, began, result)
        return result

    def traffic(self, task: int, node: int, n_components: int) -> Traffic:
        n_workers = len(self._workers.n_threads)
        n_nodes = n_workers if node < MAX_CALL_BYTES else 1
        return Traffic(task, node, n_components, n_workers, count_leaves(self.n_rows), n_nodes)

    def _visits(
        self, work: Callable[..., Any], arguments: Sequence[Any], gather: Callable[[Iterable[Any]], Any], n_results: int
    ) -> list[Any]:
        """Run `work` on all partitions by one call per actor, and return futures in the order of the rows."""
        groups = groupby(zip(self._nodes, self._references, strict=True), itemgetter(0))
        sent = ray.put((work, arguments))
        return [
            self._workers.actor(node)
            .visit.options(num_returns=n_results)
            .remote(self._key, [block for _, block in group], sent, gather, self._workers.n_threads[node])
            for node, group in groups
        ]


class GaussmixWorker:
    """An actor that runs tasks on partitions of sources, and stores the states of the last sources that it used."""

    def __init__(self, version: str) -> None:
        check_version(version, *WORKER_NOUNS)
        self._states: dict[str, list[States]] = {}  # for each source, the states of its partitions on this node

    def begin(self) -> None:
        """Do nothing, so that a caller can wait until the actor is running."""

    def visit(
        self, source: str, blocks: Sequence[Any], sent: Any, gather: Callable[[Iterable[Any]], Any], n_threads: int
    ) -> Any:
        """Run a function of `WorkerPartition` on each partition, and return what `gather` returns for the results."""
        work, arguments = sent
        states = self._states.pop(source, None) or [{} for _ in blocks]
        self._states[source] = states
        while len(self._states) > remote.MAX_FITS:
            del self._states[next(iter(self._states))]
        with limit_threads(n_threads):
            pairs = zip(blocks, states, strict=True)
            return gather(work(WorkerPartition(list(nodes([ray.get(ref)])), state), *arguments) for ref, state in pairs)

    def merge(self, *trees: Tree[Any]) -> Tree[Any]:
        """Merge trees of partial sums into one tree."""
        return merged(trees)

    def total(self, *trees: Tree[Any]) -> Any:
        """Return the total of all partial sums in these trees."""
        return merged(trees).total


def _run_checked(version: str, work: Callable[..., Any], *arguments: Any) -> Any:
    check_version(version, *WORKER_NOUNS)
    return work(*arguments)


_ACTOR = ray.remote(num_cpus=0, max_restarts=-1)(GaussmixWorker)
_TASK = ray.remote(max_retries=MAX_DEATHS - 1)(_run_checked)


def start_task(doing: str, work: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Start a task, named "gaussmix-" + `doing` in Ray's dashboard, and return references to its results."""
    return _TASK.options(name=f"gaussmix-{doing}", **options).remote(package_version(), work, *arguments)


def _node_strategy(node: Any) -> Any:
    """Return a strategy that schedules work on a node, or elsewhere if the node does not exist any more."""
    return NodeAffinitySchedulingStrategy(node, soft=True)


def _n_threads() -> dict[str, int]:
    """Return the number of processors of each node; nodes without processors are left out."""
    names = {node["NodeID"]: int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]}
    return {node: n_threads for node, n_threads in sorted(names.items()) if n_threads}


def _cause(error: Exception) -> Any:
    """Return the cause of a task's failure, which is an error in this task or in a task that it depends on."""
    return getattr(error, "cause", None) or error


def _joined(
    first_row: int, bounds: Sequence[tuple[int, int]], info: TableInfo, cut: Cut, *parts: Any
) -> tuple[Block, str | None]:
    """Return a new partition, and an error message for its first invalid value (None if all values are valid)."""
    block = Block.concatenate([cut(part, first, end) for part, (first, end) in zip(parts, bounds, strict=True)])
    # If the rows are not contiguous in memory, they are copied once here; otherwise every worker would copy them.
    rows = block.rows if block.rows.flags.forc else block.rows.copy(order="F")
    block = replace(block, first_row=first_row, rows=rows)
    return block, info.invalid_reason(block)


def _changed(block: Block, change: Change) -> tuple[Block | None, int]:
    """Return the changed rows of a partition as one block (None if there are none), and the number of these rows."""
    blocks = [changed for each in nodes([block]) for changed in change(each)]
    return Block.concatenate(blocks) if blocks else None, sum(each.n_rows for each in blocks)
