"""Covariances in plain form: numbers v (n,) for v I, diagonals (n, d) or matrices (n, d, d).

In this form different structures meet, each with no more numbers than it needs; n is 1 where all components share one.
"""

from __future__ import annotations

import numpy as np

from gaussmix.errors import SingularCovariance
from gaussmix.numerics.arrays import Array, Places
from gaussmix.numerics.factorise import factorise


def matrices(plain: Array, n_features: int) -> Array:
    """As full matrices, (n, n_features, n_features)."""
    return lifted(plain, 3, n_features)


def lifted(plain: Array, n_axes: int, n_features: int) -> Array:
    """In the more general form with so many axes: diagonals have 2, matrices 3."""
    if plain.ndim == 1 < n_axes:
        plain = np.broadcast_to(plain[:, None], (len(plain), n_features))
    return plain[:, :, None] * np.eye(n_features) if plain.ndim < n_axes else plain


def lowered(matrix: Array) -> Array:
    """A symmetric matrix (n_features, n_features) in the least general form, n = 1."""
    variances = np.diagonal(matrix)
    if (matrix != np.diag(variances)).any():
        return matrix[None]
    return variances[:1] if (variances == variances[0]).all() else variances[None]


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
    lower = np.asarray(np.linalg.cholesky(ordered), np.float64)
    n_known = len(known)
    # Elimination of a matrix that is upper triangular leaves it as it is: this is back substitution.
    upper = lower[:, :n_known, :n_known].swapaxes(1, 2)
    across = np.linalg.solve(upper, lower[:, n_known:, :n_known].swapaxes(1, 2))
    regression = np.asarray(across.swapaxes(1, 2), np.float64)
    return _squared(lower[:, n_known:, n_known:]), regression


def image(plain: Array, A: Array) -> Array:
    """A Σ Aᵀ of a linear map (m, n_features) and covariances that have Cholesky factors, symmetric to the bit.

    What is no matrix stays so where A only scales, drops and reorders features.
    """
    if plain.ndim == 3:
        roots: Array = A @ np.linalg.cholesky(plain)
        return _squared(roots)
    present = A != 0
    if (present.sum(axis=1) != 1).any() or (present.sum(axis=0) > 1).any():
        deviations: Array = np.sqrt(lifted(plain, 2, A.shape[1]))
        return _squared(A * deviations[:, None, :])
    scales: Array = np.abs(A).max(axis=1) ** 2
    if plain.ndim == 1 and (scales == scales[0]).all():
        return plain * scales[:1]
    return lifted(plain, 2, A.shape[1])[:, present.argmax(axis=1)] * scales


def _squared(roots: Array) -> Array:
    """R Rᵀ of each (m, n), symmetric to the bit."""
    product: Array = np.einsum("kij,klj->kil", roots, roots)
    return product
