"""BLAS on one thread, where many small matrices follow each other.

They gain nothing from more threads. Where processors are shared, the threads of OpenBLAS spin while they wait for each
other, and together take ten times as long as one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController


@cache  # looking for the libraries takes some 30 ms
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread, in the whole process; also a decorator."""
    with _controller().limit(limits=1, user_api="blas"):
        yield
