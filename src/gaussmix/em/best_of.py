"""Several runs of EM, of which the best is kept: runs from several starts, and runs given up one by one."""

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

# Nats, relative where the objective is above 1: ends of runs to one maximum differ by less, in the order of components.
ROUNDING = 1e-10
FIRST_STEPS, MOST_STEPS = 4, 512  # runs are compared after so many steps, and then after 2, 4, … times as many
HOPE = 4.0  # a run may gain so many times what it gained in the second half of its steps
SAME = 3e-3  # nats per unit of row weight: runs that differ by less, in height and in gain, lead to one maximum

# A run of EM from a start; or from where an earlier one stood, which began with the same start.
Run = Callable[[State | None], Iterator[State]]


def best_run(runs: Iterable[Iterable[State]], ends: list[Trace] | None = None) -> State:
    """Make each run and keep the end of the best.

    Of runs that are equal up to rounding the first is kept, so that neither the engine nor the number of threads
    decides. A run without collapsed components beats any with one.

    Parameters
    ----------
    runs : the states of each; a run raises `SingularCovariance` where its start has no covariances.
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
    """Compare by objective, unless one run has collapsed: its objective says when that component was frozen."""
    if bool(one.collapsed) != bool(other.collapsed):
        return not one.collapsed
    return one.last > other.last + ROUNDING * max(1.0, abs(other.last))


def highest(models: list[Model], source: Source, engine: Engine[Any], objective: Objective, tolerance: float) -> Model:
    """Where EM has led from the best of some models; of equals the first.

    EM goes on from all that may still become the highest, until one is left. Where that has collapsed, it is the model
    itself: the run that follows says so. After Maron & Moore (1997), Artificial Intelligence Review 11.
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
    """After more steps, or where a component has got stuck."""
    if _has_ended(state):
        return state
    states = run_em(source, engine, state.model, objective, stopping, trace=state.trace)
    return next((each for each in states if each.trace.frozen or each.outcome is not None), state)


def _has_ended(state: State) -> bool:
    return bool(state.trace.frozen) or state.outcome not in (None, Outcome.STEP_LIMIT)


def _hopeful(runs: list[tuple[Model, State]]) -> list[tuple[Model, State]]:
    """The highest run first, and the others that may still end above it and are not on the way of one of these."""
    highest_first = sorted(runs, key=lambda run: _rank(run[1]))
    best = highest_first[0][1].trace.last
    kept: list[tuple[Model, State]] = []
    for model, state in highest_first:
        last, gain = state.trace.last, _recent_gain(state.trace)
        is_hopeless = _rank(state)[0] or _has_ended(state) or last + HOPE * gain < best
        is_same = any(
            abs(last - other.trace.last) <= SAME and abs(gain - _recent_gain(other.trace)) <= SAME for _, other in kept
        )
        if not kept or not (is_hopeless or is_same):
            kept.append((model, state))
    return kept


def _rank(state: State) -> tuple[bool, float]:
    """Sorts runs: collapsed ones last, then by height to the digits that do not depend on the engine."""
    trace = state.trace
    is_lost = bool(trace.collapsed) or state.outcome is Outcome.NON_FINITE
    return is_lost, -round(trace.last / ROUNDING) if not is_lost else 0.0


def _recent_gain(trace: Trace) -> float:
    """What the objective gained in the second half of the steps."""
    return trace.last - trace.objective[(trace.n_steps - 1) // 2]
