"""A covariance matrix of its own for each component."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from gaussmix.families.base import Equivariance, Family, register
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.pieces import in_pieces
from gaussmix.waist.algebra import Across, Algebra
from gaussmix.waist.moments import Scatter
from gaussmix.waist.need import Need, Second
from gaussmix.waist.whitening.triangular import TriangularWhitening


@register("full", "VVV")
class Full(Family):
    """Σ_k unrestricted (mclust's VVV): Σ_k = S_k / N_k, Bishop (2006) eq. 9.19."""

    equivariance = Equivariance.AFFINE
    is_matrix: ClassVar[bool] = True
    algebra: ClassVar[Algebra | None] = Algebra(Across.OWN, Across.OWN, Across.OWN)

    def need(self) -> Need:
        return Need(Second.FULL)

    def update(self, scatter: Scatter, current: Array | None) -> Array:
        return in_pieces(lambda second, mass: second / mass, scatter.second, scatter.mass[:, None, None])

    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return n_components, n_features, n_features

    def whitening(self, covariances: Array, n_features: int) -> TriangularWhitening:
        return TriangularWhitening.of(covariances)

    def compact(self, per_component: Array) -> Array:
        return per_component

    def variances(self, covariances: Array, n_components: int, n_features: int) -> Array:
        return np.diagonal(covariances, axis1=1, axis2=2)

    def dense(self, covariances: Array, n_components: int, n_features: int) -> Array:
        return covariances

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return n_components * n_features * (n_features + 1) // 2
