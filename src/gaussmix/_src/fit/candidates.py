"""Store the candidates of a model selection and their results, assign folds, and select the best candidate."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.em.objective.trace import EMState, Trace
from gaussmix._src.em.step.accumulate import StepTask
from gaussmix._src.engines.base import Engine
from gaussmix._src.errors import Failure, FailureKind, NothingFitted, StopReason
from gaussmix._src.families.base import FAMILIES, Family
from gaussmix._src.fit.criteria import CRITERIA, CriterionInputs
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.moment_spec import MomentSpec, Second
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.hashing import mix
from gaussmix._src.sources.base import Source


class Candidate(NamedTuple):
    """A candidate of a model selection: a covariance structure and a number of components."""

    family: Family
    n_components: int


@dataclass(frozen=True, eq=False)
class Result:
    """The result of fitting one candidate of a model selection.

    Parameters
    ----------
    candidate : covariance structure and number of components.
    final_state : final state of the best EM run; None if no run ended with a finite likelihood.
    n_parameters : number of free parameters, set even if the fit failed.
    criterion_inputs : values from which the criteria are computed; None if the fit failed.
    failure : reason for the failure; None if the fit succeeded.
    seconds : duration of the fit in seconds.
    run_traces : trace of each EM run that ended with a finite likelihood.
    """

    candidate: Candidate
    final_state: EMState | None
    n_parameters: int
    criterion_inputs: CriterionInputs | None
    failure: Failure | None
    seconds: float
    run_traces: Sequence[Trace] = ()

    @property
    def was_started(self) -> bool:
        """Return whether the fit of the candidate was started, even if this fit failed."""
        return self.failure is None or self.failure.kind.was_started


CRITERION_ROUNDING = 1e-10  # criteria whose relative difference is at most this count as equal


def select_lowest(results: Sequence[Result], values: Array) -> int:
    """Return the index of the result with the lowest of `values` (n_results,); the simplest result wins ties.

    Raises
    ------
    ValueError : no value is finite. The message lists the reasons for failures and counts fits for each reason.
    """
    return select_within_error(results, -values, CRITERION_ROUNDING * np.abs(values))


def select_within_error(results: Sequence[Result], values: Array, errors: Array) -> int:
    """Return the index of the simplest result whose value is within one standard error of the best value.

    The rule of one standard error is due to Breiman and others (1984), CART, section 3.4.3. Raises ValueError if no
    value is finite.
    """
    usable = np.isfinite(values)
    if not usable.any():
        raise nothing_fitted_error(results)
    best = int(np.where(usable, values, -np.inf).argmax())
    return select_simplest(results, usable & (values >= values[best] - errors[best]))


def select_simplest(results: Sequence[Result], is_eligible: NDArray[np.bool_]) -> int:
    """Return the index of the eligible result with fewest parameters (ties: components, then order of `FAMILIES`)."""
    order = list(FAMILIES)

    def size(index: int) -> tuple[int, int, int]:
        result, name = results[index], results[index].candidate.family.name
        return result.n_parameters, result.candidate.n_components, order.index(name) if name in order else len(order)

    return min(np.flatnonzero(is_eligible).tolist(), key=size)


def nothing_fitted_error(results: Sequence[Result], columns: str = "") -> NothingFitted:
    """Return the error for a model selection in which all candidates failed; see `describe_failures`."""
    none = "The only candidate could not" if len(results) == 1 else f"None of {len(results)} candidates could"
    return NothingFitted(f"{none} be fitted: {' '.join(describe_failures(results, columns))}")


def describe_failures(failed: Sequence[Result], columns: str = "") -> tuple[str, str]:
    """Return a sentence with each reason for failures and its number of fits, and a sentence with advice.

    Parameters
    ----------
    failed : results of the candidates that failed (at least one).
    columns : a sentence about columns that make covariances singular, which replaces the usual advice; "" if there are
        no such columns.
    """
    failures = (result.failure for result in failed)
    kinds = Counter(FailureKind.NO_CRITERION if failure is None else failure.kind for failure in failures).most_common()
    reasons = ", ".join(f"{count} × {kind.words}" for kind, count in kinds)
    usual = [kind.advice for kind, _ in kinds if not (columns and kind.is_singular)]
    *others, last = dict.fromkeys(each for advice in usual for each in advice) or [""]
    advice = ", ".join([*others, f"or {last}" if others else last])
    sentence = f"{advice[0].upper()}{advice[1:]}." if advice else ""
    return f"{reasons}.", " ".join(filter(None, [columns, sentence]))


@dataclass(frozen=True)
class Folds:
    """Random folds that are computed from row indices, so that the fold of each row need not be stored.

    With n folds, each group of n consecutive rows has one row in each fold, so that the sizes of folds differ by at
    most one. A hash of row indices determines which row of a group is in which fold.

    Parameters
    ----------
    n_folds : number of folds.
    key : 63 random bits that are hashed together with each row index.
    """

    n_folds: int
    key: int

    def assign_folds(self, rows: slice) -> NDArray[np.intp]:
        """Return, for each row in a slice of all rows, the index of its fold."""
        first, end = rows.start // self.n_folds, -(-rows.stop // self.n_folds)
        numbers = np.arange(first * self.n_folds, end * self.n_folds, dtype=np.uint64)
        hashed = mix(mix(numbers) ^ np.uint64(self.key)).reshape(-1, self.n_folds)
        ranks: NDArray[np.intp] = hashed.argsort(axis=1, kind="stable").argsort(axis=1).ravel()
        return ranks[rows.start - first * self.n_folds :][: rows.stop - rows.start]

    def fold_size(self, fold: int, n_rows: int) -> int:
        """Return the number of rows in a fold if there are `n_rows` rows in total."""
        n_whole = n_rows // self.n_folds
        return n_whole + int(np.count_nonzero(self.assign_folds(slice(n_whole * self.n_folds, n_rows)) == fold))

    def is_in_fold(self, block: Block, fold: int, *, complement: bool = False) -> NDArray[np.bool_]:
        """Return whether each row of a block is in the fold, or outside of the fold if `complement` is True."""
        return np.equal(self.assign_folds(block.row_slice), fold) != complement


def fold_likelihoods(results: Sequence[Result], source: Source, engine: Engine[Any]) -> Array:
    """Compute each candidate's mean log-likelihood of held-out rows, in nats per unit of weight; NaN if it failed."""
    means = np.full(len(results), np.nan)
    for index, result in enumerate(results):
        if result.final_state is not None and result.failure is None:
            model = result.final_state.model
            task = StepTask(engine, model.n_components, model.parameters, MomentSpec(Second.NONE))
            moments = task.sum_moments(source)
            means[index] = moments.log_likelihood / moments.row_weight
    return means


