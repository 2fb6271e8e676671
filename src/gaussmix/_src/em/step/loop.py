"""The EM loop in Python, for runs and steps that the C++ core does not support.

On small tables, the core runs most steps (`em.step.core_steps`), and complete fits (`fit.first_state`) need no loop.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from gaussmix._src.em import step
from gaussmix._src.em.objective.objective import Objective
from gaussmix._src.em.objective.stopping import StopRule
from gaussmix._src.em.objective.trace import EMState, FreezeReason, Trace, final_state
from gaussmix._src.em.step.accumulate import StepTask
from gaussmix._src.em.step.core_steps import CoreSteps
from gaussmix._src.em.step.maximise import anchor_cancellation, next_model
from gaussmix._src.engines.base import Engine
from gaussmix._src.errors import SingularCovarianceError, StopReason
from gaussmix._src.interfaces.moments import Moments
from gaussmix._src.interfaces.parameters import MAX_CANCELLATION
from gaussmix._src.model import Model
from gaussmix._src.sources.base import Source
from gaussmix._src.sources.waiting import TimeIsOver, cut_in_time


def run_em(
    source: Source,
    engine: Engine[Any],
    model: Model,
    objective: Objective,
    stopping: StopRule,
    trace: Trace | None = None,
    *,
    is_accelerated: bool = False,
) -> Iterator[EMState]:
    """Increase the objective by EM steps until EM converges; Bishop (2006) section 9.2.2.

    To stop a run, end the iteration over the states. To continue a run exactly, pass the model and trace of a state.

    Parameters
    ----------
    source : source of the rows.
    engine : engine that computes responsibilities and sums moments.
    model : initial model; all later models have the same covariance structure.
    objective : objective that EM increases, such as the log-likelihood.
    stopping : conditions for stopping the run.
    trace : trace of the earlier steps of a continued run, whose frozen components stay frozen; None for a new run.
    is_accelerated : whether slow runs are accelerated (`em.step.acceleration`).

    Yields
    ------
    state : first the initial state, and then a state after each step, or after several steps in the C++ core. Only the
        stop reason of the last state is not None.
    """
    trace = trace or Trace()
    state = EMState(model, trace, None if trace.n_steps < stopping.max_steps else StopReason.STEP_LIMIT)
    core_steps = CoreSteps(source, engine, model.family, model.n_components, objective, stopping)
    acceleration = step.acceleration.Acceleration(core_steps) if is_accelerated else None
    context = None
    yield state
    while state.stop_reason is None:
        model, trace = state.model, state.trace
        last_objective = trace.last_objective if trace.n_steps else stopping.previous_objective
        next_model, log_likelihoods, objectives, frozen = model, list[float](), list[float](), trace.frozen_components
        if not frozen:
            limit = None if acceleration is None else acceleration.max_steps_until_check(trace)
            limit = 1 if stopping.is_watched else limit
            steps = core_steps.run_steps(model, trace.n_steps, last_objective, limit)
            next_model, log_likelihoods, objectives = steps
        if not log_likelihoods:  # Python must run this step
            try:
                with cut_in_time(trace.n_steps > 0):
                    moments, next_model, frozen = em_step(source, engine, model, objective, frozen, context)
            except TimeIsOver:
                yield EMState(model, replace(trace, path_arrays={}), StopReason.TIME_LIMIT)
                return
            context = moments.context
            log_likelihoods = [moments.log_likelihood / moments.row_weight]
            objectives = [log_likelihoods[0] + objective.log_prior(model) / moments.row_weight]
        trace = Trace((*trace.log_likelihood, *log_likelihoods), (*trace.objective, *objectives), frozen)
        stop_reason = stopping.reason_after_run(trace.objective)
        if stop_reason is StopReason.NON_FINITE:
            next_model = model
        if len(frozen) == model.n_components:
            stop_reason = StopReason.DEGENERATE
        before, state = state, EMState(next_model, trace, stop_reason)
        if acceleration is not None:
            state = acceleration.choose_next_state(before, state)
        if state.stop_reason is not None and state.trace.path_arrays:
            state = state._replace(trace=replace(state.trace, path_arrays={}))
        yield state


def run_to_sound_end(
    source: Source, engine: Engine[Any], model: Model, objective: Objective, stopping: StopRule, **run_options: Any
) -> EMState | None:
    """Return the final state of `run_em`, or None if a component freezes or the likelihood is not finite."""
    try:
        end = final_state(run_em(source, engine, model, objective, stopping, **run_options))
    except SingularCovarianceError:
        return None
    return None if end.trace.frozen_components or end.stop_reason is StopReason.NON_FINITE else end


def em_step(
    source: Source,
    engine: Engine[Any],
    model: Model,
    objective: Objective,
    frozen: Mapping[int, FreezeReason],
    context: Any = None,
) -> tuple[Moments, Model, Mapping[int, FreezeReason]]:
    """Perform one E-step and one M-step; return the moments, the new model, and all frozen components.

    Usually, the engine chooses the reference points (`anchor`) of the sums. If a component degenerates, or if
    converting the sums to the new means would lose precision, the sums are computed again about the new means.
    Precision is lost if a step moves means far, or if moments of distant components are pooled, because the reference
    point of pooled moments is usually near the mean of the mixture. `context` is `Moments.context` of the previous
    step, or None in the first step.
    """
    spec = model.family.moment_spec(model.covariances)
    is_distant = spec.is_pooled and anchor_cancellation(model.centre, model) > MAX_CANCELLATION
    anchor = model.means if is_distant else None
    task = StepTask(engine, model.n_components, objective.parameters(model), spec, anchor=anchor, context=context)
    moments = task.sum_moments(source)
    following, all_frozen = next_model(moments, model, objective, frozen)
    if len(all_frozen) > len(frozen) or anchor_cancellation(moments.anchor, following) > MAX_CANCELLATION:
        moments = replace(task, anchor=moments.means(model.means), context=moments.context).sum_moments(source)
        following, all_frozen = next_model(moments, model, objective, frozen)
    return moments, following, all_frozen
