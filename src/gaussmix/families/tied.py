"""One covariance matrix for all components."""

from __future__ import annotations

from gaussmix.covariances import Dense
from gaussmix.families.base import register
from gaussmix.families.bounded import Boundable


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
