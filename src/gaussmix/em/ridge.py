"""The automatic ridge: a millionth of a robust variance of each feature is added to every variance."""

from __future__ import annotations

import numpy as np

from gaussmix.numerics.arrays import Array
from gaussmix.numerics.core import native_target
from gaussmix.starts.sample import Distinct, seen_cells, variances_of

SHARE = 1e-6
TRIMMED = 0.01  # share of the weight that is dropped at each end, plus one row
MOST_TRIMMED = 0.45  # so that some rows are left
CONSTANT = 2.0**-40, 2.0**-10  # least and largest spread of a constant column, relative to its value


def automatic_ridge(sample: Distinct, trim: float = 0.0) -> Array:
    """1e-6 of a robust variance of each feature, (n_features,), data units².

    The robust variance leaves out ceil(1 %) + 1 of the weight at each end, and a larger share if `trim` says that more
    may be outliers; if it is 0, the whole variance counts. A constant column has no variance: it takes the median of
    the others, but at least (2⁻⁴⁰ x)² and at most (2⁻¹⁰ x)² of its value x. The digits that a float32 or a text lacks
    then cost next to nothing. A column of zeros takes the median. If all columns are constant, 1 replaces the median.
    """
    variances = _trimmed_variances(sample, min(max(TRIMMED, trim), MOST_TRIMMED))
    if not (variances > 0).all():
        variances = np.where(variances > 0, variances, variances_of(sample.rows, sample.weight))
    constant = ~(variances > 0)
    if constant.any():
        variances[constant] = _of_constants(np.fmax.reduce(np.abs(sample.rows), axis=0)[constant], variances[~constant])
    return SHARE * variances


def _of_constants(size: Array, others: Array) -> Array:
    """Variances for constant columns of these absolute values, given the variances of the other columns."""
    typical = np.median(others) if others.size else 1.0
    least, most = ((share * size) ** 2 for share in CONSTANT)
    return np.where(SHARE * most > 0, np.clip(typical, least, most), typical)  # the square of x may vanish


def _trimmed_variances(sample: Distinct, share: float) -> Array:
    if np.isnan(sample.rows).any():
        columns = (Distinct(column[:, None], weight) for column, weight in seen_cells(sample.rows, sample.weight))
        return np.array([_trimmed_variances(each, share)[0] for each in columns])
    total, target = np.cumsum(sample.weight)[-1], native_target()  # one after the other: fit_many has the same bits
    dropped = np.ceil(share * total) + 1
    if 2 * dropped >= total:
        return np.zeros(sample.rows.shape[1])
    if target is not None:
        return target.trimmed_variances(sample.rows, sample.weight, dropped)
    if (sample.weight == 1).all():
        return np.array([_variance_between(column, int(dropped)) for column in sample.rows.T])
    return np.array([_trimmed_variance(column, sample.weight, dropped) for column in sample.rows.T])


def _variance_between(values: Array, dropped: int) -> float:
    """Variance of what is left without the `dropped` lowest and highest values.

    The values stay in their order, except for ties. The order in which `np.partition` leaves them, and so the last bits
    of sums, would depend on the processor.
    """
    ends = dropped, len(values) - 1 - dropped
    low, high = np.partition(values, ends)[list(ends)]
    if low == high:
        return 0.0
    n_low, n_high = np.count_nonzero(values <= low) - ends[0], ends[1] + 1 - np.count_nonzero(values < high)
    inside = values[(low < values) & (values < high)]
    kept = np.concatenate((np.full(n_low, low), inside, np.full(n_high, high)))
    return float(variances_of(kept[:, None], np.ones(len(kept)))[0])


def _trimmed_variance(values: Array, weight: Array, dropped: float) -> float:
    """Variance of the values without `dropped` weight at each end; a value there may lose a part of its weight."""
    order = np.argsort(values, kind="stable")
    reached = np.concatenate(([0.0], np.cumsum(weight[order])))
    if reached[-1] <= 2 * dropped:  # by rounding, for weights in another order
        return 0.0
    inside = np.clip(reached, dropped, reached[-1] - dropped)
    return float(variances_of(values[order, None], np.diff(inside))[0])
