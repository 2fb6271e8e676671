"""Threads among others: how many a call of the core or BLAS may have, and properties that none of them waits for."""

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
        """Without the lock that Python 3.11 has for all instances: a forked process would wait for it for ever."""

        def __get__(self, instance: Any, owner: type | None = None) -> Any:
            if instance is None:
                return self
            cached = vars(instance)
            if self.attrname not in cached:
                cached[self.attrname] = self.func(instance)
            return cached[self.attrname]


@contextmanager
def limit_threads(n_threads: int) -> Iterator[None]:
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
    """How many threads a call without a number of its own may have: those of `limit_threads`, else one."""
    return getattr(_limit, "n_threads", 1)


@functools.cache  # finding the libraries takes about 30 ms
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS of the whole process to one thread, for many small matrices in turn; also a decorator.

    Small matrices gain nothing from more threads. On shared processors, the threads of OpenBLAS spin while they wait
    for each other and take ten times as long as one thread.
    """
    with _controller().limit(limits=1, user_api="blas"):
        yield
