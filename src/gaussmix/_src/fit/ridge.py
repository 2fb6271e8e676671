"""The ridge at the end of a fit: which components rest on it, and EM without it where each has enough rows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.covariances import Dense
from gaussmix._src.em.objective.stopping import StopRule
from gaussmix._src.em.objective.trace import EMState
from gaussmix._src.em.step.loop import run_to_sound_end
from gaussmix._src.errors import Outcome
from gaussmix._src.fit.plan import search_stopping
from gaussmix._src.interfaces.block import Block
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.factorise import MIN_ROUNDING
from gaussmix._src.numerics.threads import one_blas_thread

if TYPE_CHECKING:
    from gaussmix._src.fit.problem import Problem

MIN_DISTINCT_ROWS = 5  # for each feature, and one: with as many in each component, no covariance needs a ridge
MAX_RIDGE_COST = 1e-5  # nats per row that a ridge may cost before the fit ends without it
MAX_RIDGE_FRACTION = 0.9  # part of the ridge in a variance, given the other features; with more it is not of the rows


def ridge_fractions(model: Model, ridge: Array) -> Array:
    """Parts of a ridge (n_features,) in the variances given the other features, (n_components, n_features)."""
    fractions: Array = model.covariances.ridge_precisions() * ridge
    return fractions


def ridge_cost(model: Model, ridge: Array) -> float:
    """About how much a ridge lowers the mean log-likelihood, nats per unit of row weight.

    A component with the covariance S + R instead of S loses ½ [log|S + R| − log|S| + tr((S + R)⁻¹ S) − d], which is
    ¼ tr((R Σ⁻¹)²) to second order, at most ¼ (tr R Σ⁻¹)².
    """
    return 0.25 * float(model.without_noise.weights @ ridge_fractions(model, ridge).sum(axis=1) ** 2)


@one_blas_thread()
def flattest_directions(model: Model, ridge: Array) -> tuple[Array, Array]:
    """The direction of each component with the largest part of the ridge in its variance, and this part.

    Returns the parts, (n_components,), and the directions, (n_components, n_features), in standard deviations of the
    features in the component. Features without a ridge are left out. Without matrices it is the direction of a feature.
    """
    if not isinstance(model.covariances, Dense):
        fractions = ridge_fractions(model, ridge)
        return fractions.max(axis=1), fractions
    (columns,) = ridge.nonzero()
    unit = np.sqrt(ridge[columns])
    matrices = model.covariances.dense()[:, columns[:, None], columns] / unit / unit[:, None]
    values, vectors = np.linalg.eigh(matrices)
    directions = np.zeros_like(model.means)
    directions[:, columns] = vectors[:, :, 0] * np.sqrt(np.einsum("kjj->kj", matrices))
    return 1 / np.maximum(values[:, 0], 1.0), directions


def count_distinct_rows(problem: Problem, model: Model) -> NDArray[np.intp]:
    """The distinct rows of the sample that each component is most probable for, (n_components,)."""
    labels = problem.engine.labels(Block(0, problem.data.sample.rows), problem.objective.parameters(model))
    return np.bincount(labels[labels >= 0], minlength=model.n_components)


def has_enough_rows(problem: Problem, model: Model) -> bool:
    """Whether no covariance of a model needs a ridge, by the distinct rows of each component."""
    if (model.covariances.rounding_error > MIN_ROUNDING).any():
        return False
    counts = count_distinct_rows(problem, model)
    n_distinct = counts.sum() if model.covariances.is_shared else counts.min()
    return bool(n_distinct >= MIN_DISTINCT_ROWS * (problem.source.n_features + 1))


def end_without_ridge(problem: Problem, end: EMState, stopping: StopRule) -> tuple[EMState, Problem]:
    """Continue a run without the automatic ridge, if that costs likelihood and every component has enough rows.

    Returns the end and the problem that it solves; both are the old ones if a component of the new end is unsound, or
    the likelihood is not higher.
    """
    ridge = problem.objective.ridge
    is_ended = end.outcome is Outcome.CONVERGED and not end.trace.frozen_components
    if problem.ridge is not None or not is_ended or ridge_cost(end.model, ridge) < MAX_RIDGE_COST:
        return end, problem
    if not has_enough_rows(problem, end.model):
        return end, problem
    closing = search_stopping(stopping)
    closing = replace(closing, max_steps=min(closing.max_steps, stopping.max_steps - end.trace.n_steps))
    unridged = replace(problem, ridge=0.0)
    result = run_to_sound_end(unridged.source, problem.engine, end.model, unridged.objective, closing)
    if (
        result is None
        or not result.trace.last_objective > end.trace.last_objective
        or not has_enough_rows(unridged, result.model)
    ):
        return end, problem
    objective = result.trace.objective
    if result.outcome is Outcome.STEP_LIMIT and abs(objective[-1] - objective[-2]) < stopping.tolerance:
        result = result._replace(outcome=Outcome.CONVERGED)
    if result.outcome is not Outcome.CONVERGED:
        return end, problem
    trace = replace(
        result.trace,
        log_likelihood=(*end.trace.log_likelihood, *result.trace.log_likelihood),
        objective=(*end.trace.objective, *objective),
        events=end.trace.events,
    )
    return result._replace(trace=trace), unridged
