"""Convert the result of a fit to the values that a model file stores, and read these values."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar, get_args, get_type_hints

import numpy as np

from gaussmix._src.errors import FailureKind
from gaussmix._src.fit.fitted import Diagnosis, FitResult, Outcome, RowSummary
from gaussmix._src.formats.record import Damaged
from gaussmix._src.formats.values import Reader, count, instance, list_reader, read_values
from gaussmix._src.model import Model

Record = TypeVar("Record")
UNSAVED_FIELDS = "frame_library", "seconds"  # fields that files omit, so that equal fits make equal files
RUN_FIELDS = "collapsed", "diagnostics", "traces"  # fields of `Outcome` that a model file stores under separate keys
_UNTABLED_FIELDS = *UNSAVED_FIELDS, *RUN_FIELDS
_NUMBER_COLUMNS = frozenset({"log_likelihood", "bic", "icl"})  # columns of numbers that summaries show
_SUMMARY_COLUMNS = _NUMBER_COLUMNS | {"structure", "n_components", "failure"}


def to_saved_values(result: FitResult) -> dict[str, Any]:
    """Return all values of a result except the model, names and data type, in the form that a model file stores."""
    fields = {**vars(result), "n_parameters": result.n_parameters}
    fields |= {} if result.outcome is None else {name: getattr(result.outcome, name) for name in RUN_FIELDS}
    values = {key: (fields.get(name), write) for key, (name, write, _) in _SAVED_FIELDS.items()}
    return {key: write(value) for key, (value, write) in values.items() if value is not None}


def from_saved_values(
    model: Model, feature_names: tuple[str, ...] | None, dtype: np.dtype[Any], saved: Mapping[str, Any]
) -> FitResult:
    """Restore a result from the values that `to_saved_values` returned; raise `Damaged` if a value is invalid."""
    values = read_values({key: read for key, (_, _, read) in _SAVED_FIELDS.items()}, saved)
    n_parameters = values.pop("n_parameters_", model.n_parameters)
    fields = {_SAVED_FIELDS[key][0]: value for key, value in values.items()}
    run_fields = {name: fields.pop(name) for name in RUN_FIELDS if name in fields}
    if "outcome" in fields:
        fields["outcome"] = replace(fields["outcome"], **run_fields)
    fitted = FitResult(model, feature_names, dtype, n_fixed=model.n_parameters - n_parameters, **fields)
    if not set(run_fields.get("collapsed", [])) <= {*range(model.n_components)}:
        raise Damaged("'collapsed_' lists components that the mixture does not have")
    if fitted.results is not None:
        _check_results(fitted.results, fitted.best_index)
    return fitted


def _check_results(results: Mapping[str, list[Any]], best_index: int | None) -> None:
    """Raise `Damaged` unless the table `results` has valid results of all candidates of a model selection."""
    lengths = {len(column) for column in results.values()}
    if not results.keys() >= _SUMMARY_COLUMNS or len(lengths) > 1 or best_index not in range(max(lengths)):
        raise Damaged("'results_' is not a table, or it has no row 'best_index_'")
    if not all(isinstance(cell, float) for name in _NUMBER_COLUMNS for cell in results[name]):
        raise Damaged("'results_' has a value of the wrong type in a column of numbers")
    words = tuple(kind.words for kind in FailureKind)
    if not all(why is None or (isinstance(why, str) and why.startswith(words)) for why in results["failure"]):
        raise Damaged("'results_' has failures of an unknown kind")


def read_records(cls: type[Record], table: Any) -> list[Record]:
    """Return records from a table with one column per field; raise TypeError or ValueError for an invalid record."""
    kinds = {name: get_args(kind) or (kind,) for name, kind in _tabled_fields(cls).items()}
    # A file may lack fields that have a default, because such fields may be newer than the file.
    needed = kinds.keys() - {name for name in kinds if hasattr(cls, name)}
    if not isinstance(table, dict) or not needed <= table.keys() <= kinds.keys():
        raise TypeError
    kinds = {name: kind for name, kind in kinds.items() if name in table}
    rows = list(zip(*(table[name] for name in kinds), strict=True))
    for row in rows:
        for value, kind in zip(row, kinds.values(), strict=True):
            if type(value) not in kind:
                raise TypeError
            if type(value) is int:
                count(value)
    return [cls(**dict(zip(kinds, row, strict=True))) for row in rows]


def _read_row_summary(table: Any) -> RowSummary:
    """Read the row summary of a file; raise ValueError if one of its values is impossible."""
    summary = _read_record(RowSummary, table)
    if not (summary.n_rows > 0 and 0 < summary.row_weight < math.inf):
        raise ValueError(f"A fit can't have {summary.n_rows} rows with the total weight {summary.row_weight}.")
    return summary


def _read_record(cls: type[Record], table: Any) -> Record:
    (values,) = read_records(cls, table)
    return values


def _records_to_table(records: Sequence[Any], cls: type) -> dict[str, list[Any]]:
    """Convert records to a table for a model file, with one column per field of a record."""
    return {name: [getattr(each, name) for each in records] for name in _tabled_fields(cls)}


def _tabled_fields(cls: type) -> dict[str, Any]:
    """Return the types of the fields of a record that its table contains, by their names."""
    types = get_type_hints(cls, globals())  # because `Outcome.__module__` is "gaussmix", which lacks `Diagnosis`
    return {name: kind for name, kind in types.items() if name not in _UNTABLED_FIELDS}


def _unchanged(value: Any) -> Any:
    return value


# Map from each key in a model file to the name of a field and to the functions that write and read this field.
_SAVED_FIELDS: dict[str, tuple[str, Callable[[Any], Any], Reader]] = {
    "converged_": ("converged", _unchanged, instance(bool)),
    "n_iter_": ("n_iter", _unchanged, count),
    "lower_bound_": ("lower_bound", _unchanged, instance(float)),
    "lower_bounds_": ("lower_bounds", _unchanged, list_reader("f")),
    "collapsed_": ("collapsed", _unchanged, list_reader("fiu")),
    "n_parameters_": ("n_parameters", _unchanged, count),
    "cutoff_": ("cutoff", _unchanged, instance(float)),
    "results_": ("results", _unchanged, instance(dict)),
    "best_index_": ("best_index", _unchanged, instance(int)),
    "_diagnostics_table": ("diagnostics", partial(_records_to_table, cls=Diagnosis), partial(read_records, Diagnosis)),
    "_row_summary_table": ("row_summary", lambda summary: _records_to_table([summary], RowSummary), _read_row_summary),
    "_outcome_table": ("outcome", lambda value: _records_to_table([value], Outcome), partial(_read_record, Outcome)),
    "_traces_table": (
        "traces",
        lambda traces: dict(enumerate(traces)),
        lambda table: [list_reader("f")(trace) for trace in dict(table).values()],
    ),
}
