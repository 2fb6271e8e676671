"""Samples of rows, stored as sorted distinct rows with weights, and robust statistics of such samples."""

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
from gaussmix._src.sources.array import ArraySource
from gaussmix._src.sources.base import Source

MIN_RELATIVE_WEIGHT = 1e-9  # rows whose weight is below this fraction of the mean weight are negligible
NO_SUBSAMPLING_FACTOR = 1.3  # all rows are used if their number is at most this multiple of the requested number

# With fewer rows than this, a split-and-merge search uses all rows, and begins from two k-means results.
MIN_ROWS_TO_SUBSAMPLE = 2_000
KMEANS_ROWS_PER_COMPONENT = 200  # approximate number of rows per component in the second k-means of a search
# If fewer distinct rows per component than this are drawn (heavy rows are drawn repeatedly), k-means reads all rows.
MIN_KMEANS_ROWS_PER_COMPONENT = 20
MIN_COMPLETE_FRACTION = 0.25  # incomplete rows are used unless complete rows have more than this fraction of the weight

# The automatic ridge is this fraction of a robust estimate of the feature's variance.
RIDGE_FRACTION = 1e-6
RIDGE_TRIM_FRACTION = 0.01  # fraction of the weight that, plus one row, is left out at each end of a feature's values
MAX_RIDGE_TRIM_FRACTION = 0.45  # maximum fraction of the weight that is left out at each end, so that some rows remain
CONSTANT_COLUMN_DEVIATIONS = 2.0**-40, 2.0**-10  # lower and upper limit on constant columns' assumed relative deviation


