"""Diagonal covariances, with one variance per feature."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from gaussmix._src.covariances.base import Covariances
from gaussmix._src.covariances.dense import Dense, squared
from gaussmix._src.interfaces.moment_spec import Second
from gaussmix._src.interfaces.whitening.diagonal import DiagonalWhitening
from gaussmix._src.numerics.arrays import Array, Indices
from gaussmix._src.numerics.elementary import exponential, log


class Diagonal(Covariances):
    """Diagonal covariances Σ_k = diag(v_k); `each` has shape (n, n_features)."""

    second = Second.DIAGONAL

    def coordinates(self) -> Array:
        return log(self.each)

    def from_coordinates(self, coordinates: Array) -> Diagonal:
        return replace(self, each=exponential(coordinates))

    def scale_by_information(self, changes: Array) -> Array:
        return changes * math.sqrt(0.5)

    def variances(self) -> Array:
        return self.for_all(self.each)

    def dense(self) -> Array:
        return self.for_all(self.each[:, :, None] * np.eye(self.n_features))

    def _whitening(self) -> DiagonalWhitening:
        return DiagonalWhitening.from_variances(self.each)

    def to_form(self, kind: type[Covariances]) -> Covariances:
        if kind is not Dense:
            return self
        return Dense(self.each[..., None] * np.eye(self.n_features), self.n_components, self.n_features, self.is_shared)

    def marginal(self, indices: Indices) -> Diagonal:
        return replace(self, each=self.each[:, indices], n_features=len(indices))

    def conditional(self, known: Indices, unknown: Indices) -> tuple[Diagonal, Array]:
        return self.marginal(unknown), np.zeros((1, len(unknown), len(known)))

    def transform(self, A: Array) -> Covariances:
        if is_scaled_selection(A):
            scales = np.abs(A).max(axis=1) ** 2
            return replace(self, each=self.each[:, (A != 0).argmax(axis=1)] * scales, n_features=len(A))
        deviations = np.sqrt(self.each)
        return Dense(squared(A * deviations[:, None, :]), self.n_components, len(A), self.is_shared)


def is_scaled_selection(A: Array) -> bool:
    """Return whether a linear map A (m, n_features) only scales, drops and reorders features."""
    present = A != 0
    return bool((present.sum(axis=1) == 1).all() and (present.sum(axis=0) <= 1).all())
