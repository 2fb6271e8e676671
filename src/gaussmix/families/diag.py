"""A variance per component and feature."""

from __future__ import annotations

from gaussmix.covariances import Covariances, Diagonal
from gaussmix.families.base import Equivariance, register
from gaussmix.families.bounded import Boundable
from gaussmix.numerics.pieces import in_pieces
from gaussmix.waist.algebra import Across, Algebra
from gaussmix.waist.moments import Scatter


@register("diag", "VVI", in_all=True)
class Diag(Boundable):
    """Σ_k = diag(v_k) (mclust's VVI): v_k = diag(S_k) / N_k, Celeux & Govaert (1995) section 3.2.

    Parameters
    ----------
    max_condition : float, default None
        Bound on the ratio of eigenvalues, as for `Full`.
    """

    kind = Diagonal
    free_equivariance = Equivariance.SCALING
    free_algebra = Algebra(Across.OWN, Across.OWN)

    def free_update(self, scatter: Scatter) -> Covariances:
        variances = in_pieces(lambda second, degrees: second / degrees, scatter.second, scatter.degrees[:, None])
        return self.covariances(variances, *scatter.shape)

    def free_n_parameters(self, n_components: int, n_features: int) -> int:
        return n_components * n_features
