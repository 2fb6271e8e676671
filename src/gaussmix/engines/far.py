"""Responsibilities of rows so far from every mean that squared distances no longer tell components apart.

At D standard deviations a squared distance is rounded by about ε D², and from 1e154 on it overflows. The *difference*
of two squared distances keeps its digits as (b − a)·(b + a), with a = W_r (x − μ_r) and b = W_k (x − μ_k), where
b − a = (W_k − W_r)(x − μ_r) + W_k (μ_r − μ_k) is not found by subtracting a from b.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix.engines.base import NEGLIGIBLE, Engine
from gaussmix.waist.arrays import Array
from gaussmix.waist.block import Block
from gaussmix.waist.moments import Moments
from gaussmix.waist.need import Need, Rule
from gaussmix.waist.parameters import Parameters

# Standard deviations up to which differences of squared distances are good to about 1e-8 nats a feature.
FAR = 1e4
# The nearest component is known after the first round but for rounding, which the second sees; the third is to spare.
ROUNDS = 3

LogDensity = Callable[[Block, Parameters], Array]


def far_responsibilities(
    block: Block, parameters: Parameters, log_density: LogDensity
) -> tuple[NDArray[np.intp], Array]:
    """Find the rows farther than `FAR` from every mean.

    Parameters
    ----------
    block : the rows.
    parameters : of the mixture.
    log_density : of rows, as an engine computes it.

    Returns
    -------
    places : (n_far,), of those rows in the block.
    responsibilities : (n_far, n_components), rows sum to 1.
    """
    found = [part.first_row - block.first_row + _far_rows(part, parameters, log_density) for part in block.cut()]
    places = np.concatenate(found) if found else np.empty(0, dtype=np.intp)
    if not places.size:
        return places, np.empty((0, len(parameters.means)))
    return places, _responsibilities(block.rows[places].astype(np.float64), parameters)


def step_with_far_rows(
    engine: Engine[Any], block: Block, parameters: Parameters, need: Need, anchor: Array | None
) -> Moments:
    """Moments of a soft step some of whose rows are far: those enter with the responsibilities found here.

    The arguments are those of `Engine.step`; sums are taken about the means where no anchor is given.
    """
    anchor = parameters.means if anchor is None else anchor
    return reduce(add, (_step_on_part(engine, part, parameters, need, anchor) for part in block.cut()))


def _step_on_part(engine: Engine[Any], block: Block, parameters: Parameters, need: Need, anchor: Array) -> Moments:
    places, shared = far_responsibilities(block, parameters, engine.log_density)
    if not places.size:
        return _step(engine, block, parameters, need, Rule.SOFT, anchor)
    weight = np.ones(block.n_rows) if block.row_weight is None else np.array(block.row_weight)
    far_weight = weight[places]
    far = Block(0, block.rows[places], far_weight, given=_without_negligible(shared))
    weight[places] = 0.0
    near = replace(block, row_weight=weight)
    moments = _step(engine, far, None, need, Rule.GIVEN, anchor)
    log_likelihood = float((far_weight * engine.log_density(far, parameters))[far_weight > 0].sum())
    return _step(engine, near, parameters, need, Rule.SOFT, anchor) + replace(moments, log_likelihood=log_likelihood)


def _step(
    engine: Engine[Any], block: Block, parameters: Parameters | None, need: Need, rule: Rule, anchor: Array
) -> Moments:
    return engine.step(block, engine.open(block, need, len(anchor)), parameters, need, rule, anchor)


def _without_negligible(shared: Array) -> Array:
    """Responsibilities as a step takes them: 0 from 2⁻⁶⁰ of the row's largest on."""
    kept = np.where(shared > np.exp(-NEGLIGIBLE) * shared.max(axis=1, keepdims=True), shared, 0.0)
    normalised: Array = kept / kept.sum(axis=1, keepdims=True)
    return normalised


def _far_rows(block: Block, parameters: Parameters, log_density: LogDensity) -> NDArray[np.intp]:
    """Places of far rows; most blocks are seen to have none from their largest and smallest numbers alone."""
    if _box_is_near(block, parameters):
        return np.empty(0, dtype=np.intp)
    return np.flatnonzero(log_density(block, parameters) < far_limit(parameters))


def far_limit(parameters: Parameters) -> float:
    """The log density, nats, below which a row is far; a single component has every row whole."""
    if len(parameters.log_scale) == 1:
        return -np.inf
    return float(parameters.log_scale.max()) - FAR**2 / 2


def _box_is_near(block: Block, parameters: Parameters) -> bool:
    """Whether one component is near to every point of the box about the rows: |W||x − μ| bounds |W (x − μ)|."""
    means = parameters.means
    with np.errstate(over="ignore"):
        reach = np.maximum(block.rows.max(axis=0) - means, means - block.rows.min(axis=0))
        whitening = replace(parameters.whitening, factors=np.abs(parameters.whitening.factors))
        return bool(((whitening.whiten_each(reach) ** 2).sum(axis=1) <= FAR**2).any())


def _responsibilities(rows: Array, parameters: Parameters) -> Array:
    nearest = np.zeros(len(rows), dtype=np.intp)
    log_odds = np.empty((len(rows), len(parameters.means)))
    for _ in range(ROUNDS):
        for k in np.unique(nearest):
            log_odds[nearest == k] = _log_odds(rows[nearest == k], int(k), parameters)
        nearest = log_odds.argmax(axis=1)
    unnormalised = np.exp(log_odds - log_odds.max(axis=1, keepdims=True))
    shared: Array = unnormalised / unnormalised.sum(axis=1, keepdims=True)
    return shared


def _log_odds(rows: Array, reference: int, parameters: Parameters) -> Array:
    """log p(x, k) − log p(x, reference), (n_rows, n_components); the largest double where it overflows."""
    means, whitening, largest = parameters.means, parameters.whitening, float(np.finfo(np.float64).max)
    change = replace(whitening, factors=whitening.factors - whitening.factor(reference))
    # Whatever overflows is scaled by powers of 2, which round nothing.
    exponent = np.frexp(np.maximum(np.abs(rows).max(axis=1), np.abs(means).max()))[1]
    rows = np.ldexp(rows, -exponent[:, None])
    offsets = rows - np.ldexp(means[reference], -exponent[:, None])
    log_odds = np.empty((len(rows), len(means)))
    for k, mean in enumerate(means):
        moved = whitening.whiten(k, (means[reference] - mean)[None])
        difference = change.whiten(k, offsets) + np.ldexp(moved, -exponent[:, None])
        total = whitening.whiten(k, rows - np.ldexp(mean, -exponent[:, None])) + whitening.whiten(reference, offsets)
        (difference, low), (total, high) = _scaled(difference), _scaled(total)
        with np.errstate(over="ignore"):
            gap = np.ldexp((difference * total).sum(axis=1), low + high + 2 * exponent - 1)
        log_odds[:, k] = parameters.log_scale[k] - np.clip(gap, -largest, largest)
    with np.errstate(invalid="ignore"):
        log_odds -= parameters.log_scale[reference]
    return np.nan_to_num(log_odds, nan=-np.inf, neginf=-np.inf, posinf=largest)


def _scaled(vectors: Array) -> tuple[Array, NDArray[np.intp]]:
    """Rows of at most 1 in size and the exponents of 2 that were taken out."""
    exponent = np.frexp(np.abs(vectors).max(axis=1))[1]
    return np.ldexp(vectors, -exponent[:, None]), exponent.astype(np.intp)
