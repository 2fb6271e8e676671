"""Covariance matrices with the same axes and volume, and proportions per component along the axes."""

from __future__ import annotations

from gaussmix.families.base import register
from gaussmix.families.common_axes import CommonAxes
from gaussmix.families.volume import equal_volumes
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.elementary import geometric_mean
from gaussmix.waist.algebra import Across, Algebra


@register("EVE", in_all=True)
class EVE(CommonAxes):
    """Σ_k = λ D diag(a_k) Dᵀ, Π_j a_kj = 1: a_k ∝ diag(DᵀS_kD), and D makes Σ_k (det diag(DᵀS_kD))^(1/d) smallest.

    Celeux & Govaert (1995) section 3.1; Browne & McNicholas (2014), Advances in Data Analysis and Classification 8.
    """

    algebra = Algebra(Across.EQUAL, Across.OWN, Across.EQUAL)

    def along(self, spectra: Array, degrees: Array) -> Array:
        return spectra * equal_volumes(geometric_mean(spectra), degrees)[:, None]
