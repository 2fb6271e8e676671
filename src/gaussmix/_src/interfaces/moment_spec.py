"""Specification of the second moments that a covariance structure needs; rules that assign rows to components."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.einsum import einsum


class Second(IntEnum):
    """Form of the second moments of a component about a reference point a; same integers as in the C++ core."""

    NONE = 0
    TRACE = 1  # one number per component: Σ γ ‖x − a‖²; array (n_components,)
    DIAGONAL = 2  # one number per feature: Σ γ (x − a)²; array (n_components, n_features)
    FULL = 3  # matrices Σ γ (x − a)(x − a)ᵀ; array (n_components, n_features, n_features)
    PROJECTED = 4  # [Σ γ (x − a)(B (x − a))ᵀ | Σ γ (x − a)²]; array (n_components, n_features, n_projected + 1)

    @property
    def n_axes(self) -> int:
        """Return the number of array axes of second moments that are pooled or that belong to one component."""
        return {Second.TRACE: 0, Second.DIAGONAL: 1}.get(self, 2)

    def n_values(self, n_features: int) -> int:
        """Return the number of free values of one covariance: 1, n_features, or the size of a triangle of a matrix."""
        return {Second.TRACE: 1, Second.DIAGONAL: n_features}.get(self, n_features * (n_features + 1) // 2)


class AssignmentRule(IntEnum):
    """Rule that assigns rows to components; the members are the same integers as in the C++ core."""

    SOFT = 0  # each row is divided among components in proportion to responsibilities, as in EM
    HARD = 1  # each row goes to its most probable component; k-means if components share a spherical covariance
    ASSIGNMENT = 2  # `Block.assignment` contains labels or responsibilities, for an M-step before the first E-step


@dataclass(frozen=True)
class MomentSpec:
    """Specification of the second moments that an engine computes as sums over rows.

    Parameters
    ----------
    second : form of the second moments.
    is_pooled : whether second moments are summed over components. If so, their array has no axis for components.
    projection : matrices B_k, (n_components or 1, n_projected, n_features), for `Second.PROJECTED`; otherwise None.
    """

    second: Second
    is_pooled: bool = False
    projection: Array | None = field(default=None, compare=False)

    def n_values(self, n_components: int, n_features: int) -> int:
        """Return the maximum number of values of second moments, pooled or not, in a message between processes."""
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

    def reduce(self, second: Array) -> Array:
        """Convert second moments (matrices, or only their diagonals if these suffice) to the requested form."""
        result = second
        if self.projection is not None:
            projected = einsum("kij,kqj->kiq", second, self.projection)
            result = np.concatenate([projected, np.einsum("kii->ki", second)[..., None]], axis=2)
        elif self.second is not Second.FULL and second.ndim == 3:
            result = np.einsum("kii->ki", second)
        if self.second is Second.TRACE:
            result = result.sum(axis=1)
        return result.sum(axis=0) if self.is_pooled else result

    def _projected_squares(self, vectors: Array) -> Array:
        assert self.projection is not None, "Second.PROJECTED requires a projection"
        projected = einsum("kqd,kd->kq", self.projection, vectors)
        squares = np.empty((*vectors.shape, projected.shape[1] + 1))
        for i in range(projected.shape[1]):  # One product over a short last axis is slow.
            squares[..., i] = vectors * projected[:, i, None]
        squares[..., -1] = vectors**2
        return squares
