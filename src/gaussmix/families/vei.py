"""Variances per feature in the same proportions for all components, and a volume per component."""

from __future__ import annotations

from gaussmix.covariances import Covariances, Diagonal
from gaussmix.families.base import Equivariance, Family, register
from gaussmix.families.volume import with_own_volumes
from gaussmix.waist.algebra import Across, Algebra
from gaussmix.waist.moments import Scatter


@register("VEI", in_all=True)
class VEI(Family):
    """Σ_k = λ_k diag(b): b and λ_k in turns, Celeux & Govaert (1995) section 3.2."""

    kind = Diagonal
    equivariance = Equivariance.SCALING
    algebra = Algebra(Across.OWN, Across.EQUAL)

    def update(self, scatter: Scatter, current: Covariances | None) -> Covariances:
        start = scatter.second / scatter.degrees[:, None] if current is None else current.each
        variances = with_own_volumes(scatter.second, scatter.degrees, start.mean(axis=1))
        return self.covariances(variances, *scatter.shape)

    def prior_degrees(self, dof: float, n_features: int, of_mean: float) -> tuple[float, float]:
        """As in mclust, for the volume, as one variance of d; Fraley & Raftery (2007) have no prior for VEI."""
        return (dof + 2.0 + of_mean) / n_features, 0.0
