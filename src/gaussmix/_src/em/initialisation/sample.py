"""The weighted empirical distribution of a sample, as its sorted distinct rows with their weights."""

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

MIN_RELATIVE_WEIGHT = 1e-9  # rows with a smaller fraction of the mean weight do not count in sums
NO_SUBSAMPLING_FACTOR = 1.3  # up to this multiple of the requested rows, all rows are taken

# With fewer rows, a search takes all of them, and makes moves from two k-means starts.
MIN_ROWS_TO_SUBSAMPLE = 2_000
KMEANS_ROWS_PER_COMPONENT = 200  # approximate rows per component for k-means before a further search
# If fewer distinct rows per component are drawn, because a few heavy rows take the draws, k-means reads all rows.
MIN_KMEANS_ROWS_PER_COMPONENT = 20

# The automatic ridge of a feature, as a fraction of a robust estimate of its variance.
RIDGE_FRACTION = 1e-6
RIDGE_TRIM_FRACTION = 0.01  # fraction of the weight that is dropped at each end, in addition to one row
MAX_RIDGE_TRIM_FRACTION = 0.45  # limit on that fraction, so that some rows are left
CONSTANT_COLUMN_DEVIATIONS = 2.0**-40, 2.0**-10  # bounds on a constant column's assumed spread, relative to its value


@dataclass(frozen=True, eq=False)
class DistinctRows:
    """Distinct rows of a sample in lexicographic order, with their weights.

    Parameters
    ----------
    rows : (n_distinct, n_features), float64; NaN is a missing value.
    weight : (n_distinct,), all positive.
    distinct_index : (n_rows,), index in `rows` of each source row; None if the sample is only a part of the source.
    unit : (n_features,), unit of distances in k-means, data units; None for 1.
    """

    rows: Array
    weight: Array
    distinct_index: NDArray[np.intp] | None = None
    unit: Array | None = None

    @property
    def complete_rows(self) -> DistinctRows:
        """Return the rows without missing values."""
        missing = np.isnan(self.rows).any(axis=1)
        return self._select(~missing) if missing.any() else self

    @property
    def in_unit(self) -> DistinctRows:
        """Return the rows divided by `unit`."""
        return self if self.unit is None else replace(self, rows=self.rows / self.unit, unit=None)

    def _select(self, chosen: Any) -> DistinctRows:
        return DistinctRows(self.rows[chosen], self.weight[chosen], unit=self.unit)

    @cached_property
    def mean_imputed(self) -> Array:
        """Return the rows with missing values replaced by the mean of their feature."""
        missing = np.isnan(self.rows)
        if not missing.any():
            return self.rows
        weight = np.where(missing, 0.0, self.weight[:, None])
        values, total = np.where(missing, 0.0, self.rows), weight.sum(axis=0)
        means = (weight * values).sum(axis=0) / np.where(total > 0, total, 1.0)
        return np.where(missing, means, self.rows)

    @property
    def without_negligible_rows(self) -> DistinctRows:
        """Return the rows that matter in sums; all other rows have less than `MIN_RELATIVE_WEIGHT` of the weight."""
        has_part = self.weight >= MIN_RELATIVE_WEIGHT * self.weight.mean()
        return self if has_part.all() else self._select(has_part)

    def draw_indices(self, uniform_draws: Array) -> NDArray[np.intp]:
        """Return the rows selected by numbers in [0, 1) with probability ∝ weight; sorted numbers are faster."""
        cumulative = np.cumsum(self.weight)
        drawn = np.searchsorted(cumulative, uniform_draws * cumulative[-1], side="right")
        return np.minimum(drawn, len(cumulative) - 1)

    def subsample(self, n_rows: int, rng: np.random.Generator) -> DistinctRows:
        """Draw about `n_rows` rows by weight, and add the extreme rows; return all rows if that is nearly all.

        The extreme rows, which have the smallest or largest value of a feature, are added so that no outlier is lost.
        An extreme row that is not drawn gets the weight that it would get from draws on average.
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
        """Return the lower and upper ends of the middle three quarters of the weight, (n_features,) each.

        The ends are the outermost values with more than an eighth of the weight at or beyond them.
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
    """Return the distinct rows of a source, or of about `n_rows` rows chosen by weight and a hash of their number.

    Rows of weight 0 count as absent, and their `distinct_index` has no meaning.
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
    """Return weighted variances of the observed values of columns, (n_features,), after trimming at each end.

    The variances of equal values are exactly 0, because they are taken about a row. With a `trim_fraction`, one more
    row is dropped at each end. If nothing is left, the variances are 0, too.
    """
    is_seen = ~np.isnan(rows)
    if not is_seen.all():
        columns = ((rows[seen, [j]], weight[seen]) for j, seen in enumerate(is_seen.T))
        return np.array([float(robust_variances(values[:, None], some, trim_fraction)[0]) for values, some in columns])
    if trim_fraction is None:
        return native_target().trimmed_variances(rows, weight, 0.0)
    total = np.cumsum(weight)[-1]  # `cumsum` adds in order, so that `fit_many` has the same bits
    dropped = np.ceil(trim_fraction * total) + 1
    if 2 * dropped >= total:
        return np.zeros(rows.shape[1])
    return native_target().trimmed_variances(rows, weight, dropped)


def automatic_ridge(sample: DistinctRows, trim_fraction: float = 0.0) -> Array:
    """Return 1e-6 of a robust variance of each feature, (n_features,), data units².

    The robust variance leaves out ceil(1 %) + 1 of the weight at each end, and more if `trim_fraction` allows for more
    outliers. If the robust variance is 0, the whole variance is used. A constant column of value x gets the median of
    the other columns, within (2⁻⁴⁰ x)² and (2⁻¹⁰ x)², so that digits that a float32 or a text lacks hardly matter. A
    column of zeros gets the median. If all columns are constant, 1 replaces the median.
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
    """Return robust standard deviations, (n_features,), data units, from the automatic ridge."""
    return np.sqrt(ridge / RIDGE_FRACTION)


def _constant_column_variances(magnitudes: Array, other_variances: Array) -> Array:
    """Return variances for constant columns with these absolute values, given the variances of all other columns."""
    typical = np.median(other_variances) if other_variances.size else 1.0
    least, largest = ((fraction * magnitudes) ** 2 for fraction in CONSTANT_COLUMN_DEVIATIONS)
    # The square of a tiny x may underflow to 0.
    return np.where(RIDGE_FRACTION * largest > 0, np.clip(typical, least, largest), typical)


DistinctRows.__module__ = "gaussmix.extend"  # the module from which users import the class
