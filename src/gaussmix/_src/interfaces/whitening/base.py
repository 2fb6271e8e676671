"""Whitening factors W_k with Σ_k⁻¹ = W_kᵀ W_k, the form in which an E-step takes covariances."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import ClassVar, Self

import numpy as np

from gaussmix._src.numerics.arrays import Array, Indices


class FactorShape(IntEnum):
    """Shape of whitening factors. The C++ core uses the same integers."""

    SPHERICAL = 0  # w_k         factors (K,)
    DIAGONAL = 1  # diag(w_k)   factors (K, d)
    TRIANGULAR = 2  # W_k lower   factors (K, d, d)
    LOW_RANK = 3  # (I − F_k F_kᵀ) diag(w_k)   factors (K, d, q + 1), [F_k | w_k]


@dataclass(frozen=True, eq=False)
class Whitening(ABC):
    """Factors W_k of the precisions, one per component or one for all.

    Parameters
    ----------
    factors : 1 or n_components factors on the first axis, 1 / data units; see `FactorShape`.
    log_abs_det : (1,) or (n_components,), log |det W_k| = −½ log det Σ_k.
    """

    factors: Array
    log_abs_det: Array

    factor_shape: ClassVar[FactorShape]

    @property
    def is_shared(self) -> bool:
        """Return whether one factor serves every component."""
        return len(self.factors) == 1

    def factor(self, component: int) -> Array:
        """Return the factor of a component, without the first axis."""
        return self.factors[0 if self.is_shared else component]

    @abstractmethod
    def whiten(self, component: int, offsets: Array) -> Array:
        """Return W_k u for each row u = x − μ_k of `offsets` (n_rows, n_features)."""

    @abstractmethod
    def whiten_each(self, offsets: Array) -> Array:
        """Return W_k u_k for one row u_k per component, (n_components, n_features)."""

    @abstractmethod
    def colour(self, component: int, whitened: Array) -> Array:
        """Solve W_k u = z for each row z of `whitened` (n_rows, n_features). This is the inverse of `whiten`."""

    def whiten_change(self, components: Indices, reference: int, offsets: Array) -> Array:
        """Return (W_k − W_r) u for each row u of `offsets` (n_rows, n_features) with component k and reference r."""
        return replace(self, factors=self.take(components).factors - self.factor(reference)).whiten_each(offsets)

    def take(self, components: Sequence[int] | Indices) -> Self:
        """Return the factors of some components. Unlike `whiten`, `whiten_each` of the result does not use BLAS."""
        return self if self.is_shared else replace(self, factors=self.factors[np.asarray(components, dtype=np.intp)])

    def bound_whitened(self, offsets: Array) -> Array:
        """Bound |W_k u| over all |u| ≤ `offsets` (n_components, n_features), element by element."""
        return replace(self, factors=np.abs(self.factors)).whiten_each(offsets)

    @abstractmethod
    def precision_times(self, component: int, offsets: Array) -> Array:
        """Return Σ_k⁻¹ u = W_kᵀ W_k u for each row u of `offsets` (n_rows, n_features)."""

    @abstractmethod
    def precisions(self) -> Array:
        """Return W_kᵀ W_k in the shape of the factors, (…, d, d), (…, d) or (…,); as matrices for low-rank factors."""

    @abstractmethod
    def precision_diagonals(self) -> Array:
        """Return the diagonals of W_kᵀ W_k, (…, n_features) or (…, 1), for 1 or n_components factors."""
