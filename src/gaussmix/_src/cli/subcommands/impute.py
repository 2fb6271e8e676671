"""`gaussmix impute`: fill the missing values of a table from a model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

import click
import numpy as np
import pyarrow as pa

from gaussmix._src.cli import options
from gaussmix._src.cli.model_file import ModelFile
from gaussmix._src.cli.outputs import Writing, check_target, rows_at_once
from gaussmix._src.cli.reading import Reading
from gaussmix._src.cli.show.notices import collected_warnings, print_notices
from gaussmix._src.cli.show.progress import progress
from gaussmix._src.errors import counted
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.leaves import LEAF_ROWS
from gaussmix._src.mixture.missing_values import Filling
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.sources.tables import Files
from gaussmix._src.sources.tables.base import as_doubles, is_numeric


@click.command(cls=options.OnTables)
@options.file("model", "MODEL.gmm")
@options.file("data", "DATA")
@options.flag("--draw", "Fill with random draws, which preserve the spread of the columns, instead of means.")
@options.seed_option("--seed", "Seed of the draws.")
@options.row_by_row
def impute(model: str, data: str, draw: bool, seed: int, writing: Writing, reading: Reading) -> None:
    """Fill the empty cells of DATA with the conditional mean under a model, given the other cells of the row.

    \b
      gaussmix impute faithful.gmm incomplete.csv -o filled.csv

    Only columns that are features of the model are filled. Other cells stay unchanged, except that integer columns of
    typed tables (such as Parquet) become floats if they have empty cells. `gaussmix fit` can fit the model to rows with
    empty cells.
    """
    if reading.drop_missing or not reading.missing:
        flag = "--drop-missing" if reading.drop_missing else "--missing error"
        raise click.UsageError(f"{flag} excludes the rows that impute fills: leave out this option.")
    check_target(writing.output, model, data)
    opened = ModelFile.open(model)
    if opened.mixture.noise is not None:
        raise ValueError(f"{opened.name} has a noise component, which has no mean. Fit a model without --noise.")
    table, features = reading.matched(opened, data)
    fill = Filling(opened.mixture.with_feature_names(None), reading.jobs, seed if draw else None)
    # Each part of the table has its own seeded random generator. For reproducible results, the size of a part must
    # therefore not depend on the memory or on other columns.
    n_rows = LEAF_ROWS if draw else rows_at_once(max(len(table.names), opened.mixture.n_components), reading.memory)
    n_filled = [0]
    parts = table.parts(n_rows, writing.numbers(features))
    rows = table.rows(features, n_rows, may_miss=True)
    with collected_warnings() as collected, progress(writing.output):
        pieces = zip(parts, rows, strict=True)
        writing.write(_filled(pieces, table, features, fill, n_filled), table)
    print_notices([*collected, f"filled {counted(n_filled[0], 'cell')} of {table.name}."])


def _filled(
    pieces: Iterable[tuple[pa.Table, Array]],
    table: Files,
    features: tuple[str, ...],
    fill: Filling,
    n_filled: list[int],
) -> Iterator[pa.Table]:
    """Yield each part of a table with filled cells, and count the filled cells in `n_filled`.

    `pieces` yields pairs of a part of the table and an array with the values of the features in this part.
    """
    first, become_floats = 0, set[str]()
    for part, numbers in pieces:
        if not first:  # all parts must have the same types, even parts without missing values
            become_floats = _incomplete(table, [name for name in features if _lacks_nan(part.schema.field(name).type)])
        missing, imputed = np.isnan(numbers), fill(Block(first, numbers))
        n_filled[0] += int(missing.sum())
        for i, name in enumerate(features):
            if not (name in become_floats or missing[:, i].any()):
                continue
            column = as_doubles(part[name]) if name in become_floats else part[name]
            values: pa.Array = pa.array(imputed[:, i])
            if pa.types.is_string(column.type):
                values = pa.array([str(value).replace(".", table.decimal) for value in imputed[:, i].tolist()])
            filled = pa.compute.if_else(pa.array(missing[:, i]), values.cast(column.type), column)
            field = part.schema.field(name).with_type(column.type)
            part = part.set_column(part.column_names.index(name), field, filled)
        yield _described_as_floats(part, become_floats)
        first += len(numbers)


def _described_as_floats(table: pa.Table, names: set[str]) -> pa.Table:
    """Return the table with metadata of pandas that describe the columns `names` as floats.

    pandas cannot read a column of floats that is described as a column of integers. Damaged metadata remain unchanged.
    """
    metadata = table.schema.metadata or {}
    try:
        described = json.loads(metadata[b"pandas"])
        for each in described["columns"]:
            if each["field_name"] in names:
                each["pandas_type"] = each["numpy_type"] = "float64"
    except (KeyError, TypeError, ValueError):
        return table
    return table.replace_schema_metadata({**metadata, b"pandas": json.dumps(described).encode()})


def _lacks_nan(kind: pa.DataType) -> bool:
    """Return whether values of a numeric type must be converted to floats, because the type has no fractions or NaN."""
    return is_numeric(kind) and not pa.types.is_floating(kind)


def _incomplete(table: Files, names: list[str]) -> set[str]:
    """Return the columns in `names` that have missing values."""
    result = set[str]()
    for batch in table.batches(names, names) if names else ():
        result.update(name for name in names if batch.column(name).null_count)
    return result
