"""The logarithm of the gamma function and its derivative: the last bit of SciPy's depends on the processor."""

from __future__ import annotations

import numpy as np

from gaussmix.numerics.arrays import Array
from gaussmix.numerics.core import native_target


def log_gamma(numbers: Array) -> Array:
    """log Γ(x) of positive numbers, an array with at least one dimension."""
    return gammas(numbers)[0]


def gammas(numbers: Array) -> tuple[Array, Array]:
    """log Γ(x) and ψ(x) = d log Γ(x) / dx of positive numbers."""
    logs, derivatives = native_target().gammas(np.ascontiguousarray(numbers).ravel())
    return logs.reshape(numbers.shape), derivatives.reshape(numbers.shape)
