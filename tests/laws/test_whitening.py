"""Tests of whitening for all shapes of factors."""

import numpy as np
import pytest
from common import FactorShape
from random_parameters import FORMS, random_covariances

from gaussmix import SingularCovarianceError
from gaussmix._src.interfaces.whitening.triangular import TriangularWhitening
from gaussmix.testing import check_whitening


def dense(covariances, factor_shape, n_features):
    if factor_shape is FactorShape.SPHERICAL:
        return covariances[:, None, None] * np.eye(n_features)
    if factor_shape is FactorShape.LOW_RANK:
        loadings, noise = covariances[..., :-1], covariances[..., -1]
        return loadings @ loadings.transpose(0, 2, 1) + noise[:, :, None] * np.eye(n_features)
    return covariances[:, :, None] * np.eye(n_features) if factor_shape is FactorShape.DIAGONAL else covariances


def scaled_by(covariances, factor_shape, unit):
    """Multiply covariances by `unit`, and loadings by its square root."""
    if factor_shape is not FactorShape.LOW_RANK:
        return covariances * unit
    return np.concatenate((covariances[..., :-1] * np.sqrt(unit), covariances[..., -1:] * unit), axis=2)


@pytest.mark.pairwise
@pytest.mark.parametrize("n_features", [1, 2, 3, 4, 5, 8, 9, 17, 40])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("factor_shape", FactorShape)
def test_whitening_is_an_inverse_root_of_the_covariance(factor_shape, count, n_features, rng):
    covariances = random_covariances(rng, count, n_features, factor_shape)
    whitening = FORMS[factor_shape](covariances, count, n_features).whitening
    check_whitening(whitening, np.repeat(dense(covariances, factor_shape, n_features), 1 if count > 1 else 4, axis=0))


@pytest.mark.parametrize("unit", [1e-150, 1e-30, 1e30, 1e150])
@pytest.mark.parametrize("factor_shape", FactorShape)
def test_whitening_works_for_covariances_of_any_scale(factor_shape, unit, rng):
    covariances = scaled_by(random_covariances(rng, 2, 3, factor_shape), factor_shape, unit)
    check_whitening(FORMS[factor_shape](covariances, 2, 3).whitening, dense(covariances, factor_shape, 3))


def test_whitening_works_for_features_of_different_scales(rng):
    units = np.geomspace(1e-60, 1e60, 5)
    covariances = random_covariances(rng, 2, 5, FactorShape.TRIANGULAR) * np.multiply.outer(units, units)
    check_whitening(TriangularWhitening.from_covariances(covariances), covariances)


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
@pytest.mark.parametrize("factor_shape", FactorShape)
def test_the_singular_covariance_error_names_the_components(factor_shape, value, rng):
    covariances = random_covariances(rng, 4, 3, factor_shape)
    if factor_shape is FactorShape.SPHERICAL:
        covariances[[1, 3]] = value
    elif factor_shape is FactorShape.DIAGONAL:
        covariances[[1, 3], 2] = value
    elif factor_shape is FactorShape.LOW_RANK:
        covariances[[1, 3], 2, -1] = value
    else:
        covariances[[1, 3], 2, 2] = value
    with pytest.raises(SingularCovarianceError, match=r"components 1, 3\.") as caught:
        _ = FORMS[factor_shape](covariances, 4, 3).whitening
    assert caught.value.components == (1, 3)


@pytest.mark.parametrize("n_features", [1, 4, 11])
def test_whitening_of_a_repeated_feature_raises_an_error(n_features, rng):
    """The pivot of the repeated feature is only the rounding of p − √p²."""
    covariance = random_covariances(rng, 1, n_features, FactorShape.TRIANGULAR)
    twice = covariance[:, [*range(n_features), 0]][:, :, [*range(n_features), 0]]
    with pytest.raises(SingularCovarianceError):
        TriangularWhitening.from_covariances(twice)


@pytest.mark.parametrize("n_features", [2, 3, 5, 8, 17])
def test_whitening_of_as_many_rows_as_features_raises_an_error(n_features, rng):
    """A pivot that consists of rounding can be far from 0, because the error grows with the condition of the block."""
    for spread in (1.0, 30.0):
        rows = rng.standard_normal((100, n_features, n_features)) + spread * rng.standard_normal((100, 1, n_features))
        offsets = rows - rows.mean(axis=1, keepdims=True)
        covariances = offsets.transpose(0, 2, 1) @ offsets / n_features
        with pytest.raises(SingularCovarianceError) as caught:
            TriangularWhitening.from_covariances(covariances)
        assert caught.value.components == tuple(range(100))


@pytest.mark.parametrize("n_features", [2, 5, 17])
def test_whitening_accepts_nearly_equal_features(n_features, rng):
    rows = rng.standard_normal((1000, n_features))
    rows[:, -1] = rows[:, 0] + 1e-6 * rows[:, -1]
    TriangularWhitening.from_covariances((rows.T @ rows / len(rows))[None])


@pytest.mark.parametrize("n_features", [1, 3, 17])
def test_total_squares_equals_the_squares_of_whitened_vectors(n_features, rng):
    whitening = TriangularWhitening.from_covariances(random_covariances(rng, 3, n_features, FactorShape.TRIANGULAR))
    vectors = rng.normal(size=(5, n_features))
    expected = [(whitening.whiten(k, vectors) ** 2).sum() for k in range(3)]
    np.testing.assert_allclose(whitening.total_squares(vectors), expected, rtol=1e-12)
