"""Kill workers of Dask, Spark and Ray at random moments of fits, loading included, and see what the fits say.

    python -m bench.pages.kills                     # 50 kills each, half an hour; rewrites bench/results/kills.md
    python -m bench.pages.kills --kills 5 ray       # printed only

Each cluster is local and has two workers. Each fit loads its rows anew, and one worker dies by SIGKILL in it. The fit
must end with the bits of one in memory, or with a sentence, at most a minute later than without. After the last fit
the cluster is closed, and what is left of its processes, temporary files and shared memory is counted.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bench.pages.base import Page, parser_of
from gaussmix import GaussianMixture
from gaussmix.numerics.arrays import Rows
from gaussmix.waist.leaves import LEAF_ROWS

N_ROWS, N_FEATURES, N_PARTS, N_STEPS = 6 * LEAF_ROWS + 4_321, 3, 5, 8
MARK = "GAUSSMIX_BENCH_KILLS"  # an environment variable by which processes of a cluster are known
LIMIT = 60  # seconds more than a fit without a kill
SHARED = Path("/dev/shm")


def rows_of(part: int) -> Rows:
    """The rows of a partition."""
    first, end = [*pairwise(np.linspace(0, N_ROWS, N_PARTS + 1).astype(int))][part]
    rng = np.random.default_rng(part)
    return rng.normal(size=(end - first, N_FEATURES)) + 3 * rng.integers(4, size=(end - first, 1))


@contextmanager
def on_dask(folder: Path) -> Iterator[Callable[[], Any]]:
    import dask
    import dask.array as da
    from distributed import Client, LocalCluster

    def made() -> Any:
        parts = [dask.delayed(rows_of)(part) for part in range(N_PARTS)]
        sizes = [len(rows_of(part)) for part in range(N_PARTS)]
        return da.concatenate(
            [da.from_delayed(part, (size, N_FEATURES), float) for part, size in zip(parts, sizes, strict=True)]
        )

    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "1h", "temporary-directory": str(folder)}),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster),
    ):
        yield made


@contextmanager
def on_spark(folder: Path) -> Iterator[Callable[[], Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from bench.pages.spark import session

    for part in range(N_PARTS):
        pq.write_table(pa.table(list(rows_of(part).T), names=["a", "b", "c"]), folder / f"{part}.parquet")
    spark = session()
    try:
        yield lambda: spark.read.parquet(str(folder))
    finally:
        spark.stop()


@contextmanager
def on_ray(folder: Path) -> Iterator[Callable[[], Any]]:
    import ray

    ray.init(
        num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error",
        object_store_memory=200_000_000, _temp_dir=str(folder),
    )  # fmt: skip
    task = ray.remote(rows_of)
    try:
        yield lambda: [task.remote(part) for part in range(N_PARTS)]
    finally:
        ray.shutdown()


CLUSTERS = {"dask": on_dask, "ray": on_ray, "spark": on_spark}
VICTIMS = {"dask": b"multiprocessing", "spark": b"pyspark", "ray": b"ray::"}  # in their command lines, besides Java


def processes(mark: str) -> dict[int, bytes]:
    """Processes that were started with a mark, and their command lines."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found[int(folder.name)] = (folder / "cmdline").read_bytes()
    return found


def kill_one(cluster: str, mark: str, delay: float, killed: list[float]) -> None:
    """Kill a worker after so many seconds, and note when."""
    time.sleep(delay)
    for _ in range(100):
        every = processes(mark)
        every.pop(os.getpid())
        some = [pid for pid, line in every.items() if VICTIMS[cluster] in line and b"resource_tracker" not in line]
        some = [pid for pid in some if b"java" not in every[pid]]
        if some:
            victim = random.choice(some)
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
                killed.append(time.perf_counter())
                return
        time.sleep(0.02)


def mixture() -> GaussianMixture:
    return GaussianMixture(4, random_state=0, max_iter=N_STEPS, tol=0.0)


