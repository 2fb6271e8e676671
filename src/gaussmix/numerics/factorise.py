"""Cholesky factors of a stack of covariances, inverted: by the C++ core, else by SciPy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cholesky, solve_triangular

from gaussmix.numerics.arrays import Array
from gaussmix.numerics.contract import contract
from gaussmix.numerics.core import native_target

# A covariance is singular to working precision where Σ_jj (Σ⁻¹)_jj reaches this many over the number of features: there
# rounding decides the inverse. The C++ core has the same number; a test compares them.
MOST_INFLATION = 1 / (8 * float(np.finfo(np.float64).eps))
ROUNDED = 1e-6  # nats: the smallest rounding of a log density that counts


def factorise(covariances: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Invert the Cholesky factors of covariances (n, n_features, n_features), data units².

    Returns lower triangular W with Σ⁻¹ = WᵀW, NaN for failed ones; log |det W|, (n,); and which failed, (n,), because
    they are singular to working precision: a pivot is not positive, or Σ_jj (Σ⁻¹)_jj ≥ 1 / (8 d ε) for some j.
    """
    target = native_target()
    if target is not None:
        return target.factorise(np.ascontiguousarray(covariances))
    factors = np.full(covariances.shape, np.nan)
    for factor, covariance in zip(factors, covariances, strict=True):
        _invert_factor(covariance, factor)
    diagonals = np.diagonal(factors, axis1=1, axis2=2)
    return factors, np.log(diagonals).sum(axis=1), np.isnan(diagonals).any(axis=1)


def lower_roots(covariances: Array) -> Array:
    """The Cholesky factors L of covariances (n, d, d) that `factorise` takes, without LAPACK, whose bits differ."""
    roots = np.zeros(covariances.shape)
    for j in range(covariances.shape[1]):
        left = covariances[:, j:, j] - contract("kil,kl->ki", roots[:, j:, :j], roots[:, j, :j])
        roots[:, j:, j] = left / np.sqrt(left[:, :1])
    return roots


def _invert_factor(covariance: Array, out: Array) -> None:
    """Write the inverse Cholesky factor to `out`; leave `out` unchanged if there is none."""
    try:
        lower = cholesky(covariance, lower=True)
    except (LinAlgError, ValueError):
        return
    factor = solve_triangular(lower, np.eye(len(covariance)), lower=True)
    if (_inflation(covariance, factor) < MOST_INFLATION / len(covariance)).all():
        out[:] = factor


def _inflation(covariance: Array, factor: Array) -> Array:
    """Σ_jj (Σ⁻¹)_jj: the variance of each feature over its residual variance given the other features."""
    return ((np.sqrt(np.diagonal(covariance)) * factor) ** 2).sum(axis=0)
