"""A variance per component and feature."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from gaussmix.families.base import Equivariance, Family, register
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.pieces import in_pieces
from gaussmix.waist.algebra import Across, Algebra
from gaussmix.waist.moments import Scatter
from gaussmix.waist.need import Need, Second
from gaussmix.waist.whitening.diagonal import DiagonalWhitening


@register("diag", "VVI")
class Diagonal(Family):
    """Σ_k = diag(v_k) (mclust's VVI): v_k = diag(S_k) / N_k, Celeux & Govaert (1995) section 3.2."""

    equivariance = Equivariance.SCALING
    is_matrix: ClassVar[bool] = False
    algebra: ClassVar[Algebra | None] = Algebra(Across.OWN, Across.OWN)

    def need(self) -> Need:
        return Need(Second.DIAGONAL)

    def update(self, scatter: Scatter, current: Array | None) -> Array:
        return in_pieces(lambda second, mass: second / mass, scatter.second, scatter.mass[:, None])

    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return n_components, n_features

    def whitening(self, covariances: Array, n_features: int) -> DiagonalWhitening:
        return DiagonalWhitening.of(covariances)

    def compact(self, per_component: Array) -> Array:
        return per_component

    def variances(self, covariances: Array, n_components: int, n_features: int) -> Array:
        return covariances

    def dense(self, covariances: Array, n_components: int, n_features: int) -> Array:
        return covariances[:, :, None] * np.eye(n_features)

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return n_components * n_features
