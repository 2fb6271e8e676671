"""`gaussmix predict`: a model and a table in, the table with each row's component and density out."""

from __future__ import annotations

from typing import Any

import click
import numpy as np
import pyarrow as pa

from gaussmix.cli.models import Model
from gaussmix.cli.options import column_names, columns, reading, shares, writing
from gaussmix.cli.outputs import check_inputs, check_target, format_of, write_table
from gaussmix.cli.show.notices import check_engine, heard, notice
from gaussmix.estimators.detector import MASS
from gaussmix.sources.tables.readers import open_table
from gaussmix.sources.tables.tables import Numbers, Table

_RESULTS = ("component", "probability", "log_density")

Columns = dict[str, np.ndarray[Any, Any]]


@click.command(short_help="Add component, probability and log density to each row, or predict columns.")
@click.argument("model", metavar="MODEL.gmm")
@click.argument("data", metavar="DATA")
@click.option(
    "--targets",
    multiple=True,
    callback=column_names,
    metavar="A,B",
    help="Predict these features from the others: mean and standard deviation.",
)
@click.option("--quantiles", callback=shares, metavar="P,P", help="Quantiles of the targets too, such as 0.05,0.95.")
@click.option("--outliers", is_flag=True, help="Add a p-value, and whether it is below 0.05: an outlier.")
@columns
@writing
@reading
def predict(model: str, data: str, output: str, to: str | None, jobs: int | None, **given: Any) -> None:
    """Add to each row of DATA its most probable component, that component's probability and the log density.

    With --targets, add what the model expects of these features where the others are known; DATA may lack them.

    Columns are matched with the model's by name; --columns takes others in their place. The rest is passed on unused.
    MODEL.gmm or DATA may be "-", standard input.
    """
    quiet: bool = given["quiet"]
    targets: tuple[str, ...] = given["targets"]
    check_inputs(model, data)
    if given["quantiles"] and not targets:
        raise click.UsageError("--quantiles are of --targets: name some.", click.get_current_context())
    if given["outliers"] and targets:
        raise click.UsageError("--outliers needs every feature: leave --targets out.", click.get_current_context())
    format = format_of(output, to, as_json=given["as_json"])
    check_target(output, model, data)
    check_engine(jobs, quiet=quiet)
    opened = Model.open(model)
    table = open_table(data, given["format"], given["has_header"])
    numbers = opened.features(table, given["columns"], targets=targets)
    with heard() as sentences:
        if targets:
            results = predicted_targets(opened, numbers, targets, given["quantiles"], jobs)
        else:
            results = predictions(opened, numbers, jobs) | (outliers(opened, numbers) if given["outliers"] else {})
    sentences.extend(table.notices)
    passed_on = table.passed_on() if format == "csv" else with_numbers(table, numbers)
    for name, values in results.items():
        free = free_name(name, passed_on.column_names)
        if free != name:
            sentences.append(f"{data} has a column {name!r} already, so the new one is called {free!r}.")
        passed_on = passed_on.append_column(free, pa.array(values))
    for sentence in sentences:
        notice(sentence, quiet=quiet)
    write_table(output, format, passed_on, table.delimiter)


def predictions(model: Model, numbers: Numbers, jobs: int | None) -> Columns:
    """The new columns."""
    responsibilities = model.mixture.responsibilities(numbers.rows, n_jobs=jobs)
    log_density = model.mixture.log_density(numbers.rows, n_jobs=jobs)
    values = responsibilities.argmax(axis=1), responsibilities.max(axis=1), log_density
    return dict(zip(_RESULTS, values, strict=True))


def outliers(model: Model, numbers: Numbers) -> Columns:
    """How much of the mass is less probable than each row, and whether that is little."""
    p_value = model.mixture.tail_probability(numbers.rows)
    return {"p_value": p_value, "outlier": p_value < 1 - MASS}


def predicted_targets(
    model: Model, numbers: Numbers, targets: tuple[str, ...], quantiles: tuple[str, ...], jobs: int | None
) -> Columns:
    """What is expected of each target, give or take how much, and its quantiles."""
    regressor = model.regressor(targets, jobs)
    mean, deviation = regressor.predict(numbers.rows, return_std=True)
    found = regressor.predict_quantiles(numbers.rows, [float(share) for share in quantiles])
    results: Columns = {}
    for column, target in enumerate(targets):
        results |= {f"{target}_predicted": mean[:, column], f"{target}_std": deviation[:, column]}
        for place, share in enumerate(quantiles):
            results[f"{target}_{share}"] = found[:, column, place]
    return results


def with_numbers(table: Table, numbers: Numbers) -> pa.Table:
    """Every column, where what the model reads are numbers, also of a file that holds text only."""
    passed_on = table.passed_on()
    for name, values in zip(numbers.names, numbers.rows.T, strict=True):
        if pa.types.is_string(passed_on[name].type):
            passed_on = passed_on.set_column(passed_on.column_names.index(name), name, pa.array(values))
    return passed_on


def free_name(name: str, columns: list[str]) -> str:
    """A name for a new column, with underscores behind it where the table has it already."""
    while name in columns:
        name += "_"
    return name
