"""How many threads a call of the core may have where others run beside it, such as other tasks of a worker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import local

_limit = local()


@contextmanager
def at_most(n_threads: int) -> Iterator[None]:
    """Give calls that this thread makes at most so many threads."""
    before = vars(_limit).copy()
    _limit.n_threads = allowed(n_threads)
    try:
        yield
    finally:
        vars(_limit).clear()
        vars(_limit).update(before)


def allowed(n_threads: int) -> int:
    """How many of so many threads a call may have."""
    return min(n_threads, getattr(_limit, "n_threads", n_threads))


def granted() -> int:
    """How many threads a call without a number of its own may have: those of `at_most`, else one."""
    return getattr(_limit, "n_threads", 1)
