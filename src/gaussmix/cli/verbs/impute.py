"""`gaussmix impute`: fill empty cells by what a model expects."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

import click
import numpy as np
import pyarrow as pa

from gaussmix.cli.model_file import ModelFile
from gaussmix.cli.options import Reading, columns, writing
from gaussmix.cli.options import as_json as json_option
from gaussmix.cli.options import jobs as jobs_option
from gaussmix.cli.options import memory as memory_option
from gaussmix.cli.options import reading as reading_options
from gaussmix.cli.outputs import check_inputs, check_target, format_of, rows_at_once, write_table
from gaussmix.cli.show.notices import check_engine, collected_warnings, print_notices
from gaussmix.cli.show.progress import progress
from gaussmix.errors import counted
from gaussmix.mixture.holes import Filling
from gaussmix.numerics.arrays import Array
from gaussmix.sources.tables.base import STANDARD
from gaussmix.waist.block import Block
from gaussmix.waist.leaves import LEAF_ROWS


@click.command()
@click.argument("model", metavar="MODEL.gmm", type=click.Path())
@click.argument("data", metavar="DATA", type=click.Path())
@click.option("--draw", is_flag=True, help="Fill with draws, which keep the spread, instead of means.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, metavar="N", help="Seed of the draws.")
@columns
@writing
@memory_option
@reading_options
@jobs_option
@json_option
def impute(
    model: str,
    data: str,
    draw: bool,
    seed: int,
    columns: tuple[str, ...],
    output: str,
    to: str | None,
    reading: Reading,
    as_json: bool,
    quiet: bool,
    jobs: int | None,
    memory: int,
) -> None:
    """Fill the empty cells of DATA: with the mean that a model expects, given the other cells of the row.

    Only the model's features are filled; other cells and columns stay as they are. `gaussmix fit --missing` learns a
    model from rows with empty cells.
    """
    check_inputs(model, data)
    if reading.drops_missing:
        raise click.UsageError("--drop-missing would leave out the rows to fill.", click.get_current_context())
    written_as = format_of(output, to, as_json=as_json)
    check_target(output, model, data)
    check_engine(jobs, quiet=quiet)
    opened = ModelFile.open(model)
    if opened.mixture.noise is not None:
        raise ValueError(f"{opened.name} has noise, which expects nothing: fit a model without --noise.")
    table = reading.open(data)
    features = opened.columns_of(table.without(reading.exclude), columns)
    table = reading.of_features(table, features)
    print_notices(table.notices, quiet=quiet)
    fill = Filling(opened.mixture.with_feature_names(None), jobs, seed if draw else None)
    # Each part seeds its draws: they must not depend on the memory, nor on columns that are not filled.
    n_rows = LEAF_ROWS if draw else rows_at_once(max(len(table.names), opened.mixture.n_components), memory)
    n_filled = [0]
    parts = table.parts(n_rows, () if written_as == "csv" else features)
    rows = table.rows(features, n_rows, may_miss=True)
    with collected_warnings() as collected, progress(quiet=quiet or (output == STANDARD and sys.stdout.isatty())):
        filled = _filled(parts, rows, features, fill, n_filled, table.decimal)
        write_table(output, written_as, filled, table.delimiter, table.decimal)
    print_notices([*collected, f"filled {counted(n_filled[0], 'cell')} of {table.name}."], quiet=quiet)


def _filled(
    parts: Iterable[pa.Table],
    rows: Iterable[Array],
    features: tuple[str, ...],
    fill: Filling,
    n_filled: list[int],
    decimal: str,
) -> Iterator[pa.Table]:
    """Each part of a table with its empty cells filled; `n_filled` counts them."""
    first = 0
    for part, numbers in zip(parts, rows, strict=True):
        missing, found = np.isnan(numbers), fill(Block(first, numbers))
        n_filled[0] += int(missing.sum())
        for place, name in enumerate(features):
            if missing[:, place].any():
                column = part[name]
                values: pa.Array = pa.array(found[:, place])
                if pa.types.is_string(column.type):
                    values = pa.array([str(value).replace(".", decimal) for value in found[:, place].tolist()])
                elif not pa.types.is_floating(column.type):
                    column = column.cast(pa.float64(), safe=False)
                values = values.cast(column.type)
                kept = pa.compute.if_else(pa.array(missing[:, place]), values, column)
                part = part.set_column(part.column_names.index(name), name, kept)
        yield part
        first += len(numbers)
