"""Tests of the logarithm of the core, which is accurate to the last bit but one for every double."""

from operator import methodcaller

import mpmath
import numpy as np
import pytest
from common import EPS


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 1000])
def test_log_of_normal_numbers_is_accurate(target, rng, count):
    numbers = np.exp(rng.uniform(-700, 700, count))
    allowed = EPS * np.maximum(1e-3, np.abs(np.log(numbers)))  # 1 ulp is at most ε of the result
    assert (np.abs(target.log(numbers) - np.log(numbers.astype(np.longdouble))) <= allowed).all()


def test_log_near_one_and_of_subnormal_numbers_is_accurate(target):
    numbers = np.r_[1 + EPS * np.r_[-8.0:9, -1e6, 1e6], 5e-324, 1e-320, 1e-310, np.finfo(float).tiny]
    exact = np.array([float(mpmath.log(x)) for x in numbers])
    np.testing.assert_allclose(target.log(numbers), exact, rtol=2 * EPS, atol=0)


def test_log_of_zero_negative_and_non_finite_numbers_is_minus_infinity_or_nan(target):
    numbers = np.array([0.0, -0.0, np.inf, -1.0, -1e-310, -np.inf, np.nan])
    np.testing.assert_array_equal(target.log(numbers), [-np.inf, -np.inf, np.inf, *[np.nan] * 4])


def test_log_has_the_same_bits_on_every_instruction_set(check_targets, rng):
    check_targets(methodcaller("log", np.r_[np.exp(rng.uniform(-740, 700, 1003)), 0.0]))
