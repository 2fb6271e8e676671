"""The state of a run of EM: its model, the record of its steps, and why it ended."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import NamedTuple

from gaussmix._src.errors import Outcome, counted
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array

MIN_SHOWN_GAIN = 5e-6  # nats per row: less is 0 in the digits of a report


class FreezeReason(Enum):
    """Why a component is frozen, so that it keeps its mean and covariance."""

    LOST = "lost its mass"
    COLLAPSED = "collapsed onto too few distinct rows"


@dataclass(frozen=True)
class DegeneracyEvent:
    """A component that degenerated, and what was done about it.

    Parameters
    ----------
    component : its number at that step.
    feature : the feature in which it collapsed; None if it lost its mass.
    step : of the run, counted from 1.
    reason : what happened to it.
    remedy : what was done, the value of an `em.collapse.remedies.Remedy`.
    """

    component: int
    feature: int | None
    step: int
    reason: FreezeReason
    remedy: str


@dataclass
class SearchReport:
    """What a search did before the first step of a run.

    Parameters
    ----------
    n_moves_tried, n_moves_accepted : moves of components, and those that raised the likelihood.
    gain : over EM from the start, on the rows of the search, nats per unit of row weight; None if that is not known.
    """

    n_moves_tried: int = 0
    n_moves_accepted: int = 0
    gain: float | None = None

    def count(self, n_tried: int, n_accepted: int) -> None:
        """Add moves."""
        self.n_moves_tried += n_tried
        self.n_moves_accepted += n_accepted

    def __str__(self) -> str:
        moves = f"{counted(self.n_moves_tried, 'move')} tried, {self.n_moves_accepted:,} kept"
        if self.gain is None:
            return moves
        has_gain = self.gain >= MIN_SHOWN_GAIN
        gain = f"raised the log-likelihood by {self.gain:.5f} nats per row" if has_gain else "no higher than EM alone"
        return f"{gain}: {moves}"


@dataclass(frozen=True)
class PosteriorGap:
    """The difference between the log-likelihood and the free energy of truncated EM, as estimated from sampled rows.

    Parameters
    ----------
    n_candidates : components that share a row, at most.
    gap, standard_error : nats per unit of row weight.
    """

    n_candidates: int
    gap: float
    standard_error: float


@dataclass(frozen=True)
class Trace:
    """The record of the steps of a run, and what the next step needs besides the model.

    Parameters
    ----------
    log_likelihood : mean log-likelihood before each step, nats per unit of row weight.
    objective : what EM raises, before each step: the mean log-likelihood and what a prior adds to it.
    frozen_components : component → why its mean and covariance no longer move.
    path_arrays : the path of an accelerated run; empty once the run has ended.
    events : components that degenerated, as `em.collapse.remedies` records them.
    search : what a search did before the first step; None without one.
    posterior_gap : at the end of truncated EM; else None.
    """

    log_likelihood: Sequence[float] = ()
    objective: Sequence[float] = ()
    frozen_components: Mapping[int, FreezeReason] = field(default_factory=dict)
    path_arrays: Mapping[str, Array] = field(default_factory=dict, compare=False)
    events: tuple[DegeneracyEvent, ...] = ()
    search: SearchReport | None = None
    posterior_gap: PosteriorGap | None = None

    @property
    def n_steps(self) -> int:
        return len(self.log_likelihood)

    @property
    def last_objective(self) -> float:
        """The last value of the objective, −inf before the first step."""
        return self.objective[-1] if self.objective else float("-inf")

    @property
    def collapsed_components(self) -> list[int]:
        """Components that collapsed, in their order."""
        return sorted(k for k, why in self.frozen_components.items() if why is FreezeReason.COLLAPSED)


class EMState(NamedTuple):
    """The model after the last step of a run, the record of the steps, and why the run ended; None while it goes on."""

    model: Model
    trace: Trace
    outcome: Outcome | None = None


def join_traces(earlier_trace: Trace, final_state: EMState) -> EMState:
    """The end of a run that went on after `earlier_trace`."""
    log_likelihood = *earlier_trace.log_likelihood, *final_state.trace.log_likelihood
    objective = *earlier_trace.objective, *final_state.trace.objective
    trace = replace(final_state.trace, log_likelihood=log_likelihood, objective=objective)
    trace = replace(trace, events=(*earlier_trace.events, *trace.events), search=trace.search or earlier_trace.search)
    gap = trace.posterior_gap or earlier_trace.posterior_gap
    return final_state._replace(trace=replace(trace, posterior_gap=gap))


def final_state(states: Iterable[EMState]) -> EMState:
    """The last state of a run."""
    return deque(states, maxlen=1)[0]
