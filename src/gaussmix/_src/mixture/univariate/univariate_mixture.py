"""Density, distribution function and quantiles of a univariate mixture, accurate in both tails.

Quantiles are accurate to the last digits even between components that are far apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_ndtr, ndtri_exp

from gaussmix._src.checks import check_probabilities
from gaussmix._src.interfaces.parameters import LOG_2PI
from gaussmix._src.mixture.masses.normal_interval import log_interval
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array, pieces
from gaussmix._src.numerics.elementary import log_sum
from gaussmix._src.numerics.threads import cached_property

MAX_DEVIATIONS = 1e150  # largest distance in standard deviations; its square does not overflow
_MAX_QUANTILES = 1024  # if more quantiles than this number are requested, a few are computed first, to bound all others

# A function of points (n,) and of the indices (n,) of the equations at these points, which returns values and slopes.
Increasing = Callable[[Array, NDArray[np.intp]], tuple[Array, Array]]

_ROOT_PRECISION = 8 * float(np.finfo(np.float64).eps)
_MAX_BISECTIONS = 200  # maximum number of Newton and bisection steps


@dataclass(frozen=True, eq=False)
class UnivariateMixture:
    """A mixture Σ_k π_k N(x | μ_k, σ_k²) of one feature. The components are sorted by mean and have positive weights.

    Parameters
    ----------
    weights : weights π_k, (n_components,), which are positive and sum to 1.
    means, deviations : means μ_k and standard deviations σ_k, (n_components,), in data units.
    """

    weights: Array
    means: Array
    deviations: Array

    @classmethod
    def from_model(cls, model: Model) -> UnivariateMixture:
        """Make a univariate mixture from a model, leaving out components of weight 0 and sorting the others by mean."""
        weights, means, deviations = model.weights, model.means[:, 0], np.sqrt(model.covariances.variances()[:, 0])
        order = np.argsort(means, kind="stable")
        order = order[weights[order] > 0]
        return cls(weights[order] / weights[order].sum(), means[order], deviations[order])

    @cached_property
    def mirrored(self) -> UnivariateMixture:
        """Return the distribution of −x, where x has the distribution of this mixture."""
        return UnivariateMixture(self.weights[::-1], -self.means[::-1], self.deviations[::-1])

    @cached_property
    def log_weights(self) -> Array:
        """Return log π_k, (n_components, 1), in nats."""
        return np.asarray(np.log(self.weights)[:, None])

    @cached_property
    def log_scale(self) -> Array:
        """Return log π_k N(μ_k | μ_k, σ_k²), (n_components, 1), in nats."""
        return np.asarray(self.log_weights - np.log(self.deviations)[:, None] - 0.5 * LOG_2PI)

    def whiten(self, x: Array) -> Array:
        """Return (x − μ_k) / σ_k for each x (n,), (n_components, n); summing over components is fast in this layout."""
        with np.errstate(over="ignore"):  # an overflow to infinity is correct here
            return np.asarray((x - self.means[:, None]) / self.deviations[:, None])

    def log_density(self, x: Array) -> Array:
        """Return log p(x) for each x (n,), in nats."""
        return self.log_density_and_slope(x)[0]

    def log_density_and_slope(self, x: Array) -> tuple[Array, Array]:
        """Return log p(x) and the derivative of log p(x), (n,) each."""
        whitened = self.whiten(x)
        largest, scaled, total = self._scaled_densities(whitened)
        return largest + np.log(total), -np.einsum("kn,kn,k->n", scaled, whitened, 1 / self.deviations) / total

    def slope_and_curvature(self, x: Array) -> tuple[Array, Array]:
        """Return the first and the second derivative of log p(x), (n,) each."""
        whitened = self.whiten(x)
        _, scaled, total = self._scaled_densities(whitened)
        whitened /= self.deviations[:, None]
        first = -np.einsum("kn,kn->n", scaled, whitened) / total
        second = np.einsum("kn,kn,kn->n", scaled, whitened, whitened) - self.deviations**-2 @ scaled
        return first, second / total - first**2

    def _scaled_densities(self, whitened: Array) -> tuple[Array, Array, Array]:
        """Return the log of the largest π_k N_k, all π_k N_k divided by the largest one, and the sum of the ratios."""
        scaled = np.clip(whitened, -MAX_DEVIATIONS, MAX_DEVIATIONS)
        np.square(scaled, out=scaled)
        scaled *= -0.5
        scaled += self.log_scale
        largest = scaled.max(axis=0)
        scaled -= largest
        np.exp(scaled, out=scaled)
        return largest, scaled, scaled.sum(axis=0)

    def log_between(self, lower: Array, upper: Array) -> Array:
        """Return the log probability between `lower` and `upper`, which have the shape (n,) or (1,), in nats."""
        with np.errstate(over="ignore", invalid="ignore"):  # inf − inf is NaN, and the probability is 0
            lengths = (upper - lower) / self.deviations[:, None]
        log_parts = self.log_weights + log_interval(self.whiten(lower), self.whiten(upper), lengths)
        return np.minimum(log_sum(log_parts, axis=0), 0.0)

    def log_cdf(self, x: Array) -> Array:
        """Return the log of the distribution function at each x (n,), in nats."""
        log_mass = log_sum(self.log_weights + log_ndtr(self.whiten(x)), axis=0)
        is_upper = log_mass > -0.5
        rest = self.log_weights + log_ndtr(-self.whiten(x[is_upper]))  # upper tails, more accurate for a cdf near 1
        log_mass[is_upper] = np.log1p(-np.exp(rest).sum(axis=0))
        return log_mass

    def quantile(self, p: ArrayLike) -> Array:
        """Return the quantiles of probabilities p, in the shape of p; raises TypeError or ValueError for invalid p."""
        wanted = check_probabilities("p", p)
        flat, parts = wanted.ravel(), pieces((wanted.size, len(self.means)))
        return np.concatenate([inverse_cdf(self, flat[part]) for part in parts]).reshape(wanted.shape)[()]


def inverse_cdf(line: UnivariateMixture, p: Array) -> Array:
    """Return the quantiles of p, (n,); the quantile of 0 is −inf, and the quantile of 1 is inf."""
    upper = p > 0.5
    x = np.empty(len(p))
    x[~upper] = lower_quantile(line, p[~upper])
    x[upper] = -lower_quantile(line.mirrored, 1 - p[upper])
    return x


def lower_quantile(line: UnivariateMixture, p: Array) -> Array:
    """Return the quantiles of p ≤ ½, (n,), accurate to the last digits; the quantile of 0 is −inf."""
    x = np.full(len(p), -np.inf)
    positive = p > 0
    p = p[positive]
    cumulative_weights = np.concatenate([[0.0], np.cumsum(line.weights)])

    def excess(at: Array, indices: NDArray[np.intp]) -> tuple[Array, Array]:
        weight_below = cumulative_weights[np.searchsorted(line.means, at)]
        return _log_ratio(line, at, weight_below - p[indices])

    low, high = _bounds(line, p)
    x[positive] = increasing_roots(excess, low, high, line.deviations.min())
    return x


def _log_ratio(line: UnivariateMixture, x: Array, whole: Array) -> tuple[Array, Array]:
    """Return values and slopes of a function that is 0 if x is the quantile of p; `whole` is Σ_left π_k − p, (n,).

    Let Σ_left and Σ_right be sums over the components whose means are left and right of x. The equation Σ π_k Φ(z_k) =
    p can then be written as Σ_right π_k Φ(−|z_k|) + (Σ_left π_k − p)₊ = Σ_left π_k Φ(−|z_k|) + (p − Σ_left π_k)₊.
    Because neither side suffers from cancellation, x is accurate to the last digit even between components that are far
    apart. The function is the log of the ratio of the two sides of this equation.
    """
    whitened = line.whiten(x)
    log_tails, log_whole = line.log_weights + log_ndtr(-np.abs(whitened)), np.log(np.abs(whole))
    largest = np.maximum(log_tails.max(axis=0), log_whole)
    tails, whole = np.exp(log_tails - largest), np.copysign(np.exp(log_whole - largest), whole)
    slopes = np.exp(line.log_scale - 0.5 * whitened**2 - largest)
    is_left = whitened > 0
    left = np.einsum("kn,kn->n", tails, is_left) + np.maximum(-whole, 0)
    right = np.einsum("kn,kn->n", tails, ~is_left) + np.maximum(whole, 0)
    left_slope = np.einsum("kn,kn->n", slopes, is_left)
    return np.log(right / left), left_slope / left + (slopes.sum(axis=0) - left_slope) / right


def _bounds(line: UnivariateMixture, p: Array) -> tuple[Array, Array]:
    """Return brackets of the quantiles of p > 0; if there are many, a few quantiles are computed first as bounds."""
    if len(p) > _MAX_QUANTILES:
        ends = np.sort(p)[:: _MAX_QUANTILES // 8]
        x = np.append(lower_quantile(line, ends), _bounds_alone(line, p.max(keepdims=True))[1])
        index = np.searchsorted(ends, p, side="right")
        low, high = x[index - 1], x[index]
    else:
        low, high = _bounds_alone(line, p)
    return widened(low, high, float(line.deviations.max()))


def _bounds_alone(line: UnivariateMixture, p: Array) -> tuple[Array, Array]:
    """Return brackets of quantiles, because the cdf is between max_k π_k Φ_k and min(max_k Φ_k, K max_k π_k Φ_k)."""

    def ends_at(log_masses: Array) -> Array:
        return np.asarray(line.means[:, None] + line.deviations[:, None] * ndtri_exp(np.minimum(log_masses, 0.0)))

    log_p = np.log(p)
    alone, log_masses = ends_at(np.broadcast_to(log_p, (len(line.means), len(p)))), log_p - line.log_weights
    low = np.maximum(alone.min(axis=0), ends_at(log_masses - np.log(len(line.means))).min(axis=0))
    return low, np.minimum(alone.max(axis=0), ends_at(log_masses).min(axis=0))


def widened(low: Array, high: Array, length: float) -> tuple[Array, Array]:
    """Move the limits of brackets apart by a few rounding errors; `length` is the same as in `increasing_roots`."""
    unit = 4 * np.finfo(np.float64).eps  # each term is multiplied by it, because the sum of large limits may overflow
    slack = unit * np.abs(low) + unit * np.abs(high) + unit * length
    return low - slack, high + slack


def increasing_roots(function: Increasing, low: Array, high: Array, length: float) -> Array:
    """Find zeros of increasing functions to the last digits, by Newton's method with bisection as a safeguard.

    The method is `rtsafe` in Numerical Recipes (Press and others 2007), section 9.4, for many functions at once.
    Functions whose zeros have been found are not evaluated again.

    Parameters
    ----------
    function : function that returns values and slopes. If a value is ±inf, only the sign is used.
    low, high : brackets of the zeros, (n,): finite points at which the values are ≤ 0 and ≥ 0, respectively.
    length : shortest distance over which the functions change noticeably. Steps below the rounding error of
        `length` end the iteration.
    """
    low, high = low.copy(), high.copy()
    x = low + 0.5 * (high - low)
    step_before = high - low
    indices = np.flatnonzero(low < high)
    for _ in range(_MAX_BISECTIONS):
        if not len(indices):
            break
        at = x[indices]
        with np.errstate(all="ignore"):
            value, slope = function(at, indices)
            step = value / slope
        low[indices] = np.where(value <= 0, at, low[indices])
        high[indices] = np.where(value >= 0, at, high[indices])
        below, above = low[indices], high[indices]
        to = at - step
        is_newton = (to >= below) & (to <= above) & (np.abs(step) <= 0.5 * np.abs(step_before[indices]))
        to = np.where(is_newton, to, below + 0.5 * (above - below))
        step_before[indices] = to - at
        x[indices] = to
        with np.errstate(divide="ignore"):
            rounding = _ROOT_PRECISION * (np.abs(to) + np.minimum(1 / slope, length))
        is_done = (np.abs(to - at) <= rounding) | (value == 0)
        indices = indices[~is_done]
    return x
