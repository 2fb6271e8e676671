"""Read Arrow and Feather files, and Arrow streams."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from gaussmix._src.numerics.threads import cached_property
from gaussmix._src.sources.tables.base import Input, batch_rows, is_numeric, reading, valid
from gaussmix._src.sources.tables.typed_table import TypedTable

_FEATHER_1 = b"FEA1"
ZSTD, _LZ4 = b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18"
_ARROW_FILE = b"ARROW1"
_START = 8  # number of bytes before the stream in an Arrow file


@dataclass(frozen=True)
class _ValueLayout:
    """The position of the uncompressed values of a column in an Arrow file."""

    kind: pa.DataType  # type of the values
    # Offset of the bits that mark missing values in the file (None if no value is missing), and offset of the values.
    validity: int | None
    values: int

    def read(self, file: pa.NativeFile, first: int, count: int) -> pa.Array:
        """Read the numbers of `count` rows, beginning with row `first`, which must be a multiple of 8."""
        validity = None if self.validity is None else _bits(file, self.validity, first, count)
        bits = self.kind.bit_width
        return pa.Array.from_buffers(self.kind, count, [validity, _bits(file, self.values, bits * first, bits * count)])


def _bits(file: pa.NativeFile, start: int, first: int, count: int) -> pa.Buffer:
    size = (count + 7) // 8
    result = file.read_at(size, start + first // 8)
    if len(result) < size:
        raise OSError("the file became shorter while it was read")
    return pa.py_buffer(result)


@dataclass(frozen=True)
class _Batch:
    """A record batch of an Arrow file: its number of rows, and the columns that can be read a few rows at a time."""

    n_rows: int
    layouts: Mapping[str, _ValueLayout]

    @classmethod
    def from_batch(cls, batch: pa.RecordBatch, names: Sequence[str], mapped: pa.Buffer) -> _Batch:
        """Describe a record batch of a memory-mapped file, given the names of its columns of uncompressed values."""
        columns = {}
        for name in names:
            column = batch.column(name)
            validity, values = (each.address - mapped.address if each else None for each in column.buffers())
            if values is not None and 0 <= values < mapped.size:
                columns[name] = _ValueLayout(column.type, validity, values)
        return cls(batch.num_rows, columns)


@dataclass(frozen=True, kw_only=True)
class ArrowFileTable(TypedTable):
    """An Arrow file, which is the same as a Feather file of version 2.

    Uncompressed numbers are read a few rows at a time. If batches are compressed, or if any non-numeric column is read,
    a whole batch is loaded into memory.
    """

    codec: bytes

    @cached_property
    def layout(self) -> list[_Batch]:
        """Return the layout of all batches; because the file is memory-mapped, uncompressed arrays are not read."""
        numeric = [field for field in self.types if is_numeric(field.type)]
        names, options = [field.name for field in numeric], None  # options for some columns would make Arrow copy data
        if self.codec:  # the rows of compressed batches are only counted, so that loading one column suffices
            narrow = min(numeric, key=lambda field: field.type.bit_width, default=self.types.field(0)).name
            names, options = [], _only([narrow], self.types)
        with (
            reading(self.source, "Arrow or Feather"),
            self.source.mapped() as mapped,
            pa.ipc.open_file(mapped, options=options) as file,
        ):
            whole = mapped.read_buffer()
            batches = map(file.get_batch, range(file.num_record_batches))
            checked = (valid(batch.select(names or batch.schema.names), self.name) for batch in batches)
            return [_Batch.from_batch(batch, names, whole) for batch in checked]

    @property
    def n_rows(self) -> int:
        return sum(part.n_rows for part in self.layout)

    def is_slow(self, columns: Collection[str]) -> bool:
        return self.codec == ZSTD

    def n_together(self, columns: Collection[str]) -> int:
        return max((part.n_rows for part in self.layout if not part.layouts.keys() >= set(columns)), default=0)

    def _read(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        step = batch_rows(len(columns))
        with self.source.opened() as opened, pa.ipc.open_file(opened, options=_only(columns, self.types)) as file:
            for index, part in enumerate(self.layout):
                with self._reading(f"batch {index}"):
                    if not part.layouts.keys() >= set(columns):
                        yield file.get_batch(index)
                        continue
                    for first in range(0, part.n_rows, step):
                        count = min(step, part.n_rows - first)
                        yield pa.record_batch({name: part.layouts[name].read(opened, first, count) for name in columns})


@dataclass(frozen=True, kw_only=True)
class ArrowStreamTable(TypedTable):
    """An Arrow stream, whose number of rows is unknown until its end. In an Arrow file, the stream begins at byte 8."""

    start: int  # first byte of the stream

    def _read(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        with reading(self.source, "Arrow or Feather"), self.source.opened() as opened:
            opened.seek(self.start)
            yield from pa.ipc.open_stream(opened, options=_only(columns, self.types))


def _only(columns: Collection[str], types: pa.Schema) -> pa.ipc.IpcReadOptions:
    """Return Arrow's options for reading only these columns."""
    return pa.ipc.IpcReadOptions(included_fields=[types.get_field_index(name) for name in columns])


@dataclass(frozen=True, kw_only=True)
class MemoryTable(TypedTable):
    """An Arrow table in memory."""

    arrow: pa.Table

    def ranges(self, columns: Collection[str], max_bytes: int) -> Iterator[tuple[int, int]]:
        return iter(())

    @property
    def n_rows(self) -> int:
        return int(self.arrow.num_rows)

    def _read(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        yield from self.arrow.select(list(columns)).to_batches(batch_rows(len(columns)))


def read_arrow(source: Input) -> TypedTable:
    """Read an Arrow file or stream, or a Feather file; a Feather file of version 1 is loaded into memory."""
    start = source.first_bytes(len(_ARROW_FILE))
    with reading(source, "Arrow or Feather"):
        if start.startswith(_FEATHER_1):
            from pyarrow import feather

            arrow = feather.read_table(source.opened())
            return MemoryTable.from_input(source, arrow.schema, arrow=arrow)
        is_file = start.startswith(_ARROW_FILE)
        with source.opened() as opened:
            if is_file and source.stored is None:
                return ArrowFileTable.from_input(source, pa.ipc.open_file(opened).schema, codec=codec_of(opened))
            # Files in a store can't be mapped into memory, so that only the stream in an Arrow file is read.
            first_byte = _START if is_file else 0
            opened.seek(first_byte)
            return ArrowStreamTable.from_input(source, pa.ipc.open_stream(opened).schema, start=first_byte)


def codec_of(file: pa.NativeFile) -> bytes:
    """Return the bytes that identify the compression codec of an Arrow file; b"" if the file is not compressed."""
    start, body = 8, b""
    for _ in range(2):  # skips the message with the types; the next one has a body
        size = int.from_bytes(file.read_at(8, start)[4:], "little")
        start += 8 + size
        body = file.read_at(12, start)
    return body[8:] if body[8:] in (ZSTD, _LZ4) else b""  # the first 8 bytes of `body` are the first buffer's length
