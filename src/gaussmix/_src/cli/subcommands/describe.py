"""`gaussmix describe`: print the contents of a model file."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from gaussmix._src.cli import options
from gaussmix._src.cli.model_file import ModelFile, path_or_contents
from gaussmix._src.cli.outputs import check_target
from gaussmix._src.cli.reading import Reading
from gaussmix._src.cli.show import reports
from gaussmix._src.cli.show.notices import collected_warnings, in_options, print_notices
from gaussmix._src.estimators.gaussian_mixture import GaussianMixture, as_estimator
from gaussmix._src.formats.files import holds_mixtures
from gaussmix._src.mixture.mixtures import Mixtures
from gaussmix._src.report.estimates import MixtureEstimates
from gaussmix._src.sources.tables.base import STANDARD

_INFERENCE_HELP = "Add standard errors and 95 % intervals, computed from the training rows."


@click.command(cls=options.OnTables)
@options.file("model", "MODEL.gmm")
@options.option("--inference data", _INFERENCE_HELP, metavar="DATA", type=click.Path())
@options.weights
@options.reading
@options.jobs
@options.as_json
def describe(model: str, data: str | None, weights: str | None, reading: Reading, as_json: bool) -> None:
    """Print the contents of a model file: the components, and how the mixture was fitted.

    \b
      gaussmix describe faithful.gmm --inference faithful.csv

    MODEL.gmm may be "-" for standard input. If the file contains the mixtures of many groups, the number of groups is
    printed. Standard errors need the rows that were fitted, because the file does not contain the rows.
    """
    options.check_data(data, "add --inference DATA")
    check_target(STANDARD, model, data)
    source = path_or_contents(model)
    if holds_mixtures(source):
        if data is not None:
            raise click.UsageError(f"--inference needs one mixture, but {model} contains a mixture for each group.")
        groups = Mixtures.load(source)
        if as_json:
            reports.echo_json(reports.groups_as_json(groups, {"data": model}))
        else:
            reports.show_groups(groups, {"data": model})
        return
    opened = ModelFile.open(source)
    inference = None if data is None else _inference(opened, data, weights, reading)
    if as_json:
        more = {} if inference is None else {"inference": reports.inference_as_json(inference)}
        reports.echo_json(reports.model_as_json(opened) | more)
        return
    reports.show_model(opened)
    if inference is not None:
        reports.console().print(f"\n{inference}", soft_wrap=True)


def _inference(opened: ModelFile, data: str, weights: str | None, reading: Reading) -> MixtureEstimates:
    """Compute standard errors of the mixture in a model file from the rows to which the mixture was fitted."""
    saved = opened.details.estimator
    if saved is not None and saved.name != GaussianMixture.__name__:
        instead = "" if opened.posterior is None else " In Python, its posterior_ has intervals."
        raise ValueError(f"--inference needs a GaussianMixture, but {opened.name} has a {saved.name:.60}.{instead}")
    table, features = reading.matched(opened, data, weights)
    if saved is None:
        estimator = as_estimator(opened.mixture.with_feature_names(opened.names))
    else:
        estimator = GaussianMixture._restored(saved, opened.mixture._model, opened.names, opened.details.dtype)
    estimator.n_jobs = reading.jobs
    rows: Any = reading.rows(table, features, weights)
    rows.feature_names = opened.names  # columns already match the features, even if column names differ
    with collected_warnings() as collected:
        inference = estimator.inference(rows)
    print_notices([*collected, *table.left_out_notices])
    return replace(inference, notes=tuple(map(in_options, inference.notes)))
