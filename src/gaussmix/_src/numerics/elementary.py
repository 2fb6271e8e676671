"""Elementary functions of arrays whose last bits do not depend on the processor, and sums in log space."""

from __future__ import annotations

import numpy as np

from gaussmix._src.errors import SingularCovariance
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.core import native_target

_AT_ONCE = 2**13  # numbers: all steps of `exponential` for so many stay in the cache
_LEAST = -746.0  # e^x is 0 from here down
_LN2_HIGH, _LN2_LOW = 0.693147180369123816490, 1.90821492927058770002e-10  # their sum is ln 2; n · high is exact


def log(numbers: Array) -> Array:
    """Natural logarithm of each number of an array with at least one dimension; −inf for 0.

    The last bit of NumPy's depends on the processor.
    """
    return native_target().log(np.ascontiguousarray(numbers).ravel()).reshape(numbers.shape)


def exponential(numbers: Array) -> Array:
    """e^x for x < 700, by sums and products alone, because the last bit of NumPy's exp depends on the processor."""
    if numbers.size > _AT_ONCE:
        found = np.empty(numbers.shape)
        flat, every = found.reshape(-1), numbers.reshape(-1)
        for first in range(0, len(flat), _AT_ONCE):
            flat[first : first + _AT_ONCE] = exponential(every[first : first + _AT_ONCE])
        return found
    numbers = np.maximum(numbers, _LEAST)
    power = np.rint(numbers / (_LN2_HIGH + _LN2_LOW))
    rest = (numbers - power * _LN2_HIGH) - power * _LN2_LOW
    series = np.ones_like(rest)
    for n in range(14, 0, -1):  # |rest| < 0.35: the remainder of the series is below 2⁻⁶²
        series = 1.0 + rest / n * series
    return np.ldexp(series, power.astype(np.intp))


def inverse_root(variances: Array) -> Array:
    """v^(−½) of variances whose first axis is the component.

    Raises SingularCovariance: some are not positive, finite numbers, or so small that digits are missing (below
    2.2e-308); the message names their components.
    """
    usable = (variances >= np.finfo(np.float64).tiny) & np.isfinite(variances)
    if not usable.all():
        raise SingularCovariance(np.flatnonzero(~usable.reshape(len(usable), -1).all(axis=1)))
    return np.asarray(1.0 / np.sqrt(variances))


def log_sum(log_terms: Array, axis: int = -1) -> Array:
    """log Σ exp(t) along an axis, −inf where every t is −inf; five times as fast as SciPy's `logsumexp`.

    It is for reports. The bits of a fit need `softmax_and_log_sum`.
    """
    largest = log_terms.max(axis=axis, keepdims=True)
    largest[largest == -np.inf] = 0.0
    with np.errstate(divide="ignore"):
        total = np.log(np.exp(log_terms - largest).sum(axis=axis))
    return np.asarray(total + largest.squeeze(axis))


def softmax(log_terms: Array, axis: int = -1) -> Array:
    """exp(t) / Σ exp(t) along an axis, where at least one t is finite."""
    return softmax_and_log_sum(log_terms, axis)[0]


def softmax_and_log_sum(log_terms: Array, axis: int = -1) -> tuple[Array, Array]:
    """exp(t) / Σ exp(t) and log Σ exp(t) along an axis; NaN and −inf where every t is −inf."""
    largest = log_terms.max(axis=axis, keepdims=True)
    largest[largest == -np.inf] = 0.0
    terms = exponential(log_terms - largest)
    total = terms.sum(axis=axis, keepdims=True)
    with np.errstate(invalid="ignore"):
        shares = terms / total
    return shares, (log(total) + largest).squeeze(axis)


def log_gamma(numbers: Array) -> Array:
    """log Γ(x) of positive numbers, an array with at least one dimension."""
    return gammas(numbers)[0]


def gammas(numbers: Array) -> tuple[Array, Array]:
    """log Γ(x) and ψ(x) = d log Γ(x) / dx of positive numbers."""
    logs, derivatives = native_target().gammas(np.ascontiguousarray(numbers).ravel())
    return logs.reshape(numbers.shape), derivatives.reshape(numbers.shape)
