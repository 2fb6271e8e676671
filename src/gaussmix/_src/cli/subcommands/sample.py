"""`gaussmix sample`: draw rows from a model."""

from __future__ import annotations

import click
import numpy as np
import pyarrow as pa

from gaussmix._src.cli import options
from gaussmix._src.cli.model_file import ModelFile
from gaussmix._src.cli.outputs import Writing, check_target, free_name


@click.command()
@options.file("model", "MODEL.gmm")
@options.option("-n n_rows", "Number of rows to draw.", type=click.IntRange(1), required=True, metavar="N")
@options.seed_option("--seed", "Seed of the random draws.")
@options.flag("--components", "Add a column with the component that each row was drawn from.")
@options.writing
@options.quiet
def sample(model: str, n_rows: int, seed: int, components: bool, writing: Writing) -> None:
    """Draw rows from a model, in random order.

    \b
      gaussmix sample faithful.gmm -n 1000 -o drawn.parquet

    The columns have the names of the model's features, or x0, x1, … if the features have no names. MODEL.gmm may be "-"
    for standard input.
    """
    check_target(writing.output, model)
    opened = ModelFile.open(model)
    mixture = opened.mixture if opened.posterior is None else opened.posterior.mixture_
    rows, labels = mixture.sample(n_rows, np.random.default_rng(seed))
    columns = dict(zip(opened.names, np.ascontiguousarray(rows.T), strict=True))
    if components:
        columns[free_name("component", list(columns))] = labels
    writing.write([pa.table(columns)])
