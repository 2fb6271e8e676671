"""What a fit found: the one value that an estimator's attributes are read from, and that files hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from gaussmix.em.trace import State
from gaussmix.errors import FailureKind, Outcome
from gaussmix.fit.diagnostics import Diagnosis, as_table, of_table
from gaussmix.fit.ending import Ending
from gaussmix.fit.facts import RowFacts
from gaussmix.formats import Damaged
from gaussmix.formats.values import Reader, count, from_plain, list_of, of_type
from gaussmix.mixture.mixture import Mixture

_FLOAT64 = np.dtype(np.float64)
_NUMBERS = frozenset({"log_likelihood", "bic", "icl"})  # columns of `results_` that summaries show
_OF_SUMMARIES = _NUMBERS | {"structure", "n_components", "failure"}


@dataclass(frozen=True, eq=False)
class Fitted:
    """All that a fit knows. The attribute `name_` of an estimator is the field `name`; None where it is unknown.

    Parameters
    ----------
    mixture : in float64, with the names of the features.
    dtype : of the training data.
    n_fixed : parameters of the mixture that the fit did not change.
    converged, n_iter, lower_bound, lower_bounds, collapsed : how the best run went; see `GaussianMixture`.
    diagnostics, outcome, traces, cutoff : see `GaussianMixture`.
    facts : about the rows.
    results, best_index : of a search, see `GaussianMixtureIC`.
    """

    mixture: Mixture
    dtype: np.dtype[Any] = _FLOAT64
    n_fixed: int = 0
    converged: bool | None = None
    n_iter: int | None = None
    lower_bound: float | None = None
    lower_bounds: list[float] | None = None
    collapsed: list[int] | None = None
    diagnostics: list[Diagnosis] | None = None
    outcome: Ending | None = None
    traces: list[list[float]] | None = None
    facts: RowFacts | None = None
    cutoff: float | None = None
    results: dict[str, list[Any]] | None = None
    best_index: int | None = None

    @classmethod
    def of(
        cls,
        run: State,
        *,
        dtype: np.dtype[Any],
        diagnostics: list[Diagnosis],
        n_fixed: int = 0,
        ending: Ending | None = None,
        traces: list[list[float]] | None = None,
        facts: RowFacts | None = None,
        cutoff: float | None = None,
        names: Any = None,
    ) -> Self:
        """What the best run of EM found; `names` are of the features, and the other arguments are fields."""
        trace = run.trace
        return cls(
            Mixture.of(run.model).with_feature_names(names),
            dtype,
            n_fixed,
            converged=run.outcome is Outcome.CONVERGED,
            n_iter=trace.n_steps,
            lower_bound=trace.last,
            lower_bounds=list(trace.objective),
            collapsed=trace.collapsed,
            diagnostics=diagnostics,
            outcome=ending,
            traces=traces,
            facts=facts,
            cutoff=cutoff,
        )

    @classmethod
    def by_hand(cls, mixture: Mixture, before: Fitted | None = None) -> Fitted:
        """The fit before with a mixture that the user set; only a mixture of the same size keeps how the run went."""
        if before is None:
            return cls(mixture, collapsed=[], diagnostics=[])
        old, facts = before.mixture, before.facts
        if old.means.shape != mixture.means.shape or old.family != mixture.family:
            results, best_index = before.results, before.best_index
            return cls(mixture, before.dtype, collapsed=[], diagnostics=[], results=results, best_index=best_index)
        facts = None if facts is None else replace(facts, log_likelihood=None)  # that was of the mixture before
        return replace(before, mixture=mixture, collapsed=[], diagnostics=[], facts=facts, cutoff=None)

    @property
    def n_parameters(self) -> int:
        """Free parameters."""
        return self.mixture.n_parameters - self.n_fixed

    def plain(self) -> dict[str, Any]:
        """All beside the mixture and its type, as a model file holds it."""
        found = {key: (getattr(self, field), write) for key, (field, write, _) in _COLUMNS.items()}
        return {key: write(value) for key, (value, write) in found.items() if value is not None}

    @classmethod
    def of_plain(cls, mixture: Mixture, dtype: np.dtype[Any], saved: Mapping[str, Any]) -> Self:
        """What `plain` wrote; raises `Damaged`."""
        values = read_values({key: read for key, (_, _, read) in _COLUMNS.items()}, saved)
        n_parameters = values.pop("n_parameters_", mixture.n_parameters)
        fields = {_COLUMNS[key][0]: value for key, value in values.items()}
        fitted = cls(mixture, dtype, mixture.n_parameters - n_parameters, **fields)
        if not set(fitted.collapsed or []) <= {*range(mixture.n_components)}:
            raise Damaged("its 'collapsed_' are not components of its mixture")
        if fitted.results is not None:
            _check_results(fitted.results, fitted.best_index)
        return fitted


def _check_results(results: Mapping[str, list[Any]], best_index: int | None) -> None:
    """Raise `Damaged` for what is no table of the candidates of a search."""
    lengths = {len(column) for column in results.values()}
    if not results.keys() >= _OF_SUMMARIES or len(lengths) > 1 or best_index not in range(max(lengths)):
        raise Damaged("its 'results_' are no table with a row 'best_index_'")
    if not all(isinstance(cell, float) for name in _NUMBERS for cell in results[name]):
        raise Damaged("its 'results_' hold no numbers")
    words = tuple(kind.words for kind in FailureKind)
    if not all(why is None or (isinstance(why, str) and why.startswith(words)) for why in results["failure"]):
        raise Damaged("its 'results_' hold failures that are none")


def read_values(readers: Mapping[str, Reader], saved: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a file for which there are readers; raises `Damaged`."""
    values = {}
    for key in readers.keys() & saved.keys():
        value = from_plain(key, saved[key])
        try:
            values[key] = readers[key](value)
        except (TypeError, ValueError):
            raise Damaged(f"{key!r} in its header is of the wrong type") from None
    return values


def _same(value: Any) -> Any:
    return value


# By the key in a file: the field, how it is written, and how it is read.
_COLUMNS: dict[str, tuple[str, Callable[[Any], Any], Reader]] = {
    "converged_": ("converged", _same, of_type(bool)),
    "n_iter_": ("n_iter", _same, count),
    "lower_bound_": ("lower_bound", _same, of_type(float)),
    "lower_bounds_": ("lower_bounds", _same, list_of("f")),
    "collapsed_": ("collapsed", _same, list_of("fiu")),
    "n_parameters_": ("n_parameters", _same, count),
    "cutoff_": ("cutoff", _same, of_type(float)),
    "results_": ("results", _same, of_type(dict)),
    "best_index_": ("best_index", _same, of_type(int)),
    "_diagnostics_table": ("diagnostics", as_table, of_table),
    "_facts_table": ("facts", RowFacts.as_table, RowFacts.of_table),
    "_outcome_table": ("outcome", Ending.table, Ending.of_table),
    "_traces_table": (
        "traces",
        lambda traces: dict(enumerate(traces)),
        lambda table: [list_of("f")(trace) for trace in dict(table).values()],
    ),
}
