"""Cholesky factors of a stack of covariances, inverted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.core import core, native_target
from gaussmix._src.numerics.einsum import einsum

# A covariance is singular to working precision where Σ_jj (Σ⁻¹)_jj reaches this many over the number of features: there
# rounding decides the inverse. The C++ core has the same number; a test compares them.
MAX_INFLATION = core.MAX_INFLATION
MIN_ROUNDING = 1e-6  # nats: the smallest rounding of a log density that counts


def factorise(covariances: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Invert the Cholesky factors of covariances (n, n_features, n_features), data units².

    Returns lower triangular W with Σ⁻¹ = WᵀW, NaN for failed ones; log |det W|, (n,); and which failed, (n,), because
    they are singular to working precision: a pivot is not positive, or Σ_jj (Σ⁻¹)_jj ≥ 1 / (8 d ε) for some j.
    """
    return native_target().factorise(np.ascontiguousarray(covariances))


def lower_roots(covariances: Array) -> Array:
    """The Cholesky factors L of covariances (n, d, d) that `factorise` takes, without LAPACK, whose bits differ."""
    roots = np.zeros(covariances.shape)
    for j in range(covariances.shape[1]):
        left = covariances[:, j:, j] - einsum("kil,kl->ki", roots[:, j:, :j], roots[:, j, :j])
        roots[:, j:, j] = left / np.sqrt(left[:, :1])
    return roots
