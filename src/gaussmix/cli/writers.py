"""Tables as files: one function for each format."""

from __future__ import annotations

import codecs
import csv
import json
import math
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from gaussmix.sources.tables.tables import BadTable, is_numeric

_ROWS_AT_ONCE = 10_000


def write_csv(file: BinaryIO, table: pa.Table, delimiter: str) -> None:
    """Write text as it is and numbers with all their digits; lines end with LF."""
    writer = csv.writer(codecs.getwriter("utf-8")(file), delimiter=delimiter, lineterminator="\n")
    writer.writerow(table.column_names)
    writer.writerows(_rows(table))


def write_json(file: BinaryIO, table: pa.Table, delimiter: str) -> None:
    """Write an array with an object for each row, a line each."""
    text = codecs.getwriter("utf-8")(file)
    text.write("[")
    for number, row in enumerate(_rows(table)):
        text.write(",\n" if number else "\n")
        record = {name: json_value(value) for name, value in zip(table.column_names, row, strict=True)}
        text.write(json.dumps(record, ensure_ascii=False, default=str))
    text.write("\n]\n")


def write_parquet(file: BinaryIO, table: pa.Table, delimiter: str) -> None:
    """Write Parquet."""
    from pyarrow import parquet  # slow to import, and seldom needed

    parquet.write_table(table, pa.PythonFile(file, "w"))


def write_arrow(file: BinaryIO, table: pa.Table, delimiter: str) -> None:
    """Write an Arrow file, which is also Feather of version 2."""
    with pa.ipc.new_file(pa.PythonFile(file, "w"), table.schema) as writer:
        writer.write_table(table)


def write_npy(file: BinaryIO, table: pa.Table, delimiter: str) -> None:
    """Write the columns as float64 (n_rows, n_columns); raises BadTable where one holds no numbers."""
    rows = np.empty((table.num_rows, table.num_columns))
    for at, name in enumerate(table.column_names):
        if not is_numeric(table[name].type):
            raise BadTable(f"column {name!r} holds no numbers, and .npy holds nothing else: write another format.")
        rows[:, at] = table[name].to_numpy()
    np.lib.format.write_array(file, rows)


WRITERS: dict[str, Callable[[BinaryIO, pa.Table, str], None]] = {
    "csv": write_csv,
    "json": write_json,
    "parquet": write_parquet,
    "arrow": write_arrow,
    "npy": write_npy,
}
FOR_PEOPLE = ("csv", "json")  # what a terminal can show


def json_value(value: Any) -> Any:
    """A value that JSON has: null for the infinite log density of a row beyond all range."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _rows(table: pa.Table) -> Iterator[tuple[Any, ...]]:
    for batch in table.to_batches(max_chunksize=_ROWS_AT_ONCE):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
