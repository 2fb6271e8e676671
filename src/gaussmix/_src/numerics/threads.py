"""Limits on the number of threads of the core and BLAS, and cached properties that threads do not wait for."""

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
        """A cached property without Python 3.11's lock for all instances, on which a forked process may hang."""

        def __get__(self, instance: Any, owner: type | None = None) -> Any:
            if instance is None:
                return self
            cached = vars(instance)
            if self.attrname not in cached:
                cached[self.attrname] = self.func(instance)
            return cached[self.attrname]


@contextmanager
def limit_threads(n_threads: int) -> Iterator[None]:
    """Limit the number of threads of every call that this thread makes."""
    before = vars(_limit).copy()
    _limit.n_threads = allowed(n_threads)
    try:
        yield
    finally:
        vars(_limit).clear()
        vars(_limit).update(before)


def allowed(n_threads: int) -> int:
    """Return the number of threads a call may use if it requests n_threads."""
    return min(n_threads, getattr(_limit, "n_threads", n_threads))


def granted() -> int:
    """Return the number of threads of a call that requests no number: the limit of `limit_threads`, otherwise one."""
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
