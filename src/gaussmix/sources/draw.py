"""Rows drawn for a sample by a hash of their numbers: the same rows however rows are cut."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gaussmix.numerics.arrays import Array, Rows
from gaussmix.numerics.hashing import mix, uniform
from gaussmix.numerics.pieces import taken
from gaussmix.numerics.rows import extreme_rows
from gaussmix.waist.block import Block


def hashes(block: Block) -> Array:
    """A number from 0 to 1 for each row, which depends on the row's number alone."""
    return uniform(mix(mix(np.arange(block.places.start, block.places.stop, dtype=np.uint64))))


def are_drawn(hashed: Array, row_weight: Array | None, fair: float) -> NDArray[np.bool_]:
    """Whether rows with these hashes are in a sample whose rows stand for `fair` of the total weight each."""
    drawn: NDArray[np.bool_] = hashed * fair < (1.0 if row_weight is None else row_weight)
    return drawn


def sampled(rows: Rows, row_weight: Array | None, drawn: NDArray[np.bool_], fair: float) -> Block:
    """The rows that were drawn and the extreme rows, with the weights that they stand for."""
    drawn[extreme_rows(rows, row_weight)] = True
    places = drawn.nonzero()[0]
    return Block(0, taken(rows, places), None if row_weight is None else np.maximum(row_weight[places], fair))
