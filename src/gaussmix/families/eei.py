"""A variance per feature, the same for all components."""

from __future__ import annotations

from gaussmix.covariances import Diagonal
from gaussmix.families.base import register
from gaussmix.families.bounded import Boundable


@register("EEI", in_all=True)
class EEI(Boundable):
    """Σ_k = diag(v): v = Σ_k diag(S_k) / Σ_k N_k, Celeux & Govaert (1995) section 3.2.

    Parameters
    ----------
    max_condition : float, default None
        Bound on the ratio of eigenvalues, as for `Full`.
    """

    kind = Diagonal
    is_shared = True
