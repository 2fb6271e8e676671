"""`gaussmix score`: say how well a model describes a table."""

from __future__ import annotations

import json
import math
from typing import Any

import click
import pyarrow as pa

from gaussmix.cli.model_file import ModelFile
from gaussmix.cli.options import Reading, columns, weight_meaning, weights, writing
from gaussmix.cli.options import as_json as json_option
from gaussmix.cli.options import jobs as jobs_option
from gaussmix.cli.options import memory as memory_option
from gaussmix.cli.options import missing as missing_option
from gaussmix.cli.options import reading as reading_options
from gaussmix.cli.outputs import check_inputs, check_target, format_of, json_value, rows_at_once, write_table
from gaussmix.cli.show.notices import check_engine, collected_warnings, print_notices
from gaussmix.cli.show.reports import show_scores
from gaussmix.estimators.gaussian_mixture import estimator_of
from gaussmix.sources.opening import open
from gaussmix.sources.tables.base import STANDARD


@click.command()
@click.argument("model", metavar="MODEL.gmm", type=click.Path())
@click.argument("data", metavar="DATA", type=click.Path())
@click.option("--rows", "per_row", is_flag=True, help="Write the log density of each row instead, as a table.")
@columns
@weights
@weight_meaning
@writing
@missing_option
@memory_option
@reading_options
@jobs_option
@json_option
def score(
    model: str,
    data: str,
    per_row: bool,
    columns: tuple[str, ...],
    weights: str | None,
    weight_meaning: str,
    output: str,
    to: str | None,
    reading: Reading,
    as_json: bool,
    quiet: bool,
    jobs: int | None,
    memory: int,
    missing: bool,
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
    table = reading.open(data).without(reading.exclude)
    if weights is not None:
        table.check_has(weights)
    features = opened.columns_of(table, columns, weights)
    table = reading.of_features(table, features, weights)
    print_notices(table.notices, quiet=quiet)
    with collected_warnings() as collected:
        if per_row:
            n_rows = rows_at_once(max(len(features), opened.mixture.n_components), memory)
            parts = table.rows(features, n_rows, may_miss=missing)
            estimator = estimator_of(opened.mixture.with_feature_names(None), jobs)
            log_density = map(estimator.score_samples, parts)
            write_table(output, written_as, (pa.table({"log_density": part}) for part in log_density))
        else:
            rows = open(table, columns=features, weights=weights, memory=memory, missing=missing)
            scores = scores_of(opened, rows, jobs, weight_meaning)
    print_notices([*collected, *table.left_out_notices], quiet=quiet)
    if as_json and not per_row:
        values = {name: json_value(value) for name, value in scores.items()}
        click.echo(json.dumps({"model": model, "data": data, **values}, ensure_ascii=False))
    elif not per_row:
        show_scores(data, scores)


def scores_of(model: ModelFile, rows: Any, jobs: int | None, weight_meaning: str) -> dict[str, Any]:
    """The scores by name of rows, a source: from one pass."""
    estimator = estimator_of(model.mixture, jobs).set_params(weight_meaning=weight_meaning)
    rows.feature_names = None  # the columns are matched already
    deviance, total = estimator._deviance(rows, None, None)
    return {
        "n_rows": rows.n_rows,
        "row_weight": rows.profile.total_weight,
        "mean_log_likelihood": -0.5 * deviance / total,
        "n_parameters": model.n_parameters,
        "bic": deviance + model.n_parameters * math.log(total),
        "aic": deviance + 2 * model.n_parameters,
    }
