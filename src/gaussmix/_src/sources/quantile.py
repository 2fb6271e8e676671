"""Compute a quantile of scores in passes that count rows, without an array of the scores of all rows."""

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
from gaussmix._src.numerics.device_array import concatenated, to_host
from gaussmix._src.sources.base import LeafReduction, S, Source, Task

COARSE_BITS = 42  # number of low bits that the first pass ignores in the 64-bit integers that represent scores
MAX_INTERVALS = 1 << 14  # maximum number of intervals that this process receives; more intervals are merged
N_PASSES = 4  # maximum number of passes; the last pass returns all scores of an interval, even if many are near 0
SLACK = 1 + 1e-12  # compensates for rounding in products (in doubles, 0.29 · 100 < 29) and in sums of weights
SIGN_BIT = np.uint64(1 << 63)

Keys = NDArray[np.uint64]


class QuantileNeighbourhood(NamedTuple):
    """The scores near a quantile of the scores of all rows.

    Parameters
    ----------
    position : index of the quantile in `scores`.
    scores : distinct scores near the quantile, in increasing order, (n_scores,).
    weights : total weight of the rows with each of these scores, (n_scores,).
    below : total weight of the rows whose scores are lower than all of `scores`.
    """

    position: int
    scores: Array
    weights: Array
    below: float


def lowest_inside(source: Source, score: Callable[[Block], Array], fraction: float) -> float | None:
    """Return the lowest score at which the cumulative weight of the rows exceeds `fraction` of the total weight.

    The fraction is below 1. The picklable function `score` returns a number for each row of a block, or NaN for rows to
    be ignored. The result is None if all rows are ignored.
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
    """Find the lowest score at which the cumulative weight of the rows exceeds a limit, and return nearby scores.

    Each pass counts the rows in at most `MAX_INTERVALS` intervals of scores. Each further pass divides the interval
    that contains the quantile, until all distinct scores in it are counted separately. Most tables need two passes. If
    few scores are in the interval `between`, one pass suffices. The result is bit-identical for any partition of the
    rows.

    Parameters
    ----------
    source : rows and weights.
    task : task that returns a score for each row of a block, or NaN for rows to be ignored.
    limit : function of the total weight of all rows that are not ignored; returns the limit on the cumulative weight.
    between : interval in which the quantile is expected; rows with higher scores are ignored.
    tie : a score is near the quantile if it differs from the quantile by at most this value times max(1, |quantile|).

    Returns
    -------
    near : quantile and scores near it; None if the quantile is outside `between` or all rows are ignored.
    """
    if source.is_on_device:
        parts = source.map_merge(ScoreReduction(task, lambda scores, weight: [(scores, weight)]))  # `+` joins lists
        return _sorted_neighbourhood(parts, limit, between, tie)
    low, highest = _keys(np.array(between)).tolist()
    high, shift, weight = highest, 0 if isfinite(between[0]) else COARSE_BITS, -inf
    for index in range(N_PASSES):
        maximum = MAX_INTERVALS if index < N_PASSES - 1 else sys.maxsize
        groups = source.map_merge(
            ScoreReduction(task, partial(_weights_between, shift=shift, limit=maximum, low=low, high=high))
        )
        if index == 0:
            weight = limit(groups.below + float(groups.weights.sum()))
        reached = groups.below + np.cumsum(groups.weights)
        if not len(reached) or (index == 0 and not groups.below <= weight < reached[-1]):
            return None
        position = min(int(np.searchsorted(reached, weight, side="right")), len(reached) - 1)
        if groups.shift == 0:
            break
        key = int(groups.keys[position])
        first, last = key << groups.shift, (key + 1 << groups.shift) - 1
        low, high, shift = max(low, first), min(high, last), 0
        ends = _scores(np.array([low, high], dtype=np.uint64))
        if np.isfinite(ends).all():
            width = tie * max(1.0, *np.abs(ends))
            low, high = _keys(ends + np.array([-width, width])).tolist()
            high = min(high, highest)
    return QuantileNeighbourhood(position, _scores(groups.keys), groups.weights, groups.below)


def _sorted_neighbourhood(
    parts: list[tuple[Any, Any]], limit: Callable[[float], float], between: tuple[float, float], tie: float
) -> QuantileNeighbourhood | None:
    """Sort the scores of all blocks on the device, and return the result of `find_neighbourhood`."""
    scores = concatenated([part for part, _ in parts])
    xp, is_valid = scores.namespace, scores.values <= between[1]
    ones = xp.ones_like(scores.values)
    weights = ones if parts[0][1] is None else concatenated([weight for _, weight in parts]).values
    order = xp.argsort(xp.where(is_valid, scores.values, xp.inf * ones))
    rising, rising_weights = (xp.take(each, order) for each in (scores.values, xp.where(is_valid, weights, 0.0 * ones)))
    reached = xp.cumulative_sum(rising_weights)
    position = int(xp.searchsorted(reached, scores.send([limit(float(reached[-1]))]), side="right")[0])
    if position == len(scores) or not between[0] <= (value := float(rising[position])) <= between[1]:
        return None
    width = tie * max(1.0, abs(value)) if isfinite(value) else 0.0
    first = int(xp.searchsorted(rising, scores.send([value - width]), side="left")[0])
    end = int(xp.searchsorted(rising, scores.send([value + width]), side="right")[0])
    near, weight = (to_host(each[first:end]).astype(np.float64) for each in (rising, rising_weights))
    return QuantileNeighbourhood(position - first, near, weight, float(reached[first - 1]) if first else 0.0)


@dataclass(frozen=True, eq=False)
class _ScoreGroups:
    """Total weights of rows, grouped by key. A key is an integer that represents a score, without some low bits.

    Parameters
    ----------
    below : total weight of rows with keys below the interval that a pass examines.
    keys : distinct keys in increasing order, (n_keys,).
    weights : total weight of the rows with each key, (n_keys,).
    shift : number of low bits removed from the keys.
    limit : maximum number of keys; if there are more keys, further bits are removed.
    """

    below: float
    keys: Keys
    weights: Array
    shift: int
    limit: int

    @classmethod
    def from_keys(cls, below: float, keys: Keys, weights: Array | None, shift: int, limit: int) -> _ScoreGroups:
        """Sum the weights of equal keys. If `weights` is None, each key has the weight 1."""
        first, last = (int(keys.min()), int(keys.max())) if len(keys) else (1, 0)
        if last - first >= len(keys):  # if there are more bins than keys, sorting is faster than counting
            keys, indices = np.unique(keys, return_inverse=True)
            sums = np.bincount(indices, weights)
        else:
            indices = (keys - np.uint64(first)).astype(np.intp)
            present = np.flatnonzero(np.bincount(indices))
            keys, sums = present.astype(np.uint64) + np.uint64(first), np.bincount(indices, weights)[present]
        groups = cls(below, keys, sums.astype(np.float64), shift, limit)
        while len(groups.keys) > limit:
            groups = groups.shifted(groups.shift + 4)
        return groups

    def shifted(self, shift: int) -> _ScoreGroups:
        """Remove low bits of the keys, so that `shift` bits are removed in total, and merge keys that become equal."""
        if shift == self.shift or not len(self.keys):
            return replace(self, shift=shift)
        keys = self.keys >> np.uint64(shift - self.shift)
        firsts = np.flatnonzero(np.diff(keys, prepend=keys[0] ^ np.uint64(1)))
        return replace(self, keys=keys[firsts], weights=np.add.reduceat(self.weights, firsts), shift=shift)

    def __add__(self, other: _ScoreGroups) -> _ScoreGroups:
        shift = max(self.shift, other.shift)
        one, another = self.shifted(shift), other.shifted(shift)
        keys, weights = np.concatenate([one.keys, another.keys]), np.concatenate([one.weights, another.weights])
        return self.from_keys(self.below + other.below, keys, weights, shift, self.limit)


@dataclass(frozen=True, eq=False)
class ScoreReduction(Generic[S]):
    """A task that adds up the results of a function of the scores and weights of each leaf (65,520 rows).

    Parameters
    ----------
    task : task that returns the scores of a block.
    of_leaf : function of the scores and weights of a leaf (65,520 rows); the weights are None if all weights are 1.
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


