"""Accurate responsibilities of complete rows that are extremely far from every mean.

If a row is D standard deviations from a mean, the rounding error of the squared distance is about ε D², and beyond D =
1e154 the square overflows. For such a large D, squared distances do not show which component is nearest. However, the
*difference* of two squared distances can be computed accurately. For components r and k, with a = W_r (x − μ_r) and b =
W_k (x − μ_k), this difference is (b − a)·(b + a), where b − a is computed as (W_k − W_r)(x − μ_r) + W_k (μ_r − μ_k).
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
from gaussmix._src.numerics.elementary import exponential, log, softmax
from gaussmix._src.numerics.rows import extremes

# In a block of at most this many rows, each row is compared with `Parameters.inner_box`; in larger blocks, only the
# minimum and maximum of each feature are compared with this box.
MAX_ROWS_COMPARED_SINGLY = 256
MAX_FACTOR_VALUES = 2**22  # maximum number of values in the whitening factors that are copied at a time
# The first round finds the nearest component up to rounding errors, the second round resolves ties, and the third round
# is a margin of safety.
MAX_ROUNDS = 3

LogDensity = Callable[[Block, Parameters], Array]
RowResult = TypeVar("RowResult", Array, NDArray[np.int64])


def correct_distant_rows(result: RowResult, block: Block, parameters: Parameters, log_density: LogDensity) -> RowResult:
    """Correct the results for rows that are far from every mean, using log odds that are accurate for such rows.

    The engine of complete rows calls this function at the end of `responsibilities` and `labels`.

    Parameters
    ----------
    result : responsibilities (n_rows, n_components) or labels (n_rows,) of the block's rows. The array is changed in
        place.
    block : block of rows.
    parameters : parameters of the mixture.
    log_density : function of the engine that returns log p(x) of rows.

    Returns
    -------
    result : the same array object, with corrected values.
    """
    indices, log_odds = distant_log_odds(block, parameters, log_density)
    if indices.size:
        resp = softmax(log_odds)
        result[indices] = resp if result.ndim == 2 else resp.argmax(axis=1)
    return result


def component_log_odds(block: Block, parameters: Parameters, engine: Engine[Any]) -> Array:
    """Return log p(x, k) plus a constant per row, (n_rows, n_components), in nats.

    The constant is 0, except for rows that are so far from all means that rounding errors would otherwise hide the
    differences between the components.
    """
    result = engine.component_log_density(block, parameters)
    distant, log_odds = distant_log_odds(block, parameters, engine.log_density)
    result[distant] = log_odds
    return result


def log_probabilities(log_odds: Array) -> Array:
    """Return log probabilities, which sum to 1 in each row, from log odds plus any constant per row, in nats."""
    relative = log_odds - log_odds.max(axis=1, keepdims=True)
    return relative - log(exponential(relative).sum(axis=1, keepdims=True))


def distant_log_odds(block: Block, parameters: Parameters, log_density: LogDensity) -> tuple[NDArray[np.intp], Array]:
    """Find the rows that are far from every mean, and compute the log odds of the components for these rows.

    Parameters
    ----------
    block : block of rows.
    parameters : parameters of the mixture.
    log_density : function of the engine that returns log p(x) of rows.

    Returns
    -------
    indices : indices of the far rows in the block, (n_far,); rows with missing values are left out.
    log_odds : log p(x, k) − log p(x, r), in nats, where r is the row's nearest component, (n_far, n_components).
    """
    indices = distant_rows(block, parameters, log_density)
    if indices.size:
        # Rows with missing values keep the results that were computed from squared distances.
        indices = indices[~np.isnan(block.rows[indices]).any(axis=1)]
    if not indices.size:
        return indices, np.empty((0, len(parameters.means)))
    return indices, _log_odds_to_nearest(block.take(indices, block.first_row), parameters)


def distant_rows(block: Block, parameters: Parameters, log_density: LogDensity) -> NDArray[np.intp]:
    """Return the indices of rows that are far from every mean, (n_far,).

    `step` counts a row as far if max_k log p(x, k), which exceeds log p(x) at most by rounding errors, is below the
    limit. Therefore, if this function finds far rows, the count of `step` is not 0. For most blocks, the minimum and
    maximum of each feature already show that no row is far.
    """
    limit = parameters.distant_limit - 1.0  # subtracts 1 nat as a margin for rounding errors
    if not block.n_rows or limit == -np.inf:
        return np.empty(0, dtype=np.intp)
    # If the noise component's log density is above the limit, so is log p(x) of every row, and no row is far.
    if block.log_prior is None and (parameters.log_noise_density >= limit or _are_in_inner_box(block, parameters)):
        return np.empty(0, dtype=np.intp)
    return np.flatnonzero(np.concatenate([log_density(part, parameters) for part in block.split()]) < limit)


def _are_in_inner_box(block: Block, parameters: Parameters) -> bool:
    """Return whether all rows are inside `parameters.inner_box`, which implies that no row is far."""
    (low, high), rows = parameters.inner_box, block.rows
    if len(rows) > MAX_ROWS_COMPARED_SINGLY:
        rows = extremes(rows)
    # Comparisons with NaN are false, so a block with missing values is not in the box.
    return bool(((low <= rows) & (rows <= high)).all())


def split_block(block: Block, indices: NDArray[np.intp]) -> tuple[Block, Block]:
    """Return the block with weight 0 for the rows at `indices` (n_far,), and a block of only these rows."""
    weight = np.array(block.weight)
    distant = replace(block.take(indices, block.first_row), row_weight=weight[indices])
    weight[indices] = 0.0
    return replace(block, row_weight=weight), distant


def sum_distant_rows(
    distant: Block, engine: Engine[Any], parameters: Parameters, spec: MomentSpec, anchor: Array
) -> BlockMoments:
    """Sum the moments of far rows about `anchor`, with responsibilities that are accurate for such rows."""
    resp = softmax(_log_odds_to_nearest(distant, parameters))
    weight, distant = distant.weight, replace(distant, assignment=_drop_negligible(resp))
    sums = engine.step(distant, engine.make_state(distant, len(anchor)), None, spec, AssignmentRule.ASSIGNMENT, anchor)
    log_density = engine.log_density(distant, parameters)
    # The log-likelihood may overflow to −∞, which the caller reports.
    with np.errstate(over="ignore"):
        return replace(sums, log_likelihood=float((weight * log_density)[weight > 0].sum()))


def _drop_negligible(resp: Array) -> Array:
    """Set a responsibility to 0 if it is at most 2⁻⁶⁰ times the largest in its row, as in `step`."""
    retained = np.where(resp > np.exp(-NEGLIGIBLE_NATS) * resp.max(axis=1, keepdims=True), resp, 0.0)
    return retained / retained.sum(axis=1, keepdims=True)


def _log_odds_to_nearest(block: Block, parameters: Parameters) -> Array:
    """Return log p(x, k) − log p(x, r), where r is the row's nearest component, (n_rows, n_components).

    If there is a log prior, r is the nearest component that the prior allows, and log p(x, r) does not include the log
    prior. In each round, the component with the largest log odds becomes the next reference r. Because rounding errors
    of log odds are relative, components that nearly tie are compared accurately only if r is one of these components.
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
    """Return log p(x, k) − log p(x, reference), (n_rows, n_components); overflow gives ± the largest float64."""
    means, whitening, largest = parameters.means, parameters.whitening, float(np.finfo(np.float64).max)
    # All values that could overflow are scaled by powers of 2, because this scaling causes no rounding errors.
    exponent = np.frexp(np.maximum(np.abs(rows).max(axis=1), np.abs(means).max()))[1]
    rows = np.ldexp(rows, -exponent[:, None])
    offsets = rows - np.ldexp(means[reference], -exponent[:, None])
    log_odds = np.empty((len(rows), len(means)))
    gaps, size = _normalise_scale(means[reference] - means)
    whitened, whitened_reference = whitening.whiten_each(gaps), whitening.take([reference]).whiten_each(offsets)
    n_at_once = max(1, MAX_FACTOR_VALUES // (len(means) * whitening.factors[0].size))
    for first in range(0, len(rows), n_at_once):  # each iteration handles pairs of a row i and a component k
        i, k = (each.ravel() for each in np.indices((len(rows[first : first + n_at_once]), len(means))))
        i += first
        difference = whitening.whiten_change(k, reference, offsets[i])
        difference += np.ldexp(whitened[k], (size[k] - exponent[i])[:, None])
        total = whitening.take(k).whiten_each(rows[i] - np.ldexp(means[k], -exponent[i, None])) + whitened_reference[i]
        (difference, low), (total, high) = _normalise_scale(difference), _normalise_scale(total)
        with np.errstate(over="ignore"):
            gap = np.ldexp((difference * total).sum(axis=1), low + high + 2 * exponent[i] - 1)
        log_odds[i, k] = parameters.log_scale[k] - np.clip(gap, -largest, largest)
    with np.errstate(invalid="ignore"):
        log_odds -= parameters.log_scale[reference]
    return np.nan_to_num(log_odds, nan=-np.inf, neginf=-np.inf, posinf=largest)


def _normalise_scale(vectors: Array) -> tuple[Array, NDArray[np.intp]]:
    """Divide each row by a power of 2, so that all values are below 1, and return the exponents of these powers."""
    exponent = np.frexp(np.abs(vectors).max(axis=1))[1]
    return np.ldexp(vectors, -exponent[:, None]), exponent.astype(np.intp)
