"""What a family asks the engine to accumulate, and how rows are shared among components."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.einsum import einsum


class Second(IntEnum):
    """Second moments of a component about its anchor; the numbers are those of the C++ core."""

    NONE = 0
    TRACE = 1  # Σ γ ‖x − a‖²              (n_components,)
    DIAGONAL = 2  # Σ γ (x − a)²              (n_components, n_features)
    FULL = 3  # Σ γ (x − a)(x − a)ᵀ       (n_components, n_features, n_features)
    PROJECTED = 4  # [Σ γ (x − a)(B (x − a))ᵀ | Σ γ (x − a)²]  (n_components, n_features, n_projected + 1)

    @property
    def n_axes(self) -> int:
        """Number of axes of the moments of one component, or of pooled ones."""
        return {Second.TRACE: 0, Second.DIAGONAL: 1}.get(self, 2)

    def n_values(self, n_features: int) -> int:
        """Numbers of a covariance that is made from them: 1, a diagonal, or a triangle of a matrix."""
        return {Second.TRACE: 1, Second.DIAGONAL: n_features}.get(self, n_features * (n_features + 1) // 2)


class AssignmentRule(IntEnum):
    """How a row is shared among components; the numbers are those of the C++ core."""

    SOFT = 0  # by responsibility: EM
    HARD = 1  # to the most probable component: k-means under a shared spherical whitening
    ASSIGNMENT = 2  # as `Block.assignment` says: an M-step first


@dataclass(frozen=True)
class MomentSpec:
    """Second moments to accumulate.

    Parameters
    ----------
    second : which.
    pooled : they are summed over components, and their first axis is gone.
    projection : B_k of `Second.PROJECTED`, (n_components or 1, n_projected, n_features); None otherwise.
    """

    second: Second
    is_pooled: bool = False
    projection: Array | None = field(default=None, compare=False)

    def n_values(self, n_components: int, n_features: int) -> int:
        """The most numbers that second moments are sent as: pooled ones may be sent before they are pooled."""
        if self.second is Second.NONE:
            return 0
        if self.projection is not None:
            return n_components * n_features * (self.projection.shape[1] + 1)
        return n_components * self.second.n_values(n_features)

    def squares(self, vectors: Array) -> Array:
        """v_k v_kᵀ of each row of `vectors` (n_components, n_features), in the form of the second moments."""
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


AssignmentRule.__module__ = MomentSpec.__module__ = "gaussmix.extend"  # where users import them from
