"""Find rows that are far from all other rows."""

from __future__ import annotations

from functools import partial

import numpy as np

from gaussmix._src.em.initialisation.sample import distinct_rows
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.leaves import Sums
from gaussmix._src.interfaces.spread import Spread
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.sources.base import Source

# Beyond this distance, the other rows hardly affect covariances in double precision. To leave 1e-10 of a column's
# variance unexplained, one row of a normal column must be at least 1e5 standard deviations away.
DOMINANT_DISTANCE = 1e4
ISOLATED_DISTANCE = 10.0  # beyond this distance, a row often becomes a component that contains no other row


def split_distant_rows(source: Source, distance: float) -> tuple[list[int], Array]:
    """Return the indices of the rows of positive weight that are far from all others, and the others' covariance.

    A row is far from all others if, in some column, its distance from the middle three quarters of the values is more
    than `distance` times their range.
    """
    low, high = distinct_rows(source).central_range
    width = np.where(high > low, distance * (high - low), np.inf)
    distant_rows, others = source.sum_of(partial(_split_leaf, low=low - width, high=high + width))
    return distant_rows, others.covariance


def _split_leaf(leaf: Block, low: Array, high: Array) -> Sums:
    """Return the indices of the rows in a leaf with a value outside [`low`, `high`], and the spread of the others."""
    leaf = leaf.on_host()
    is_distant = np.any((leaf.rows < low) | (leaf.rows > high), axis=1)
    indices = np.flatnonzero(is_distant if leaf.row_weight is None else is_distant & (leaf.row_weight > 0))
    others = leaf.take(np.flatnonzero(~is_distant), leaf.first_row)
    return Sums(((leaf.first_row + indices).tolist(), Spread.from_block(others)))
