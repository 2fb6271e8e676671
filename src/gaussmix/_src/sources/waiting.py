"""The deadline of a fit with `max_time`, which limits passes and waits for other processes."""

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

POLL_SECONDS = 0.25  # interval between checks whether there are workers
PATIENCE = 30.0  # seconds without a worker until a warning is issued or the wait ends

_deadline = ContextVar("deadline", default=inf)
_is_cut = ContextVar("is_cut", default=False)


class TimeIsOver(Exception):
    """The error that abandons a pass because `max_time` has passed."""


@contextmanager
def _holding(variable: ContextVar[T], value: T) -> Iterator[None]:
    before = variable.set(value)
    try:
        yield
    finally:
        variable.reset(before)


def waiting_for(seconds: float) -> AbstractContextManager[None]:
    """Set the deadline of `wait_for`, `check_time` and `seconds_left` inside the `with` block, in seconds from now."""
    return _holding(_deadline, monotonic() + seconds)


def seconds_left() -> float:
    """Return the seconds until the deadline of `waiting_for`, or infinity if there is no deadline."""
    return max(0.0, _deadline.get() - monotonic())


def cut_in_time(is_cut: bool) -> AbstractContextManager[None]:
    """If `is_cut`, let waits and `check_time` inside the `with` block raise `TimeIsOver` after the deadline."""
    return _holding(_is_cut, is_cut)


def check_time() -> None:
    """Raise `TimeIsOver` if the deadline of `waiting_for` has passed and `cut_in_time` is active."""
    if _is_cut.get() and monotonic() > _deadline.get():
        raise TimeIsOver


def wait_for(work: Future[T], has_workers: Callable[[], object], cluster: str, advice: str) -> T:
    """Wait for work in other processes, and return its result.

    A warning is issued if the cluster has had no worker for 30 s. An interrupt such as Ctrl-C cancels the work.

    Parameters
    ----------
    work : future of work that was submitted.
    has_workers : function that returns a true value if there is a worker; it may raise an error to end the wait.
    cluster : description of the cluster for messages, such as "The Dask cluster at tcp://…".
    advice : advice to the user, in full sentences, which ends each message.

    Raises
    ------
    TimeoutError : there is no worker, and the deadline of `waiting_for` has passed.
    TimeIsOver : the deadline of `waiting_for` has passed, and `cut_in_time` is active.
    """
    since, has_warned = None, False
    try:
        while not wait([work], POLL_SECONDS).done:
            check_time()
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
        del work  # breaks a reference cycle: the error's traceback refers to `work`, which refers to the error
