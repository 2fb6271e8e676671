"""`gaussmix fit --by`: a mixture for each group of a table, by the values of a column."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import click
import pyarrow as pa

from gaussmix.cli import options
from gaussmix.cli.outputs import open_target
from gaussmix.cli.show.notices import collected_warnings, print_notices
from gaussmix.errors import listed
from gaussmix.estimators.fit_many import fit_many
from gaussmix.mixture.mixtures import Mixtures
from gaussmix.sources.tables.base import BadTable, doubles

_OF_SEARCHES = ("noise", "criterion", "memory", "checkpoint", "max_time")


def fit_by(
    data: str,
    by: str,
    weights: str | None,
    reading: options.Reading,
    counts: tuple[int, ...],
    model: str | None,
    jobs: int | None,
    parameters: dict[str, Any],
) -> tuple[Mixtures, dict[str, Any]]:
    """Fit a mixture to each group of a table, and write them all to one file.

    Returns the mixtures, and what `show_many` says besides.

    Raises
    ------
    UsageError : an option is for the choice among several fits.
    ValueError, OSError : the table can't be used, or no group can be fitted.
    """
    given = _given(counts, parameters) | {"missing": "allow" if reading.missing else "error"}
    table, row_weight = _read(data, by, weights, reading)
    began = perf_counter()
    with collected_warnings() as collected:
        mixtures = fit_many(
            table, counts[0], by=by, sample_weight=row_weight, random_state=parameters["random_state"],
            n_jobs=jobs, **given,
        )  # fmt: skip
    seconds = perf_counter() - began
    print_notices(collected)
    if len(mixtures.errors) == len(mixtures):
        raise ValueError(f"No group of {data} could be fitted.")
    if model is not None:
        with open_target(model, for_people=False) as file:
            mixtures.save(file)
    return mixtures, {"data": data, "by": by, "n_rows": table.num_rows, "seconds": seconds, "model": model}


def _read(data: str, by: str, weights: str | None, reading: options.Reading) -> tuple[pa.Table, Any]:
    """The column of groups beside the features, and the weights of the rows; raises BadTable or OSError."""
    table = reading.open(data)
    print_notices(table.notices)
    table.check_has(by)
    others = [by] if weights is None else [by, weights]
    features = reading.columns or table.without(reading.exclude).numeric_names(without=others)
    if not features:
        raise BadTable(f"{table.name} has no column of numbers beside {listed(others)}.")
    numbers = [*features, *others[1:]]
    table.check_numeric(numbers)
    table = reading.of_features(table, features, weights)
    batches = list(table.batches([by, *numbers], numbers))
    read = pa.Table.from_batches(batches) if batches else None
    print_notices(table.left_out_notices)
    if read is None or not read.num_rows:
        raise BadTable(f"{table.name} has no rows.")
    for row, key in enumerate(read[by].to_pylist()):
        if key is None or key != key or str(key).strip() in ("", *reading.dialect.missing):
            where = f"{table.place(row)}, column {by!r}"
            raise BadTable(f"{where}: it says no group. Fill the cell, or remove the row.")
    columns = {by: read[by]} | {name: doubles(read[name]) for name in features}
    return pa.table(columns), None if weights is None else doubles(read[weights])


def _given(counts: tuple[int, ...], parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters that the user has given: those of `fit_many` have other defaults than those of a search."""
    for flag in options.given(_OF_SEARCHES):
        raise click.UsageError(f"{flag} has no meaning with --by, which makes a short fit for each group.")
    given = {name: value for name, value in parameters.items() if options.given([name]) and name != "random_state"}
    given = options.as_values(given)
    structures = given.get("covariance_type", [])
    if len(counts) > 1 or isinstance(structures, str) or len(structures) > 1:
        raise click.UsageError("--by makes one fit for each group: give one number after -k and one structure.")
    if "covariance_type" in given:
        given["covariance_type"] = structures[0]
    return given
