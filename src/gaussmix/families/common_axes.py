"""What structures with one orientation for all components have in common: the search for it."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np

from gaussmix.families.base import Equivariance
from gaussmix.families.full import Full
from gaussmix.families.orientation import composed, spectra_along
from gaussmix.waist.arrays import Array
from gaussmix.waist.axes import MOST_SWEEPS, principal_axes, shared_axes
from gaussmix.waist.logarithm import log
from gaussmix.waist.moments import Scatter

FEW_SWEEPS = 5  # tell which of several starts is the best
MOST_COMPONENTS = 8  # whose axes are tried


class CommonAxes(Full):
    """Σ_k = D diag(v_k) Dᵀ, in compact form as "full".

    D starts from the last one and never lowers the expected log-likelihood. At first it is the best of what is found
    from the axes of the pooled scatter and of each component: there may be several maxima.
    """

    equivariance: ClassVar[Equivariance] = Equivariance.SIMILARITY
    precision: ClassVar[float] = 1e-6  # the likelihood is level there: it gains 1e-12 at most

    @abstractmethod
    def variances_along(self, spectra: Array, mass: Array) -> Array:
        """The v_k (n_components, d) that suit the diagonals `spectra` of DᵀS_kD best."""

    @abstractmethod
    def importance(self, mass: Array) -> Array | None:
        """The c_k (n_components,) by which `shared_axes` weighs components; None for those that it finds itself."""

    def update(self, scatter: Scatter, current: Array | None) -> Array:
        def log_volume(axes: Array) -> float:  # Σ_k N_k log |Σ_k|: Σ_k tr Σ_k⁻¹S_k is the same at all maxima
            return float((scatter.mass * log(self._variances(scatter, axes)).sum(axis=1)).sum())

        def turned(start: Array, most: int = MOST_SWEEPS) -> Array:
            return shared_axes(scatter.second, start, self.importance(scatter.mass), most)

        if current is None:
            axes = turned(min((turned(start, FEW_SWEEPS) for start in _first_axes(scatter)), key=log_volume))
        else:
            axes = turned(_axes_of(current))
        return composed(axes[None], self._variances(scatter, axes))

    def other_beginnings(self, scatter: Scatter) -> list[Array]:
        """The axes of the pooled scatter and of the largest components as they are.

        Those that suit a partition best may leave EM no way to those that suit the rows best.
        """
        if len(scatter.mass) == 1 or scatter.n_features == 1:
            return []
        return [composed(axes[None], self._variances(scatter, axes)) for axes in _first_axes(scatter)]

    def _variances(self, scatter: Scatter, axes: Array) -> Array:
        return self.variances_along(spectra_along(scatter.second, axes), scatter.mass)


def _first_axes(scatter: Scatter) -> list[Array]:
    """Axes of the pooled scatter and of the largest components."""
    largest = np.argsort(-scatter.mass, kind="stable")[:MOST_COMPONENTS]
    pooled = scatter.second.sum(axis=0)[None]
    some = scatter.second[np.sort(largest)]
    return [*principal_axes(np.concatenate((pooled, some)) if len(some) > 1 else pooled)[1]]


def _axes_of(covariances: Array) -> Array:
    """The axes that covariances share: those of a sum of them, then rotated where some were of equal variance in it."""
    sizes = np.trace(covariances, axis1=1, axis2=2)
    places = np.arange(1.0, len(sizes) + 1)
    mixed: Array = np.einsum("kij,k->ij", covariances, 1 / (sizes * places))
    return shared_axes(covariances, principal_axes(mixed[None])[1][0], 1 / places)
