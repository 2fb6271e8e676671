"""Store the result of a fit in one object, from which the estimator attributes and model files are made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from gaussmix._src import numerics
from gaussmix._src.em.objective.stopping import StopRule, forecast_convergence
from gaussmix._src.em.objective.trace import EMState, OptimalityCertificate, Trace
from gaussmix._src.em.step.best_of import OBJECTIVE_ROUNDING
from gaussmix._src.errors import StopReason, name_components
from gaussmix._src.fit.problem import Problem
from gaussmix._src.model import Model
from gaussmix._src.numerics.threads import cached_property
from gaussmix._src.sources.base import Source
from gaussmix._src.sources.row_statistics import Cells
from gaussmix._src.validation.rows import count_rows

if TYPE_CHECKING:
    from gaussmix._src.mixture.mixture import Mixture

_NO_STEP_REASON = "max_iter=0 allows no step; raise max_iter."
_STEP_LIMIT_REASON = "max_iter was reached before the maximum; raise max_iter, or set tol to a number."
_MAX_REASON = "Further steps would gain less than 1e-4 nats per row."
_NO_MAX_REASON = "Steps no longer change the mean log-likelihood, but the fit is not at a maximum: try other starts."
_NEAR_MAXIMUM_PREFIX = "The fit is near a maximum. "
_REMAINING_GAIN_SENTENCE = "Further steps may gain {gain:.2g} nats per row and change {labels:.2g} % of the labels."
_NOT_MAXIMUM_SENTENCE = (
    "The fit is not near a maximum: it is at a saddle point, on a flat part of the likelihood, or far from a "
    "maximum. Lower tol, raise max_iter, or try other starts."
)
_ON_RIDGE = "It is a maximum only because of reg_covar: {} would collapse without it."
_UNKNOWN_MAXIMUM_SENTENCE = "It is not known whether the fit is near a maximum: {why_not}."
_MAX_SHOWN = 20  # maximum number of entries of a list in the repr of an `Outcome`
RESTS_ON_RIDGE = "rests on reg_covar, because it has "  # beginning of `cause` if only the ridge prevents a collapse


class BestRun(NamedTuple):
    """The best of the EM runs from all initialisations of a plan.

    Parameters
    ----------
    final_state : final state of the run with the highest objective.
    run_traces : trace of each EM run that ended with a finite likelihood.
    problem : problem that the best run solved; without the automatic ridge, if `is_ridge_dropped`.
    is_ridge_dropped : whether EM continued without the automatic ridge after the best run.
    """

    final_state: EMState
    run_traces: Sequence[Trace]
    problem: Problem
    is_ridge_dropped: bool = False


@dataclass(frozen=True)
class Diagnosis:
    """A record of an unusual event in a fit.

    Parameters
    ----------
    component : index that the component had at the time of the event; None if the event concerns all components.
    feature : name of the feature (its index if features have no names); None if the event concerns all features.
    step : EM step at which the event occurred, counted from 1; None if the event was found at the end of the fit.
    cause : description of the event and its cause.
    """

    component: int | None
    feature: str | int | None
    step: int | None
    cause: str


@dataclass(frozen=True)
class Outcome:
    """Report on how a fit ended: the attribute `outcome_` of an estimator.

    Parameters
    ----------
    reason : the reason why the fit ended, in one sentence.
    is_maximum : whether one step of Newton's method leads from the fit to a local maximum, which need not be the
        highest maximum. The value is False at a saddle point, far from a maximum, or if the likelihood is almost flat
        in some direction, and None if there was no check (see `check_maximum` of `GaussianMixture`).
    remaining_gain : estimated gain of the objective (the log-likelihood and all penalties) in all further EM steps from
        the fitted parameters (Newton's decrement), in nats per row; None unless `is_maximum` is True.
    label_change_fraction : fraction of row weight with a new label at the maximum; None unless `is_maximum` is True.
    rate : ratio of the gains of successive EM steps, near 1 if EM is slow, at least 1 if gains do not fall, and None
        after too few steps.
    n_starts : number of EM runs that ended with a finite likelihood, at least 1; skipped runs do not count.
    n_starts_at_best : number of runs, including the best run, that may approach the same maximum as the best run. In
        such runs, no component collapsed, and the final objective differs from the best by at most `tol` plus the
        larger of the two remaining gains (Aitken's extrapolation). If this number is 1 of several `n_starts`, raise
        `n_init`.
    is_ridge_dropped : whether EM continued without the automatic `reg_covar`, because all components have enough rows.
    collapsed : components that collapsed onto too few distinct rows and were frozen; a warm start with ``reg_covar=0``
        keeps them frozen. The likelihood of a fit with collapsed components cannot be compared with other fits.
    diagnostics : list of unusual events, each with `component`, `feature`, `step` and `cause`: collapsed or empty
        components, nearly singular covariances, constant columns, too few distinct rows, and components that only
        `reg_covar` or a prior keeps from collapsing.
    traces : `lower_bounds_` of each run that ended with a finite likelihood, except steps without the ridge.
    n_moves_tried, n_moves_accepted : number of split-and-merge moves that the search of the best run tried, and number
        of moves that increased the likelihood; None without a search.
    search_gain : gain of the search over EM after the same initialisation, in nats per row; None without a search.
    n_candidates : number of candidate components of each row at the end of truncated EM; None if `posterior` did not
        limit the number.
    posterior_gap, posterior_gap_error : estimate, from distant and sampled rows, of how far `lower_bound_` is below the
        log-likelihood because of `posterior`, in nats per row, and standard error of this estimate, or None.
    """

    reason: str
    is_maximum: bool | None
    remaining_gain: float | None
    label_change_fraction: float | None
    rate: float | None
    n_starts: int
    n_starts_at_best: int
    is_ridge_dropped: bool = False
    collapsed: list[int] = field(default_factory=list)
    diagnostics: list[Diagnosis] = field(default_factory=list)
    traces: list[list[float]] = field(default_factory=list, repr=False)
    n_moves_tried: int | None = None
    n_moves_accepted: int | None = None
    search_gain: float | None = None
    n_candidates: int | None = None
    posterior_gap: float | None = None
    posterior_gap_error: float | None = None

    def __repr__(self) -> str:
        """Return all fields except `traces` as text; a list that is cut ends with the number of entries left out."""
        shown = []
        for name, value in ((each.name, getattr(self, each.name)) for each in fields(self) if each.repr):
            more = len(value) - _MAX_SHOWN if isinstance(value, list) else 0
            text = repr(value) if more <= 0 else f"{repr(value[:_MAX_SHOWN])[:-1]}, … {more:,} more]"
            shown.append(f"{name}={text}")
        return f"{type(self).__name__}({', '.join(shown)})"

    @classmethod
    def _from_run(
        cls, best: BestRun, stopping: StopRule, skip_reason: StopReason | None, certificate: OptimalityCertificate
    ) -> Outcome:
        """Build the report on the best run; `skip_reason` is the reason why the remaining runs were skipped, if any."""
        state, objective = best.final_state, best.problem.objective
        assert state.stop_reason is not None, "the run has ended"
        reason = state.stop_reason.sentence(objective.objective_name)
        if state.stop_reason is StopReason.CONVERGED and stopping.seeks_maximum:
            is_maximum = certificate.is_maximum
            reason = _MAX_REASON if is_maximum else _NO_MAX_REASON if is_maximum is False else reason
        if state.stop_reason is StopReason.STEP_LIMIT and stopping.seeks_maximum:
            reason = _STEP_LIMIT_REASON
        if state.stop_reason is StopReason.STEP_LIMIT and not state.trace.n_steps:
            reason = _NO_STEP_REASON
        if skip_reason is not None:
            reason += f" {SKIP_REASONS[skip_reason]}"
        if certificate.why_not:
            reason += f" {_UNKNOWN_MAXIMUM_SENTENCE.format(why_not=certificate.why_not)}"
        rate = forecast_convergence(state.trace.objective).gain_ratio
        search, gap = state.trace.search, state.trace.posterior_gap
        return cls(
            reason,
            certificate.is_maximum,
            certificate.remaining_gain,
            certificate.label_change_fraction,
            None if math.isnan(rate) else rate,
            n_starts=max(1, len(best.run_traces)),
            n_starts_at_best=1 if len(best.run_traces) < 2 else _count_runs_at_best(best, stopping.tolerance),
            is_ridge_dropped=best.is_ridge_dropped,
            collapsed=state.trace.collapsed_components,
            traces=[[objective.objective_scale * each for each in run.objective] for run in best.run_traces],
            n_moves_tried=None if search is None else search.n_moves_tried,
            n_moves_accepted=None if search is None else search.n_moves_accepted,
            search_gain=None if search is None else search.gain,
            n_candidates=None if gap is None else gap.n_candidates,
            posterior_gap=None if gap is None else gap.gap,
            posterior_gap_error=None if gap is None else gap.standard_error,
        )

    @property
    def on_ridge(self) -> list[int]:
        """Return the components that only `reg_covar`, also called the ridge, keeps from collapsing."""
        components = (each.component for each in self.diagnostics if each.cause.startswith(RESTS_ON_RIDGE))
        return [component for component in components if component is not None]

    @property
    def certificate(self) -> str | None:
        """Return a sentence on whether the fit is at a maximum; None if `reason` already states it."""
        if self.remaining_gain is not None and self.label_change_fraction is not None:
            left = _REMAINING_GAIN_SENTENCE.format(gain=self.remaining_gain, labels=100 * self.label_change_fraction)
            left = left if _MAX_REASON in self.reason else _NEAR_MAXIMUM_PREFIX + left
            return f"{left} {_ON_RIDGE.format(name_components(self.on_ridge))}" if self.on_ridge else left
        return _NOT_MAXIMUM_SENTENCE if self.is_maximum is False and _NO_MAX_REASON not in self.reason else None


Outcome.__module__ = "gaussmix"  # users import the class from `gaussmix`


def _count_runs_at_best(best: BestRun, tolerance: float) -> int:
    """Return the number of runs, including the best run, that may approach the same maximum as the best run."""
    trace = best.final_state.trace
    tolerance = max(tolerance, OBJECTIVE_ROUNDING * max(100.0, abs(trace.last_objective)))
    sound = [each for each in best.run_traces if not each.collapsed_components]
    highest = max(sound, key=lambda each: each.last_objective, default=trace)
    return max(1, sum(_may_agree(highest, each, tolerance) for each in sound))


def _may_agree(one: Trace, other: Trace, tolerance: float) -> bool:
    """Return whether two runs may approach the same maximum, given their final objectives and remaining gains."""
    left = [forecast_convergence(trace.objective).remaining_gain for trace in (one, other)]
    tolerance += max((gain for gain in left if math.isfinite(gain)), default=0.0)
    return abs(one.last_objective - other.last_objective) <= tolerance


# Sentence for each reason why the remaining runs of a fit were skipped.
SKIP_REASONS = {
    StopReason.STOPPED: "A callback ended the fit before the other starts were done.",
    StopReason.TIME_LIMIT: (
        "max_time was reached before the other starts were run; raise max_time, lower n_init, or set init_params to a "
        "single method."
    ),
}


@dataclass(frozen=True)
class RowSummary:
    """Summary of the rows of a fit.

    Parameters
    ----------
    n_rows : number of rows.
    row_weight : total weight that the criteria use: n_rows if there are no weights, or the number of rows of positive
        weight if the weights are proportions that sum to about 1.
    log_likelihood : total log-likelihood of the rows, in nats, under the mixture before the last EM step (after a model
        selection, under the final mixture); None with a prior, labels or trimming, which change the objective of EM.
    has_errors : whether the rows have measurement errors.
    n_missing : number of missing values in all rows.
    frame_library : library of the user's data frame; None for an array or a file.
    seconds : duration of the fit, which pickles omit, so that equal fits have equal pickles and hashes of joblib. Model
        files also omit the library.
    """

    n_rows: int
    row_weight: float
    log_likelihood: float | None
    has_errors: bool = False
    n_missing: int = 0
    frame_library: str | None = None
    seconds: float | None = None

    @classmethod
    def from_source(cls, source: Source, X: object, log_likelihood: float | None, start_time: float) -> RowSummary:
        """Summarise the rows of a fit that ends now and that began when `perf_counter` returned `start_time`."""
        weight = count_rows(source)
        cells = source.collect(Cells) if source.may_miss else None
        n_missing, empty = (0, 0.0) if cells is None else (int(cells.n_missing.sum()), cells.empty_weight)
        # Converts a mean over all rows to the mean over rows with values.
        per_row = source.row_totals.total_weight / (source.row_totals.total_weight - empty)
        total = None if log_likelihood is None else log_likelihood * weight * per_row
        library = None if type(X) is np.ndarray else frame_library(X)
        return cls(source.n_rows, weight, total, source.has_errors, n_missing, library, perf_counter() - start_time)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "seconds": None}


def frame_library(X: object) -> str | None:
    """Return the name of the library of the data frame X; None if X is an array or a file."""
    frame = None if isinstance(X, Source) else numerics.frames.Frame.from_table(X)
    return None if frame is None else frame.library


_FLOAT64 = np.dtype(np.float64)


@dataclass(frozen=True, eq=False)
class FitResult:
    """Complete result of a fit. Each field `name` becomes the estimator attribute `name_`; None means unknown.

    Parameters
    ----------
    model : fitted model with arrays of float64.
    feature_names : one name per feature; None if features have no names.
    dtype : data type of the rows.
    n_fixed : number of parameters of the mixture that the fit kept fixed.
    converged, n_iter, lower_bound, lower_bounds : results of the best run; see the attributes of `GaussianMixture`.
    outcome, cutoff : report on the end of the fit, and density cutoff of trimming; see `GaussianMixture`.
    row_summary : summary of the rows.
    results, best_index : table of candidates, and index of the best candidate; see `GaussianMixtureIC`.
    array_like : empty array with the array library, device and data type of the rows; None if rows are NumPy arrays.
    """

    model: Model
    feature_names: tuple[str, ...] | None = None
    dtype: np.dtype[Any] = _FLOAT64
    n_fixed: int = 0
    converged: bool | None = None
    n_iter: int | None = None
    lower_bound: float | None = None
    lower_bounds: list[float] | None = None
    outcome: Outcome | None = None
    row_summary: RowSummary | None = None
    cutoff: float | None = None
    results: dict[str, list[Any]] | None = None
    best_index: int | None = None
    array_like: Any = None

    @classmethod
    def from_user_model(cls, model: Model, names: tuple[str, ...] | None, previous: Self | None) -> Self:
        """Return the previous result with the user's model, but without its runs if size or structure has changed."""
        if previous is None:
            return cls(model, names)
        old, outcome = previous.model, previous.outcome
        if old.means.shape != model.means.shape or old.family != model.family:
            retained = {name: getattr(previous, name) for name in ("results", "best_index", "array_like")}
            return cls(model, names, previous.dtype, **retained)
        outcome = None if outcome is None else replace(outcome, is_ridge_dropped=False, collapsed=[], diagnostics=[])
        return replace(previous.without_likelihood(), model=model, feature_names=names, outcome=outcome, cutoff=None)

    def in_library_of_rows(self, values: Any) -> Any:
        """Move an array to the library and device of the fitted rows; floating-point values also get the rows' type."""
        if self.array_like is None:
            return values
        from gaussmix._src.numerics.device_array import DeviceArray  # only for rows on a device

        rows = DeviceArray(self.array_like)
        return rows.send(values.astype(rows.dtype) if values.dtype.kind == "f" else values)

    @cached_property
    def mixture(self) -> Mixture:
        """Return the fitted mixture."""
        from gaussmix._src.mixture.mixture import Mixture  # imported here, because fits don't need this large class

        return Mixture._from_model(self.model, self.feature_names)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the mixture, which is rebuilt from the model."""
        return {name: value for name, value in vars(self).items() if name != "mixture"}

    @property
    def n_parameters(self) -> int:
        """Return the number of free parameters of the mixture, without fixed parameters."""
        return self.model.n_parameters - self.n_fixed

    @property
    def frame_library(self) -> str | None:
        """Return the library of the user's data frame; None if the rows were not a data frame, or if unknown."""
        return None if self.row_summary is None else self.row_summary.frame_library

    @property
    def collapsed(self) -> list[int]:
        """Return the components that collapsed onto too few distinct rows and were frozen."""
        return [] if self.outcome is None else self.outcome.collapsed

    def without_likelihood(self) -> Self:
        """Return the result without the log-likelihood of the rows, which is of another objective or another model."""
        rows = self.row_summary
        return self if rows is None else replace(self, row_summary=replace(rows, log_likelihood=None))
