"""What an iteration of EM on many workers sends and takes, from what is measured on one.

    python -m bench.pages.scale                     # a minute; rewrites bench/results/scale.md

The bytes are those of `gaussmix.sources.traffic`. Measured here: the step of one thread, and how fast sums are merged.
Assumed: the numbers of `Cluster`. A worker is one thread with an equal share of the leaves. The iteration ends with the
slowest worker.

At the end gaussmix's own code loads rows and makes passes on a thousand workers that are not there: a client counts the
tasks and bytes that this process sends and gets, and no row exists.
"""

from __future__ import annotations

import pickle
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import log2
from typing import Any
from unittest.mock import patch

import numpy as np

from bench.pages.base import Page, parser_of, seconds_of
from gaussmix.em.accumulate import StepTask
from gaussmix.engines import choose
from gaussmix.families import FAMILIES
from gaussmix.model import Model
from gaussmix.sources.array import ArraySource
from gaussmix.sources.files.base import About
from gaussmix.sources.traffic import FAN_IN, Traffic
from gaussmix.waist.block import Block
from gaussmix.waist.leaves import LEAF_ROWS, Tree, count_leaves
from gaussmix.waist.moments import Partial

SHAPES = [(16, 8), (16, 32), (100, 64), (1024, 32), (1000, 200)]  # K, d
MOST_WORK = 3 * 10**11  # multiply-adds of a step that is timed: for larger shapes, of a part of a leaf
N_ROWS = [10**9, 10**12]
N_WORKERS = [1, 10, 100, 1_000, 10_000]
IN_GRAPH = 100_000  # as in gaussmix.sources.dask.cluster
COUNTED = (10**10, 1_000, 16, 32)  # rows, workers, K, d of the workers that are not there
PARTITIONS = [1_000, 10_000]
CHECKED, CHECKED_PARTITIONS = (2_000_000, 16, 32), [50, 500]  # rows, K, d and partitions on real workers


@dataclass(frozen=True)
class Cluster:
    """What is assumed of a cluster.

    Parameters
    ----------
    link : bytes a second into the driver, and between workers.
    per_task : seconds of the scheduler for each worker's task.
    spread : standard deviation of the logarithm of a worker's time.
    days_to_failure : mean, of one worker.
    reload : bytes a second at which another worker reads a lost worker's rows.
    """

    link: float = 1e9
    per_task: float = 2e-4
    spread: float = 0.1
    days_to_failure: float = 30.0
    reload: float = 5e8


@dataclass(frozen=True)
class Measured:
    """Of a shape: what one thread does, rows a second and seconds to merge two nodes; bytes of a task and a node."""

    rows_per_second: float
    merge_seconds: float
    task: int
    node: int
    n_components: int


def task_of(n_components: int, n_features: int) -> StepTask:
    """A step of EM with full covariances."""
    rng = np.random.default_rng(0)
    means, covariances = rng.normal(size=(n_components, n_features)), np.tile(np.eye(n_features), (n_components, 1, 1))
    family = FAMILIES["full"]
    model = Model(np.full(n_components, 1 / n_components), means, family.covariances(covariances, *means.shape), family)
    return StepTask(choose(1), n_components, model.parameters, family.need(None), anchor=means)


