"""Whitening factors W_k with Σ_k⁻¹ = W_kᵀ W_k. An E-step reads whitening factors instead of covariances."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import ClassVar, Self

import numpy as np

from gaussmix._src.numerics.arrays import Array, Indices


class FactorShape(IntEnum):
    """Shape of the whitening factors W_k; the members are the same integers as in the C++ core."""

    SPHERICAL = 0  # W_k = w_k I; the array `factors` has shape (K,)
    DIAGONAL = 1  # W_k = diag(w_k); the array `factors` has shape (K, d)
    TRIANGULAR = 2  # W_k is a lower triangular matrix; the array `factors` has shape (K, d, d)
    LOW_RANK = 3  # W_k = (I − F_k F_kᵀ) diag(w_k); the array `factors`, [F_k | w_k], has shape (K, d, q + 1)


@dataclass(frozen=True, eq=False)
class Whitening(ABC):
    """Whitening factors W_k with Σ_k⁻¹ = W_kᵀ W_k: one for each component, or one for all components.

    Parameters
    ----------
    factors : array of 1 or n_components factors along the first axis, in 1 / data units; see `FactorShape`.
    log_abs_det : log |det W_k| of each factor, which is −½ log det Σ_k, (1,) or (n_components,).
    """

    factors: Array
    log_abs_det: Array

    factor_shape: ClassVar[FactorShape]

    @property
    def is_shared(self) -> bool:
        """Return whether all components share one factor."""
        return len(self.factors) == 1

    def factor(self, component: int) -> Array:
        """Return the factor of component `component`, an array without the first axis of `factors`."""
        return self.factors[0 if self.is_shared else component]

    @abstractmethod
    def whiten(self, component: int, offsets: Array) -> Array:
        """Return W_k u for each row u of `offsets` (n_rows, n_features), where u = x − μ_k."""

    @abstractmethod
    def whiten_each(self, offsets: Array) -> Array:
        """Return W_k u_k for each component, where u_k is row k of `offsets` (n_components, n_features)."""

    @abstractmethod
    def colour(self, component: int, whitened: Array) -> Array:
        """Solve W_k u = z for each row z of `whitened` (n_rows, n_features), as the inverse of `whiten`."""

    def whiten_change(self, components: Indices, reference: int, offsets: Array) -> Array:
        """Return (W_k − W_r) u for each row u of `offsets` (n_rows, n_features).

        `components` (n_rows,) contains the component k of each row, and r is the component `reference`.
        """
        return replace(self, factors=self.take(components).factors - self.factor(reference)).whiten_each(offsets)

    def take(self, components: Sequence[int] | Indices) -> Self:
        """Return the whitening factors of the given components, or `self` if all components share one factor."""
        return self if self.is_shared else replace(self, factors=self.factors[np.asarray(components, dtype=np.intp)])

    def bound_whitened(self, offsets: Array) -> Array:
        """Return elementwise upper bounds on |W_k u| for |u| ≤ row k of `offsets` (n_components, n_features)."""
        return replace(self, factors=np.abs(self.factors)).whiten_each(offsets)

    @abstractmethod
    def precision_times(self, component: int, offsets: Array) -> Array:
        """Return Σ_k⁻¹ u = W_kᵀ W_k u for each row u of `offsets` (n_rows, n_features)."""

    @abstractmethod
    def precisions(self) -> Array:
        """Return the precisions W_kᵀ W_k in the shape of `factors`; low-rank factors give matrices (…, d, d)."""

    @abstractmethod
    def precision_diagonals(self) -> Array:
        """Return the diagonal of each precision W_kᵀ W_k, (…, n_features); (…, 1) for spherical factors."""
