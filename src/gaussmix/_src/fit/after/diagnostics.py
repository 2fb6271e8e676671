"""What was unusual about a fit, as records: `outcome_.diagnostics`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from gaussmix._src.em.objective.trace import State
from gaussmix._src.errors import DegenerateError, SingularCovariance, counted, listed
from gaussmix._src.families.base import Family
from gaussmix._src.fit.fitted import Diagnosis
from gaussmix._src.interfaces.need import Second
from gaussmix._src.interfaces.spread import Spread
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.factorise import ROUNDED
from gaussmix._src.numerics.threads import one_blas_thread
from gaussmix._src.sources.base import Source
from gaussmix._src.sources.findings import Cells

_REST = 1e-10  # of its variance, left when others are known: less is rounding, for sums of squares lose half the digits
_COUNTS = 1e-4  # of a standardised coefficient: a column with less is none of those that determine another
_MOST = 3  # columns that a sentence explains


def constant_columns(source: Source) -> list[int]:
    """Columns with the same value in every row of positive weight."""
    low, high = source.of_all(Cells).ends
    return np.flatnonzero(low == high).tolist()


def dependent_columns(source: Source) -> dict[int, list[int]]:
    """Columns that are linear functions of columns before them, and which these are; none where cells are missing."""
    if source.is_incomplete:
        return {}
    return _dependent(source.of_all(Spread).covariance)


@one_blas_thread()
def _dependent(scatter: Array) -> dict[int, list[int]]:
    """`dependent_columns` from a covariance matrix, by a Cholesky factor of the columns that follow from no others."""
    deviations = np.sqrt(np.diagonal(scatter))
    d, kept, found = len(scatter), list[int](), dict[int, list[int]]()
    inverse = np.zeros((d, d))  # of the factor of the columns that are kept
    for column in np.flatnonzero(deviations > 0).tolist():
        n = len(kept)
        correlations = scatter[kept, column] / (deviations[kept] * deviations[column])
        projected = inverse[:n, :n] @ correlations
        rest = 1 - projected @ projected
        weights = inverse[:n, :n].T @ projected
        if rest <= _REST:
            found[column] = [place for place, weight in zip(kept, weights, strict=True) if abs(weight) > _COUNTS]
            continue
        inverse[n, :n], inverse[n, n] = -weights / np.sqrt(rest), 1 / np.sqrt(rest)
        kept.append(column)
    return found


@dataclass(frozen=True)
class Faults:
    """The columns that keep covariances from being positive definite.

    Parameters
    ----------
    constant : columns with one value.
    dependent : columns that follow from others, and these.
    few_rows : the number of rows, if there are no more rows than columns, so that columns follow from others.
    """

    constant: list[int] = field(default_factory=list)
    dependent: dict[int, list[int]] = field(default_factory=dict)
    few_rows: int | None = None

    @classmethod
    def of(cls, source: Source, failed: Collection[Family]) -> Faults:
        """The faults of the rows of a source, for structures whose fits failed."""
        if not failed:
            return cls()
        constant, n_rows = constant_columns(source), source.profile.n_positive
        if all(family.kind.second <= Second.DIAGONAL for family in failed):
            return cls(constant)
        if n_rows <= source.n_features:
            return cls(constant, few_rows=n_rows)
        return cls(constant, dependent_columns(source))

    def sentence(self, names: Sequence[str] | None) -> str:
        """Name them, and say what to do; "" if there are none."""
        said = [f"{name_columns(self.constant, names)} constant."] if self.constant else []
        for column, others in list(self.dependent.items())[:_MOST]:
            alone = str(column) if names is None else repr(str(names[column]))
            said.append(f"Column {alone} follows from {_several(others, names)}.")
        if len(self.dependent) > _MOST:
            said.append(f"{len(self.dependent) - _MOST} more follow from others.")
        if said:
            them = "it" if len(self.constant) + len(self.dependent) == 1 else "them"
            said.append(f"Leave {them} out, or raise reg_covar.")
        if self.few_rows is not None:
            said.append(
                f"{counted(self.few_rows, 'row')} are too few for covariances between all features: raise "
                "reg_covar, set a prior, or choose covariance_type='diag'."
            )
        return " ".join(said)

    def of_columns(self, names: Sequence[str] | None) -> list[Diagnosis]:
        """The columns that made candidates of a search fail."""
        said = dict.fromkeys(self.constant, "is constant")
        said |= {column: f"follows from {_several(others, names)}" for column, others in self.dependent.items()}
        causes = ((place, f"the column {what}, so that candidates failed") for place, what in sorted(said.items()))
        return [Diagnosis(None, name_of(place, names), None, cause) for place, cause in causes]


def name_columns(columns: Sequence[int], names: Sequence[str] | None) -> str:
    """Say "Column 2 (counted from 0) of X is" or "Columns 'a', 'b' of X are"."""
    several = len(columns) > 1
    return f"Column{'s' * several} {_which(columns, names)} of X {'are' if several else 'is'}"


def _several(columns: Sequence[int], names: Sequence[str] | None) -> str:
    return f"column{'s' * (len(columns) > 1)} {_which(columns, names)}"


def _which(columns: Sequence[int], names: Sequence[str] | None) -> str:
    if names is not None:
        return listed([str(names[column]) for column in columns])
    rest = f" and {len(columns) - 10} more" if len(columns) > 10 else ""
    return f"{', '.join(map(str, columns[:10]))}{rest} (counted from 0)"


_DONE = {
    "freeze": "and was frozen",
    "drop": "and was dropped",
    "repair": "and was put back as one half of the heaviest component",
}


def diagnosed(run: State, constant: Sequence[int], names: Sequence[str] | None, few: str | None) -> list[Diagnosis]:
    """What was unusual about a run of EM.

    Parameters
    ----------
    run : its end.
    constant : constant columns, whose variance is the ridge alone.
    names : of the features; None if they have none.
    few : what `few_rows_sentence` says of the rows.
    """
    found = of_components(run, names)
    for column in constant:
        cause = "the column is constant, so that all of its variance is reg_covar"
        found.append(Diagnosis(None, name_of(column, names), None, cause))
    if few is not None:
        found.append(Diagnosis(None, None, None, few.partition(", so that")[0]))
    return found


def of_components(run: State, names: Sequence[str] | None) -> list[Diagnosis]:
    """Stuck and nearly singular components."""
    found = [
        Diagnosis(
            event.component, name_of(event.feature, names), event.step, f"{event.why.value}, {_DONE[event.remedy]}"
        )
        for event in run.trace.events
    ]
    noted = {event.component for event in run.trace.events}
    found += [
        Diagnosis(k, None, None, f"{why.value}, and is frozen")
        for k, why in sorted(run.trace.frozen.items())
        if k not in noted
    ]
    error = run.model.covariances.rounding
    for k in (error > ROUNDED).nonzero()[0].tolist():
        cause = f"nearly singular covariance, so that rounding changes log densities by about {error[k]:.1g} nats"
        found.append(Diagnosis(k, name_of(_most_determined(run.model, k), names), None, cause))
    return found


def _most_determined(model: Model, component: int) -> int:
    """The feature that the other features determine most closely in a component."""
    covariances = model.covariances
    inflation = covariances.variances() * covariances.whitening.precision_diagonals()
    return int(inflation[component].argmax())


def name_of(feature: int | None, names: Sequence[str] | None) -> str | int | None:
    """A feature by its name, if it has one."""
    return feature if feature is None or names is None else str(names[feature])


def explained(
    error: SingularCovariance, source: Source, family: Family, names: Sequence[str] | None
) -> SingularCovariance:
    """The same error with the columns that make covariances singular, if there are some, unless it says more."""
    if isinstance(error, DegenerateError):
        return error
    sentence = Faults.of(source, [family]).sentence(names)
    return SingularCovariance(error.components, f"{error.sentence} {sentence}") if sentence else error


def named(error: DegenerateError, source: Source, names: Sequence[str] | None) -> DegenerateError:
    """The same error with the name of the feature, or of a constant column if there is one."""
    feature = error.feature if isinstance(error.feature, int) else None
    constant = [] if feature is None else constant_columns(source)
    return DegenerateError(
        error.component, name_of(constant[0] if constant else feature, names), error.step, error.cause
    )
