"""Covariance matrices of the same shape and orientation, and a volume per component."""

from __future__ import annotations

import numpy as np

from gaussmix.covariances import Covariances, Dense
from gaussmix.families.base import Equivariance, Family, register
from gaussmix.families.volume import reciprocal, settled_volumes
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.contract import contract
from gaussmix.numerics.factorise import factorise
from gaussmix.waist.algebra import Across, Algebra
from gaussmix.waist.moments import Scatter


@register("VEE", in_all=True)
class VEE(Family):
    """Σ_k = λ_k C: C and λ_k in turns, Celeux & Govaert (1995) section 3.1."""

    kind = Dense
    equivariance = Equivariance.AFFINE
    algebra = Algebra(Across.OWN, Across.EQUAL, Across.EQUAL)

    def update(self, scatter: Scatter, current: Covariances | None) -> Covariances:
        second, degrees = scatter.second, scatter.degrees

        def common(volumes: Array) -> Array:
            return contract("kij,k->ij", second, reciprocal(volumes)) / degrees.sum()

        def traces(volumes: Array) -> Array:
            factors, _, failed = factorise(common(volumes)[None])
            if failed.any():
                return np.full(len(degrees), np.nan)
            return contract("ij,kij->k", contract("ji,jl->il", factors[0], factors[0]), second)

        start = second / degrees[:, None, None] if current is None else current.each
        volumes = np.trace(start, axis1=1, axis2=2) / scatter.n_features
        volumes = settled_volumes(volumes, degrees, scatter.n_features, traces)
        return self.covariances(volumes[:, None, None] * common(volumes), *scatter.shape)
