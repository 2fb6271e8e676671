"""Covariance matrices with the same axes, and a variance per component along each."""

from __future__ import annotations

from gaussmix.families.base import register
from gaussmix.families.common_axes import CommonAxes
from gaussmix.numerics.arrays import Array
from gaussmix.waist.algebra import Across, Algebra


@register("VVE", in_all=True)
class VVE(CommonAxes):
    """Σ_k = D diag(v_k) Dᵀ: v_k = diag(DᵀS_kD) / N_k, which makes D Flury's (1984) common principal components.

    Celeux & Govaert (1995) section 3.1; Browne & McNicholas (2014), Advances in Data Analysis and Classification 8.
    """

    algebra = Algebra(Across.OWN, Across.OWN, Across.EQUAL)

    def along(self, spectra: Array, degrees: Array) -> Array:
        return spectra / degrees[:, None]

    def importance(self, degrees: Array) -> Array:
        return degrees
