"""The search for axes that all components share, for structures with one orientation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gaussmix.covariances.dense import composed
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.axes import common_axes, principal_axes, shared_axes
from gaussmix.numerics.contract import contract
from gaussmix.waist.algebra import OtherAxes
from gaussmix.waist.moments import Scatter

OTHER_AXES = OtherAxes(most_components=8, sharp=0.5, soft=4.0)
ACCURACY = 1e-6  # relative error of the covariances; the likelihood is flat there and loses at most 1e-12 of itself

# The variances along the axes, (n_components, d), that suit the diagonals (n_components, d) of DᵀS_kD and masses best.
Along = Callable[[Array, Array], Array]


def with_best_axes(scatter: Scatter, current: Array | None, importance: Array | None, along: Along) -> Array:
    """Matrices D diag(v_k) Dᵀ, (n_components, d, d), that fit scatters best near the last ones; `along` gives the v_k.

    D starts from the axes of `current`, or from those of the pooled scatter, and never lowers the expected
    log-likelihood. There may be several maxima. `importance` is as for `shared_axes`.
    """
    axes = principal_axes(_pooled(scatter))[1][0] if current is None else common_axes(current)
    return _with_axes(shared_axes(scatter.second, axes, importance), scatter, along)


def with_other_axes(scatter: Scatter, along: Along) -> list[Array]:
    """Matrices with the axes of the pooled scatter, and with those of each of the largest components.

    From the axes that suit a partition best, or from responsibilities near it, EM may never reach those that suit the
    rows best. So the first matrices are smaller than the scatter asks for, and the others larger.
    """
    if len(scatter.degrees) == 1 or scatter.n_features == 1:
        return []
    largest = np.argsort(-scatter.degrees, kind="stable")[: OTHER_AXES.most_components]
    matrices = np.concatenate((_pooled(scatter), scatter.second[np.sort(largest)]))
    factors = [OTHER_AXES.sharp] + [OTHER_AXES.soft] * len(largest)
    found = principal_axes(matrices)[1]
    return [factor * _with_axes(axes, scatter, along) for factor, axes in zip(factors, found, strict=True)]


def spectra_along(scatters: Array, axes: Array) -> Array:
    """Variances (DᵀS_kD)_jj along shared axes, (n_components, d), not negative."""
    spectra: Array = contract("kij,ij->kj", contract("kij,jl->kil", scatters, axes), axes)
    return spectra.clip(min=0.0)


def _with_axes(axes: Array, scatter: Scatter, along: Along) -> Array:
    return composed(axes[None], along(spectra_along(scatter.second, axes), scatter.degrees))


def _pooled(scatter: Scatter) -> Array:
    pooled: Array = scatter.second.sum(axis=0)[None]
    return pooled
