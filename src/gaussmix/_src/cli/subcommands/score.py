"""`gaussmix score`: measure how well a model describes a table."""

from __future__ import annotations

import math
from typing import Any

import click
import pyarrow as pa

from gaussmix._src.cli import options
from gaussmix._src.cli.model_file import ModelFile
from gaussmix._src.cli.outputs import Writing, check_target, json_value, rows_at_once
from gaussmix._src.cli.reading import Reading
from gaussmix._src.cli.show.notices import collected_warnings, print_notices
from gaussmix._src.cli.show.reports import echo_json, show_scores
from gaussmix._src.estimators.bayesian_gaussian_mixture import BayesianGaussianMixture


@click.command(cls=options.OnTables)
@options.file("model", "MODEL.gmm")
@options.file("data", "DATA")
@options.flag("--rows per_row", "Write the log density of each row instead of the scores.")
@options.weights
@options.weight_type
@options.row_by_row
def score(
    model: str,
    data: str,
    per_row: bool,
    weights: str | None,
    weight_type: str,
    writing: Writing,
    reading: Reading,
) -> None:
    """Print the mean log-likelihood, BIC and AIC of the rows of DATA under a model. Lower BIC and AIC are better.

    \b
      gaussmix score faithful.gmm new.csv

    For a Bayesian fit, the mean log posterior predictive density is printed, without BIC and AIC.

    Columns are matched with features in the same way as in gaussmix predict. Log-likelihoods are in nats. With --rows,
    the column of --weights is not a feature, and weights are not used. MODEL.gmm or DATA may be "-" for standard input.
    """
    if not (per_row or writing.is_plain):
        raise click.UsageError("-o and --to have an effect only with --rows: add --rows.")
    check_target(writing.output, model, data)
    opened = ModelFile.open(model)
    table, features = reading.matched(opened, data, weights)
    with collected_warnings() as collected:
        if per_row:
            estimator = opened.estimator(reading.jobs)
            n_rows = rows_at_once(max(len(features), estimator.mixture_.n_components), reading.memory)
            parts = table.rows(features, n_rows, may_miss=reading.missing)
            writing.write(pa.table({"log_density": estimator.score_samples(part)}) for part in parts)
        else:
            scores = compute_scores(opened, reading.rows(table, features, weights), reading.jobs, weight_type)
    print_notices([*collected, *table.left_out_notices])
    if writing.as_json and not per_row:
        values = {name: json_value(value) for name, value in scores.items()}
        echo_json({"model": model, "data": data, **values})
    elif not per_row:
        show_scores(data, scores)


def compute_scores(model: ModelFile, rows: Any, jobs: int | None, weight_type: str) -> dict[str, Any]:
    """Compute the scores of the rows in a source in one pass; a Bayesian fit has no BIC and AIC."""
    estimator = model.estimator(jobs).set_params(weight_type=weight_type)
    rows.feature_names = None  # columns are already matched with features
    size = {"n_rows": rows.n_rows, "row_weight": rows.row_totals.total_weight}
    if isinstance(estimator, BayesianGaussianMixture):
        return {**size, "mean_log_likelihood": estimator.score(rows)}
    deviance, row_count, total = estimator._deviance(rows, None, None)
    return {
        **size,
        "mean_log_likelihood": -0.5 * deviance / total,
        "n_parameters": model.n_parameters,
        "bic": deviance + model.n_parameters * math.log(row_count),
        "aic": deviance + 2 * model.n_parameters,
    }
