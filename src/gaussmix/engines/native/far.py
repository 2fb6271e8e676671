"""Responsibilities of rows so far from every mean that squared distances no longer tell components apart.

At D standard deviations a squared distance is rounded by about ε D², and from 1e154 on it overflows. The *difference*
of two squared distances keeps its digits as (b − a)·(b + a), with a = W_r (x − μ_r) and b = W_k (x − μ_k), where
b − a = (W_k − W_r)(x − μ_r) + W_k (μ_r − μ_k) is not found by subtracting a from b.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix.engines.base import NEGLIGIBLE, Engine
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.logspace import softmax
from gaussmix.numerics.rows import extreme_rows
from gaussmix.waist.block import Block
from gaussmix.waist.moments import Partial
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
    places = far_places(block, parameters, log_density)
    if not places.size:
        return places, np.empty((0, len(parameters.means)))
    return places, _responsibilities(block.rows[places].astype(np.float64), parameters)


def far_places(block: Block, parameters: Parameters, log_density: LogDensity) -> NDArray[np.intp]:
    """Places of far rows; most blocks are seen to have none from their largest and smallest numbers alone.

    At least of the rows that engines count as far in a step: those compare the largest log p(x, k), round otherwise.
    """
    limit = far_limit(parameters) + np.log(len(parameters.means)) + 1.0
    if not block.n_rows or _box_is_near(block, parameters, limit):
        return np.empty(0, dtype=np.intp)
    found = [
        part.first_row - block.first_row + np.flatnonzero(log_density(part, parameters) < limit) for part in block.cut()
    ]
    return np.concatenate(found)


def far_limit(parameters: Parameters) -> float:
    """The log density, nats, below which a row is far; a single component has every row whole."""
    if len(parameters.log_scale) == 1:
        return -np.inf
    return float(parameters.log_scale.max()) - FAR**2 / 2


def _box_is_near(block: Block, parameters: Parameters, limit: float) -> bool:
    """Whether log p(x, k) of one component is at least the limit all over the box about the rows.

    |W||x − μ| bounds |W (x − μ)|.
    """
    means, (low, high) = parameters.means, extreme_rows(block.rows)
    columns = np.arange(means.shape[1])
    with np.errstate(over="ignore"):
        reach = np.maximum(block.rows[high, columns] - means, means - block.rows[low, columns])
        squares = (parameters.whitening.whiten_at_most(reach) ** 2).sum(axis=1)
        return bool((parameters.log_scale - 0.5 * squares >= limit).any())


@dataclass(frozen=True, eq=False)
class Apart:
    """Far rows of a block, and the others.

    Parameters
    ----------
    near : the block, in which far rows have weight 0.
    far : far rows alone, with their weights.
    places : (n_far,), of far rows in the block.
    """

    near: Block
    far: Block
    places: NDArray[np.intp]

    @classmethod
    def of(cls, block: Block, places: NDArray[np.intp]) -> Apart:
        weight = np.ones(block.n_rows) if block.row_weight is None else np.array(block.row_weight)
        far = Block(block.first_row, block.rows[places], weight[places])
        weight[places] = 0.0
        return cls(replace(block, row_weight=weight), far, places)

    def sums(self, engine: Engine[Any], parameters: Parameters, need: Need, anchor: Array) -> Partial:
        """What far rows add to a soft step whose sums are about an anchor."""
        shared = _responsibilities(self.far.rows.astype(np.float64), parameters)
        far = replace(self.far, given=_without_negligible(shared))
        sums = engine.step(far, engine.open(far, need, len(anchor)), None, need, Rule.GIVEN, anchor)
        weight = self.far.row_weight
        assert weight is not None, "made by `of`"
        log_density = engine.log_density(far, parameters)
        return replace(sums, log_likelihood=float((weight * log_density)[weight > 0].sum()))


def _without_negligible(shared: Array) -> Array:
    """Responsibilities as a step takes them: 0 from 2⁻⁶⁰ of the row's largest on."""
    kept = np.where(shared > np.exp(-NEGLIGIBLE) * shared.max(axis=1, keepdims=True), shared, 0.0)
    normalised: Array = kept / kept.sum(axis=1, keepdims=True)
    return normalised


def _responsibilities(rows: Array, parameters: Parameters) -> Array:
    nearest = np.zeros(len(rows), dtype=np.intp)
    log_odds = np.empty((len(rows), len(parameters.means)))
    for _ in range(ROUNDS):
        for k in np.unique(nearest):
            log_odds[nearest == k] = _log_odds(rows[nearest == k], int(k), parameters)
        nearest = log_odds.argmax(axis=1)
    return softmax(log_odds)


def _log_odds(rows: Array, reference: int, parameters: Parameters) -> Array:
    """log p(x, k) − log p(x, reference), (n_rows, n_components); the largest double where it overflows."""
    means, whitening, largest = parameters.means, parameters.whitening, float(np.finfo(np.float64).max)
    # Whatever overflows is scaled by powers of 2, which round nothing.
    exponent = np.frexp(np.maximum(np.abs(rows).max(axis=1), np.abs(means).max()))[1]
    rows = np.ldexp(rows, -exponent[:, None])
    offsets = rows - np.ldexp(means[reference], -exponent[:, None])
    log_odds = np.empty((len(rows), len(means)))
    for k, mean in enumerate(means):
        apart = means[reference] - mean
        size = np.frexp(np.abs(apart).max())[1]
        moved = whitening.whiten(k, np.ldexp(apart, -size)[None])
        difference = whitening.whiten_change(k, reference, offsets) + np.ldexp(moved, size - exponent[:, None])
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
