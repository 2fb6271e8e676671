"""Ellipses and curves of normal distributions, in the form that a plotting library takes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gaussmix.numerics.arrays import Array

_MOST_ON_AXIS = 600  # points of a grid along one feature


class Axes(NamedTuple):
    """Half-lengths of an ellipse in data units, the longer first, and the direction of the longer in degrees."""

    longer: float
    shorter: float
    angle: float


def one_sigma_axes(covariance: Array) -> Axes:
    """The ellipse (x − μ)ᵀ Σ⁻¹ (x − μ) = 1 of a covariance (2, 2), from Σ = Q Λ Qᵀ: half-lengths √λ along Q.

    The ellipse of a singular covariance is a line. Rounding may make its eigenvalue slightly negative; it counts as 0.
    """
    variances, directions = np.linalg.eigh(covariance)  # ascending
    shorter, longer = np.sqrt(np.maximum(variances, 0.0))
    east, north = directions[:, 1]
    return Axes(float(longer), float(shorter), float(np.degrees(np.arctan2(north, east))))


def normal_density(points: Array, mean: float, deviation: float) -> Array:
    """N(x | μ, σ²) at each of the points (n_points,), per data unit."""
    density: Array = np.exp(-0.5 * ((points - mean) / deviation) ** 2) / (deviation * np.sqrt(2 * np.pi))
    return density


def points_for_curves(means: Array, deviations: Array, reach: float, n_each: int = 161) -> Array:
    """Where to compute curves: within `reach` σ of each mean, at distances that suit the width of each curve.

    Evenly spaced points would miss a narrow component beside a wide one.
    """
    steps = np.linspace(-reach, reach, n_each)  # odd: the mean itself is one of them
    points: Array = np.unique(means[:, None] + deviations[:, None] * steps)
    return points


def grid_axis(means: Array, deviations: Array, rows: Array, reach: float) -> Array:
    """Where to compute a picture along one feature: over all components and rows, finer where a component is narrow."""
    own = points_for_curves(means, deviations, reach, max(9, _MOST_ON_AXIS // 2 // len(means) // 2 * 2 + 1))
    ends = np.concatenate([own[[0, -1]], rows])
    ends = ends[np.isfinite(ends)]
    low, high = ends.min(), ends.max()
    margin = 0.03 * (high - low)  # so that no row lies on the edge
    points: Array = np.unique(np.concatenate([own, np.linspace(low - margin, high + margin, _MOST_ON_AXIS // 2)]))
    return points


def grid_of(means: Array, covariances: Array, rows: Array, reach: float = 4.5) -> tuple[Array, Array, Array]:
    """A grid over all components and rows of one or two features, finer where a component is narrow.

    Returns
    -------
    x, y : along the features; y is empty where there is one.
    points : (n_y · n_x, 2), or (n_x, 1), by rows of the grid.
    """
    deviations = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    axes = [grid_axis(means[:, j], deviations[:, j], rows[:, j], reach) for j in range(means.shape[1])]
    if len(axes) == 1:
        return axes[0], np.empty(0), axes[0][:, None]
    x, y = axes
    return x, y, np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
