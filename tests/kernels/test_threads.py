"""Tests of threads: other Python threads continue during a call, calls may be concurrent, and limits are respected."""

import threading
import time

import pytest

from gaussmix._src.numerics.threads import allowed_threads, cached_property, default_threads, limit_threads


@pytest.mark.heavy(n_default=1)
def test_other_python_threads_run_during_a_step(target, make_problem):
    """Check that another thread, which sleeps for 1 ms at a time, runs often within a step of 0.1 s."""
    n_sleeps = 0
    is_done = threading.Event()

    def sleep_repeatedly():
        nonlocal n_sleeps
        while not is_done.is_set():
            time.sleep(0.001)
            n_sleeps += 1

    sleeper = threading.Thread(target=sleep_repeatedly)
    sleeper.start()
    for n_rows in (2_000, 30_000):  # the first is long enough with portable kernels
        problem = make_problem(n_rows, 64, 32)
        before = n_sleeps
        problem.step(target, 1)
        n_sleeps_during_step = n_sleeps - before
        if n_sleeps_during_step > 5:
            break
    is_done.set()
    sleeper.join()
    assert n_sleeps_during_step > 5


@pytest.mark.heavy(n_default=1)
def test_concurrent_steps_have_the_same_bits(target, make_problem, same_bits):
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


def test_limit_threads_ends_with_its_with_block():
    with limit_threads(2):
        with limit_threads(3):
            assert allowed_threads(8) == 2
        assert allowed_threads(8) == default_threads() == 2
    assert allowed_threads(8) == 8
    assert default_threads() == 1


def test_a_cached_property_does_not_block_other_objects():
    """In Python 3.11 a cached property has one lock per class, for which a forked process could wait forever."""
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
