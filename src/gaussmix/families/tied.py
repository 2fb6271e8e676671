"""One covariance matrix for all components."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from gaussmix.families.base import Equivariance, Family, register
from gaussmix.numerics.arrays import Array
from gaussmix.waist.algebra import Across, Algebra
from gaussmix.waist.moments import Scatter
from gaussmix.waist.need import Need, Second
from gaussmix.waist.whitening.triangular import TriangularWhitening


@register("tied", "EEE")
class Tied(Family):
    """Σ_k = Σ (mclust's EEE): Σ = Σ_k S_k / Σ_k N_k, Celeux & Govaert (1995) section 3.1."""

    is_shared = True
    equivariance = Equivariance.AFFINE
    is_matrix: ClassVar[bool] = True
    algebra: ClassVar[Algebra | None] = Algebra(Across.EQUAL, Across.EQUAL, Across.EQUAL)

    def need(self) -> Need:
        return Need(Second.FULL, pooled=True)

    def update(self, scatter: Scatter, current: Array | None) -> Array:
        pooled: Array = scatter.second / scatter.mass.sum()
        return pooled

    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return n_features, n_features

    def whitening(self, covariances: Array, n_features: int) -> TriangularWhitening:
        return TriangularWhitening.of(covariances[None])

    def compact(self, per_component: Array) -> Array:
        shared: Array = per_component[0]
        return shared

    def variances(self, covariances: Array, n_components: int, n_features: int) -> Array:
        return np.broadcast_to(np.diagonal(covariances), (n_components, n_features))

    def dense(self, covariances: Array, n_components: int, n_features: int) -> Array:
        return np.broadcast_to(covariances, (n_components, n_features, n_features))

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return n_features * (n_features + 1) // 2
