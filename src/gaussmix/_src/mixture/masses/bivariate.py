"""Probabilities of rectangles under bivariate normal distributions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, owens_t

from gaussmix._src.interfaces.parameters import LOG_2PI
from gaussmix._src.mixture.masses.normal_interval import log_interval, mean_between
from gaussmix._src.numerics.arrays import Array, Indices, pieces
from gaussmix._src.numerics.elementary import log_sum

_MAX_BOUND = 40.0  # largest limit, in standard deviations, which replaces larger ones; the mass beyond it is 1e-350
_MIN_MASS = 1e-3  # for masses below this value, differences of Owen's function are too inaccurate
_MASS_ROUNDING = 1e-20  # a mass up to this value counts as 0, because it is far below the rounding error of 1
_MAX_LOG_GAP = 40.0  # nats; a term whose log is this much below the largest log is only 4e-18 of the largest term
# The search for the peak of the integrand is skipped in an interval that is at most _SHORT standard deviations long, if
# the log of the integrand changes by at most _LEVEL nats in this interval.
_SHORT, _LEVEL = 1.0, 10.0
_DROP = 45.0  # nats; a fall of the log by this amount leaves only 3e-20 of the integrand's peak
_TURN = np.array([-8.0, 0.0, 8.0])  # numbers of standard deviations at which Φ is about 0, ½ and 1
_HALVINGS = 80  # bisections, enough to find the narrowest peak in an interval of 1e12 standard deviations
_MAX_EVALUATIONS = 160  # number of values in memory per rectangle and component
_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(20)


def log_sums(log_weights: Array, lower: Array, upper: Array, correlations: Array, rests: Array) -> Array:
    """Return the log of Σ_k π_k P(lower_k < z < upper_k | k), (n,), in nats, for n rectangles.

    The limits (n_components, n, 2) are in standard deviations of each component, and the weights sum to 1.
    `correlations` (n_components,) contains ρ, and `rests` (n_components,) contains √(1 − ρ²), accurate even if ρ is
    near ±1. Sums computed with Owen's function have an absolute rounding error of about 1e-16. If a sum is so small
    that this error matters, the terms are integrated by Gauss–Legendre quadrature. A term is left out if its upper
    bound, the smaller of the two features' masses between their limits, is below 1e-17 of the sum.
    """
    masses = _masses(lower, upper, correlations[:, None], rests[:, None])
    total = np.exp(log_weights) @ masses
    log_total = np.log(np.clip(total, _MIN_MASS, 1.0))
    small = np.flatnonzero(total < _MIN_MASS)
    for part in pieces((len(small), len(masses), _MAX_EVALUATIONS)):
        rows = small[part]
        known = np.where(masses[:, rows] < _MIN_MASS, np.nan, np.log(np.maximum(masses[:, rows], _MIN_MASS)))
        log_total[rows] = _small_sums(log_weights, known, lower[:, rows], upper[:, rows], correlations, rests)
    return log_total


def _small_sums(
    log_weights: Array, known: Array, lower: Array, upper: Array, correlations: Array, rests: Array
) -> Array:
    """Compute small sums for `log_sums`; `known` has log masses, or NaN if Owen's function is not accurate enough.

    The term with the largest upper bound is computed first. A further term is computed only if its upper bound is not
    negligible compared with the largest of the known terms.
    """
    bounds = np.where(np.isnan(known), log_interval(lower, upper).min(axis=2), known) + log_weights[:, None]
    log_parts = np.where(np.isnan(known), -np.inf, known + log_weights[:, None])
    is_first = np.arange(len(bounds))[:, None] == bounds.argmax(axis=0)
    for is_in_pass in (is_first, ~is_first):
        is_needed = is_in_pass & np.isnan(known) & (bounds > -np.inf)
        k, row = np.nonzero(is_needed & (bounds > log_parts.max(axis=0) - _MAX_LOG_GAP))
        if len(k):
            integrand = _Integrand(lower[k, row], upper[k, row], correlations[k, None], rests[k, None])
            log_parts[k, row] = log_weights[k] + _integral(integrand)
    return log_sum(log_parts, axis=0)


def _masses(lower: Array, upper: Array, rho: Array, rest: Array) -> Array:
    """Return P(lower < z < upper) with an absolute error of about 1e-16, using Owen's function."""
    with np.errstate(invalid="ignore"):  # −inf + inf is NaN, for which `flipped` is False
        flipped = lower + upper > 0  # True if the difference suffers from less cancellation in the other tail
    lower, upper = np.where(flipped, -upper, lower), np.where(flipped, -lower, upper)
    rho = np.where(flipped.sum(axis=-1) == 1, -rho, rho)
    return np.asarray(
        _below(upper[..., 0], upper[..., 1], rho, rest)
        - _below(lower[..., 0], upper[..., 1], rho, rest)
        - _below(upper[..., 0], lower[..., 1], rho, rest)
        + _below(lower[..., 0], lower[..., 1], rho, rest)
    )


