"""A variance per feature, the same for all components."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from gaussmix.families.base import Equivariance, Family, register
from gaussmix.numerics.arrays import Array
from gaussmix.waist.algebra import Across, Algebra
from gaussmix.waist.moments import Scatter
from gaussmix.waist.need import Need, Second
from gaussmix.waist.whitening.diagonal import DiagonalWhitening


@register("EEI")
class EEI(Family):
    """Σ_k = diag(v): v = Σ_k diag(S_k) / Σ_k N_k, Celeux & Govaert (1995) section 3.2."""

    is_shared = True
    equivariance = Equivariance.SCALING
    is_matrix: ClassVar[bool] = False
    algebra: ClassVar[Algebra | None] = Algebra(Across.EQUAL, Across.EQUAL)

    def need(self) -> Need:
        return Need(Second.DIAGONAL, pooled=True)

    def update(self, scatter: Scatter, current: Array | None) -> Array:
        variances: Array = scatter.second / scatter.mass.sum()
        return variances

    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return (n_features,)

    def whitening(self, covariances: Array, n_features: int) -> DiagonalWhitening:
        return DiagonalWhitening.of(covariances[None])

    def compact(self, per_component: Array) -> Array:
        shared: Array = per_component[0]
        return shared

    def variances(self, covariances: Array, n_components: int, n_features: int) -> Array:
        return np.broadcast_to(covariances, (n_components, n_features))

    def dense(self, covariances: Array, n_components: int, n_features: int) -> Array:
        return np.broadcast_to(np.diag(covariances), (n_components, n_features, n_features))

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return n_features
