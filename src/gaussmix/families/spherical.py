"""A variance per component."""

from __future__ import annotations

from gaussmix.covariances import Covariances, Isotropic
from gaussmix.families.base import Equivariance, register
from gaussmix.families.bounded import Boundable
from gaussmix.waist.algebra import Across, Algebra
from gaussmix.waist.moments import Scatter


@register("spherical", "VII", "V", in_all=True)
class Spherical(Boundable):
    """Σ_k = v_k I (mclust's VII): v_k = tr(S_k) / (d N_k), Celeux & Govaert (1995) section 3.3.

    Parameters
    ----------
    max_condition : float, default None
        Bound on the ratio of eigenvalues, as for `Full`.
    """

    kind = Isotropic
    free_equivariance = Equivariance.SIMILARITY
    free_algebra = Algebra(Across.OWN)

    def free_update(self, scatter: Scatter) -> Covariances:
        return self.covariances(scatter.second / (scatter.n_features * scatter.degrees), *scatter.shape)

    def free_n_parameters(self, n_components: int, n_features: int) -> int:
        return n_components
