"""Sums and shares of numbers given by their logarithms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.special import softmax as scipy_softmax

from gaussmix.numerics.elementary import log_sum, softmax, softmax_and_log_sum
from gaussmix.testing.closeness import EPS


@pytest.mark.parametrize("axis", [0, 1])
def test_sums_and_shares_are_scipys(axis: int, rng: np.random.Generator) -> None:
    log_terms = 1e3 * rng.standard_normal((6, 5))
    log_terms[2, 1] = -np.inf
    expected = logsumexp(log_terms, axis=axis)
    for found in log_sum(log_terms, axis), softmax_and_log_sum(log_terms, axis)[1]:
        np.testing.assert_allclose(found, expected, rtol=4 * EPS)
    np.testing.assert_allclose(softmax(log_terms, axis), scipy_softmax(log_terms, axis), rtol=1e3 * 16 * EPS)


def test_a_sum_of_nothing_is_zero() -> None:
    log_terms = np.array([[-np.inf, -np.inf], [0.0, -np.inf]])
    np.testing.assert_array_equal(log_sum(log_terms), [-np.inf, 0.0])
    np.testing.assert_array_equal(softmax_and_log_sum(log_terms)[1], [-np.inf, 0.0])
