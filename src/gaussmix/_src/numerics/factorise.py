"""Inverse Cholesky factors of several covariance matrices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.core import native_target
from gaussmix._src.numerics.einsum import einsum

MIN_ROUNDING = 1e-6  # rounding errors of log densities are ignored if below this number of nats


def factorise(covariances: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Invert the Cholesky factors of covariances Σ.

    Parameters
    ----------
    covariances : symmetric matrices Σ, (n, n_features, n_features), in data units².

    Returns
    -------
    factors : lower triangular matrices W with Σ⁻¹ = WᵀW, (n, n_features, n_features); NaN if the factorisation fails.
    log_abs_det : log |det W|, (n,).
    failed : mask of the matrices whose factorisation fails, (n,). The factorisation fails if Σ is singular to working
        precision: a pivot is not positive, or Σ_jj (Σ⁻¹)_jj ≥ 1 / (8 d ε) for some j.
    """
    return native_target().factorise(np.ascontiguousarray(covariances))


def lower_roots(covariances: Array) -> Array:
    """Return the Cholesky factors of covariances (n, d, d), which `factorise` must accept, without using LAPACK."""
    roots = np.zeros(covariances.shape)
    for j in range(covariances.shape[1]):
        left = covariances[:, j:, j] - einsum("kil,kl->ki", roots[:, j:, :j], roots[:, j, :j])
        roots[:, j:, j] = left / np.sqrt(left[:, :1])
    return roots
