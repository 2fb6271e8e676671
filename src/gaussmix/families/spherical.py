"""A variance per component."""

from __future__ import annotations

from gaussmix.covariances import Isotropic
from gaussmix.families.base import register
from gaussmix.families.bounded import Boundable


@register("spherical", "VII", "V", in_all=True)
class Spherical(Boundable):
    """Σ_k = v_k I (mclust's VII): v_k = tr(S_k) / (d N_k), Celeux & Govaert (1995) section 3.3.

    Parameters
    ----------
    max_condition : float, default None
        Bound on the ratio of eigenvalues, as for `Full`.
    """

    kind = Isotropic
