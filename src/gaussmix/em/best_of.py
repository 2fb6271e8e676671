"""The best of several runs of EM: runs from several starts, and a race in which runs drop out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from gaussmix.em.loop import TOLERANCE_IN_SINGLE, run_em
from gaussmix.em.objective import Objective
from gaussmix.em.stopping import Stopping
from gaussmix.em.trace import State, Trace, final
from gaussmix.engines.base import Engine
from gaussmix.errors import NonFiniteLikelihood, Outcome, SingularCovariance
from gaussmix.model import Model
from gaussmix.sources.base import Source

# Relative, and nats for objectives below 1: runs that reach the same maximum differ by less, in any component order.
ROUNDING = 1e-10
FIRST_STEPS, MOST_STEPS = 4, 512  # runs are compared after 4, 8, 16, … 512 steps
HOPE = 4.0  # a run may still gain this many times its gain in the second half of its steps
SAME = 3e-3  # nats per unit of row weight: runs that differ by less, in height and in gain, lead to one maximum

# A run of EM from a start, or from the state of an earlier run of the same start.
Run = Callable[[State | None], Iterator[State]]


def best_run(runs: Iterable[Iterable[State]], ends: list[Trace] | None = None) -> State:
    """Make all runs and return the end of the best.

    The first of runs that are equal up to rounding wins, so that neither the engine nor the number of threads decides.
    A run without collapsed components beats every run with one.

    Parameters
    ----------
    runs : the states of each run; a run raises `SingularCovariance` if its start has no covariances.
    ends : gets the trace of each run that ended with a finite likelihood.

    Raises
    ------
    SingularCovariance : no start had covariances; the error of the last one.
    NonFiniteLikelihood : the likelihood of the last start was not a finite number, and no other start did better.
    """
    best: State | None = None
    failure: ValueError | None = None
    for states in runs:
        try:
            end = final(states)
        except SingularCovariance as error:
            failure = error
            continue
        if end.outcome is Outcome.NON_FINITE:
            failure = NonFiniteLikelihood()
        else:
            best = better(best, end)
            if ends is not None:
                ends.append(end.trace)
    if best is None:
        assert failure is not None, "at least one start"
        raise failure
    return best


def better(best: State | None, end: State) -> State:
    """The better of two ends of runs; the first of equals."""
    return end if best is None or _is_better(end.trace, best.trace) else best


def _is_better(one: Trace, other: Trace) -> bool:
    """Compare by objective, unless only one run has collapsed: its objective depends on when the component froze."""
    if bool(one.collapsed) != bool(other.collapsed):
        return not one.collapsed
    return one.last > other.last + ROUNDING * max(1.0, abs(other.last))


def highest(models: list[Model], source: Source, engine: Engine[Any], objective: Objective, tolerance: float) -> Model:
    """Run EM from several models and return the model that the best run reached; the first of equal runs.

    Runs that cannot become the best any more drop out until one is left. If that run has collapsed, its first model is
    returned, and the fit from it reports the collapse. After Maron & Moore (1997), Artificial Intelligence Review 11.
    """
    runs = [(model, State(model, Trace())) for model in models]
    n_steps = FIRST_STEPS
    while len(runs) > 1 and n_steps <= MOST_STEPS:
        few = Stopping(max(tolerance, TOLERANCE_IN_SINGLE), n_steps)
        runs = _hopeful([(model, _continued(state, source, engine, objective, few)) for model, state in runs])
        n_steps *= 2
    model, end = runs[0]
    return model if end.trace.frozen else end.model


def _continued(state: State, source: Source, engine: Engine[Any], objective: Objective, stopping: Stopping) -> State:
    """The state after more steps, or when a component got stuck."""
    if _has_ended(state):
        return state
    states = run_em(source, engine, state.model, objective, stopping, trace=state.trace)
    return next((each for each in states if each.trace.frozen or each.outcome is not None), state)


def _has_ended(state: State) -> bool:
    return bool(state.trace.frozen) or state.outcome not in (None, Outcome.STEP_LIMIT)


def _hopeful(runs: list[tuple[Model, State]]) -> list[tuple[Model, State]]:
    """The highest run first, then the runs that may still end above it and do not follow another one."""
    highest_first = sorted(runs, key=lambda run: rank(run[1]))
    best = highest_first[0][1].trace.last
    kept: list[tuple[Model, State]] = []
    for model, state in highest_first:
        last, gain = state.trace.last, _recent_gain(state.trace)
        is_hopeless = rank(state)[0] or _has_ended(state) or last + HOPE * gain < best
        is_same = any(
            abs(last - other.trace.last) <= SAME and abs(gain - _recent_gain(other.trace)) <= SAME for _, other in kept
        )
        if not kept or not (is_hopeless or is_same):
            kept.append((model, state))
    return kept


def rank(state: State) -> tuple[bool, float]:
    """Sort key of a run: collapsed runs last, then by the digits of the objective that all engines share."""
    trace = state.trace
    is_lost = bool(trace.collapsed) or state.outcome is Outcome.NON_FINITE
    return is_lost, -round(trace.last / ROUNDING) if not is_lost else 0.0


def _recent_gain(trace: Trace) -> float:
    """Gain of the objective in the second half of the steps."""
    return trace.last - trace.objective[(trace.n_steps - 1) // 2]
