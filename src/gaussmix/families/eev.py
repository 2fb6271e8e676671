"""Covariance matrices that differ by rotations."""

from __future__ import annotations

from gaussmix.covariances import Covariances, Dense
from gaussmix.covariances.dense import composed
from gaussmix.families.base import Equivariance, Family, register
from gaussmix.numerics.axes import principal_axes
from gaussmix.waist.algebra import Across, Algebra
from gaussmix.waist.moments import Scatter


@register("EEV", in_all=True)
class EEV(Family):
    """Σ_k = D_k diag(a) D_kᵀ: S_k = D_k diag(ω_k) D_kᵀ in order, a = Σ_k ω_k / Σ_k N_k.

    Celeux & Govaert (1995) section 3.1.
    """

    kind = Dense
    equivariance = Equivariance.SIMILARITY
    algebra = Algebra(Across.EQUAL, Across.EQUAL, Across.OWN)

    def update(self, scatter: Scatter, current: Covariances | None) -> Covariances:
        spectra, axes = principal_axes(scatter.second)
        shared = spectra.sum(axis=0) / scatter.degrees.sum()
        return self.covariances(composed(axes, shared[None]), *scatter.shape)

    def prior_degrees(self, dof: float, n_features: int, of_mean: float) -> tuple[float, float]:
        """As in mclust, for the shared proportions alone; Fraley & Raftery (2007) give none for this structure."""
        return 0.0, dof + n_features + 1.0 + of_mean
