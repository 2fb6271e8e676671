"""The best of several runs of EM: runs from several starts, and a race in which runs drop out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from gaussmix._src.em.objective.objective import Objective
from gaussmix._src.em.objective.stopping import StopRule
from gaussmix._src.em.objective.trace import EMState, Trace, final_state, join_traces
from gaussmix._src.em.step.one_call import repeat_rows, run_em_on_each
from gaussmix._src.engines.base import Engine
from gaussmix._src.errors import NonFiniteLikelihood, Outcome, SingularCovarianceError
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.core import core
from gaussmix._src.numerics.einsum import einsum
from gaussmix._src.numerics.factorise import factorise
from gaussmix._src.sources.base import Source

# Relative, and nats for objectives below 1: runs that reach the same maximum differ by less, in any component order.
OBJECTIVE_ROUNDING = core.OBJECTIVE_ROUNDING
FIRST_RACE_STEPS, MAX_RACE_STEPS = 4, 512  # runs are compared after 4, 8, 16, … 512 steps
MIN_RACE_TOLERANCE = 1e-6  # of these runs, nats per unit of row weight
MAX_GAIN_FACTOR = 32.0  # a run may still gain this many times its gain in the second half of its steps
MAX_MODEL_DIVERGENCE = 0.01  # nats: runs whose components differ by less on average lead to one maximum

# A run of EM from a start, or from the state of an earlier run of the same start.
EMRun = Callable[[EMState | None], Iterator[EMState]]


def best_run(runs: Iterable[Iterable[EMState]], finished_traces: list[Trace] | None = None) -> EMState:
    """Make all runs and return the end of the best.

    The first of runs that are equal up to rounding wins, so that neither the engine nor the number of threads decides.
    A run without collapsed components beats every run with one.

    Parameters
    ----------
    runs : the states of each run; a run raises `SingularCovarianceError` if its start has no covariances.
    finished_traces : gets the trace of each run that ended with a finite likelihood.

    Raises
    ------
    SingularCovarianceError : no start had covariances; the error of the last one.
    NonFiniteLikelihood : the likelihood of the last start was not a finite number, and no other start did better.
    """
    best: EMState | None = None
    failure: ValueError | None = None
    for states in runs:
        try:
            end = final_state(states)
        except SingularCovarianceError as error:
            failure = error
            continue
        if end.outcome is Outcome.NON_FINITE:
            failure = NonFiniteLikelihood()
        else:
            best = choose_better(best, end)
            if finished_traces is not None:
                finished_traces.append(end.trace)
    if best is None:
        assert failure is not None, "at least one start"
        raise failure
    return best


def choose_better(best: EMState | None, candidate: EMState) -> EMState:
    """The better of two ends of runs; the first of equals.

    Compare by objective, unless only one run has collapsed: its objective depends on when the component froze.
    """
    if best is None or bool(candidate.trace.collapsed_components) != bool(best.trace.collapsed_components):
        return candidate if best is None or not candidate.trace.collapsed_components else best
    return candidate if is_higher(candidate.trace.last_objective, best.trace.last_objective) else best


def is_higher(objective: float, reference: float) -> bool:
    """Whether an objective is not equal to another one up to rounding, but higher."""
    return objective > reference + OBJECTIVE_ROUNDING * max(1.0, abs(reference))


def race_models(
    models: list[Model], source: Source, engine: Engine[Any], objective: Objective, tolerance: float
) -> Model:
    """Run EM from several models and return the model that the best run reached; the first of equal runs.

    Runs that cannot become the best any more, or in which a component degenerates, drop out until one is left. If that
    run degenerates too, its first model is returned, and the fit from it reports what degenerated. After Maron & Moore
    (1997), Artificial Intelligence Review 11.
    """
    runs = [(model, EMState(model, Trace())) for model in models]
    before, until = 0, FIRST_RACE_STEPS
    while len(runs) > 1 and until <= MAX_RACE_STEPS:
        is_small = StopRule(max(tolerance, MIN_RACE_TOLERANCE), until - before)
        runs = _select_contenders(_continue_runs(runs, source, engine, objective, is_small))
        before, until = until, 2 * until
    model, end = runs[0]
    return model if end.trace.frozen_components else end.model


def _continue_runs(
    runs: list[tuple[Model, EMState]], source: Source, engine: Engine[Any], objective: Objective, stopping: StopRule
) -> list[tuple[Model, EMState]]:
    """The same runs after more steps, but those that had ended."""
    going = [state for _, state in runs if not _has_ended(state)]
    models, groups = [state.model for state in going], repeat_rows(source, len(going))
    ends = run_em_on_each(engine, models, objective, stopping, lambda _: source, groups, _first_degenerate_or_last)
    after = {id(state): join_traces(state.trace, end) for state, end in zip(going, ends, strict=True)}
    return [(model, after.get(id(state), state)) for model, state in runs]


def _first_degenerate_or_last(states: Iterable[EMState]) -> EMState:
    """The first state with a component that degenerated, else the last one."""
    for state in states:
        if state.trace.frozen_components:
            break
    return state


def _has_ended(state: EMState) -> bool:
    return bool(state.trace.frozen_components) or state.outcome not in (None, Outcome.STEP_LIMIT)


def _select_contenders(runs: list[tuple[Model, EMState]]) -> list[tuple[Model, EMState]]:
    """The highest run first, then the runs that may still end above it and do not follow another one."""
    first, *others = sorted(runs, key=lambda run: _race_sort_key(run[1]))
    best = first[1].trace.last_objective
    contenders = [first, *(run for run in others if not _cannot_win(run[1], best))]
    gaps = _model_divergences([state.model for _, state in contenders]) if len(contenders) > 1 else np.zeros((1, 1))
    retained = list[int]()
    for i in range(len(contenders)):
        if not (gaps[i, retained] <= MAX_MODEL_DIVERGENCE).any():
            retained.append(i)
    return [contenders[i] for i in retained]


def _cannot_win(state: EMState, best: float) -> bool:
    """Whether a run cannot end above the highest any more."""
    return _race_sort_key(state)[0] or _has_ended(state) or _attainable_objective(state.trace) < best


def _model_divergences(models: list[Model]) -> Array:
    """How unlike the components of models from one partition are, (n_models, n_models), nats.

    The mean over components k of ½ (KL(k, k') + KL(k', k)), half of Jeffreys' divergence, weighted as in both models:
    ¼ [tr(P Σ') + tr(P' Σ) − 2 d + δᵀ (P + P') δ] with P = Σ⁻¹ and δ the difference of the means.
    """
    weights, means = np.array([model.weights for model in models]), np.array([model.means for model in models])
    covariances = np.array([model.covariances.dense() for model in models])
    n, K, d = means.shape
    factors = factorise(covariances.reshape(n * K, d, d))[0].reshape(n, K, d, d)
    precisions = einsum("rkji,rkjl->rkil", factors, factors)
    means = means - means.mean(axis=0)
    pulled = einsum("rkij,rkj->rki", precisions, means)
    rest = einsum("rki,rki->rk", pulled, means) - d
    # tr(P Σ') − d + δᵀ P δ is one product of the numbers of a model and those of another one.
    own = np.concatenate((precisions.reshape(n, K, d * d), -2 * pulled, rest[:, :, None]), axis=2)
    squares = (covariances + means[:, :, :, None] * means[:, :, None]).reshape(n, K, d * d)
    one_way = einsum("rka,ska->rsk", own, np.concatenate((squares, means, np.ones((n, K, 1))), axis=2))
    return einsum("rsk,rsk->rs", 0.25 * (one_way + one_way.swapaxes(0, 1)), 0.5 * (weights[:, None] + weights))


def run_sort_key(state: EMState) -> tuple[bool, float]:
    """Sort key of a run: collapsed runs last, then by the digits of the objective that all engines share."""
    trace = state.trace
    is_lost = bool(trace.collapsed_components) or state.outcome is Outcome.NON_FINITE
    return is_lost, -round(trace.last_objective / OBJECTIVE_ROUNDING) if not is_lost else 0.0


def _race_sort_key(state: EMState) -> tuple[bool, float]:
    """As `run_sort_key`, with degenerate runs last: the core does not make their next step."""
    return (True, 0.0) if state.trace.frozen_components else run_sort_key(state)


def _attainable_objective(trace: Trace) -> float:
    """Bound the objective that a run may still reach: at most `MAX_GAIN_FACTOR` times the gain of its second half."""
    return trace.last_objective + MAX_GAIN_FACTOR * (trace.last_objective - trace.objective[(trace.n_steps - 1) // 2])
