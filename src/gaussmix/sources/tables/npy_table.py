"""NumPy arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from errno import EIO
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gaussmix.sources.files.npy import NpyFile
from gaussmix.sources.tables.base import BadTable, Input, invented_names
from gaussmix.sources.tables.typed_table import TypedTable, batch_rows


@dataclass(frozen=True, kw_only=True)
class NpyTable(TypedTable):
    """A NumPy array in a file: rows of numbers, one column of them, or records with names."""

    file: NpyFile

    @property
    def n_rows(self) -> int:
        return self.file.n_rows

    def _read(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        step = batch_rows(self.file.n_columns)
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
    """A NumPy array; only its header is read yet."""
    try:
        with source.opened() as opened:
            file = NpyFile.of(source.name, opened)
    except ValueError as error:
        raise BadTable(str(error)) from None
    names = file.dtype.names or invented_names(file.n_columns)
    kinds = [file.dtype[name] for name in file.dtype.names or ()] or [file.dtype] * file.n_columns
    types = [pa.array(_native(np.empty(0, kind))).type for kind in kinds]
    return NpyTable.of(source, pa.schema(zip(names, types, strict=True)), has_names=bool(file.dtype.names), file=file)
