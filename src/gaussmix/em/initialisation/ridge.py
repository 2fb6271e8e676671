"""The automatic ridge: a millionth of a robust variance of each feature is added to every variance."""

from __future__ import annotations

import numpy as np

from gaussmix.em.initialisation.sample import Distinct, seen_cells, variances_of
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.core import native_target

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
    total = np.cumsum(sample.weight)[-1]  # one after the other: fit_many has the same bits
    dropped = np.ceil(share * total) + 1
    if 2 * dropped >= total:
        return np.zeros(sample.rows.shape[1])
    return native_target().trimmed_variances(sample.rows, sample.weight, dropped)
