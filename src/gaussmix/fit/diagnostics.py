"""What was unusual about a fit, as records: `diagnostics_`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any

import numpy as np

from gaussmix.em.trace import State
from gaussmix.errors import DegenerateError
from gaussmix.fit.columns import Faults, constant_columns
from gaussmix.model import Model
from gaussmix.sources.base import Source

_DONE = {
    "freeze": "and was frozen",
    "drop": "and was dropped",
    "repair": "and was put back as one half of the heaviest component",
}


@dataclass(frozen=True)
class Diagnosis:
    """Something unusual about a fit.

    Parameters
    ----------
    component : the number that it had in that step; None where it is about all of them.
    feature : its name, or its number where features have no names; None where it is about all of them.
    step : of EM, counted from 1; None where it is about the end of the fit.
    cause : what happened.
    """

    component: int | None
    feature: str | int | None
    step: int | None
    cause: str


def diagnosed(run: State, constant: Sequence[int], names: Sequence[str] | None, few: str | None) -> list[Diagnosis]:
    """What was unusual about a run of EM.

    Parameters
    ----------
    run : its end.
    constant : columns that are, and have no variance but the ridge.
    names : of the features; None where they have none.
    few : what `few_rows_sentence` says of the rows.
    """
    found = of_components(run, names)
    for column in constant:
        cause = "the column is constant, so that all of its variance is reg_covar"
        found.append(Diagnosis(None, name_of(column, names), None, cause))
    if few is not None:
        found.append(Diagnosis(None, None, None, few.partition(", so that")[0]))
    return found


def of_columns(faults: Faults, names: Sequence[str] | None) -> list[Diagnosis]:
    """The columns that made candidates of a search fail."""
    causes = faults.causes(names)
    return [Diagnosis(None, name_of(column, names), None, cause) for column, cause in sorted(causes.items())]


def of_components(run: State, names: Sequence[str] | None) -> list[Diagnosis]:
    """The components that got stuck, and those that are nearly singular."""
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
    for k in np.flatnonzero(error > ROUNDED).tolist():
        cause = f"nearly singular covariance, so that rounding changes log densities by about {error[k]:.1g} nats"
        found.append(Diagnosis(k, name_of(_most_determined(run.model, k), names), None, cause))
    return found


def _most_determined(model: Model, component: int) -> int:
    """The feature of a component of whose variance the least is left when the other features are known."""
    covariances = model.covariances
    inflation = covariances.variances() * covariances.whitening.precision_diagonals()
    return int(inflation[component].argmax())


def name_of(feature: int | None, names: Sequence[str] | None) -> str | int | None:
    """A feature by its name where it has one."""
    return feature if feature is None or names is None else str(names[feature])


def named(error: DegenerateError, source: Source, names: Sequence[str] | None) -> DegenerateError:
    """The same error with the name of the feature, and with a constant column where there is one."""
    feature = error.feature if isinstance(error.feature, int) else None
    constant = [] if feature is None else constant_columns(source)
    return DegenerateError(
        error.component, name_of(constant[0] if constant else feature, names), error.step, error.cause
    )


def as_table(diagnostics: Sequence[Diagnosis]) -> dict[str, list[Any]]:
    """Diagnostics as a model file holds them."""
    columns = [field.name for field in fields(Diagnosis)]
    return {name: [getattr(each, name) for each in diagnostics] for name in columns}


def of_table(table: Any) -> list[Diagnosis]:
    """Diagnostics from a model file; raises TypeError or ValueError where the table is another."""
    kinds = ((int, type(None)), (str, int, type(None)), (int, type(None)), (str,))
    names = [field.name for field in fields(Diagnosis)]
    if not isinstance(table, dict) or sorted(table) != sorted(names):
        raise TypeError
    found = [Diagnosis(*row) for row in zip(*(table[name] for name in names), strict=True)]
    for each in found:
        if any(type(value) not in kind for value, kind in zip(astuple(each), kinds, strict=True)):
            raise TypeError
    return found


ROUNDED = 1e-6  # nats: the smallest rounding of a log density that is worth a warning
