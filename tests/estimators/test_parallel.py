"""Candidates side by side: in order, announced, and ended together."""

import threading
import time

import pytest

from gaussmix.selection.parallel import mapped


@pytest.mark.parametrize("n_threads", [1, 3])
def test_results_come_in_the_order_of_the_items(n_threads):
    def work(item, check):
        time.sleep(0.01 * (item == 0))  # the first ends last
        check()
        return item**2, threading.get_ident()

    done = []
    results = mapped(work, range(9), n_threads, lambda: done.append(threading.get_ident()))
    assert [square for square, _ in results] == [item**2 for item in range(9)]
    assert done == [threading.get_ident()] * 9
    assert (len({thread for _, thread in results} - {threading.get_ident()}) == 0) == (n_threads == 1)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_ends_the_others(error):
    """They would go on for ever."""
    begun = threading.Event()

    def work(item, check):
        if item == 0:
            begun.wait()
            raise error("enough")
        begun.set()
        while True:
            check()
            time.sleep(0.001)

    with pytest.raises(error, match="enough"):
        mapped(work, range(40), 2)


def test_an_interrupt_while_waiting_ends_the_work():
    def work(item, check):
        while item == 1:
            check()
            time.sleep(0.001)

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mapped(work, [0, 1], 2, interrupt)
