"""Covariance matrices with the same axes, and a variance per component along each."""

from __future__ import annotations

from gaussmix.covariances import Covariances, Dense
from gaussmix.families.base import Equivariance, Family, register
from gaussmix.families.common_axes import ACCURACY, OTHER_AXES, with_best_axes, with_other_axes
from gaussmix.numerics.arrays import Array
from gaussmix.waist.algebra import Across, Algebra
from gaussmix.waist.moments import Scatter


@register("VVE", in_all=True)
class VVE(Family):
    """Σ_k = D diag(v_k) Dᵀ: v_k = diag(DᵀS_kD) / N_k, which makes D Flury's (1984) common principal components.

    Celeux & Govaert (1995) section 3.1; Browne & McNicholas (2014), Advances in Data Analysis and Classification 8.
    """

    kind = Dense
    equivariance = Equivariance.SIMILARITY
    algebra = Algebra(Across.OWN, Across.OWN, Across.EQUAL)
    accuracy = ACCURACY
    other_axes = OTHER_AXES

    def update(self, scatter: Scatter, current: Covariances | None) -> Covariances:
        last = None if current is None else current.each
        return self.covariances(with_best_axes(scatter, last, scatter.degrees, _along), *scatter.shape)

    def other_initial_covariances(self, scatter: Scatter) -> list[Covariances]:
        return [self.covariances(each, *scatter.shape) for each in with_other_axes(scatter, _along)]


def _along(spectra: Array, degrees: Array) -> Array:
    return spectra / degrees[:, None]
