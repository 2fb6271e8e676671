"""Whitening with one factor per feature (diagonal), or with one factor for all features (spherical)."""

from __future__ import annotations

from typing import ClassVar

from gaussmix._src.interfaces.whitening.base import FactorShape, Whitening
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.elementary import inverse_root, log


class ElementWise(Whitening):
    """Base class of whitening factors that multiply each feature by a number."""

    def whiten(self, component: int, offsets: Array) -> Array:
        return offsets * self.factor(component)

    def colour(self, component: int, whitened: Array) -> Array:
        return whitened / self.factor(component)

    def precision_times(self, component: int, offsets: Array) -> Array:
        return offsets * self.factor(component) * self.factor(component)

    def precisions(self) -> Array:
        return self.factors**2


class DiagonalWhitening(ElementWise):
    """Whitening factors W_k = diag(v_k^(−½)) for diagonal covariances Σ_k = diag(v_k)."""

    factor_shape: ClassVar[FactorShape] = FactorShape.DIAGONAL

    @classmethod
    def from_variances(cls, variances: Array) -> DiagonalWhitening:
        """Compute whitening factors from positive variances (n, n_features), in data units²."""
        factors = inverse_root(variances)
        return cls(factors, log(factors).sum(axis=1))

    def whiten_each(self, offsets: Array) -> Array:
        return offsets * self.factors

    def precision_diagonals(self) -> Array:
        return self.factors**2


class SphericalWhitening(ElementWise):
    """Whitening factors W_k = v_k^(−½) I for spherical covariances Σ_k = v_k I."""

    factor_shape: ClassVar[FactorShape] = FactorShape.SPHERICAL

    @classmethod
    def from_variances(cls, variances: Array, n_features: int) -> SphericalWhitening:
        """Compute whitening factors from positive variances (n,), in data units²."""
        factors = inverse_root(variances)
        return cls(factors, n_features * log(factors))

    def whiten_each(self, offsets: Array) -> Array:
        return offsets * self.factors[:, None]

    def precision_diagonals(self) -> Array:
        return self.factors[:, None] ** 2
