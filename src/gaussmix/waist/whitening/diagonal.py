"""Whitening feature by feature."""

from __future__ import annotations

from typing import ClassVar

from gaussmix.numerics.arrays import Array
from gaussmix.numerics.elementary import inverse_root, log
from gaussmix.waist.whitening.base import FactorShape, Whitening


class DiagonalWhitening(Whitening):
    """Σ_k = diag(v_k), W_k = diag(v_k^(−½))."""

    factor_shape: ClassVar[FactorShape] = FactorShape.DIAGONAL

    @classmethod
    def of(cls, variances: Array) -> DiagonalWhitening:
        """From variances (n, n_features), data units²; raises `SingularCovariance` where not positive."""
        factors = inverse_root(variances)
        return cls(factors, log(factors).sum(axis=1))

    def whiten(self, component: int, offsets: Array) -> Array:
        return offsets * self.factor(component)

    def whiten_each(self, offsets: Array) -> Array:
        return offsets * self.factors

    def colour(self, component: int, whitened: Array) -> Array:
        return whitened / self.factor(component)

    def precision_times(self, component: int, offsets: Array) -> Array:
        return offsets * self.factor(component) * self.factor(component)

    def precisions(self) -> Array:
        return self.factors**2

    def precision_diagonals(self) -> Array:
        return self.factors**2
