"""A plain run asks the core alone: laws compare the engines."""

import pytest

from gaussmix.engines import ENGINES
from gaussmix.numerics.core import native_target

HAS_CORE = native_target() is not None


@pytest.fixture(params=["native", pytest.param("numpy", marks=pytest.mark.heavy)] if HAS_CORE else ["numpy"])
def engine(request):
    return ENGINES[request.param](2)
