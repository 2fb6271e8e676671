"""Separate components for extreme outliers, because a single outlier could determine all covariances.

A random initialisation divides every row among all components. If a single row is a million standard deviations away,
the covariances of all components become so large that the components have nearly equal densities at all other rows.
Therefore, outliers get separate components, and all other rows are assigned as if there were no outliers.
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

# A row is an outlier if, in some feature, its distance from the range of the middle three quarters of the rows exceeds
# the width of the range times this factor.
MAX_RELATIVE_DISTANCE = 1e3
# If rows beyond this distance have more than this fraction of the total weight, no row counts as an outlier.
MAX_OUTLIER_WEIGHT = 0.125


@dataclass(frozen=True, eq=False)
class Outliers:
    """Definition of outliers, and representatives of the outliers of a sample.

    Parameters
    ----------
    low, high : lower and upper end of the middle three quarters of each feature's values, (n_features,) each.
    outlier_distance : distance from the range [low, high] above which a row is an outlier, (n_features,), in data
        units; infinite for a feature with equal `low` and `high`.
    representatives : outliers that are farther than `outlier_distance` from each other, (n_points, n_features).
    """

    low: Array
    high: Array
    outlier_distance: Array
    representatives: Array

    def are_outliers(self, rows: Rows) -> NDArray[np.bool_]:
        """Return whether each row is an outlier, (n_rows,)."""
        return _box_distance(rows, self.low, self.high, self.outlier_distance) > 1

    def nearest_representative(self, rows: Rows) -> NDArray[np.intp]:
        """Return the index of each row's nearest representative, (n_rows,); the first index if several are nearest."""
        distances = [_box_distance(rows, point, point, self.outlier_distance) for point in self.representatives]
        return np.argmin(distances, axis=0)


@dataclass(frozen=True, eq=False)
class OutlierResponsibilities:
    """Responsibilities under a partition whose last components contain the outliers, one per representative.

    `partition` divides the rows that are not outliers among the first `n_other_components` components. If `partition`
    has parameters, the engine finds the most probable component of each row.
    """

    outliers: Outliers
    partition: Partition
    n_other_components: int
    engine: Engine[Any]

    @property
    def with_scaled_spheres(self) -> OutlierResponsibilities:
        """Return the same responsibilities, after applying `Partition.with_scaled_spheres` to `partition`."""
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
    """Decorate an initialisation: it gets only rows that are not outliers, and outliers get separate components.

    For each representative of outliers, the original initialisation makes one component fewer than `n_components`.
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
    """Find the outliers of a sample, or return None if the sample has no outliers.

    A row is an outlier if, in some feature, its distance from the range of the middle three quarters of the weight
    exceeds the width of the range times `MAX_RELATIVE_DISTANCE`. The first representative is the farthest outlier. Each
    further representative is the outlier that is farthest from the range and from all earlier representatives. The
    search ends at `max_outliers` representatives, or when each outlier is within `outlier_distance` of one; see
    Gonzalez (1985), Theoretical Computer Science 38, 293–306.
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
    """Return, for each row, the maximum over features of (distance from the box [low, high]) / `reach`."""
    with np.errstate(over="ignore"):
        distances = (np.maximum(low - rows[part], rows[part] - high) / reach for part in pieces(rows.shape))
        return np.concatenate([np.fmax.reduce(each, axis=1) for each in distances])  # maximum over the observed values


def _without_outliers(sample: DistinctRows, outliers: Outliers) -> DistinctRows:
    """Return the sample without outliers, with indices (`distinct_index`) that refer to the remaining rows."""
    others = ~outliers.are_outliers(sample.rows)
    rank = None if sample.distinct_index is None else (np.cumsum(others) - 1)[sample.distinct_index]
    rows = np.ascontiguousarray(sample.rows[others])
    return replace(sample, rows=rows, weight=sample.weight[others], distinct_index=rank)
