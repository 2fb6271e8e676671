"""Steps that the fits of all estimators share: apply options such as noise or a prior, and make the result of a fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from sklearn.exceptions import ConvergenceWarning

from gaussmix._src import report, validation
from gaussmix._src.errors import StopReason, warn
from gaussmix._src.estimators.base import unchanged_on_failure
from gaussmix._src.families.base import Family
from gaussmix._src.fit import after
from gaussmix._src.fit.fit import find_certificate
from gaussmix._src.fit.fitted import BestRun, Diagnosis, FitResult, Outcome, RowSummary
from gaussmix._src.fit.options.table import find_options
from gaussmix._src.fit.plan import MIN_RIDGE_FRACTION, Plan
from gaussmix._src.fit.problem import Problem
from gaussmix._src.interfaces.leaves import LEAF_ROWS
from gaussmix._src.numerics.factorise import MIN_ROUNDING
from gaussmix._src.sources.base import Source
from gaussmix._src.sources.row_statistics import DistinctDigests, find_distinct
from gaussmix._src.validation.rows import check_source

if TYPE_CHECKING:
    from gaussmix._src.fit.options.base import FitOptions


def check_hooks(estimator: Any) -> None:
    """Raise an error if a subclass overrides a private method of scikit-learn, because gaussmix would never call it."""
    for cls in type(estimator).__mro__:
        if cls.__module__.partition(".")[0] == "gaussmix":
            return
        from gaussmix._src.other_names import check_hooks_of

        check_hooks_of(cls)


@contextmanager
def start_fit(
    estimator: Any, X: Any, y: object, sample_weight: Any, labels: Any, X_error: Any
) -> Iterator[tuple[Any, FitOptions]]:
    """Yield X without the column of labels, and the fit options in use; the caller fits inside the `with` block.

    If the block raises an exception, the previous state of the estimator is restored.
    """
    with unchanged_on_failure(estimator), ExitStack() as stack:
        vars(estimator).pop("_stream", None)  # discards the stream of earlier calls of `partial_fit`
        arguments = {"X": X, "y": y, "sample_weight": sample_weight, "labels": labels, "X_error": X_error}
        if isinstance(labels, str):
            X, arguments["labels"] = validation.labels.without_labels(estimator, X, labels)
        elif labels is None and y is not None:
            validation.labels.warn_of_ignored(y)
        options = find_options(estimator, arguments)
        for option in options:
            stack.enter_context(option)
        yield X, options


def fit_rows(estimator: Any, X: Any, sample_weight: Any, options: FitOptions) -> Source:
    """Check the training data and return a source of its rows; raises ValueError or TypeError."""
    source = check_source(estimator, X, sample_weight, reset=True, may_miss=estimator._may_miss)
    for option in options:
        source = option.adapt_source(source)
    return source


def apply_options(
    options: FitOptions, problem: Problem, plan: Plan, candidates: Sequence[tuple[Family, int]]
) -> tuple[Problem, Plan]:
    """Adapt the problem and the plan of a fit to options such as noise or a prior; return the problem and the plan."""
    for option in options:
        problem = option.adapt_problem(problem, candidates)
    for option in options:
        plan = option.adapt_plan(plan, problem)
    return problem, plan


def make_fitted(best: BestRun, plan: Plan, row_summary: RowSummary, names: Sequence[str] | None) -> FitResult:
    """Return the result of a fit from its best run, and issue warnings about this run."""
    run, problem = best.final_state, best.problem
    scale, has_converged = problem.objective.objective_scale, run.stop_reason is StopReason.CONVERGED
    notes = _warn_and_diagnose(best, plan, names)
    certificate = find_certificate(problem, run, best.run_traces, is_requested=plan.check_maximum)
    outcome = Outcome._from_run(best, plan.stopping, plan.skip_reasons.get(plan.candidate), certificate)
    if plan.stopping.seeks_maximum and has_converged and certificate.is_maximum is False:
        warn(outcome.reason, ConvergenceWarning)
    return FitResult(
        run.model,
        None if names is None else tuple(map(str, names)),
        problem.data.raw_source.dtype,
        converged=has_converged,
        n_iter=run.trace.n_steps,
        lower_bound=scale * run.trace.last_objective,
        lower_bounds=[scale * each for each in run.trace.objective],
        outcome=replace(outcome, diagnostics=notes),
        row_summary=row_summary,
        array_like=problem.data.raw_source.array_like,
    )


def _warn_and_diagnose(best: BestRun, plan: Plan, names: Sequence[str] | None) -> list[Diagnosis]:
    """Return the diagnostics of the best run, and issue warnings about this run."""
    run, problem, skip_reason = best.final_state, best.problem, plan.skip_reasons.get(plan.candidate)
    rows, trace, objective = problem.data.raw_source, run.trace, problem.objective
    n_distinct, distinct_note = count_distinct(rows, problem.n_components), None
    if n_distinct < problem.n_components:
        distinct_note = report.messages.distinct_rows_sentence(n_distinct, problem.n_components)
    has_ridge = run.model.covariances.ridge_fractions(objective.ridge).max() > MIN_RIDGE_FRACTION
    constant = list[int]()
    if has_ridge or problem.terms is not None:
        constant = after.diagnostics.find_ridge_columns(run.model, objective.variance_floor, rows)
    is_rounded = bool((run.model.covariances.rounding_error > MIN_ROUNDING).any())
    is_unusual = is_rounded or bool(trace.frozen_components or trace.events or constant or distinct_note)
    if is_unusual or skip_reason is not None or run.stop_reason is not StopReason.CONVERGED:
        report.messages.warn_about_run(run, problem.data, names, skip_reason, objective.objective_name)
    if distinct_note and plan.candidate is None and (problem.ridge or len(constant) < rows.n_features):
        warn(distinct_note, report.messages.CollapseWarning)  # not in a model selection, where collapses are common
    if constant and not problem.ridge:  # No warning is needed if the user has set `reg_covar`.
        warn(report.messages.constant_sentence(run.model, constant, names))
    on_ridge = []
    if not (distinct_note or best.is_ridge_dropped) and (has_ridge or problem.ridge == 0):
        is_chosen = plan.candidate is not None
        on_ridge = report.messages.warn_of_ridge(problem, run.model, constant, names, is_chosen=is_chosen)
    return [*(after.diagnostics.diagnose_run(run, constant, names, distinct_note) if is_unusual else ()), *on_ridge]


def count_distinct(source: Source, max_rows: int) -> int:
    """Count the distinct rows of positive weight; stop at `max_rows`."""
    block = source.whole
    if block is not None and block.n_rows <= LEAF_ROWS:
        return len(find_distinct(block, max_rows))
    if source.is_remote and max_rows <= DistinctDigests.MAX_DIGESTS:
        return min(max_rows, len(source.collect(DistinctDigests).digests))
    distinct: set[bytes] = set()
    for rows in source.map_rows(partial(find_distinct, max_rows=max_rows)):
        distinct |= rows
        if len(distinct) >= max_rows:
            break
    return min(max_rows, len(distinct))
