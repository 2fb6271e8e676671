"""Rows of CSV files, read once and spooled: parsing text takes ten times as long as a pass of EM."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from gaussmix.sources.files.arrow import BatchReader
from gaussmix.sources.tables.base import BadTable, Input, is_numeric
from gaussmix.sources.tables.csv_table import read_csv


class CsvReader(BatchReader):
    """The rows of CSV files with the same columns, one file after the other; compressed ones too."""

    is_slow = True

    def __init__(self, paths: Sequence[Path], columns: Sequence[str] | None = None, weights: str | None = None) -> None:
        self.tables = [read_csv(Input.of(str(path))) for path in paths]
        first = self.tables[0]
        for table in self.tables:
            if table.names != first.names:
                raise ValueError(f"{table.name} has other columns than {first.name}: all files must have the same.")
        with first.batches({}) as batches:
            guessed = batches.schema
        fields = [pa.field(each.name, pa.float64() if is_numeric(each.type) else each.type) for each in guessed]
        super().__init__(first.name, pa.schema(fields), 0, columns, weights)
        self.has_names = first.has_names

    def batches(self) -> Iterator[pa.RecordBatch]:
        types = dict.fromkeys(self.read_columns, pa.float64())
        for table in self.tables:
            try:
                with table.batches(types) as batches:
                    yield from batches
            except pa.ArrowInvalid as error:
                raise BadTable(table.why_unreadable(error, self.read_columns)) from None
