"""Threads of one call: an interrupt ends all of them, and other Python threads continue during the call."""

import threading
import time

import pytest

from gaussmix._src.numerics.threads import allowed, cached_property, granted, limit_threads


@pytest.mark.heavy(but=1)
def test_the_interpreter_is_free_meanwhile(target, make_problem):
    """Check that another thread, which sleeps for 1 ms at a time, runs often within a step of 0.1 s."""
    naps = 0
    is_done = threading.Event()

    def nap():
        nonlocal naps
        while not is_done.is_set():
            time.sleep(0.001)
            naps += 1

    napper = threading.Thread(target=nap)
    napper.start()
    for n_rows in (2_000, 30_000):  # the first is long enough with portable kernels
        problem = make_problem(n_rows, 64, 32)
        before = naps
        problem.step(target, 1)
        meanwhile = naps - before
        if meanwhile > 5:
            break
    is_done.set()
    napper.join()
    assert meanwhile > 5


@pytest.mark.heavy(but=1)
def test_calls_at_the_same_time(target, make_problem, same_bits):
    problem = make_problem(20_000, 16, 8)
    expected = problem.step(target, 1)
    results = [None] * 4

    def call(i):
        results[i] = problem.step(target, 1 + i)

    callers = [threading.Thread(target=call, args=(i,)) for i in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    for result in results:
        same_bits(result, expected)


def test_a_limit_on_threads_ends_with_its_block():
    with limit_threads(2):
        with limit_threads(3):
            assert allowed(8) == 2
        assert allowed(8) == granted() == 2
    assert allowed(8) == 8
    assert granted() == 1


def test_no_thread_waits_for_a_property_of_another_object():
    """Check forks, because Python 3.11 has one lock per class, for which a process forked meanwhile waits forever."""
    has_begun, may_end = threading.Event(), threading.Event()

    class Named:
        def __init__(self, name):
            self.name = name

        @cached_property
        def value(self):
            if self.name == "slow":
                has_begun.set()
                may_end.wait(60)
            return self.name

    slow, quick = Named("slow"), Named("quick")
    threads = [threading.Thread(target=getattr, args=(each, "value")) for each in (slow, quick)]
    threads[0].start()
    assert has_begun.wait(60)
    threads[1].start()
    threads[1].join(5)
    was_found = "value" in vars(quick)
    may_end.set()
    for thread in threads:
        thread.join()
    assert was_found
    assert slow.value == "slow"
