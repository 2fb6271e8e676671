"""Whitening for the covariances ΛΛᵀ + Ψ of factor analysers, computed without n_features × n_features matrices."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from gaussmix._src.errors import SingularCovarianceError
from gaussmix._src.interfaces.whitening.base import FactorShape, Whitening
from gaussmix._src.numerics.arrays import Array, Indices
from gaussmix._src.numerics.axes import principal_axes
from gaussmix._src.numerics.einsum import einsum
from gaussmix._src.numerics.elementary import inverse_root, log
from gaussmix._src.numerics.factorise import MAX_INFLATION


class LowRankWhitening(Whitening):
    """Whitening factors W_k = (I − F_k F_kᵀ) diag(w_k), w_k = ψ_k^(−½), for Σ_k = Λ_k Λ_kᵀ + diag(ψ_k).

    The singular value decomposition diag(w) Λ = U diag(s) Vᵀ gives Σ = diag(w)⁻¹ (I + U s² Uᵀ) diag(w)⁻¹. Therefore, F
    = U C^½ with C = I − (I + s²)^(−½). The columns of F are orthogonal, and the diagonal of C contains the squared
    norms of these columns. Whitening of a row u gives z − F (Fᵀz) with z = w u. The squared norm of z − F (Fᵀz) is
    computed directly, because a difference of two squared norms would lose precision if s is large.
    """

    factor_shape: ClassVar[FactorShape] = FactorShape.LOW_RANK

    @classmethod
    def from_loadings(cls, loadings: Array, roots: Array, directions: Array, spread: Array) -> LowRankWhitening:
        """Compute factors from `loadings` Λ (n, n_features, n_factors), in data units, and the results of `spectrum`.

        Raises
        ------
        SingularCovarianceError : for some feature j, Σ_jj (Σ⁻¹)_jj ≥ 1 / (8 d ε), which is also the limit for full
            covariance matrices. The error contains the indices of these components.
        """
        stretch = np.sqrt(1.0 + spread**2)
        growth = 1.0 + ((loadings * roots[..., None]) ** 2).sum(axis=2)  # the ratios Σ_jj / ψ_j
        shrinkage = 1.0 - ((directions * (spread / stretch)[:, None, :]) ** 2).sum(axis=2)  # the products ψ_j (Σ⁻¹)_jj
        singular = (growth * shrinkage >= MAX_INFLATION / roots.shape[1]).any(axis=1)
        if singular.any():
            raise SingularCovarianceError(np.flatnonzero(singular))
        factors = np.empty((*roots.shape, loadings.shape[2] + 1))
        factors[..., :-1] = directions * np.sqrt(spread**2 / (stretch * (1.0 + stretch)))[:, None, :]
        factors[..., -1] = roots
        return cls(factors, log(roots).sum(axis=1) - log(stretch).sum(axis=1))

    def whiten(self, component: int, offsets: Array) -> Array:
        factor = self.factor(component)
        return _shrunk(offsets * factor[:, -1], factor[:, :-1])

    def whiten_each(self, offsets: Array) -> Array:
        return self._whiten_each(offsets, -1.0)

    def _whiten_each(self, offsets: Array, sign: float) -> Array:
        return offsets * self.factors[..., -1] + sign * self._along(offsets)

    def _along(self, offsets: Array) -> Array:
        scaled = offsets * self.factors[..., -1]
        directions = np.broadcast_to(self.factors[..., :-1], (*scaled.shape, self.factors.shape[2] - 1))
        along = einsum("kdq,kd->kq", directions, scaled)  # without BLAS, because its last bits depend on the processor
        return einsum("kdq,kq->kd", directions, along)

    def whiten_change(self, components: Indices, reference: int, offsets: Array) -> Array:
        own, other = self.take(components), self.take([reference])
        along = own._along(offsets) - other._along(offsets)
        return offsets * (own.factors[..., -1] - other.factors[..., -1]) - along

    def bound_whitened(self, offsets: Array) -> Array:
        bounds = LowRankWhitening(np.abs(self.factors), self.log_abs_det)
        return bounds._whiten_each(offsets, 1.0)

    def colour(self, component: int, whitened: Array) -> Array:
        factor = self.factor(component)
        directions = factor[:, :-1]
        along = einsum("nd,dq->nq", whitened, directions) / (1.0 - (directions**2).sum(axis=0))  # without BLAS
        return (whitened + einsum("nq,dq->nd", along, directions)) / factor[:, -1]

    def precision_times(self, component: int, offsets: Array) -> Array:
        factor = self.factor(component)
        return _shrunk(self.whiten(component, offsets), factor[:, :-1]) * factor[:, -1]

    def precisions(self) -> Array:
        roots = self.factors[..., -1]
        scaled = self._gram_factor() * roots[..., None]
        precisions: Array = -einsum("kiq,kjq->kij", scaled, scaled)
        np.einsum("kii->ki", precisions)[...] += roots**2
        return precisions

    def precision_diagonals(self) -> Array:
        return (1.0 - (self._gram_factor() ** 2).sum(axis=2)) * self.factors[..., -1] ** 2

    def _gram_factor(self) -> Array:
        """Return the matrices G with Σ⁻¹ = diag(w) (I − G Gᵀ) diag(w), (n, n_features, n_factors)."""
        directions = self.factors[..., :-1]
        shrinkage = (directions**2).sum(axis=1, keepdims=True)
        return directions * np.sqrt(2.0 - shrinkage)


def _shrunk(rows: Array, directions: Array) -> Array:
    """Return (I − F Fᵀ) z for each row z of `rows`, where F is the matrix `directions`."""
    return rows - (rows @ directions) @ directions.T


def spectrum(loadings: Array, noise: Array) -> tuple[Array, Array, Array, Array]:
    """Compute the singular value decomposition of scaled loadings: diag(w) Λ = U diag(s) Vᵀ with w = ψ^(−½).

    Jacobi's method, whose sums have a fixed order, rotates the columns, so that all machines return the same bits.

    Parameters
    ----------
    loadings : loadings Λ, (n, n_features, n_factors), in data units.
    noise : noise variances ψ, (n, n_features), in data units².

    Returns
    -------
    roots : scale factors w, (n, n_features), in 1 / data units.
    directions : matrices U with orthonormal columns, (n, n_features, n_factors). Columns with s = 0 contain zeros.
    spread : singular values s in descending order, (n, n_factors): the standard deviations of the factors divided by
        the standard deviations of the noise, along each direction.
    rotation : matrices V with orthonormal columns, (n, n_factors, n_factors).

    Raises
    ------
    SingularCovarianceError : a noise variance is not positive, or the squared elements of diag(w) Λ overflow float64.
    """
    roots = inverse_root(noise)
    scaled = loadings * roots[..., None]
    with np.errstate(over="ignore"):
        usable = np.isfinite((scaled**2).sum(axis=(1, 2)))
    if not usable.all():
        raise SingularCovarianceError(np.flatnonzero(~usable))
    rotation = np.broadcast_to(np.eye(scaled.shape[2]), (len(scaled), *2 * scaled.shape[2:]))
    for _ in range(2):  # round 2 removes rounding errors of large columns from small columns
        axes = principal_axes(einsum("kdq,kdr->kqr", scaled, scaled))[1]
        scaled, rotation = (einsum("kdq,kqr->kdr", scaled, axes), einsum("kqr,krs->kqs", rotation, axes))
    spread = np.sqrt((scaled**2).sum(axis=1))
    directions = scaled / np.where(spread > 0, spread, 1.0)[:, None, :]
    for following in range(1, directions.shape[2]):  # makes each column orthogonal to the larger columns before it
        larger, small = directions[..., :following], directions[..., following]
        small -= einsum("kdq,kq->kd", larger, einsum("kdq,kd->kq", larger, small))
    return roots, directions, spread, rotation
