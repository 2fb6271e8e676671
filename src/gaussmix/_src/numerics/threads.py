"""Limits on the number of threads of the C++ core and of BLAS, and cached properties without a lock."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import local
from typing import TYPE_CHECKING, Any

_limit = local()

if TYPE_CHECKING or sys.version_info >= (3, 12):
    from functools import cached_property as cached_property
else:

    class cached_property(functools.cached_property):
        """A cached property without the lock of Python 3.11, which may make a forked process hang."""

        def __get__(self, instance: Any, owner: type | None = None) -> Any:
            if instance is None:
                return self
            cached = vars(instance)
            if self.attrname not in cached:
                cached[self.attrname] = self.func(instance)
            return cached[self.attrname]


@contextmanager
def limit_threads(n_threads: int) -> Iterator[None]:
    """Limit the number of threads of every call of the C++ core by this Python thread in the `with` block."""
    before = vars(_limit).copy()
    _limit.n_threads = allowed_threads(n_threads)
    try:
        yield
    finally:
        vars(_limit).clear()
        vars(_limit).update(before)


def allowed_threads(n_threads: int) -> int:
    """Return how many threads a call may use if the call requests `n_threads`."""
    return min(n_threads, getattr(_limit, "n_threads", n_threads))


def default_threads() -> int:
    """Return how many threads a call may use by default: the limit set by `limit_threads`, or one without a limit."""
    return getattr(_limit, "n_threads", 1)


@functools.cache  # cached because finding the BLAS libraries takes about 30 ms
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread in the whole process, for work on many small matrices; may be used as a decorator.

    More than one thread would not speed up operations on small matrices. On shared processors, the threads of OpenBLAS
    spin while they wait for each other and take ten times as long as one thread.
    """
    with _controller().limit(limits=1, user_api="blas"):
        yield
