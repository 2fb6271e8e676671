"""Responsibilities of complete rows that are far from every mean.

At a distance of D standard deviations from a mean, rounding changes a squared distance by about ε D², and squared
distances beyond 1e154 standard deviations overflow. Squared distances then no longer show which component is nearest.
However, their *difference* keeps its digits in the form (b − a)·(b + a), with a = W_r (x − μ_r) and b = W_k (x − μ_k),
if b − a is computed as (W_k − W_r)(x − μ_r) + W_k (μ_r − μ_k).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.engines.base import NEGLIGIBLE_NATS, Engine
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.moment_spec import AssignmentRule, MomentSpec
from gaussmix._src.interfaces.moments import BlockMoments
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.elementary import softmax
from gaussmix._src.numerics.rows import extremes

# Up to this number of rows, each row is compared with the box; with more, only the extremes of the features are.
MAX_ROWS_COMPARED_SINGLY = 256
MAX_FACTOR_VALUES = 2**22  # largest number of values in the factors of the pairs of a row and a component
# The first round finds the nearest component up to rounding, the second resolves ties, and the third is a reserve.
MAX_ROUNDS = 3

LogDensity = Callable[[Block, Parameters], Array]
RowResult = TypeVar("RowResult", Array, NDArray[np.int64])


def correct_distant_rows(result: RowResult, block: Block, parameters: Parameters, log_density: LogDensity) -> RowResult:
    """Replace results for rows that are far from every mean by results from their log odds.

    The engine of complete rows calls this function at the end of `responsibilities` and `labels`.

    Parameters
    ----------
    result : responsibilities (n_rows, n_components) or labels (n_rows,) of the rows of the block; written to.
    block : the rows.
    parameters : parameters of the mixture.
    log_density : log p(x) of rows, as the engine computes it.

    Returns
    -------
    result : the same array.
    """
    indices, log_odds = distant_log_odds(block, parameters, log_density)
    if indices.size:
        resp = softmax(log_odds)
        result[indices] = resp if result.ndim == 2 else resp.argmax(axis=1)
    return result


def distant_log_odds(block: Block, parameters: Parameters, log_density: LogDensity) -> tuple[NDArray[np.intp], Array]:
    """Find the rows that are far from every mean, and the log odds of their components.

    Parameters
    ----------
    block : the rows.
    parameters : parameters of the mixture.
    log_density : log p(x) of rows, as the engine computes it.

    Returns
    -------
    indices : (n_far,), indices of the far rows in the block, without rows that have missing values.
    log_odds : log p(x, k) − log p(x, r) with the nearest component r of each row, (n_far, n_components), nats.
    """
    indices = distant_rows(block, parameters, log_density)
    if indices.size:
        # Rows with missing values keep the results of squared distances.
        indices = indices[~np.isnan(block.rows[indices]).any(axis=1)]
    if not indices.size:
        return indices, np.empty((0, len(parameters.means)))
    return indices, _log_odds_of_nearest(block.take(indices, block.first_row), parameters)


def distant_rows(block: Block, parameters: Parameters, log_density: LogDensity) -> NDArray[np.intp]:
    """Return the indices of rows that are far from every mean, (n_far,).

    If there are such rows, `step` counts some, because it tests max_k log p(x, k), which exceeds log p(x) only by
    rounding. For most blocks, the minimum and maximum of each feature already show that no row is far.
    """
    limit = parameters.distant_limit - 1.0
    if not block.n_rows or limit == -np.inf:
        return np.empty(0, dtype=np.intp)
    # A background is near to every row, so that no row is far.
    if block.log_prior is None and (parameters.log_background >= limit or _are_in_inner_box(block, parameters)):
        return np.empty(0, dtype=np.intp)
    return np.flatnonzero(np.concatenate([log_density(part, parameters) for part in block.split()]) < limit)


def _are_in_inner_box(block: Block, parameters: Parameters) -> bool:
    """Return whether all rows are in a box in which no row is far."""
    (low, high), rows = parameters.inner_box, block.rows
    if len(rows) > MAX_ROWS_COMPARED_SINGLY:
        rows = extremes(rows)
    # Comparisons with NaN are false, so a block with missing values is not in the box.
    return bool(((low <= rows) & (rows <= high)).all())


def split_block(block: Block, indices: NDArray[np.intp]) -> tuple[Block, Block]:
    """Divide a block into all rows, with weight 0 for rows at `indices`, (n_far,), and the rows at `indices` alone."""
    weight = np.array(block.weight)
    distant = replace(block.take(indices, block.first_row), row_weight=weight[indices])
    weight[indices] = 0.0
    return replace(block, row_weight=weight), distant


def sum_distant_rows(
    distant: Block, engine: Engine[Any], parameters: Parameters, spec: MomentSpec, anchor: Array
) -> BlockMoments:
    """Sum far rows about an anchor with their responsibilities."""
    resp = softmax(_log_odds_of_nearest(distant, parameters))
    weight, distant = distant.weight, replace(distant, assignment=_drop_negligible(resp))
    sums = engine.step(distant, engine.make_state(distant, len(anchor)), None, spec, AssignmentRule.ASSIGNMENT, anchor)
    log_density = engine.log_density(distant, parameters)
    # The log-likelihood may be −∞, which the caller reports.
    with np.errstate(over="ignore"):
        return replace(sums, log_likelihood=float((weight * log_density)[weight > 0].sum()))


def _drop_negligible(resp: Array) -> Array:
    """Set responsibilities to 0 that are at most 2⁻⁶⁰ of the row's largest, as `step` does."""
    retained = np.where(resp > np.exp(-NEGLIGIBLE_NATS) * resp.max(axis=1, keepdims=True), resp, 0.0)
    return retained / retained.sum(axis=1, keepdims=True)


