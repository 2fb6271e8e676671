"""One covariance matrix for all components."""

from __future__ import annotations

from gaussmix.covariances import Covariances, Dense
from gaussmix.families.base import Equivariance, register
from gaussmix.families.bounded import Boundable
from gaussmix.waist.algebra import Across, Algebra
from gaussmix.waist.moments import Scatter


@register("tied", "EEE", in_all=True)
class Tied(Boundable):
    """Σ_k = Σ (mclust's EEE): Σ = Σ_k S_k / Σ_k N_k, Celeux & Govaert (1995) section 3.1.

    Parameters
    ----------
    max_condition : float, default None
        Bound on the ratio of eigenvalues, as for `Full`.
    """

    kind = Dense
    is_shared = True
    free_equivariance = Equivariance.AFFINE
    free_algebra = Algebra(Across.EQUAL, Across.EQUAL, Across.EQUAL)

    def free_update(self, scatter: Scatter) -> Covariances:
        return self.covariances(scatter.second / scatter.degrees.sum(), *scatter.shape)

    def free_n_parameters(self, n_components: int, n_features: int) -> int:
        return n_features * (n_features + 1) // 2
