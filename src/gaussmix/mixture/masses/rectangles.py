"""The mass of a mixture in rectangles."""

from __future__ import annotations

import numpy as np

from gaussmix.mixture.masses import bivariate, rectangle_sample
from gaussmix.mixture.masses.normal_interval import log_interval, log_sum
from gaussmix.mixture.masses.scrambles import log_mean, scrambled
from gaussmix.mixture.values import Values
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.pieces import pieces
from gaussmix.waist.whitening.base import FactorShape

_NUMBERS = 10  # for a row and a component, at a time
_INFINITE = 1e100  # deviations: a tail beyond has no logarithm in float64, or hardly


def log_masses(
    mixture: Values, lower: Array, upper: Array, n_points: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Log of the mass between lower ≤ upper (n, d), nats, and its standard error relative to it; each (n,)."""
    exact = np.zeros(len(lower))
    if mixture.n_features == 1:
        log_mass, error = mixture._line.log_between(lower[:, 0], upper[:, 0]), exact
    elif mixture.whitening.factor_shape in (FactorShape.SPHERICAL, FactorShape.DIAGONAL):
        log_mass, error = _independent(mixture, lower, upper), exact
    elif mixture.n_features == 2:
        log_mass, error = _pairs(mixture, lower, upper), exact
    else:
        log_mass, error = _correlated(mixture, lower, upper, n_points, rng)
    return np.minimum(log_mass, 0.0), error


def _independent(mixture: Values, lower: Array, upper: Array) -> Array:
    """Σ_k π_k Π_j P(lower_j < x_j < upper_j | k)."""
    deviations = np.sqrt(mixture.model.covariances.variances())
    real = np.flatnonzero(mixture.weights)
    log_parts = np.empty((len(lower), len(real)))
    for part in pieces(lower.shape):
        for place, k in enumerate(real):
            ends = ((limit[part] - mixture.means[k]) / deviations[k] for limit in (lower, upper))
            log_parts[part, place] = log_interval(*ends).sum(axis=1)
    return log_sum(log_parts + np.log(mixture.weights[real] / mixture.weights.sum()))


def _pairs(mixture: Values, lower: Array, upper: Array) -> Array:
    """Of two correlated features."""
    real = np.flatnonzero(mixture.weights)
    dense = mixture.model.covariances.dense()[real]
    deviations = np.sqrt(np.diagonal(dense, axis1=1, axis2=2))
    volumes = deviations.prod(axis=1)
    log_abs_det = np.broadcast_to(mixture.whitening.log_abs_det, mixture.n_components)[real]
    rests = np.exp(-log_abs_det) / volumes  # from the determinant: right where ρ is near ±1
    log_weights = np.log(mixture.weights[real] / mixture.weights.sum())
    log_mass = np.empty(len(lower))
    for part in pieces((len(lower), len(real), _NUMBERS)):
        low, high = (
            _finite_or_infinite((limit[part] - mixture.means[real, None]) / deviations[:, None])
            for limit in (lower, upper)
        )
        log_mass[part] = bivariate.log_sums(log_weights, low, high, dense[:, 0, 1] / volumes, rests)
    return log_mass


def _correlated(
    mixture: Values, lower: Array, upper: Array, n_points: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Of three features and more."""
    n_features, real = mixture.n_features, np.flatnonzero(mixture.weights)
    dense = mixture.model.covariances.dense()
    net = scrambled(n_features - 1, n_points, rng)
    log_parts = np.full((len(real), len(net), len(lower)), -np.inf)
    for log_part, k in zip(log_parts, real, strict=True):
        deviations = np.sqrt(np.diagonal(dense[k]))
        correlation = dense[k] / np.outer(deviations, deviations)
        low, high = (_finite_or_infinite((limit - mixture.means[k]) / deviations) for limit in (lower, upper))
        apart = (low < high).all(axis=1)
        log_part[:, apart] = rectangle_sample.log_masses(low[apart], high[apart], correlation, net)
    log_weights = np.log(mixture.weights[real] / mixture.weights.sum())
    return log_mean(log_sum(log_parts + log_weights[:, None, None], axis=0))


def _finite_or_infinite(limits: Array) -> Array:
    """Limits whose squares float64 has."""
    return np.where(np.abs(limits) < _INFINITE, limits, np.copysign(np.inf, limits))
