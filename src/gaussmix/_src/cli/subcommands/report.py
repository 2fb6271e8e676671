"""`gaussmix report`: write a page about a table and its mixture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

from gaussmix._src.cli import options
from gaussmix._src.cli.model_file import ModelFile
from gaussmix._src.cli.outputs import check_target, open_target
from gaussmix._src.cli.reading import Reading
from gaussmix._src.cli.show.code import code
from gaussmix._src.cli.show.notices import collected_warnings, is_quiet, print_notices
from gaussmix._src.cli.show.page import page
from gaussmix._src.cli.show.report_data import ReportData
from gaussmix._src.cli.subcommands.fit import run_selection
from gaussmix._src.errors import listed
from gaussmix._src.estimators.gaussian_mixture_ic import GaussianMixtureIC
from gaussmix._src.sources.array import ArraySource
from gaussmix._src.sources.tables import Files
from gaussmix._src.sources.tables.base import STANDARD

_FIT_OPTIONS = ("counts", "covariance_type", "n_factors", "criterion", "random_state", "weight_type", "noise")


@click.command(cls=options.OnTables)
@options.file("data", "DATA")
@options.output("Write the page to this file.", required=True, metavar="PAGE.html")
@options.option("-m --model", "Describe this model instead of fitting one.", metavar="MODEL.gmm")
@options.candidate_options
@options.criterion
@options.seed
@options.weights
@options.weight_type
@options.noise
@options.reading
@options.jobs
def report(
    data: str,
    output: str,
    model: str | None,
    counts: tuple[int, ...],
    weights: str | None,
    reading: Reading,
    **parameters: Any,
) -> None:
    """Fit mixtures to DATA, and write a page about the best mixture, with text, tables and pictures.

    \b
      gaussmix report faithful.csv -o report.html

    The page is a single HTML file that needs no other files. With --model, the page describes a model that was fitted
    before. The rows must fit into memory.
    """
    if data.lower().endswith(".gmm"):
        raise click.UsageError(f"{data} is a model, but a report also needs rows: gaussmix report DATA --model {data}.")
    passed = [] if model is None else options.set_flags(_FIT_OPTIONS)
    if passed:
        raise click.UsageError(f"with --model nothing is fitted: leave out {listed(passed)}, or --model.")
    if output != STANDARD and Path(output).suffix.lower() not in ("", ".html", ".htm"):
        raise click.UsageError(f"{output}: the report is an HTML page. Use a name that ends in .html.")
    check_target(output, data, model)
    parameters = options.as_values(parameters)
    opened = None if model is None else ModelFile.open(model)
    table = reading.open(data)
    retained = table.without(reading.exclude)
    others = [] if weights is None else [weights]
    names = opened.match_columns(retained, reading.columns) if opened else reading.features(table, others)
    table = reading.of_features(table, names, weights)
    source = _source(reading, table, names, weights)
    selection: GaussianMixtureIC | None = None
    if opened is not None:
        mixture = opened.mixture
    else:
        selection = GaussianMixtureIC(counts, **parameters, n_jobs=reading.jobs)
        run_selection(selection, source)
        mixture = selection.mixture_
    shown = opened.names if opened else names
    (block,) = source.blocks()
    rows = np.asarray(block.rows, dtype=np.float64)
    indices = table.complete_rows() if table.complete else None
    findings = ReportData(mixture.with_feature_names(None), shown, rows, selection, block.row_weight, indices)
    name = "standard input" if data == STANDARD else data
    has_box = mixture.noise is None or mixture.noise.bounds is not None
    flags = {"has_gaps": not findings.is_complete.all(), "has_box": has_box}
    text = page(findings, name, code(table, names, shown, model, selection, weights, **flags))
    with open_target(output, for_people=True) as file:
        file.write(text.encode(errors="replace"))  # a file name in the page may not be valid Unicode
    if not is_quiet() and output != STANDARD:
        for sentence in findings.sentences():
            click.echo(sentence)
        click.echo(f"\nPage written to {output}")


def _source(reading: Reading, table: Files, names: tuple[str, ...], weights: str | None) -> ArraySource:
    """Read the rows of a table into memory; raise ValueError if there are too few rows or no numeric columns."""
    if not names:
        raise ValueError(f"{table.name} has no numeric column.")
    with collected_warnings() as collected:
        source = reading.rows(table, names, weights)
    print_notices([*collected, *table.left_out_notices])
    if source.n_rows == 1:
        raise ValueError(f"{table.name} has only one row, but a report needs at least two rows.")
    assert isinstance(source, ArraySource)
    source.feature_names = names  # errors and warnings use these names, even if columns have no names
    return source
