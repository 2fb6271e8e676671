"""Covariances of a few common factors plus noise, for many features. Full matrices are formed only on request."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gaussmix._src.covariances.base import Covariances
from gaussmix._src.covariances.dense import Dense
from gaussmix._src.errors import SingularCovarianceError
from gaussmix._src.interfaces.moment_spec import Second
from gaussmix._src.interfaces.whitening.low_rank import LowRankWhitening
from gaussmix._src.numerics.arrays import Array, Indices
from gaussmix._src.numerics.axes import principal_axes
from gaussmix._src.numerics.core import native_target
from gaussmix._src.numerics.einsum import einsum
from gaussmix._src.numerics.elementary import exponential, log
from gaussmix._src.numerics.threads import cached_property


class LowRank(Covariances):
    """Covariances Σ_k = Λ_k Λ_kᵀ + diag(ψ_k) with loadings Λ_k (n_features, q); `each` is [Λ | ψ], (n, d, q + 1)."""

    second = Second.PROJECTED

    @classmethod
    def from_loadings(cls, loadings: Array, noise: Array, n_components: int, is_shared: bool) -> LowRank:
        """Make covariances from loadings Λ (n, n_features, n_factors) and noise variances ψ (n, n_features)."""
        each = np.concatenate((loadings, noise[..., None]), axis=2)
        return cls(each, n_components, each.shape[1], is_shared)

    @property
    def loadings(self) -> Array:
        """Return the loadings Λ, (n, n_features, n_factors), in data units."""
        return self.each[..., :-1]

    @property
    def noise(self) -> Array:
        """Return the noise variances ψ, (n, n_features), in data units²."""
        return self.each[..., -1]

    @cached_property
    def _factorised(self) -> tuple[Array, Array, Array, Array]:
        """Return the arrays `factors` and `log_abs_det` of the whitening factors, then `posterior`."""
        *results, failed = native_target().factorise_low_rank(self.each)
        if failed.any():
            raise SingularCovarianceError(np.flatnonzero(failed))
        factors, log_abs_det, projections, posterior = results
        return factors, log_abs_det, projections, posterior

    @cached_property
    def posterior(self) -> tuple[Array, Array]:
        """Return β and P: given a row x, the factors have the conditional mean β (x − μ) and covariance P.

        β = Λᵀ Σ⁻¹, (n, q, n_features), has the unit 1 / data units. P = (I + Λᵀ Ψ⁻¹ Λ)⁻¹ = I − βΛ, (n, q, q), has no
        unit.
        """
        return self._factorised[2:]

    def take(self, components: Sequence[int] | Indices) -> LowRank:
        taken = super().take(components)
        # An M-step with frozen components would otherwise factorise the covariances of the other components twice.
        if "_factorised" in vars(self) and not self.is_shared:
            indices = np.asarray(components, dtype=np.intp)
            vars(taken)["posterior"] = tuple(each[indices] for each in self.posterior)
        return taken

    def coordinates(self) -> Array:
        """Return the loadings Λ and the logarithms of the noise variances ψ as coordinates."""
        return np.concatenate((self.loadings.reshape(len(self.each), -1), log(self.noise)), axis=1)

    def from_coordinates(self, coordinates: Array) -> LowRank:
        n_loadings = self.n_features * (self.each.shape[2] - 1)
        loadings = coordinates[:, :n_loadings].reshape(self.loadings.shape)
        noise = exponential(coordinates[:, n_loadings:])
        return LowRank.from_loadings(loadings, noise, self.n_components, self.is_shared)

    def scale_by_information(self, changes: Array) -> Array:
        """Return W dΛ and dlog ψ / √2 for changes dΛ and dlog ψ, where Wᵀ W = (Ψ + ½ Λ Λᵀ)⁻¹.

        After scaling, an M-step of `FactorAnalyzer` is a gradient step: Λ changes by (Ψ + ½ Λ Λᵀ) × the gradient.
        """
        n, n_loadings = len(self.each), self.n_features * (self.each.shape[2] - 1)
        loadings = math.sqrt(0.5) * self.loadings
        whitening = LowRank.from_loadings(loadings, self.noise, self.n_components, self.is_shared).whitening
        scaled = np.array(changes)
        for change in scaled:
            columns = change[:, :n_loadings].reshape(n, self.n_features, -1).transpose(2, 0, 1)  # one column per factor
            change[:, :n_loadings] = np.concatenate([whitening.whiten_each(column) for column in columns], axis=1)
        scaled[..., n_loadings:] *= math.sqrt(0.5)
        return scaled

    def ridge_precisions(self) -> Array:
        """Return 1 / ψ instead of diag(Σ⁻¹), because `reg_covar` is added only to the noise variances ψ."""
        return self.for_all(1.0 / self.noise)

    def variances(self) -> Array:
        return self.for_all((self.loadings**2).sum(axis=2) + self.noise)

    def dense(self) -> Array:
        return self.to_simple_form().dense()

    def _whitening(self) -> LowRankWhitening:
        return LowRankWhitening(*self._factorised[:2])

    def to_simple_form(self) -> Dense:
        matrices: Array = einsum("kiq,kjq->kij", self.loadings, self.loadings)
        np.einsum("kii->ki", matrices)[...] += self.noise
        return Dense(matrices, self.n_components, self.n_features, self.is_shared)

    def marginal(self, indices: Indices) -> LowRank:
        return replace(self, each=self.each[:, indices], n_features=len(indices))

    def conditional(self, known: Indices, unknown: Indices) -> tuple[LowRank, Array]:
        """Return conditional covariances and regressions, using the factors' `posterior` given the known features."""
        projection, left = self.marginal(known).posterior
        rest = self.marginal(unknown)
        loadings = einsum("kdq,kqr->kdr", rest.loadings, symmetric_root(left))
        regression = einsum("kdq,kqe->kde", rest.loadings, projection)
        return LowRank.from_loadings(loadings, rest.noise, self.n_components, self.is_shared), regression

    def transform(self, A: Array) -> Dense:
        return self.to_simple_form().transform(A)


def symmetric_root(matrices: Array) -> Array:
    """Return the symmetric square roots of positive semidefinite matrices (n, n_factors, n_factors)."""
    values, axes = principal_axes(matrices)
    return einsum("kqs,krs->kqr", axes * np.sqrt(values)[:, None, :], axes)
