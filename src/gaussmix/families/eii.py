"""One variance for everything."""

from __future__ import annotations

import numpy as np

from gaussmix.covariances import Covariances, Isotropic
from gaussmix.families.base import Equivariance, register
from gaussmix.families.bounded import Boundable
from gaussmix.waist.algebra import Across, Algebra
from gaussmix.waist.moments import Scatter


@register("EII", "E", in_all=True)
class EII(Boundable):
    """Σ_k = v I: v = Σ_k tr(S_k) / (d Σ_k N_k), Celeux & Govaert (1995) section 3.3.

    Parameters
    ----------
    max_condition : float, default None
        Bound on the ratio of eigenvalues, as for `Full`.
    """

    kind = Isotropic
    is_shared = True
    free_equivariance = Equivariance.SIMILARITY
    free_algebra = Algebra(Across.EQUAL)

    def free_update(self, scatter: Scatter) -> Covariances:
        variance = np.asarray(scatter.second / (scatter.n_features * scatter.degrees.sum()))
        return self.covariances(variance, *scatter.shape)

    def free_n_parameters(self, n_components: int, n_features: int) -> int:
        return 1
