"""A covariance matrix of its own for each component."""

from __future__ import annotations

from gaussmix.covariances import Dense
from gaussmix.families.base import register
from gaussmix.families.bounded import Boundable


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
