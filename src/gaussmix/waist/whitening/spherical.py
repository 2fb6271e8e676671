"""Whitening by one number per component."""

from __future__ import annotations

from typing import ClassVar

from gaussmix.numerics.arrays import Array
from gaussmix.numerics.elementary import inverse_root, log
from gaussmix.waist.whitening.base import FactorShape, Whitening


class SphericalWhitening(Whitening):
    """Σ_k = v_k I, W_k = v_k^(−½) I."""

    factor_shape: ClassVar[FactorShape] = FactorShape.SPHERICAL

    @classmethod
    def of(cls, variances: Array, n_features: int) -> SphericalWhitening:
        """From variances (n,), data units²; raises `SingularCovariance` where not positive."""
        factors = inverse_root(variances)
        return cls(factors, n_features * log(factors))

    def whiten(self, component: int, offsets: Array) -> Array:
        return offsets * self.factor(component)

    def whiten_each(self, offsets: Array) -> Array:
        return offsets * self.factors[:, None]

    def colour(self, component: int, whitened: Array) -> Array:
        return whitened / self.factor(component)

    def precision_times(self, component: int, offsets: Array) -> Array:
        return offsets * self.factor(component) * self.factor(component)

    def precisions(self) -> Array:
        return self.factors**2

    def precision_diagonals(self) -> Array:
        return self.factors[:, None] ** 2
