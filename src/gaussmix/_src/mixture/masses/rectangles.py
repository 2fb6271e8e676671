"""Probabilities of boxes, computed exactly, or by quasi-Monte Carlo if three or more features are correlated."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_ndtr, ndtri_exp

from gaussmix._src.checks import check_real
from gaussmix._src.errors import cell_named, column_named
from gaussmix._src.interfaces.whitening.base import FactorShape
from gaussmix._src.mixture.features import check_order
from gaussmix._src.mixture.masses import bivariate
from gaussmix._src.mixture.masses.normal_interval import log_interval, mean_between
from gaussmix._src.mixture.masses.scrambles import log_mean, near_corners, scrambled
from gaussmix._src.mixture.univariate.univariate_mixture import UnivariateMixture
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array, pieces
from gaussmix._src.numerics.elementary import log_sum
from gaussmix._src.numerics.rows import MAX_DOUBLE

_VALUES_PER_CELL = 10  # number of values in memory per row and component
_MAX_LIMIT = 1e100  # standard deviations; limits beyond ±1e100 are replaced by ±inf, because their squares may overflow


def check_limits(values: ArrayLike, names: tuple[str, ...] | None, called: str) -> Array:
    """Check limits of boxes, which may be ±inf, and return the limits in float64; raises TypeError or ValueError."""
    check_order(values, names, called)
    array = check_real(called, values)
    wrong = np.argwhere(np.isnan(array))
    if len(wrong):
        raise ValueError(f"{called} contains NaN at {tuple(int(index) for index in wrong[0])}: use numbers or ±inf.")
    return array.astype(np.float64)


def check_upper(rows: ArrayLike, n_features: int, names: tuple[str, ...] | None) -> Array:
    """Check upper limits and return them, (n_rows, n_features); raises TypeError or ValueError."""
    upper = check_limits(rows, names, "rows")
    if upper.ndim != 2 or upper.shape[1] != n_features:
        raise ValueError(f"rows must have shape (n_rows, {n_features}), not {upper.shape}.")
    return upper


def check_rectangles(
    lower: ArrayLike, upper: ArrayLike, n_features: int, names: tuple[str, ...] | None
) -> tuple[Array, Array, tuple[int, ...]]:
    """Check and return lower and upper limits, (n, n_features) each, and the shape of the probabilities (n,) or ()."""
    low, high = check_limits(lower, names, "lower"), check_limits(upper, names, "upper")
    try:
        low, high, _ = np.broadcast_arrays(low, high, np.empty(n_features))
    except ValueError:
        low = np.empty(0)
    if low.ndim not in (1, 2) or low.shape[-1] != n_features:
        shapes = f"{np.shape(lower)} and {np.shape(upper)}"
        raise ValueError(f"lower and upper must have shape (n_rows, {n_features}), not {shapes}.")
    wrong = np.argwhere(low > high)
    if len(wrong):
        cell = tuple(wrong[0].tolist())
        where = column_named(cell[0], names) if low.ndim == 1 else cell_named(cell[0], cell[1], names)
        raise ValueError(f"lower is {low[cell]} but upper is {high[cell]} in {where}: exchange the two limits.")
    return np.atleast_2d(low), np.atleast_2d(high), low.shape[:-1]


def log_masses(
    model: Model, line: UnivariateMixture | None, lower: Array, upper: Array, n_points: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Return the log probabilities of boxes with limits lower ≤ upper (n, d), and relative standard errors, (n,) each.

    `line` is the `UnivariateMixture` if the model has one feature, otherwise None. The error is 0 unless the model has
    three or more correlated features, for which quasi-Monte Carlo is used.
    """
    error = np.zeros(len(lower))
    if line is not None:
        parts = pieces((len(lower), len(line.means)))
        log_mass = np.concatenate([line.log_between(lower[part, 0], upper[part, 0]) for part in parts])
    elif model.whitening.factor_shape in (FactorShape.SPHERICAL, FactorShape.DIAGONAL):
        log_mass = _independent(model, lower, upper)
    elif model.n_features == 2:
        log_mass = _bivariate(model, lower, upper)
    else:
        log_mass, error = _correlated(model, lower, upper, n_points, rng)
    return np.minimum(log_mass, 0.0), error


