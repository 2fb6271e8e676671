"""Structures whose components share their axes, which are searched for."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from gaussmix.covariances import Covariances, Dense
from gaussmix.covariances.dense import composed
from gaussmix.families.base import Equivariance, Family
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.axes import common_axes, principal_axes, shared_axes
from gaussmix.numerics.contract import contract
from gaussmix.waist.algebra import OtherAxes
from gaussmix.waist.moments import Scatter

OTHER_AXES = OtherAxes(most_components=8, sharp=0.5, soft=4.0)


class CommonAxes(Family):
    """Σ_k = D diag(v_k) Dᵀ. A structure says which v_k suit the diagonals of DᵀS_kD best."""

    kind = Dense
    equivariance = Equivariance.SIMILARITY
    accuracy = 1e-6  # the likelihood is flat there and loses at most 1e-12 of itself
    other_axes = OTHER_AXES

    @abstractmethod
    def along(self, spectra: Array, degrees: Array) -> Array:
        """The variances along the axes, (n_components, d), that suit diagonals (n_components, d) and masses best."""

    def importance(self, degrees: Array) -> Array | None:
        """How much each component counts for the axes, as for `shared_axes`."""
        return None

    def update(self, scatter: Scatter, current: Covariances | None) -> Covariances:
        """Find axes near those of `current`, or of the pooled scatter, that never lower the expected log-likelihood.

        There may be several maxima.
        """
        axes = principal_axes(_pooled(scatter))[1][0] if current is None else common_axes(current.each)
        return self._with_axes(shared_axes(scatter.second, axes, self.importance(scatter.degrees)), scatter)

    def other_initial_covariances(self, scatter: Scatter) -> list[Covariances]:
        """Covariances with the axes of the pooled scatter, and with those of each of the largest components.

        From the axes that suit a partition best, or from responsibilities near it, EM may never reach those that suit
        the rows best. So the first covariances are smaller than the scatter asks for, and the others larger.
        """
        if len(scatter.degrees) == 1 or scatter.n_features == 1:
            return []
        largest = np.argsort(-scatter.degrees, kind="stable")[: OTHER_AXES.most_components]
        matrices = np.concatenate((_pooled(scatter), scatter.second[np.sort(largest)]))
        factors = [OTHER_AXES.sharp] + [OTHER_AXES.soft] * len(largest)
        found = principal_axes(matrices)[1]
        return [self._with_axes(axes, scatter, factor) for factor, axes in zip(factors, found, strict=True)]

    def _with_axes(self, axes: Array, scatter: Scatter, factor: float = 1.0) -> Covariances:
        variances = self.along(spectra_along(scatter.second, axes), scatter.degrees)
        return self.covariances(factor * composed(axes[None], variances), *scatter.shape)


def spectra_along(scatters: Array, axes: Array) -> Array:
    """Variances (DᵀS_kD)_jj along shared axes, (n_components, d), not negative."""
    spectra: Array = contract("kij,ij->kj", contract("kij,jl->kil", scatters, axes), axes)
    return spectra.clip(min=0.0)


def _pooled(scatter: Scatter) -> Array:
    pooled: Array = scatter.second.sum(axis=0)
    return pooled[None]
