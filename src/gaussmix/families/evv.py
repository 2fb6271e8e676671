"""A covariance matrix per component, with the same volume for all components."""

from __future__ import annotations

import numpy as np

from gaussmix.covariances import Covariances, Dense
from gaussmix.families.base import Equivariance, Family, register
from gaussmix.families.volume import equal_volumes
from gaussmix.numerics.elementary import exponential
from gaussmix.numerics.factorise import factorise
from gaussmix.waist.algebra import Across, Algebra
from gaussmix.waist.moments import Scatter


@register("EVV", in_all=True)
class EVV(Family):
    """Σ_k = λ C_k, det C_k = 1: C_k ∝ S_k, Celeux & Govaert (1995) section 3.1."""

    kind = Dense
    equivariance = Equivariance.AFFINE
    algebra = Algebra(Across.EQUAL, Across.OWN, Across.OWN)

    def update(self, scatter: Scatter, current: Covariances | None) -> Covariances:
        _, log_abs_det, failed = factorise(scatter.second)
        exponents = np.where(failed, 0.0, -2.0 / scatter.n_features * log_abs_det)
        roots = np.where(failed, 0.0, exponential(exponents))
        matrices = scatter.second * equal_volumes(roots, scatter.degrees)[:, None, None]
        return self.covariances(matrices, *scatter.shape)
