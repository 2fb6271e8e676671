"""The logarithm of the gamma function and its derivative, from sums, products and our own logarithm alone.

The last bit of SciPy's depends on the processor's logarithm.
"""

from __future__ import annotations

from functools import reduce
from operator import mul

import numpy as np

from gaussmix.numerics.arrays import Array
from gaussmix.numerics.core import native_target
from gaussmix.numerics.elementary import log

_SHIFT = 12  # the series are for arguments above this number; their remainder is below 1e-17 there
_HALF_LOG_2PI = 0.9189385332046727418
# B_2n / (2n (2n − 1)) and B_2n / 2n of the Bernoulli numbers, n = 1 … 8; Abramowitz & Stegun (1964) 6.1.41 and 6.3.18.
_OF_LOG = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156, -3617 / 122400)
_OF_DERIVATIVE = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12, -3617 / 8160)


def log_gamma(numbers: Array) -> Array:
    """log Γ(x) of positive numbers, an array with at least one dimension."""
    return gammas(numbers)[0]


def gammas(numbers: Array) -> tuple[Array, Array]:
    """log Γ(x) and ψ(x) = d log Γ(x) / dx of positive numbers, with the same bits from the core and from Python."""
    target = native_target()
    if target is None:
        return gammas_without_core(numbers)
    logs, derivatives = target.gammas(np.ascontiguousarray(numbers).ravel())
    return logs.reshape(numbers.shape), derivatives.reshape(numbers.shape)


def gammas_without_core(numbers: Array) -> tuple[Array, Array]:
    """Both by NumPy."""
    is_small = numbers < _SHIFT
    large = np.where(is_small, numbers + _SHIFT, numbers)
    logs = log(large)
    of_log = (large - 0.5) * logs - large + _HALF_LOG_2PI + _series(_OF_LOG, large) * large
    derivative = logs - 0.5 / large - _series(_OF_DERIVATIVE, large)
    if is_small.any():  # Γ(x) = Γ(x + 12) / (x (x + 1) … (x + 11))
        factors = [numbers[is_small] + n for n in range(_SHIFT)]
        of_log[is_small] -= log(reduce(mul, factors))
        derivative[is_small] -= sum(1.0 / factor for factor in factors)
    return of_log, derivative


def _series(coefficients: tuple[float, ...], numbers: Array) -> Array:
    """Σ_n c_n / x^2n."""
    square, total = 1.0 / (numbers * numbers), np.zeros(numbers.shape)
    for coefficient in reversed(coefficients):
        total = (total + coefficient) * square
    return total
