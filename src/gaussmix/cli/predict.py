"""`gaussmix predict`: a model and a table in, the table with each row's component and density out."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import IO, Any

import click

from gaussmix.cli.fit import check_target
from gaussmix.cli.notices import check_engine, heard, notice
from gaussmix.cli.options import shared_options
from gaussmix.cli.tables import Numbers, Table, listed
from gaussmix.formats import Details, load, whole_file
from gaussmix.mixture.mixture import Mixture

_RESULTS = ("component", "probability", "log_density")
_ROWS_AT_ONCE = 10_000

Columns = dict[str, Sequence[Any]]


@click.command()
@click.argument("model", metavar="MODEL.gmm")
@click.argument("data", metavar="DATA.csv")
@click.option("-o", "--output", metavar="OUT.csv", help="Write there instead of to standard output.")
@shared_options
def predict(
    model: str, data: str, output: str | None, has_header: bool | None, jobs: int | None, as_json: bool, quiet: bool
) -> None:
    """Add to each row of DATA.csv its most probable component, that component's probability and the log density.

    Columns are matched with the model's by name; others are passed on unused.
    """
    if output is not None:
        check_target(output, data)
    check_engine(jobs, quiet=quiet)
    mixture, details = load(model)
    table = Table.open(data, has_header)
    numbers = features(table, mixture, details, model)
    with heard() as sentences:
        results = predictions(mixture, numbers, jobs)
    sentences.extend(table.notices)
    columns: Columns = dict(zip(table.names, table.text(), strict=True))
    if as_json:  # what the model reads are numbers there; the rest stays text
        columns.update(zip(numbers.names, numbers.rows.T.tolist(), strict=True))
    for name, values in results.items():
        free = free_name(name, columns)
        if free != name:
            sentences.append(f"{data} has a column {name!r} already, so the new one is called {free!r}.")
        columns[free] = values
    for sentence in sentences:
        notice(sentence, quiet=quiet)
    with opened(output) as file:
        write_json(file, columns) if as_json else write_csv(file, columns, table)


def features(table: Table, mixture: Mixture, details: Details, model: str) -> Numbers:
    """The columns that the model reads, in its order: by name, or by place where it has no names.

    Raises
    ------
    ValueError : one is missing or does not hold numbers, or there are too many to know which.
    """
    names = details.feature_names
    if names is None or not table.has_header:
        numbers = table.numeric()
        if len(numbers.names) != mixture.n_features:
            raise ValueError(
                f"{table.path} has {len(numbers.names)} numeric columns, but {model} has {mixture.n_features} features."
            )
        return numbers
    missing = [name for name in names if name not in table.names]
    if missing:
        raise ValueError(
            f"{table.path} has no column {listed(missing)}, which {model} needs; it has {listed(table.names)}."
        )
    return table.numeric(names)


def predictions(mixture: Mixture, numbers: Numbers, jobs: int | None) -> Columns:
    """The new columns."""
    responsibilities = mixture.responsibilities(numbers.rows, n_jobs=jobs)
    log_density = mixture.log_density(numbers.rows, n_jobs=jobs)
    values = responsibilities.argmax(axis=1), responsibilities.max(axis=1), log_density
    return {name: column.tolist() for name, column in zip(_RESULTS, values, strict=True)}


def free_name(name: str, columns: Columns) -> str:
    """A name for a new column, with underscores behind it where the table has it already."""
    while name in columns:
        name += "_"
    return name


@contextmanager
def opened(output: str | None) -> Iterator[IO[str]]:
    """Standard output, or a file that appears once it is complete."""
    if output is None:
        yield sys.stdout
        return
    with whole_file(Path(output)) as raw:
        text = TextIOWrapper(raw, encoding="utf-8", newline="")
        yield text
        text.flush()
        text.detach()


def write_csv(file: IO[str], columns: Columns, table: Table) -> None:
    """Write columns as the input wrote them: its delimiter, its spelling of numbers; lines end with LF."""
    writer = csv.writer(file, delimiter=table.delimiter, lineterminator="\n")
    writer.writerow(columns)
    rows = zip(*columns.values(), strict=True)
    while part := list(islice(rows, _ROWS_AT_ONCE)):
        writer.writerows(part)


def write_json(file: IO[str], columns: Columns) -> None:
    """Write an array with an object for each row, a line each."""
    names = list(columns)
    file.write("[")
    for number, row in enumerate(zip(*columns.values(), strict=True)):
        file.write(",\n" if number else "\n")
        record = {name: _json_value(value) for name, value in zip(names, row, strict=True)}
        file.write(json.dumps(record, ensure_ascii=False))
    file.write("\n]\n")


def _json_value(value: Any) -> Any:
    """A value that JSON has: null for the infinite log density of a row beyond all range."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
