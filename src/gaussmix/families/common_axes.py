"""What structures with one orientation for all components have in common: the search for it."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np

from gaussmix.families.base import Equivariance
from gaussmix.families.full import Full
from gaussmix.families.orientation import composed, spectra_along
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.axes import principal_axes, shared_axes
from gaussmix.waist.moments import Scatter

MOST_COMPONENTS = 8  # whose axes are tried


class CommonAxes(Full):
    """Σ_k = D diag(v_k) Dᵀ, in compact form as "full".

    D starts from the last one, at first from the axes of the pooled scatter, and never lowers the expected
    log-likelihood. There may be several maxima.
    """

    equivariance = Equivariance.SIMILARITY
    precision: ClassVar[float] = 1e-6  # the likelihood is level there: it gains 1e-12 at most

    @abstractmethod
    def variances_along(self, spectra: Array, mass: Array) -> Array:
        """The v_k (n_components, d) that suit the diagonals `spectra` of DᵀS_kD best."""

    @abstractmethod
    def importance(self, mass: Array) -> Array | None:
        """The c_k (n_components,) by which `shared_axes` weighs components; None for those that it finds itself."""

    def update(self, scatter: Scatter, current: Array | None) -> Array:
        axes = principal_axes(_pooled(scatter))[1][0] if current is None else _axes_of(current)
        return self._along(shared_axes(scatter.second, axes, self.importance(scatter.mass)), scatter)

    def other_beginnings(self, scatter: Scatter) -> list[Array]:
        """The axes of the pooled scatter and of the largest components as they are.

        Those that suit a partition best may leave EM no way to those that suit the rows best.
        """
        if len(scatter.mass) == 1 or scatter.n_features == 1:
            return []
        largest = np.argsort(-scatter.mass, kind="stable")[:MOST_COMPONENTS]
        matrices = np.concatenate((_pooled(scatter), scatter.second[np.sort(largest)]))
        return [self._along(axes, scatter) for axes in principal_axes(matrices)[1]]

    def _along(self, axes: Array, scatter: Scatter) -> Array:
        return composed(axes[None], self.variances_along(spectra_along(scatter.second, axes), scatter.mass))


def _pooled(scatter: Scatter) -> Array:
    pooled: Array = scatter.second.sum(axis=0)[None]
    return pooled


def _axes_of(covariances: Array) -> Array:
    """The axes that covariances share: those of a sum of them, then rotated where some were of equal variance in it."""
    sizes = np.trace(covariances, axis1=1, axis2=2)
    places = np.arange(1.0, len(sizes) + 1)
    mixed: Array = np.einsum("kij,k->ij", covariances, 1 / (sizes * places))
    return shared_axes(covariances, principal_axes(mixed[None])[1][0], 1 / places)
