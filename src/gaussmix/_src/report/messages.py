"""The warnings that a fit issues, and functions that write their texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from sklearn.exceptions import ConvergenceWarning

from gaussmix._src.em.objective.trace import EMState, FreezeReason, Trace
from gaussmix._src.errors import LIKELIHOOD, REASONS_IN_RESULTS, FailureKind, StopReason, counted, name_components, warn
from gaussmix._src.fit import after
from gaussmix._src.fit.fitted import SKIP_REASONS
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.factorise import MIN_ROUNDING

if TYPE_CHECKING:
    from gaussmix._src.fit.after.diagnostics import Names
    from gaussmix._src.fit.candidates import Result, ResultsTable
    from gaussmix._src.fit.fitted import Diagnosis
    from gaussmix._src.fit.problem import Problem, TrainingData

_FAILURE_ADVICE = {
    FreezeReason.EMPTY: "mean and covariance were frozen when no row was left. Lower n_components, or "
    "try another start (init_params, n_init).",
    FreezeReason.COLLAPSED: "mean and covariance were frozen before that. Raise reg_covar, lower n_components, or "
    "try another start (init_params, n_init).",
}

# The text is copied from scikit-learn, because programs filter warnings by this text.
_NOT_CONVERGED = (
    "Best performing initialization did not converge. Try different init parameters, or increase "
    "max_iter, tol, or check for degenerate data."
)

_PLURALS = {"rests": "rest", "has": "have"}
_MAX_CAUSES = 2  # maximum number of listed reasons why components depend on `reg_covar`
INCOMPLETE_REPEATS = "Too few repeats with K − 1, K and K + 1 components could be fitted to judge"


class CollapseWarning(ConvergenceWarning, RuntimeWarning):
    """Warning that components collapsed or lost their rows, or that there are more components than distinct rows.

    The class derives from ConvergenceWarning, so that warning filters written for scikit-learn apply to it.
    """


class SearchWarning(RuntimeWarning):
    """Warning about a model selection as a whole, in contrast to warnings about the chosen mixture."""


def warn_about_run(
    run: EMState, data: TrainingData, names: Names, left_out: StopReason | None = None, raised: str = LIKELIHOOD
) -> None:
    """Warn if the best EM run ended early or lost components, or if runs were skipped; `raised` is the objective."""
    if run.trace.frozen_components:
        families = [run.model.family] if run.trace.collapsed_components else []
        columns = after.diagnostics.SingularColumns.find(data.raw_source, families)
        dependent = columns.describe(names) if columns.dependent else ""
        warn(frozen_sentence(run.trace, names, dependent, has_labels=data.labels is not None), CollapseWarning)
    warn(rounding_sentence(run.model.covariances.rounding_error))
    if run.stop_reason is StopReason.TIME_LIMIT:
        warn(run.stop_reason.sentence(raised), ConvergenceWarning)
    elif run.stop_reason not in (StopReason.CONVERGED, StopReason.STOPPED) and run.trace.n_steps > 0:
        warn(_NOT_CONVERGED, ConvergenceWarning)
    if left_out is StopReason.TIME_LIMIT:
        warn(SKIP_REASONS[left_out], ConvergenceWarning)


def frozen_sentence(trace: Trace, names: Names, dependent: str = "", *, has_labels: bool = False) -> str | None:
    """Return a warning that lists frozen components with reasons and remedies; None if no component is frozen.

    `dependent` is a message about linearly dependent columns, which cause a collapse whatever the number of rows. If
    `has_labels`, labels may be the reason, whereas another start changes little.
    """
    sentences = []
    for reason, advice in _FAILURE_ADVICE.items():
        components = sorted(k for k, why in trace.frozen_components.items() if why is reason)
        if components:
            happened = reason.value
            if has_labels:
                advice = advice.replace("try another start (init_params, n_init)", "change labels")
            if dependent and reason is FreezeReason.COLLAPSED:
                happened, advice = "collapsed", f"mean and covariance were frozen before that. {dependent}"
            ends = (event for event in trace.events if event.component in components and event.remedy == "freeze")
            columns = sorted({event.feature for event in ends if event.feature is not None})
            if columns:
                happened += f" in {after.diagnostics.columns_text(columns, names)}"
            sentences.append(f"{name_components(components)} {happened}: {advice}")
    return " ".join(sentences) or None


def distinct_rows_sentence(n_distinct: int, n_components: int) -> str:
    """Return a warning that there are fewer distinct rows of positive weight than components."""
    return (
        f"X has {counted(n_distinct, 'distinct row')}, fewer than n_components={n_components}, so that several "
        "components describe the same row, and only reg_covar gives them a variance. Lower n_components."
    )


def ridge_causes(on_ridge: Sequence[Diagnosis], names: Sequence[str] | None = None) -> str:
    """Return sentences on components whose variance is only `reg_covar`, with causes; "" if there are none."""
    components = dict[str, list[int]]()
    for each in on_ridge:
        components.setdefault(each.cause, []).append(-1 if each.component is None else each.component)
    sentences = []
    for cause, several in list(components.items())[:_MAX_CAUSES]:
        named = name_components(several, names)
        verb, rest = cause.split(" ", 1)
        plural = cause if len(several) == 1 else f"{_PLURALS[verb]} {rest.replace('it has', 'they have')}"
        sentences.append(f"{named[0].upper()}{named[1:]} {plural}.")
    n_left = sum(map(len, list(components.values())[_MAX_CAUSES:]))
    if n_left:
        sentences.append(f"{n_left:,} more: see outcome_.diagnostics.")
    return " ".join(sentences)


def warn_of_ridge(
    problem: Problem,
    model: Model,
    constant: Sequence[int],
    names: Names,
    component_names: Names = None,
    *,
    is_chosen: bool = False,
) -> list[Diagnosis]:
    """Return diagnoses of components that collapse or have only `reg_covar` as variance, and warn about them.

    There is no warning if the user chose `reg_covar`, unless a criterion has chosen the mixture, because criteria are
    unreliable for such components.
    """
    result = after.diagnostics.diagnose_ridge(problem, model, constant, names)
    if result and (problem.ridge is None or is_chosen):
        columns = after.diagnostics.SingularColumns.find(problem.data.raw_source, [model.family])
        # `result` names the columns in which a component has only zeros, and another warning names constant columns.
        columns = replace(columns, zero_heavy=[], constant=columns.constant if problem.ridge else [])
        about = "The likelihood and criteria such as BIC are unreliable for such components."
        is_classifier, is_shared = component_names is not None, model.covariances.is_shared
        advice = columns.describe(names) or _ridge_advice(is_classifier=is_classifier, is_shared=is_shared)
        warn(f"{ridge_causes(result, component_names)} {about} {advice}", CollapseWarning)
    return result


def _ridge_advice(*, is_classifier: bool, is_shared: bool) -> str:
    """Return what to do about covariances that rest on the ridge although no column is singular."""
    if not is_classifier:
        return (
            "Leave out outliers and columns of few values, lower n_components, choose a shared covariance_type such as "
            "'tied', or set the prior of a GaussianMixture."
        )
    if is_shared:
        return "Leave out columns of few values, or raise reg_covar."
    return "Choose a covariance_type that classes share, such as 'tied', or leave out columns of few values."


def constant_sentence(mixture: Model, constant: Sequence[int], names: Sequence[str] | None) -> str | None:
    """Return a warning that names constant columns, whose variance is only `reg_covar`; None if there are none."""
    if not constant:
        return None
    columns_are = after.diagnostics.name_columns(constant, names)
    return (
        f"{columns_are} constant, so that the variance there is only the automatic reg_covar (at least "
        f"{mixture.covariances.variances()[:, constant].min():.1g}), and a row with a different value has "
        "almost no density. Leave out constant columns, or set reg_covar to a number above 0."
    )


def not_started_sentence(results: Sequence[Result]) -> str | None:
    """Return a warning that counts candidates that were not started, with the reason; None if all were started."""
    failures = [result.failure for result in results if result.failure is not None and not result.was_started]
    if not failures:
        return None
    count = f"before {len(failures)} of {counted(len(results), 'candidate')} were started"
    if failures[0].kind is FailureKind.NO_TIME:
        return f"max_time was reached {count}; raise max_time or try fewer candidates."
    return f"A callback ended the model selection {count}."


def relevant_failures_sentence(results: Sequence[Result], chosen: Result, columns: str) -> str | None:
    """Return a warning about failed candidates if these failures may have changed the chosen candidate; otherwise None.

    Failures may have changed the choice in three cases: more than half of the candidates failed; a candidate failed
    that has at most as many components as the chosen candidate; or `columns` describes singular columns. In other cases
    no warning is needed, because candidates with many components often fail, and `results_` lists the reasons.
    """
    failed = [result for result in results if result.failure is not None]
    if not failed:
        return None
    fewest = min(result.candidate.n_components for result in failed)
    if not columns and 2 * len(failed) <= len(results) and fewest > chosen.candidate.n_components:
        return None
    from gaussmix._src.fit.candidates import describe_failures  # imported late; only model selection needs it

    reasons, advice = describe_failures(failed, columns)
    count = f"{len(failed)} of {counted(len(results), 'candidate')}"
    return f"{count} could not be fitted: {reasons} {advice}{REASONS_IN_RESULTS}"


def failed_sentence(results: ResultsTable) -> str | None:
    """Return a sentence with the number of candidates that failed, and the reasons; None if no candidate failed."""
    kinds = [None if each is None else FailureKind.from_text(each) for each in results.get("failure", [])]
    failed = Counter(kind.words for kind in kinds if kind is not None and kind.was_started)
    if not failed:
        return None
    reasons = ", ".join(f"{number} × {words}" for words, number in failed.most_common())
    n_tried = counted(sum(kind is None or kind.was_started for kind in kinds), "candidate")
    return f"{failed.total()} of {n_tried} could not be fitted: {reasons}."


def stability_sentence(results: ResultsTable, best: int) -> str | None:
    """Return a note on stability: peaks, candidates without a value, choice by BIC; None for other criteria."""
    if "stability" not in results:
        return None
    structures, counts = results["structure"], results["n_components"]
    candidates = zip(structures, counts, results["is_peak"], strict=True)
    peaks = [str(count) for structure, count, is_peak in candidates if is_peak and structure == structures[best]]
    low = min((bic, index) for index, bic in enumerate(results["bic"]) if bic == bic)[1]
    peak_sentence = f"Peaks of {structures[best]}: K = {', '.join(peaks)}. " if peaks else ""
    rated = zip(structures, counts, results["stability"], results["failure"], strict=True)
    missing = [f"{name} {count}" for name, count, value, why in rated if why is None and value != value and count > 1]
    missing_sentence = f" {INCOMPLETE_REPEATS} {', '.join(missing)}." if missing else ""
    chosen = f"Stability chose K = {counts[best]}. If groups are clear, this is often one too many. {peak_sentence}"
    return f"{chosen}BIC is lowest for {structures[low]}, K = {counts[low]}.{missing_sentence}"


def rounding_sentence(error: Array) -> str | None:
    """Return a warning if nearly singular covariances make log densities inaccurate; otherwise return None."""
    concerned = (error > MIN_ROUNDING).nonzero()[0]
    if not concerned.size:
        return None
    return (
        f"{name_components(concerned.tolist())}: nearly singular covariance, so that rounding changes log densities "
        f"by about {error.max():.1g} nats. Leave out columns that are determined by other columns, or rows far from "
        "all other rows, or raise n_components or reg_covar."
    )
