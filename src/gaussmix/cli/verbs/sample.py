"""`gaussmix sample`: draw rows from a model."""

from __future__ import annotations

import click
import numpy as np
import pyarrow as pa

from gaussmix.cli import options
from gaussmix.cli.model_file import ModelFile
from gaussmix.cli.outputs import Writing, check_target, free_name


@click.command()
@click.argument("model", metavar="MODEL.gmm", type=click.Path())
@click.option("-n", "n_rows", type=click.IntRange(1), required=True, metavar="N", help="How many rows.")
@click.option("--seed", type=click.IntRange(0), default=0, metavar="N", help="Seed of the draw.")
@click.option("--components", is_flag=True, help="Add a column with the component that each row was drawn from.")
@options.writing
@options.quiet
def sample(model: str, n_rows: int, seed: int, components: bool, writing: Writing) -> None:
    """Draw rows from a model, in random order.

    \b
      gaussmix sample faithful.gmm -n 1000 -o drawn.parquet

    Columns have the names of the model's features; x0, x1 … where it has none. MODEL.gmm may be "-", standard input.
    """
    check_target(writing.output, model)
    opened = ModelFile.open(model)
    mixture = opened.mixture if opened.posterior is None else opened.posterior.mixture_
    rows, labels = mixture.sample(n_rows, np.random.default_rng(seed))
    columns = dict(zip(opened.names, np.ascontiguousarray(rows.T), strict=True))
    if components:
        columns[free_name("component", list(columns))] = labels
    writing.write([pa.table(columns)])
