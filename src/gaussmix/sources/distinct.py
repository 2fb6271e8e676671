"""The weighted empirical distribution of a sample: distinct rows in one order, whatever order they came in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaussmix.sources.base import Source
from gaussmix.waist.arrays import Array
from gaussmix.waist.block import BLOCK_ROWS


@dataclass(frozen=True, eq=False)
class Distinct:
    """Distinct rows (n, n_features) in lexicographic order, and the weight (n,) of each; all positive."""

    rows: Array
    weight: Array

    def draw(self, rng: np.random.Generator, score: Array | None = None) -> int:
        """Draw a row with probability ∝ weight · score, by the inverse cumulative distribution."""
        return int(self.draw_many(rng, 1, score)[0])

    def draw_many(self, rng: np.random.Generator, size: int, score: Array | None = None) -> NDArray[np.intp]:
        """Draw rows with replacement; by weight alone where no row has a positive score."""
        cumulative = np.cumsum(self.weight if score is None else self.weight * score)
        if not cumulative[-1] > 0:
            cumulative = np.cumsum(self.weight)
        drawn = np.searchsorted(cumulative, rng.random(size) * cumulative[-1], side="right")
        inside: NDArray[np.intp] = np.minimum(drawn, len(cumulative) - 1)
        return inside


def distinct_rows(source: Source) -> Distinct:
    """Distinct rows of positive weight among at most 65,520 rows of the source, chosen by a hash of their number."""
    block = source.sample(BLOCK_ROWS)
    rows = block.rows.astype(np.float64) + 0.0  # −0 and 0 are the same number
    weight = np.ones(len(rows)) if block.row_weight is None else block.row_weight
    if not weight.all():
        rows, weight = rows[weight > 0], weight[weight > 0]
    order = lexicographic_order(rows)
    rows, weight = rows[order], weight[order]
    is_new = np.ones(len(rows), dtype=bool)
    is_new[1:] = (rows[1:] != rows[:-1]).any(axis=1)
    if is_new.all():
        return Distinct(rows, weight)
    return Distinct(rows[is_new], np.add.reduceat(weight, is_new.nonzero()[0]))


def lexicographic_order(rows: Array) -> NDArray[np.intp]:
    """Order by the first column, then the second, …; later columns are looked at only where there are ties."""
    order = np.argsort(rows[:, 0], kind="stable")
    first = rows[order, 0]
    tie = first[1:] == first[:-1]
    if rows.shape[1] > 1 and tie.any():
        tied = np.concatenate(([False], tie)) | np.concatenate((tie, [False]))
        places = order[tied]  # tied rows are consecutive in runs, which a sort by all columns keeps in place
        order[tied] = places[np.lexsort(rows[places].T[::-1])]
    return order
