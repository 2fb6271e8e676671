"""Outliers, which are so remote that they alone determine mean and covariance of any component with a part of them.

A random start divides every row among all components. A single row a million standard deviations away would then give
each component such a large covariance that it no longer distinguishes the other rows. Outliers therefore get components
of their own, and all other rows are assigned as if there were no outliers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import wraps
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.em.initialisation.base import Partition, Start
from gaussmix._src.em.initialisation.sample import DistinctRows
from gaussmix._src.engines.base import Engine
from gaussmix._src.interfaces.block import Block
from gaussmix._src.numerics.arrays import Array, Rows, pieces

# Rows that are farther out than this many widths of the middle three quarters of a feature are outliers.
MAX_RELATIVE_DISTANCE = 1e3
# If distant rows have a larger fraction of the weight, they are not outliers.
MAX_OUTLIER_WEIGHT = 0.125


@dataclass(frozen=True, eq=False)
class Outliers:
    """Criterion for outliers, and representatives of the outliers of a sample.

    Parameters
    ----------
    low, high : (n_features,), the lower and upper ends of the middle three quarters of each feature.
    outlier_distance : (n_features,), the distance from the middle above which a row is an outlier, data units; infinite
        for a feature whose middle three quarters are one number.
    representatives : (n_points, n_features), outliers that are farther than `outlier_distance` from each other.
    """

    low: Array
    high: Array
    outlier_distance: Array
    representatives: Array

    def are_outliers(self, rows: Rows) -> NDArray[np.bool_]:
        """Return whether each row is an outlier, (n_rows,)."""
        return _box_distance(rows, self.low, self.high, self.outlier_distance) > 1

    def nearest_representative(self, rows: Rows) -> NDArray[np.intp]:
        """Return the index of the nearest representative of each row, (n_rows,), the first of equals."""
        distances = [_box_distance(rows, point, point, self.outlier_distance) for point in self.representatives]
        return np.argmin(distances, axis=0)


@dataclass(frozen=True, eq=False)
class OutlierResponsibilities:
    """Responsibilities of a partition whose last components take the outliers, one component per representative.

    The partition divides all other rows among the first `n_other_components` components. If it has parameters, the
    engine finds the most probable component of each row.
    """

    outliers: Outliers
    partition: Partition
    n_other_components: int
    engine: Engine[Any]

    @property
    def with_scaled_spheres(self) -> OutlierResponsibilities:
        """Return the same responsibilities, with scaled spheres in the partition of the rows that are not outliers."""
        return replace(self, partition=self.partition.with_scaled_spheres)

    def __call__(self, block: Block) -> Array:
        n_components = self.n_other_components + len(self.outliers.representatives)
        partition, result = self.partition, np.zeros((block.n_rows, n_components))
        if partition.responsibilities is not None:
            result[:, : self.n_other_components] = partition.responsibilities(block)
        elif partition.parameters is not None:
            result[np.arange(block.n_rows), self.engine.labels(block, partition.parameters)] = 1.0
        outside = self.outliers.are_outliers(block.rows).nonzero()[0]
        result[outside] = 0.0
        result[outside, self.n_other_components + self.outliers.nearest_representative(block.rows[outside])] = 1.0
        return result


def separate_outliers(start: Start) -> Start:
    """Decorate a start so that it runs without the outliers and their components, which are added afterwards.

    The start makes one component less for each representative of the outliers.
    """

    @wraps(start)
    def separated(sample: DistinctRows, engine: Engine[Any], n_components: int, rng: np.random.Generator) -> Partition:
        outliers = find_outliers(sample, n_components // 2)
        if outliers is None:
            return start(sample, engine, n_components, rng)
        n_other_components = n_components - len(outliers.representatives)
        others = start(_without_outliers(sample, outliers), engine, n_other_components, rng)
        return Partition(responsibilities=OutlierResponsibilities(outliers, others, n_other_components, engine))

    return separated


def find_outliers(sample: DistinctRows, max_outliers: int) -> Outliers | None:
    """Find the outliers of a sample; None if there are none.

    In some feature, an outlier is farther from the middle three quarters of the weight than `MAX_RELATIVE_DISTANCE`
    times their width. The first representative is the farthest outlier. Each further representative is the row farthest
    from the middle and from the representatives so far, as long as it is out of their reach: Gonzalez (1985),
    Theoretical Computer Science 38, 293–306.
    """
    if max_outliers == 0:
        return None
    low, high = sample.central_range
    reach = np.where(high > low, MAX_RELATIVE_DISTANCE * (high - low), np.inf)
    corners = np.array([np.fmin.reduce(sample.rows, axis=0), np.fmax.reduce(sample.rows, axis=0)])
    if not (_box_distance(corners, low, high, reach) > 1).any():
        return None
    distance = _box_distance(sample.rows, low, high, reach)
    is_outlier = distance > 1
    if sample.weight[is_outlier].sum() > MAX_OUTLIER_WEIGHT * sample.weight.sum():
        return None
    rows, distance = sample.rows[is_outlier], distance[is_outlier]
    points: list[Array] = []
    while len(points) < max_outliers and distance.max() > 1:
        point = rows[distance.argmax()]
        distance = np.minimum(distance, _box_distance(rows, point, point, reach))
        points.append(point)
    return Outliers(low, high, reach, np.array(points))


def _box_distance(rows: Rows, low: Array, high: Array, reach: Array) -> Array:
    """Return the largest distance of each row from a box over the features, relative to `reach`; negative inside."""
    distance = np.empty(len(rows))
    with np.errstate(over="ignore"):
        for part in pieces(rows.shape):
            distances = np.maximum(low - rows[part], rows[part] - high) / reach
            distance[part] = np.fmax.reduce(distances, axis=1)  # maximum over observed values
    return distance


def _without_outliers(sample: DistinctRows, outliers: Outliers) -> DistinctRows:
    """Return the sample without outliers, with indices that refer to the remaining rows."""
    others = ~outliers.are_outliers(sample.rows)
    rank = None if sample.distinct_index is None else (np.cumsum(others) - 1)[sample.distinct_index]
    rows = np.ascontiguousarray(sample.rows[others])
    return replace(sample, rows=rows, weight=sample.weight[others], distinct_index=rank)
