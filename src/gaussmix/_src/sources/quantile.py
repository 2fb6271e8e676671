"""A quantile of what a task says of rows, found by passes that count: no array of all rows is made."""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from functools import partial
from math import inf, isfinite
from typing import Any, Generic, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.interfaces.block import Block, BlockState
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.device_array import DeviceArray, concatenated, to_host
from gaussmix._src.sources.base import LeafReduction, S, Source, Task

COARSE_BITS = 42  # bits of keys that a first pass leaves out
MAX_INTERVALS = 1 << 14  # intervals or scores that come to this process; beyond, intervals are merged
N_PASSES = 4  # the last one brings all scores of an interval; it is needed where many numbers near 0 almost tie
SLACK = 1 + 1e-12  # in doubles 0.29 · 100 is less than 29, and so are sums of weights
SIGN_BIT = np.uint64(1 << 63)

Keys = NDArray[np.uint64]


class QuantileNeighbourhood(NamedTuple):
    """The scores near a quantile.

    Parameters
    ----------
    position : of the quantile among `scores`.
    scores : (n_scores,), rising.
    weights : (n_scores,), of the rows that have each score.
    below : weight of the rows with lower scores than these.
    """

    position: int
    scores: Array
    weights: Array
    below: float


def lowest_inside(source: Source, score: Callable[[Block], Array], fraction: float) -> float | None:
    """The lowest score such that rows with lower scores have at most a share of the weight; None if no row counts.

    The share is below 1. `score` is picklable. It returns a number for each row of a block, NaN for rows that do not
    count.
    """
    nearby = find_neighbourhood(source, LeafReduction(score), lambda total: fraction * total * SLACK)
    return None if nearby is None else float(nearby.scores[nearby.position])


def find_neighbourhood(
    source: Source,
    task: Task[Array],
    limit: Callable[[float], float],
    *,
    between: tuple[float, float] = (-inf, inf),
    tie: float = 0.0,
) -> QuantileNeighbourhood | None:
    """The lowest score such that rows with scores up to it have more than some weight, and the scores near it.

    Each pass counts the rows in at most `MAX_INTERVALS` intervals, and the next one cuts the interval of the quantile,
    until scores need no intervals: after two passes for most tables, after one if few scores are `between` the limits.
    The same bits however rows are cut.

    Parameters
    ----------
    source : the rows and their weights.
    task : returns a score for each row of a leaf, NaN for rows that do not count.
    limit : the weight, given that of all rows that count.
    between : the quantile should be here; rows with higher scores do not count.
    tie : scores are near if they differ by at most this, relative to numbers above 1.

    Returns
    -------
    near : None if the quantile is not there, or no row counts.
    """
    if source.is_on_device:
        on_device = source.map_merge(ScoreReduction(task, _ScoresOnDevice.from_scores))
        return _sorted_neighbourhood(*on_device.arrays, limit, between, tie)
    low, high = (_, highest) = _keys(np.array(between)).tolist()
    shift, weight = 0 if isfinite(between[0]) else COARSE_BITS, -inf
    for index in range(N_PASSES):
        maximum = MAX_INTERVALS if index < N_PASSES - 1 else sys.maxsize
        scores = source.map_merge(
            ScoreReduction(task, partial(_weights_between, shift=shift, limit=maximum, low=low, high=high))
        )
        if index == 0:
            weight = limit(scores.below + float(scores.weights.sum()))
        reached = scores.below + np.cumsum(scores.weights)
        if not len(reached) or (index == 0 and not scores.below <= weight < reached[-1]):
            return None
        position = min(int(np.searchsorted(reached, weight, side="right")), len(reached) - 1)
        if scores.shift == 0:
            break
        first, last = int(scores.keys[position]) << scores.shift, (int(scores.keys[position]) + 1 << scores.shift) - 1
        low, high, shift = max(low, first), min(high, last), 0
        ends = _scores(np.array([low, high], dtype=np.uint64))
        if np.isfinite(ends).all():
            width = tie * max(1.0, *np.abs(ends))
            low, high = _keys(ends + np.array([-width, width])).tolist()
            high = min(high, highest)
    return QuantileNeighbourhood(position, _scores(scores.keys), scores.weights, scores.below)


@dataclass(frozen=True, eq=False)
class _ScoresOnDevice:
    """Scores of rows on a device, and their weights."""

    arrays: tuple[DeviceArray, DeviceArray]

    @classmethod
    def from_scores(cls, scores: Any, weight: Any) -> _ScoresOnDevice:
        """Take the scores of a leaf, with weights of 1 if there are none."""
        return cls((scores, DeviceArray(scores.namespace.ones_like(scores.values)) if weight is None else weight))

    def __add__(self, other: _ScoresOnDevice) -> _ScoresOnDevice:
        return _ScoresOnDevice(
            (concatenated([self.arrays[0], other.arrays[0]]), concatenated([self.arrays[1], other.arrays[1]]))
        )


