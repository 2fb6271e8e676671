"""Covariance matrices with the same axes and volume, and proportions per component along the axes."""

from __future__ import annotations

from typing import ClassVar

from gaussmix.families.base import register
from gaussmix.families.common_axes import CommonAxes
from gaussmix.families.volume import equal_volumes
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.geometric_mean import geometric_mean
from gaussmix.waist.algebra import Across, Algebra


@register("EVE")
class EVE(CommonAxes):
    """Σ_k = λ D diag(a_k) Dᵀ, Π_j a_kj = 1: a_k ∝ diag(DᵀS_kD), and D makes Σ_k (det diag(DᵀS_kD))^(1/d) smallest.

    Celeux & Govaert (1995) section 3.1; Browne & McNicholas (2014), Advances in Data Analysis and Classification 8.
    """

    algebra: ClassVar[Algebra | None] = Algebra(Across.EQUAL, Across.OWN, Across.EQUAL)

    def variances_along(self, spectra: Array, mass: Array) -> Array:
        return spectra * equal_volumes(geometric_mean(spectra), mass)[:, None]

    def importance(self, mass: Array) -> None:
        return None

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return 1 + n_components * (n_features - 1) + n_features * (n_features - 1) // 2
