"""Parquet files."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import pyarrow as pa

from gaussmix.sources.tables.base import Input, reading
from gaussmix.sources.tables.typed_table import TypedTable, batch_rows

SLOW_CODECS = {"ZSTD", "GZIP", "BROTLI", "BZ2"}  # decompressing them takes longer than a pass of EM


@dataclass(frozen=True, kw_only=True)
class ParquetTable(TypedTable):
    """A Parquet file."""

    footer: Any

    @property
    def n_rows(self) -> int:
        return int(self.footer.num_rows)

    def is_slow(self, columns: Collection[str]) -> bool:
        return is_slow(self.footer, columns)

    def _read(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        from pyarrow import parquet

        how = {"columns": list(columns), "use_threads": False}
        with self.source.opened() as opened, parquet.ParquetFile(opened, pre_buffer=False, buffer_size=2**20) as file:
            for group in range(file.num_row_groups):
                with self._reading(f"row group {group}"):
                    yield from file.iter_batches(batch_rows(len(columns)), row_groups=[group], **how)

    def place(self, row: int) -> str:
        sizes = [self.footer.row_group(group).num_rows for group in range(self.footer.num_row_groups)]
        group, end = next((group, end) for group, end in enumerate(accumulate(sizes)) if row < end)
        return f"{self.name}, row group {group}, row {row - end + sizes[group]}"


def is_slow(footer: Any, columns: Collection[str]) -> bool:
    """Whether some columns of a Parquet file take longer to decompress than a pass of EM takes."""
    if not footer.num_row_groups:
        return False
    chunks = (footer.row_group(0).column(place) for place in range(footer.num_columns))
    return any(chunk.compression in SLOW_CODECS for chunk in chunks if chunk.path_in_schema in columns)


def read_parquet(source: Input) -> TypedTable:
    """A Parquet file; only its footer is read yet."""
    from pyarrow import parquet  # slow to import

    with reading(source, "Parquet"), source.opened() as opened:
        footer = parquet.read_metadata(opened)
        types = footer.schema.to_arrow_schema()
    return ParquetTable.of(source, types, footer=footer)