@dataclass(frozen=True, eq=False)
class DistinctRows:
    """Distinct rows of a sample in lexicographic order, with their total weights.

    Parameters
    ----------
    rows : distinct rows, (n_distinct, n_features), float64, where NaN is a missing value.
    weight : total weight of each distinct row, (n_distinct,), always positive.
    distinct_index : for each row of the source, its index in `rows`, (n_rows,); None if only some rows were sampled.
    unit : scale by which k-means divides each feature, (n_features,), in data units; None for scales of 1.
    estimates : rows with estimates of missing values, like `rows`; None if missing values are not estimated.
    """

    rows: Array
    weight: Array
    distinct_index: NDArray[np.intp] | None = None
    unit: Array | None = None
    estimates: Array | None = None

    @property
    def clustered_rows(self) -> DistinctRows:
        """Return the rows that k-means and searches use: complete rows or, if too few, all rows with a value."""
        missing = np.isnan(self.rows)
        if not missing.any():
            return self
        is_complete, has_value = ~missing.any(axis=1), ~missing.all(axis=1)
        are_enough = self.weight[is_complete].sum() > MIN_COMPLETE_FRACTION * self.weight[has_value].sum()
        return self.take(is_complete if are_enough else has_value)

    @property
    def in_unit(self) -> DistinctRows:
        """Return the sample with its rows divided by `unit`."""
        if self.unit is None:
            return self
        estimates = None if self.estimates is None else self.estimates / self.unit
        return replace(self, rows=self.rows / self.unit, unit=None, estimates=estimates)

    def as_source(self, original: Source) -> ArraySource:
        """Return a source of these rows, in which values may be missing if values of the source `original` may."""
        source = ArraySource(self.rows, self.weight)
        source.may_miss = original.may_miss
        return source

    def with_total_weight(self, total: float) -> DistinctRows:
        """Return the same rows with weights whose sum is `total`."""
        return replace(self, weight=self.weight * (total / self.weight.sum()))

    def take(self, chosen: Any) -> DistinctRows:
        """Return the rows with the given indices, or the rows for which a mask is true."""
        estimates = None if self.estimates is None else self.estimates[chosen]
        return DistinctRows(self.rows[chosen], self.weight[chosen], unit=self.unit, estimates=estimates)

    @cached_property
    def imputed(self) -> Array:
        """Return the rows, with missing values replaced by estimates or, without estimates, by the feature's mean."""
        if self.estimates is not None:
            return self.estimates
        missing = np.isnan(self.rows)
        if not missing.any():
            return self.rows
        weight = np.where(missing, 0.0, self.weight[:, None])
        values, total = np.where(missing, 0.0, self.rows), weight.sum(axis=0)
        means = (weight * values).sum(axis=0) / np.where(total > 0, total, 1.0)
        return np.where(missing, means, self.rows)

    @property
    def without_negligible_rows(self) -> DistinctRows:
        """Return the rows whose weight is at least `MIN_RELATIVE_WEIGHT` times the mean weight."""
        is_relevant = self.weight >= MIN_RELATIVE_WEIGHT * self.weight.mean()
        return self if is_relevant.all() else self.take(is_relevant)

    def draw_indices(self, uniform_draws: Array) -> NDArray[np.intp]:
        """Draw row indices with probability ∝ weight, given uniform random numbers in [0, 1) (fastest if ascending)."""
        cumulative = np.cumsum(self.weight)
        drawn = np.searchsorted(cumulative, uniform_draws * cumulative[-1], side="right")
        return np.minimum(drawn, len(cumulative) - 1)

    def subsample(self, n_rows: int, rng: np.random.Generator) -> DistinctRows:
        """Draw about `n_rows` rows by weight, and add the extreme rows; return all rows if few would be left out.

        Extreme rows, which have the smallest or largest value of a feature, are added so that no outlier is lost. The
        weight of an extreme row in the subsample is at least the row's expected weight in a random sample.
        """
        if len(self.weight) <= NO_SUBSAMPLING_FACTOR * n_rows:
            return self
        drawn = self.draw_indices(np.sort(rng.random(n_rows)))
        weight = np.bincount(drawn, minlength=len(self.weight)).astype(np.float64)
        ends = self._extreme_rows
        weight[ends] = np.maximum(weight[ends], n_rows * self.weight[ends] / self.weight.sum())
        indices = weight.nonzero()[0]
        return replace(self.take(indices), weight=weight[indices])

    @cached_property
    def _extreme_rows(self) -> NDArray[np.intp]:
        return extreme_rows(self.rows)

    @cached_property
    def central_range(self) -> tuple[Array, Array]:
        """Return the ends of the range that contains the middle three quarters of the weight, (n_features,) each.

        Each end is the outermost value with more than an eighth of the weight at or beyond this value.
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
    """Return the distinct rows of a source, or of a sample of about `n_rows` rows if the source has more rows.

    A sample depends only on the weights and indices of the rows (see `Source.sample`). Rows of weight 0 are left out;
    their entries in `distinct_index` are meaningless.
    """
    block = source.sample(n_rows)
    missing = np.isnan(block.rows) if source.may_miss else None
    if missing is not None:  # infinity replaces NaN, which cannot be sorted
        block = replace(block, rows=np.where(missing, np.inf, block.rows))
    result = DistinctRows(*native_target().distinct_rows(block.rows, block.row_weight))
    if missing is not None:
        result = replace(result, rows=np.where(np.isinf(result.rows), np.nan, result.rows))
    return result if block.n_rows == source.n_rows else replace(result, distinct_index=None)


def robust_variances(rows: Array, weight: Array, trim_fraction: float | None = None) -> Array:
    """Return the weighted variance of each column's observed values, (n_features,), after trimming at both ends.

    If all values of a column are equal, the variance is exactly 0. If `trim_fraction` is given, this fraction of the
    weight plus one row is left out at each end. If no row remains, the variances are 0.
    """
    is_seen = ~np.isnan(rows)
    if not is_seen.all():
        columns = ((rows[seen, [j]], weight[seen]) for j, seen in enumerate(is_seen.T))
        return np.array([float(robust_variances(values[:, None], mass, trim_fraction)[0]) for values, mass in columns])
    if trim_fraction is None:
        return native_target().trimmed_variances(rows, weight, 0.0)
    total = np.cumsum(weight)[-1]  # `cumsum` adds in the same order as `fit_many` in the C++ core
    dropped = np.ceil(trim_fraction * total) + 1
    if 2 * dropped >= total:
        return np.zeros(rows.shape[1])
    return native_target().trimmed_variances(rows, weight, dropped)


def automatic_ridge(sample: DistinctRows, trim_fraction: float = 0.0) -> Array:
    """Return the automatic ridge: 1e-6 of a robust variance of each feature, (n_features,), in data units².

    The robust variance leaves out rows at each end of a feature's values, with a weight of 1 % of the total (or
    `trim_fraction`, if larger than 1 %), rounded up, plus 1. If the robust variance is 0, the variance of all rows is
    used. For a constant column of value x, the median variance of the other columns is used, but at least (2⁻⁴⁰ x)² and
    at most (2⁻¹⁰ x)². The limits ensure that rounding of x to float32 or to text hardly matters. For a column of zeros,
    the median variance is used without limits. If all columns are constant, 1 replaces the median variance.
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
    """Return the scale of each column, (n_features,): a robust standard deviation, computed from the ridge."""
    return np.sqrt(ridge / RIDGE_FRACTION)


def _constant_column_variances(magnitudes: Array, other_variances: Array) -> Array:
    """Return variances for constant columns, given the columns' absolute values and the variances of other columns."""
    typical = np.median(other_variances) if other_variances.size else 1.0
    least, largest = ((fraction * magnitudes) ** 2 for fraction in CONSTANT_COLUMN_DEVIATIONS)
    # If the square of a tiny value underflows to 0, the median variance is used without limits.
    return np.where(RIDGE_FRACTION * largest > 0, np.clip(typical, least, largest), typical)
