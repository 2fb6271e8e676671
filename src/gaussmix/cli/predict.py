"""`gaussmix predict`: a model and a table in, the table with each row's component and density out."""

from __future__ import annotations

from typing import Any

import click
import numpy as np
import pyarrow as pa

from gaussmix.cli.models import Model
from gaussmix.cli.notices import check_engine, heard, notice
from gaussmix.cli.options import columns, reading, writing
from gaussmix.cli.outputs import check_inputs, check_target, format_of, write_table
from gaussmix.cli.readers import open_table
from gaussmix.cli.tables import Numbers, Table

_RESULTS = ("component", "probability", "log_density")


@click.command(short_help="Add component, probability and log density to each row.")
@click.argument("model", metavar="MODEL.gmm")
@click.argument("data", metavar="DATA")
@columns
@writing
@reading
def predict(model: str, data: str, output: str, to: str | None, jobs: int | None, **given: Any) -> None:
    """Add to each row of DATA its most probable component, that component's probability and the log density.

    Columns are matched with the model's by name; --columns takes others in their place. The rest is passed on unused.
    MODEL.gmm or DATA may be "-", standard input.
    """
    quiet: bool = given["quiet"]
    check_inputs(model, data)
    format = format_of(output, to, as_json=given["as_json"])
    check_target(output, model, data)
    check_engine(jobs, quiet=quiet)
    opened = Model.open(model)
    table = open_table(data, given["format"], given["has_header"])
    numbers = opened.features(table, given["columns"])
    with heard() as sentences:
        results = predictions(opened, numbers, jobs)
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


def predictions(model: Model, numbers: Numbers, jobs: int | None) -> dict[str, np.ndarray[Any, Any]]:
    """The new columns."""
    responsibilities = model.mixture.responsibilities(numbers.rows, n_jobs=jobs)
    log_density = model.mixture.log_density(numbers.rows, n_jobs=jobs)
    values = responsibilities.argmax(axis=1), responsibilities.max(axis=1), log_density
    return dict(zip(_RESULTS, values, strict=True))


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
