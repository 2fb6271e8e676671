"""Covariance matrices that differ by rotations."""

from __future__ import annotations

from typing import ClassVar

from gaussmix.families.base import Equivariance, register
from gaussmix.families.full import Full
from gaussmix.families.orientation import composed
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.axes import principal_axes
from gaussmix.waist.algebra import Across, Algebra
from gaussmix.waist.moments import Scatter


@register("EEV")
class EEV(Full):
    """Σ_k = D_k diag(a) D_kᵀ: S_k = D_k diag(ω_k) D_kᵀ in order, a = Σ_k ω_k / Σ_k N_k; compact as "full".

    Celeux & Govaert (1995) section 3.1.
    """

    equivariance = Equivariance.SIMILARITY
    algebra: ClassVar[Algebra | None] = Algebra(Across.EQUAL, Across.EQUAL, Across.OWN)

    def update(self, scatter: Scatter, current: Array | None) -> Array:
        spectra, axes = principal_axes(scatter.second)
        shared = spectra.sum(axis=0) / scatter.mass.sum()
        return composed(axes, shared[None])

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return n_features + n_components * n_features * (n_features - 1) // 2
