"""The logarithm that parameters are made with: the core's, since NumPy's last bit depends on the processor."""

from __future__ import annotations

import numpy as np

from gaussmix.waist.arrays import Array
from gaussmix.waist.core import native_target


def log(numbers: Array) -> Array:
    """Natural logarithm of each number, nats, in the shape of `numbers`; −inf of 0."""
    target = native_target()
    if target is not None:
        return target.log(np.ascontiguousarray(numbers).ravel()).reshape(numbers.shape)
    with np.errstate(divide="ignore"):
        logarithms: Array = np.log(numbers)
    return logarithms