def _sorted_neighbourhood(
    scores: DeviceArray, weights: DeviceArray, limit: Callable[[float], float], between: tuple[float, float], tie: float
) -> QuantileNeighbourhood | None:
    """Return the same as `find_neighbourhood`, from a sort on the device."""
    xp, counts = scores.namespace, scores.values <= between[1]
    counted = xp.where(counts, weights.values, xp.zeros_like(weights.values))
    order = xp.argsort(xp.where(counts, scores.values, xp.full_like(scores.values, xp.inf)))
    rising, reached = xp.take(scores.values, order), xp.cumulative_sum(xp.take(counted, order))
    (position,) = to_host(xp.searchsorted(reached, scores.send([limit(float(reached[-1]))]), side="right"))
    if position == len(scores) or not between[0] <= (value := float(rising[int(position)])) <= between[1]:
        return None
    width = tie * max(1.0, abs(value)) if isfinite(value) else 0.0
    first, end = (
        int(xp.searchsorted(rising, scores.send([at]), side=side)[0])
        for at, side in ((value - width, "left"), (value + width, "right"))
    )
    near = DeviceArray(rising)[np.arange(first, end)].astype(np.float64)
    weight = DeviceArray(xp.take(counted, order))[np.arange(first, end)].astype(np.float64)
    return QuantileNeighbourhood(int(position) - first, near, weight, float(reached[first - 1]) if first else 0.0)


@dataclass(frozen=True, eq=False)
class _Weights:
    """The weights of rows, by their keys without some bits.

    Parameters
    ----------
    below : of rows with lower keys than those that count.
    keys : (n_keys,), rising.
    weights : (n_keys,).
    shift : how many bits the keys lack.
    limit : the largest number of keys; with more they lose bits.
    """

    below: float
    keys: Keys
    weights: Array
    shift: int
    limit: int

    @classmethod
    def from_keys(cls, below: float, keys: Keys, weights: Array | None, shift: int, limit: int) -> _Weights:
        """Add up the weights of equal keys; each is 1 where there are none."""
        first, last = (int(keys.min()), int(keys.max())) if len(keys) else (1, 0)
        if last - first >= len(keys):  # more bins than keys take longer than a sort
            keys, indices = np.unique(keys, return_inverse=True)
            sums = np.bincount(indices, weights)
        else:
            indices = (keys - np.uint64(first)).astype(np.intp)
            present = np.flatnonzero(np.bincount(indices))
            keys, sums = present.astype(np.uint64) + np.uint64(first), np.bincount(indices, weights)[present]
        scores = cls(below, keys, sums.astype(np.float64), shift, limit)
        while len(scores.keys) > limit:
            scores = scores.shifted(scores.shift + 4)
        return scores

    def shifted(self, shift: int) -> _Weights:
        """The weights by keys without their last `shift` bits; keys that become equal are one."""
        if shift == self.shift or not len(self.keys):
            return replace(self, shift=shift)
        keys = self.keys >> np.uint64(shift - self.shift)
        firsts = np.flatnonzero(np.diff(keys, prepend=keys[0] ^ np.uint64(1)))
        return replace(self, keys=keys[firsts], weights=np.add.reduceat(self.weights, firsts), shift=shift)

    def __add__(self, other: _Weights) -> _Weights:
        shift = max(self.shift, other.shift)
        one, another = self.shifted(shift), other.shifted(shift)
        keys, weights = np.concatenate([one.keys, another.keys]), np.concatenate([one.weights, another.weights])
        return self.from_keys(self.below + other.below, keys, weights, shift, self.limit)


@dataclass(frozen=True, eq=False)
class ScoreReduction(Generic[S]):
    """The task that adds up what a function makes of the scores and the weights of the rows of each leaf.

    Parameters
    ----------
    task : returns the scores of a leaf.
    of_leaf : the function; the weights are None where all are 1.
    """

    task: Task[Array]
    of_leaf: Callable[[Array, Array | None], S]

    @property
    def key(self) -> Hashable:
        return self.task.key

    def open(self, block: Block) -> BlockState:
        return self.task.open(block)

    def call(self, block: Block, state: Any) -> S:
        return block.sum_of(lambda leaf: self.of_leaf(self.task.call(leaf, state), leaf.row_weight))


def _weights_between(scores: Array, weight: Array | None, shift: int, limit: int, low: int, high: int) -> _Weights:
    """The weights of rows by their scores; `low` and `high` are the keys of rows that count, with all their bits."""
    (highest,) = _scores(np.array([high], dtype=np.uint64))
    counts = scores <= highest if weight is None else (scores <= highest) & (weight > 0)
    keys = _keys(scores[counts])
    weight = None if weight is None else weight[counts]
    is_below = keys < low
    below = float(np.count_nonzero(is_below) if weight is None else weight[is_below].sum())
    keys, weight = keys[~is_below], None if weight is None else weight[~is_below]
    return _Weights.from_keys(below, keys >> np.uint64(shift), weight, shift, limit)


def _keys(scores: Array) -> Keys:
    """Integers in the order of the numbers; of 0 and −0 the same."""
    bits = (scores.astype(np.float64) + 0.0).view(np.uint64)
    return np.where(bits & SIGN_BIT, ~bits, bits | SIGN_BIT)


def _scores(keys: Keys) -> Array:
    """The numbers that have these keys."""
    return np.where(keys & SIGN_BIT, keys & ~SIGN_BIT, ~keys).astype(np.uint64).view(np.float64)
