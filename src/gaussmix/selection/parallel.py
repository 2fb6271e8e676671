"""Work on several items at a time, each on a thread of its own; the core lets go of Python's lock while it works."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from threading import Event
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Stopped(Exception):
    """Somebody else failed, or the user wants no more."""


def mapped(
    work: Callable[[Item, Callable[[], None]], Result],
    items: Sequence[Item],
    n_threads: int,
    announce: Callable[[], None] = lambda: None,
) -> list[Result]:
    """Results in the order of the items, which are begun in that order too.

    Parameters
    ----------
    work : is called with an item, and with what it should call now and then: that raises where nobody waits any more.
    items : what to work on.
    n_threads : at a time; with 1 everything runs here.
    announce : called here whenever an item is done.

    Raises
    ------
    What `work` raises first, or KeyboardInterrupt, as soon as the other threads have heard of it.
    """
    stop = Event()

    def check() -> None:
        if stop.is_set():
            raise Stopped

    def done(result: Result) -> Result:
        announce()
        return result

    if min(n_threads, len(items)) <= 1:
        return [done(work(item, check)) for item in items]
    with ThreadPoolExecutor(n_threads, "gaussmix") as pool:
        futures = [pool.submit(work, item, check) for item in items]
        try:
            for future in as_completed(futures):
                done(future.result())
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [future.result() for future in futures]
