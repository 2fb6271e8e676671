"""A version of `np.einsum` for two arrays, with bit-identical results on every processor."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from gaussmix._src.numerics.arrays import Array

MAX_PRODUCTS = 2**15  # largest number of products that are stored at once
MAX_SHORT_SUM = 7  # longest sum for which a loop is faster than NumPy's `reduce`, with the same result


def einsum(subscripts: str, first: Array, second: Array) -> Array:
    """Compute `np.einsum` of two arrays without fused multiply-adds, which NumPy's version uses on arm64.

    The bits of one value in the result do not depend on the other values in the arrays.
    """
    one, other, axes = _plan(subscripts)
    left, right = first.transpose(one[0])[one[1]], second.transpose(other[0])[other[1]]
    if left.size * right.size <= MAX_PRODUCTS:  # the usual case in M-steps
        return np.asarray(np.add.reduce(np.multiply(left, right, order="C"), axis=axes))
    # Multiplication is fastest if the terms of each sum are adjacent in memory.
    left, right = np.broadcast_arrays(np.ascontiguousarray(left), np.ascontiguousarray(right))
    result = np.empty(left.shape[: axes[0]])
    _sum_into(result, left, right, axes)
    return result


@cache
def _plan(subscripts: str) -> tuple[Any, Any, tuple[int, ...]]:
    """Return how to transpose and expand both arrays to common axes (the result's axes first), and the axes to sum."""
    letters, result = subscripts.split("->")
    one, other = letters.split(",")
    order = [*result, *(letter for letter in dict.fromkeys(one + other) if letter not in result)]

    def aligned(letters: str) -> tuple[list[int], tuple[slice | None, ...]]:
        indices = [letters.index(letter) for letter in order if letter in letters]
        return indices, tuple(slice(None) if letter in letters else None for letter in order)

    return aligned(one), aligned(other), tuple(range(len(result) - len(order), 0))


def _sum_into(result: Array, left: Array, right: Array, axes: tuple[int, ...]) -> None:
    """Write the sums of left × right over `axes` into `result`, in pieces along the axes of `result`."""
    axis = next((axis for axis, length in enumerate(result.shape) if length > 1), None)
    if left.size <= MAX_PRODUCTS and axes == (-1,) and 1 < left.shape[-1] <= MAX_SHORT_SUM:
        result[...] = 0.0
        for i in range(left.shape[-1]):
            result += left[..., i] * right[..., i]
        return
    if left.size <= MAX_PRODUCTS or axis is None:
        np.add.reduce(np.multiply(left, right, order="C"), axis=axes, out=result[...])
        return
    length = result.shape[axis]
    step = max(MAX_PRODUCTS * length // left.size, 1)
    before = (slice(None),) * axis
    for start in range(0, length, step):
        part = (*before, slice(start, start + step))
        _sum_into(result[part], left[part], right[part], axes)
