"""`gaussmix sample`: draw rows from a model."""

from __future__ import annotations

import click
import numpy as np
import pyarrow as pa

from gaussmix.cli.model_file import ModelFile
from gaussmix.cli.options import as_json as json_option
from gaussmix.cli.options import quiet as quiet_option
from gaussmix.cli.options import writing
from gaussmix.cli.outputs import check_target, format_of, free_name, write_table


@click.command()
@click.argument("model", metavar="MODEL.gmm", type=click.Path())
@click.option("-n", "n_rows", type=click.IntRange(1), required=True, metavar="N", help="How many rows.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, metavar="N", help="Seed of the draw.")
@click.option("--components", is_flag=True, help="Add a column with the component that each row was drawn from.")
@writing
@json_option
@quiet_option
def sample(
    model: str, n_rows: int, seed: int, components: bool, output: str, to: str | None, as_json: bool, quiet: bool
) -> None:
    """Draw rows from a model, in random order.

    Columns have the names of the model's features; x1, x2 … where it has none. MODEL.gmm may be "-", standard input.
    """
    format = format_of(output, to, as_json=as_json)
    check_target(output, model)
    opened = ModelFile.open(model)
    rows, labels = opened.mixture.sample(n_rows, np.random.default_rng(seed))
    columns = dict(zip(opened.names, np.ascontiguousarray(rows.T), strict=True))
    if components:
        columns[free_name("component", list(columns))] = labels
    write_table(output, format, [pa.table(columns)])
