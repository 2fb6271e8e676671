"""`gaussmix score`: how well a model describes a table."""

from __future__ import annotations

import json
from typing import Any

import click
import pyarrow as pa

from gaussmix.cli.models import Model
from gaussmix.cli.options import columns, reading, weights, writing
from gaussmix.cli.outputs import check_inputs, check_target, format_of, write_table
from gaussmix.cli.show.notices import check_engine, heard, notice
from gaussmix.cli.writers import json_value
from gaussmix.errors import counted
from gaussmix.sources.tables.inputs import STANDARD
from gaussmix.sources.tables.readers import open_table
from gaussmix.sources.tables.tables import Numbers


@click.command(short_help="Print mean log-likelihood, BIC and AIC of a table.")
@click.argument("model", metavar="MODEL.gmm")
@click.argument("data", metavar="DATA")
@click.option("--rows", "per_row", is_flag=True, help="Write the log density of each row instead, as a table.")
@columns
@weights
@writing
@reading
def score(model: str, data: str, output: str, to: str | None, jobs: int | None, **given: Any) -> None:
    """Print the mean log-likelihood of the rows of DATA under a model, and BIC and AIC, of which lower is better.

    Columns are matched as by predict. Log-likelihoods are in nats. MODEL.gmm or DATA may be "-", standard input.
    """
    quiet: bool = given["quiet"]
    check_inputs(model, data)
    if not given["per_row"] and (output != STANDARD or to is not None):
        raise click.UsageError("-o and --to are for --rows.", click.get_current_context())
    format = format_of(output, to, as_json=given["as_json"])
    check_target(output, model, data)
    check_engine(jobs, quiet=quiet)
    opened = Model.open(model)
    table = open_table(data, given["format"], given["has_header"])
    numbers = opened.features(table, given["columns"], given["weights"])
    row_weight = None if given["weights"] is None else table.row_weight(given["weights"])
    with heard() as sentences:
        if given["per_row"]:
            log_density = opened.mixture.log_density(numbers.rows, n_jobs=jobs)
        else:
            found = scores(opened, numbers, row_weight, jobs)
    for sentence in (*table.notices, *numbers.notices, *sentences):
        notice(sentence, quiet=quiet)
    if given["per_row"]:
        write_table(output, format, pa.table({"log_density": log_density}))
    elif given["as_json"]:
        values = {name: json_value(value) for name, value in found.items()}
        click.echo(json.dumps({"model": model, "data": data, **values}, ensure_ascii=False))
    else:
        show(data, found)


def scores(model: Model, numbers: Numbers, row_weight: Any, jobs: int | None) -> dict[str, Any]:
    """What there is to say, by name."""
    estimator, rows = model.estimator(jobs), numbers.rows
    return {
        "n_rows": len(rows),
        "row_weight": float(len(rows) if row_weight is None else row_weight.sum()),
        "mean_log_likelihood": estimator.score(rows, sample_weight=row_weight),
        "n_parameters": model.mixture.n_parameters,
        "bic": estimator.bic(rows, row_weight),
        "aic": estimator.aic(rows, row_weight),
    }


def show(data: str, found: dict[str, Any]) -> None:
    """Print it for people."""
    weighted = "" if found["row_weight"] == found["n_rows"] else f" of total weight {found['row_weight']:g}"
    name = "standard input" if data == STANDARD else data
    click.echo(f"{name}: {counted(found['n_rows'], 'row')}{weighted}\n")
    click.echo(f"mean log-likelihood  {found['mean_log_likelihood']:.6f}")
    click.echo(f"BIC                  {found['bic']:.2f}")
    click.echo(f"AIC                  {found['aic']:.2f}")
