"""Tables whose columns have types: Parquet, Arrow and Feather files, and NumPy arrays."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from gaussmix.sources.tables.base import BadTable, Input, Table, check_names, invented_names, kind_of, reading

_FEATHER_1 = b"FEA1"
_ARROW_FILE = b"ARROW1"
INDEX = re.compile(r"__index_level_\d+__")  # where pandas puts the index of a frame


@dataclass(frozen=True, kw_only=True)
class ArrowTable(Table):
    """A table in memory, with Arrow's types."""

    arrow: pa.Table

    @classmethod
    def of(cls, name: str, arrow: pa.Table, *, has_names: bool = True) -> ArrowTable:
        """A table read from a file; raises BadTable if it has no columns, or two of the same name."""
        index = [column for column in arrow.column_names if INDEX.fullmatch(column)]
        arrow = arrow.drop_columns(index)
        if not arrow.column_names:
            raise BadTable(f"{name} has no columns.")
        check_names(name, arrow.column_names)
        notices = tuple(f"left out column {column!r}: it is the index of a data frame." for column in index)
        return cls(name=name, names=tuple(arrow.column_names), has_names=has_names, notices=notices, arrow=arrow)

    def read(self, columns: Sequence[str]) -> pa.Table:
        return self.arrow.select(list(columns))

    def unchanged(self) -> pa.Table:
        return self.arrow

    def place(self, row: int) -> str:
        return f"row {row + 1}"

    def why_not_numeric(self, name: str, kind: pa.DataType) -> str:
        return kind_of(kind)


def read_parquet(source: Input) -> ArrowTable:
    """A Parquet file."""
    from pyarrow import parquet  # slow to import

    with reading(source, "Parquet"):
        arrow = parquet.ParquetFile(source.for_arrow).read()
    return ArrowTable.of(source.name, arrow)


def read_arrow(source: Input) -> ArrowTable:
    """An Arrow file or stream, or a Feather file of either version."""
    from pyarrow import feather

    start = source.first_bytes(len(_ARROW_FILE))
    with reading(source, "Arrow or Feather"):
        if start.startswith(_FEATHER_1):
            arrow = feather.read_table(source.for_arrow)
        else:
            is_file = start.startswith(_ARROW_FILE)
            stream = source.stream() if not is_file or source.contents is not None else pa.OSFile(source.name)
            arrow = (pa.ipc.open_file if is_file else pa.ipc.open_stream)(stream).read_all()
    return ArrowTable.of(source.name, arrow)


def read_npy(source: Input) -> ArrowTable:
    """A NumPy array: rows of numbers, one column of them, or records with names."""
    with reading(source, ".npy"), source.stream() as file:
        array = np.lib.format.read_array(file, allow_pickle=False)
    if array.dtype.names:
        columns = {name: array[name] for name in array.dtype.names}
        if array.ndim != 1 or any(column.ndim != 1 for column in columns.values()):
            raise BadTable(f"{source.name} holds nested records, not rows of numbers.")
    else:
        if array.ndim not in (1, 2):
            raise BadTable(f"{source.name} holds an array of shape {array.shape}, not rows and columns.")
        if array.dtype.kind not in "fiu":
            raise BadTable(f"{source.name} holds {array.dtype}, not numbers.")
        rows = array[:, None] if array.ndim == 1 else array
        columns = dict(zip(invented_names(rows.shape[1]), rows.T, strict=True))
    native = {name: np.ascontiguousarray(column, column.dtype.newbyteorder("=")) for name, column in columns.items()}
    with reading(source, ".npy"):
        arrow = pa.table(native)
    return ArrowTable.of(source.name, arrow, has_names=bool(array.dtype.names))
