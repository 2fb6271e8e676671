"""Fixtures that every test may ask for: an engine of each kind, and randomness that is passed in."""

import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from gaussmix.engines import ENGINES
from gaussmix.numerics.core import native_target

sys.path.insert(0, str(Path(__file__).parent))  # for the modules beside this one


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