def sums_of(task: StepTask, n_features: int) -> tuple[Partial, float]:
    """The sums of a leaf, and the seconds of the step for each row."""
    n_rows = min(LEAF_ROWS, MOST_WORK // (task.n_components * n_features**2))
    source = ArraySource(np.random.default_rng(0).normal(size=(n_rows, n_features)))
    block, times = source.whole or Block(0, np.empty((0, n_features))), []
    for _ in range(3):
        start = time.perf_counter()
        sums = task.call(block, task.open(block))
        times.append(time.perf_counter() - start)
    return sums, min(times) / n_rows


def measure(n_components: int, n_features: int) -> Measured:
    """One step over a leaf, and one merge of sums that were sent."""
    task = task_of(n_components, n_features)
    sums, seconds = sums_of(task, n_features)
    sent, start = pickle.dumps(sums, 5), time.perf_counter()
    for _ in range(5):
        _ = sums + pickle.loads(sent)
    return Measured(1 / seconds, (time.perf_counter() - start) / 5, *task.sizes(n_features))


def count_nodes(n_leaves: float) -> float:
    """The most nodes of a run of leaves."""
    return max(1.0, min(n_leaves, 2 * log2(max(n_leaves, 2))))


def simulate(n_rows: int, n_workers: int, n_features: int, measured: Measured, cluster: Cluster) -> dict[str, float]:
    """Bytes, seconds of the parts of an iteration, and the share of the time that workers work."""
    traffic = Traffic(measured.task, measured.node, measured.n_components, n_workers, count_leaves(n_rows))
    leaves, n_parts = count_leaves(n_rows) / n_workers, traffic.n_parts
    compute = leaves * LEAF_ROWS / measured.rows_per_second
    drawn = cluster.spread * np.random.default_rng(0).normal(size=(200, n_workers))
    slowest = compute * np.exp(drawn).max(axis=1).mean()
    merging, n_left, n_tasks = 0.0, n_workers, n_workers + n_parts + (n_workers * n_parts if n_parts > 1 else 0)
    while n_left > 1:
        n_merged = min(FAN_IN, n_left) * count_nodes(leaves) / n_parts
        n_left, leaves = -(-n_left // FAN_IN), leaves * FAN_IN
        n_rounds = -(-n_left * n_parts // n_workers)  # tasks of a worker, one after the other
        merging += n_rounds * n_merged * (measured.node / cluster.link + measured.merge_seconds)
        n_tasks += n_left * n_parts
    # A large task goes to one worker, and then from worker to worker; a small one from the scheduler to all.
    is_large = measured.task > IN_GRAPH
    sent = measured.task * (2 + log2(traffic.n_workers)) if is_large else traffic.down
    driver = (sent + traffic.up) / cluster.link + n_tasks * cluster.per_task
    failures = traffic.n_workers * slowest / (cluster.days_to_failure * 86_400)
    rows = n_rows / traffic.n_workers  # the leaves of a lost worker go to all others
    again = failures * (rows * n_features * 8 / cluster.reload + compute) / max(traffic.n_workers - 1, 1)
    total = slowest + merging + driver + again
    return {
        "MB down": traffic.down / 1e6, "MB up": traffic.up / 1e6, "driver, MB": traffic.memory / 1e6,
        "parts": n_parts, "merging task, MB": traffic.merging / n_parts / 1e6,
        "step, s": compute, "slowest, s": slowest, "merging, s": merging, "driver, s": driver, "failures": failures,
        "again, s": again, "iteration, s": total, "efficiency": compute / total,
    }  # fmt: skip


class Size:
    """Sums of leaves in a worker that is not there."""

    def __add__(self, other: Size) -> Size:
        return self


@dataclass(eq=False)
class Later:
    """A future: what a worker that is not there will have made."""

    key: str
    value: Any
    status: str = "finished"


class Absent:
    """Workers that are not there, and their client: counts the tasks and bytes that it and the scheduler send and get.

    Results that come to this process are real: numbers of rows, and the sums of all rows.
    """

    def __init__(self, n_workers: int, sizes: Iterable[int], sums: Partial) -> None:
        self._workers = {f"tcp://10.0.{number // 250}.{number % 250}:40000": 1 for number in range(n_workers)}
        self._sums, self._n_keys = sums, 0
        self.owner: dict[str, str] = {}
        self.n_tasks = self.sent = self.got = 0
        self.parts = [Later(f"part-{number}", size) for number, size in enumerate(sizes)]

    @property
    def client(self) -> Absent:
        return self

    def n_threads(self) -> dict[str, int]:
        return self._workers

    def gathered(self, needed: Sequence[Any], submit: Callable[[], Sequence[Later]]) -> list[Any]:
        return self.gather(submit())

    def watch(self, futures: Sequence[Any]) -> None:
        self.sent += sum(len(future.key) for future in futures)

    def who_has(self, futures: Sequence[Later]) -> dict[str, list[str]]:
        self.sent += sum(len(future.key) for future in futures)
        found = {future.key: [self.owner[future.key]] for future in futures}
        self.got += sum(len(key) + len(owner) for key, (owner,) in found.items())
        return found

    def scatter(self, packed: bytes, **how: Any) -> Later:
        self.sent += 2 * len(packed) + 100 * len(self._workers)  # to one, and the workers send it on
        return Later("scattered", None)

    def submit(self, function: Any, *arguments: Any, **how: Any) -> Later:
        (made,) = self.map(function, *([argument] for argument in arguments), **how)
        return made

    def map(self, function: Any, *arguments: Iterable[Any], **how: Any) -> list[Later]:
        owner, made = how.pop("workers", None), []
        sent = how.get("sent")
        for values in zip(*arguments, strict=True):
            self._n_keys += 1
            self.n_tasks += 1
            self.sent += 300 + (len(sent) if isinstance(sent, bytes) else 0)  # the key, the function, its arguments
            self.sent += sum(100 * len(value) for value in values if isinstance(value, list))  # keys of futures
            later = Later(f"{function.__name__}-{self._n_keys:032x}", self._value(function.__name__, values))
            self.owner[later.key] = owner
            made.append(later)
        return made

    def _value(self, name: str, values: tuple[Any, ...]) -> Any:
        if name == "_rows_of":
            return values[0].value
        if name == "_join":  # a target: its first row, and how many rows
            return values[0], sum(piece.value for piece in values[1])
        if name == "_piece":
            part, first, end = values
            return min(end, part.value) - first
        if name == "_work_and_merge":
            tree = Tree[Size]()
            for future in values[1]:
                first, n_rows = future.value
                tree.add(Size(), count_leaves(n_rows), first // LEAF_ROWS)
            return tree
        if name == "merged":
            trees = [future.value for future in values[0]]
            return sum(trees[1:], trees[0])
        return self._sums

    def gather(self, futures: Sequence[Later]) -> list[Any]:
        packed = [pickle.dumps(future.value, 5) for future in futures]
        self.got += sum(map(len, packed))
        return [pickle.loads(each) for each in packed]

    def count(self) -> dict[str, int]:
        """Tasks, bytes sent and bytes got since the last call."""
        counted = {"tasks": self.n_tasks, "sent": self.sent, "got": self.got}
        self.n_tasks = self.sent = self.got = 0
        return counted


def count(n_partitions: int, cluster: Cluster) -> dict[str, dict[str, float]]:
    """What this process sends, gets and takes while rows are laid out, and in a pass."""
    from gaussmix.sources.dask.cluster import Cluster as Rows

    n_rows, n_workers, n_components, n_features = COUNTED
    task = task_of(n_components, n_features)
    sums, _ = sums_of(task, n_features)
    client: Any = Absent(n_workers, [n_rows // n_partitions] * n_partitions, sums)
    about = About("rows", [f"x{column}" for column in range(n_features)], None, np.dtype("f8"), 0)
    found = {}
    lay_out = partial(Rows, client, client.parts, about)
    works: dict[str, Callable[[], object]] = {"lay out": lay_out, "a pass": partial(lay_out().map_merge, task)}
    for name, work in works.items():
        client.count()
        work()
        found[name] = client.count() | {"seconds": min(seconds_of(work) for _ in range(3))}
        tracemalloc.start()
        work()
        found[name]["peak"] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    for what in found.values():
        what["scheduler"] = what["tasks"] * cluster.per_task
        what["link"] = (what["sent"] + what["got"]) / cluster.link
    return found


def counted(page: Page, cluster: Cluster) -> None:
    """The section about workers that are not there."""
    n_rows, n_workers, n_components, n_features = COUNTED
    page.say(
        f"## {n_workers:,} workers that are not there",
        "",
        f"{n_rows:.0e} rows, K = {n_components}, d = {n_features}: the code of gaussmix for Dask, with a client that "
        "counts what it and the scheduler send and get. Seconds here include what the client does to know the results "
        "of workers. The times of the scheduler and the link are assumed, as above.",
    )
    page.table(
        "partitions | | tasks | MB sent | MB got | MB of memory here | seconds here | scheduler, s | link, s",
        (
            (f"{n_partitions:,}", what, f"{of['tasks']:,}",
             *(f"{of[name] / 1e6:,.3g}" for name in ("sent", "got", "peak")),
             *(f"{of[name]:,.3g}" for name in ("seconds", "scheduler", "link")))
            for n_partitions in PARTITIONS for what, of in count(n_partitions, cluster).items()
        ),
        n_words=2,
    )  # fmt: skip


def checked() -> Iterator[tuple[object, ...]]:
    """Rows of a table that compares the planned bytes with those of passes on two real workers of this machine."""
    import dask.array as da
    from distributed import Client, LocalCluster

    import gaussmix

    n_rows, n_components, n_features = CHECKED
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as made,
        Client(made),
    ):
        for n_partitions in CHECKED_PARTITIONS:
            rows = da.random.default_rng(0).normal(size=(n_rows, n_features), chunks=(n_rows // n_partitions, -1))
            source: Any = gaussmix.open(rows)
            task = task_of(n_components, n_features)
            task = replace(task, facts=task.over(source).facts)  # with the parameters by which rows are ordered
            workers = source._rows._workers
            with patch.object(workers, "gathered", wraps=workers.gathered) as gathered:
                sums = source.map_merge(task)
            assert gathered.call_count == 1  # so nothing else came to this process
            planned = source._rows.traffic(*task.sizes(n_features))
            sizes = planned.up, len(pickle.dumps(sums, 5)), planned.task, len(pickle.dumps(task, 5))
            yield n_partitions, len(source._rows._held), *(f"{n / 1e6:.4f}" for n in sizes)


def main() -> None:
    parser_of(__doc__).parse_args()
    cluster = Cluster()
    page = Page(__file__, "An iteration on many workers", f"full covariances; times simulated with {cluster}")
    for n_components, n_features in SHAPES:
        measured = measure(n_components, n_features)
        page.say(
            f"## K = {n_components}, d = {n_features}",
            "",
            f"Measured: {measured.rows_per_second:,.0f} rows a second on a thread, {1e6 * measured.merge_seconds:,.0f} "
            f"µs to merge two nodes. Planned: {measured.task:,} bytes of a task, {measured.node:,} bytes of a node.",
        )
        table = {
            (rows, n): simulate(rows, n, n_features, measured, cluster)
            for rows in N_ROWS for n in N_WORKERS if rows // n >= LEAF_ROWS
        }  # fmt: skip
        names = " | ".join(table[N_ROWS[0], N_WORKERS[0]])
        cells = (
            (f"{rows:.0e}", f"{n:,}", *(f"{each:,.3g}" for each in row.values())) for (rows, n), row in table.items()
        )
        page.table(f"rows | workers | {names}", cells, n_words=0)
    n_rows, n_components, n_features = CHECKED
    page.say(
        "## Planned and measured",
        "",
        f"{n_rows:.0e} rows, K = {n_components}, d = {n_features}, Dask with two processes: bytes of a pass to this "
        "process, and of its task.",
    )
    names = "partitions | targets | MB up, planned | measured | MB of the task, planned | measured"
    page.table(names, checked(), n_words=0)
    counted(page, cluster)
    page.write()


if __name__ == "__main__":
    main()
