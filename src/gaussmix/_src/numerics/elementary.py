"""Elementary functions of arrays that give the same bits on every processor, and sums in log space."""

from __future__ import annotations

import numpy as np

from gaussmix._src.errors import SingularCovarianceError
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.core import native_target

_MAX_VALUES = 2**13  # number of values for which all arrays of `exponential` fit in the cache
_MIN_LOG = -746.0  # e^x is rounded to 0 for x below this value
_LN2_HIGH, _LN2_LOW = 0.693147180369123816490, 1.90821492927058770002e-10  # the sum is ln 2; n · LN2_HIGH is exact


def log(values: Array) -> Array:
    """Return the natural logarithm of an array with at least one dimension; the logarithm of 0 is −inf.

    The function replaces NumPy's logarithm, whose last bit depends on the processor.
    """
    return native_target().log(np.ascontiguousarray(values).ravel()).reshape(values.shape)


def exponential(values: Array) -> Array:
    """Return e^x for x < 700, using basic arithmetic, so that the bits are the same on every processor."""
    if values.size > _MAX_VALUES:
        result = np.empty(values.shape)
        flat, flat_values = result.reshape(-1), values.reshape(-1)
        for first in range(0, len(flat), _MAX_VALUES):
            flat[first : first + _MAX_VALUES] = exponential(flat_values[first : first + _MAX_VALUES])
        return result
    values = np.maximum(values, _MIN_LOG)
    power = np.rint(values / (_LN2_HIGH + _LN2_LOW))
    rest = (values - power * _LN2_HIGH) - power * _LN2_LOW
    series = np.ones_like(rest)
    for n in range(14, 0, -1):  # 14 terms suffice: since |rest| < 0.35, the remainder of the series is below 2⁻⁶²
        series = 1.0 + rest / n * series
    return np.ldexp(series, power.astype(np.intp))


def inverse_root(variances: Array) -> Array:
    """Return v^(−½) of variances v, (n_components, …).

    Raises SingularCovarianceError with the indices of components whose variances are not positive, not finite or below
    2.2e-308, because numbers below 2.2e-308 have fewer digits.
    """
    usable = (variances >= np.finfo(np.float64).tiny) & np.isfinite(variances)
    if not usable.all():
        raise SingularCovarianceError(np.flatnonzero(~usable.reshape(len(usable), -1).all(axis=1)))
    return np.asarray(1.0 / np.sqrt(variances))


def log_sum(log_terms: Array, axis: int = -1) -> Array:
    """Return log Σ exp(t) along an axis, or −inf if every t is −inf; five times as fast as SciPy's `logsumexp`.

    Only reports use this function, because its last bits depend on the processor. Fits use `softmax_and_log_sum`.
    """
    largest = log_terms.max(axis=axis, keepdims=True)
    largest[largest == -np.inf] = 0.0
    with np.errstate(divide="ignore"):
        total = np.log(np.exp(log_terms - largest).sum(axis=axis))
    return np.asarray(total + largest.squeeze(axis))


def softmax(log_terms: Array, axis: int = -1) -> Array:
    """Return exp(t) / Σ exp(t) along an axis on which at least one t is finite."""
    return softmax_and_log_sum(log_terms, axis)[0]


def softmax_and_log_sum(log_terms: Array, axis: int = -1) -> tuple[Array, Array]:
    """Return exp(t) / Σ exp(t) and log Σ exp(t) along an axis; if every t is −inf, the results are NaN and −inf."""
    largest = log_terms.max(axis=axis, keepdims=True)
    largest[largest == -np.inf] = 0.0
    terms = exponential(log_terms - largest)
    total = terms.sum(axis=axis, keepdims=True)
    with np.errstate(invalid="ignore"):
        fractions = terms / total
    return fractions, (log(total) + largest).squeeze(axis)


def log_gamma(values: Array) -> Array:
    """Return log Γ(x) of positive numbers in an array with at least one dimension."""
    return gammas(values)[0]


def gammas(values: Array) -> tuple[Array, Array]:
    """Return log Γ(x) and its derivative ψ(x) for positive numbers x."""
    logs, derivatives = native_target().gammas(np.ascontiguousarray(values).ravel())
    return logs.reshape(values.shape), derivatives.reshape(values.shape)
