"""Tables whose columns have types: Parquet, Arrow and Feather files, and NumPy arrays."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from errno import EIO
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gaussmix.sources.files.npy import NpyFile
from gaussmix.sources.tables.base import (
    BadTable,
    Input,
    Table,
    check_names,
    first_line,
    invented_names,
    is_numeric,
    kind_of,
    reading,
)

BATCH_ROWS = 65_536
SLOW_CODECS = {"ZSTD", "GZIP", "BROTLI", "BZ2"}  # decompressing them takes longer than a pass of EM
INDEX = re.compile(r"__index_level_\d+__")  # where pandas puts the index of a frame
BATCH_BYTES = 2**25  # of an array that is read at a time
_FEATHER_1 = b"FEA1"
_ZSTD = b"\x28\xb5\x2f\xfd"
_ARROW_FILE = b"ARROW1"


@dataclass(frozen=True, kw_only=True)
class TypedTable(Table):
    """A table whose file has types for its columns."""

    source: Input
    types: pa.Schema

    @classmethod
    def of(cls, source: Input, types: pa.Schema, *, has_names: bool = True, **more: Any) -> TypedTable:
        """A table whose columns are those of its types; raises BadTable if there are none, or two of the same name."""
        index = [column for column in types.names if INDEX.fullmatch(column)]
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

    def _unreadable(self, what: str, error: Exception) -> OSError:
        return OSError(EIO, f"{what} can't be read: {first_line(error)}", self.name)


@dataclass(frozen=True, kw_only=True)
class ParquetTable(TypedTable):
    """A Parquet file."""

    footer: Any

    @property
    def n_rows(self) -> int:
        return int(self.footer.num_rows)

    def is_slow(self, columns: Collection[str]) -> bool:
        return is_slow_parquet(self.footer, columns)

    def _read(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        from pyarrow import parquet

        how = {"columns": list(columns), "use_threads": False}
        with parquet.ParquetFile(self.source.for_arrow, pre_buffer=False, buffer_size=2**20) as file:
            for group in range(file.num_row_groups):
                try:
                    yield from file.iter_batches(BATCH_ROWS, row_groups=[group], **how)
                except (pa.ArrowException, OSError) as error:
                    raise self._unreadable(f"row group {group}", error) from None

    def place(self, row: int) -> str:
        sizes = [self.footer.row_group(group).num_rows for group in range(self.footer.num_row_groups)]
        group, end = next((group, end) for group, end in enumerate(accumulate(sizes)) if row < end)
        return f"{self.name}, row group {group}, row {row - end + sizes[group]}"


def is_slow_parquet(footer: Any, columns: Collection[str]) -> bool:
    """Whether some columns of a Parquet file take longer to decompress than a pass of EM takes."""
    if not footer.num_row_groups:
        return False
    chunks = (footer.row_group(0).column(place) for place in range(footer.num_columns))
    return any(chunk.compression in SLOW_CODECS for chunk in chunks if chunk.path_in_schema in columns)


def read_parquet(source: Input) -> TypedTable:
    """A Parquet file, of which only the footer is read yet."""
    from pyarrow import parquet  # slow to import

    with reading(source, "Parquet"):
        footer = parquet.read_metadata(source.for_arrow)
        types = footer.schema.to_arrow_schema()
    return ParquetTable.of(source, types, footer=footer)


@dataclass(frozen=True, kw_only=True)
class ArrowFileTable(TypedTable):
    """An Arrow file, which is also a Feather file of version 2.

    Of the columns that are read, a batch is in memory at a time.
    """

    is_zstd: bool

    @cached_property
    def n_rows(self) -> int:
        widths = {each.name: each.type.bit_width for each in self.types if is_numeric(each.type)}
        narrow = min(widths, key=widths.__getitem__, default=self.names[0])
        return sum(batch.num_rows for batch in self._read([narrow]))  # `count_rows` reads every column

    def is_slow(self, columns: Collection[str]) -> bool:
        return self.is_zstd

    def _read(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        with self.source.opened() as opened, pa.ipc.open_file(opened, options=_only(columns, self.types)) as file:
            for number in range(file.num_record_batches):
                try:
                    yield file.get_batch(number)
                except (pa.ArrowException, OSError) as error:
                    raise self._unreadable(f"batch {number}", error) from None


@dataclass(frozen=True, kw_only=True)
class ArrowStreamTable(TypedTable):
    """An Arrow stream, whose number of rows is known at its end."""

    def _read(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        with reading(self.source, "Arrow or Feather"), self.source.opened() as opened:
            yield from pa.ipc.open_stream(opened, options=_only(columns, self.types))


def _only(columns: Collection[str], types: pa.Schema) -> pa.ipc.IpcReadOptions:
    """Read the bytes of these columns alone."""
    return pa.ipc.IpcReadOptions(included_fields=[types.get_field_index(name) for name in columns])


@dataclass(frozen=True, kw_only=True)
class MemoryTable(TypedTable):
    """A table in memory."""

    arrow: pa.Table

    @property
    def n_rows(self) -> int:
        return int(self.arrow.num_rows)

    def _read(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        yield from self.arrow.select(list(columns)).to_batches(BATCH_ROWS)


def read_arrow(source: Input) -> TypedTable:
    """An Arrow file or stream, or a Feather file of either version; one of version 1 is read whole."""
    start = source.first_bytes(len(_ARROW_FILE))
    with reading(source, "Arrow or Feather"):
        if start.startswith(_FEATHER_1):
            from pyarrow import feather

            arrow = feather.read_table(source.for_arrow)
            return MemoryTable.of(source, arrow.schema, arrow=arrow)
        is_file = start.startswith(_ARROW_FILE)
        with source.opened() as opened:
            types = (pa.ipc.open_file if is_file else pa.ipc.open_stream)(opened).schema
            return (
                ArrowFileTable.of(source, types, is_zstd=is_zstd(opened))
                if is_file
                else ArrowStreamTable.of(source, types)
            )


def is_zstd(file: pa.NativeFile) -> bool:
    """Whether the buffers of an Arrow file are compressed by zstd: PyArrow does not say."""
    place, body = 8, b""
    for _ in range(2):  # the message of the types has no body, the next one has
        size = int.from_bytes(file.read_at(8, place)[4:], "little")
        place += 8 + size
        body = file.read_at(12, place)
    return body[8:] == _ZSTD  # after the length of the first buffer


@dataclass(frozen=True, kw_only=True)
class NpyTable(TypedTable):
    """A NumPy array in a file: rows of numbers, one column of them, or records with names."""

    file: NpyFile

    @property
    def n_rows(self) -> int:
        return self.file.n_rows

    def _read(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        step = max(1, min(BATCH_ROWS, BATCH_BYTES // (self.file.n_columns * self.file.dtype.itemsize)))
        with self.source.opened() as opened:
            for first in range(0, self.n_rows, step):
                every = self._rows(opened, first, min(step, self.n_rows - first), columns)
                yield pa.record_batch({name: _native(column) for name, column in every.items()})

    def _rows(self, opened: pa.NativeFile, first: int, count: int, columns: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Some columns of some rows."""
        file, size = self.file, self.file.dtype.itemsize
        places = {name: self.names.index(name) for name in columns}
        if file.is_by_columns:
            starts = {name: (place * file.n_rows + first) * size for name, place in places.items()}
            return {name: self._numbers(opened, start, count) for name, start in starts.items()}
        rows = self._numbers(opened, first * file.n_columns * size, count * file.n_columns)
        if file.dtype.names:
            return {name: rows[name] for name in columns}
        return {name: rows.reshape(count, -1)[:, place] for name, place in places.items()}

    def _numbers(self, opened: pa.NativeFile, start: int, count: int) -> NDArray[Any]:
        raw = opened.read_at(count * self.file.dtype.itemsize, self.file.start + start)
        if len(raw) < count * self.file.dtype.itemsize:
            raise OSError(EIO, "became shorter while it was read", self.name)
        return np.frombuffer(raw, self.file.dtype)


def _native(column: NDArray[Any]) -> NDArray[Any]:
    """Numbers one after the other, in the order of bytes of this machine."""
    return np.ascontiguousarray(column, column.dtype.newbyteorder("="))


def read_npy(source: Input) -> TypedTable:
    """A NumPy array, of which only the header is read yet."""
    try:
        with source.opened() as opened:
            file = NpyFile.of(source.name, opened)
    except ValueError as error:
        raise BadTable(str(error)) from None
    names = file.dtype.names or invented_names(file.n_columns)
    kinds = [file.dtype[name] for name in file.dtype.names or ()] or [file.dtype] * file.n_columns
    types = [pa.array(_native(np.empty(0, kind))).type for kind in kinds]
    return NpyTable.of(source, pa.schema(zip(names, types, strict=True)), has_names=bool(file.dtype.names), file=file)