def _log_odds_of_nearest(block: Block, parameters: Parameters) -> Array:
    """Return log p(x, k) − log p(x, r) with the nearest component r of each row, (n_rows, n_components).

    With a log prior, r is the nearest component that is allowed, and log p(x, r) does not include the log prior.
    """
    rows, prior = block.rows.astype(np.float64), block.row_log_prior(len(parameters.means))
    nearest = np.zeros(len(rows), dtype=np.intp) if prior is None else prior.argmax(axis=1)
    log_odds = np.empty((len(rows), len(parameters.means)))
    for _ in range(MAX_ROUNDS):
        for k in np.unique(nearest):
            log_odds[nearest == k] = _log_odds(rows[nearest == k], int(k), parameters)
        if prior is not None:
            log_odds += prior
        nearest = log_odds.argmax(axis=1)
    return log_odds


def _log_odds(rows: Array, reference: int, parameters: Parameters) -> Array:
    """Return log p(x, k) − log p(x, reference), (n_rows, n_components); ± the largest float64 on overflow."""
    means, whitening, largest = parameters.means, parameters.whitening, float(np.finfo(np.float64).max)
    # Powers of 2 are taken out of all values that could overflow, because scaling by them rounds nothing.
    exponent = np.frexp(np.maximum(np.abs(rows).max(axis=1), np.abs(means).max()))[1]
    rows = np.ldexp(rows, -exponent[:, None])
    offsets = rows - np.ldexp(means[reference], -exponent[:, None])
    log_odds = np.empty((len(rows), len(means)))
    distance, size = _normalise_scale(means[reference] - means)
    shifted, of_reference = whitening.whiten_each(distance), whitening.take([reference]).whiten_each(offsets)
    n_at_once = max(1, MAX_FACTOR_VALUES // (len(means) * whitening.factors[0].size))
    for first in range(0, len(rows), n_at_once):  # pairs of row i and component k
        i, k = (each.ravel() for each in np.indices((len(rows[first : first + n_at_once]), len(means))))
        i += first
        difference = whitening.whiten_change(k, reference, offsets[i])
        difference += np.ldexp(shifted[k], (size[k] - exponent[i])[:, None])
        total = whitening.take(k).whiten_each(rows[i] - np.ldexp(means[k], -exponent[i, None])) + of_reference[i]
        (difference, low), (total, high) = _normalise_scale(difference), _normalise_scale(total)
        with np.errstate(over="ignore"):
            gap = np.ldexp((difference * total).sum(axis=1), low + high + 2 * exponent[i] - 1)
        log_odds[i, k] = parameters.log_scale[k] - np.clip(gap, -largest, largest)
    with np.errstate(invalid="ignore"):
        log_odds -= parameters.log_scale[reference]
    return np.nan_to_num(log_odds, nan=-np.inf, neginf=-np.inf, posinf=largest)


def _normalise_scale(vectors: Array) -> tuple[Array, NDArray[np.intp]]:
    """Scale rows to a size of at most 1, and return the exponents of 2 that were taken out."""
    exponent = np.frexp(np.abs(vectors).max(axis=1))[1]
    return np.ldexp(vectors, -exponent[:, None]), exponent.astype(np.intp)
