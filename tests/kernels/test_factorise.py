"""Tests of whitening factors of covariances, and of matrices without such factors."""

import numpy as np
import pytest
from common import EPS

from gaussmix._src.numerics.factorise import lower_roots


@pytest.mark.parametrize("n_features", [1, 2, 3, 7, 8, 9, 16, 33, 100])
def test_factorise_returns_whitening_factors(target, rng, n_features):
    roots = rng.normal(size=(4, n_features, 2 * n_features))
    covariances = roots @ roots.transpose(0, 2, 1)
    factors, log_abs_det, failed = target.factorise(covariances)
    assert not failed.any()
    assert (np.triu(factors, 1) == 0).all()
    for covariance, factor, log_det in zip(covariances, factors, log_abs_det, strict=True):
        lower = np.linalg.cholesky(covariance)
        rounding = 8 * n_features * np.finfo(float).eps
        error = np.abs(factor @ lower - np.eye(n_features))
        assert error.max() < rounding * np.linalg.cond(lower)
        assert abs(log_det + np.linalg.slogdet(covariance)[1] / 2) < rounding * (1 + abs(log_det))


@pytest.mark.parametrize(
    "matrix",
    [
        [[1.0, 1], [1, 1]],
        [[1.0, 2], [2, 1]],
        [[0.0, 0], [0, 1]],
        [[1.0, 0], [0, -1]],
        [[np.nan, 0], [0, 1]],
        [[1.0, 0], [0, np.inf]],
        [[1.0, 1], [1, 1 + EPS]],
    ],
    ids=["singular", "indefinite", "zero", "negative", "nan", "inf", "singular to rounding"],
)
def test_factorise_fails_only_for_matrices_that_are_not_positive_definite(target, matrix):
    covariances = np.stack([4 * np.eye(2), np.array(matrix), np.eye(2)])
    factors, log_abs_det, failed = target.factorise(covariances)
    np.testing.assert_array_equal(failed, [False, True, False])
    assert np.isnan(factors[1]).all()
    assert np.isnan(log_abs_det[1])
    np.testing.assert_array_equal(factors[[0, 2]], [np.eye(2) / 2, np.eye(2)])
    np.testing.assert_allclose(log_abs_det[[0, 2]], [-2 * np.log(2), 0], rtol=1e-15)


def test_factorise_accepts_a_pivot_slightly_above_rounding(target):
    _, _, failed = target.factorise(np.array([[[1.0, 1], [1, 1 + 20 * EPS]]]))
    assert not failed.any()


@pytest.mark.parametrize(("count", "n_features"), [(1, 1), (3, 5), (33, 4), (2, 40), (70, 9)])
def test_gram_equals_its_definition(targets, count, n_features, rng):
    """Check products of more factors than one call multiplies together, with the same bits on every target."""
    factors = np.tril(rng.normal(size=(count, n_features, n_features)))
    products = [target.gram(factors) for target in targets]
    expected = factors.swapaxes(1, 2) @ factors
    np.testing.assert_allclose(products[0], expected, rtol=0, atol=1e-14 * n_features * np.abs(expected).max())
    assert all(product.tobytes() == products[0].tobytes() for product in products)


def test_gram_rejects_factors_that_are_not_square(target):
    with pytest.raises(ValueError, match="factors must have shape"):
        target.gram(np.zeros((2, 3, 4)))


def test_lower_roots_agree_with_lapack(rng):
    roots = rng.normal(size=(4, 7, 9))
    covariances = roots @ roots.swapaxes(1, 2)
    np.testing.assert_allclose(lower_roots(covariances), np.linalg.cholesky(covariances), rtol=0, atol=1e-13)
