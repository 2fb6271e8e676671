"""Covariance structures with an optional bound on the ratio of the largest to the smallest eigenvalue."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.checks import check_within
from gaussmix._src.covariances import Covariances
from gaussmix._src.covariances.dense import composed
from gaussmix._src.families.base import Equivariance, Family
from gaussmix._src.interfaces.algebra import Across, Algebra
from gaussmix._src.interfaces.moment_spec import Second
from gaussmix._src.interfaces.moments import Scatter
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.axes import principal_axes

RATIO_BOUND_FACTOR = 1 + 1e-9  # a ratio of variances within this factor of the bound counts as at the bound

# For each form of second moments: the equivariance without a bound, and the number of arguments of `Algebra`.
_FORMS = {
    Second.TRACE: (Equivariance.SIMILARITY, 1),
    Second.DIAGONAL: (Equivariance.SCALING, 2),
    Second.FULL: (Equivariance.AFFINE, 3),
}


@dataclass(frozen=True, eq=False, repr=False)
class Boundable(Family):
    """A structure of full, diagonal or spherical covariances, one for each component or one for all components.

    A bound c on the ratio of the eigenvalues can be set. All eigenvalues then lie in an interval [m, c m]
    (García-Escudero and others 2008), so that the likelihood has a maximum, and no component collapses onto a few rows.

    Parameters
    ----------
    max_condition : bound c ≥ 1 on the ratio of eigenvalues, or None. With c = 1, all Σ_k are the same multiple of I.
    """

    max_condition: float | None = None

    def __post_init__(self) -> None:
        if self.max_condition is not None:
            what = "a finite number ≥ 1, or None"
            check_within("max_condition", self.max_condition, what, lambda value: 1 <= value < inf)

    @property
    def algebra(self) -> Algebra | None:
        return self._form if self.max_condition is None else None

    @property
    def free_algebra(self) -> Algebra | None:
        return replace(self, max_condition=None).algebra

    @property
    def _form(self) -> Algebra:
        across = Across.EQUAL if self.is_shared else Across.OWN
        return Algebra(*_FORMS[self.kind.second][1] * [across])

    def at_bound(self, variances: Array) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
        if self.max_condition is None:
            return None
        least, largest = variances.min(), variances.max()
        # The relative rounding error of the smallest variances grows with the bound.
        factor = max(RATIO_BOUND_FACTOR, 1 + 8 * float(np.finfo(np.float64).eps) * self.max_condition)
        if largest * factor < self.max_condition * least:
            return None
        return variances <= factor * least, variances * factor >= largest

    def least_variance(self, covariances: Covariances) -> float:
        if self.max_condition is None:
            return 0.0
        each = covariances.each
        largest = principal_axes(each)[0].max() if self.kind.is_matrix else each.max()
        return float(largest) / self.max_condition

    @property
    def equivariance(self) -> Equivariance:
        """Return the equivariance. A bound excludes separate factors per feature, which would change the ratios."""
        free = _FORMS[self.kind.second][0]
        if self.max_condition is None:
            return free
        return Equivariance.ONE_FACTOR if free is Equivariance.SCALING else Equivariance.SIMILARITY

    @property
    def is_bounded(self) -> bool:
        return self.max_condition is not None

    def update(self, scatter: Scatter, current: Covariances | None) -> Covariances:
        result = self._by_core(self._form, scatter, None)
        if self.max_condition is None:
            return result
        degrees = scatter.degrees.sum(keepdims=True) if self.is_shared else scatter.degrees
        if self.kind.is_matrix:
            arrays = _clamp_eigenvalues(result.each, degrees, self.max_condition)
        else:
            arrays = clamp_to_ratio(result.array.reshape(len(degrees), -1), degrees, self.max_condition)
        return self.covariances(arrays.reshape(result.array.shape), *scatter.shape)

    def n_parameters(self, n_components: int, n_features: int) -> int:
        """Return 1 if the bound is 1, because all variances are then equal; otherwise ignore the bound."""
        return 1 if self.max_condition == 1 else super().n_parameters(n_components, n_features)


def _clamp_eigenvalues(matrices: Array, degrees: Array, limit: float) -> Array:
    """Clamp the eigenvalues of matrices (n, d, d); matrices that satisfy the bound are returned bit-identical."""
    values, axes = principal_axes(matrices)
    within = clamp_to_ratio(values, degrees, limit)
    changed = (within != values).any(axis=1)
    if not changed.any():
        return matrices
    result = np.array(matrices)
    result[changed] = composed(axes[changed], within[changed])
    return result


def clamp_to_ratio(values: Array, degrees: Array, limit: float) -> Array:
    """Clamp eigenvalues l (n, n_values) to values v in [m, c m]; m minimises Σ_k N_k Σ_j (log v_kj + l_kj / v_kj).

    The values l ≥ 0 are the eigenvalues of S_k / N_k, `degrees` (n,) holds N_k, and `limit` is c. Call l small if l <
    m, and large if l > c m. While m lies between neighbours in the sorted list of all l and l / c, the same l are small
    and large. In such an interval, the best m is the sum of N l over the small l and of N l / c over the large l,
    divided by the sum of N over the small and large l; see Fritz, García-Escudero & Mayo-Iscar (2013), Computational
    Statistics & Data Analysis 61, section 3.2. The derivative with respect to log m, Σ_{l < m} N (1 − l / m) − Σ_{l > c
    m} N (l / (c m) − 1), increases with m, so the best m lies in the interval in which the derivative changes its sign.
    """
    if values.max() <= limit * values.min():
        return values
    order = np.argsort(values, axis=None, kind="stable")
    rising = values.ravel()[order]
    weight = np.broadcast_to(degrees[:, None], values.shape).ravel()[order]
    mass, total = (np.concatenate(([0.0], np.cumsum(each))) for each in (weight, weight * rising))
    ends = np.sort(np.concatenate((rising, rising / limit)))
    low = np.searchsorted(rising, ends, side="left")  # number of eigenvalues below each interval end
    above, high = (np.searchsorted(rising / limit, ends, side=side) for side in ("right", "left"))
    slopes = ends * (mass[low] + mass[-1] - mass[above]) - (total[low] + (total[-1] - total[above]) / limit)
    first = int((slopes >= 0).argmax())  # index of the upper end of the interval that contains the best m
    n_low, n_high = low[first], high[first]
    least = (total[n_low] + (total[-1] - total[n_high]) / limit) / (mass[n_low] + mass[-1] - mass[n_high])
    return np.clip(values, least, limit * least)
