"""`gaussmix score`: say how well a model describes a table."""

from __future__ import annotations

import json
from typing import Any

import click
import pyarrow as pa

from gaussmix.cli.model_file import ModelFile
from gaussmix.cli.options import columns, reading, weights, writing
from gaussmix.cli.options import memory as memory_option
from gaussmix.cli.outputs import check_inputs, check_target, format_of, json_value, rows_at_once, write_table
from gaussmix.cli.show.notices import check_engine, collected_warnings, print_notices
from gaussmix.cli.show.reports import show_scores
from gaussmix.estimators.gaussian_mixture import estimator_of
from gaussmix.sources.files import open
from gaussmix.sources.tables import open_table
from gaussmix.sources.tables.base import STANDARD


@click.command()
@click.argument("model", metavar="MODEL.gmm")
@click.argument("data", metavar="DATA")
@click.option("--rows", "per_row", is_flag=True, help="Write the log density of each row instead, as a table.")
@columns
@weights
@writing
@memory_option
@reading
def score(
    model: str,
    data: str,
    per_row: bool,
    columns: tuple[str, ...],
    weights: str | None,
    output: str,
    to: str | None,
    format: str | None,
    has_header: bool | None,
    as_json: bool,
    quiet: bool,
    jobs: int | None,
    memory: int,
) -> None:
    """Print the mean log-likelihood of the rows of DATA under a model, and BIC and AIC (lower is better).

    Columns are matched as by predict. Log-likelihoods are in nats. With --rows, the column of --weights is only left
    out of the features. MODEL.gmm or DATA may be "-", standard input.
    """
    check_inputs(model, data)
    if not per_row and (output != STANDARD or to is not None):
        raise click.UsageError("-o and --to are for --rows.", click.get_current_context())
    written_as = format_of(output, to, as_json=as_json)
    check_target(output, model, data)
    check_engine(jobs, quiet=quiet)
    opened = ModelFile.open(model)
    table = open_table(data, format, has_header)
    features = opened.columns_of(table, columns, weights)
    print_notices(table.notices, quiet=quiet)
    with collected_warnings() as collected:
        if per_row:
            rows = table.rows(features, rows_at_once(max(len(features), opened.mixture.n_components), memory))
            log_density = (opened.mixture.log_density(part, n_jobs=jobs) for part in rows)
            write_table(output, written_as, (pa.table({"log_density": part}) for part in log_density))
        else:
            scores = scores_of(opened, open(table, columns=features, weights=weights, memory=memory), jobs)
    print_notices(collected, quiet=quiet)
    if as_json and not per_row:
        values = {name: json_value(value) for name, value in scores.items()}
        click.echo(json.dumps({"model": model, "data": data, **values}, ensure_ascii=False))
    elif not per_row:
        show_scores(data, scores)


def scores_of(model: ModelFile, rows: Any, jobs: int | None) -> dict[str, Any]:
    """The scores by name of rows, a source."""
    estimator, rows.feature_names = estimator_of(model.mixture, jobs), None  # the columns are matched already
    return {
        "n_rows": rows.n_rows,
        "row_weight": rows.profile.total_weight,
        "mean_log_likelihood": estimator.score(rows),
        "n_parameters": model.mixture.n_parameters,
        "bic": estimator.bic(rows),
        "aic": estimator.aic(rows),
    }
