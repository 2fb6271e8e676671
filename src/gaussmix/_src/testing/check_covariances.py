"""Checks of covariances and whitening factors against full matrices; for example, W Σ Wᵀ must be the identity."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np

from gaussmix._src.covariances import Covariances
from gaussmix._src.interfaces.whitening.base import FactorShape, Whitening
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.testing.closeness import EPS, assert_close


def check_covariances(covariances: Covariances, rng: np.random.Generator) -> None:
    """Check the methods of covariances against the full matrices that `covariances.dense()` returns."""
    n_components, n_features = covariances.n_components, covariances.n_features
    dense = covariances.dense()
    assert_close(dense.shape, (n_components, n_features, n_features), 0.0, 1.0, "shape of dense")
    if covariances.is_shared and not (dense == dense[:1]).all():
        raise AssertionError("is_shared is True, but the components have different covariances")
    size, condition = np.abs(dense).max(), float(np.linalg.cond(dense).max())
    tight, loose = 8 * n_features * EPS, 16 * n_features * condition * EPS
    diagonals = np.diagonal(dense, axis1=1, axis2=2)
    assert_close(covariances.variances(), diagonals, tight, diagonals, "variances")
    assert_close(covariances.to_simple_form().dense(), dense, tight, size, "simple")
    assert_close(pickle.loads(pickle.dumps(covariances)).each, covariances.each, 0.0, 1.0, "a copy")
    assert_close(
        covariances.from_coordinates(covariances.coordinates()).dense(), dense, tight, size, "at ∘ coordinates"
    )
    check_whitening(covariances.whitening, dense)
    assert_close(len(covariances.each), 1 if covariances.is_shared else n_components, 0.0, 1.0, "number of covariances")
    if covariances.is_shared and not covariances.whitening.is_shared:
        raise AssertionError("is_shared is True for the covariances, but not for their whitening factors")
    inverse = covariances.inverse()
    unit = np.broadcast_to(np.eye(n_features), dense.shape)
    assert_close(inverse.dense() @ dense, unit, loose, 1.0, "inverse times itself")
    assert_close(inverse.inverse().dense(), dense, loose, size, "inverse ∘ inverse")
    _check_components(covariances, dense, rng)
    _check_features(covariances, dense, loose, rng)


def _check_components(covariances: Covariances, dense: Array, rng: np.random.Generator) -> None:
    order = rng.permutation(covariances.n_components)
    taken = covariances.take(order)
    assert_close(taken.dense(), dense[order], 0.0, 1.0, "take")
    other = replace(covariances, each=2 * covariances.each)
    put = covariances.replace_components(order[:1], other.take(order[-1:])).dense()
    expected = np.array(other.dense() if covariances.is_shared else dense)
    expected[order[0]] = other.dense()[order[-1]]
    assert_close(put, expected, 0.0, 1.0, "put")


def _check_features(covariances: Covariances, dense: Array, rounding: float, rng: np.random.Generator) -> None:
    n_features, size = covariances.n_features, np.abs(dense).max()
    subset = rng.permutation(n_features)[: max(1, n_features - 1)]
    part = dense[:, subset[:, None], subset]
    assert_close(covariances.marginal(subset).dense(), part, 8 * n_features * EPS, size, "marginal")
    for A in rng.normal(size=(1, n_features)), np.diag(rng.uniform(0.5, 2.0, n_features))[subset]:
        image = covariances.transform(A).dense()
        assert_close(image, A @ dense @ A.T, rounding, np.abs(image).max(), "transform")
    if covariances.transform(np.empty((0, n_features))).dense().shape != (len(dense), 0, 0):
        raise AssertionError("a transformation to zero features must return covariances of shape (n_components, 0, 0)")
    if n_features == 1:
        return
    unknown, known = np.split(rng.permutation(n_features), [1])
    rest, regression = covariances.conditional(known, unknown)
    across = dense[:, unknown[:, None], known]
    expected = np.linalg.solve(dense[:, known[:, None], known], across.swapaxes(1, 2)).swapaxes(1, 2)
    actual = np.broadcast_to(regression, expected.shape)
    scale = np.abs(expected).max() + 1.0
    assert_close(actual, expected, rounding, scale, "regression")
    left = dense[:, unknown[:, None], unknown] - expected @ across.swapaxes(1, 2)
    assert_close(rest.dense(), left, rounding, size, "conditional")


def check_whitening(whitening: Whitening, dense: Array) -> None:
    """Check whitening factors against the covariances from which they were computed.

    Parameters
    ----------
    whitening : the whitening factors to check: one factor per component, or a single factor for a shared covariance.
    dense : covariances of the components as full matrices, (n_components, n_features, n_features), in data units².

    Raises
    ------
    AssertionError : a result of a method is wrong; the message names this result and its error.

    Notes
    -----
    A check fails if a relative error is larger than 8 · n_features · cond · ε, a bound from theorems 8.5 and 10.4 of
    Higham (2002), Accuracy and Stability of Numerical Algorithms. Here `cond` is the condition number of Σ after
    scaling to a unit diagonal, because the errors of a Cholesky factor do not depend on the units of the features
    (theorem 10.5).
    """
    n_components, n_features, _ = dense.shape
    if whitening.is_shared != (len(whitening.factors) == 1):
        raise AssertionError("whitening.is_shared must be True if, and only if, there is a single whitening factor")
    log_abs_det = np.broadcast_to(whitening.log_abs_det, n_components)
    offsets = np.random.default_rng(n_features).standard_normal((n_components, n_features))
    offsets *= np.sqrt(np.diagonal(dense, axis1=1, axis2=2))
    each = whitening.whiten_each(offsets)
    for k, covariance in enumerate(dense):
        deviations = np.sqrt(np.diagonal(covariance))
        condition = float(np.linalg.cond(covariance / np.multiply.outer(deviations, deviations)))
        tolerance = 8 * n_features * condition * EPS
        factor = whitening.whiten(k, np.eye(n_features)).T  # the matrix W_k by which `whiten` multiplies rows
        assert_close(factor @ covariance @ factor.T, np.eye(n_features), tolerance, 1.0, f"W Σ Wᵀ of component {k}")
        expected = -0.5 * np.linalg.slogdet(covariance / np.multiply.outer(deviations, deviations))[1]
        expected -= np.log(deviations).sum()
        scale = n_features + float(np.abs(np.log(deviations)).sum())
        assert_close(log_abs_det[k], expected, tolerance, scale, f"log_abs_det of component {k}")
        alone, size = whitening.whiten(k, offsets[k : k + 1])[0], np.abs(each[k]).max()
        assert_close(each[k], alone, tolerance, size, "whiten_each")
        actual = whitening.precision_times(k, offsets) * deviations
        expected = (offsets @ dense_precision(whitening, k, n_features)) * deviations
        assert_close(actual, expected, tolerance, condition * np.abs(offsets / deviations).max(), "precision_times")
        _check_inverses(whitening, k, covariance, deviations, tolerance)


def dense_precision(whitening: Whitening, component: int, n_features: int) -> Array:
    """Return the full precision matrix of a component, computed from the result of `whitening.precisions()`."""
    precision = whitening.precisions()[0 if whitening.is_shared else component]
    if whitening.factor_shape in (FactorShape.TRIANGULAR, FactorShape.LOW_RANK):
        return np.asarray(precision)
    return np.asarray(np.diag(np.broadcast_to(precision, n_features)))


def _check_inverses(whitening: Whitening, k: int, covariance: Array, deviations: Array, tolerance: float) -> None:
    n_features = len(covariance)
    offsets = np.random.default_rng(k).standard_normal((5, n_features)) * deviations
    back, scaled = whitening.colour(k, whitening.whiten(k, offsets)), offsets / deviations
    assert_close(back / deviations, scaled, tolerance, np.abs(scaled).max(), "colour ∘ whiten")
    unit = np.multiply.outer(deviations, deviations)
    precision = dense_precision(whitening, k, n_features)
    actual = whitening.precision_diagonals()[0 if whitening.is_shared else k]
    expected = np.diagonal(precision)
    assert_close(np.broadcast_to(actual, n_features), expected, tolerance, expected, "diagonal of the precision")
    product = (precision * unit) @ (covariance / unit)
    assert_close(product, np.eye(n_features), tolerance, 1.0, f"precision times covariance of component {k}")
