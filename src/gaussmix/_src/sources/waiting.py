"""Work in other processes is waited for: not in silence, and not beyond `max_time`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from math import inf
from time import monotonic
from typing import TypeVar

from gaussmix._src.errors import warn

T = TypeVar("T")

POLL_SECONDS = 0.25  # seconds between two looks at the workers
PATIENCE = 30.0  # seconds without a worker after which a warning says so, or the wait ends

_deadline = ContextVar("deadline", default=inf)
_is_cut = ContextVar("is_cut", default=False)


class TimeIsOver(Exception):
    """`max_time` was over during a pass, which was given up."""


@contextmanager
def _holding(variable: ContextVar[T], value: T) -> Iterator[None]:
    before = variable.set(value)
    try:
        yield
    finally:
        variable.reset(before)


def waiting_for(seconds: float) -> AbstractContextManager[None]:
    """Wait for workers no longer than for so many seconds from now."""
    return _holding(_deadline, monotonic() + seconds)


def cut_in_time(is_cut: bool) -> AbstractContextManager[None]:
    """Give up work in other processes with `TimeIsOver` when the time of `waiting_for` is over, if asked to."""
    return _holding(_is_cut, is_cut)


def awaited(work: Future[T], has_workers: Callable[[], object], cluster: str, advice: str) -> T:
    """The result of work in other processes.

    A warning says if a cluster has no workers, and what to look at. An interrupt cancels the work.

    Parameters
    ----------
    work : begun elsewhere.
    has_workers : returns something true if anybody is there to do it; it may raise an error that ends the wait.
    cluster : the beginning of a sentence, such as "The Dask cluster at tcp://…".
    advice : sentences: what to look at.

    Raises
    ------
    TimeoutError : there is no worker, and the time of `waiting_for` is over.
    TimeIsOver : as `cut_in_time`.
    """
    since, has_warned = None, False
    try:
        while not wait([work], POLL_SECONDS).done:
            if _is_cut.get() and monotonic() > _deadline.get():
                raise TimeIsOver
            if has_workers():
                since = None
                continue
            since = monotonic() if since is None else since
            seconds = monotonic() - since
            if seconds < PATIENCE:
                continue
            idle = f"{cluster} has had no worker for {seconds:.0f} s"
            if monotonic() > _deadline.get():
                raise TimeoutError(f"{idle}, and max_time is over. {advice}")
            if not has_warned:
                has_warned = True
                warn(f"{idle}, and the work waits for one. {advice}")
        return work.result()
    except BaseException:
        work.cancel()
        raise
    finally:
        del work  # the error's traceback would keep `work`, `work` the error, and both the source
