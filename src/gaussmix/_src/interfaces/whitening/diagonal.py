"""Whitening that multiplies each feature by its own factor, or all features by one factor."""

from __future__ import annotations

from typing import ClassVar

from gaussmix._src.interfaces.whitening.base import FactorShape, Whitening
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.elementary import inverse_root, log


class ElementWise(Whitening):
    """Whitening factors that multiply each feature by a number."""

    def whiten(self, component: int, offsets: Array) -> Array:
        return offsets * self.factor(component)

    def colour(self, component: int, whitened: Array) -> Array:
        return whitened / self.factor(component)

    def precision_times(self, component: int, offsets: Array) -> Array:
        return offsets * self.factor(component) * self.factor(component)

    def precisions(self) -> Array:
        return self.factors**2


class DiagonalWhitening(ElementWise):
    """Whitening of Σ_k = diag(v_k) by W_k = diag(v_k^(−½))."""

    factor_shape: ClassVar[FactorShape] = FactorShape.DIAGONAL

    @classmethod
    def from_variances(cls, variances: Array) -> DiagonalWhitening:
        """Invert variances (n, n_features), data units²; raise `SingularCovarianceError` unless all are positive."""
        factors = inverse_root(variances)
        return cls(factors, log(factors).sum(axis=1))

    def whiten_each(self, offsets: Array) -> Array:
        return offsets * self.factors

    def precision_diagonals(self) -> Array:
        return self.factors**2


class SphericalWhitening(ElementWise):
    """Whitening of Σ_k = v_k I by W_k = v_k^(−½) I."""

    factor_shape: ClassVar[FactorShape] = FactorShape.SPHERICAL

    @classmethod
    def from_variances(cls, variances: Array, n_features: int) -> SphericalWhitening:
        """Invert variances (n,), data units²; raise `SingularCovarianceError` unless all are positive."""
        factors = inverse_root(variances)
        return cls(factors, n_features * log(factors))

    def whiten_each(self, offsets: Array) -> Array:
        return offsets * self.factors[:, None]

    def precision_diagonals(self) -> Array:
        return self.factors[:, None] ** 2
