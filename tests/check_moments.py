"""The laws of moments, for any need: parts merge to the whole, and anchors can be moved."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from random_parameters import random_need
from same_moments import assert_same_moments

from gaussmix.engines.base import Engine
from gaussmix.numerics.arrays import Array
from gaussmix.testing.closeness import EPS
from gaussmix.waist.block import Block
from gaussmix.waist.moments import Moments
from gaussmix.waist.need import Need, Rule, Second


def check_moments(engine: Engine[Any], need: Need, rng: np.random.Generator) -> None:
    """Hold the moments that an engine makes of shared rows against one another.

    Parameters
    ----------
    engine : makes the moments.
    need : which second moments.
    rng : draws the rows.

    Raises
    ------
    AssertionError : parts do not merge to the whole, `about` does not come back, `scaled` is not what weights make, a
        weight is not a number of rows.

    Notes
    -----
    A sum of n terms is off by at most n ε of the sum of their absolute values, in any order: Higham (2002), eq. 4.4.
    """
    n_rows, n_features, n_components = 60, 3, 2
    rows, anchor = rng.normal(1.0, 2.0, size=(n_rows, n_features)), rng.normal(size=(n_components, n_features))
    weight, shares = rng.uniform(0.5, 2.0, n_rows), rng.dirichlet(np.ones(n_components), n_rows)
    block, rounding = Block(0, rows, weight, shares), n_rows * EPS
    need = random_need(rng, need, n_components, n_features)
    whole, spread = _sums(engine, block, need, anchor), _spread(engine, block, anchor)
    parts = [_sums(engine, part, need, anchor) for part in block.cut(17)]
    for order in (range(len(parts)), reversed(range(len(parts))), rng.permutation(len(parts))):
        merged = reduce(add, [parts[i] for i in order])
        assert_same_moments(merged, whole, spread, rounding, "merged parts")
    elsewhere = anchor + rng.normal(size=anchor.shape)
    there = whole.about(elsewhere)
    wide = np.maximum(spread, _spread(engine, block, elsewhere))
    assert_same_moments(there, _sums(engine, block, need, elsewhere), wide, 4 * rounding, "moments moved")
    assert_same_moments(there.about(anchor), whole, wide, 8 * rounding, "moments moved there and back")
    rest = reduce(add, parts[1:]).about(elsewhere)
    assert_same_moments(parts[0] + rest, whole, wide, 8 * rounding, "parts about two anchors")
    counts = np.arange(n_rows) % 3
    counted = _sums(engine, replace(block, row_weight=counts.astype(np.float64)), need, anchor)
    repeated = Block(0, rows.repeat(counts, axis=0), None, shares.repeat(counts, axis=0))
    twice = _spread(engine, repeated, anchor)
    assert_same_moments(_sums(engine, repeated, need, anchor), counted, twice, rounding, "repeated rows")
    halved = replace(block, row_weight=weight / 2)
    assert_same_moments(whole.scaled(0.5), _sums(engine, halved, need, anchor), spread, 0.0, "sums scaled")


def _sums(engine: Engine[Any], block: Block, need: Need, anchor: Array) -> Moments:
    state = engine.open(block, need, len(anchor))
    return engine.finish(engine.step(block, state, None, need, Rule.GIVEN, anchor), None, need)


def _spread(engine: Engine[Any], block: Block, anchor: Array) -> Array:
    """Σ s γ (x − a)², (n_components, n_features)."""
    second = _sums(engine, block, Need(Second.DIAGONAL), anchor).second
    assert second is not None
    return second
