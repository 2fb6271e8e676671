"""Ellipses and curves of normal distributions, in the form that a plotting library takes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gaussmix.numerics.arrays import Array


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


def points_for_curves(means: Array, deviations: Array, reach: float) -> Array:
    """Where to compute curves: within `reach` σ of each mean, at distances that suit the width of each curve.

    Evenly spaced points would miss a narrow component beside a wide one.
    """
    steps = np.linspace(-reach, reach, 161)  # odd: the mean itself is one of them
    points: Array = np.unique(means[:, None] + deviations[:, None] * steps)
    return points
