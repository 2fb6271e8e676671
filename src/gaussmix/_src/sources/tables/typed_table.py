"""Read Parquet and .npy files, and define the base class of tables whose files store the types of columns."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from errno import EIO
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gaussmix._src.errors import invented_names
from gaussmix._src.numerics.threads import cached_property
from gaussmix._src.sources.files.npy import NpyFile
from gaussmix._src.sources.tables import base
from gaussmix._src.sources.tables.base import BadTable, Input, Table, batch_rows, reading

SLOW_CODECS = {"ZSTD", "GZIP", "BROTLI", "BZ2"}  # with these codecs, decompression takes longer than an EM step
MAX_UNBUFFERED_BYTES = 2**25  # a Parquet file with a larger row group is read with a buffer
_PANDAS_INDEX = re.compile(r"__index_level_\d+__")  # name of a column in which pandas stores the index of a data frame


@dataclass(frozen=True, kw_only=True)
class TypedTable(Table):
    """A table whose file stores the types of its columns."""

    source: Input
    types: pa.Schema

    @classmethod
    def from_input(cls, source: Input, types: pa.Schema, *, has_names: bool = True, **more: Any) -> TypedTable:
        """Build a table from a schema; raise BadTable if the schema has no columns, or two columns of the same name."""
        index = [column for column in types.names if _PANDAS_INDEX.fullmatch(column)]
        names = [column for column in types.names if column not in index]
        if not names:
            raise BadTable(f"{source.name} has no columns.")
        base.check_names(source.name, names)
        return cls(
            name=source.name,
            names=tuple(names),
            has_names=has_names,
            notices=tuple(f"left out column {column!r}: {base.INDEX_OF_FRAME}." for column in index),
            files=source.files,
            source=source,
            types=types,
            **more,
        )

    @cached_property
    def schema(self) -> pa.Schema:
        return pa.schema([self.types.field(name) for name in self.names], self.types.metadata)

    def batches(self, columns: Sequence[str], numeric: Collection[str] = ()) -> Iterator[pa.RecordBatch]:
        for batch in self._read(columns):
            yield base.valid(batch.select(list(columns)), self.name)

    @abstractmethod
    def _read(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield the rows as record batches with these columns and possibly further columns."""

    @contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        """Add the name of a part of the file, such as "row group 0", to errors inside the `with` block."""
        try:
            yield
        except MemoryError as error:
            raise base.no_memory(f"{self.name}, {what}", error) from None
        except (pa.ArrowException, OSError) as error:
            if getattr(error, "filename", None) == self.name:  # errors of stores already name the file
                raise
            raise OSError(EIO, f"{what} can't be read: {base.first_line(error)}", self.name) from None


