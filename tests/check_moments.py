"""Checks of moments: parts must merge to the whole, and it must be possible to move anchors."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from common import EPS, Second, assert_close
from random_parameters import random_spec

from gaussmix._src.engines.base import Engine
from gaussmix._src.interfaces.moments import BlockMoments, Moments
from gaussmix._src.numerics.arrays import Array
from gaussmix.extend import AssignmentRule, Block, MomentSpec


def check_moments(engine: Engine[Any], spec: MomentSpec, rng: np.random.Generator) -> None:
    """Check that the moments which an engine sums for assigned rows are consistent.

    Parameters
    ----------
    engine : engine that sums the moments.
    spec : second moments to sum.
    rng : random generator for the rows.

    Raises
    ------
    AssertionError : parts do not merge to the whole, `about` is not reversible, `scaled` differs from scaled weights,
        or a weight of 2 differs from two equal rows.

    Notes
    -----
    The error of a sum of n terms, in any order, is at most n ε times the sum of their absolute values: Higham (2002),
    eq. 4.4.
    """
    n_rows, n_features, n_components = 60, 3, 2
    rows, anchor = rng.normal(1.0, 2.0, size=(n_rows, n_features)), rng.normal(size=(n_components, n_features))
    weight, shares = rng.uniform(0.5, 2.0, n_rows), rng.dirichlet(np.ones(n_components), n_rows)
    block, rounding = Block(0, rows, weight, shares), n_rows * EPS
    spec = random_spec(rng, spec, n_components, n_features)
    whole, spread = _sums(engine, block, spec, anchor), _spread(engine, block, anchor)
    parts = [_sums(engine, part, spec, anchor) for part in block.split(17)]
    for order in (range(len(parts)), reversed(range(len(parts))), rng.permutation(len(parts))):
        merged = reduce(add, [parts[i] for i in order])
        assert_same_moments(merged, whole, spread, rounding, "merged parts")
    elsewhere = anchor + rng.normal(size=anchor.shape)
    there = whole.about(elsewhere)
    wide = np.maximum(spread, _spread(engine, block, elsewhere))
    assert_same_moments(there, _sums(engine, block, spec, elsewhere), wide, 4 * rounding, "moments moved")
    assert_same_moments(there.about(anchor), whole, wide, 8 * rounding, "moments moved there and back")
    rest = reduce(add, parts[1:]).about(elsewhere)
    assert_same_moments(parts[0] + rest, whole, wide, 8 * rounding, "parts about two anchors")
    counts = np.arange(n_rows) % 3
    counted = _sums(engine, replace(block, row_weight=counts.astype(np.float64)), spec, anchor)
    repeated = Block(0, rows.repeat(counts, axis=0), None, shares.repeat(counts, axis=0))
    twice = _spread(engine, repeated, anchor)
    assert_same_moments(_sums(engine, repeated, spec, anchor), counted, twice, rounding, "repeated rows")
    halved = replace(block, row_weight=weight / 2)
    assert_same_moments(whole.scaled(0.5), _sums(engine, halved, spec, anchor), spread, 0.0, "sums scaled")


def _sums(engine: Engine[Any], block: Block, spec: MomentSpec, anchor: Array) -> Moments:
    state = engine.make_state(block, len(anchor))
    return engine.finish(engine.step(block, state, None, spec, AssignmentRule.ASSIGNMENT, anchor), None, spec)


def _spread(engine: Engine[Any], block: Block, anchor: Array) -> Array:
    """Compute Σ s γ (x − a)², (n_components, n_features)."""
    second = _sums(engine, block, MomentSpec(Second.DIAGONAL), anchor).second
    assert second is not None
    return second


def assert_same_moments(
    actual: BlockMoments, expected: BlockMoments, spread: Array, tolerance: float, what: str
) -> None:
    """Check that two moments agree.

    Parameters
    ----------
    actual, expected : moments of the same rows, which are compared about the anchor of `actual`.
    spread : (n_components, n_features), Σ s γ (x − a)² about the anchor of `expected`, or a larger scale.
    tolerance : allowed error relative to the sums of absolute values, which `spread` bounds by Cauchy–Schwarz.
    what : name of the moments, for the message.
    """
    if not np.array_equal(expected.anchor, actual.anchor):
        spread = spread + expected.mass[:, None] * (actual.anchor - expected.anchor) ** 2
        expected = expected.about(actual.anchor)
    total, mass = expected.row_weight, expected.mass
    assert_close(actual.row_weight, total, tolerance, total, f"row_weight of {what}")
    assert_close(actual.mass, mass, tolerance, total, f"mass of {what}")
    # The error of a row's log density is ε times its terms, which are about as large as the log density or some nats.
    size = abs(expected.log_likelihood) + 10 * total
    assert_close(actual.log_likelihood, expected.log_likelihood, tolerance, size, f"log_likelihood of {what}")
    assert_close(actual.first, expected.first, tolerance, np.sqrt(total * spread), f"first of {what}")
    if actual.second is None or expected.second is None:
        if actual.second is not expected.second:
            raise AssertionError(f"second of {what} is there in one and absent in the other")
        return
    scale = second_scale(expected.spec, spread)
    assert_close(actual.second, expected.second, tolerance, scale, f"second of {what}")


def second_scale(spec: MomentSpec, spread: Array) -> Array:
    """Return bounds on the sums of the absolute values in second moments, in the form of `spec`."""
    if spec.second is Second.FULL:
        scale: Array = np.sqrt(spread[:, :, None] * spread[:, None, :])
    elif spec.projection is not None:
        roots = np.sqrt(spread)
        shape = len(spread), *spec.projection.shape[1:]
        projected = np.einsum("kqd,kd->kq", np.broadcast_to(np.abs(spec.projection), shape), roots)
        scale = np.concatenate((roots[:, :, None] * projected[:, None, :], spread[:, :, None]), axis=2)
    else:
        scale = spread.sum(axis=1) if spec.second is Second.TRACE else spread
    return scale.sum(axis=0) if spec.is_pooled else scale
