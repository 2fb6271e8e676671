"""Compute the effect of the ridge on a fit, and continue EM without the ridge if each component has enough rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.covariances import Covariances, Dense
from gaussmix._src.em.curvature.parameter_layout import StackedModels
from gaussmix._src.em.objective.stopping import MIN_TOLERANCE
from gaussmix._src.em.objective.trace import EMState, join_traces
from gaussmix._src.em.step.loop import run_to_sound_end
from gaussmix._src.em.truncation.gap import estimate_gap
from gaussmix._src.errors import StopReason
from gaussmix._src.fit.plan import Plan, search_stopping
from gaussmix._src.fit.problem import Problem
from gaussmix._src.interfaces.block import Block
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.factorise import MIN_ROUNDING
from gaussmix._src.numerics.threads import one_blas_thread
from gaussmix._src.sources.row_statistics import Cells

# Covariances need no ridge if each component has at least MIN_DISTINCT_ROWS · (n_features + 1) distinct rows.
MIN_DISTINCT_ROWS = 5
MAX_RIDGE_COST = 1e-5  # if the ridge costs more nats per row than this, EM continues without the ridge
MAX_RIDGE_FRACTION = 0.9  # above this fraction of a conditional variance, the ridge makes a component degenerate


def ridge_cost(model: Model, ridge: Array) -> float:
    """Approximate how much a ridge lowers the mean log-likelihood, in nats per unit of row weight.

    A component with the covariance S + R instead of S loses ½ [log|S + R| − log|S| + tr((S + R)⁻¹ S) − d]. To second
    order in R, the loss is ¼ tr((R Σ⁻¹)²), which is at most ¼ (tr R Σ⁻¹)².
    """
    return 0.25 * float(model.without_noise.weights @ model.covariances.ridge_fractions(ridge).sum(axis=1) ** 2)


def ridge_only_fractions(covariances: Covariances, ridge: Array) -> Array:
    """Return the fractions r / ψ of the noise variances ψ that are nearly only ridge, and 0 for other features.

    At a maximum, ψ (Σ⁻¹)_jj is r / ψ plus the contribution of the rows to feature j. In a factor analyser, a direction
    without variance can depend on several features, whose fractions r / ψ sum to 1 for each such direction. Without
    factors, ψ is the variance of the feature, and ψ (Σ⁻¹)_jj = 1.
    """
    fractions = covariances.ridge_fractions(ridge)
    totals = covariances.whitening.precision_diagonals() / covariances.ridge_precisions()
    return np.where(fractions > MAX_RIDGE_FRACTION * totals, fractions, 0.0)


@one_blas_thread()
def flattest_directions(model: Model, ridge: Array) -> tuple[Array, Array]:
    """Find, for each component, the direction in which the ridge is the largest fraction of the variance.

    Returns the fractions, (n_components,), and the directions, (n_components, n_features), in standard deviations of
    the features. Directions are 0 in features without a ridge. If covariances are not matrices, entry j of a direction
    is the ridge's fraction of the variance of feature j, or 0 if the ridge is not nearly all of this variance. The
    fraction of a component is then the sum over the features, which can exceed 1.
    """
    if not isinstance(model.covariances, Dense):
        fractions = ridge_only_fractions(model.covariances, ridge)
        return fractions.sum(axis=1), fractions
    matrices = _in_ridge_units(model.covariances.dense(), ridge)
    values, vectors = np.linalg.eigh(matrices)
    directions = np.zeros_like(model.means)
    directions[:, ridge > 0] = vectors[:, :, 0] * np.sqrt(np.einsum("kjj->kj", matrices))
    return 1 / np.maximum(values[:, 0], 1.0), directions


def _in_ridge_units(covariances: Array, ridge: Array) -> Array:
    """Divide covariances by the standard deviations of the ridge, and leave out the features without a ridge."""
    (columns,) = ridge.nonzero()
    unit = np.sqrt(ridge[columns])
    return np.asarray(covariances[..., columns[:, None], columns] / unit / unit[:, None])


def on_ridge_mask(mixtures: StackedModels, ridge: Array) -> NDArray[np.bool_]:
    """Return a mask (n, n_components) of the components that only the ridge keeps from collapsing.

    In these components, the ridge is nearly all of a feature's conditional variance, or nearly all of the variance in a
    direction in which the whole mixture varies. If columns of all rows are linearly dependent, no component varies in
    some direction, but standard errors are still valid. The same holds for a constant column if all components share
    one covariance.
    """
    fractions = mixtures.covariances.ridge_fractions(ridge)
    result = (fractions.max(axis=1) > MAX_RIDGE_FRACTION) & (not mixtures.template.covariances.is_shared)
    # The ridge's fraction of the variance in any direction is at most the sum of its fractions over the features.
    candidates = np.flatnonzero(~result & (fractions.sum(axis=1) > MAX_RIDGE_FRACTION))
    if candidates.size:
        result[candidates] = _flat_mask(mixtures.covariances.take(candidates), mixtures.template, ridge)
    return np.broadcast_to(result.reshape(len(mixtures.weights), -1), mixtures.weights.shape)


@one_blas_thread()
def _flat_mask(covariances: Covariances, mixture: Model, ridge: Array) -> NDArray[np.bool_]:
    """Return a mask of the n covariances with a direction in which `mixture` varies, but the covariance is the ridge.

    The variance in such a direction is at most 1 / `MAX_RIDGE_FRACTION` times the ridge. In a factor analyser, it may
    be `n_features` times as large, because such a direction depends on several noise variances.
    """
    model = mixture.without_noise
    offsets = model.means - model.weights @ model.means
    total = np.einsum("k,kij->ij", model.weights, model.covariances.dense()) + (model.weights * offsets.T) @ offsets
    variances, axes = np.linalg.eigh(_in_ridge_units(covariances.dense(), ridge))
    total_variances = (_in_ridge_units(total, ridge) @ axes * axes).sum(axis=1)
    limit, is_on_ridge = 1 / MAX_RIDGE_FRACTION, np.full(covariances.n_components, True)
    if not isinstance(covariances, Dense):
        limit *= mixture.n_features
        is_on_ridge = ridge_only_fractions(covariances, ridge).sum(axis=1) > MAX_RIDGE_FRACTION
    return is_on_ridge & ((variances < limit) & (total_variances > limit)).any(axis=1)


def count_distinct_rows(problem: Problem, model: Model) -> NDArray[np.intp]:
    """Count, for each component, the distinct rows of the sample that most probably belong to it, (n_components,)."""
    rows = problem.data.sample.without_negligible_rows.rows
    labels = problem.engine.labels(Block(0, rows), problem.objective.parameters(model))
    return np.bincount(labels[labels >= 0], minlength=model.n_components)


def has_enough_rows(problem: Problem, model: Model) -> bool:
    """Return whether each component has enough distinct rows for its covariance to need no ridge."""
    is_shared, n_wanted = model.covariances.is_shared, MIN_DISTINCT_ROWS * (problem.source.n_features + 1)
    is_too_small = not is_shared and model.n_components * n_wanted > len(problem.data.sample.rows)
    if is_too_small or (model.covariances.rounding_error > MIN_ROUNDING).any():
        return False
    counts = count_distinct_rows(problem, model)
    return bool((counts.sum() if is_shared else counts.min()) >= n_wanted)


def end_without_ridge(problem: Problem, plan: Plan, end: EMState) -> tuple[EMState, Problem]:
    """Continue EM without the automatic ridge, if the ridge lowers the likelihood and every component has enough rows.

    Returns the final state of EM and the problem without the ridge. Returns `end` and `problem` unchanged if a
    component becomes degenerate without the ridge, or if the likelihood does not increase.
    """
    stopping, max_steps = plan.stopping, plan.stopping.max_steps - end.trace.n_steps
    is_ended = end.stop_reason is StopReason.CONVERGED and not end.trace.frozen_components and max_steps > 1
    has_cost = is_ended and ridge_cost(end.model, problem.objective.ridge) >= MAX_RIDGE_COST
    if not has_cost or problem.data.trimming is not None or not has_enough_rows(problem, end.model):
        return end, problem
    if problem.source.may_miss and np.equal(*problem.source.collect(Cells).ends).any():
        return end, problem  # without the ridge, the variance of a constant column would slowly tend to 0
    closing = search_stopping(stopping)
    closing = replace(closing, max_steps=min(closing.max_steps, max_steps))
    if stopping.seeks_maximum:
        closing = replace(closing, tolerance=MIN_TOLERANCE, max_steps=max_steps)
    unridged, model = replace(problem, ridge=0.0), end.model
    engine: Any = problem.engine
    if (gap := end.trace.posterior_gap) is not None:  # only truncated EM stores a gap
        engine = replace(engine, n_candidates=gap.n_candidates, n_drawn=gap.n_drawn)
        engine = replace(engine, continues_below=problem.n_components + 1)
    result = run_to_sound_end(
        unridged.source, engine, model, unridged.objective, closing, is_accelerated=plan.is_accelerated
    )
    if result is None or result.trace.n_steps < 2:
        return end, problem
    objective = result.trace.objective  # the first value belongs to the last model of the run with the ridge
    last_change = abs(objective[-1] - objective[-2])
    has_converged = result.stop_reason is StopReason.CONVERGED or last_change < stopping.tolerance
    if not (has_converged and objective[-1] > objective[0] and has_enough_rows(unridged, result.model)):
        return end, problem
    joined = join_traces(end.trace, result._replace(stop_reason=StopReason.CONVERGED))
    if gap is not None:
        gap = estimate_gap(unridged.source, engine, unridged.objective.parameters(joined.model))
        joined = joined._replace(trace=replace(joined.trace, posterior_gap=gap))
    return joined, unridged
