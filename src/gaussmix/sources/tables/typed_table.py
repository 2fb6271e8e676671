"""Tables whose files have types for their columns."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from errno import EIO
from functools import cached_property
from typing import Any

import pyarrow as pa

from gaussmix.sources.tables.base import BadTable, Input, Table, check_names, first_line, kind_of, no_memory

BATCH_ROWS = 65_536
BATCH_BYTES = 2**25  # of a batch, for tables of many columns
_INDEX = re.compile(r"__index_level_\d+__")  # where pandas puts the index of a frame


def batch_rows(n_columns: int) -> int:
    """How many rows of so many columns to read at a time: a multiple of 8."""
    return max(8, min(BATCH_ROWS, BATCH_BYTES // (8 * n_columns) // 8 * 8))


@dataclass(frozen=True, kw_only=True)
class TypedTable(Table):
    """A table whose file has types for its columns."""

    source: Input
    types: pa.Schema

    @classmethod
    def of(cls, source: Input, types: pa.Schema, *, has_names: bool = True, **more: Any) -> TypedTable:
        """A table whose columns are those of its types; raises BadTable if there are none, or two of the same name."""
        index = [column for column in types.names if _INDEX.fullmatch(column)]
        names = [column for column in types.names if column not in index]
        if not names:
            raise BadTable(f"{source.name} has no columns.")
        check_names(source.name, names)
        return cls(
            name=source.name,
            names=tuple(names),
            has_names=has_names,
            notices=tuple(f"left out column {column!r}: it is the index of a data frame." for column in index),
            files=source.files,
            source=source,
            types=types,
            **more,
        )

    @cached_property
    def schema(self) -> pa.Schema:
        return pa.schema([self.types.field(name) for name in self.names], self.types.metadata)

    def batches(self, columns: Sequence[str], numbers: Collection[str] = ()) -> Iterator[pa.RecordBatch]:
        for batch in self._read(columns):
            yield batch.select(list(columns))

    @abstractmethod
    def _read(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The rows, with at least these columns."""

    def place(self, row: int) -> str:
        return f"{self.name}, row {row}"

    def why_not_numeric(self, name: str, kind: pa.DataType) -> str:
        return kind_of(kind)

    @contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        """Name the part of the file that can't be read."""
        try:
            yield
        except MemoryError as error:
            raise no_memory(f"{self.name}, {what}", error) from None
        except (pa.ArrowException, OSError) as error:
            raise OSError(EIO, f"{what} can't be read: {first_line(error)}", self.name) from None
