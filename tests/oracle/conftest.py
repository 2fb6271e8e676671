"""What tests of one oracle share lies in this folder. A plain run asks the core alone: laws compare the engines."""

import sys
from pathlib import Path

import pytest

from gaussmix.engines import ENGINES
from gaussmix.numerics.core import native_target

sys.path.insert(0, str(Path(__file__).parent))

HAS_CORE = native_target() is not None


@pytest.fixture(params=["native", pytest.param("numpy", marks=pytest.mark.heavy)] if HAS_CORE else ["numpy"])
def engine(request):
    return ENGINES[request.param](2)
