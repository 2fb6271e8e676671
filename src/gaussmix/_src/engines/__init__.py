"""The engine of complete rows, the choice of an engine, and the number of threads."""

from __future__ import annotations

import os
from functools import cache
from numbers import Integral
from typing import Any

from gaussmix._src.engines.base import Engine
from gaussmix._src.engines.complete.engine import CompleteEngine
from gaussmix._src.errors import ParameterTypeError

MAX_THREADS = 4096  # more threads never help, and the C++ core counts threads in 32 bits


def complete_engine(n_jobs: int | None = None) -> CompleteEngine:
    """Return the engine of complete rows.

    Parameters
    ----------
    n_jobs : number of threads; None or -1 for every processor that this process may use, -2 for all but one, and so on.

    Raises
    ------
    ValueError : n_jobs is 0.
    TypeError : n_jobs is neither an integer nor None.
    """
    return CompleteEngine(count_threads(n_jobs))


def count_threads(n_jobs: int | None) -> int:
    """Convert scikit-learn's n_jobs into a number of threads; None respects OMP_NUM_THREADS, as OpenMP does."""
    n_jobs = None if n_jobs is None else check_jobs(n_jobs)
    if n_jobs is not None and n_jobs > 0:
        return min(n_jobs, MAX_THREADS)
    usable = min(len(os.sched_getaffinity(0)), _count_cpus()) if hasattr(os, "sched_getaffinity") else _count_cpus()
    if n_jobs is None:
        limit = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
        return min(usable, int(limit)) if limit.isdecimal() and int(limit) > 0 else usable
    if n_jobs == 0:
        raise ValueError("n_jobs=0 has no meaning; use 1 for one thread or None for every processor.")
    return max(1, usable + 1 + n_jobs)


def check_jobs(n_jobs: Any) -> int | None:
    """Check a number of threads in scikit-learn's convention, and return an integer or None."""
    if n_jobs is not None and (isinstance(n_jobs, bool) or not isinstance(n_jobs, (int, Integral))):
        raise ParameterTypeError(
            f"n_jobs must be an integer other than 0, or None for every processor, not {n_jobs!r}."
        )
    return None if n_jobs is None else int(n_jobs)


@cache
def _count_cpus() -> int:
    """Return the number of processors that the machine or the container gives the process."""
    from joblib import cpu_count  # slow to import

    return int(cpu_count())


def make_engine(n_jobs: int | None, is_incomplete: bool = False, is_on_device: bool = False) -> Engine[Any]:
    """Make an engine for rows that are on a device, or that may have missing values or measurement errors."""
    if is_on_device:
        from gaussmix._src.engines.device.engine import DeviceEngine

        return DeviceEngine(count_threads(n_jobs))
    if not is_incomplete:
        return CompleteEngine(count_threads(n_jobs))
    from gaussmix._src.engines.incomplete import IncompleteEngine

    return IncompleteEngine(count_threads(n_jobs))
