"""Sums of products of arrays whose bits do not depend on the processor."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np

from gaussmix.numerics.arrays import Array

MOST_AT_ONCE = 2**16  # products that are held together


def contract(subscripts: str, first: Array, second: Array) -> Array:
    """`np.einsum` of two arrays by products and sums that are each rounded: NumPy's own are fused on arm64."""
    one, other, summed = _plan(subscripts)
    return _summed(first.transpose(one[0])[one[1]], second.transpose(other[0])[other[1]], summed)


@cache
def _plan(subscripts: str) -> tuple[Any, Any, tuple[int, ...]]:
    """What gives each array an axis for every letter, first those of the result; and the axes that are summed."""
    letters, result = subscripts.split("->")
    one, other = letters.split(",")
    order = [*result, *(letter for letter in dict.fromkeys(one + other) if letter not in result)]

    def aligned(letters: str) -> tuple[list[int], tuple[slice | None, ...]]:
        places = [letters.index(letter) for letter in order if letter in letters]
        return places, tuple(slice(None) if letter in letters else None for letter in order)

    return aligned(one), aligned(other), tuple(range(len(result) - len(order), 0))


def _summed(first: Array, second: Array, axes: tuple[int, ...]) -> Array:
    """The sum of products over the last axes."""
    if not axes:
        return first * second
    lengths = [max(pair) for pair in zip(first.shape, second.shape, strict=True)]
    if math.prod(lengths) <= MOST_AT_ONCE:
        found: Array = np.add.reduce(np.multiply(first, second, order="C"), axis=axes)
        return found
    one, other = np.broadcast_to(first, lengths), np.broadcast_to(second, lengths)
    total = _summed(one[..., 0], other[..., 0], axes[1:])
    for i in range(1, lengths[-1]):
        total += _summed(one[..., i], other[..., i], axes[1:])
    return total
