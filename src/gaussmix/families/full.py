"""A covariance matrix of its own for each component."""

from __future__ import annotations

from gaussmix.covariances import Covariances, Dense
from gaussmix.families.base import Equivariance, register
from gaussmix.families.bounded import Boundable
from gaussmix.numerics.pieces import in_pieces
from gaussmix.waist.algebra import Across, Algebra
from gaussmix.waist.moments import Scatter


@register("full", "VVV", in_all=True)
class Full(Boundable):
    """Σ_k unrestricted (mclust's VVV): Σ_k = S_k / N_k, Bishop (2006) eq. 9.19.

    Parameters
    ----------
    max_condition : float, default None
        Bound c ≥ 1 on the ratio of the largest to the smallest eigenvalue of all covariances together, an alternative
        to `reg_covar` that keeps components from collapsing; 1 makes all of them one sphere. Unlike a ridge it depends
        on the units of the features: scale them first. Each step is exact (Fritz, García-Escudero & Mayo-Iscar 2013).
        None for no bound.

    Raises
    ------
    ValueError : the bound is below 1 or not finite.
    TypeError : the bound is no number.

    Examples
    --------
    >>> from gaussmix import Full, GaussianMixture
    >>> GaussianMixture(2, covariance_type=Full(max_condition=100)).covariance_type
    Full(max_condition=100)
    """

    kind = Dense
    free_equivariance = Equivariance.AFFINE
    free_algebra = Algebra(Across.OWN, Across.OWN, Across.OWN)

    def free_update(self, scatter: Scatter) -> Covariances:
        # In pieces, so that an interrupt comes through between them: K d² can be gigabytes.
        matrices = in_pieces(lambda second, degrees: second / degrees, scatter.second, scatter.degrees[:, None, None])
        return self.covariances(matrices, *scatter.shape)

    def free_n_parameters(self, n_components: int, n_features: int) -> int:
        return n_components * n_features * (n_features + 1) // 2
