"""Threads of one call: an interrupt ends all of them, and other Python threads go on meanwhile."""

import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import gaussmix
from gaussmix import _core as core
from gaussmix.numerics.threads import allowed, at_most, cached_property, granted

# With the extension alone: the package takes seconds to import.
INTERRUPTED = """
import importlib.util, signal, sys, time
import numpy as np

spec = importlib.util.spec_from_file_location("_core", sys.argv[4])
core = importlib.util.module_from_spec(spec)
spec.loader.exec_module(core)
target = next(t for t in core.targets() if t.isa == sys.argv[1])
rng = np.random.default_rng(0)
n_features, n_components = 64, 64
rows = np.broadcast_to(rng.normal(size=(1, n_features)), (10_000_000, n_features))  # minutes of work, no memory
means, factors = np.zeros((n_components, n_features)), np.repeat(np.eye(n_features)[None], n_components, 0)
signal.signal(signal.SIGALRM, signal.default_int_handler)
signal.setitimer(signal.ITIMER_REAL, 0.3)
start = time.monotonic()
try:
    if sys.argv[2] == "draw":
        drawn = np.empty((100_000, 1024)), np.empty(100_000, np.int64)  # seconds of work
        mixture = np.array([np.inf]), np.zeros((1, 1024)), 2, np.eye(1024)[None]
        target.draw(*mixture, 0, *drawn, int(sys.argv[3]))
    elif sys.argv[2] == "step":
        target.step(rows, None, None, None, np.zeros(n_components), means, 2, factors, means, 0, 3, int(sys.argv[3]))
    else:
        target.evaluate(rows, None, np.zeros(n_components), means, 2, factors, 0, int(sys.argv[3]))
except KeyboardInterrupt:
    print(time.monotonic() - start - 0.3)
"""


@pytest.mark.heavy
@pytest.mark.pairwise
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX timers to send the signal")
@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("call", ["step", "evaluate", "draw"])
def test_an_interrupt_ends_a_long_call(target, call, n_threads):
    command = [sys.executable, "-c", INTERRUPTED, target.isa, call, str(n_threads), core.__file__]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert float(done.stdout) < 1, "seconds from the signal to KeyboardInterrupt"


def test_the_interpreter_is_free_meanwhile(target, make_problem):
    """Another thread naps for 1 ms at a time: often within a step of some 0.1 s, once if it has to wait for the end."""
    problem = make_problem(30_000, 64, 32)
    naps = 0
    is_done = threading.Event()

    def nap():
        nonlocal naps
        while not is_done.is_set():
            time.sleep(0.001)
            naps += 1

    napper = threading.Thread(target=nap)
    napper.start()
    before = naps
    problem.step(target, 1)
    meanwhile = naps - before
    is_done.set()
    napper.join()
    assert meanwhile > 5


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


THROWING = """
#include <atomic>
#include <cstdio>
#include <new>
#include <string>
#include <thread>
#include "spans.hpp"

using namespace gaussmix;

int main(int, char** arguments) {
    const int thrower = arguments[1][0] - '0';
    const bool in_merge = arguments[2] == std::string("merge");
    const auto fail = [&](int worker) { if (worker == thrower) throw std::bad_alloc(); };
    Interrupt interrupt([] { return false; });
    SpanJob job{1'000'000, 144, 100, {}, {}};
    std::atomic<int> n_begun = 0;  // spans
    job.process = [&](int worker, Index, Index, Listener) {
        ++n_begun;
        while (n_begun < 3) std::this_thread::yield();  // so that each of the three has one
        if (!in_merge) fail(worker);
    };
    job.merge = [&](int worker, Listener) { if (in_merge) fail(worker); };
    try {
        process_spans(job, {3, interrupt});
    } catch (const std::bad_alloc&) {
        std::puts("caught");
    }
}
"""


@pytest.mark.heavy
def test_what_a_thread_throws_reaches_the_caller(tmp_path):
    """Memory may end in any of them; the others may not wait for it, and the process may not end."""
    root, compiler = Path(__file__).parents[2], shutil.which("g++") or shutil.which("clang++")
    if compiler is None or not (root / "cpp").exists():
        pytest.skip("needs a C++ compiler and the repository")
    program = tmp_path / "throwing"
    (tmp_path / "throwing.cpp").write_text(THROWING)
    sources = tmp_path / "throwing.cpp", root / "cpp" / "spans.cpp"
    subprocess.run([compiler, "-std=c++20", "-pthread", f"-I{root / 'cpp'}", *sources, "-o", program], check=True)
    for thrower in "012":
        for where in "process", "merge":
            done = subprocess.run([program, thrower, where], capture_output=True, text=True, timeout=60, check=True)
            assert done.stdout == "caught\n", (thrower, where)


def test_a_limit_on_threads_ends_with_its_block():
    with at_most(2):
        with at_most(3):
            assert allowed(8) == 2
        assert allowed(8) == granted() == 2
    assert allowed(8) == 8
    assert granted() == 1


def test_no_thread_waits_for_a_property_of_another_object():
    """Python 3.11 has a lock for all objects of a class. A process that is forked meanwhile waits for ever."""
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


def test_properties_of_the_package_have_no_lock():
    package = Path(gaussmix.__file__).parent
    named = re.compile(
        r"^ *(from functools import .*\bcached_property\b|.*\bfunctools\.cached_property\b)", re.MULTILINE
    )
    users = {path.relative_to(package).as_posix() for path in package.rglob("*.py") if named.search(path.read_text())}
    assert users == {"numerics/threads.py"}
