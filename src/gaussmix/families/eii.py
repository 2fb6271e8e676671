"""One variance for everything."""

from __future__ import annotations

from gaussmix.covariances import Isotropic
from gaussmix.families.base import register
from gaussmix.families.bounded import Boundable


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
