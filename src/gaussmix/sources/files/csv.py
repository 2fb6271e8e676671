"""Rows of CSV files, read once and spooled: parsing text takes ten times as long as a pass of EM."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
from pyarrow import csv as arrow_csv

from gaussmix.sources.files.arrow import BatchReader
from gaussmix.sources.tables.base import Input, is_numeric
from gaussmix.sources.tables.csv_table import CsvTable, read_csv


class CsvReader(BatchReader):
    """The rows of CSV files with the same columns, one file after the other; compressed ones too."""

    is_slow = True

    def __init__(self, paths: Sequence[Path], columns: Sequence[str] | None = None, weights: str | None = None) -> None:
        self.tables = [read_csv(Input.of(str(path))) for path in paths]
        first = self.tables[0]
        for table in self.tables:
            if table.names != first.names:
                raise ValueError(f"{table.name} has other columns than {first.name}: all files must have the same.")
        with _opened(first, {}) as batches:
            guessed = batches.schema
        fields = [pa.field(each.name, pa.float64() if is_numeric(each.type) else each.type) for each in guessed]
        super().__init__(first.name, pa.schema(fields), 0, columns, weights)
        self.has_names = first.has_names

    def batches(self) -> Iterator[pa.RecordBatch]:
        types = dict.fromkeys(self.read_columns, pa.float64())
        for table in self.tables:
            try:
                with _opened(table, types) as batches:
                    yield from batches
            except pa.ArrowInvalid as error:
                reason = str(error).partition("\n")[0].rstrip(".")
                raise ValueError(f"{table.name} can't be read as CSV: {reason}.") from None


def _opened(table: CsvTable, types: dict[str, pa.DataType]) -> arrow_csv.CSVStreamingReader:
    return arrow_csv.open_csv(
        table.source.stream(decompress=True),
        read_options=arrow_csv.ReadOptions(
            skip_rows=table.n_blank, column_names=table.names, skip_rows_after_names=int(table.has_names)
        ),
        parse_options=arrow_csv.ParseOptions(delimiter=table.delimiter, newlines_in_values=True),
        convert_options=arrow_csv.ConvertOptions(
            include_columns=list(types), column_types=types, strings_can_be_null=False
        ),
    )
