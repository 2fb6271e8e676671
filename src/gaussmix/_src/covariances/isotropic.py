"""Spherical covariances v I, with one variance for all features."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from gaussmix._src.covariances.base import Covariances
from gaussmix._src.covariances.diagonal import Diagonal, is_scaled_selection
from gaussmix._src.interfaces.moment_spec import Second
from gaussmix._src.interfaces.whitening.diagonal import SphericalWhitening
from gaussmix._src.numerics.arrays import Array, Indices
from gaussmix._src.numerics.elementary import exponential, log


class Isotropic(Covariances):
    """Spherical covariances Σ_k = v_k I; `each` has shape (n,)."""

    second = Second.TRACE

    def coordinates(self) -> Array:
        return log(self.each)[:, None]

    def from_coordinates(self, coordinates: Array) -> Isotropic:
        return replace(self, each=exponential(coordinates[:, 0]))

    def scale_by_information(self, changes: Array) -> Array:
        return changes * math.sqrt(0.5 * self.n_features)

    def variances(self) -> Array:
        return np.broadcast_to(self.each[:, None], (self.n_components, self.n_features))

    def dense(self) -> Array:
        return self.for_all(self.each[:, None, None] * np.eye(self.n_features))

    def _whitening(self) -> SphericalWhitening:
        return SphericalWhitening.from_variances(self.each, self.n_features)

    def to_form(self, kind: type[Covariances]) -> Covariances:
        if kind is Isotropic:
            return self
        variances = np.broadcast_to(self.each[:, None], (len(self.each), self.n_features))
        return Diagonal(variances, self.n_components, self.n_features, self.is_shared).to_form(kind)

    def marginal(self, indices: Indices) -> Isotropic:
        return replace(self, n_features=len(indices))

    def conditional(self, known: Indices, unknown: Indices) -> tuple[Isotropic, Array]:
        return self.marginal(unknown), np.zeros((1, len(unknown), len(known)))

    def transform(self, A: Array) -> Covariances:
        scales = np.abs(A).max(axis=1, initial=0.0) ** 2
        if is_scaled_selection(A) and (scales == scales[:1]).all():
            return replace(self, each=self.each * next(iter(scales), 1.0), n_features=len(A))
        return self.to_form(Diagonal).transform(A)
