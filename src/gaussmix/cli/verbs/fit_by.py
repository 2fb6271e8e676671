"""`gaussmix fit --by`: a mixture for each group of a table, by the values of a column."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import Any

import click
import pyarrow as pa
from click.core import ParameterSource

from gaussmix.cli.options import Reading, as_values
from gaussmix.cli.outputs import open_target
from gaussmix.cli.show.notices import collected_warnings, print_notices
from gaussmix.cli.show.reports import ManyReport
from gaussmix.errors import listed
from gaussmix.estimators.fit_many import fit_many
from gaussmix.sources.tables.base import BadTable, doubles

_OF_SEARCHES = {
    name: f"--{name.replace('_', '-')}" for name in ("noise", "criterion", "memory", "checkpoint", "max_time")
}


@dataclass(frozen=True)
class Grouping:
    """A table, and what its columns are.

    Parameters
    ----------
    data : path of the table.
    by : the column that says which group a row is of.
    columns : the features; none for every other column of numbers.
    weights : the column of row weights; None where rows have none.
    reading : how the table is read.
    """

    data: str
    by: str
    columns: tuple[str, ...]
    weights: str | None
    reading: Reading

    def read(self, *, quiet: bool) -> tuple[pa.Table, Any]:
        """The column of groups beside the features, and the weights of the rows; raises BadTable or OSError."""
        table = self.reading.open(self.data)
        print_notices(table.notices, quiet=quiet)
        if self.by not in table.names:
            raise BadTable(f"{table.name} has no column {self.by!r}; it has {listed(table.names)}.")
        others = [self.by] if self.weights is None else [self.by, self.weights]
        features = self.columns or table.without(self.reading.exclude).numeric_names(without=others)
        if not features:
            raise BadTable(f"{table.name} has no column of numbers beside {listed(others)}.")
        numbers = [*features, *others[1:]]
        table.check_numeric(numbers)
        table = self.reading.of_features(table, features, self.weights)
        batches = list(table.batches([self.by, *numbers], numbers))
        read = pa.Table.from_batches(batches) if batches else None
        print_notices(table.left_out_notices, quiet=quiet)
        if read is None or not read.num_rows:
            raise BadTable(f"{table.name} has no rows.")
        for row, key in enumerate(read[self.by].to_pylist()):
            if key is None or key != key or str(key).strip() in ("", *self.reading.dialect.missing):
                where = f"{table.place(row)}, column {self.by!r}"
                raise BadTable(f"{where}: it says no group. Fill the cell, or remove the row.")
        columns = {self.by: read[self.by]} | {name: doubles(read[name]) for name in features}
        return pa.table(columns), None if self.weights is None else doubles(read[self.weights])


def fit_by(
    grouping: Grouping,
    counts: tuple[int, ...],
    model: str | None,
    jobs: int | None,
    parameters: dict[str, Any],
    *,
    quiet: bool,
) -> ManyReport:
    """Fit a mixture to each group of a table, and write them all to one file.

    Raises
    ------
    UsageError : an option is for the choice among several fits.
    ValueError, OSError : the table can't be used, or no group can be fitted.
    """
    given = _given(counts, parameters)
    table, weights = grouping.read(quiet=quiet)
    began = perf_counter()
    with collected_warnings() as collected:
        mixtures = fit_many(
            table, counts[0], by=grouping.by, sample_weight=weights, random_state=parameters["random_state"],
            n_jobs=jobs, **given,
        )  # fmt: skip
    seconds = perf_counter() - began
    print_notices(collected, quiet=quiet)
    if len(mixtures.errors) == len(mixtures):
        raise ValueError(f"No group of {grouping.data} could be fitted.")
    if model is not None:
        with open_target(model, for_people=False) as file:
            mixtures.save(file)
    return ManyReport(mixtures, grouping.data, grouping.by, table.num_rows, seconds, model)


def _given(counts: tuple[int, ...], parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters that the user has given: those of `fit_many` have other defaults than those of a search."""
    context = click.get_current_context()
    is_given = {name for name in context.params if context.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    for name, flag in _OF_SEARCHES.items():
        if name in is_given:
            raise click.UsageError(f"{flag} has no meaning with --by, which makes a short fit for each group.", context)
    given = {name: value for name, value in parameters.items() if name in is_given and name != "random_state"}
    given["missing"] = parameters["missing"]  # which is an error here, if it is not asked for
    given = as_values(given)
    structures = given.get("covariance_type", [])
    if len(counts) > 1 or isinstance(structures, str) or len(structures) > 1:
        raise click.UsageError(
            "--by makes one fit for each group: give one number after -k and one structure.", context
        )
    if "covariance_type" in given:
        given["covariance_type"] = structures[0]
    return given
