"""Quantiles of a mixture of one feature, to rounding in both tails and between components that lie far apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_ndtr, ndtri_exp

from gaussmix.checks import check_probabilities
from gaussmix.mixture.line.bracketing import increasing_roots
from gaussmix.mixture.line.line import Line
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.pieces import pieces

_MANY = 1024  # quantiles


def quantile(line: Line, p: ArrayLike) -> Array:
    """Where the mass below is p, in the shape of p, data units; raises TypeError or ValueError."""
    wanted = check_probabilities("p", p)
    flat, x = wanted.ravel(), np.empty(wanted.size)
    for part in pieces((len(x), len(line.means))):
        x[part] = inverse_cdf(line, flat[part])
    return x.reshape(wanted.shape)[()]


def inverse_cdf(line: Line, p: Array) -> Array:
    """Where the mass below is p, (n,); ∓inf for 0 and 1."""
    upper = p > 0.5
    x = np.empty(len(p))
    x[~upper] = lower_quantile(line, p[~upper])
    x[upper] = -lower_quantile(line.mirrored, 1 - p[upper])
    return x


def lower_quantile(line: Line, p: Array) -> Array:
    """As `inverse_cdf`, to rounding for p up to ½."""
    x = np.full(len(p), -np.inf)
    positive = p > 0
    p = p[positive]
    below = np.concatenate([[0.0], np.cumsum(line.weights)])

    def excess(at: Array, numbers: NDArray[np.intp]) -> tuple[Array, Array]:
        return _log_ratio(line, at, below[np.searchsorted(line.means, at)] - p[numbers])

    low, high = _bounds(line, p)
    x[positive] = increasing_roots(excess, low, high, line.deviations.min())
    return x


def _log_ratio(line: Line, x: Array, whole: Array) -> tuple[Array, Array]:
    """A function that is 0 where the mass below x is p, and its slope.

    With the components left of x and those right of it, Σ π_k Φ(z_k) = p reads

        Σ_right π_k Φ(−|z_k|) + (Σ_left π_k − p)₊ = Σ_left π_k Φ(−|z_k|) + (p − Σ_left π_k)₊,

    Neither side is a difference of like numbers, so that x is right to the last digit also between components that lie
    far apart. The function is the log of the ratio of the two sides.

    Parameters
    ----------
    whole : (n,), Σ_left π_k − p.
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


def _bounds(line: Line, p: Array) -> tuple[Array, Array]:
    """Ends between which the quantiles of p > 0 lie. Of many, a few are found first and bound the others."""
    if len(p) > _MANY:
        ends = np.sort(p)[:: _MANY // 8]
        x = np.append(lower_quantile(line, ends), _bounds_alone(line, p.max(keepdims=True))[1])
        place = np.searchsorted(ends, p, side="right")
        low, high = x[place - 1], x[place]
    else:
        low, high = _bounds_alone(line, p)
    slack = 4 * np.finfo(np.float64).eps * (np.abs(low) + np.abs(high) + line.deviations.max())
    return low - slack, high + slack


def _bounds_alone(line: Line, p: Array) -> tuple[Array, Array]:
    """As `_bounds`: the mass below is at least max_k π_k Φ_k, and at most max_k Φ_k and K max_k π_k Φ_k."""

    def where(log_masses: Array) -> Array:
        return np.asarray(line.means[:, None] + line.deviations[:, None] * ndtri_exp(np.minimum(log_masses, 0.0)))

    log_p = np.log(p)
    alone, log_masses = where(np.broadcast_to(log_p, (len(line.means), len(p)))), log_p - line.log_weights
    low = np.maximum(alone.min(axis=0), where(log_masses - np.log(len(line.means))).min(axis=0))
    return low, np.minimum(alone.max(axis=0), where(log_masses).min(axis=0))