def _weights_between(scores: Array, weight: Array | None, shift: int, limit: int, low: int, high: int) -> _ScoreGroups:
    """Group weights by key; keys below `low` form one group, and keys above `high` are left out."""
    (highest,) = _scores(np.array([high], dtype=np.uint64))
    is_grouped = scores <= highest if weight is None else (scores <= highest) & (weight > 0)
    keys = _keys(scores[is_grouped])
    weight = None if weight is None else weight[is_grouped]
    is_below = keys < low
    below = float(np.count_nonzero(is_below) if weight is None else weight[is_below].sum())
    keys, weight = keys[~is_below], None if weight is None else weight[~is_below]
    return _ScoreGroups.from_keys(below, keys >> np.uint64(shift), weight, shift, limit)


def _keys(scores: Array) -> Keys:
    """Return 64-bit integers (keys) with the same order as the scores; 0 and −0 have the same key."""
    bits = (scores.astype(np.float64) + 0.0).view(np.uint64)
    return np.where(bits & SIGN_BIT, ~bits, bits | SIGN_BIT)


def _scores(keys: Keys) -> Array:
    """Convert the keys that `_keys` returned back to scores."""
    return np.where(keys & SIGN_BIT, keys & ~SIGN_BIT, ~keys).astype(np.uint64).view(np.float64)
