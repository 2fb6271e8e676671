"""Selection of the tests that a default run leaves to `--heavy`, and fixtures for the engine and for randomness."""

import os
import random
import signal
import sys
import zlib
from collections import defaultdict
from itertools import combinations

import many_blocks
import numpy as np
import pytest
from every_engine import ENGINES

from gaussmix import FAMILIES

MANY = 6  # maximum number of cases, or of structures, of a test; a default run draws from tests with more
N_STRUCTURES = 5  # number of structures that a default run draws if a test has more than `MANY`


def pytest_addoption(parser):
    parser.addoption("--heavy", action="store_true", help="run what a plain run leaves out, and nothing else")
    parser.addoption("--all", action="store_true", help="run every test")
    parser.addoption("--many-blocks", action="store_true", help="cut all arrays in memory into many small blocks")
    parser.addoption("--kills", type=int, default=4, help="how many workers of a Dask or Ray cluster are killed")


def pytest_configure(config):
    os.environ.setdefault("MPLBACKEND", "Agg")  # a backend that needs no screen
    if config.getoption("numprocesses", None):  # otherwise the BLAS threads of several workers wait for each other
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # A shell ignores SIGINT for commands behind "&" in a script, but some tests interrupt themselves.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "heavy(n_default=0): a slow test; a default run includes only `n_default` cases")
    config.addinivalue_line("markers", "pairwise: a default run includes only some combinations of the parameters")
    config.addinivalue_line("markers", "one_block: a test for rows that are all in one block")
    if config.getoption("many_blocks"):
        many_blocks.cut_all_arrays()


def pytest_collection_modifyitems(config, items):
    if not config.getoption("all"):
        keep_a_part(config, items)
    for item in items:
        if config.getoption("many_blocks") and item.get_closest_marker("one_block"):
            item.add_marker(pytest.mark.skip(reason="is about rows in one block"))


def keep_a_part(config, items):
    """Keep only the tests of a default run or, with `--heavy`, only the other tests."""
    heavy = marked_heavy(items)
    heavy |= not_drawn([item for item in items if id(item) not in heavy])
    parts = [item for item in items if id(item) not in heavy], [item for item in items if id(item) in heavy]
    items[:], dropped = reversed(parts) if config.getoption("heavy") else parts
    config.hook.pytest_deselected(items=dropped)


def marked_heavy(items):
    """Return the identities of the tests that are marked `heavy`, except the cases that a default run includes."""
    cases = defaultdict(list)
    for item in items:
        if item.get_closest_marker("heavy"):
            cases[item.nodeid.partition("[")[0]].append(item)
    heavy = set()
    for marked in cases.values():
        n_default = marked[0].get_closest_marker("heavy").kwargs.get("n_default", 0) if len(marked) > 1 else 0
        default = {index * len(marked) // n_default for index in range(n_default)}
        heavy |= {id(item) for index, item in enumerate(marked) if index not in default}
    return heavy


def not_drawn(items):
    """Return the identities of the cases that a greedy draw leaves out from tests with many cases.

    The draw applies to tests that are marked `pairwise` or have more than `MANY` cases. For `pairwise` tests the draw
    keeps every pair of values of two parameters, and otherwise every value of a parameter. A test of more than `MANY`
    structures keeps `N_STRUCTURES` of them, drawn by the test's name, so that all tests together use every structure.
    Every run and every worker draws the same.
    """
    left_out, tests_of = set(), defaultdict(list)
    for item in items:
        if hasattr(item, "callspec"):
            tests_of[item.function].append(item)
    for function, tests in list(tests_of.items()):
        structures = {structure_of(test) for test in tests} - {None}
        if len(structures) > MANY:
            chance = random.Random(f"{function.__module__}.{function.__qualname__}")
            drawn = {None, *chance.sample(sorted(structures), N_STRUCTURES)}
            left_out |= {id(test) for test in tests if structure_of(test) not in drawn}
            tests_of[function] = tests = [test for test in tests if id(test) not in left_out]
        if len(tests) <= MANY and not tests[0].get_closest_marker("pairwise"):
            del tests_of[function]
    for tests in tests_of.values():
        n = 2 if tests[0].get_closest_marker("pairwise") else 1
        left = {id(test): {*combinations([(k, id(v)) for k, v in test.callspec.params.items()], n)} for test in tests}
        missing = set().union(*left.values())
        for gain in range(max(map(len, left.values())), 0, -1):
            for test, pairs in left.items():
                if len(pairs & missing) >= gain:
                    missing -= pairs
                    left[test] = set()
        left_out |= {test for test, pairs in left.items() if pairs}
    return left_out


def structure_of(item):
    """Return the first parameter of a test, or name of a parameter, that is a covariance structure; otherwise None."""
    names = (getattr(value, "name", value) for value in item.callspec.params.values())
    return next((name for name in names if isinstance(name, str) and name in FAMILIES), None)


def pytest_runtest_teardown():
    """Close the figures of a test, because pyplot keeps figures and warns if there are more than 20."""
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture
def engine():
    """Return the engine with two threads, which other tests compare with the reference engine."""
    return ENGINES["complete"](2)


@pytest.fixture
def rng(request):
    """Return a random generator that is seeded by the test's name, so that tests do not depend on each other."""
    return np.random.default_rng(zlib.crc32(request.node.nodeid.encode()))
