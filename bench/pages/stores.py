"""Time passes of EM over a store that takes 50 ms for a request and sends 200 MB a second, in one run.

    python -m bench.pages.stores            # a minute; rewrites bench/results/stores.md

The store is in memory and sleeps. Each pass is a step of EM (full, K = 16, d = 8). The bound of a pass is the longer of
two times: the same number of bytes by a pool of 16 threads that does nothing with them, and the step over rows in
memory. The three are measured in turn, because a shared machine is faster and slower by turns. The rows are in one
Parquet file with row groups of a million rows, as PyArrow writes them, in one with row groups of a leaf, in files of
20,000 rows each, and in .npy.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import BytesIO
from threading import Lock
from typing import Any, ClassVar

import fsspec
import numpy as np
import pyarrow as pa
from fsspec.spec import AbstractFileSystem
from pyarrow import parquet

from bench.pages.base import Page, parser_of, seconds_of
from bench.pages.files import N_COMPONENTS, N_FEATURES, mixture, step
from gaussmix.sources.array import ArraySource
from gaussmix.sources.opening import open
from gaussmix.waist.leaves import LEAF_ROWS

SECONDS, RATE = 0.05, 200e6  # of a request; bytes a second of all requests together


class Slow(AbstractFileSystem):  # type: ignore[misc]
    """A store whose answers take time."""

    protocol, cachable = "slow", False
    files: ClassVar[dict[str, bytes]] = {}
    lock, line = Lock(), Lock()
    n_requests = n_now = n_most = n_bytes = 0

    def wait(self, n_bytes: int = 0) -> None:
        """Take the time of a request."""
        with self.lock:
            Slow.n_requests, Slow.n_now, Slow.n_bytes = self.n_requests + 1, self.n_now + 1, self.n_bytes + n_bytes
            Slow.n_most = max(self.n_most, self.n_now)
        time.sleep(SECONDS)
        with self.line:
            time.sleep(n_bytes / RATE)
        with self.lock:
            Slow.n_now -= 1

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        self.wait()
        is_file = path in self.files
        return {"name": path, "size": len(self.files.get(path, b"")), "type": "file" if is_file else "directory"}

    def find(self, path: str, *_: Any, **__: Any) -> list[str]:
        self.wait()
        return [each for each in self.files if each.startswith(f"{path}/")]

    def cat_file(self, path: str, start: int = 0, end: int = 0, **_: Any) -> bytes:
        self.wait(end - start)
        return self.files[path][start:end]


def put_files(rows: Any) -> list[str]:
    """The same rows in files of several kinds; their names."""
    table = pa.table({f"x{column}": values for column, values in enumerate(rows.T)})

    def put(name: str, some: pa.Table, n_rows: int) -> None:
        file = BytesIO()
        parquet.write_table(some, file, row_group_size=n_rows, use_dictionary=False)
        Slow.files[name] = file.getvalue()

    put("rows/groups of 1,048,576.parquet", table, 2**20)
    put("rows/groups of a leaf.parquet", table, LEAF_ROWS)
    for first in range(0, len(rows), 20_000):
        put(f"rows/many/{first:09}.parquet", table.slice(first, 20_000), 20_000)
    file = BytesIO()
    np.save(file, rows)
    Slow.files["rows/rows.npy"] = file.getvalue()
    return ["groups of 1,048,576.parquet", "groups of a leaf.parquet", "many", "rows.npy"]


def fetch(n_bytes: int) -> None:
    """Ask for so many bytes in ranges of 4 MB, 16 at once, each after a request for the size."""
    store, name = Slow(), "rows/rows.npy"

    def ask(first: int) -> None:
        store.info(name)
        store.cat_file(name, first, min(first + 2**22, n_bytes))

    with ThreadPoolExecutor(16) as pool:
        for _ in pool.map(ask, range(0, n_bytes, 2**22)):
            pass


def measured(n_rows: int, repeats: int) -> Iterator[tuple[object, ...]]:
    """The rows of the table."""
    rows = mixture().sample(n_rows, 0)[0]
    names, n_threads = put_files(rows), len(os.sched_getaffinity(0))
    compute = step(ArraySource(rows), n_threads)
    for name in names:
        for memory in ("128 MB", "500 MB"):
            Slow.n_requests = 0
            begin = time.perf_counter()
            source = open(f"slow://rows/{name}", memory=memory)
            opening, n_opening = time.perf_counter() - begin, Slow.n_requests
            work = step(source, n_threads)
            work()  # with what the first pass finds out
            turns = []
            for _ in range(repeats):
                Slow.n_requests = Slow.n_most = Slow.n_bytes = 0
                found = seconds_of(work)
                n_requests, n_most, n_bytes = Slow.n_requests, Slow.n_most, Slow.n_bytes
                turns.append((found, seconds_of(compute), seconds_of(partial(fetch, n_bytes))))
            found, alone, fetching = np.median(turns, axis=0)
            ratio = np.median([one / max(others) for one, *others in turns])
            cells = name, memory, f"{opening:.2f}", n_opening, f"{found:.2f}", n_requests, n_most
            yield (*cells, f"{alone:.2f}", f"{fetching:.2f}", f"{ratio:.2f}")


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    fsspec.register_implementation("slow", Slow)
    shape = f"{asked.rows:,} rows, full, K = {N_COMPONENTS}, d = {N_FEATURES}"
    how = f"{shape}; {SECONDS * 1000:g} ms a request, {RATE / 1e6:g} MB a second; medians of {asked.repeats} turns"
    page = Page(__file__, "Rows in object stores", how)
    names = "rows | memory | open, s | requests | pass, s | requests | most at once | step, s | bytes, s | pass / bound"
    page.table(names, measured(asked.rows, asked.repeats))
    page.write()


if __name__ == "__main__":
    main()
