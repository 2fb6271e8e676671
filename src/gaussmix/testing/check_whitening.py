"""The laws of whitening: A Σ Aᵀ = I, whichever shape the factors have."""

from __future__ import annotations

import numpy as np

from gaussmix.numerics.arrays import Array
from gaussmix.testing.closeness import EPS, assert_close
from gaussmix.waist.whitening.base import FactorShape, Whitening


def check_whitening(whitening: Whitening, dense: Array) -> None:
    """Hold a whitening against the covariances it was made of.

    Parameters
    ----------
    whitening : of one or n_components covariances.
    dense : (n_components, n_features, n_features), the same covariances as full matrices, data units².

    Raises
    ------
    AssertionError : a law is broken; the message says which and by how much.

    Notes
    -----
    Errors are bounded by c · n_features · cond · ε with c = 8; Higham (2002), Accuracy and Stability of
    Numerical Algorithms, theorems 8.5 and 10.4. `cond` is of Σ with its rows and columns scaled to a unit diagonal, as
    Cholesky's errors do not depend on units (theorem 10.5).
    """
    n_components, n_features, _ = dense.shape
    if whitening.is_shared != (len(whitening.factors) == 1):
        raise AssertionError("is_shared must say whether there is one factor")
    log_abs_det = np.broadcast_to(whitening.log_abs_det, n_components)
    offsets = np.random.default_rng(n_features).standard_normal((n_components, n_features))
    offsets *= np.sqrt(np.diagonal(dense, axis1=1, axis2=2))
    each = whitening.whiten_each(offsets)
    for k, covariance in enumerate(dense):
        deviations = np.sqrt(np.diagonal(covariance))
        condition = float(np.linalg.cond(covariance / np.multiply.outer(deviations, deviations)))
        tolerance = 8 * n_features * condition * EPS
        factor = factor_of(whitening, k, n_features)
        assert_close(factor @ covariance @ factor.T, np.eye(n_features), tolerance, 1.0, f"W Σ Wᵀ of component {k}")
        expected = -0.5 * np.linalg.slogdet(covariance / np.multiply.outer(deviations, deviations))[1]
        expected -= np.log(deviations).sum()
        scale = n_features + float(np.abs(np.log(deviations)).sum())
        assert_close(log_abs_det[k], expected, tolerance, scale, f"log_abs_det of component {k}")
        assert_close(
            each[k], whitening.whiten(k, offsets[k : k + 1])[0], tolerance, np.abs(each[k]).max(), "whiten_each"
        )
        found = whitening.precision_times(k, offsets) * deviations
        expected = (offsets @ dense_precision(whitening, k, n_features)) * deviations
        assert_close(found, expected, tolerance, condition * np.abs(offsets / deviations).max(), "precision_times")
        _check_inverses(whitening, k, covariance, deviations, tolerance)


def factor_of(whitening: Whitening, component: int, n_features: int) -> Array:
    """W_k as a full matrix, as `whiten` applies it."""
    factor: Array = whitening.whiten(component, np.eye(n_features)).T
    return factor


def dense_precision(whitening: Whitening, component: int, n_features: int) -> Array:
    """`precisions()` of a component as a full matrix."""
    precision = whitening.precisions()[0 if whitening.is_shared else component]
    if whitening.factor_shape in (FactorShape.TRIANGULAR, FactorShape.LOW_RANK):
        return np.asarray(precision)
    return np.asarray(np.diag(np.broadcast_to(precision, n_features)))


def _check_inverses(whitening: Whitening, k: int, covariance: Array, deviations: Array, tolerance: float) -> None:
    n_features = len(covariance)
    offsets = np.random.default_rng(k).standard_normal((5, n_features)) * deviations
    back = whitening.colour(k, whitening.whiten(k, offsets))
    assert_close(
        back / deviations, offsets / deviations, tolerance, np.abs(offsets / deviations).max(), "colour ∘ whiten"
    )
    unit = np.multiply.outer(deviations, deviations)
    precision = dense_precision(whitening, k, n_features)
    found = whitening.precision_diagonals()[0 if whitening.is_shared else k]
    expected = np.diagonal(precision)
    assert_close(np.broadcast_to(found, n_features), expected, tolerance, expected, "diagonal of the precision")
    product = (precision * unit) @ (covariance / unit)
    assert_close(product, np.eye(n_features), tolerance, 1.0, f"precision times covariance of component {k}")
