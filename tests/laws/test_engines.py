"""Laws of engines, over the registry."""

import pytest

from gaussmix.engines import ENGINES
from gaussmix.numerics.core import native_target
from gaussmix.testing import check_reproducible
from gaussmix.testing.check_engine import CHECKS


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_an_engine_agrees_with_the_reference(check, engine, rng):
    check(engine, rng)


@pytest.mark.skipif(native_target() is None, reason="the C++ core is not built, or this processor cannot run it")
def test_threads_and_layouts_change_no_bit_of_the_core(rng):
    """NumPy's engine leaves sums to BLAS, which promises rounding only."""
    check_reproducible(ENGINES["native"], rng)
