"""Whitening for the covariances ΛΛᵀ + Ψ of factor analysers, computed without n_features × n_features matrices."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from gaussmix._src.interfaces.whitening.base import FactorShape, Whitening
from gaussmix._src.numerics.arrays import Array, Indices
from gaussmix._src.numerics.einsum import einsum


class LowRankWhitening(Whitening):
    """Whitening factors W_k = (I − F_k F_kᵀ) diag(w_k), w_k = ψ_k^(−½), for Σ_k = Λ_k Λ_kᵀ + diag(ψ_k).

    The singular value decomposition diag(w) Λ = U diag(s) Vᵀ gives Σ = diag(w)⁻¹ (I + U s² Uᵀ) diag(w)⁻¹. Therefore, F
    = U C^½ with C = I − (I + s²)^(−½). The columns of F are orthogonal, and the diagonal of C contains the squared
    norms of these columns. Whitening of a row u gives z − F (Fᵀz) with z = w u. The squared norm of z − F (Fᵀz) is
    computed directly, because a difference of two squared norms would lose precision if s is large.
    """

    factor_shape: ClassVar[FactorShape] = FactorShape.LOW_RANK

    def whiten(self, component: int, offsets: Array) -> Array:
        factor = self.factor(component)
        return _shrunk(offsets * factor[:, -1], factor[:, :-1])

    def whiten_each(self, offsets: Array) -> Array:
        return self._whiten_each(offsets, -1.0)

    def _whiten_each(self, offsets: Array, sign: float) -> Array:
        return offsets * self.factors[..., -1] + sign * self._project(offsets)

    def _project(self, offsets: Array) -> Array:
        scaled = offsets * self.factors[..., -1]
        directions = self.factors[..., :-1]
        along = einsum("kdq,kd->kq", directions, scaled)  # without BLAS, because its last bits depend on the processor
        return einsum("kdq,kq->kd", directions, along)

    def whiten_change(self, components: Indices, reference: int, offsets: Array) -> Array:
        own, other = self.take(components), self.take([reference])
        along = own._project(offsets) - other._project(offsets)
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
