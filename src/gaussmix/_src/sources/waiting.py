"""Wait for work in other processes, with a warning if there is no worker, and at most for `max_time`."""

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

POLL_SECONDS = 0.25  # interval at which the workers are checked
PATIENCE = 30.0  # time without a worker after which a warning is issued or the wait ends

_deadline = ContextVar("deadline", default=inf)
_is_cut = ContextVar("is_cut", default=False)


class TimeIsOver(Exception):
    """A pass was abandoned because `max_time` had passed."""


@contextmanager
def _holding(variable: ContextVar[T], value: T) -> Iterator[None]:
    before = variable.set(value)
    try:
        yield
    finally:
        variable.reset(before)


def waiting_for(seconds: float) -> AbstractContextManager[None]:
    """Limit the time that the code inside the `with` block waits for workers, in seconds from now."""
    return _holding(_deadline, monotonic() + seconds)


def cut_in_time(is_cut: bool) -> AbstractContextManager[None]:
    """Raise `TimeIsOver`, if `is_cut`, during waits inside the `with` block after the time of `waiting_for`."""
    return _holding(_is_cut, is_cut)


def awaited(work: Future[T], has_workers: Callable[[], object], cluster: str, advice: str) -> T:
    """Wait for work in other processes, and return its result.

    A warning is issued if the cluster has no workers. An interrupt cancels the work.

    Parameters
    ----------
    work : future of work that was submitted.
    has_workers : function that returns a true value if there is a worker; it may raise an error to end the wait.
    cluster : beginning of a message, such as "The Dask cluster at tcp://…".
    advice : sentences with advice for the user.

    Raises
    ------
    TimeoutError : there is no worker, and the time of `waiting_for` has passed.
    TimeIsOver : the time of `waiting_for` has passed, and `cut_in_time` is active.
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
                raise TimeoutError(f"{idle}, and max_time has passed. {advice}")
            if not has_warned:
                has_warned = True
                warn(f"{idle}, and the work waits for a worker. {advice}")
        return work.result()
    except BaseException:
        work.cancel()
        raise
    finally:
        del work  # breaks a cycle: the error's traceback refers to `work`, and `work` to the error and the source
