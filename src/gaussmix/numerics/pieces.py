"""Work on large arrays in pieces, so that what NumPy makes on the way takes little memory."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix.numerics.arrays import Array

PIECE = 2**19  # numbers for one call of NumPy, 4 MB: about 2 ms, including the first touch of the memory


def pieces(shape: tuple[int, ...]) -> Iterator[slice]:
    """Slices of the first axis of an array of this shape, in order; a small array is one piece."""
    numbers = prod(shape)
    if numbers <= PIECE:
        yield slice(0, shape[0] if shape else 1)
        return
    step = max(1, PIECE * shape[0] // numbers)
    for first in range(0, shape[0], step):
        yield slice(first, first + step)


def copied(values: NDArray[Any]) -> Array:
    """A contiguous float64 copy of an array of numbers."""
    return np.array(values, np.float64, order="C")
