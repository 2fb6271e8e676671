"""A plain run asks the core alone: laws compare it with the oracle."""

import pytest
from every_engine import ENGINES


@pytest.fixture(params=["native", pytest.param("numpy", marks=pytest.mark.heavy)])
def engine(request):
    return ENGINES[request.param](2)
