"""Whitening with one lower triangular matrix per component."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from gaussmix._src.errors import SingularCovarianceError
from gaussmix._src.interfaces.whitening.base import FactorShape, Whitening
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.core import COMPONENTS, native_target
from gaussmix._src.numerics.einsum import einsum
from gaussmix._src.numerics.factorise import factorise


class TriangularWhitening(Whitening):
    """Whitening factors W_k = L_k⁻¹ from the Cholesky decomposition Σ_k = L_k L_kᵀ."""

    factor_shape: ClassVar[FactorShape] = FactorShape.TRIANGULAR

    @classmethod
    def from_covariances(cls, covariances: Array) -> TriangularWhitening:
        """Compute whitening factors from covariance matrices (n, n_features, n_features), in data units².

        Raises
        ------
        SingularCovarianceError : a matrix is not positive definite in float64, or has a variance below the smallest
            number that float64 stores with full precision. The error contains these components' indices.
        """
        factors, log_abs_det, failed = factorise(covariances)
        variances = np.diagonal(covariances, axis1=1, axis2=2)
        failed = failed | (variances < np.finfo(np.float64).tiny).any(axis=1)
        if failed.any():
            raise SingularCovarianceError(np.flatnonzero(failed))
        return cls(factors, log_abs_det)

    def whiten(self, component: int, offsets: Array) -> Array:
        return offsets @ self.factor(component).T

    def whiten_each(self, offsets: Array) -> Array:
        return einsum("kij,kj->ki", self.factors, offsets)  # not by BLAS, whose rounding depends on the processor

    def total_squares(self, vectors: Array) -> Array:
        """Return, for each factor W_k, the sum of |W_k v|² over the rows v of `vectors` (n_vectors, n_features)."""
        n_factors, n_features = self.factors.shape[:2]
        # With log_scale_k = 0 and μ_k = 0, the log density log p(v, k) is −½ |W_k v|².
        leading = np.zeros(n_factors), np.zeros((n_factors, n_features)), int(self.factor_shape)
        factors = np.ascontiguousarray(self.factors)
        return np.asarray(-2.0 * native_target().evaluate(vectors, None, *leading, factors, COMPONENTS, 1).sum(axis=0))

    def colour(self, component: int, whitened: Array) -> Array:
        from scipy.linalg import solve_triangular  # imported here because its import is slow and only draws need it

        return solve_triangular(self.factor(component), whitened.T, lower=True, check_finite=False).T

    def precision_times(self, component: int, offsets: Array) -> Array:
        return self.whiten(component, offsets) @ self.factor(component)

    def precisions(self) -> Array:
        return native_target().gram(np.ascontiguousarray(self.factors))

    def precision_diagonals(self) -> Array:
        return np.asarray((self.factors**2).sum(axis=1))
