"""Tests of whitening for all shapes of factors, which the C++ core and SciPy compute."""

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


def in_units(covariances, factor_shape, unit):
    """Multiply covariances by `unit`, and loadings by its square root."""
    if factor_shape is not FactorShape.LOW_RANK:
        return covariances * unit
    return np.concatenate((covariances[..., :-1] * np.sqrt(unit), covariances[..., -1:] * unit), axis=2)


@pytest.mark.pairwise
@pytest.mark.parametrize("n_features", [1, 2, 3, 4, 5, 8, 9, 17, 40])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("factor_shape", FactorShape)
def test_whitening_is_the_inverse_root(factor_shape, count, n_features, rng):
    covariances = random_covariances(rng, count, n_features, factor_shape)
    whitening = FORMS[factor_shape](covariances, count, n_features).whitening
    check_whitening(whitening, np.repeat(dense(covariances, factor_shape, n_features), 1 if count > 1 else 4, axis=0))


@pytest.mark.parametrize("unit", [1e-150, 1e-30, 1e30, 1e150])
@pytest.mark.parametrize("factor_shape", FactorShape)
def test_units_do_not_matter(factor_shape, unit, rng):
    covariances = in_units(random_covariances(rng, 2, 3, factor_shape), factor_shape, unit)
    check_whitening(FORMS[factor_shape](covariances, 2, 3).whitening, dense(covariances, factor_shape, 3))


def test_each_feature_may_have_its_own_unit(rng):
    units = np.geomspace(1e-60, 1e60, 5)
    covariances = random_covariances(rng, 2, 5, FactorShape.TRIANGULAR) * np.multiply.outer(units, units)
    check_whitening(TriangularWhitening.from_covariances(covariances), covariances)


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
@pytest.mark.parametrize("factor_shape", FactorShape)
def test_components_with_a_singular_covariance_are_named(factor_shape, bad, rng):
    covariances = random_covariances(rng, 4, 3, factor_shape)
    if factor_shape is FactorShape.SPHERICAL:
        covariances[[1, 3]] = bad
    elif factor_shape is FactorShape.DIAGONAL:
        covariances[[1, 3], 2] = bad
    elif factor_shape is FactorShape.LOW_RANK:
        covariances[[1, 3], 2, -1] = bad
    else:
        covariances[[1, 3], 2, 2] = bad
    with pytest.raises(SingularCovarianceError, match=r"components 1, 3\.") as caught:
        _ = FORMS[factor_shape](covariances, 4, 3).whitening
    assert caught.value.components == (1, 3)


@pytest.mark.parametrize("n_features", [1, 4, 11])
def test_a_feature_twice_has_no_factor(n_features, rng):
    """The pivot of the repeated feature is only the rounding of p − √p²."""
    covariance = random_covariances(rng, 1, n_features, FactorShape.TRIANGULAR)
    twice = covariance[:, [*range(n_features), 0]][:, :, [*range(n_features), 0]]
    with pytest.raises(SingularCovarianceError):
        TriangularWhitening.from_covariances(twice)


@pytest.mark.parametrize("n_features", [2, 3, 5, 8, 17])
def test_as_many_rows_as_features_have_no_factor(n_features, rng):
    """A pivot that consists of rounding can be far from 0, because the error grows with the condition of the block."""
    for spread in (1.0, 30.0):
        rows = rng.standard_normal((100, n_features, n_features)) + spread * rng.standard_normal((100, 1, n_features))
        offsets = rows - rows.mean(axis=1, keepdims=True)
        covariances = offsets.transpose(0, 2, 1) @ offsets / n_features
        with pytest.raises(SingularCovarianceError) as caught:
            TriangularWhitening.from_covariances(covariances)
        assert caught.value.components == tuple(range(100))


@pytest.mark.parametrize("n_features", [2, 5, 17])
def test_a_feature_that_is_nearly_another_still_has_a_factor(n_features, rng):
    rows = rng.standard_normal((1000, n_features))
    rows[:, -1] = rows[:, 0] + 1e-6 * rows[:, -1]
    TriangularWhitening.from_covariances((rows.T @ rows / len(rows))[None])


@pytest.mark.parametrize("n_features", [1, 3, 17])
def test_squares_are_those_of_whitened_vectors(n_features, rng):
    whitening = TriangularWhitening.from_covariances(random_covariances(rng, 3, n_features, FactorShape.TRIANGULAR))
    vectors = rng.normal(size=(5, n_features))
    expected = [(whitening.whiten(k, vectors) ** 2).sum() for k in range(3)]
    np.testing.assert_allclose(whitening.total_squares(vectors), expected, rtol=1e-12)
