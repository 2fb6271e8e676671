"""A quantile of what a task says of rows, found by passes that count: no array of all rows is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from gaussmix.numerics.arrays import Array
from gaussmix.sources.base import Source
from gaussmix.waist.block import Block
from gaussmix.waist.leaves import Tree

SHIFTS = 42, 21, 0  # the bits of a key that each pass leaves out
SLACK = 1 + 1e-12  # in doubles 0.29 · 100 is less than 29, and so are sums of weights
SIGN = np.uint64(1 << 63)


def lowest_inside(source: Source, score: Callable[[Block], Array], share: float) -> float | None:
    """The lowest score such that rows with lower scores have at most a share of the weight.

    There are three passes. Each keeps the weights of at most 2²² intervals; the same bits however rows are cut.

    Parameters
    ----------
    source : the rows and their weights.
    score : picklable; a number for each row of a block, NaN for rows that do not count.
    share : above 0, below 1.

    Returns
    -------
    score : of a row; None if none counts.
    """
    prefix, before, limit = 0, 0.0, np.inf
    for number, shift in enumerate(SHIFTS):
        found = source.map_merge(_Count(score, shift, None if number == 0 else (SHIFTS[number - 1], prefix)))
        if not len(found.keys):
            return None
        reached = before + np.cumsum(found.weights)
        limit = share * reached[-1] * SLACK if number == 0 else limit
        place = min(int(np.searchsorted(reached, limit, side="right")), len(reached) - 1)
        before, prefix = float(reached[place - 1]) if place else before, int(found.keys[place])
    return float(_scores(np.array([prefix], dtype=np.uint64))[0])


@dataclass(frozen=True, eq=False)
class _Weights:
    """The weight of rows whose keys, without some bits, are these; keys rise."""

    keys: NDArray[np.uint64]
    weights: Array

    @classmethod
    def of(cls, keys: NDArray[np.uint64], weights: Array) -> _Weights:
        found, places = np.unique(keys, return_inverse=True)
        return cls(found, np.bincount(places, weights, len(found)).astype(np.float64))

    def __add__(self, other: _Weights) -> _Weights:
        return self.of(np.concatenate([self.keys, other.keys]), np.concatenate([self.weights, other.weights]))


@dataclass(frozen=True, eq=False)
class _Count:
    """The task that counts rows by their scores.

    Parameters
    ----------
    score : of rows.
    shift : how many bits of the keys do not matter.
    among : only rows whose keys, without so many bits, are this number.
    """

    score: Callable[[Block], Array]
    shift: int
    among: tuple[int, int] | None

    key: ClassVar[str] = "rows by score"

    def open(self, block: Block) -> None:
        """Nothing is kept."""

    def call(self, block: Block, state: None) -> _Weights:
        tree = Tree[_Weights]()
        for leaf in block.cut():
            tree.add(self._of_leaf(leaf))
        return tree.total

    def _of_leaf(self, leaf: Block) -> _Weights:
        scores = self.score(leaf)
        weight = np.ones(leaf.n_rows) if leaf.row_weight is None else leaf.row_weight
        counts = ~np.isnan(scores) & (weight > 0)
        keys = _keys(scores)
        if self.among is not None:
            shift, number = self.among
            counts &= keys >> np.uint64(shift) == number
        return _Weights.of(keys[counts] >> np.uint64(self.shift), weight[counts])


def _keys(scores: Array) -> NDArray[np.uint64]:
    """Integers in the order of the numbers; of 0 and −0 the same."""
    bits = (scores.astype(np.float64) + 0.0).view(np.uint64)
    return np.where(bits & SIGN, ~bits, bits | SIGN)


def _scores(keys: NDArray[np.uint64]) -> Array:
    """The numbers that have these keys."""
    return np.where(keys & SIGN, keys & ~SIGN, ~keys).astype(np.uint64).view(np.float64)
