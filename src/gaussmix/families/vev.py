"""Covariance matrices of the same shape, with a volume and an orientation per component."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from gaussmix.families.base import Equivariance, register
from gaussmix.families.full import Full
from gaussmix.families.orientation import composed
from gaussmix.families.volume import with_own_volumes
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.axes import principal_axes
from gaussmix.waist.algebra import Across, Algebra
from gaussmix.waist.moments import Scatter


@register("VEV")
class VEV(Full):
    """Σ_k = λ_k D_k diag(b) D_kᵀ: S_k = D_k diag(ω_k) D_kᵀ in order, b and λ_k in turns; compact as "full".

    Celeux & Govaert (1995) section 3.1.
    """

    equivariance = Equivariance.SIMILARITY
    algebra: ClassVar[Algebra | None] = Algebra(Across.OWN, Across.EQUAL, Across.OWN)

    def update(self, scatter: Scatter, current: Array | None) -> Array:
        spectra, axes = principal_axes(scatter.second)
        start = scatter.second / scatter.mass[:, None, None] if current is None else current
        volumes = np.trace(start, axis1=1, axis2=2) / scatter.n_features
        return composed(axes, with_own_volumes(spectra, scatter.mass, volumes))

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return n_components + n_features - 1 + n_components * n_features * (n_features - 1) // 2
