"""The state of an EM run: the model, the trace of the steps, and the reason why the run ended."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import NamedTuple

from gaussmix._src.errors import StopReason, counted
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array

TIME_IS_OVER = "max_time has passed"  # reason why it was not checked whether a model is near a maximum
MIN_SHOWN_GAIN = 5e-6  # a gain below this number of nats per row is reported as no gain


class FreezeReason(Enum):
    """Reason why a component is frozen. A frozen component keeps its mean and covariance."""

    EMPTY = "became empty"
    COLLAPSED = "collapsed onto too few distinct rows"


@dataclass(frozen=True)
class DegeneracyEvent:
    """Record of a component that degenerated, and of the remedy.

    Parameters
    ----------
    component : index of the component at the step when it degenerated.
    feature : index of the feature in which the component collapsed; None if the component became empty.
    step : number of the step at which the component degenerated, counted from 1.
    reason : reason why the component degenerated.
    remedy : remedy that was applied, a value of `em.collapse.remedies.Remedy`.
    """

    component: int
    feature: int | None
    step: int
    reason: FreezeReason
    remedy: str


@dataclass
class SearchReport:
    """Report on the split-and-merge search before the first step of a run.

    Parameters
    ----------
    n_moves_tried, n_moves_accepted : numbers of tried split-and-merge moves, and of accepted moves.
    gain : log-likelihood gain over EM alone, on the search's rows, in nats per unit of row weight; None if unknown.
    """

    n_moves_tried: int = 0
    n_moves_accepted: int = 0
    gain: float | None = None

    def __str__(self) -> str:
        has_gain = self.gain is not None and self.gain >= MIN_SHOWN_GAIN
        if not (self.n_moves_tried or has_gain):
            return "no move tried"
        moves = f"{counted(self.n_moves_tried, 'move')} tried, {self.n_moves_accepted:,} kept"
        if self.gain is None:
            return moves
        gain = f"raised the log-likelihood by {self.gain:.5f} nats per row" if has_gain else "no higher than EM alone"
        start = " from another initialisation" if has_gain and not self.n_moves_accepted else ""
        return f"{gain}{start}: {moves}"


@dataclass(frozen=True)
class PosteriorGap:
    """Difference between the log-likelihood and the free energy of truncated EM, estimated from sampled rows.

    Parameters
    ----------
    n_candidates, n_drawn : numbers of candidate components, and of drawn neighbours that a step tries, for each row.
    gap, standard_error : estimated difference and standard error of the estimate, in nats per unit of row weight.
    """

    n_candidates: int
    n_drawn: int
    gap: float
    standard_error: float


@dataclass(frozen=True)
class OptimalityCertificate:
    """Result of the check whether a model is near a maximum of the objective.

    Parameters
    ----------
    is_maximum : whether Newton's step leads from the model to a maximum. False at a saddle point, on a ridge, and if
        the model is far from a maximum; None if there was no check.
    remaining_gain : gain of the objective up to the maximum, in nats per unit of row weight; None unless `is_maximum`.
    label_change_fraction : fraction of the row weight whose label differs at the maximum; None unless `is_maximum`.
    why_not : reason why there was no check, as the end of a sentence; empty if there was a check or none was requested.
    """

    is_maximum: bool | None = None
    remaining_gain: float | None = None
    label_change_fraction: float | None = None
    why_not: str = ""


@dataclass(frozen=True)
class Trace:
    """Record of the steps of a run, with the data that the next step needs in addition to the model.

    Parameters
    ----------
    log_likelihood : mean log-likelihood before each step, in nats per unit of row weight.
    objective : objective of EM before each step: the mean log-likelihood plus the terms of a prior, if there is one.
    frozen_components : dict from the index of each frozen component to the reason for freezing.
    path_arrays : recorded steps of an accelerated run, as arrays; empty after the end of the run.
    events : records of components that degenerated, made by `em.collapse.remedies`.
    search : report on the split-and-merge search before the first step; None without a search.
    posterior_gap : difference between log-likelihood and free energy at the end of truncated EM; None for other fits.
    certificate : result of the check that ended a run with ``tol="auto"``; None for other runs.
    """

    log_likelihood: Sequence[float] = ()
    objective: Sequence[float] = ()
    frozen_components: Mapping[int, FreezeReason] = field(default_factory=dict)
    path_arrays: Mapping[str, Array] = field(default_factory=dict, compare=False)
    events: tuple[DegeneracyEvent, ...] = ()
    search: SearchReport | None = None
    posterior_gap: PosteriorGap | None = None
    certificate: OptimalityCertificate | None = field(default=None, compare=False)

    @property
    def n_steps(self) -> int:
        return len(self.log_likelihood)

    @property
    def last_objective(self) -> float:
        """Return the last value of the objective, or −inf before the first step."""
        return self.objective[-1] if self.objective else float("-inf")

    @property
    def collapsed_components(self) -> list[int]:
        """Return the indices of collapsed components in ascending order."""
        return sorted(k for k, why in self.frozen_components.items() if why is FreezeReason.COLLAPSED)


class EMState(NamedTuple):
    """Model after the last step of a run, trace of the steps, and reason why the run ended (None before its end)."""

    model: Model
    trace: Trace
    stop_reason: StopReason | None = None


def join_traces(earlier_trace: Trace, final_state: EMState) -> EMState:
    """Return `final_state` with its trace appended to `earlier_trace`."""
    log_likelihood = *earlier_trace.log_likelihood, *final_state.trace.log_likelihood
    objective = *earlier_trace.objective, *final_state.trace.objective
    trace = replace(final_state.trace, log_likelihood=log_likelihood, objective=objective)
    trace = replace(trace, events=(*earlier_trace.events, *trace.events), search=trace.search or earlier_trace.search)
    gap = trace.posterior_gap or earlier_trace.posterior_gap
    return final_state._replace(trace=replace(trace, posterior_gap=gap))


def final_state(states: Iterable[EMState]) -> EMState:
    """Return the last state of a run."""
    return deque(states, maxlen=1)[0]
