"""Choice of the best of several EM runs, and races between runs, in which runs that cannot win drop out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from gaussmix._src.em.objective.objective import Objective
from gaussmix._src.em.objective.stopping import StopRule
from gaussmix._src.em.objective.trace import EMState, Trace, final_state, join_traces
from gaussmix._src.em.step.one_call import repeat_rows, run_em_on_each
from gaussmix._src.engines.base import Engine
from gaussmix._src.errors import NonFiniteLikelihood, SingularCovarianceError, StopReason
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.core import core
from gaussmix._src.numerics.einsum import einsum
from gaussmix._src.numerics.factorise import factorise
from gaussmix._src.sources.base import Source

# Two runs reach the same maximum if their objectives differ by less than this number times max(100, |objective|), which
# hardly ever depends on the units of the features.
OBJECTIVE_ROUNDING = core.OBJECTIVE_ROUNDING
FIRST_RACE_STEPS, MAX_RACE_STEPS = 4, 512  # runs are compared after 4, 8, 16, …, 512 steps
MIN_RACE_TOLERANCE = 1e-6  # minimum tolerance of runs in a race, in nats per unit of row weight
MAX_GAIN_FACTOR = 32.0  # assumed maximum ratio of a run's further gain to the gain in the second half of the run
MAX_MODEL_DIVERGENCE = 0.01  # models whose divergence in nats is below this lead to the same maximum

# Function that runs EM from the initial model of one initialisation, or continues an earlier run from the run's state.
EMRun = Callable[[EMState | None], Iterator[EMState]]


def best_run(runs: Iterable[Iterable[EMState]], finished_traces: list[Trace] | None = None) -> EMState:
    """Finish all runs, and return the final state of the best run.

    If several runs are equal except for rounding errors, the first of these runs is chosen, so that the result depends
    neither on the engine nor on the number of threads. Runs with collapsed components are worse than all other runs.

    Parameters
    ----------
    runs : for each run, an iterable of its states. The iterable raises `SingularCovarianceError` if an initial
        covariance is singular.
    finished_traces : list to which the trace of each run with a finite likelihood is appended.

    Raises
    ------
    SingularCovarianceError : in every run, an initial covariance is singular; the error of the last run is raised.
    NonFiniteLikelihood : no run succeeded, and the likelihood of the last run was not finite.
    """
    best: EMState | None = None
    failure: ValueError | None = None
    for states in runs:
        try:
            end = final_state(states)
        except SingularCovarianceError as error:
            failure = error
            continue
        if end.stop_reason is StopReason.NON_FINITE:
            failure = NonFiniteLikelihood()
        else:
            best = choose_better(best, end)
            if finished_traces is not None:
                finished_traces.append(end.trace)
    if best is None:
        assert failure is not None, "there is at least one start"
        raise failure
    return best


def choose_better(best: EMState | None, candidate: EMState) -> EMState:
    """Return the better of two final states, or `best` if both are equal.

    A run with collapsed components is always worse than a run without collapsed components, because the objective of a
    collapsed run depends on the moment of the collapse. In all other cases, the objectives are compared.
    """
    if best is None or bool(candidate.trace.collapsed_components) != bool(best.trace.collapsed_components):
        return candidate if best is None or not candidate.trace.collapsed_components else best
    return candidate if is_higher(candidate.trace.last_objective, best.trace.last_objective) else best


def is_higher(objective: float, reference: float) -> bool:
    """Return whether `objective` is higher than `reference` by more than rounding errors."""
    return objective > reference + OBJECTIVE_ROUNDING * max(100.0, abs(reference))


def race_models(
    models: list[Model], source: Source, engine: Engine[Any], objective: Objective, tolerance: float
) -> Model:
    """Run EM from several models, and return the model of the best run (of the first run if runs are equal).

    A run drops out when it cannot become the best run any more, or when a component degenerates, until only one run is
    left. If a component of the last remaining run also degenerates, the initial model of the run is returned, so that
    the fit reports the degenerate component. See Maron & Moore (1997), Artificial Intelligence Review 11.
    """
    runs = [(model, EMState(model, Trace())) for model in models]
    before, until = 0, FIRST_RACE_STEPS
    while len(runs) > 1 and until <= MAX_RACE_STEPS:
        stopping = StopRule(max(tolerance, MIN_RACE_TOLERANCE), until - before)
        runs = _select_contenders(_continue_runs(runs, source, engine, objective, stopping))
        before, until = until, 2 * until
    model, end = runs[0]
    return model if end.trace.frozen_components else end.model


def _continue_runs(
    runs: list[tuple[Model, EMState]], source: Source, engine: Engine[Any], objective: Objective, stopping: StopRule
) -> list[tuple[Model, EMState]]:
    """Continue all runs that have not ended, and return the new states of all runs."""
    unfinished = [state for _, state in runs if not _has_ended(state)]
    models, groups = [state.model for state in unfinished], repeat_rows(source, len(unfinished))
    ends = run_em_on_each(engine, models, objective, stopping, lambda _: source, groups, _run_until_degenerate)
    after = {id(state): join_traces(state.trace, end) for state, end in zip(unfinished, ends, strict=True)}
    return [(model, after.get(id(state), state)) for model, state in runs]


def _run_until_degenerate(states: Iterable[EMState]) -> EMState:
    """Return the first state with a degenerate component, or the last state if no component degenerates."""
    for state in states:
        if state.trace.frozen_components:
            break
    return state


def _has_ended(state: EMState) -> bool:
    return bool(state.trace.frozen_components) or state.stop_reason not in (None, StopReason.STEP_LIMIT)


def _select_contenders(runs: list[tuple[Model, EMState]]) -> list[tuple[Model, EMState]]:
    """Return the best run, followed by runs that may still surpass the best run and that approach different maxima."""
    first, *others = sorted(runs, key=lambda run: _race_sort_key(run[1]))
    best = first[1].trace.last_objective
    able = (run for run in others if not (_has_ended(run[1]) or _attainable_objective(run[1].trace) < best))
    contenders = [first, *able]
    gaps = _model_divergences([state.model for _, state in contenders]) if len(contenders) > 1 else np.zeros((1, 1))
    retained = list[int]()
    for i in range(len(contenders)):
        if not (gaps[i, retained] <= MAX_MODEL_DIVERGENCE).any():
            retained.append(i)
    return [contenders[i] for i in retained]


def _model_divergences(models: list[Model]) -> Array:
    """Compute the divergence between each pair of models, (n_models, n_models), in nats.

    Component k of one model is compared with component k of the other model, which is sensible for models from the same
    partition. The divergence is the weighted mean of ½ (KL(k, k') + KL(k', k)) over components k. For component k, ½
    (KL(k, k') + KL(k', k)) equals ¼ [tr(P Σ') + tr(P' Σ) − 2 d + δᵀ (P + P') δ], where P = Σ⁻¹, and δ is the difference
    of the means. In the weighted mean, the weight of component k is the mean of its weights in the two models.
    """
    weights, means = np.array([model.weights for model in models]), np.array([model.means for model in models])
    covariances = np.array([model.covariances.dense() for model in models])
    n, K, d = means.shape
    factors = factorise(covariances.reshape(n * K, d, d))[0].reshape(n, K, d, d)
    precisions = einsum("rkji,rkjl->rkil", factors, factors)
    means = means - means.mean(axis=0)
    pulled = einsum("rkij,rkj->rki", precisions, means)
    rest = einsum("rki,rki->rk", pulled, means) - d
    # For each pair of models, tr(P Σ') − d + δᵀ P δ is computed as one inner product of values of the two models.
    own = np.concatenate((precisions.reshape(n, K, d * d), -2 * pulled, rest[:, :, None]), axis=2)
    squares = (covariances + means[:, :, :, None] * means[:, :, None]).reshape(n, K, d * d)
    one_way = einsum("rka,ska->rsk", own, np.concatenate((squares, means, np.ones((n, K, 1))), axis=2))
    return einsum("rsk,rsk->rs", 0.25 * (one_way + one_way.swapaxes(0, 1)), 0.5 * (weights[:, None] + weights))


def run_sort_key(state: EMState) -> tuple[bool, float]:
    """Return a sort key: collapsed runs come last, and objectives are rounded to hide rounding errors."""
    trace = state.trace
    is_lost = bool(trace.collapsed_components) or state.stop_reason is StopReason.NON_FINITE
    return is_lost, -round(trace.last_objective / OBJECTIVE_ROUNDING) if not is_lost else 0.0


def _race_sort_key(state: EMState) -> tuple[bool, float]:
    """Return a key like `run_sort_key` that sorts degenerate runs last, because the C++ core cannot continue them."""
    return (True, 0.0) if state.trace.frozen_components else run_sort_key(state)


def _attainable_objective(trace: Trace) -> float:
    """Return an upper estimate of the objective that a run may still reach, given its gains so far."""
    return trace.last_objective + MAX_GAIN_FACTOR * (trace.last_objective - trace.objective[(trace.n_steps - 1) // 2])
