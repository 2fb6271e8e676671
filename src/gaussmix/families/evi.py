"""A variance per component and feature, with the same volume for all components."""

from __future__ import annotations

from gaussmix.covariances import Covariances, Diagonal
from gaussmix.families.base import Equivariance, Family, register
from gaussmix.families.volume import equal_volumes
from gaussmix.numerics.elementary import geometric_mean
from gaussmix.waist.algebra import Across, Algebra
from gaussmix.waist.moments import Scatter


@register("EVI", in_all=True)
class EVI(Family):
    """Σ_k = λ diag(a_k), Π_j a_kj = 1: a_k ∝ diag(S_k), Celeux & Govaert (1995) section 3.2."""

    kind = Diagonal
    equivariance = Equivariance.SCALING
    algebra = Algebra(Across.EQUAL, Across.OWN)

    def update(self, scatter: Scatter, current: Covariances | None) -> Covariances:
        variances = scatter.second * equal_volumes(geometric_mean(scatter.second), scatter.degrees)[:, None]
        return self.covariances(variances, *scatter.shape)

    def prior_degrees(self, dof: float, n_features: int, of_mean: float) -> tuple[float, float]:
        """As in mclust, for the volume, without those of the means; Fraley & Raftery (2007) have no prior for EVI."""
        return 0.0, dof + 2.0
