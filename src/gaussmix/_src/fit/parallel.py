"""Make several fits at a time, in threads."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextvars import copy_context
from threading import Event
from typing import TypeVar

Item = TypeVar("Item")
Returned = TypeVar("Returned")


def map_parallel(
    function: Callable[[Item, Callable[[], bool]], Returned], items: Sequence[Item], n_threads: int
) -> Generator[Returned, None, None]:
    """Call a function with each item, in the order of the items, and yield each result as soon as it is computed.

    All threads end if `function` raises an error, if the user interrupts the program, or if the iterator is closed.

    Parameters
    ----------
    function : function that is called with an item and with a function `should_stop`. After `should_stop` has returned
        True, results are ignored.
    items : first arguments of the calls of `function`.
    n_threads : maximum number of concurrent calls; if it is 1, the calling thread makes all calls.

    Raises
    ------
    The first exception of `function`, or KeyboardInterrupt, is raised after all other threads have ended.
    """
    should_stop = Event()
    if min(n_threads, len(items)) <= 1:
        yield from (function(item, should_stop.is_set) for item in items)
        return
    with ThreadPoolExecutor(n_threads, "gaussmix") as pool:
        try:
            futures = [pool.submit(copy_context().run, function, item, should_stop.is_set) for item in items]
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            should_stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
