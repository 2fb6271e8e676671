"""Specification of the second moments that a covariance structure needs, and rules that assign rows to components."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.einsum import einsum


class Second(IntEnum):
    """Kind of second moments of a component about a reference point a. The C++ core uses the same integers."""

    NONE = 0
    TRACE = 1  # Σ γ ‖x − a‖²              (n_components,)
    DIAGONAL = 2  # Σ γ (x − a)²              (n_components, n_features)
    FULL = 3  # Σ γ (x − a)(x − a)ᵀ       (n_components, n_features, n_features)
    PROJECTED = 4  # [Σ γ (x − a)(B (x − a))ᵀ | Σ γ (x − a)²]  (n_components, n_features, n_projected + 1)

    @property
    def n_axes(self) -> int:
        """Return the number of array axes of one component's second moments, or of pooled second moments."""
        return {Second.TRACE: 0, Second.DIAGONAL: 1}.get(self, 2)

    def n_values(self, n_features: int) -> int:
        """Return the number of free values of one covariance: 1, a diagonal, or one triangle of a matrix."""
        return {Second.TRACE: 1, Second.DIAGONAL: n_features}.get(self, n_features * (n_features + 1) // 2)


class AssignmentRule(IntEnum):
    """Rule that assigns rows to components. The C++ core uses the same integers."""

    SOFT = 0  # each row is divided among components by responsibility, as in EM
    HARD = 1  # most probable component: k-means if components share a spherical covariance
    ASSIGNMENT = 2  # labels or responsibilities in `Block.assignment`, for an M-step before any E-step


@dataclass(frozen=True)
class MomentSpec:
    """Specification of the second moments that an engine sums.

    Parameters
    ----------
    second : kind of second moments.
    is_pooled : whether second moments are summed over components; the array then has no axis for components.
    projection : matrices B_k of `Second.PROJECTED`, (n_components or 1, n_projected, n_features); otherwise None.
    """

    second: Second
    is_pooled: bool = False
    projection: Array | None = field(default=None, compare=False)

    def n_values(self, n_components: int, n_features: int) -> int:
        """Return the largest number of values in a message with second moments, which may not yet be pooled."""
        if self.second is Second.NONE:
            return 0
        if self.projection is not None:
            return n_components * n_features * (self.projection.shape[1] + 1)
        return n_components * self.second.n_values(n_features)

    def squares(self, vectors: Array) -> Array:
        """Return v vᵀ for each row v of `vectors` (n_components, n_features), in the form that `second` describes."""
        if self.second is Second.FULL and self.is_pooled:
            return einsum("ki,kj->ij", vectors, vectors)
        if self.second is Second.FULL:
            return vectors[:, :, None] * vectors[:, None, :]
        if self.second is Second.PROJECTED:
            squares: Array = self._projected_squares(vectors)
        else:
            squares = vectors**2 if self.second is Second.DIAGONAL else (vectors**2).sum(axis=1)
        return squares.sum(axis=0) if self.is_pooled else squares

    def _projected_squares(self, vectors: Array) -> Array:
        assert self.projection is not None, "a projection goes with Second.PROJECTED"
        shape = len(vectors), *self.projection.shape[1:]
        projected = einsum("kqd,kd->kq", np.broadcast_to(self.projection, shape), vectors)
        squares = np.empty((*vectors.shape, shape[1] + 1))
        squares[..., :-1] = vectors[..., None] * projected[:, None, :]
        squares[..., -1] = vectors**2
        return squares


AssignmentRule.__module__ = MomentSpec.__module__ = "gaussmix.extend"  # the module from which users import them
