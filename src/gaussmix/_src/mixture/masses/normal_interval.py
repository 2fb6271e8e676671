"""The probability of intervals under a standard normal distribution, accurate in both tails and for short intervals."""

from __future__ import annotations

import numpy as np
from scipy.special import log_ndtr

from gaussmix._src.interfaces.parameters import LOG_2PI
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.elementary import log_sum

_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(10)
_MAX_CENTRAL = 1e5  # standard deviations; beyond, the mean of an interval equals the limit nearer to 0, to ten digits
_MAX_SMOOTH_GAP = 1.0  # nats; if the log density changes less within an interval, ten nodes suffice for the integral


def log_interval(lower: Array, upper: Array, length: Array | None = None) -> Array:
    """Return log(Φ(upper) − Φ(lower)) for arrays lower ≤ upper, in nats; −inf if lower = upper.

    `length` is upper − lower, for callers that know it with a smaller rounding error than the difference has.
    The difference is computed in the lower tail, after a reflection if necessary, because Φ is rounded to 1 in the
    upper tail. For a short interval, in which the difference would be inaccurate, the density is integrated by
    Gauss–Legendre quadrature.
    """
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        flipped = lower + upper > 0
        lower, upper = np.where(flipped, -upper, lower), np.where(flipped, -lower, upper)
        length = upper - lower if length is None else length
        log_upper = log_ndtr(upper)
        ratio = np.where(lower == -np.inf, -np.inf, log_ndtr(lower) - log_upper)
        log_mass = np.where(length > 0, log_upper + np.log(-np.expm1(ratio)), -np.inf)
        short = (length > 0) & (length * (np.abs(lower) + length) < _MAX_SMOOTH_GAP)
    log_mass = np.where(np.isneginf(log_upper) & (length > 0), -np.inf, log_mass)  # upper² overflows, so the mass is 0
    if short.any():
        log_mass[short] = _integral(lower[short], length[short])
    return log_mass


def mean_between(lower: Array, upper: Array) -> Array:
    """Return the mean of a standard normal variable in an interval; only approximate for short or distant intervals."""
    log_mass, nearest = log_interval(lower, upper), np.clip(0.0, lower, upper)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.exp(-0.5 * (lower**2 + LOG_2PI) - log_mass) - np.exp(-0.5 * (upper**2 + LOG_2PI) - log_mass)
        is_central = (np.abs(nearest) < _MAX_CENTRAL) & np.isfinite(mean)
    return np.clip(np.where(is_central, mean, nearest), lower, upper)


def _integral(lower: Array, length: Array) -> Array:
    exponents = -0.5 * (lower[..., None] + 0.5 * length[..., None] * (1 + _NODES)) ** 2
    log_mean = log_sum(exponents + np.log(0.5 * _NODE_WEIGHTS))
    return np.asarray(np.log(length) + log_mean - 0.5 * LOG_2PI)
