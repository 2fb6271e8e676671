"""Time EM passes over files, compared with reading alone and with the same pass in memory, in one run.

    python -m bench.pages.files                 # minutes, 2 GB in TMPDIR; rewrites bench/results/files.md
    python -m bench.pages.files --rows 130000000    # a file of 8.3 GB

Each pass is a step of EM (full, K = 16, d = 8). The bound of a pass is the longest of three times: reading every row
without work, the step over rows in memory, and the processor time of both divided by all processors. These times are
measured in alternation with the pass, because the speed of a shared machine varies. The peak of memory belongs to a
separate process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from bench.pages.base import Page, parser_of, seconds_of
from gaussmix import GaussianMixture, Mixture
from gaussmix._src.em.step.accumulate import StepTask
from gaussmix._src.engines import complete_engine
from gaussmix._src.interfaces.block import RowStatistics
from gaussmix._src.sources.array import ArraySource
from gaussmix._src.sources.opening import open
from gaussmix.extend import Source

N_FEATURES, N_COMPONENTS = 8, 16
MEMORY = "256 MB"
AT_A_TIME = 1_000_000  # rows per chunk


def mixture() -> Mixture:
    """Return overlapping components, so that no work can be left out."""
    rng = np.random.default_rng(0)
    few = (
        rng.normal(size=(20_000, N_FEATURES))
        + rng.normal(size=(N_COMPONENTS, N_FEATURES))[rng.integers(16, size=20_000)]
    )
    return GaussianMixture(N_COMPONENTS, max_iter=3, tol=0, random_state=0).fit(few).mixture_


def write_files(folder: Path, n_rows: int) -> dict[str, Path]:
    """Write the same rows to files of several formats."""
    names = "rows.npy", "plain.parquet", "snappy.parquet"
    drawn, paths = mixture(), dict(zip(("npy", "plain", "snappy"), (folder / name for name in names), strict=True))
    schema = pa.schema([(f"x{column}", pa.float64()) for column in range(N_FEATURES)])
    target = np.lib.format.open_memmap(paths["npy"], "w+", np.float64, (n_rows, N_FEATURES))
    with (
        parquet.ParquetWriter(paths["plain"], schema, compression="none", use_dictionary=False) as plain,
        parquet.ParquetWriter(paths["snappy"], schema, compression="snappy", use_dictionary=False) as snappy,
    ):
        for first in range(0, n_rows, AT_A_TIME):
            rows = drawn.sample(min(AT_A_TIME, n_rows - first), first)[0]
            target[first : first + len(rows)] = rows
            table = pa.table(dict(zip(schema.names, rows.T, strict=True)))
            plain.write_table(table, row_group_size=65_520)
            snappy.write_table(table, row_group_size=65_520)
    target.flush()
    return paths


def step(source: Source, n_jobs: int) -> Callable[[], object]:
    """Make one step of EM over a source."""
    model, engine = mixture()._model, complete_engine(n_jobs)
    task = StepTask(engine, N_COMPONENTS, model.parameters, model.family.moment_spec(None), anchor=model.means)
    return lambda: task.sum_moments(source)


def read(path: Path) -> None:
    """Read every row of a file without using it."""
    for _ in open(path, memory=MEMORY).blocks():
        pass


def read_totals(path: Path) -> RowStatistics:
    """Make the first pass over a file."""
    return open(path, memory=MEMORY).row_totals


def both_seconds_of(call: Callable[[], object]) -> tuple[float, float]:
    """Return wall and processor seconds of a call."""
    began = perf_counter(), process_time()
    call()
    return perf_counter() - began[0], process_time() - began[1]


def peak_of_fit(path: Path) -> float:
    """Return the peak megabytes of a process that fits a file."""
    code = f"""
from pathlib import Path
from gaussmix import GaussianMixture, open
GaussianMixture({N_COMPONENTS}, max_iter=2, tol=0, random_state=0).fit(open({str(path)!r}, memory={MEMORY!r}))
(peak,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(int(peak.split()[1]) / 1024)
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def table_rows(n_rows: int, repeats: int) -> Iterator[tuple[object, ...]]:
    """Return the rows of the table."""
    n_threads = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="gaussmix-bench-") as place:
        paths = write_files(Path(place), n_rows)
        few = np.load(paths["npy"], mmap_mode="r")[: min(n_rows, 8_000_000)]
        scale = n_rows / len(few)
        in_memory = ArraySource(np.array(few))
        for name, path in paths.items():
            megabytes = peak_of_fit(path)
            for n in (1, n_threads):
                calls = partial(read, path), step(in_memory, n), step(open(path, memory=MEMORY), n)
                turns = np.array([[both_seconds_of(call) for call in calls] for _ in range(1 + repeats)])[1:]
                turns[:, 1] *= scale
                bounds = *turns[:, :2, 0].T, turns[:, :2, 1].sum(axis=1) / n_threads
                reading, compute, found = np.median(turns[:, :, 0], axis=0)
                ratio = float(np.median(turns[:, 2, 0] / np.max(bounds, axis=0)))
                totals_ratio = seconds_of(partial(read_totals, path)) / found
                shown = (f"{each:.2f}" for each in (found, reading, compute, ratio, totals_ratio))
                yield name, n, *shown, f"{megabytes:.0f}"


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--rows", type=int, default=8_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    shape = f"{arguments.rows:,} rows, full, K = {N_COMPONENTS}, d = {N_FEATURES}"
    page = Page(__file__, "Rows in files", f"{shape}; seconds, medians of {arguments.repeats} turns")
    names = "file | threads | pass | reading alone | step in memory | pass / bound | profile / pass | peak, MB"
    page.table(names, table_rows(arguments.rows, arguments.repeats))
    page.write()


if __name__ == "__main__":
    main()
