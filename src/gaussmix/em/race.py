"""Runs of EM from several models, given up one by one: the model from which the longest-lived has gone on."""

from __future__ import annotations

from typing import Any

from gaussmix.em.loop import TOLERANCE_IN_SINGLE, run_em
from gaussmix.em.objective import Objective
from gaussmix.em.restarts import ROUNDING
from gaussmix.em.stopping import Stopping
from gaussmix.em.trace import State, Trace
from gaussmix.engines.base import Engine
from gaussmix.errors import Outcome
from gaussmix.model import Model
from gaussmix.sources.base import Source

FIRST_STEPS, MOST_STEPS = 4, 512  # runs are compared after so many steps, and then after 2, 4, … times as many
HOPE = 4.0  # a run may gain so many times what it gained in the second half of its steps
SAME = 3e-3  # nats per unit of row weight: runs that differ by less, in height and in gain, lead to one maximum


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
