"""Find unusual events in a fit, and return them as records: `outcome_.diagnostics`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from gaussmix._src.em.objective.trace import EMState
from gaussmix._src.errors import DegenerateError, SingularCovarianceError, counted, listed
from gaussmix._src.families.base import Family
from gaussmix._src.fit import ridge
from gaussmix._src.fit.after.distant_rows import DOMINANT_DISTANCE, ISOLATED_DISTANCE, split_distant_rows
from gaussmix._src.fit.fitted import RESTS_ON_RIDGE, Diagnosis
from gaussmix._src.fit.plan import MIN_RIDGE_FRACTION
from gaussmix._src.fit.problem import Problem
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.leaves import Sums
from gaussmix._src.interfaces.moment_spec import Second
from gaussmix._src.interfaces.spread import Spread
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.factorise import MIN_ROUNDING
from gaussmix._src.numerics.threads import one_blas_thread
from gaussmix._src.sources.base import Source
from gaussmix._src.sources.row_statistics import Cells

_MIN_RESIDUAL_VARIANCE = 1e-10  # maximum unexplained fraction of the variance of a linearly dependent column
_MIN_COEFFICIENT = 1e-4  # maximum standardised coefficient of a column that is not reported as a cause of a dependence
_CONSTANT_FACTOR = 2.0  # a column is constant in a component if its variance is at most this factor times the ridge
_MIN_ROWS_OF_TWO = 10  # with fewer rows than this, a measured column may have only two values by chance
_MIN_ZEROS = 0.2  # columns with this fraction of zeros are reported if components collapse
_MIN_PART = 0.01  # messages omit columns whose entry in a direction is below this fraction of the largest entry
_MAX_EXPLAINED_COLUMNS = 3  # maximum number of dependent columns that a message explains
Names = Sequence[str] | None  # names of the features; None if features have no names


def find_constant_columns(source: Source) -> list[int]:
    """Return the columns that have the same value in every row of positive weight."""
    low, high = source.collect(Cells).ends
    return np.flatnonzero(low == high).tolist()


def find_two_valued_columns(source: Source) -> list[int]:
    """Return columns with only two distinct values in rows of positive weight; [] if there are fewer than 10 rows."""
    low, high = source.collect(Cells).ends
    if source.row_totals.n_positive < _MIN_ROWS_OF_TWO:
        return []
    n_others = source.sum_of(partial(_count_others, low=low, high=high))
    return np.flatnonzero((n_others == 0) & (low < high)).tolist()


def find_zero_heavy_columns(source: Source, excluded: Collection[int]) -> list[int]:
    """Return the columns, except `excluded`, in which a component may contain only zeros, because 0 is frequent."""
    n_zeros, n_values = source.sum_of(_count_zeros)
    return [column for column in np.flatnonzero(n_zeros >= _MIN_ZEROS * n_values).tolist() if column not in excluded]


def _count_zeros(leaf: Block) -> Array:
    """Count the zeros and the observed values in each column of the rows of positive weight, (2, n_features)."""
    rows = leaf.rows if leaf.row_weight is None else leaf.rows[leaf.row_weight > 0]
    return np.array([(rows == 0).sum(axis=0), (~np.isnan(rows)).sum(axis=0)], dtype=np.float64)


def _count_others(leaf: Block, low: Array, high: Array) -> Array:
    """Count the values other than `low` and `high` in each column of the rows of positive weight, (n_features,)."""
    rows = leaf.rows if leaf.row_weight is None else leaf.rows[leaf.row_weight > 0]
    return ((rows != low) & (rows != high) & ~np.isnan(rows)).sum(axis=0, dtype=np.float64)


def _complete_rows(leaf: Block) -> Sums:
    """Return the number and the spread of the rows of positive weight without missing values in a leaf."""
    leaf = leaf.on_host()
    are_complete = ~np.isnan(leaf.rows).any(axis=1)
    indices = np.flatnonzero(are_complete if leaf.row_weight is None else are_complete & (leaf.row_weight > 0))
    return Sums((len(indices), Spread.from_block(leaf.take(indices, leaf.first_row))))


def two_valued_sentence(columns: Sequence[int], names: Names) -> str:
    """Return a message that lists the columns with only two values and gives advice about these columns."""
    return (
        f"Only two values occur in {columns_text(columns, names)}: labels, not measurements. A component whose rows "
        "have the same value has no variance in such a column. Leave such columns out and compare them with the "
        "components, or fit the rows of each value alone (fit_many)."
    )


def find_ridge_columns(mixture: Model, ridge: Array, source: Source) -> list[int]:
    """Return the columns that are constant in a source and have only `ridge` (n_features,) as variance in a component.

    If a fraction f of a constant column is observed, its variance approaches ridge / f: in each step, missing values
    keep their variance, and the ridge is added. In a component with fewer observed values, the variance is higher.
    """
    limit = 2 * ridge
    if source.may_miss:
        limit *= source.row_totals.n_positive / source.collect(Cells).n_seen
    is_ridge = mixture.covariances.variances().min(axis=0) <= limit  # False for all columns without a ridge
    if not is_ridge.any():  # returns before a pass over the rows
        return []
    return [column for column in find_constant_columns(source) if is_ridge[column]]


@one_blas_thread()
def _find_dependent_columns(covariance: Array) -> dict[int, list[int]]:
    """Map each column that depends linearly on earlier columns to these columns, given the covariance of all columns.

    The earlier columns are found by a Cholesky factor of the covariance of the independent columns.
    """
    deviations = np.sqrt(np.diagonal(covariance))
    d, basis, result = len(covariance), list[int](), dict[int, list[int]]()
    inverse = np.zeros((d, d))  # inverse of the Cholesky factor of the independent columns
    for column in np.flatnonzero(deviations > 0).tolist():
        n, correlations = len(basis), covariance[basis, column] / (deviations[basis] * deviations[column])
        projected = inverse[:n, :n] @ correlations
        rest, weights = 1 - projected @ projected, inverse[:n, :n].T @ projected
        if rest <= _MIN_RESIDUAL_VARIANCE:
            result[column] = [index for index, each in zip(basis, weights, strict=True) if abs(each) > _MIN_COEFFICIENT]
            continue
        inverse[n, :n], inverse[n, n] = -weights / np.sqrt(rest), 1 / np.sqrt(rest)
        basis.append(column)
    return result


@dataclass(frozen=True)
class SingularColumns:
    """Columns that make covariance matrices singular, grouped by the cause.

    Parameters
    ----------
    constant : columns with a single value.
    dependent : map from each column that is a linear function of earlier columns, in all rows without missing values,
        to the list of these earlier columns.
    two_valued : columns with only two distinct values.
    zero_heavy : other columns in which at least a fifth of the values are 0.
    distant_rows : rows without which fewer columns would be linearly dependent; `dependent` leaves these rows out.
    isolated_rows : rows that are far from all other rows; empty if there are other causes.
    n_rows : number of rows, if it is too small for linearly independent columns; otherwise None.
    misses_values : whether values are missing, so that `dependent` describes only the other rows.
    """

    constant: list[int] = field(default_factory=list)
    dependent: dict[int, list[int]] = field(default_factory=dict)
    two_valued: list[int] = field(default_factory=list)
    zero_heavy: list[int] = field(default_factory=list)
    distant_rows: list[int] = field(default_factory=list)
    isolated_rows: list[int] = field(default_factory=list)
    n_rows: int | None = None
    misses_values: bool = False

    @classmethod
    def find(cls, source: Source, failed_families: Collection[Family]) -> SingularColumns:
        """Find the columns of a source that make covariances singular in the structures `failed_families`."""
        if not failed_families:
            return cls()
        constant, n_rows = find_constant_columns(source), source.row_totals.n_positive
        second = max(family.kind.second for family in failed_families)
        two_valued = find_two_valued_columns(source) if second > Second.TRACE else []
        zero_heavy = find_zero_heavy_columns(source, {*constant, *two_valued}) if second > Second.TRACE else []
        result = cls(constant, two_valued=two_valued, zero_heavy=zero_heavy)
        if second > Second.DIAGONAL and n_rows <= source.n_features:
            return cls(constant, n_rows=n_rows)
        if second > Second.DIAGONAL:
            n_complete, spread = source.sum_of(_complete_rows)
            if n_complete > source.n_features:
                dependent = _find_dependent_columns(spread.covariance)
                result = replace(result, dependent=dependent, misses_values=n_complete < n_rows)
        if result.dependent and not source.is_incomplete:
            rows, covariance = split_distant_rows(source, DOMINANT_DISTANCE)
            other_columns = _find_dependent_columns(covariance)
            if other_columns.keys() < result.dependent.keys():
                result = replace(result, dependent=other_columns, distant_rows=rows)
        elif not (result.dependent or constant or two_valued or zero_heavy or source.is_incomplete):
            result = replace(result, isolated_rows=split_distant_rows(source, ISOLATED_DISTANCE)[0])
        return result

    def describe(self, names: Names) -> str:
        """Return a message that lists the singular columns and gives advice; "" if there are no singular columns."""
        sentences = [f"{name_columns(self.constant, names)} constant."] if self.constant else []
        where = " in the rows without missing values" if self.misses_values else ""
        for column, others in list(self.dependent.items())[:_MAX_EXPLAINED_COLUMNS]:
            alone = str(column) if names is None else repr(str(names[column]))
            sentences.append(f"Column {alone} follows from {columns_text(others, names)}{where}.")
        if len(self.dependent) > _MAX_EXPLAINED_COLUMNS:
            sentences.append(f"{len(self.dependent) - _MAX_EXPLAINED_COLUMNS} more follow from other columns.")
        if sentences:
            # A single dependent column may be the target of a regression, which can't be left out.
            if len(sentences) > 1 or len(self.constant) > 1:
                leave = "Leave them out"
            else:
                leave = "Leave out one of these columns" if self.dependent else "Leave it out"
            sentences.append(f"{leave}, or raise reg_covar, on which the likelihood and BIC then depend.")
        if self.distant_rows:
            rows, them = _rows_are(self.distant_rows), "the row" if len(self.distant_rows) == 1 else "these rows"
            sentences.append(
                f"{rows.capitalize()} so far from all other rows that the other rows hardly affect covariances. Remove "
                f"{them}, or fit a GaussianMixture with trim."
            )
        if self.isolated_rows:
            rows, them = _rows_are(self.isolated_rows), "it" if len(self.isolated_rows) == 1 else "them"
            sentences.append(
                f"{rows.capitalize()} far from all other rows, so that a component may contain no other row. Leave "
                f"{them} out, or fit a GaussianMixture with trim or noise."
            )
        if self.two_valued:
            sentences.append(two_valued_sentence(self.two_valued, names))
        if self.zero_heavy:
            sentences.append(
                f"Many values are 0 in {columns_text(self.zero_heavy, names)}. A component whose rows all have 0 there "
                "has no variance. Leave such columns out, lower n_components, or fit these rows alone."
            )
        if self.n_rows is not None:
            sentences.append(
                f"{counted(self.n_rows, 'row')} can't determine covariances between all features: raise "
                "reg_covar, choose covariance_type='diag', or set the scale of a GaussianMixture's prior. "
                "If each row of X is a feature, transpose X."
            )
        return " ".join(sentences)

    def diagnose(self, names: Names) -> list[Diagnosis]:
        """Return a record for each column, and one for all rows, that made candidates in a model selection fail."""
        sentences = dict.fromkeys(self.constant, "is constant")
        sentences |= dict.fromkeys(self.two_valued, "has only two values")
        sentences |= dict.fromkeys(self.zero_heavy, "has many zeros")
        sentences |= {index: f"follows from {columns_text(others, names)}" for index, others in self.dependent.items()}
        causes = ((index, f"the column {what}, so that candidates failed") for index, what in sorted(sentences.items()))
        result = [Diagnosis(None, feature_name(index, names), None, cause) for index, cause in causes]
        if rows := self.distant_rows or self.isolated_rows:
            cause = f"{_rows_are(rows)} far from all other rows, so that candidates failed"
            result.append(Diagnosis(None, None, None, cause))
        return result


def _rows_are(rows: Sequence[int]) -> str:
    return f"row{'s' * (len(rows) > 1)} {listed(rows, 3)} (counted from 0) {'are' if len(rows) > 1 else 'is'}"


def name_columns(columns: Sequence[int], names: Names) -> str:
    """Return the start of a sentence, like "Column 2 (counted from 0) of X is" or "Columns 'a', 'b' are"."""
    several, of_x = len(columns) > 1, " of X" if names is None else ""  # a name may be the name of a target
    return f"Column{'s' * several} {_list_columns(columns, names)}{of_x} {'are' if several else 'is'}"


def columns_text(columns: Sequence[int], names: Names) -> str:
    """Return columns for messages, like "column 2 (counted from 0)" or "columns 'a', 'b'"."""
    return f"column{'s' * (len(columns) > 1)} {_list_columns(columns, names)}"


def _list_columns(columns: Sequence[int], names: Names) -> str:
    if names is not None:
        return listed([str(names[column]) for column in columns])
    return f"{listed(columns)} (counted from 0)"


_REMEDY_PHRASES = {
    "freeze": "and was frozen",
    "drop": "and was dropped",
    "repair": "and was replaced by one half of the heaviest component",
}


def diagnose_run(final_state: EMState, constant: Sequence[int], names: Names, rows_note: str | None) -> list[Diagnosis]:
    """Return records of unusual events in an EM run.

    Parameters
    ----------
    final_state : final state of the EM run.
    constant : indices of constant columns, in which the ridge is all of the variance.
    names : names of the features; None if features have no names.
    rows_note : the result of `distinct_rows_sentence` if there are few distinct rows; otherwise None.
    """
    result = diagnose_components(final_state, names)
    for column in constant:
        cause = "the column is constant, so that all of its variance is reg_covar"
        result.append(Diagnosis(None, feature_name(column, names), None, cause))
    if rows_note is not None:
        result.append(Diagnosis(None, None, None, rows_note.partition(", so that")[0]))
    return result


def diagnose_components(final_state: EMState, names: Names) -> list[Diagnosis]:
    """Return records of components that collapsed, became empty or are nearly singular."""
    result = list[Diagnosis]()
    for event in final_state.trace.events:
        cause = f"{event.reason.value}, {_REMEDY_PHRASES[event.remedy]}"
        result.append(Diagnosis(event.component, feature_name(event.feature, names), event.step, cause))
    noted = {event.component for event in final_state.trace.events}
    others = sorted((k, why) for k, why in final_state.trace.frozen_components.items() if k not in noted)
    result += [Diagnosis(k, None, None, f"{why.value}, and is frozen") for k, why in others]
    covariances = final_state.model.covariances
    error, inflation = covariances.rounding_error, covariances.variances() * covariances.whitening.precision_diagonals()
    for k in (error > MIN_ROUNDING).nonzero()[0].tolist():
        cause = f"nearly singular covariance, so that rounding changes log densities by about {error[k]:.1g} nats"
        closest = int(inflation[k].argmax())  # the feature that other features determine most closely
        result.append(Diagnosis(k, feature_name(closest, names), None, cause))
    return result


def diagnose_ridge(
    problem: Problem, model: Model, constant: Sequence[int], names: Sequence[str] | None
) -> list[Diagnosis]:
    """Return records of components that collapse or would collapse without the ridge; [] for models with a prior.

    A component counts as collapsing if the ridge makes up nearly all of its variance in some direction, or if it has
    too few distinct rows for a covariance matrix. If all components share one covariance, their rows count together,
    and either all components collapse or none. `constant` lists the constant columns, which `diagnose_run` reports.
    """
    objective, result = problem.objective, list[Diagnosis]()
    has_ridge, n_rows = bool(objective.ridge.any()), problem.data.raw_source.n_rows
    if not has_ridge and model.weights.min() * n_rows > 2 * (model.n_features + 1):  # returns before a sample is drawn
        return []
    floor = objective.ridge.copy() if has_ridge else problem.data.default_ridge.copy()
    floor[list(constant)] = 0
    by_feature = model.covariances.ridge_fractions(floor)
    is_sound = (by_feature <= MIN_RIDGE_FRACTION).all()
    if is_sound or objective.variance_floor is not objective.ridge:
        return []
    counts = np.full(model.n_components, np.inf)
    if model.family.kind.second is Second.FULL and problem.data.sample.distinct_index is None:
        counts = np.floor(model.weights * n_rows)  # counts all rows, because the sample lacks some distinct rows
    elif model.family.kind.second is Second.FULL:
        counts = ridge.count_distinct_rows(problem, model)
    if model.covariances.is_shared:
        counts = np.full(model.n_components, counts.sum())
    largest, fractions, directions = by_feature.sum(axis=1), np.zeros(model.n_components), np.zeros_like(model.means)
    # The ridge's fraction of the variance in any direction is at most the sum of the ridge's fractions over the
    # features. Therefore, directions are computed only for components whose sum of these fractions is large.
    candidates = np.flatnonzero((counts <= model.n_features) & (largest > MIN_RIDGE_FRACTION) | (largest > 0.5))
    if not candidates.size:
        return []
    fractions[candidates], directions[candidates] = ridge.flattest_directions(model.take(candidates), floor)
    is_constant = model.covariances.variances() <= _CONSTANT_FACTOR * floor
    is_short = (counts <= model.n_features) & (fractions > MIN_RIDGE_FRACTION)
    is_on_ridge = has_ridge & (fractions > ridge.MAX_RIDGE_FRACTION)
    for k in np.flatnonzero(is_on_ridge | is_short).tolist():
        length, constant_columns = np.abs(directions[k]), np.flatnonzero(is_constant[k]).tolist()
        cause = _cause_of_collapse(counts[k], constant_columns, length, names)
        cause = f"{RESTS_ON_RIDGE}{cause}" if has_ridge else f"has {cause}"
        result.append(Diagnosis(k, feature_name(int(length.argmax()), names), None, cause))
    return result


def _cause_of_collapse(n_distinct: float, constant_columns: Sequence[int], length: Array, names: Names) -> str:
    """Describe why a component collapses: few distinct rows, columns that are constant in it, or a flat direction.

    `length` contains the absolute coordinates (n_features,) of the direction in which the component is flattest.
    """
    if n_distinct == 0:
        return "the highest responsibility for no row"
    if n_distinct <= len(length):
        return f"{counted(int(n_distinct), 'distinct row')} for {counted(len(length), 'column')}"
    if constant_columns:
        return f"one value, or nearly so, in {columns_text(constant_columns, names)}"
    together = np.flatnonzero(length > _MIN_PART * length.max()).tolist()
    relation = "are linearly dependent" if len(together) > 1 else "has almost no variance of its own"
    return f"rows in which {columns_text(together, names)} {relation}"


def feature_name(feature: int | None, names: Names) -> str | int | None:
    """Return the name of a feature, or its index if features have no names."""
    return feature if feature is None or names is None else str(names[feature])


def explain_singular(
    error: SingularCovarianceError, source: Source, family: Family, names: Names
) -> SingularCovarianceError:
    """Return the error with a message that names singular columns, if any. A DegenerateError is returned unchanged."""
    if isinstance(error, DegenerateError):
        return error
    sentence = SingularColumns.find(source, [family]).describe(names)
    return SingularCovarianceError(error.components, f"{error.message} {sentence}") if sentence else error


def add_feature_name(error: DegenerateError, source: Source, names: Names) -> DegenerateError:
    """Return the error with a name for its feature index: the name of the first constant column, or of the feature."""
    feature = error.feature if isinstance(error.feature, int) else None
    constant = [] if feature is None else find_constant_columns(source)
    name = feature_name(constant[0] if constant else feature, names)
    return DegenerateError(error.component, name, error.step, error.cause)
