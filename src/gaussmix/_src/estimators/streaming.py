"""Fits of an estimator to a stream of rows by `partial_fit`; the estimator stores the stream in `_stream`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.exceptions import NotFittedError

from gaussmix._src.covariances import LowRank
from gaussmix._src.em.objective.objective import Objective
from gaussmix._src.em.objective.trace import EMState, Trace
from gaussmix._src.em.step.online import STEP_ROWS, moments_per_weight, online_step
from gaussmix._src.errors import counted, warn
from gaussmix._src.estimators.base import unchanged_on_failure
from gaussmix._src.fit.after.diagnostics import diagnose_components
from gaussmix._src.fit.fitted import FitResult, Outcome, RowSummary
from gaussmix._src.fit.options.base import FitOptions
from gaussmix._src.fit.options.stream import check_forgetting
from gaussmix._src.fit.options.table import check_combination, find_options
from gaussmix._src.fit.problem import Problem, TrainingData
from gaussmix._src.fit.stream import Stream, StreamState, drop_weightless_rows
from gaussmix._src.formats.record import Damaged
from gaussmix._src.model import Model
from gaussmix._src.report.messages import CollapseWarning, frozen_sentence
from gaussmix._src.sources.array import ArraySource
from gaussmix._src.validation.parameters import check_supported, drawn_seed
from gaussmix._src.validation.rows import MIN_ROWS, RowsLike, check_source, row_count_of_weights

# Largest weight of an online step, relative to a step in which rows have the mean weight of the first rows. The limit
# prevents overflow.
MAX_STEP_FRACTION = 2.0**53
_FOLLOWED = "Online steps followed the fit to the first rows."
_REPLACED = (
    "partial_fit begins a new stream and replaces the mixture, because the mixture was fitted by fit or was changed. "
    "To fit earlier rows too, pass them to partial_fit first."
)


def learn(estimator: Any, X: RowsLike, sample_weight: ArrayLike | None) -> None:
    """Fit the estimator to the next rows of a stream; see `GaussianMixture.partial_fit` for parameters and errors."""
    with unchanged_on_failure(estimator):
        n_components, family, *_ = estimator._checked_parameters()
        _options(estimator)  # raises ValueError even if this call fits nothing, because too few rows are waiting
        if family.kind is LowRank:  # EM for factor analysers needs all rows in each step.
            check_combination({f"covariance_type={family.name!r}", "partial_fit"})
        if "_fitted" in vars(estimator):
            _ = estimator._fitted  # If the user has set arrays, reading `_fitted` discards the stream.
        stream: Stream | None = vars(estimator).get("_stream")
        source = check_source(estimator, X, sample_weight, reset=stream is None, is_stream=True)
        if stream is None:
            if "_fitted" in vars(estimator):
                warn(_REPLACED)
            stream = Stream(source.dtype, drawn_seed(estimator.random_state))
            check_supported(family, source.n_features)
        if not np.can_cast(source.dtype, stream.dtype):
            raise ValueError("X is float64, but the stream began with float32. Convert X, or begin a new stream.")
        if stream.state is None:
            for name in ("_fitted", "_arrays"):  # Both are from fewer rows, and are computed again on access.
                estimator.__dict__.pop(name, None)
        elif (estimator._fitted.model.n_components, estimator._fitted.model.family) != (n_components, family):
            raise ValueError(
                f"n_components={n_components} and covariance_type={estimator.covariance_type!r} differ from the "
                "values with which the stream began. Restore the values, or begin a new stream with a new estimator."
            )
        stream = replace(stream, integer_columns=stream.integer_columns.union(source.integer_columns))
        estimator._stream = stream
        for block in source.blocks():
            rest = drop_weightless_rows(block.on_host())
            while rest.n_rows:
                stream, portion, rest = stream.append_rows(rest)
                if portion is not None:
                    before = stream.state
                    after = _begin_steps(estimator, portion) if before is None else _step(estimator, portion, before)
                    stream = replace(stream, state=after)
        estimator._stream = replace(stream, n_rows_seen=stream.n_rows_seen + source.n_rows)


def _begin_steps(estimator: Any, portion: ArraySource) -> StreamState:
    """Fit the first rows, and return the state of the stream from which online steps continue."""
    problem, totals = _fit(estimator, portion), portion.row_totals
    sums = moments_per_weight(problem.data.make_source(), problem.engine, estimator._fitted.model)
    ridge = problem.data.default_ridge if estimator._fitted.outcome.is_ridge_dropped else problem.objective.ridge
    return StreamState(sums, ridge, totals.total_weight / totals.n_rows, seen_weight=1.0)


def _step(estimator: Any, portion: ArraySource, state: StreamState) -> StreamState:
    """Take an online step, and return the new state of the stream."""
    fraction = min(portion.row_totals.total_weight / state.weight_unit / STEP_ROWS, MAX_STEP_FRACTION)
    seen_weight = state.seen_weight + fraction
    log_decay = check_forgetting(estimator.forgetting).log_decay_factor(seen_weight, fraction)
    source, objective, fitted = TrainingData(portion).make_source(), Objective(state.ridge), estimator._fitted
    sums, model, frozen = online_step(source, estimator._engine(), fitted.model, state.moments, objective, log_decay)
    trace, before = Trace(frozen_components=frozen), fitted.outcome
    n_starts, n_starts_at_best = (1, 1) if before is None else (before.n_starts, before.n_starts_at_best)
    diagnostics = diagnose_components(EMState(model, trace), estimator._names)
    # After an online step, it is unknown whether the fit is at a maximum, and how much further steps would gain.
    outcome = Outcome(
        reason=_FOLLOWED,
        is_maximum=None,
        remaining_gain=None,
        label_change_fraction=None,
        rate=None,
        n_starts=n_starts,
        n_starts_at_best=n_starts_at_best,
        collapsed=trace.collapsed_components,
        diagnostics=diagnostics,
    )
    # `row_summary` is removed, because it describes only the first rows.
    estimator._fitted = replace(fitted, model=model, lower_bound=sums.log_likelihood, outcome=outcome, row_summary=None)
    warn(frozen_sentence(trace, estimator._names), CollapseWarning)
    return replace(state, moments=sums, seen_weight=seen_weight)


def fit_waiting(estimator: Any) -> None:
    """Fit the rows that wait for the first online step; raises NotFittedError if there are too few rows."""
    stream, n_components = estimator._stream, estimator.n_components
    if stream.n_waiting_rows < max(n_components, MIN_ROWS):
        wanted = f"the {MIN_ROWS} rows that a fit needs" if n_components < MIN_ROWS else f"n_components={n_components}"
        raise NotFittedError(
            f"This {type(estimator).__name__} has seen {counted(stream.n_waiting_rows, 'row')} of positive weight, "
            f"fewer than {wanted}. Call partial_fit with more rows."
        )
    with unchanged_on_failure(estimator):
        _fit(estimator, stream.waiting_source)


def _fit(estimator: Any, source: ArraySource) -> Problem:
    source.feature_names = None if estimator._names is None else tuple(estimator._names)
    source.integer_columns = sorted(estimator._stream.integer_columns)
    problem: Problem = estimator._fit_mixture(source, None, _options(estimator))
    vars(estimator).pop("_label_source", None)  # X is only a part of the stream.
    return problem


def _options(estimator: Any) -> FitOptions:
    """Return the options in use for the fit of a stream; raises ValueError for an option that needs all rows."""
    return find_options(estimator, {"partial_fit": True}, ignored=("warm_start", "checkpoint"))


def with_rows_seen(fitted: FitResult, stream: Stream) -> FitResult:
    """Return `fitted` with the number of all rows of the stream and, if there were online steps, their total weight."""
    n_seen, rows = stream.n_rows_seen, fitted.row_summary
    if rows is not None and (stream.state is None or not stream.waiting_blocks):  # no rows came after the first fit
        return replace(fitted, row_summary=replace(rows, n_rows=n_seen))
    return replace(fitted, row_summary=RowSummary(n_seen, row_count_of_weights(stream.total_weight, n_seen), None))


def restored_stream(own: Mapping[str, Any], model: Model) -> Stream:
    """Restore a stream from an estimator's attributes in a model file; raises `Damaged` if they are invalid."""
    try:
        return Stream.from_table(own["_stream_table"], model, own["n_samples_seen_"])
    except (KeyError, TypeError, ValueError):
        raise Damaged("the file's '_stream_table' does not match the file's mixture") from None
