"""The logarithm for parameters: the core's, because the last bit of NumPy's depends on the processor."""

from __future__ import annotations

import numpy as np

from gaussmix.numerics.arrays import Array
from gaussmix.numerics.core import native_target
from gaussmix.numerics.pieces import pieces


def log(numbers: Array) -> Array:
    """Natural logarithm of each number of an array with at least one dimension; −inf for 0."""
    target = native_target()
    if target is not None:
        logarithms = np.empty(numbers.shape)
        for part in pieces(numbers.shape):
            logarithms[part] = target.log(np.ascontiguousarray(numbers[part]).ravel()).reshape(numbers[part].shape)
        return logarithms
    with np.errstate(divide="ignore"):
        return np.log(numbers)
