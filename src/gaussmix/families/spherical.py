"""One variance per component."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from gaussmix.families.base import Equivariance, Family, register
from gaussmix.numerics.arrays import Array
from gaussmix.waist.algebra import Across, Algebra
from gaussmix.waist.moments import Scatter
from gaussmix.waist.need import Need, Second
from gaussmix.waist.whitening.spherical import SphericalWhitening


@register("spherical", "VII", "V")
class Spherical(Family):
    """Σ_k = v_k I (mclust's VII): v_k = tr(S_k) / (d N_k), Celeux & Govaert (1995) section 3.3."""

    equivariance = Equivariance.SIMILARITY
    is_matrix: ClassVar[bool] = False
    algebra: ClassVar[Algebra | None] = Algebra(Across.OWN)

    def need(self) -> Need:
        return Need(Second.TRACE)

    def update(self, scatter: Scatter, current: Array | None) -> Array:
        return scatter.second / (scatter.n_features * scatter.mass)

    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return (n_components,)

    def whitening(self, covariances: Array, n_features: int) -> SphericalWhitening:
        return SphericalWhitening.of(covariances, n_features)

    def compact(self, per_component: Array) -> Array:
        return per_component

    def variances(self, covariances: Array, n_components: int, n_features: int) -> Array:
        return np.broadcast_to(covariances[:, None], (n_components, n_features))

    def dense(self, covariances: Array, n_components: int, n_features: int) -> Array:
        return covariances[:, None, None] * np.eye(n_features)

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return n_components
