"""Engines by name, and the choice of the one for this machine."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from functools import cache
from numbers import Integral
from typing import Any

from joblib import cpu_count

from gaussmix.engines.base import Engine
from gaussmix.engines.incomplete import IncompleteEngine
from gaussmix.engines.native.engine import NativeEngine
from gaussmix.engines.reference import ReferenceEngine
from gaussmix.errors import ParameterTypeError, unknown_name
from gaussmix.numerics.core import native_target, why_not_native

ENGINES: dict[str, Callable[[int], Engine[Any]]] = {
    "native": NativeEngine,
    "numpy": lambda n_threads: ReferenceEngine(),
}


MOST_THREADS = 4096  # more never help, and the core counts threads in 32 bits


def choose(n_jobs: int | None = None) -> Engine[Any]:
    """Choose the engine that GAUSSMIX_ENGINE names; by default native, or NumPy with a warning if native cannot run.

    Parameters
    ----------
    n_jobs : number of threads; None or -1 for every processor that this process may use, -2 for all but one, and so on.

    Raises
    ------
    ValueError : n_jobs is 0, or GAUSSMIX_ENGINE names no engine that can run here.
    TypeError : n_jobs is neither an integer nor None.
    """
    return ENGINES[_engine_name()](n_threads(n_jobs))


def n_threads(n_jobs: int | None) -> int:
    """Turn scikit-learn's n_jobs into a number of threads; None respects OMP_NUM_THREADS, as OpenMP does."""
    n_jobs = check_jobs(n_jobs)
    if n_jobs is not None and n_jobs > 0:
        return min(n_jobs, MOST_THREADS)
    usable = min(len(os.sched_getaffinity(0)), _quota()) if hasattr(os, "sched_getaffinity") else _quota()
    if n_jobs is None:
        limit = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
        return min(usable, int(limit)) if limit.isdecimal() and int(limit) > 0 else usable
    if n_jobs == 0:
        raise ValueError("n_jobs=0 has no meaning; use 1 for one thread or None for every processor.")
    return max(1, usable + 1 + n_jobs)


def check_jobs(n_jobs: Any) -> int | None:
    """Check a number of threads in scikit-learn's convention; returns an integer or None."""
    if n_jobs is not None and (isinstance(n_jobs, bool) or not isinstance(n_jobs, (int, Integral))):
        raise ParameterTypeError(
            f"n_jobs must be an integer other than 0, or None for every processor, not {n_jobs!r}."
        )
    return None if n_jobs is None else int(n_jobs)


@cache
def _quota() -> int:
    """Number of processors that the machine or the container gives the process."""
    return int(cpu_count())


@cache
def _engine_name() -> str:
    asked = os.environ.get("GAUSSMIX_ENGINE", "")
    if asked and asked not in ENGINES:
        raise unknown_name("GAUSSMIX_ENGINE", asked, ENGINES)
    if asked not in ("", "native"):
        return asked
    if native_target() is not None:
        return "native"
    if asked == "native":
        raise ValueError(f"GAUSSMIX_ENGINE is 'native'. {why_not_native()}")
    warnings.warn(
        f"gaussmix runs on its NumPy engine, which is many times slower. {why_not_native()}",
        RuntimeWarning,
        stacklevel=4,
    )
    return "numpy"


def engine_for(*, is_incomplete: bool, n_jobs: int | None) -> Engine[Any]:
    """Choose the engine; `is_incomplete` says whether rows may miss cells or have measurement errors."""
    engine = choose(n_jobs)
    return IncompleteEngine(engine) if is_incomplete else engine
