"""Remedies for a component that degenerates: freeze, drop or repair the component, or raise an error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from enum import Enum

import numpy as np

from gaussmix._src.em.initialisation.initial import split_heaviest
from gaussmix._src.em.objective.objective import Objective
from gaussmix._src.em.objective.trace import DegeneracyEvent, EMState, FreezeReason
from gaussmix._src.errors import DegenerateError, StopReason
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Indices

MAX_REPAIRS = 10  # maximum number of repairs in one run


class Remedy(Enum):
    """Remedy for a component that collapses onto too few rows or becomes empty."""

    FREEZE = "freeze"
    DROP = "drop"
    REPAIR = "repair"
    ERROR = "error"


def run_with_remedy(
    remedy: Remedy, run: Callable[..., Iterator[EMState]], objective: Objective, initial_state: EMState
) -> Iterator[EMState]:
    """Run EM from a state, apply the remedy to each component that degenerates, and record events in the trace.

    `FREEZE` keeps the component as `run_em` froze it. `DROP` removes the component. `REPAIR` replaces the component
    with half of the heaviest component; after `MAX_REPAIRS` repairs in a run, further components are frozen. `ERROR`
    raises `DegenerateError`; `DROP` and `REPAIR` also raise this error if all components degenerated. `run` is `run_em`
    with all arguments set except model and trace. Each yielded state can be the `initial_state` of a later call.
    """
    model, trace = initial_state.model, initial_state.trace
    events = trace.events
    while True:
        changed: EMState | None = None
        frozen = trace.frozen_components
        for state in run(model=model, trace=trace):
            collapsed = [k for k in sorted(state.trace.frozen_components) if k not in frozen]
            frozen = state.trace.frozen_components
            if collapsed and state.stop_reason is not StopReason.NON_FINITE:
                changed, recorded = _apply_remedy(remedy, state, collapsed, events)
                events += recorded
                if changed is not None:
                    break
            yield state._replace(trace=replace(state.trace, events=events)) if events else state
        if changed is None:
            return
        model, trace = objective.nearest_feasible(changed.model), replace(changed.trace, events=events)


def _apply_remedy(
    remedy: Remedy, state: EMState, collapsed: Sequence[int], earlier_events: Sequence[DegeneracyEvent]
) -> tuple[EMState | None, tuple[DegeneracyEvent, ...]]:
    """Return the state from which EM continues (None if components stay frozen), and the events to record."""
    events = _make_events(state, collapsed, remedy.value)
    is_collapsed = np.zeros(state.model.n_components, dtype=np.bool_)
    is_collapsed[list(collapsed)] = True
    moving = np.flatnonzero(~is_collapsed).tolist()
    n_repairs = sum(event.remedy == Remedy.REPAIR.value for event in earlier_events)
    is_too_often = remedy is Remedy.REPAIR and n_repairs + len(collapsed) > MAX_REPAIRS
    if remedy is Remedy.FREEZE or is_too_often:
        return None, tuple(replace(event, remedy=Remedy.FREEZE.value) for event in events)
    if remedy is Remedy.ERROR or not moving:
        cause = events[0].reason.value + (", and so did all others" if len(collapsed) > 1 and not moving else "")
        raise DegenerateError(events[0].component, events[0].feature, events[0].step, cause)
    model = keep_components(state.model.without_noise, moving)
    frozen = {k: why for k, why in state.trace.frozen_components.items() if not is_collapsed[k]}
    if remedy is Remedy.REPAIR:
        model = split_heaviest(model, state.model.n_components).take(np.argsort([*moving, *collapsed]))
    else:
        index = np.cumsum(~is_collapsed) - 1  # new index of each remaining component
        frozen = {int(index[k]): why for k, why in frozen.items()}
    model = model.with_noise(state.model.noise)
    return EMState(model, replace(state.trace, frozen_components=frozen, path_arrays={})), tuple(events)


def keep_components(model: Model, components: Sequence[int]) -> Model:
    """Return the model with only the given components, whose weights are rescaled to the sum of all old weights."""
    subset = model.take(components)
    return replace(subset, weights=subset.weights * (model.weights.sum() / subset.weights.sum()))


def _make_events(state: EMState, components: Sequence[int], remedy: str) -> list[DegeneracyEvent]:
    """Make an event for each component that degenerated; an empty component has no collapsed feature."""
    reasons, flattest = state.trace.frozen_components, _flattest_features(state.model)
    features = [None if reasons[k] is FreezeReason.EMPTY else int(flattest[k]) for k in components]
    each = zip(components, features, strict=True)
    return [DegeneracyEvent(k, feature, state.trace.n_steps, reasons[k], remedy) for k, feature in each]


def _flattest_features(model: Model) -> Indices:
    """Return, for each component, the feature with the lowest ratio of conditional variance to mixture variance."""
    left = np.broadcast_to(1 / model.whitening.precision_diagonals(), model.means.shape)
    return (left / model.feature_variances).argmin(axis=1)