@dataclass(frozen=True, kw_only=True)
class ParquetTable(TypedTable):
    """A Parquet file."""

    footer: Any

    @property
    def n_rows(self) -> int:
        return int(self.footer.num_rows)

    def is_slow(self, columns: Collection[str]) -> bool:
        with reading(self.source, "Parquet"):
            return is_slow(self.footer, columns)

    def _read(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        from pyarrow import parquet

        selection = {"columns": list(columns), "use_threads": False}
        groups = (self.footer.row_group(group) for group in range(self.footer.num_row_groups))
        sizes = [sum(chunk.total_compressed_size for chunk in self._chunks(group, {*columns})) for group in groups]
        # With a buffer, Arrow allocates the size that a page claims to have before it reads the page, even if the page
        # is damaged. Therefore files with small row groups are read without a buffer.
        buffer = 2**16 if max(sizes, default=0) > MAX_UNBUFFERED_BYTES else 0
        options = {"metadata": self.footer, "pre_buffer": False, "buffer_size": buffer}
        with self.source.opened() as opened, parquet.ParquetFile(opened, **options) as file:
            if max(sizes, default=0) > opened.size():
                raise BadTable(f"{self.name} is damaged: its columns claim more bytes than the file has.")
            for group in range(file.num_row_groups):
                with self._reading(f"row group {group}"):
                    yield from file.iter_batches(batch_rows(len(columns)), row_groups=[group], **selection)

    def ranges(self, columns: Collection[str], max_bytes: int) -> Iterator[tuple[int, int]]:
        columns = {*columns}
        for group in map(self.footer.row_group, range(self.footer.num_row_groups)):
            yield from _in_turn(sorted(map(_range, self._chunks(group, columns))), max_bytes)

    def _chunks(self, group: Any, columns: Collection[str]) -> Iterator[Any]:
        """Yield the column chunks of these columns in a row group of a Parquet file."""
        with reading(self.source, "Parquet"):  # Names in a damaged footer may not be valid UTF-8.
            for chunk in (group.column(start) for start in range(group.num_columns)):
                if (path := chunk.path_in_schema) in columns or path.partition(".")[0] in columns:
                    yield chunk

    def describe_location(self, row: int) -> str:
        sizes = [self.footer.row_group(group).num_rows for group in range(self.footer.num_row_groups)]
        group, end = next((group, end) for group, end in enumerate(accumulate(sizes)) if row < end)
        return f"{self.name}, row group {group}, row {row - end + sizes[group]}"


def _range(chunk: Any) -> tuple[int, int]:
    """Return the offset of the first page of a column chunk, and the size of all its pages in bytes."""
    dictionary = chunk.dictionary_page_offset
    first = chunk.data_page_offset if dictionary is None else min(dictionary, chunk.data_page_offset)
    return first, chunk.total_compressed_size


def _in_turn(ranges: Sequence[tuple[int, int]], max_bytes: int) -> Iterator[tuple[int, int]]:
    """Yield byte ranges: joined ranges if all columns fit into memory, otherwise a piece of each column in turn."""
    if sum(count for _, count in ranges) > max_bytes:
        size = max(2**16, max_bytes // (2 * len(ranges)))
        # Sorting by the fraction of the column before a piece mixes the pieces of all columns.
        pieces = ((at / count, first + at, count - at) for first, count in ranges for at in range(0, count, size))
        yield from ((first, min(size, left)) for _, first, left in sorted(pieces))
        return
    joined: list[tuple[int, int]] = []
    for first, count in ranges:
        start, size = joined.pop() if joined and sum(joined[-1]) == first else (first, 0)
        joined.append((start, size + count))
    yield from joined


def is_slow(footer: Any, columns: Collection[str]) -> bool:
    """Return whether decompressing these columns of a Parquet file takes longer than an EM step."""
    if not footer.num_row_groups:
        return False
    group, columns = footer.row_group(0), {*columns}
    chunks = (group.column(start) for start in range(footer.num_columns))
    return any(chunk.compression in SLOW_CODECS for chunk in chunks if chunk.path_in_schema in columns)


def read_parquet(source: Input) -> TypedTable:
    """Read the footer of a Parquet file, and return a table that reads the rows later."""
    from pyarrow import parquet  # imported here, because the import is slow

    with reading(source, "Parquet"), source.opened() as opened:
        footer = parquet.read_metadata(opened)
        types = base.mark_categories(footer.schema.to_arrow_schema())
    return ParquetTable.from_input(source, types, footer=footer)


@dataclass(frozen=True, kw_only=True)
class NpyTable(TypedTable):
    """The array in a .npy file: a matrix, a vector (one column), or a vector of records with named fields."""

    file: NpyFile

    @property
    def n_rows(self) -> int:
        return self.file.n_rows

    def _read(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        step = batch_rows(self.file.n_columns)
        with self.source.opened() as opened:
            for first in range(0, self.n_rows, step):
                rows = self._rows(opened, first, min(step, self.n_rows - first), columns)
                yield pa.record_batch({name: native_array(column) for name, column in rows.items()})

    def ranges(self, columns: Collection[str], max_bytes: int) -> Iterator[tuple[int, int]]:
        file, size, step = self.file, self.file.dtype.itemsize, batch_rows(self.file.n_columns)
        if not file.is_by_columns:
            yield file.start, self.n_rows * file.n_columns * size
            return
        for first in range(0, self.n_rows, step):
            for start in (self.column_indices[name] for name in columns):
                yield file.start + (start * file.n_rows + first) * size, min(step, self.n_rows - first) * size

    def _rows(self, opened: pa.NativeFile, first: int, count: int, columns: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Read these columns of `count` rows, beginning with row `first`."""
        file, size = self.file, self.file.dtype.itemsize
        indices = {name: self.column_indices[name] for name in columns}
        if file.is_by_columns:
            starts = {name: (offset * file.n_rows + first) * size for name, offset in indices.items()}
            return {name: self._read_values(opened, start, count) for name, start in starts.items()}
        rows = self._read_values(opened, first * file.n_columns * size, count * file.n_columns)
        if file.dtype.names:
            return {name: rows[name] for name in columns}
        return {name: rows.reshape(count, -1)[:, offset] for name, offset in indices.items()}

    def _read_values(self, opened: pa.NativeFile, start: int, count: int) -> NDArray[Any]:
        raw = opened.read_at(count * self.file.dtype.itemsize, self.file.start + start)
        if len(raw) < count * self.file.dtype.itemsize:
            raise OSError(EIO, "the file became shorter while it was read", self.name)
        return np.frombuffer(raw, self.file.dtype)


def native_array(column: NDArray[Any]) -> NDArray[Any]:
    """Return the numbers of a column as a contiguous array of a type that Arrow has; round long doubles to float64."""
    is_long = column.dtype.kind == "f" and column.dtype.itemsize > 8
    return np.ascontiguousarray(column, np.float64 if is_long else column.dtype.newbyteorder("="))


def read_npy(source: Input) -> TypedTable:
    """Read the header of a .npy file, and return a table that reads the rows later."""
    try:
        with source.opened() as opened:
            file = NpyFile.from_file(source.name, opened)
    except ValueError as error:
        raise BadTable(str(error)) from None
    source.dialect.check_width(source.name, file.n_columns)
    names = file.dtype.names or invented_names(file.n_columns)
    kinds = [file.dtype[name] for name in file.dtype.names or ()] or [file.dtype] * file.n_columns
    types = [pa.array(native_array(np.empty(0, kind))).type for kind in kinds]
    schema = pa.schema(zip(names, types, strict=True))
    return NpyTable.from_input(source, schema, has_names=bool(file.dtype.names), file=file)
