"""The weighted empirical distribution of a sample: its distinct rows, sorted."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.interfaces.leaves import LEAF_ROWS
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.core import native_target
from gaussmix._src.numerics.rows import extreme_rows
from gaussmix._src.numerics.threads import cached_property
from gaussmix._src.sources.base import Source

MIN_RELATIVE_WEIGHT = 1e-9  # of the mean weight: rows with less are not part of any sum
NO_THINNING_FACTOR = 1.3  # times the wanted rows: so few are all taken

MIN_ROWS_OF_PARTS = 2_000  # rows: with fewer, a search takes all of them, and begins from two starts
KMEANS_ROWS = 200  # rows for each component: k-means before a further search draws about so many
MIN_KMEANS_ROWS = 20  # different ones among them, or k-means reads all rows: a few heavy ones took the draws

# The automatic ridge of a feature, as a fraction of a robust estimate of the variance of the feature.
RIDGE_FRACTION = 1e-6
TRIMMED_FRACTION = 0.01  # of the weight, dropped at each end, plus one row
MAX_TRIMMED_FRACTION = 0.45  # so that some rows are left
CONSTANT_SPREADS = 2.0**-40, 2.0**-10  # least and largest spread of a constant column, relative to its value


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

    def draw(self, uniform: Array) -> NDArray[np.intp]:
        """The rows that numbers from [0, 1) draw, with probability ∝ weight; sorted numbers are found faster."""
        cumulative = np.cumsum(self.weight)
        drawn = np.searchsorted(cumulative, uniform * cumulative[-1], side="right")
        return np.minimum(drawn, len(cumulative) - 1)

    def part(self, wanted: int, rng: np.random.Generator) -> Distinct:
        """Draw about `wanted` rows by weight, and add the extreme rows; return all rows if that is nearly all.

        The extreme rows have the smallest or largest value of a feature; with them no outlier is lost. If they are not
        drawn, they get the weight that draws give them on average.
        """
        if len(self.weight) <= NO_THINNING_FACTOR * wanted:
            return self
        weight = np.bincount(self.draw(np.sort(rng.random(wanted))), minlength=len(self.weight)).astype(np.float64)
        ends = self._ends
        weight[ends] = np.maximum(weight[ends], wanted * self.weight[ends] / self.weight.sum())
        indices = weight.nonzero()[0]
        return Distinct(self.rows[indices], weight[indices])

    @cached_property
    def _ends(self) -> NDArray[np.intp]:
        return extreme_rows(self.rows)

    @cached_property
    def middle(self) -> tuple[Array, Array]:
        """The ends of the middle three quarters of the weight, (n_features,) each.

        The smallest value with more than an eighth of the weight at or below it, and the largest with more at or above.
        """
        ends = np.empty((2, self.rows.shape[1]))
        alike = bool((self.weight == self.weight[0]).all())
        for column, values in enumerate(self.rows.T):
            seen = ~np.isnan(values)
            values, weight = values[seen], self.weight[seen]
            if alike:
                indices = [len(values) // 8, len(values) - 1 - len(values) // 8]
                ends[:, column] = np.partition(values, indices)[indices]
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
    result = Distinct(*native_target().distinct_rows(block.rows, block.row_weight))
    if missing is not None:
        result = replace(result, rows=np.where(np.isinf(result.rows), np.nan, result.rows))
    return result if block.n_rows == source.n_rows else replace(result, rank=None)


def robust_variances(rows: Array, weight: Array, trim: float | None = None) -> Array:
    """Weighted variances of columns, (n_features,), of what is not missing; `trim` is the fraction dropped at each end.

    They are exactly 0 for equal values, because they are taken about a row. With a fraction one more row is dropped at
    each end; if nothing is left, they are 0 too.
    """
    is_seen = ~np.isnan(rows)
    if not is_seen.all():
        columns = ((rows[seen, [j]], weight[seen]) for j, seen in enumerate(is_seen.T))
        return np.array([float(robust_variances(values[:, None], some, trim)[0]) for values, some in columns])
    if trim is None:
        return native_target().trimmed_variances(rows, weight, 0.0)
    total = np.cumsum(weight)[-1]  # one after the other: fit_many has the same bits
    dropped = np.ceil(trim * total) + 1
    if 2 * dropped >= total:
        return np.zeros(rows.shape[1])
    return native_target().trimmed_variances(rows, weight, dropped)


def automatic_ridge(sample: Distinct, trim: float = 0.0) -> Array:
    """1e-6 of a robust variance of each feature, (n_features,), data units².

    The robust variance leaves out ceil(1 %) + 1 of the weight at each end, and more if `trim` says that more may
    be outliers; if it is 0, the whole variance counts. A constant column has no variance: it takes the median of
    the others, but at least (2⁻⁴⁰ x)² and at most (2⁻¹⁰ x)² of its value x. The digits that a float32 or a text lacks
    then cost next to nothing. A column of zeros takes the median. If all columns are constant, 1 replaces the median.
    """
    variances = robust_variances(sample.rows, sample.weight, min(max(TRIMMED_FRACTION, trim), MAX_TRIMMED_FRACTION))
    if not (variances > 0).all():
        variances = np.where(variances > 0, variances, robust_variances(sample.rows, sample.weight))
    constant = ~(variances > 0)
    if constant.any():
        variances[constant] = _of_constants(np.fmax.reduce(np.abs(sample.rows), axis=0)[constant], variances[~constant])
    return RIDGE_FRACTION * variances


def _of_constants(size: Array, others: Array) -> Array:
    """Variances for constant columns of these absolute values, given the variances of the other columns."""
    typical = np.median(others) if others.size else 1.0
    least, largest = ((fraction * size) ** 2 for fraction in CONSTANT_SPREADS)
    # The square of x may vanish.
    return np.where(RIDGE_FRACTION * largest > 0, np.clip(typical, least, largest), typical)


Distinct.__module__ = "gaussmix.extend"  # where users import it from
