"""Work on several items at a time, each on a thread of its own; the core releases Python's lock while it works."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from threading import Event
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def mapped(
    work: Callable[[Item, Callable[[], bool]], Result], items: Sequence[Item], n_threads: int
) -> Generator[tuple[int, Result], None, None]:
    """Yield the place of each item and its result, whenever one is done. Items are begun in their order.

    Where `work` fails, on an interrupt, and where the iterator is closed, the threads come to an end.

    Parameters
    ----------
    work : called with an item and a function, which says whether the result is no longer wanted: the work may then end
        with any result.
    items : what to work on.
    n_threads : at a time; with 1 everything runs on the thread that iterates.

    Raises
    ------
    What `work` raises first, or KeyboardInterrupt, once the other threads have ended.
    """
    is_unwanted = Event()
    if min(n_threads, len(items)) <= 1:
        yield from ((place, work(item, is_unwanted.is_set)) for place, item in enumerate(items))
        return
    with ThreadPoolExecutor(n_threads, "gaussmix") as pool:
        futures = {pool.submit(work, item, is_unwanted.is_set): place for place, item in enumerate(items)}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            is_unwanted.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
