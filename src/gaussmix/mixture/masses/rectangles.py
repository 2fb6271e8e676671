"""The mass of a mixture in rectangles."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from gaussmix.checks import check_real
from gaussmix.mixture.features import check_order
from gaussmix.mixture.line.line import Line
from gaussmix.mixture.masses import bivariate, rectangle_sample
from gaussmix.mixture.masses.normal_interval import log_interval
from gaussmix.mixture.masses.scrambles import log_mean, scrambled
from gaussmix.model import Model
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.elementary import log_sum
from gaussmix.numerics.pieces import pieces
from gaussmix.waist.whitening.base import FactorShape

_NUMBERS = 10  # for a row and a component, at a time
_INFINITE = 1e100  # deviations: a tail beyond has no logarithm in float64, or hardly


def check_limits(values: ArrayLike, names: tuple[str, ...] | None, called: str) -> Array:
    """Limits as float64 numbers or ±inf; raises TypeError or ValueError."""
    check_order(values, names, called)
    array = check_real(called, values)
    wrong = np.argwhere(np.isnan(array))
    if len(wrong):
        raise ValueError(f"{called} holds NaN at {tuple(int(place) for place in wrong[0])}: give numbers, or ±inf.")
    return array.astype(np.float64)


def check_upper(rows: ArrayLike, n_features: int, names: tuple[str, ...] | None) -> Array:
    """Upper limits (n_rows, n_features); raises TypeError or ValueError."""
    upper = check_limits(rows, names, "rows")
    if upper.ndim != 2 or upper.shape[1] != n_features:
        raise ValueError(f"rows must have shape (n_rows, {n_features}), not {upper.shape}.")
    return upper


def check_rectangles(
    lower: ArrayLike, upper: ArrayLike, n_features: int, names: tuple[str, ...] | None
) -> tuple[Array, Array, tuple[int, ...]]:
    """Both limits as rows (n, n_features), and the shape of the answer; raises TypeError or ValueError."""
    low, high = check_limits(lower, names, "lower"), check_limits(upper, names, "upper")
    try:
        low, high, _ = np.broadcast_arrays(low, high, np.empty(n_features))
    except ValueError:
        low = np.empty(0)
    if low.ndim not in (1, 2) or low.shape[-1] != n_features:
        given = f"{np.shape(lower)} and {np.shape(upper)}"
        raise ValueError(f"lower and upper must have shape (n_rows, {n_features}), not {given}.")
    wrong = np.argwhere(low > high)
    if len(wrong):
        cell = tuple(wrong[0])
        raise ValueError(f"lower is {low[cell]} where upper is {high[cell]}, in column {cell[-1]}: swap them.")
    return np.atleast_2d(low), np.atleast_2d(high), low.shape[:-1]


def log_masses(
    model: Model, line: Line | None, lower: Array, upper: Array, n_points: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Log of the mass between lower ≤ upper (n, d), nats, and its standard error relative to it; each (n,).

    Parameters
    ----------
    line : the model as a distribution on the line, where it has one feature.
    n_points, rng : of quasi-Monte Carlo, for three correlated features or more.
    """
    exact = np.zeros(len(lower))
    if line is not None:
        log_mass, error = line.log_between(lower[:, 0], upper[:, 0]), exact
    elif model.whitening.factor_shape in (FactorShape.SPHERICAL, FactorShape.DIAGONAL):
        log_mass, error = _independent(model, lower, upper), exact
    elif model.n_features == 2:
        log_mass, error = _pairs(model, lower, upper), exact
    else:
        log_mass, error = _correlated(model, lower, upper, n_points, rng)
    return np.minimum(log_mass, 0.0), error


def _independent(model: Model, lower: Array, upper: Array) -> Array:
    """Σ_k π_k Π_j P(lower_j < x_j < upper_j | k)."""
    deviations = np.sqrt(model.covariances.variances())
    real = np.flatnonzero(model.weights)
    log_parts = np.empty((len(lower), len(real)))
    for part in pieces(lower.shape):
        for place, k in enumerate(real):
            ends = ((limit[part] - model.means[k]) / deviations[k] for limit in (lower, upper))
            log_parts[part, place] = log_interval(*ends).sum(axis=1)
    return log_sum(log_parts + np.log(model.weights[real] / model.weights.sum()))


def _pairs(model: Model, lower: Array, upper: Array) -> Array:
    """The same for two correlated features."""
    real = np.flatnonzero(model.weights)
    dense = model.covariances.dense()[real]
    deviations = np.sqrt(np.diagonal(dense, axis1=1, axis2=2))
    volumes = deviations.prod(axis=1)
    log_abs_det = np.broadcast_to(model.whitening.log_abs_det, model.n_components)[real]
    rests = np.exp(-log_abs_det) / volumes  # from the determinant: right where ρ is near ±1
    log_weights = np.log(model.weights[real] / model.weights.sum())
    log_mass = np.empty(len(lower))
    for part in pieces((len(lower), len(real), _NUMBERS)):
        low, high = (
            _finite_or_infinite((limit[part] - model.means[real, None]) / deviations[:, None])
            for limit in (lower, upper)
        )
        log_mass[part] = bivariate.log_sums(log_weights, low, high, dense[:, 0, 1] / volumes, rests)
    return log_mass


def _correlated(
    model: Model, lower: Array, upper: Array, n_points: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """The same for three features and more, with the relative standard error."""
    n_features, real = model.n_features, np.flatnonzero(model.weights)
    dense = model.covariances.dense()
    net = scrambled(n_features - 1, n_points, rng)
    log_parts = np.full((len(real), len(net), len(lower)), -np.inf)
    for log_part, k in zip(log_parts, real, strict=True):
        deviations = np.sqrt(np.diagonal(dense[k]))
        correlation = dense[k] / np.outer(deviations, deviations)
        low, high = (_finite_or_infinite((limit - model.means[k]) / deviations) for limit in (lower, upper))
        apart = (low < high).all(axis=1)
        log_part[:, apart] = rectangle_sample.log_masses(low[apart], high[apart], correlation, net)
    log_weights = np.log(model.weights[real] / model.weights.sum())
    return log_mean(log_sum(log_parts + log_weights[:, None, None], axis=0))


def _finite_or_infinite(limits: Array) -> Array:
    """Limits whose squares float64 can hold, or ±inf."""
    return np.where(np.abs(limits) < _INFINITE, limits, np.copysign(np.inf, limits))
