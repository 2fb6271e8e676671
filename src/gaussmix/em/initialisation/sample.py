"""The weighted empirical distribution of a sample: its distinct rows, sorted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gaussmix.numerics.arrays import Array, pieces
from gaussmix.numerics.core import native_target
from gaussmix.numerics.rows import extreme_rows
from gaussmix.numerics.threads import cached_property
from gaussmix.sources.base import Source
from gaussmix.waist.leaves import LEAF_ROWS

MIN_RELATIVE_WEIGHT = 1e-9  # of the mean weight: rows with less are no part of any sum
NEARLY_ALL = 1.3  # times the wanted rows: so few are all taken

ROWS_OF_PARTS = 2_000  # rows: with fewer, a search takes all of them, and begins from two starts
KMEANS_ROWS = 200  # rows for each component: k-means before a further search draws about so many
MIN_KMEANS_ROWS = 20  # different ones among them, or k-means reads all rows: a few heavy ones took the draws


@dataclass(frozen=True, eq=False)
class Distinct:
    """Distinct rows of a sample in lexicographic order.

    Parameters
    ----------
    rows : (n_distinct, n_features), float64; NaN where a cell is missing.
    weight : (n_distinct,), all positive.
    rank : (n_rows,), the number of the distinct row of each row of the source; None if the sample is a part of it.
    """

    rows: Array
    weight: Array
    rank: NDArray[np.intp] | None = None

    @property
    def complete(self) -> Distinct:
        """The rows without missing cells."""
        missing = np.isnan(self.rows).any(axis=1)
        return Distinct(self.rows[~missing], self.weight[~missing]) if missing.any() else self

    @cached_property
    def filled(self) -> Array:
        """The rows with the mean of a feature in its missing cells."""
        missing = np.isnan(self.rows)
        if not missing.any():
            return self.rows
        weight = np.where(missing, 0.0, self.weight[:, None])
        values, total = np.where(missing, 0.0, self.rows), weight.sum(axis=0)
        means = (weight * values).sum(axis=0) / np.where(total > 0, total, 1.0)
        return np.where(missing, means, self.rows)

    @property
    def without_negligible(self) -> Distinct:
        """The rows that have a part in sums: others together have less than `MIN_RELATIVE_WEIGHT` of the weight."""
        has_part = self.weight >= MIN_RELATIVE_WEIGHT * self.weight.mean()
        return self if has_part.all() else Distinct(self.rows[has_part], self.weight[has_part])

    def draw_many(self, rng: np.random.Generator, size: int) -> NDArray[np.intp]:
        """Draw rows with replacement, with probability ∝ weight, by the inverse cumulative distribution."""
        return self._at(rng.random(size))

    def _at(self, uniform: Array) -> NDArray[np.intp]:
        """The rows that numbers from [0, 1) draw; sorted ones are found faster."""
        cumulative = np.cumsum(self.weight)
        drawn = np.searchsorted(cumulative, uniform * cumulative[-1], side="right")
        return np.minimum(drawn, len(cumulative) - 1)

    def part(self, wanted: int, rng: np.random.Generator) -> Distinct:
        """Draw about `wanted` rows by weight, and add the extreme rows; return all rows if that is nearly all.

        The extreme rows have the smallest or largest value of a feature; with them no outlier is lost. If they are not
        drawn, they get the weight that draws give them on average.
        """
        if len(self.weight) <= NEARLY_ALL * wanted:
            return self
        weight = np.bincount(self._at(np.sort(rng.random(wanted))), minlength=len(self.weight)).astype(np.float64)
        ends = self._ends
        weight[ends] = np.maximum(weight[ends], wanted * self.weight[ends] / self.weight.sum())
        places = weight.nonzero()[0]
        return Distinct(self.rows[places], weight[places])

    @cached_property
    def _ends(self) -> NDArray[np.intp]:
        return extreme_rows(self.rows)

    def for_search(self, n_components: int, rng: np.random.Generator) -> Distinct:
        """Draw the rows that k-means before a further search reads.

        These are all rows if they are fewer than `ROWS_OF_PARTS`, or if a few heavy ones take most of the draws.
        """
        few = self if len(self.rows) < ROWS_OF_PARTS else self.part(KMEANS_ROWS * n_components, rng)
        return few if len(few.rows) >= MIN_KMEANS_ROWS * n_components else self

    @cached_property
    def middle(self) -> tuple[Array, Array]:
        """The ends of the middle three quarters of the weight, (n_features,) each.

        The smallest value with more than an eighth of the weight at or below it, and the largest with more at or above.
        """
        ends = np.empty((2, self.rows.shape[1]))
        alike = bool((self.weight == self.weight[0]).all())
        if alike and not np.isnan(self.rows).any():
            places = [len(self.rows) // 8, len(self.rows) - 1 - len(self.rows) // 8]
            for part in pieces(self.rows.shape[::-1]):  # of the columns, for the sake of memory
                ends[:, part] = np.partition(self.rows.T[part], places, axis=1).T[places]
            return ends[0], ends[1]
        for column, values in enumerate(self.rows.T):
            seen = ~np.isnan(values)
            values, weight = values[seen], self.weight[seen]
            if alike:
                places = [len(values) // 8, len(values) - 1 - len(values) // 8]
                ends[:, column] = np.partition(values, places)[places]
                continue
            order = np.argsort(values, kind="stable")
            reached = np.cumsum(weight[order])
            first = np.searchsorted(reached, reached[-1] / 8, side="right")
            last = np.searchsorted(reached, reached[-1] - reached[-1] / 8, side="left")
            ends[:, column] = values[order[[first, last]]]
        return ends[0], ends[1]


def distinct_rows(source: Source) -> Distinct:
    """The distinct rows of a source, or of about 65,520 rows chosen by weight and a hash of their number.

    Rows of weight 0 count as absent; their rank has no meaning.
    """
    block = source.sample(LEAF_ROWS)
    missing = np.isnan(block.rows) if source.may_miss else None
    if missing is not None:  # NaN does not compare; infinity does
        block = replace(block, rows=np.where(missing, np.inf, block.rows))
    found = Distinct(*native_target().distinct_rows(block.rows, block.row_weight))
    if missing is not None:
        found = replace(found, rows=np.where(np.isinf(found.rows), np.nan, found.rows))
    return found if block.n_rows == source.n_rows else replace(found, rank=None)


def variances_of(rows: Array, weight: Array) -> Array:
    """Weighted variances of columns, (n_features,); exactly 0 for equal values, because they are taken about a row."""
    if np.isnan(rows).any():
        return np.array([float(variances_of(column[:, None], share)[0]) for column, share in seen_cells(rows, weight)])
    return native_target().trimmed_variances(rows, weight, 0.0)


def seen_cells(rows: Array, weight: Array) -> Iterator[tuple[Array, Array]]:
    """The numbers of each column that are not missing, with their weights."""
    for column in rows.T:
        seen = ~np.isnan(column)
        yield column[seen], weight[seen]
