"""One variance for everything."""

from __future__ import annotations

import numpy as np

from gaussmix.covariances import Covariances, Spherical
from gaussmix.families.base import Equivariance, register
from gaussmix.families.bounded import Boundable
from gaussmix.waist.algebra import Across, Algebra
from gaussmix.waist.moments import Scatter


@register("EII", "E", in_all=True)
class EII(Boundable):
    """Σ_k = v I: v = Σ_k tr(S_k) / (d Σ_k N_k), Celeux & Govaert (1995) section 3.3."""

    kind = Spherical
    is_shared = True
    equivariance = Equivariance.SIMILARITY
    algebra = Algebra(Across.EQUAL)

    def update(self, scatter: Scatter, current: Covariances | None) -> Covariances:
        variance = np.asarray(scatter.second / (scatter.n_features * scatter.degrees.sum()))
        return self.covariances(variance, *scatter.shape)

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return 1