def outcome(made: Callable[[], Any], expected: GaussianMixture) -> str:
    """How a fit ends."""
    try:
        gm = mixture().fit(made())
    except (RuntimeError, ConnectionError, TimeoutError, ImportError, OSError) as error:
        is_ours = type(error).__module__ == "builtins"
        return f"a sentence: {error}" if is_ours else f"another error: {type(error).__name__}: {error}"
    except Exception as error:
        return f"another error: {type(error).__name__}: {error}"
    names = "weights_", "means_", "covariances_"
    is_same = all(np.array_equal(getattr(gm, name), getattr(expected, name)) for name in names)
    return "the same bits" if is_same else "other bits"


def watch(cluster: str, n_kills: int, folder: Path, mark: str) -> list[tuple[str, float, float]]:
    """How so many fits end, each with a kill, their seconds, and those of a fit without."""
    warnings.simplefilter("ignore")
    random.seed(0)
    expected = mixture().fit(np.concatenate([rows_of(part) for part in range(N_PARTS)]))
    found: list[tuple[str, float, float]] = []
    with CLUSTERS[cluster](folder) as made:
        for _ in range(2):  # the first loads libraries
            began = time.perf_counter()
            assert outcome(made, expected) == "the same bits"
            usual = time.perf_counter() - began
        print(f"{cluster}: a fit takes {usual:.1f} s", file=sys.stderr, flush=True)
        while len(found) < n_kills:
            killed: list[float] = []
            killer = threading.Thread(target=kill_one, args=(cluster, mark, usual * random.random(), killed))
            killer.start()
            began = time.perf_counter()
            end = outcome(made, expected)
            ended = time.perf_counter()
            killer.join()
            if killed and killed[0] < ended:  # in the fit
                found.append((end, ended - began, usual))
                print(f"{cluster} {len(found)}: {end}, {ended - began:.1f} s", file=sys.stderr, flush=True)
    return found


def cells(cluster: str, n_kills: int) -> tuple[object, ...]:
    """A row of the table."""
    mark, shared = f"{cluster}-{os.getpid()}", set(SHARED.glob("[pg]*"))  # of Ray, Python and gaussmix
    folder = Path(tempfile.mkdtemp(prefix="gm"))
    settings = {MARK: mark, "TMPDIR": str(folder), "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    words = [sys.executable, "-m", "bench.pages.kills", "--kills", str(n_kills), "--in-process", cluster]
    done = subprocess.run(words, env=os.environ | settings, stdout=subprocess.PIPE, text=True, check=True)
    ends = json.loads(done.stdout.splitlines()[-1])
    time.sleep(5)
    left = processes(mark)
    files = [path for path in folder.rglob("*") if path.is_file() and path.name.startswith(("gaussmix", "pymp"))]
    shared = set(SHARED.glob("[pg]*")) - shared
    shutil.rmtree(folder, ignore_errors=True)
    n_same, n_said = (sum(end.startswith(how) for end, *_ in ends) for how in ("the same bits", "a sentence"))
    _, seconds, usual = zip(*ends, strict=True)
    n_wrong = len(ends) - n_same - n_said + sum(each > LIMIT + usual[0] for each in seconds)
    times = (f"{each:.1f}" for each in (usual[0], median(seconds), max(seconds)))
    return cluster, len(ends), n_same, n_said, n_wrong, *times, len(left), len(files), len(shared)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("clusters", nargs="*", default=[*CLUSTERS], help=", ".join(CLUSTERS))
    parser.add_argument("--kills", type=int, default=50, help="of each cluster")
    parser.add_argument("--in-process", action="store_true", help="one cluster, with the answer as JSON")
    asked = parser.parse_args()
    if asked.in_process:
        folder = Path(tempfile.mkdtemp(prefix="x"))
        print(json.dumps(watch(asked.clusters[0], asked.kills, folder, os.environ[MARK])))
        return
    page = Page(__file__, "Workers that are killed")
    page.say(f"{N_ROWS:,} rows, {N_FEATURES} features, 4 components, {N_STEPS} steps, two local workers.")
    names = "cluster | kills | the same bits | a sentence | else, or too late | seconds without a kill"
    names += " | with one, median | slowest | processes left | files left | shared memory left"
    page.table(names, (cells(name, asked.kills) for name in asked.clusters))
    if set(asked.clusters) == set(CLUSTERS):
        page.write()


if __name__ == "__main__":
    main()
