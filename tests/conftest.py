"""Fixtures that every test may ask for: an engine of each kind, and randomness that is passed in."""

import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from gaussmix.engines import ENGINES
from gaussmix.numerics.core import native_target

sys.path.insert(0, str(Path(__file__).parent))  # for the modules beside this one

import many_blocks


def pytest_addoption(parser):
    parser.addoption("--many-blocks", action="store_true", help="cut all arrays in memory into many small blocks")
    parser.addoption("--kills", type=int, default=4, help="how many workers of a Dask cluster are killed")


def pytest_configure(config):
    config.addinivalue_line("markers", "one_block: a test of what is done where all rows are one block")
    if config.getoption("many_blocks"):
        many_blocks.cut_all_arrays()


def pytest_collection_modifyitems(config, items):
    if config.getoption("many_blocks"):
        for item in items:
            if item.get_closest_marker("one_block"):
                item.add_marker(pytest.mark.skip(reason="is about rows in one block"))


@pytest.fixture(params=sorted(ENGINES))
def engine(request):
    """Each engine in turn, on two threads where it has threads."""
    if request.param == "native" and native_target() is None:
        pytest.skip("the C++ core is not built, or this processor cannot run it")
    return ENGINES[request.param](2)


@pytest.fixture
def rng(request):
    """A generator seeded by the test's own name, so that no test's numbers depend on another test."""
    return np.random.default_rng(zlib.crc32(request.node.nodeid.encode()))
