"""The weighted empirical distribution of a sample: its distinct rows, sorted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.interfaces.leaves import LEAF_ROWS
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.core import native_target
from gaussmix._src.numerics.rows import extreme_rows
from gaussmix._src.numerics.threads import cached_property
from gaussmix._src.sources.base import Source

MIN_RELATIVE_WEIGHT = 1e-9  # of the mean weight: rows with less are not part of any sum
NO_SUBSAMPLING_FACTOR = 1.3  # times the wanted rows: so few are all taken

MIN_ROWS_TO_SUBSAMPLE = 2_000  # rows: with fewer, a search takes all of them, and moves from two starts of k-means
KMEANS_ROWS_PER_COMPONENT = 200  # rows for each component: k-means before a further search draws about so many
# Different ones among them, or k-means reads all rows: a few heavy ones took the draws
MIN_KMEANS_ROWS_PER_COMPONENT = 20

# The automatic ridge of a feature, as a fraction of a robust estimate of the variance of the feature.
RIDGE_FRACTION = 1e-6
RIDGE_TRIM_FRACTION = 0.01  # of the weight, dropped at each end, plus one row
MAX_RIDGE_TRIM_FRACTION = 0.45  # so that some rows are left
CONSTANT_COLUMN_DEVIATIONS = 2.0**-40, 2.0**-10  # least and largest spread of a constant column, relative to its value


@dataclass(frozen=True, eq=False)
class DistinctRows:
    """DistinctRows rows of a sample in lexicographic order.

    Parameters
    ----------
    rows : (n_distinct, n_features), float64; NaN where a cell is missing.
    weight : (n_distinct,), all positive.
    distinct_index : (n_rows,), the number of each source row's distinct row; None if the sample is a part of it.
    unit : (n_features,), of distances in k-means, data units; None for 1.
    """

    rows: Array
    weight: Array
    distinct_index: NDArray[np.intp] | None = None
    unit: Array | None = None

    @property
    def complete_rows(self) -> DistinctRows:
        """The rows without missing cells."""
        missing = np.isnan(self.rows).any(axis=1)
        return self._select(~missing) if missing.any() else self

    @property
    def in_unit(self) -> DistinctRows:
        """The rows in `unit`."""
        return self if self.unit is None else replace(self, rows=self.rows / self.unit, unit=None)

    def _select(self, chosen: Any) -> DistinctRows:
        return DistinctRows(self.rows[chosen], self.weight[chosen], unit=self.unit)

    @cached_property
    def mean_imputed(self) -> Array:
        """The rows with the mean of a feature in its missing cells."""
        missing = np.isnan(self.rows)
        if not missing.any():
            return self.rows
        weight = np.where(missing, 0.0, self.weight[:, None])
        values, total = np.where(missing, 0.0, self.rows), weight.sum(axis=0)
        means = (weight * values).sum(axis=0) / np.where(total > 0, total, 1.0)
        return np.where(missing, means, self.rows)

    @property
    def without_negligible_rows(self) -> DistinctRows:
        """The rows that have a part in sums: others together have less than `MIN_RELATIVE_WEIGHT` of the weight."""
        has_part = self.weight >= MIN_RELATIVE_WEIGHT * self.weight.mean()
        return self if has_part.all() else self._select(has_part)

    def draw_indices(self, uniform_draws: Array) -> NDArray[np.intp]:
        """The rows that numbers from [0, 1) draw, with probability ∝ weight; sorted numbers are found faster."""
        cumulative = np.cumsum(self.weight)
        drawn = np.searchsorted(cumulative, uniform_draws * cumulative[-1], side="right")
        return np.minimum(drawn, len(cumulative) - 1)

    def subsample(self, n_rows: int, rng: np.random.Generator) -> DistinctRows:
        """Draw about `n_rows` rows by weight, and add the extreme rows; return all rows if that is nearly all.

        The extreme rows have the smallest or largest value of a feature; with them no outlier is lost. If they are not
        drawn, they get the weight that draws give them on average.
        """
        if len(self.weight) <= NO_SUBSAMPLING_FACTOR * n_rows:
            return self
        drawn = self.draw_indices(np.sort(rng.random(n_rows)))
        weight = np.bincount(drawn, minlength=len(self.weight)).astype(np.float64)
        ends = self._extreme_rows
        weight[ends] = np.maximum(weight[ends], n_rows * self.weight[ends] / self.weight.sum())
        indices = weight.nonzero()[0]
        return replace(self._select(indices), weight=weight[indices])

    @cached_property
    def _extreme_rows(self) -> NDArray[np.intp]:
        return extreme_rows(self.rows)

    @cached_property
    def central_range(self) -> tuple[Array, Array]:
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


def distinct_rows(source: Source, n_rows: int = LEAF_ROWS) -> DistinctRows:
    """The distinct rows of a source, or of about `n_rows` rows chosen by weight and a hash of their number.

    Rows of weight 0 count as absent; their rank has no meaning.
    """
    block = source.sample(n_rows)
    missing = np.isnan(block.rows) if source.may_miss else None
    if missing is not None:  # NaN does not compare; infinity does
        block = replace(block, rows=np.where(missing, np.inf, block.rows))
    result = DistinctRows(*native_target().distinct_rows(block.rows, block.row_weight))
    if missing is not None:
        result = replace(result, rows=np.where(np.isinf(result.rows), np.nan, result.rows))
    return result if block.n_rows == source.n_rows else replace(result, distinct_index=None)


def robust_variances(rows: Array, weight: Array, trim_fraction: float | None = None) -> Array:
    """Weighted variances of columns, (n_features,), of what is not missing; `trim` is the fraction dropped at each end.

    They are exactly 0 for equal values, because they are taken about a row. With a fraction one more row is dropped at
    each end; if nothing is left, they are 0 too.
    """
    is_seen = ~np.isnan(rows)
    if not is_seen.all():
        columns = ((rows[seen, [j]], weight[seen]) for j, seen in enumerate(is_seen.T))
        return np.array([float(robust_variances(values[:, None], some, trim_fraction)[0]) for values, some in columns])
    if trim_fraction is None:
        return native_target().trimmed_variances(rows, weight, 0.0)
    total = np.cumsum(weight)[-1]  # one after the other: fit_many has the same bits
    dropped = np.ceil(trim_fraction * total) + 1
    if 2 * dropped >= total:
        return np.zeros(rows.shape[1])
    return native_target().trimmed_variances(rows, weight, dropped)


def automatic_ridge(sample: DistinctRows, trim_fraction: float = 0.0) -> Array:
    """1e-6 of a robust variance of each feature, (n_features,), data units².

    The robust variance leaves out ceil(1 %) + 1 of the weight at each end, and more if `trim` says that more may
    be outliers; if it is 0, the whole variance counts. A constant column has no variance: it takes the median of
    the others, but at least (2⁻⁴⁰ x)² and at most (2⁻¹⁰ x)² of its value x. The digits that a float32 or a text lacks
    then cost next to nothing. A column of zeros takes the median. If all columns are constant, 1 replaces the median.
    """
    trim_fraction = min(max(RIDGE_TRIM_FRACTION, trim_fraction), MAX_RIDGE_TRIM_FRACTION)
    variances = robust_variances(sample.rows, sample.weight, trim_fraction)
    if not (variances > 0).all():
        variances = np.where(variances > 0, variances, robust_variances(sample.rows, sample.weight))
    constant = ~(variances > 0)
    if constant.any():
        magnitudes = np.fmax.reduce(np.abs(sample.rows), axis=0)[constant]
        variances[constant] = _constant_column_variances(magnitudes, variances[~constant])
    return RIDGE_FRACTION * variances


def column_units(ridge: Array) -> Array:
    """Robust standard deviations, (n_features,), data units, from the automatic ridge."""
    return np.sqrt(ridge / RIDGE_FRACTION)


def _constant_column_variances(magnitudes: Array, other_variances: Array) -> Array:
    """Variances for constant columns of these absolute values, given the variances of the other columns."""
    typical = np.median(other_variances) if other_variances.size else 1.0
    least, largest = ((fraction * magnitudes) ** 2 for fraction in CONSTANT_COLUMN_DEVIATIONS)
    # The square of x may vanish.
    return np.where(RIDGE_FRACTION * largest > 0, np.clip(typical, least, largest), typical)


DistinctRows.__module__ = "gaussmix.extend"  # where users import it from
