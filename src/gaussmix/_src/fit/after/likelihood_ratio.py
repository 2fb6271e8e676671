"""Test the number of components with the likelihood ratio and with refits to rows drawn from the smaller mixture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.em.curvature.parameter_layout import StackedModels
from gaussmix._src.em.initialisation.initial import split_component
from gaussmix._src.em.objective.stopping import StopRule
from gaussmix._src.em.objective.trace import EMState
from gaussmix._src.fit.after.bootstrap import fit_tables, simulate_tables
from gaussmix._src.fit.after.inference import ObjectiveMaximiser
from gaussmix._src.fit.problem import Problem
from gaussmix._src.fit.ridge import MAX_RIDGE_FRACTION, on_ridge_mask
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array, Rows
from gaussmix._src.numerics.axes import principal_axes

MAX_SPLIT_AXES_PER_COMPONENT = 3  # maximum number of axes along which each component is split
TEST_SPLIT_DISTANCE = 1.0  # distance of each half's mean from the mean of the split component, in standard deviations
SPLIT_STOPPING = StopRule(1e-4, 30)  # stopping rule of EM from each mixture with a split component
MAX_CONTINUED_SPLITS = 2  # number of the best splits from which EM continues to convergence


class LikelihoodRatioTest(NamedTuple):
    """A likelihood ratio statistic, and values of this statistic that were simulated under the smaller mixture.

    Parameters
    ----------
    statistic : twice the log of the likelihood ratio, in nats, at least 0.
    null_statistics : statistics (n,) of n tables of rows that were drawn from the smaller mixture.
    """

    statistic: float
    null_statistics: Array

    @property
    def p_value(self) -> float:
        """Return (1 + number of `null_statistics` ≥ `statistic`) / (1 + n); McLachlan (1987), Applied Statistics 36."""
        return float((1 + (self.null_statistics >= self.statistic).sum()) / (1 + len(self.null_statistics)))


def run_likelihood_ratio_test(
    problem: Problem, model: Model, n_tables: int, stopping: StopRule, rng: np.random.Generator, names: Sequence[str]
) -> LikelihoodRatioTest:
    """Test a mixture against mixtures with one more component, which EM fits after a split of each component in turn.

    Mixtures with one more component are fitted to the drawn rows by the same method as to the data, because otherwise
    the test would not have its nominal level.

    Parameters
    ----------
    problem : problem of the smaller mixture, with rows of equal weight in memory, and without priors or fixed
        parameters.
    model : the smaller mixture, near a maximum of the likelihood.
    n_tables : number of tables of rows to draw from the smaller mixture.
    stopping : rule for stopping EM.
    rng : random generator for the drawn rows.
    names : names of the features, for error messages.

    Raises
    ------
    ValueError : a component of the smaller mixture collapsed or became empty, or all larger mixtures collapsed.
    """
    whole = problem.source.whole
    assert whole is not None, "callers pass only rows in memory"
    n_rows, drawn = whole.n_rows, list[Array]()
    model = fit_tables(problem, [model], [whole.rows], np.zeros(1, int), stopping)[0].model
    if _are_degenerate(problem, [model], n_rows)[0]:
        raise degenerate_error(problem, [model], names)
    statistic = float(_compute_statistics(problem, model, [whole.rows], stopping, names)[0])
    for tables in simulate_tables(model, n_rows, n_tables, rng, problem.engine):
        drawn.append(_compute_statistics(problem, model, tables, stopping))
    return LikelihoodRatioTest(statistic, np.concatenate(drawn))


def _compute_statistics(
    problem: Problem, model: Model, tables: Sequence[Rows], stopping: StopRule, names: Sequence[str] | None = None
) -> Array:
    """Compute 2 (log L' − log L) in nats for each table; L' is the likelihood of the larger mixture, L of the smaller.

    All tables have the same number of rows. The statistics are at least 0, because the smaller mixture is a special
    case of the larger mixture. Raises ValueError if `names` is given and every larger mixture has a collapsed
    component.
    """
    n_rows, each = len(tables[0]), np.arange(len(tables))
    smaller = fit_tables(problem, [model] * len(tables), tables, each, stopping)
    starts = [_split_models(end.model) for end in smaller]
    indices = np.repeat(each, [len(splits) for splits in starts])
    split_ends = fit_tables(problem, [start for splits in starts for start in splits], tables, indices, SPLIT_STOPPING)
    order = np.lexsort((-_final_objectives(problem, split_ends, n_rows), indices))
    first = np.searchsorted(indices, each)
    chosen = np.sort(np.concatenate([order[start : start + MAX_CONTINUED_SPLITS] for start in first]))
    ends = fit_tables(problem, [split_ends[index].model for index in chosen], tables, indices[chosen], stopping)
    larger, heights = np.array([end.trace.last_objective for end in smaller]), _final_objectives(problem, ends, n_rows)
    if names is not None and all_repeat_rows(problem, [end.model for end in ends], n_rows):
        raise degenerate_error(problem, [end.model for end in ends], names)
    np.maximum.at(larger, indices[chosen], heights)
    return np.asarray(2 * n_rows * (larger - [end.trace.last_objective for end in smaller]))


def _final_objectives(problem: Problem, states: Sequence[EMState], n_rows: int) -> Array:
    """Return the final objective of each EM run, or −inf if a component collapsed or became empty in the run."""
    has_failed = _are_degenerate(problem, [end.model for end in states], n_rows)
    has_failed |= np.array([bool(end.trace.frozen_components) for end in states])
    return np.where(has_failed, -np.inf, [end.trace.last_objective for end in states])


def _are_degenerate(problem: Problem, models: list[Model], n_rows: int) -> NDArray[np.bool_]:
    """Return a mask (n_models,) of the models with an empty or collapsed component."""
    stacked = StackedModels.from_models(models)
    return np.asarray(ObjectiveMaximiser(problem, n_rows).degenerate_mask(stacked).any(axis=1))


def all_repeat_rows(problem: Problem, models: list[Model], n_rows: int) -> bool:
    """Return whether every model has a collapsed component with over 2 n_features + 1 rows, a sign of repeated rows."""
    stacked = StackedModels.from_models(models)
    is_on_ridge = on_ridge_mask(stacked, problem.objective.variance_floor)
    return bool((is_on_ridge & (n_rows * stacked.weights > 2 * stacked.template.n_features + 1)).any(axis=1).all())


def degenerate_error(
    problem: Problem, models: list[Model], names: Sequence[str], test: str = "likelihood_ratio_test"
) -> ValueError:
    """Return the error for mixtures with collapsed or empty components; the message names a column without variance."""
    stacked, floor = StackedModels.from_models(models), problem.objective.variance_floor
    fractions = stacked.covariances.ridge_fractions(floor).max(axis=0)
    n_components = models[0].n_components
    subject = f"{test} needs rows that vary in each component, but with {n_components=}, a component"
    advice = "Test fewer components or, if values are rounded, set reg_covar to the variance of the rounding errors."
    if fractions.max() > MAX_RIDGE_FRACTION:
        where = f"in column {names[fractions.argmax()]!r}"
        advice = f"Leave out this column if it is constant. Otherwise, {advice[0].lower()}{advice[1:]}"
    elif on_ridge_mask(stacked, floor).any():
        where = "in some direction"
    else:
        return ValueError(f"{subject} has lost its rows. Test fewer components.")
    return ValueError(f"{subject} has only reg_covar as its variance {where}. {advice}")


def _split_models(model: Model) -> list[Model]:
    """Return one mixture for each way to split a component in two along one of its (at most 3) longest axes."""
    values, axes = principal_axes(model.covariances.dense())
    return [
        split_component(model, k, TEST_SPLIT_DISTANCE * np.sqrt(values[k, axis]) * axes[k, :, axis])
        for k in range(model.n_components)
        for axis in range(min(model.n_features, MAX_SPLIT_AXES_PER_COMPONENT))
    ]