def mean_and_error(fold_values: Array) -> tuple[Array, Array]:
    """Return means and standard errors over folds, (n_candidates,) each, of values (n_folds, n_candidates)."""
    n_folds, mean = len(fold_values), fold_values.mean(axis=0)
    return mean, np.sqrt(((fold_values - mean) ** 2).sum(axis=0) / (n_folds * (n_folds - 1)))


ResultsTable = dict[str, list[Any]]


def make_table(results: Sequence[Result]) -> ResultsTable:
    """Return a table with one row per candidate. If the fit of a candidate failed, all criteria in its row are NaN."""
    has_factors = any(hasattr(result.candidate.family, "n_factors") for result in results)
    names = _structure_names({result.candidate.family for result in results})
    rows = [_table_row(result, names, has_factors) for result in results]
    return {name: [row[name] for row in rows] for name in rows[0]}


def _structure_names(families: Collection[Family]) -> dict[Family, str]:
    """Return the name of each structure, or its repr if structures of one name differ in more than `n_factors`."""
    options = ((family.name, {**family.non_default_params, "n_factors": None}) for family in families)
    kinds = {(name, repr(sorted(each.items()))) for name, each in options}
    several = Counter(name for name, _ in kinds)
    return {family: family.name if several[family.name] == 1 else repr(family) for family in families}


def _table_row(result: Result, names: Mapping[Family, str], has_factors: bool) -> dict[str, Any]:
    family, inputs, run = result.candidate.family, result.criterion_inputs, result.final_state
    return {
        "structure": names[family],
        "n_components": result.candidate.n_components,
        **({"n_factors": getattr(family, "n_factors", None)} if has_factors else {}),
        "log_likelihood": math.nan if inputs is None else inputs.log_likelihood,
        "n_parameters": result.n_parameters,
        **{name: math.nan if inputs is None else value(inputs) for name, value in CRITERIA.items()},
        "converged": run is not None and run.stop_reason is StopReason.CONVERGED,
        "n_iter": 0 if run is None else run.trace.n_steps,
        "seconds": result.seconds,
        "failure": None if result.failure is None else str(result.failure),
    }
