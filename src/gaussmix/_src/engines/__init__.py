"""Functions that choose the engine for the rows of a fit and the number of threads."""

from __future__ import annotations

import os
from functools import cache
from numbers import Integral
from typing import Any

from gaussmix._src.engines.base import Engine
from gaussmix._src.engines.complete.engine import CompleteEngine
from gaussmix._src.errors import ParameterTypeError

MAX_THREADS = 4096  # upper limit on n_jobs, because the C++ core stores the number of threads in 32 bits


def complete_engine(n_jobs: int | None = None) -> CompleteEngine:
    """Return the engine for rows without missing values or measurement errors.

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
    """Convert scikit-learn's n_jobs into a number of threads; None means OMP_NUM_THREADS or, if unset, all."""
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
    """Check that n_jobs is None or an integer, as in scikit-learn, and return it as an int or None."""
    if n_jobs is not None and (isinstance(n_jobs, bool) or not isinstance(n_jobs, (int, Integral))):
        raise ParameterTypeError(
            f"n_jobs must be an integer other than 0, or None for every processor, not {n_jobs!r}."
        )
    return None if n_jobs is None else int(n_jobs)


@cache
def _count_cpus() -> int:
    """Return the number of processors that this process may use on its machine or in its container."""
    from joblib import cpu_count  # imported here, because importing joblib is slow

    return int(cpu_count())


def make_engine(n_jobs: int | None, is_incomplete: bool = False, is_on_device: bool = False) -> Engine[Any]:
    """Make the engine for rows on a device (GPU), for rows that may be incomplete, or for complete rows on the CPU."""
    if is_on_device:
        from gaussmix._src.engines.device.engine import DeviceEngine

        return DeviceEngine(count_threads(n_jobs))
    if not is_incomplete:
        return CompleteEngine(count_threads(n_jobs))
    from gaussmix._src.engines.incomplete import IncompleteEngine

    return IncompleteEngine(count_threads(n_jobs))
