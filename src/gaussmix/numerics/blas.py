"""BLAS on one thread, for many small matrices in turn.

Small matrices gain nothing from more threads. On shared processors, the threads of OpenBLAS spin while they wait for
each other and take ten times as long as one thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController


@cache  # finding the libraries takes about 30 ms
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS of the whole process to one thread; also a decorator."""
    with _controller().limit(limits=1, user_api="blas"):
        yield
