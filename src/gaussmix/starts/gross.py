"""Gross rows: so far off that whatever they have a part in takes their place and size.

A start at random shares every row among all components. One row a million standard deviations away then gives each of
them a covariance that tells the other rows no more apart. So gross rows get components of their own, and the others are
shared as they would be without them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import wraps
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix.engines.base import Engine
from gaussmix.numerics.arrays import Array, Rows
from gaussmix.numerics.pieces import pieces, taken
from gaussmix.starts.base import Partition, Start
from gaussmix.starts.sample import Distinct
from gaussmix.waist.block import Block

REACH = 1e3  # times the width of the middle three quarters of a feature: what is farther out is gross
MOST = 0.125  # of the weight: rows that are more are no outliers, but what the data look like


@dataclass(frozen=True, eq=False)
class Gross:
    """Which rows are gross, and where they are.

    Parameters
    ----------
    low, high : (n_features,), where the middle of each feature begins and ends.
    reach : (n_features,), how far from there a row is gross, data units; infinite where a feature tells nothing.
    places : (n_places, n_features), rows that are gross, and farther than `reach` from each other.
    """

    low: Array
    high: Array
    reach: Array
    places: Array

    def outside(self, rows: Rows) -> NDArray[np.bool_]:
        """Whether each row is gross, (n_rows,)."""
        outside: NDArray[np.bool_] = _distance(rows, self.low, self.high, self.reach) > 1
        return outside

    def nearest(self, rows: Rows) -> NDArray[np.intp]:
        """The place that each row is nearest to, (n_rows,); the first of equals."""
        distances = [_distance(rows, place, place, self.reach) for place in self.places]
        nearest: NDArray[np.intp] = np.argmin(distances, axis=0)
        return nearest


@dataclass(frozen=True, eq=False)
class GrossApart:
    """Responsibilities of a partition, but the last components have the gross rows, each by its place.

    Parameters
    ----------
    gross : which rows these are.
    partition : how the others are shared among the first `n_others` components.
    engine : finds the most probable of these where the partition has parameters.
    """

    gross: Gross
    partition: Partition
    n_others: int
    engine: Engine[Any]

    def __call__(self, block: Block) -> Array:
        partition, shares = self.partition, np.zeros((block.n_rows, self.n_others + len(self.gross.places)))
        if partition.share is not None:
            shares[:, : self.n_others] = partition.share(block)
        elif partition.parameters is not None:
            shares[np.arange(block.n_rows), self.engine.labels(block, partition.parameters)] = 1.0
        gross = self.gross.outside(block.rows).nonzero()[0]
        shares[gross] = 0.0
        shares[gross, self.n_others + self.gross.nearest(block.rows[gross])] = 1.0
        return shares


def gross_rows_apart(start: Start) -> Start:
    """The start that is made without gross rows and one component less for each of their places, and these put back."""

    @wraps(start)
    def apart(sample: Distinct, engine: Engine[Any], n_components: int, rng: np.random.Generator) -> Partition:
        gross = find_gross(sample, n_components // 2)
        if gross is None:
            return start(sample, engine, n_components, rng)
        n_others = n_components - len(gross.places)
        others = start(_without(sample, gross), engine, n_others, rng)
        return Partition(share=GrossApart(gross, others, n_others, engine))

    return apart


def find_gross(sample: Distinct, most_places: int) -> Gross | None:
    """The gross rows of a sample; None without any.

    In some feature they are more than `REACH` times farther out than the middle three quarters of the weight are wide.
    The first place is the farthest of them, the next the one farthest from the middle and the places before, as long as
    it is out of their reach: Gonzalez (1985), Theoretical Computer Science 38, 293–306.
    """
    if most_places == 0:
        return None
    low, high = sample.middle
    reach = np.where(high > low, REACH * (high - low), np.inf)
    corners = np.array([sample.rows.min(axis=0), sample.rows.max(axis=0)])
    if not (_distance(corners, low, high, reach) > 1).any():
        return None
    distance = _distance(sample.rows, low, high, reach)
    gross = distance > 1
    if sample.weight[gross].sum() > MOST * sample.weight.sum():
        return None
    rows, distance = sample.rows[gross], distance[gross]
    places: list[Array] = []
    while len(places) < most_places and distance.max() > 1:
        place = rows[distance.argmax()]
        distance = np.minimum(distance, _distance(rows, place, place, reach))
        places.append(place)
    return Gross(low, high, reach, np.array(places))


def _distance(rows: Rows, low: Array, high: Array, reach: Array) -> Array:
    """How far rows are from a box, in its reach: of the features the largest, (n_rows,); below 0 inside."""
    distance = np.empty(len(rows))
    with np.errstate(over="ignore"):
        for part in pieces(rows.shape):
            distance[part] = (np.maximum(low - rows[part], rows[part] - high) / reach).max(axis=1)
    return distance


def _without(sample: Distinct, gross: Gross) -> Distinct:
    """The sample of the other rows, ranked among themselves."""
    others = ~gross.outside(sample.rows)
    rank = None if sample.rank is None else (np.cumsum(others) - 1)[sample.rank]
    return replace(sample, rows=taken(sample.rows, others.nonzero()[0]), weight=sample.weight[others], rank=rank)
