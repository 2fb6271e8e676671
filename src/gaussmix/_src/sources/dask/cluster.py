"""Give access to rows in the memory of the workers of a Dask cluster."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import replace
from functools import partial
from importlib import metadata
from itertools import chain, groupby, islice, product
from operator import itemgetter
from time import perf_counter, sleep
from typing import Any
from uuid import uuid4
from weakref import WeakKeyDictionary

import dask
from dask.sizeof import sizeof

from gaussmix._src.interfaces.block import Block, nodes
from gaussmix._src.interfaces.leaves import Tree, count_leaves
from gaussmix._src.numerics.threads import limit_threads
from gaussmix._src.sources import remote, waiting
from gaussmix._src.sources.base import Change, S, Source, T, log_pass
from gaussmix._src.sources.files.base import TableInfo
from gaussmix._src.sources.remote import Remote, WorkerPartition, merge_in_rounds, merged, split_by_component
from gaussmix._src.sources.traffic import Traffic
from gaussmix._src.sources.waiting import wait_for

MAX_GRAPH_BYTES = 100_000  # a task with more bytes is sent to each worker once, before the pass
MAX_ATTEMPTS = 10  # maximum number of attempts to run a pass if data are lost
MAX_KILLED = 3  # maximum number of attempts to run a pass if workers die and Dask gives up
RETRY_PAUSE = 0.5  # seconds before a pass is retried
# For each client, the addresses of the workers whose version of gaussmix was checked.
_CHECKED_WORKERS = WeakKeyDictionary[Any, set[str]]()


def load_rows(client: Any, parts: Sequence[Any], info: TableInfo) -> Source:
    """Return a source of rows on the workers of a cluster.

    Raises ImportError if a worker has no gaussmix, or a different version from this process.
    """
    workers, name = DaskWorkers(client, info.name), _unique("load")
    workers.n_threads()
    jobs = [dask.delayed(list, pure=False)([part], dask_key_name=f"{name}-{index}") for index, part in enumerate(parts)]
    return DaskCluster(workers, client.compute(jobs), info)


class DaskWorkers:
    """The workers of a cluster. The version of gaussmix is checked once on each worker, even if the worker joins later.

    If a worker can't import a module that a task needs, the worker dies, and the task waits for another worker. A
    worker whose version of gaussmix differs from this process might compute results that differ in the last bits.
    """

    def __init__(self, client: Any, table: str) -> None:
        self.client, self._table = client, table
        self._checked = _CHECKED_WORKERS.setdefault(client, set())
        self._cluster = f"The Dask cluster at {client.scheduler.address}"

    def n_threads(self) -> dict[str, int]:
        """Return a dictionary of the number of threads of each worker, with the workers' addresses as keys.

        Raises ImportError if a worker has no gaussmix, or a different version from this process, and ConnectionError if
        the scheduler can't be reached.
        """
        if self.client.scheduler is None:  # None if the client was closed
            raise self._unreachable_error()
        result: dict[str, int] = self.answer(self.client.nthreads(asynchronous=True))
        self._checked.intersection_update(result)
        new = sorted(result.keys() - self._checked)
        if not new:
            return result
        ours = metadata.version("gaussmix")
        answers = self.client.run(metadata.version, "gaussmix", workers=new, on_error="return")
        for worker, theirs in answers.items():
            if isinstance(theirs, ImportError):
                raise ImportError(f"The worker {worker} has no gaussmix. Install gaussmix {ours} on all workers.")
            if isinstance(theirs, str) and theirs != ours:
                raise ImportError(
                    f"The worker {worker} has gaussmix {theirs}, but this process has {ours}. "
                    f"Install {ours} on all workers."
                )
            if theirs == ours:
                self._checked.add(worker)
        return result

    def answer(self, call: Coroutine[Any, Any, T]) -> T:
        """Wait for the scheduler's answer and return it; raise ConnectionError if the scheduler can't be reached."""
        from distributed.core import CommClosedError

        work = self._submit(call)
        try:
            while not wait([work], waiting.POLL_SECONDS).done:
                if self.client.status != "running":  # stops the wait, because Dask would try for 30 s to reconnect
                    raise CommClosedError("the client is not connected")
            return work.result()
        except OSError as error:
            work.cancel()
            raise self._unreachable_error() from error

    def gathered(self, needed: Sequence[Any], submit: Callable[[], Sequence[Any]]) -> list[Any]:
        """Return the results of tasks that `submit` sends to workers, and submit the tasks again if workers die.

        The tasks read the results of the futures `needed`. Dask recomputes lost results of futures, but gives up if
        several workers die during the computation. In this case, this function retries the futures.

        Raises
        ------
        RuntimeError : workers died repeatedly, or rows on the workers were discarded.
        ConnectionError : the scheduler can't be reached.
        TimeoutError : there was no worker until `max_time` or Dask's own time limit had passed.
        """
        from distributed import CancelledError, KilledWorker
        from distributed.core import CommClosedError
        from distributed.scheduler import NoWorkerError

        n_attempts, n_killed, lost = 0, 0, list[Any]()
        while True:
            try:
                self._retry(lost)
                return self._wait_for(submit())
            except NoWorkerError as error:
                seconds = f"{error.timeout:g} s, as long as Dask waits"
                raise TimeoutError(f"{self._cluster} has had no worker for {seconds}. {self._advice}") from None
            except CommClosedError as error:
                raise self._unreachable_error() from error
            except (KilledWorker, CancelledError, asyncio.CancelledError) as error:
                if self.client.status != "running" or getattr(error, "reason", "") == "scheduler-connection-lost":
                    raise self._unreachable_error() from error
                if any(future.status == "cancelled" for future in needed):  # Dask does not restore cancelled futures
                    raise RuntimeError(
                        f"{self._cluster} has discarded rows of {self._table}: the client was restarted or "
                        "cancelled the rows, or the rows were scattered and a worker died. Open the table again, from "
                        "data that Dask can recompute."
                    ) from error
                n_attempts, n_killed = n_attempts + 1, n_killed + isinstance(error, KilledWorker)
                if n_attempts == MAX_ATTEMPTS or n_killed == MAX_KILLED:
                    raise self._death_error("in a pass", error) from error
            except Exception as error:
                failed = next((_named(future) for future in needed if future.status == "error"), None)
                if failed is not None and failed not in str(error):
                    error.add_note(f"It happened in {failed} of {self._table}.")
                raise
            sleep(RETRY_PAUSE)  # gives the client time to notice that other workers are also lost
            lost = [future for future in needed if future.status == "error"]

    def limit_deaths(self, futures: Sequence[Any]) -> None:
        """Make the scheduler give up these futures, or tasks that they depend on, after two workers have died.

        After that, `gathered` retries the futures one by one, so that the death of a third worker identifies the future
        that kills workers. By default, Dask would give up a task only after the task has killed four workers.
        """
        keys = [future.key for future in futures]

        async def watch(dask_scheduler: Any) -> None:  # local, because the scheduler may not have gaussmix
            for _ in range(500):
                if all(key in dask_scheduler.tasks for key in keys):
                    break
                await asyncio.sleep(0.01)
            granted = dask_scheduler.allowed_failures - 1
            left, seen = [dask_scheduler.tasks[key] for key in keys if key in dask_scheduler.tasks], set()
            while left:
                task = left.pop()
                if task not in seen and task.state != "memory":
                    seen.add(task)
                    if task.suspicious < granted:  # the limit is not set yet; earlier deaths also count
                        task.suspicious += granted
                    left += task.dependencies

        with suppress(ValueError):  # raised if the scheduler rejects functions
            self.client.run_on_scheduler(watch)

    def _retry(self, lost: Sequence[Any]) -> None:
        """Compute futures again, one by one. If a worker dies, raise an error that reports the future's rows."""
        from distributed import KilledWorker

        for future in lost:
            if future.status != "error":
                continue
            with suppress(KeyError):  # raised by distributed 2026.8 for removed futures, after the retry
                self.client.retry([future])
            try:
                self._wait_for([self.client.submit(bool, future, key=_unique("retry"))])
            except KilledWorker as error:
                raise self._death_error(f"with {_named(future)} of {self._table}", error) from error

    def _wait_for(self, futures: Sequence[Any]) -> list[Any]:
        return list(wait_for(self._submit(self._gather(futures)), self.n_threads, self._cluster, self._advice))

    async def _gather(self, futures: Sequence[Any]) -> Any:
        """Return the results of futures. If the call is cancelled, cancel the futures, so that they log no errors."""
        result = asyncio.ensure_future(self.client.gather(futures, asynchronous=True))
        try:
            return await asyncio.shield(result)
        finally:
            if not result.done():
                with suppress(Exception):  # a closed client has already cancelled the futures
                    await self.client.cancel(futures, asynchronous=True)
                await asyncio.gather(result, return_exceptions=True)

    def _submit(self, call: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(call, self.client.loop.asyncio_loop)

    @property
    def _advice(self) -> str:
        return f"Start workers, or see in their logs and at {self.client.dashboard_link} why they ended."

    def _unreachable_error(self) -> ConnectionError:
        return ConnectionError(
            f"{self._cluster} can't be reached: its scheduler has ended, the client was closed, or the network has "
            "failed. The rows on the workers are lost. Connect a Client to a cluster, and fit again."
        )

    def _death_error(self, where: str, error: BaseException) -> RuntimeError:
        last = getattr(error, "last_worker", None)
        name = "" if last is None else f" (the last was {last.address})"
        return RuntimeError(
            f"Workers of the Dask cluster died repeatedly {where}{name}. Usually the cause is a lack of memory: "
            "use smaller partitions, or workers with more memory. The workers' logs show how they ended."
        )


class DaskCluster(Remote):
    """A source of rows in the memory of workers. Each worker stores adjacent partitions of 2^m × 65,520 rows.

    Tasks are short and independent, so if a worker dies, only its rows and its current tasks must be computed again.
    Dask recomputes lost rows from their source. Each result has a unique key, so that no result is added twice.

    The rows come from `parts`: one future per original partition, in the order of the rows. The result of each future
    is a list of blocks; `Block.first_row` is ignored.
    """

    def __init__(self, workers: DaskWorkers, parts: Sequence[Any], info: TableInfo) -> None:
        super().__init__(info)
        self._workers, self._client, self._info = workers, workers.client, info
        workers.limit_deaths(parts)
        count_rows = partial(self._client.map, _rows_of, parts, key="gaussmix-count", pure=False)
        sizes = workers.gathered(parts, count_rows)
        self.n_rows = sum(sizes)
        partitions = remote.plan_partitions(sizes, self.n_features * self.dtype.itemsize, workers.n_threads())
        self._stored = _aligned(workers.client, parts, partitions)
        n_rows_of_first = partitions[1].first_row if len(partitions) > 1 else self.n_rows
        self._n_leaves = count_leaves(n_rows_of_first)  # the same number for all partitions but the last
        workers.limit_deaths(self._stored)

    @property
    def invalid_reason(self) -> str | None:  # type: ignore[override]
        info = replace(self._info, n_rows=self.n_rows)
        return next((why for why in self.map_rows(info.invalid_reason) if why is not None), None)

    def changed(self, change: Change, n_rows: int, columns: Sequence[int] | None = None) -> Source:
        """Return a source of the changed blocks, which the workers compute once and store for all later passes."""
        sent = self._broadcast(change)
        parts = self._client.map(_changed, self._stored, change=sent, key="gaussmix-change", pure=False)
        return DaskCluster(self._workers, parts, self._info.only(columns))._copy_flags(self)

    def blocks(self) -> Iterator[Block]:
        """Yield the rows. This process receives one block of 65,520 rows at a time."""
        for part, index in product(self._stored, range(self._n_leaves)):
            submit = partial(self._client.map, _leaf, [part], index=index, key="gaussmix-leaf", pure=False)
            (leaf,) = self._workers.gathered([part], submit)
            yield from leaf

    def each(self, work: Callable[..., T], *arguments: Any) -> list[T]:
        began, submit = perf_counter(), partial(self._each_worker, _work, work, arguments)
        result = dict(chain.from_iterable(self._workers.gathered(self._stored, submit)))
        log_pass(self, began, result)
        return [result[index] for index in range(len(self._stored))]

    def totals(self, n_parts: int, work: Callable[..., Tree[S]], *arguments: Any) -> list[S]:
        """Return sums over all rows: each worker adds up the sums of its partitions, and a few workers merge them."""
        map_all = partial(self._client.map, pure=False)
        merge = partial(map_all, merged, key="gaussmix-merge")

        def submit() -> list[Any]:
            all_workers = self._each_worker(_work_and_merge, work, arguments, n_parts=n_parts)
            parts = [all_workers] if n_parts == 1 else [of_part(all_workers, number) for number in range(n_parts)]
            return [self._client.submit(_total, merge_in_rounds(trees, merge), key=_unique("merge")) for trees in parts]

        def of_part(parts: list[Any], index: int) -> Any:  # lets a merging task receive one component group
            # Each call has its own key group, because Dask would spread the tasks of a large group over all workers.
            group = _unique("deal")
            return map_all(_part, parts, index=index, key=[(group, worker) for worker in range(len(parts))])

        began = perf_counter()
        result: list[S] = self._workers.gathered(self._stored, submit)
        log_pass(self, began, result)
        return result

    def traffic(self, task: int, node: int, n_components: int) -> Traffic:
        return Traffic(task, node, n_components, len(self._workers.n_threads()), count_leaves(self.n_rows))

    def _each_worker(
        self, task: Callable[..., Any], work: Callable[..., Any], arguments: Sequence[Any], **extra: Any
    ) -> list[Any]:
        """Submit a task to each worker for its own partitions, and return the futures in the order of the rows."""
        n_threads, sent, groups = self._workers.n_threads(), self._broadcast((work, arguments)), self._groups()
        parts = [[self._stored[index] for index in group] for group in groups.values()]
        limits = [n_threads.get(worker, 1) for worker in groups]
        return self._client.map(
            task, groups.values(), parts, limits, sent=sent, **extra, key="gaussmix-pass", pure=False
        )

    def _groups(self) -> dict[str, list[int]]:
        """Return a dictionary from each worker to the indices of its partitions, so that one task handles them all."""
        holders = self._client.who_has(self._stored)
        groups: dict[str, list[int]] = {}
        for index, part in enumerate(self._stored):
            worker = min(sorted(holders[part.key]), key=lambda each: len(groups.get(each, ())), default=part.key)
            groups.setdefault(worker, []).append(index)
        return groups

    def _broadcast(self, what: Any) -> Any:
        """Pickle data that all tasks of a pass share; copy large data to each worker, and return their future."""
        from distributed.protocol.pickle import dumps

        packed = dumps(what)
        return packed if len(packed) <= MAX_GRAPH_BYTES else self._client.scatter(packed, broadcast=True, hash=False)


def _unique(doing: str) -> str:
    """Return a unique key, which Dask's dashboard shows as "gaussmix-" followed by the name of the activity."""
    return f"gaussmix-{doing}-{uuid4().hex}"


def _named(future: Any) -> str:
    """Describe the rows of a future for a message; its key ends with the index of the partition or of its first row."""
    key, _, index = future.key.rpartition("-")
    return f"the rows from row {int(index):,} on" if key.startswith("gaussmix-join") else f"partition {index}"


def _aligned(client: Any, parts: Sequence[Any], new_partitions: Sequence[remote.NewPartition]) -> list[Any]:
    """Move the rows to new partitions, and return a future of `WorkerPartition` for each new partition.

    Adjacent partitions are placed on the same worker if possible, so that the sums of each worker consist of few nodes
    of the summation tree.
    """
    taken = [(parts[index], first, end) for new in new_partitions for index, first, end in new.spans]
    cut, join, map_all = _unique("cut"), _unique("join"), client.map
    keys = [f"{cut}-{index}" for index in range(len(taken))]
    pieces = map_all(_piece, *zip(*taken, strict=True), key=keys) if taken else []
    partitions: list[Any] = []
    remaining = iter(pieces)
    columns = [(owner, first, list(islice(remaining, len(spans)))) for owner, first, spans in new_partitions]
    for owner, group in groupby(columns, itemgetter(0)):
        _, firsts, joined = zip(*group, strict=True)
        keys = [f"{join}-{first}" for first in firsts]
        partitions += map_all(_join, firsts, joined, workers=owner, allow_other_workers=owner is not None, key=keys)
    return partitions


def _bytes_of(block: Block) -> int:
    """Return the size of a block in bytes, because Dask moves rows to other workers if it underestimates their size."""
    arrays = block.rows, block.row_weight, block.assignment
    return sum(array.nbytes for array in arrays if array is not None)


sizeof.register(Block, _bytes_of)
sizeof.register(WorkerPartition, lambda partition: sum(map(_bytes_of, partition.blocks)))


def _rows_of(part: Sequence[Block]) -> int:
    return sum(block.n_rows for block in part)


def _piece(part: Sequence[Block], first: int, end: int) -> list[Block]:
    """Return the rows `first` to `end` − 1 of a partition, as a list of blocks."""
    result = []
    for block in part:
        if first < block.n_rows and end > 0:
            result.append(block.row_range(max(first, 0), min(end, block.n_rows)))
        first, end = first - block.n_rows, end - block.n_rows
    return result


def _join(first_row: int, pieces: Sequence[Sequence[Block]]) -> WorkerPartition:
    whole = Block.concatenate([block for piece in pieces for block in piece])
    return WorkerPartition(list(nodes([replace(whole, first_row=first_row)])))


def _work(indices: list[int], parts: list[WorkerPartition], n_threads: int, sent: bytes) -> list[tuple[int, Any]]:
    """Call a function on each partition of a worker; return pairs of the partition's index and its result."""
    work, arguments = pickle.loads(sent)
    with limit_threads(n_threads):
        return [(index, work(part, *arguments)) for index, part in zip(indices, parts, strict=True)]


def _work_and_merge(indices: list[int], parts: list[WorkerPartition], n_threads: int, sent: bytes, n_parts: int) -> Any:
    """Call a function on each partition of a worker, and merge the trees that the function returns."""
    work, arguments = pickle.loads(sent)
    with limit_threads(n_threads):
        return split_by_component((work(part, *arguments) for part in parts), n_parts)


def _part(trees: Sequence[Tree[Any]], index: int) -> Tree[Any]:
    return trees[index]


def _total(trees: Iterable[Tree[Any]]) -> Any:
    return merged(trees).total


def _leaf(partition: WorkerPartition, index: int) -> list[Block]:
    """Return the leaf (65,520 rows) with this index in a partition, in a list, or [] if there is no such leaf."""
    leaves = (leaf for block in partition.blocks for leaf in block.split())
    return list(islice(leaves, index, index + 1))


def _changed(partition: WorkerPartition, change: Any) -> list[Block]:
    change = pickle.loads(change)
    return [changed for block in partition.blocks for changed in change(block)]
