"""Laws of moments, over engines and needs."""

import pytest

from gaussmix.testing import check_moments
from gaussmix.testing.engine_cases import NEEDS


@pytest.mark.parametrize("need", NEEDS, ids=str)
def test_moments_merge_move_and_weigh(engine, need, rng):
    check_moments(engine, need, rng)
