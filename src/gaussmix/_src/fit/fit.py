"""Run EM from every initialisation of a plan, and select the best run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from gaussmix._src import fit as fitting
from gaussmix._src.em import curvature
from gaussmix._src.em.collapse.remedies import run_with_remedy
from gaussmix._src.em.curvature.certificate_cost import is_certificate_cheap
from gaussmix._src.em.objective.stopping import MAX_REMAINING_GAIN
from gaussmix._src.em.objective.trace import TIME_IS_OVER, EMState, OptimalityCertificate, Trace, final_state
from gaussmix._src.em.step.best_of import EMRun, best_run
from gaussmix._src.em.step.loop import run_em
from gaussmix._src.errors import NonFiniteLikelihood, StopReason
from gaussmix._src.fit.first_state import FirstState
from gaussmix._src.fit.fitted import BestRun
from gaussmix._src.fit.plan import MIN_RIDGE_FRACTION, ModelStart, Plan
from gaussmix._src.fit.problem import Problem

if TYPE_CHECKING:
    from gaussmix._src.fit.options.base import FitOptions


def fit(problem: Problem, plan: Plan, options: FitOptions = ()) -> BestRun:
    """Run EM from every initialisation, and return the run with the highest objective.

    Parameters
    ----------
    problem, plan : problem and settings of the fit.
    options : options of the fit, in the order in which they apply.

    Raises
    ------
    SingularCovarianceError, NonFiniteLikelihood : see `best_run`, which raises these errors.
    DegenerateError : see `run_with_remedy`, which raises this error.
    ValueError : ``tol="auto"`` requires a fit at a maximum, but it can't be checked that the fit is at a maximum.
    """
    plan, ends = plan.resolve_auto(problem), list[Trace]()
    if len(plan.starts) == 1 and not options:  # there are no runs to compare
        end = final_state(run_from_start(problem, plan, 0, None))
        if end.stop_reason is StopReason.NON_FINITE:
            raise NonFiniteLikelihood
        ends.append(end.trace)
    else:
        runs: Iterable[EMRun] = [partial(run_from_start, problem, plan, index) for index in range(len(plan.starts))]
        for option in options:
            runs = option.adapt_runs(runs, problem, plan)
        end = best_run((run(None) for run in runs), ends)
    is_automatic = problem.ridge is None and plan.candidate is None
    if is_automatic and end.model.covariances.ridge_fractions(problem.objective.ridge).max() > MIN_RIDGE_FRACTION:
        end, without_ridge = fitting.ridge.end_without_ridge(problem, plan, end)
        return BestRun(end, tuple(ends), without_ridge, is_ridge_dropped=without_ridge is not problem)
    return BestRun(end, tuple(ends), problem)


def run_from_start(problem: Problem, plan: Plan, start_index: int, initial: EMState | None) -> Iterator[EMState]:
    """Yield the states of one run, from its initialisation or from the state in a checkpoint."""
    start = plan.starts[start_index]
    last_objective = start.last_objective if isinstance(start, ModelStart) else float("-inf")
    if initial is None:
        initial = FirstState(problem, plan, start, start_index).make()
    if initial.stop_reason is not None:
        yield initial
        return
    search = initial.trace.search
    for state in _run_to_end(problem, plan, initial, last_objective):
        yield state if search is None else state._replace(trace=replace(state.trace, search=search))
        is_failed = plan.candidate is not None and state.trace.collapsed_components  # see `Selection._run_plan`
        if is_failed or plan.should_stop():
            return


def _run_to_end(problem: Problem, plan: Plan, initial: EMState, last_objective: float) -> Iterator[EMState]:
    """Yield the states of a run; if the plan seeks a maximum, continue with lower tolerances until one is reached."""
    rule = replace(plan.stopping, previous_objective=last_objective)
    moves = None if plan.make_moves is None or not plan.stopping.max_steps else plan.make_moves(problem, plan)
    if moves is not None:
        initial = moves.improve_first(initial, is_first=not initial.trace.n_steps and last_objective == float("-inf"))
    stopping = rule.stricter_rule(initial.trace.objective) if rule.seeks_maximum else rule
    while stopping is not None:
        run = partial(run_em, problem.source, problem.engine, objective=problem.objective, stopping=stopping)
        run, stopping = partial(run, is_accelerated=plan.is_accelerated), None
        for state in run_with_remedy(problem.remedy, run, problem.objective, initial):
            initial = state
            if state.stop_reason is StopReason.CONVERGED and rule.seeks_maximum:
                stopping = rule.stricter_rule(state.trace.objective)
                if stopping is not None:
                    initial = _check_maximum(problem, state)
                    stopping = stopping if initial.stop_reason is None else None
            elif state.stop_reason is StopReason.CONVERGED and moves and (moves_end := moves.improve_converged(state)):
                initial, stopping = moves_end, rule
            yield initial


def _check_maximum(problem: Problem, state: EMState) -> EMState:
    """Return the state with its certificate, and without a stop reason if the remaining gain is not small."""
    certificate = find_certificate(problem, state, is_requested=True)
    check_certifiable("" if certificate.why_not == TIME_IS_OVER else certificate.why_not)
    gain, trace = certificate.remaining_gain, replace(state.trace, certificate=certificate)
    return EMState(state.model, trace, state.stop_reason if gain is not None and gain < MAX_REMAINING_GAIN else None)


def check_certifiable(obstacle: str) -> None:
    """Raise ValueError if `obstacle` is a reason why it can't be checked that a fit is at a maximum."""
    if obstacle:
        raise ValueError(f'tol="auto" is not possible here: {obstacle}. Set tol to a number.')


def find_certificate(
    problem: Problem, final_state: EMState, run_traces: Sequence[Trace] = (), *, is_requested: bool | None
) -> OptimalityCertificate:
    """Check whether the final state of a run is near a maximum of the objective.

    Parameters
    ----------
    problem : problem that the run solved.
    final_state : final state of the best run.
    run_traces : traces of all runs; their total number of steps measures the cost of the fit.
    is_requested : whether to make the check; None to make it only if it costs at most a tenth of the fit's cost.
    """
    if final_state.trace.certificate is not None:
        return final_state.trace.certificate
    if final_state.stop_reason in (StopReason.DEGENERATE, StopReason.NON_FINITE) or is_requested is False:
        return OptimalityCertificate()
    n_steps = sum(end.n_steps for end in run_traces)
    is_on_device = problem.data.raw_source.is_on_device  # the check would copy all rows from the device
    if is_requested is None and (is_on_device or not is_certificate_cheap(final_state.model, problem.source, n_steps)):
        return OptimalityCertificate()
    model, trace, rows = final_state.model, final_state.trace, (problem.source, problem.engine)
    result = curvature.certify.compute_certificate(model, problem.objective, trace, *rows)
    return result if is_requested else replace(result, why_not="")