def _independent(model: Model, lower: Array, upper: Array) -> Array:
    """Return the log of Σ_k π_k Π_j P(lower_j < x_j < upper_j | k) for independent features, (n,), in nats."""
    deviations = np.sqrt(model.covariances.variances())
    real = np.flatnonzero(model.weights)
    log_parts = np.empty((len(lower), len(real)))
    for part in pieces(lower.shape):
        for index, k in enumerate(real):
            with np.errstate(over="ignore", invalid="ignore"):  # overflows to infinity are correct here
                low, high = ((limit[part] - model.means[k]) / deviations[k] for limit in (lower, upper))
                lengths = (upper[part] - lower[part]) / deviations[k]
            log_parts[part, index] = log_interval(low, high, lengths).sum(axis=1)
    return log_sum(log_parts + np.log(model.weights[real] / model.weights.sum()))


def _bivariate(model: Model, lower: Array, upper: Array) -> Array:
    """Return the log probabilities of boxes for two correlated features, (n,), in nats."""
    real = np.flatnonzero(model.weights)
    dense = model.covariances.dense()[real]
    deviations = np.sqrt(np.diagonal(dense, axis1=1, axis2=2))
    volumes = deviations.prod(axis=1)
    log_abs_det = np.broadcast_to(model.whitening.log_abs_det, model.n_components)[real]
    rests = np.exp(-log_abs_det) / volumes  # equal to √(1 − ρ²), but accurate even for ρ near ±1
    log_weights = np.log(model.weights[real] / model.weights.sum())
    log_mass = np.empty(len(lower))
    for part in pieces((len(lower), len(real), _VALUES_PER_CELL)):
        with np.errstate(over="ignore"):  # an overflow to infinity is correct here
            offsets = (limit[part] - model.means[real, None] for limit in (lower, upper))
            low, high = (_finite_or_infinite(offset / deviations[:, None]) for offset in offsets)
        log_mass[part] = bivariate.log_sums(log_weights, low, high, dense[:, 0, 1] / volumes, rests)
    return log_mass


