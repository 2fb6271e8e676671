"""One variance for everything."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from gaussmix.families.base import Equivariance, Family, register
from gaussmix.numerics.arrays import Array
from gaussmix.waist.algebra import Across, Algebra
from gaussmix.waist.moments import Scatter
from gaussmix.waist.need import Need, Second
from gaussmix.waist.whitening.spherical import SphericalWhitening


@register("EII", "E")
class EII(Family):
    """Σ_k = v I: v = Σ_k tr(S_k) / (d Σ_k N_k), Celeux & Govaert (1995) section 3.3."""

    is_shared = True
    equivariance = Equivariance.SIMILARITY
    is_matrix: ClassVar[bool] = False
    algebra: ClassVar[Algebra | None] = Algebra(Across.EQUAL)

    def need(self) -> Need:
        return Need(Second.TRACE, pooled=True)

    def update(self, scatter: Scatter, current: Array | None) -> Array:
        return np.asarray(scatter.second / (scatter.n_features * scatter.mass.sum()))

    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return ()

    def whitening(self, covariances: Array, n_features: int) -> SphericalWhitening:
        return SphericalWhitening.of(covariances[None], n_features)

    def compact(self, per_component: Array) -> Array:
        return np.asarray(per_component[0])

    def variances(self, covariances: Array, n_components: int, n_features: int) -> Array:
        return np.broadcast_to(covariances, (n_components, n_features))

    def dense(self, covariances: Array, n_components: int, n_features: int) -> Array:
        return np.broadcast_to(covariances * np.eye(n_features), (n_components, n_features, n_features))

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return 1
