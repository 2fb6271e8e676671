"""Work on large arrays in pieces: NumPy hears of an interrupt only between its calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gaussmix.numerics.arrays import Array

Number = TypeVar("Number", bound=np.floating[Any])

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


def in_pieces(work: Callable[..., Array], *arrays: Array) -> Array:
    """What `work` makes of arrays with the same first axis, in the shape of the first, for work row by row."""
    if arrays[0].size <= PIECE:
        return work(*arrays)
    done = np.empty(arrays[0].shape)
    for part in pieces(done.shape):
        done[part] = work(*(array[part] for array in arrays))
    return done


def copied(values: NDArray[Any]) -> Array:
    """A contiguous float64 copy of an array of numbers."""
    copy = np.empty(values.shape)
    for part in pieces(values.shape):
        copy[part if values.ndim else ...] = values[part if values.ndim else ...]
    return copy


def taken(rows: NDArray[Number], places: NDArray[np.intp]) -> NDArray[Number]:
    """Some rows (n_places, n_features) of an array of rows."""
    some: NDArray[Number] = np.empty((len(places), *rows.shape[1:]), rows.dtype)
    for part in pieces(some.shape):
        some[part] = rows[places[part]]
    return some
