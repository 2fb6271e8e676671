"""Several files as one table."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import pyarrow as pa

from gaussmix.sources.files.stamps import Stamps
from gaussmix.sources.tables.base import BadTable, Table


@dataclass(frozen=True, kw_only=True)
class Files(Table):
    """Tables with the same columns, one after the other, in files that may not change while they are read."""

    tables: Sequence[Table]
    stamps: Stamps

    @classmethod
    def of(cls, tables: Sequence[Table]) -> Files:
        """Join tables; raises BadTable if two have other columns."""
        first = tables[0]
        for table in tables[1:]:
            what = table.unlike(first)
            if what is not None:
                raise BadTable(f"{table.name} has {what}, unlike {first.name}: all files must have the same columns.")
        files = tuple(chain.from_iterable(table.files for table in tables))
        return cls(
            name=first.name,
            names=first.names,
            has_names=first.has_names,
            notices=tuple(chain.from_iterable(table.notices for table in tables)),
            delimiter=first.delimiter,
            files=files,
            tables=tables,
            stamps=Stamps(files),
        )

    @property
    def schema(self) -> pa.Schema:
        return self.tables[0].schema

    @property
    def n_rows(self) -> int | None:
        sizes = [table.n_rows for table in self.tables]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    def batches(self, columns: Sequence[str], numbers: Collection[str] = ()) -> Iterator[pa.RecordBatch]:
        self.stamps.check()
        for table in self.tables:
            try:
                yield from table.batches(columns, numbers)
            except (OSError, ValueError):
                self.stamps.check()  # a file that has changed is the reason
                raise
        self.stamps.check()

    def is_slow(self, columns: Collection[str]) -> bool:
        return any(table.is_slow(columns) for table in self.tables)

    def n_together(self, columns: Collection[str]) -> int:
        return max(table.n_together(columns) for table in self.tables)

    def place(self, row: int) -> str:
        for table in self.tables:
            n_rows = table.n_rows
            if n_rows is None:
                n_rows = sum(batch.num_rows for batch in table.batches(table.names[:1]))
            if row < n_rows:
                return table.place(row)
            row -= n_rows
        raise IndexError(row)

    def check_unchanged(self) -> None:
        """Raise OSError where files have changed since they were opened."""
        self.stamps.check()

    def why_not_numeric(self, name: str, kind: pa.DataType) -> str:
        return self.tables[0].why_not_numeric(name, kind)
