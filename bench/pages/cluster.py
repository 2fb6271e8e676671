"""Steps of EM on a Dask cluster of two processes on this machine, beside one process with two threads.

    python -m bench.pages.cluster    # a minute; writes bench/results/cluster.md

Both make the same steps from the same start, in turn, and must end at the same bits. The least of the repeats counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import dask
import dask.array as da
import numpy as np
from distributed import Client, LocalCluster

from bench.cases import Case
from bench.pages.base import Page, facts, parser_of
from gaussmix.em.loop import run_em
from gaussmix.em.objective import Objective
from gaussmix.em.stopping import Stopping
from gaussmix.em.trace import State, final
from gaussmix.engines.native.engine import NativeEngine
from gaussmix.families import FAMILIES
from gaussmix.mixture.mixture import Mixture
from gaussmix.model import Model
from gaussmix.numerics.arrays import Rows
from gaussmix.sources.array import ArraySource
from gaussmix.sources.base import Source
from gaussmix.sources.opening import open
from gaussmix.waist.leaves import LEAF_ROWS

N_WORKERS, N_LEAVES = 2, 20
CHUNKS = 1, 10, 100  # of each worker
BARS = {10: 30, 100: 50}  # milliseconds that a step may take more, by the chunks of a worker
SHAPES = ("full", 16, 8), ("diag", 16, 8)
FEW, MANY, REPEATS = 2, 7, 3  # steps: their difference drops what a run costs once


def read(path: Path, first: int, end: int) -> Rows:
    rows: Rows = np.load(path, mmap_mode="r")[first:end]
    return np.array(rows)


def tables(path: Path, n_chunks: int) -> tuple[Source, Source]:
    """The rows of a file on the cluster and in memory."""
    rows = np.load(path)
    size = -(-len(rows) // n_chunks)
    lazy = [
        da.from_delayed(
            dask.delayed(read)(path, first, first + size), (len(rows[first : first + size]), rows.shape[1]), float
        )
        for first in range(0, len(rows), size)
    ]
    return open(da.concatenate(lazy)), ArraySource(rows)


def start(case: Case) -> Model:
    """The model of a case's start."""
    weights, means, covariances = case.start().values()
    return Mixture(weights, means, covariances, FAMILIES[case.structure]).model


def timed(source: Source, n_threads: int, model: Model, n_steps: int) -> tuple[float, State]:
    """Seconds of so many steps."""
    ridge, began = Objective(np.full(source.n_features, 1e-6)), perf_counter()
    state = final(run_em(source, NativeEngine(n_threads), model, ridge, Stopping(0.0, n_steps)))
    return perf_counter() - began, state


def step(there: Source, here: Source, model: Model) -> tuple[float, float]:
    """Milliseconds of a step on the cluster and in memory."""
    least = {(where, n_steps): np.inf for where in range(2) for n_steps in (FEW, MANY)}
    for _ in range(REPEATS):
        for n_steps in FEW, MANY:
            found, expected = (timed(source, N_WORKERS, model, n_steps) for source in (there, here))
            assert found[1].trace.log_likelihood == expected[1].trace.log_likelihood
            for where, (seconds, _) in enumerate((found, expected)):
                least[where, n_steps] = min(least[where, n_steps], seconds)
    on_cluster, in_memory = (1e3 * (least[where, MANY] - least[where, FEW]) / (MANY - FEW) for where in range(2))
    return on_cluster, in_memory


def measured() -> Iterator[tuple[object, ...]]:
    """The rows of the table."""
    with (
        LocalCluster(n_workers=N_WORKERS, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster),
        TemporaryDirectory() as folder,
    ):
        tried = [(SHAPES[0], chunks) for chunks in CHUNKS] + [(shape, CHUNKS[1]) for shape in SHAPES[1:]]
        for (structure, n_components, n_features), chunks in tried:
            case, path = Case(structure, N_LEAVES * LEAF_ROWS, n_features, n_components), Path(folder) / "rows.npy"
            np.save(path, case.rows())
            there, here = tables(path, chunks * N_WORKERS)
            on_cluster, in_memory = step(there, here, start(case))
            numbers = (f"{each:.0f}" for each in (on_cluster, in_memory, on_cluster - in_memory))
            yield structure, n_components, n_features, chunks, *numbers, BARS.get(chunks)


def main() -> None:
    parser_of(__doc__).parse_args()
    how = f"{N_LEAVES} leaves of {LEAF_ROWS} rows, milliseconds of a step"
    page = Page(__file__, "Steps of EM on two workers of Dask", how, facts() | {"Dask": dask.__version__})
    page.table("structure | K | d | chunks a worker | cluster | one process | added | bar", measured())
    page.write()


if __name__ == "__main__":
    main()
