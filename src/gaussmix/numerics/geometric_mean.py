"""d-th roots of determinants."""

from __future__ import annotations

import numpy as np

from gaussmix.numerics.arrays import Array
from gaussmix.numerics.logarithm import log

_LN2_HIGH, _LN2_LOW = 0.693147180369123816490, 1.90821492927058770002e-10  # their sum is ln 2; n · high is exact


def geometric_mean(variances: Array) -> Array:
    """(Π_j v_j)^(1/d) of each row of `variances` (n, n_features), data units²; 0 if a variance is not positive."""
    usable = np.asarray((variances > 0).all(axis=1))
    size = np.where(usable, variances.mean(axis=1), 1.0)
    relative = np.where(usable[:, None], variances, 1.0) / size[:, None]
    return np.where(usable, size * exponential(log(relative).mean(axis=1)), 0.0)


def exponential(numbers: Array) -> Array:
    """e^x for |x| < 700, by sums and products alone, because the last bit of NumPy's exp depends on the processor."""
    power = np.rint(numbers / (_LN2_HIGH + _LN2_LOW))
    rest = (numbers - power * _LN2_HIGH) - power * _LN2_LOW
    series = np.ones_like(rest)
    for n in range(14, 0, -1):  # |rest| < 0.35: the remainder of the series is below 2⁻⁶²
        series = 1.0 + rest / n * series
    grown: Array = np.ldexp(series, power.astype(np.intp))
    return grown
