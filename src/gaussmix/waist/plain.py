"""Covariances in plain form: numbers v (n,) for v I, diagonals (n, d) or matrices (n, d, d).

In this form different structures meet, each with no more numbers than it needs; n is 1 where all components share one.
"""

from __future__ import annotations

import numpy as np

from gaussmix.errors import SingularCovariance
from gaussmix.waist.arrays import Array, Places
from gaussmix.waist.factorise import factorise


def matrices(plain: Array, n_features: int) -> Array:
    """Full matrices, (n, n_features, n_features)."""
    return plain if plain.ndim == 3 else diagonals(plain, n_features)[:, :, None] * np.eye(n_features)


def diagonals(plain: Array, n_features: int) -> Array:
    """Variances of numbers or diagonals, (n, n_features)."""
    return plain if plain.ndim == 2 else np.broadcast_to(plain[:, None], (len(plain), n_features))


def marginal(plain: Array, places: Places) -> Array:
    """Covariances of the features at `places`, in this order."""
    if plain.ndim == 1:
        return plain
    return plain[:, places] if plain.ndim == 2 else plain[:, places[:, None], places]


def conditional(plain: Array, known: Places, unknown: Places) -> tuple[Array, Array]:
    """Covariances C of unknown features given known ones, and B of the regression μ_u + B (x_k − μ_k).

    Returns
    -------
    covariances : C = Σ_uu − Σ_uk Σ_kk⁻¹ Σ_ku in plain form, symmetric to the bit.
    regression : B = Σ_uk Σ_kk⁻¹, (n, n_unknown, n_known); one for all where it is 0.

    Raises
    ------
    SingularCovariance : some have no Cholesky factor to working precision; the message names them.

    Notes
    -----
    Bishop (2006) eq. 2.81–2.82. With the known features first, the Cholesky factor [[L_k, 0], [L_uk, L_u]] has both:
    B = L_uk L_k⁻¹ and C = L_u L_uᵀ, without a difference of large numbers.
    """
    if plain.ndim < 3:
        return marginal(plain, unknown), np.zeros((1, len(unknown), len(known)))
    ordered = marginal(plain, np.concatenate((known, unknown)))
    failed = factorise(ordered)[2]
    if failed.any():
        raise SingularCovariance(np.flatnonzero(failed))
    lower, n_known = np.linalg.cholesky(ordered), len(known)
    # Elimination of a matrix that is upper triangular leaves it as it is: this is back substitution.
    upper = lower[:, :n_known, :n_known].swapaxes(1, 2)
    regression = np.linalg.solve(upper, lower[:, n_known:, :n_known].swapaxes(1, 2)).swapaxes(1, 2)
    rest = lower[:, n_known:, n_known:]
    return np.einsum("kij,klj->kil", rest, rest), regression
