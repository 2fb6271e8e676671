"""Covariance matrices without constraints."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from gaussmix._src.covariances.base import Covariances
from gaussmix._src.errors import SingularCovarianceError
from gaussmix._src.interfaces.moment_spec import Second
from gaussmix._src.interfaces.whitening.triangular import TriangularWhitening
from gaussmix._src.numerics.arrays import Array, Indices, below_diagonal
from gaussmix._src.numerics.einsum import einsum
from gaussmix._src.numerics.elementary import exponential, log
from gaussmix._src.numerics.factorise import factorise, lower_roots


class Dense(Covariances):
    """Covariances Σ_k that are arbitrary positive definite matrices; `each` has shape (n, n_features, n_features)."""

    second = Second.FULL
    is_matrix = True

    def coordinates(self) -> Array:
        """Return the entries of M below the diagonal, and log D, where Σ = M D Mᵀ and M has a unit diagonal.

        Averages of coordinates preserve a common volume and, if the orientation is also common, a common shape.
        """
        lower = lower_roots(self.each)
        roots = np.einsum("kii->ki", lower)
        below = (lower / roots[:, None, :])[:, *below_diagonal(self.n_features)]
        return np.concatenate((below, 2 * log(roots)), axis=1)

    def from_coordinates(self, coordinates: Array) -> Dense:
        below, logarithms = self._split_coordinates(coordinates)
        np.einsum("kii->ki", below)[...] = 1.0
        return replace(self, each=squared(below * exponential(0.5 * logarithms)[:, None, :]))

    def scale_by_information(self, changes: Array) -> Array:
        """Return W dM D^½ and dlog D / √2 for changes dM and dlog D, where W = D^(−½) M⁻¹."""
        below, logarithms = self._split_coordinates(changes)
        factors = self.whitening.factors
        relative = einsum("kij,mkjl->mkil", factors, below) / np.einsum("kii->ki", factors)[:, None, :]
        return np.concatenate((relative[..., *below_diagonal(self.n_features)], math.sqrt(0.5) * logarithms), axis=-1)

    def _split_coordinates(self, coordinates: Array) -> tuple[Array, Array]:
        """Split coordinates into M with a zero diagonal, (…, n_features, n_features), and log D, (…, n_features)."""
        n_below = coordinates.shape[-1] - self.n_features
        below = np.zeros((*coordinates.shape[:-1], self.n_features, self.n_features))
        below[..., *below_diagonal(self.n_features)] = coordinates[..., :n_below]
        return below, coordinates[..., n_below:]

    def variances(self) -> Array:
        return self.for_all(self.each.diagonal(axis1=1, axis2=2))

    def dense(self) -> Array:
        return self.for_all(self.each)

    def _whitening(self) -> TriangularWhitening:
        return TriangularWhitening.from_covariances(self.each)

    def marginal(self, indices: Indices) -> Dense:
        return replace(self, each=self.each[:, indices[:, None], indices], n_features=len(indices))

    def conditional(self, known: Indices, unknown: Indices) -> tuple[Dense, Array]:
        """Compute conditional covariances and regressions from the Cholesky factors [[L_k, 0], [L_uk, L_u]].

        A conditional covariance is L_u L_uᵀ, which loses no digits by cancellation, unlike Σ_uu − Σ_uk Σ_kk⁻¹ Σ_ku. A
        regression is L_uk L_k⁻¹.
        """
        ordered = self.marginal(np.concatenate((known, unknown))).each
        failed = factorise(ordered)[2]
        if failed.any():
            raise SingularCovarianceError(np.flatnonzero(failed))
        lower = np.asarray(np.linalg.cholesky(ordered), np.float64)
        n_observed = len(known)
        # `solve` only substitutes backwards here, because LU elimination leaves an upper triangular matrix unchanged.
        upper = lower[:, :n_observed, :n_observed].swapaxes(1, 2)
        across = np.linalg.solve(upper, lower[:, n_observed:, :n_observed].swapaxes(1, 2))
        regression = np.asarray(across.swapaxes(1, 2), np.float64)
        rest = squared(lower[:, n_observed:, n_observed:])
        return replace(self, each=rest, n_features=len(unknown)), regression

    def transform(self, A: Array) -> Dense:
        roots: Array = A @ np.linalg.cholesky(self.each)
        return replace(self, each=squared(roots), n_features=len(A))


def squared(roots: Array) -> Array:
    """Return the exactly symmetric product R Rᵀ of each matrix R (m, n)."""
    return einsum("kij,klj->kil", roots, roots)


def composed(axes: Array, variances: Array) -> Array:
    """Return D_k diag(v_k) D_kᵀ, (n, d, d), exactly symmetric, for axes D (n or 1, d, d) and variances v (n, d) ≥ 0."""
    return squared(axes * np.sqrt(variances)[:, None, :])
