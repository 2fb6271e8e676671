"""Covariance matrices of the same shape, with a volume and an orientation per component."""

from __future__ import annotations

import numpy as np

from gaussmix.covariances import Covariances, Dense
from gaussmix.covariances.dense import composed
from gaussmix.families.base import Equivariance, Family, register
from gaussmix.families.volume import with_own_volumes
from gaussmix.numerics.axes import principal_axes
from gaussmix.waist.algebra import Across, Algebra
from gaussmix.waist.moments import Scatter


@register("VEV", in_all=True)
class VEV(Family):
    """Σ_k = λ_k D_k diag(b) D_kᵀ: S_k = D_k diag(ω_k) D_kᵀ in order, b and λ_k in turns.

    Celeux & Govaert (1995) section 3.1.
    """

    kind = Dense
    equivariance = Equivariance.SIMILARITY
    algebra = Algebra(Across.OWN, Across.EQUAL, Across.OWN)

    def update(self, scatter: Scatter, current: Covariances | None) -> Covariances:
        spectra, axes = principal_axes(scatter.second)
        start = scatter.second / scatter.degrees[:, None, None] if current is None else current.each
        volumes = np.trace(start, axis1=1, axis2=2) / scatter.n_features
        variances = with_own_volumes(spectra, scatter.degrees, volumes)
        return self.covariances(composed(axes, variances), *scatter.shape)

    def prior_degrees(self, dof: float, n_features: int, of_mean: float) -> tuple[float, float]:
        """None, as in mclust: the scale alone keeps covariances regular; Fraley & Raftery (2007) do not treat VEV."""
        return 0.0, 0.0