def _correlated(
    model: Model, lower: Array, upper: Array, n_points: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Return the log probabilities of boxes for three or more features, (n,), in nats, and relative standard errors."""
    n_features, real = model.n_features, np.flatnonzero(model.weights)
    dense = model.covariances.dense()
    nets = scrambled(n_features - 1, n_points, rng)
    log_parts = np.full((len(real), len(nets) + 1, len(lower)), -np.inf)
    for log_part, k in zip(log_parts, real, strict=True):
        deviations = np.sqrt(np.diagonal(dense[k]))
        correlation = dense[k] / np.outer(deviations, deviations)
        low, high = (_finite_or_infinite((limit - model.means[k]) / deviations) for limit in (lower, upper))
        has_volume = (low < high).all(axis=1)
        log_part[:, has_volume] = _log_masses_of_nets(nets, low[has_volume], high[has_volume], correlation)
    log_weights = np.log(model.weights[real] / model.weights.sum())
    log_sums = log_sum(log_parts + log_weights[:, None, None], axis=0)
    log_mass, error = log_mean(log_sums[:-1], log_sums[-1:])
    return log_mass, np.where(log_mass > -np.inf, error, 0.0)


def _finite_or_infinite(limits: Array) -> Array:
    """Return the limits, with ±inf in place of limits beyond ±`_MAX_LIMIT`."""
    return np.where(np.abs(limits) < _MAX_LIMIT, limits, np.copysign(np.inf, limits))


def _log_masses_of_nets(nets: Array, lower: Array, upper: Array, correlation: Array) -> Array:
    """Return the log mass between limits (n, d), in standard deviations, from each net, and the log of a step, in nats.

    The nets (n_scrambles, n_points, d − 1) contain points of the unit cube. The features are drawn one after another:
    each feature is drawn between its limits from the conditional distribution given the previous features. The
    estimated mass is the mean, over the points, of the product of the conditional masses between the limits; Genz
    (1992), Journal of Computational and Graphical Statistics 1, 141.

    The result has shape (n_scrambles + 1, n). The last row is the log of the error of a net if the product jumps
    between two points, which `log_mean` uses as its step: the largest product times `gap`, divided by `n_points`.
    """
    n_points, corners = nets.shape[1], near_corners(nets[0])
    log_proportions, first = np.log(np.concatenate([corners, *nets])).T, len(corners)
    result = np.empty((len(nets) + 1, len(lower)))
    for part in pieces((len(lower), lower.shape[1] * log_proportions.shape[1])):
        arguments = *_in_order(lower[part], upper[part], correlation), log_proportions
        log_products, gap = _log_products(*arguments, first + n_points)
        point_products = log_products[:, first:].reshape(-1, *nets.shape[:2])
        result[:-1, part] = log_sum(point_products).T
        with np.errstate(divide="ignore"):
            result[-1, part] = point_products.max(axis=(1, 2)) + np.log(gap)
    return result - np.log(n_points)


def _log_products(
    lower: Array, upper: Array, factor: Array, log_proportions: Array, n_compared: int
) -> tuple[Array, Array]:
    """Return the log of the product of the features' conditional masses between their limits, (n_rows, n_points).

    The second result, `gap` (n_rows,), measures jumps of the conditional masses at the first `n_compared` points. It is
    the root of the sum of the squared differences between neighbours in the sorted masses, relative to the largest
    mass. It is about 1 if a mass jumps to 0, next to 0 if the masses vary smoothly, and 0 if they are all equal.
    """
    n_rows, n_features = lower.shape
    log_products, squares = np.zeros((n_rows, log_proportions.shape[1])), np.zeros(n_rows)
    drawn = np.empty((n_features, *log_products.shape))
    for j in range(n_features):
        shift = np.einsum("nm,mnp->np", factor[:, j, :j], drawn[:j])
        low, high = ((limit[:, j, None] - shift) / factor[:, j, j, None] for limit in (lower, upper))
        log_mass = log_interval(low, high)
        log_products += log_mass
        masses = np.sort(log_mass[:, :n_compared], axis=1)
        masses = np.exp(masses - np.maximum(masses[:, -1:], -MAX_DOUBLE))  # not -inf, if all masses underflow
        squares += (np.diff(masses, axis=1) ** 2).sum(axis=1)
        if j < n_features - 1:
            drawn[j] = _quantile(low, high, log_mass, log_proportions[j])
    return log_products, np.sqrt(squares)


def _quantile(low: Array, high: Array, log_mass: Array, log_proportion: Array) -> Array:
    """Return the point below which a fraction of the mass between two limits lies, computed in the nearer tail."""
    with np.errstate(invalid="ignore"):  # −inf + inf is NaN, for which `flipped` is False
        flipped = low + high > 0
    end = np.where(flipped, -high, low)
    quantile = ndtri_exp(np.minimum(np.logaddexp(log_ndtr(end), log_proportion + log_mass), 0.0))
    return np.asarray(np.clip(np.where(flipped, -quantile, quantile), low, high))


def _in_order(lower: Array, upper: Array, correlation: Array) -> tuple[Array, Array, Array]:
    """Sort the features of each row; return sorted limits (n, d) and Cholesky factors (n, d, d) of the correlations.

    The next feature is always the feature with the smallest mass between its limits, given that the previous features
    are at their means. With this order of features, the product of the masses varies less between points; Gibson,
    Glasbey & Elston (1994).
    """
    n_rows, n_features = lower.shape
    lower, upper = lower.copy(), upper.copy()
    left = np.broadcast_to(correlation, (n_rows, n_features, n_features)).copy()  # conditional on previous features
    factor = np.zeros_like(left)
    shift = np.zeros_like(lower)
    each = np.arange(n_rows)
    for j in range(n_features):
        deviations = np.sqrt(np.diagonal(left, axis1=1, axis2=2)[:, j:])
        log_mass = log_interval((lower - shift)[:, j:] / deviations, (upper - shift)[:, j:] / deviations)
        best = j + log_mass.argmin(axis=1)
        for array in (lower, upper, shift, factor, left, left.swapaxes(1, 2)):
            array[each, j], array[each, best] = array[each, best].copy(), array[each, j].copy()
        deviation = np.sqrt(left[:, j, j])[:, None]
        column = left[:, j:, j] / deviation
        factor[:, j:, j] = column
        left[:, j:, j:] -= column[:, :, None] * column[:, None, :]
        low, high = ((limit - shift)[:, j] / deviation[:, 0] for limit in (lower, upper))
        shift[:, j + 1 :] += column[:, 1:] * mean_between(low, high)[:, None]
    return lower, upper, factor
