"""Work on large arrays in pieces, because Ctrl-C cannot interrupt one call of NumPy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gaussmix.numerics.arrays import Array

Number = TypeVar("Number", bound=np.floating[Any])

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


def in_pieces(work: Callable[..., Array], *arrays: Array) -> Array:
    """Call `work` on pieces of arrays with the same first axis; for work that treats rows one by one.

    The result has the shape of the first array.
    """
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
