"""Covariance matrices with the same axes and volume, and proportions per component along the axes."""

from __future__ import annotations

from gaussmix.covariances import Covariances, Dense
from gaussmix.families.base import Equivariance, Family, register
from gaussmix.families.common_axes import ACCURACY, OTHER_AXES, with_best_axes, with_other_axes
from gaussmix.families.volume import equal_volumes
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.elementary import geometric_mean
from gaussmix.waist.algebra import Across, Algebra
from gaussmix.waist.moments import Scatter


@register("EVE", in_all=True)
class EVE(Family):
    """Σ_k = λ D diag(a_k) Dᵀ, Π_j a_kj = 1: a_k ∝ diag(DᵀS_kD), and D makes Σ_k (det diag(DᵀS_kD))^(1/d) smallest.

    Celeux & Govaert (1995) section 3.1; Browne & McNicholas (2014), Advances in Data Analysis and Classification 8.
    """

    kind = Dense
    equivariance = Equivariance.SIMILARITY
    algebra = Algebra(Across.EQUAL, Across.OWN, Across.EQUAL)
    accuracy = ACCURACY
    other_axes = OTHER_AXES

    def update(self, scatter: Scatter, current: Covariances | None) -> Covariances:
        last = None if current is None else current.each
        return self.covariances(with_best_axes(scatter, last, None, _along), *scatter.shape)

    def other_initial_covariances(self, scatter: Scatter) -> list[Covariances]:
        return [self.covariances(each, *scatter.shape) for each in with_other_axes(scatter, _along)]


def _along(spectra: Array, degrees: Array) -> Array:
    return spectra * equal_volumes(geometric_mean(spectra), degrees)[:, None]
