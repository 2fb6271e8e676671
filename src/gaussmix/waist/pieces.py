"""Work on large arrays in pieces: NumPy hears of an interrupt only between its calls."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np

from gaussmix.waist.arrays import Array

PIECE = 2**21  # numbers that one call of NumPy may work on, 16 MB: some 10 ms, the first touch of memory included


def pieces(shape: tuple[int, ...]) -> Iterator[slice]:
    """Slices of the first axis of such an array, in order; a small array is one piece."""
    numbers = prod(shape)
    if numbers <= PIECE:
        yield slice(0, shape[0] if shape else 1)
        return
    step = max(1, PIECE * shape[0] // numbers)
    for first in range(0, shape[0], step):
        yield slice(first, first + step)


def copied(values: Array) -> Array:
    """A contiguous float64 copy of an array."""
    copy = np.empty(values.shape)
    for part in pieces(values.shape):
        copy[part if values.ndim else ...] = values[part if values.ndim else ...]
    return copy
