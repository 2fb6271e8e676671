"""A table larger than the memory limit of a process: bit-identical fits from files and on a cluster.

python examples/larger_than_memory.py

Each fit runs in a separate process. On Linux, two of the processes have a memory limit below the size of the table.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import gaussmix

N_FEATURES, N_CLUSTERS, N_PARTS = 8, 6, 8
NAMES = [f"x{1 + feature}" for feature in range(N_FEATURES)]
IS_LIMITED = sys.platform == "linux"  # other systems ignore RLIMIT_DATA


def write(folder: Path, n_rows: int) -> None:
    """Write the table as several files, one after the other."""
    rng = np.random.default_rng(0)
    centres = 3 * rng.normal(size=(N_CLUSTERS, N_FEATURES))
    for part in range(N_PARTS):
        size = n_rows * (part + 1) // N_PARTS - n_rows * part // N_PARTS
        rows = centres[rng.integers(N_CLUSTERS, size=size)] + rng.normal(size=(size, N_FEATURES))
        table = pa.table(dict(zip(NAMES, rows.T, strict=True)))
        pq.write_table(table, folder / f"part-{part}.parquet", row_group_size=65_536)


def mixture() -> gaussmix.GaussianMixture:
    """Return the estimator."""
    return gaussmix.GaussianMixture(N_CLUSTERS, random_state=0)


def in_memory(folder: Path, memory: str) -> gaussmix.GaussianMixture:
    """Load all rows into an array with column names, as without gaussmix's sources."""
    return mixture().fit(gaussmix.open(folder / "part-*.parquet", memory="1 TB"))


def from_files(folder: Path, memory: str) -> gaussmix.GaussianMixture:
    """Open the files, whose rows are read block by block in every pass."""
    return mixture().fit(gaussmix.open(folder / "part-*.parquet", memory=memory))


def on_dask(folder: Path, memory: str) -> gaussmix.GaussianMixture:
    """Load the rows into the memory of two Dask workers."""
    import dask.dataframe
    from distributed import Client, LocalCluster

    workers = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with LocalCluster(**workers) as cluster, Client(cluster):
        return mixture().fit(dask.dataframe.read_parquet(folder))


def on_spark(folder: Path, memory: str) -> gaussmix.GaussianMixture:
    """Load the rows in a Spark session, which needs Java."""
    from pyspark.sql import SparkSession

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    quiet = {"spark.log.level": "ERROR", "spark.ui.showConsoleProgress": "false"}
    with SparkSession.builder.master("local[2]").config(map=quiet).getOrCreate() as session:
        return mixture().fit(session.read.parquet(*map(str, folder.glob("part-*.parquet"))))


FITS: dict[str, tuple[Callable[[Path, str], gaussmix.GaussianMixture], bool]] = {  # True if memory is limited
    "in memory": (in_memory, False),
    "in memory, limited": (in_memory, True),
    "from files, limited": (from_files, True),
    "on a Dask cluster": (on_dask, False),
    "on Spark": (on_spark, False),
}


def fit(name: str, folder: Path, memory: str, limit: int) -> str:
    """Return the digest of the model file, or the reason why the fit failed."""
    work, is_limited = FITS[name]
    if is_limited and limit and IS_LIMITED:
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    try:
        model = work(folder, memory)
    except MemoryError:
        return "not enough memory"
    except ImportError as error:
        return f"left out: {error}"
    path = folder / f"{name}.gmm"
    model.save(path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def compare(
    n_rows: int = 8_000_000, memory: str = "64 MB", limit: int = 480_000_000, names: Sequence[str] = tuple(FITS)
) -> dict[str, str]:
    """Return the result of each fit.

    Parameters
    ----------
    n_rows : number of rows in the table, 64 bytes each.
    memory : memory for rows that are read from files.
    limit : limit of a process in bytes, including Python and all libraries; 0 for no limit.
    names : names of the fits.
    """
    few_threads = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # threads need stacks
    results = {}
    with tempfile.TemporaryDirectory() as place:
        write(Path(place), n_rows)
        for name in names:
            command = [sys.executable, __file__, "--fit", name, place, memory, str(limit)]
            run = subprocess.run(command, env=few_threads, stdout=subprocess.PIPE, text=True, check=True)
            results[name] = run.stdout.strip()
    return results


def main() -> None:
    """Print the digests."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=8_000_000)
    parser.add_argument("--memory", default="64 MB")
    parser.add_argument("--limit", type=int, default=480_000_000)
    parser.add_argument("--fit", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.fit:
        name, folder, memory, limit = given.fit
        print(fit(name, Path(folder), memory, int(limit)))
        return
    size = given.rows * 8 * N_FEATURES
    print(f"{given.rows} rows are {size / 1e6:.0f} MB, the limit is {given.limit / 1e6:.0f} MB\n")
    print(f"{'':22}sha256 of the model file")
    for name, digest in compare(given.rows, given.memory, given.limit).items():
        print(f"{name:22}{digest}")


if __name__ == "__main__":
    main()
