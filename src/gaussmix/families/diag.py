"""A variance per component and feature."""

from __future__ import annotations

from gaussmix.covariances import Diagonal
from gaussmix.families.base import register
from gaussmix.families.bounded import Boundable


@register("diag", "VVI", in_all=True)
class Diag(Boundable):
    """Σ_k = diag(v_k) (mclust's VVI): v_k = diag(S_k) / N_k, Celeux & Govaert (1995) section 3.2.

    Parameters
    ----------
    max_condition : float, default None
        Bound on the ratio of eigenvalues, as for `Full`.
    """

    kind = Diagonal
