"""Simulate an iteration of EM on many workers, from what is measured on one.

    python -m bench.pages.scale                     # seconds; rewrites bench/results/scale.md

Measured here: the step of one thread, the bytes of a node (a pickled `Partial`), and how fast the driver merges nodes.
Assumed: the numbers of `Cluster`. A worker is one thread with an equal share of the leaves. It sends its nodes to the
driver, at most two for each level of its part of the tree. The iteration ends with the slowest worker.
"""

from __future__ import annotations

import pickle
import time
from dataclasses import dataclass

import numpy as np

from bench.pages.base import RESULTS, facts, head, parser_of
from gaussmix.em.accumulate import StepTask
from gaussmix.engines import choose
from gaussmix.families import FAMILIES
from gaussmix.model import Model
from gaussmix.sources.array import ArraySource
from gaussmix.waist.block import Block
from gaussmix.waist.leaves import LEAF_ROWS, Tree, count_leaves
from gaussmix.waist.moments import Partial

RESULT = RESULTS / "scale.md"
SHAPES = [(16, 8), (16, 32), (1024, 32)]  # K, d
N_WORKERS = [1, 10, 100, 1_000, 10_000]
N_ROWS = 10**12


@dataclass(frozen=True)
class Cluster:
    """What is assumed of a cluster.

    Parameters
    ----------
    link : bytes a second into the driver.
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
    """What one thread and the driver do with a shape: rows a second, bytes of a node, seconds to merge two."""

    rows_per_second: float
    node_bytes: int
    merge_seconds: float


def measure(n_components: int, n_features: int) -> Measured:
    """One step over a leaf, and one merge."""
    rng = np.random.default_rng(0)
    means, covariances = rng.normal(size=(n_components, n_features)), np.tile(np.eye(n_features), (n_components, 1, 1))
    family = FAMILIES["full"]
    model = Model(np.full(n_components, 1 / n_components), means, family.covariances(covariances, *means.shape), family)
    source = ArraySource(rng.normal(size=(LEAF_ROWS, n_features)))
    task = StepTask(choose(1), n_components, model.parameters, family.need(None), anchor=means)
    block = source.whole or Block(0, np.empty((0, n_features)))
    times = []
    for _ in range(3):
        start = time.perf_counter()
        partial = task.call(block, task.open(block))
        times.append(time.perf_counter() - start)
    start = time.perf_counter()
    for _ in range(5):
        merge(partial)
    return Measured(LEAF_ROWS / min(times), len(pickle.dumps(partial, 5)), (time.perf_counter() - start) / 5)


def merge(partial: Partial) -> Partial:
    """Merge two nodes."""
    tree = Tree[Partial]()
    tree.add(partial)
    tree.add(partial)
    return tree.total


def simulate(n_workers: int, n_features: int, measured: Measured, cluster: Cluster) -> dict[str, float]:
    """Seconds of the parts of an iteration, and the share of the time that workers work."""
    rows = N_ROWS / n_workers
    compute = rows / measured.rows_per_second
    n_nodes = n_workers * min(2 * np.log2(max(count_leaves(int(rows)), 2)), count_leaves(int(rows)))
    slowest = (
        compute * np.exp(cluster.spread * np.random.default_rng(0).normal(size=(200, n_workers))).max(axis=1).mean()
    )
    driver = n_nodes * (measured.node_bytes / cluster.link + measured.merge_seconds) + n_workers * cluster.per_task
    failures = n_workers * slowest / (cluster.days_to_failure * 86_400)
    # The leaves of a lost worker go to all others.
    again = failures * (rows * n_features * 8 / cluster.reload + compute) / max(n_workers - 1, 1)
    total = slowest + driver + again
    return {
        "compute": compute, "slowest": slowest, "MB to the driver": n_nodes * measured.node_bytes / 1e6,
        "driver": driver, "failures": failures, "again": again, "iteration": total, "efficiency": compute / total,
    }  # fmt: skip


def main() -> None:
    parser_of(__doc__).parse_args()
    cluster = Cluster()
    how = f"`python -m bench.pages.scale`; {N_ROWS:.0e} rows, full; seconds of an iteration, simulated with {cluster}"
    lines = head("An iteration on many workers, simulated", how, facts())
    for n_components, n_features in SHAPES:
        measured = measure(n_components, n_features)
        lines += [
            "",
            f"## K = {n_components}, d = {n_features}",
            "",
            f"Measured: {measured.rows_per_second:,.0f} rows a second on a thread, {measured.node_bytes:,} bytes a "
            f"node, {1e6 * measured.merge_seconds:,.0f} µs to merge two.",
            "",
        ]
        table = {n: simulate(n, n_features, measured, cluster) for n in N_WORKERS}
        lines += ["| workers | " + " | ".join(table[1]) + " |", "|---:" * (1 + len(table[1])) + "|"]
        lines += [
            f"| {n:,} | " + " | ".join(f"{value:,.3g}" for value in row.values()) + " |" for n, row in table.items()
        ]
    RESULT.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