def _below(h: Array, k: Array, rho: Array, rest: Array) -> Array:
    """Return P(x < h, y < k) from eq. 2.1 of Owen (1956); limits beyond `_MAX_BOUND` are replaced by `_MAX_BOUND`."""
    below_h, below_k = ndtr(h), ndtr(k)
    is_positive = np.minimum(below_h, below_k) > _MASS_ROUNDING
    mass = np.zeros(h.shape)
    h, k = h[is_positive].clip(-_MAX_BOUND, _MAX_BOUND), k[is_positive].clip(-_MAX_BOUND, _MAX_BOUND)
    rho, rest = (np.broadcast_to(array, mass.shape)[is_positive] for array in (rho, rest))
    h, k = (np.where((h == 0) & (k == 0), np.finfo(np.float64).tiny, limit) for limit in (h, k))
    sign_term = np.where((h * k < 0) | ((h * k == 0) & (h + k < 0)), 0.5, 0.0)
    parts = _owen(h, (k - rho * h) / rest) + _owen(k, (h - rho * k) / rest)
    mass[is_positive] = 0.5 * (below_h[is_positive] + below_k[is_positive]) - parts - sign_term
    return mass


def _owen(h: Array, numerator: Array) -> Array:
    """Return Owen's function T(h, numerator / h), or its limit for h → 0 if h is 0."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        slope = np.where(h == 0, np.copysign(np.inf, numerator), numerator / h)
    return np.asarray(owens_t(h, slope))


@dataclass(frozen=True, eq=False)
class _Integrand:
    """The integrands φ(x) P(lower_2 < y < upper_2 | x) of n rectangles as functions of the first feature x.

    The integrands are log-concave: the second derivative of the logarithm is at most −1.
    """

    lower: Array
    upper: Array
    rho: Array  # correlations ρ, (n, 1)
    rest: Array  # √(1 − ρ²), (n, 1)

    def log(self, x: Array) -> Array:
        return log_interval(*self._conditional_limits(x)) - 0.5 * (x**2 + LOG_2PI)

    def slope(self, x: Array) -> Array:
        """Return the slope −x + ρ E(z | x) / √(1 − ρ²) of the log integrand, with z = (y − ρ x) / √(1 − ρ²)."""
        return np.asarray(self.rho / self.rest * mean_between(*self._conditional_limits(x)) - x)

    def part(self, rows: Indices) -> _Integrand:
        """Return the integrands of the rectangles at the indices `rows`."""
        return _Integrand(self.lower[rows], self.upper[rows], self.rho[rows], self.rest[rows])

    def bends(self) -> Array:
        """Return the points x at which each Φ in the integrand is about 0, ½ and 1, (n, 6); NaN if Φ is constant."""
        limits = np.stack([self.lower[:, 1], self.upper[:, 1]], axis=1)[:, :, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            bends = (limits + self.rest[..., None] * _TURN) / self.rho[..., None]
        return np.where(np.isfinite(bends), bends, np.nan).reshape(len(limits), -1)

    def _conditional_limits(self, x: Array) -> tuple[Array, Array]:
        """Return the limits of the second feature in conditional standard deviations given the first feature x."""
        return (self.lower[:, 1:] - self.rho * x) / self.rest, (self.upper[:, 1:] - self.rho * x) / self.rest


def _integral(integrand: _Integrand) -> Array:
    """Return the log of the integral over x, (n,), by quadrature over the pieces between limits, peak and `bends`."""
    low, high = integrand.lower[:, :1].copy(), integrand.upper[:, :1].copy()
    is_level = _is_level(integrand)
    peak = np.where(is_level, low, 0.0)
    rest = np.flatnonzero(~is_level)
    if len(rest):
        low[rest], peak[rest], high[rest] = _range(integrand.part(rest))
    bends = integrand.bends()
    bends = np.where(np.isnan(bends), peak, bends).clip(low, high)
    cuts = np.sort(np.concatenate([low, peak, high, bends], axis=1), axis=1)
    lengths, log_parts = np.diff(cuts, axis=1), np.full((len(cuts), cuts.shape[1] - 1), -np.inf)
    row, piece = np.nonzero(lengths > 0)  # most pieces have length 0
    first, length = cuts[row, piece][:, None], lengths[row, piece][:, None]
    log_values = integrand.part(row).log(first + 0.5 * length * (1 + _NODES)) + np.log(0.5 * length * _NODE_WEIGHTS)
    log_parts[row, piece] = log_sum(log_values)
    # Beyond 1e9 standard deviations, rounding errors of the log exceed 45 nats, so that low = high, and the value at
    # the peak is returned.
    return np.where(low < high, log_sum(log_parts)[:, None], integrand.log(peak))[:, 0]


def _is_level(integrand: _Integrand) -> NDArray[np.bool_]:
    """Return whether the integrand hardly changes between the limits of x, (n, 1), judging by the steepest slope."""
    length = integrand.upper[:, :1] - integrand.lower[:, :1]
    is_level = length <= _SHORT
    short = np.flatnonzero(is_level)
    part = integrand.part(short)
    steepest = np.maximum(np.abs(part.slope(part.lower[:, :1])), np.abs(part.slope(part.upper[:, :1])))
    is_level[short] = steepest * length[short] <= _LEVEL
    return is_level


def _range(integrand: _Integrand) -> tuple[Array, Array, Array]:
    """Return low, peak and high, (n, 1) each: the integrand is largest at `peak` and negligible outside low … high."""
    first, last = integrand.lower[:, :1], integrand.upper[:, :1]
    start = np.clip(0.0, first, last)
    reach = np.abs(integrand.slope(start))  # largest |peak − start|, as the slope falls by at least 1 per unit
    first, last = np.maximum(start - reach, first), np.minimum(start + reach, last)
    peak = _bisected(lambda x: integrand.slope(x) > 0, first, last)
    floor, width = integrand.log(peak) - _DROP, np.sqrt(2 * _DROP)
    low = _bisected(lambda x: integrand.log(x) < floor, np.maximum(peak - width, integrand.lower[:, :1]), peak)
    high = _bisected(lambda x: integrand.log(x) > floor, peak, np.minimum(peak + width, integrand.upper[:, :1]))
    return low, peak, high


def _bisected(is_before: Callable[[Array], NDArray[np.bool_]], low: Array, high: Array) -> Array:
    """Return, by bisection, the point between `low` and `high` at which the condition `is_before` ceases to hold."""
    for _ in range(_HALVINGS):
        middle = low + 0.5 * (high - low)
        before = is_before(middle)
        low, high = np.where(before, middle, low), np.where(before, high, middle)
    return low + 0.5 * (high - low)
