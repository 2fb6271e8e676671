"""Measure the peak of the processor with fma.cpp, a loop of fused multiply-adds on registers that is compiled here."""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
import threading
import time
from functools import cache
from pathlib import Path

BITS = {"avx2": 256, "avx512": 512}
ROUNDS = 60_000  # about 0.2 ms


@cache
def _library() -> ctypes.CDLL:
    source = Path(__file__).with_name("fma.cpp")
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / "fma.so"
        options = ["-O2", "-funroll-loops", "-march=native", "-shared", "-fPIC"]
        subprocess.run(["c++", *options, str(source), "-o", str(built)], check=True)
        library = ctypes.CDLL(str(built))
    library.fma_operations.restype = ctypes.c_double
    library.fma_operations.argtypes = [ctypes.c_int, ctypes.c_long]
    return library


def operations_per_second(isa: str, rounds: int = ROUNDS) -> float:
    """Return floating-point operations per second of processor time of the calling thread, in one run."""
    start = time.thread_time()
    done = _library().fma_operations(BITS[isa], rounds)
    return float(done) / (time.thread_time() - start)


def elapsed(isa: str, n_threads: int, rounds: int = 40 * ROUNDS) -> float:
    """Return the seconds in which `n_threads` threads run the loop simultaneously."""

    def work() -> None:
        _library().fma_operations(BITS[isa], rounds)

    threads = [threading.Thread(target=work) for _ in range(n_threads)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - start
