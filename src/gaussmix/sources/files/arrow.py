"""Rows of Parquet and Arrow files, and of anything else that yields record batches."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from errno import EIO
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from gaussmix.numerics.arrays import Array, Rows
from gaussmix.sources.files.base import Cursor, Reader, check_columns, check_integers
from gaussmix.sources.files.stamps import Stamps
from gaussmix.sources.tables.arrow_table import INDEX
from gaussmix.sources.tables.base import first_line, is_numeric, kind_of

BATCH_ROWS = 65_536
SLOW_CODECS = {"ZSTD", "GZIP", "BROTLI", "BZ2"}  # decompressing them takes longer than a pass of EM


class BatchReader(Reader):
    """A table that yields record batches, from the first row to the last, as often as it is asked.

    Parameters
    ----------
    name : for messages.
    schema : of the batches.
    n_rows : number of rows; 0 where it is not known yet.
    columns : the features; by default all that hold numbers, but the weights.
    weights : the column of row weights; None where there are none.
    """

    def __init__(
        self, name: str, schema: pa.Schema, n_rows: int, columns: Sequence[str] | None, weights: str | None
    ) -> None:
        self.name, self.n_rows, self.weights = name, n_rows, weights
        check_columns(name, schema.names, columns, weights)
        for column in (*(columns or ()), *([weights] if weights else ())):
            if not is_numeric(schema.field(column).type):
                raise ValueError(f"{name}, column {column!r}: {kind_of(schema.field(column).type)}.")
        numeric = [
            field.name
            for field in schema
            if is_numeric(field.type) and field.name != weights and not INDEX.fullmatch(field.name)
        ]
        self.names = list(columns or numeric)
        self.left_out = [] if columns else [each for each in schema.names if each not in (*numeric, weights)]
        if not self.names:
            raise ValueError(f"{name} has no column of numbers to fit.")
        is_single = all(schema.field(column).type in (pa.float32(), pa.float16()) for column in self.names)
        self.dtype = np.dtype(np.float32 if is_single else np.float64)

    @property
    def read_columns(self) -> list[str]:
        """The columns to ask the batches for: features, and the weights."""
        return [*self.names, *([self.weights] if self.weights else [])]

    @abstractmethod
    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows in order, with at least `read_columns`."""

    def cursor(self) -> Cursor:
        return _BatchCursor(self)

    def place(self, row: int) -> str:
        return f"{self.name}, row {row}"

    def check_unchanged(self) -> None:
        """Raise OSError where files have changed since they were opened; asked at the end of each pass."""


class _BatchCursor(Cursor):
    def __init__(self, reader: BatchReader) -> None:
        self._reader, self._batches = reader, reader.batches()
        self._batch: pa.RecordBatch | None = None
        self._row = 0  # of the batch

    def fill(self, rows: Rows, row_weight: Array | None) -> None:
        first = 0
        while first < len(rows):
            if self._batch is None or self._row == self._batch.num_rows:
                self._batch, self._row = next(self._batches, None), 0
                if self._batch is None:
                    raise OSError(
                        EIO, f"has fewer rows than the {self._reader.n_rows} it had before", self._reader.name
                    )
            count = min(len(rows) - first, self._batch.num_rows - self._row)
            part, taken = slice(first, first + count), self._batch.slice(self._row, count)
            for column, name in enumerate(self._reader.names):
                put(self._reader, name, taken.column(name), rows[part, column])
            if row_weight is not None:
                put(self._reader, self._reader.weights, taken.column(self._reader.weights), row_weight[part])
            first, self._row = first + count, self._row + count

    def close(self) -> None:
        if hasattr(self._batches, "close"):
            self._batches.close()
        self._reader.check_unchanged()


def put(reader: BatchReader, name: str | None, column: pa.Array, target: Any) -> None:
    """Copy the numbers of a column; null becomes NaN."""
    if pa.types.is_decimal(column.type):
        column = pc.cast(column, pa.float64())
    if pa.types.is_integer(column.type):
        check_integers(reader.name, name, column.drop_null().to_numpy(zero_copy_only=False))
        if column.null_count:
            column = pc.cast(column, pa.float64(), safe=False)
    target[...] = column.to_numpy(zero_copy_only=False)


class ParquetReader(BatchReader):
    """The rows of Parquet files, one after the other."""

    def __init__(self, paths: Sequence[Path], columns: Sequence[str] | None = None, weights: str | None = None) -> None:
        self.paths, self.stamps = list(paths), Stamps(paths)
        footers = [_footer(path) for path in self.paths]
        schema = footers[0].schema.to_arrow_schema()
        for path, footer in zip(self.paths, footers, strict=True):
            _check_same(path, footer.schema.to_arrow_schema(), self.paths[0], schema)
        super().__init__(str(paths[0]), schema, sum(footer.num_rows for footer in footers), columns, weights)
        self._groups = [
            (path, group, footer.row_group(group).num_rows)
            for path, footer in zip(self.paths, footers, strict=True)
            for group in range(footer.num_row_groups)
        ]
        self._ends = list(accumulate(n_rows for _, _, n_rows in self._groups))
        first = footers[0]
        self.is_slow = first.num_row_groups > 0 and any(
            first.row_group(0).column(column).compression in SLOW_CODECS for column in range(first.num_columns)
        )

    def batches(self) -> Iterator[pa.RecordBatch]:
        self.stamps.check()
        for path in self.paths:
            with parquet.ParquetFile(path, pre_buffer=False, buffer_size=2**20) as file:
                for group in range(file.num_row_groups):
                    try:
                        yield from file.iter_batches(
                            BATCH_ROWS, row_groups=[group], columns=self.read_columns, use_threads=False
                        )
                    except (pa.ArrowException, OSError) as error:
                        raise _unreadable(self.stamps, path, f"row group {group}", error) from None

    def check_unchanged(self) -> None:
        self.stamps.check()

    def place(self, row: int) -> str:
        index = next(index for index, end in enumerate(self._ends) if row < end)
        path, group, n_rows = self._groups[index]
        return f"{path}, row group {group}, row {row - self._ends[index] + n_rows}"


def _unreadable(stamps: Stamps, path: Path, what: str, error: Exception) -> OSError:
    """The error for a part of a file that can't be read, unless files have changed: then that is said."""
    stamps.check()
    return OSError(EIO, f"{what} can't be read: {first_line(error)}", str(path))


def _footer(path: Path) -> parquet.FileMetaData:
    try:
        return parquet.read_metadata(path)
    except pa.ArrowException as error:
        raise ValueError(f"{path} can't be read as Parquet: {first_line(error)}.") from None


def _check_same(path: Path, schema: pa.Schema, first_path: Path, first: pa.Schema) -> None:
    """Raise ValueError where two files have other columns."""
    if schema.names == first.names and schema.types == first.types:
        return
    different = next((ours for ours, theirs in zip(schema, first, strict=False) if ours != theirs), None)
    what = "other columns" if different is None else f"column {different.name!r} of {different.type}"
    raise ValueError(f"{path} has {what}, unlike {first_path}: all files must have the same columns.")


class ArrowFileReader(BatchReader):
    """The rows of Arrow (Feather) files, one after the other."""

    def __init__(self, paths: Sequence[Path], columns: Sequence[str] | None = None, weights: str | None = None) -> None:
        self.paths, self.stamps = list(paths), Stamps(paths)
        schema, n_rows = None, 0
        for path in self.paths:
            with pa.OSFile(str(path)) as opened:
                file = _open_arrow(path, opened)
                schema = schema or file.schema
                _check_same(path, file.schema, self.paths[0], schema)
                n_rows += file.count_rows()
        super().__init__(str(paths[0]), schema, n_rows, columns, weights)

    def batches(self) -> Iterator[pa.RecordBatch]:
        self.stamps.check()
        for path in self.paths:
            with pa.OSFile(str(path)) as opened:
                file = _open_arrow(path, opened)
                for number in range(file.num_record_batches):
                    try:
                        yield file.get_batch(number)
                    except (pa.ArrowException, OSError) as error:
                        raise _unreadable(self.stamps, path, f"batch {number}", error) from None

    def check_unchanged(self) -> None:
        self.stamps.check()


def _open_arrow(path: Path, opened: pa.NativeFile) -> pa.RecordBatchFileReader:
    try:
        return pa.ipc.open_file(opened)
    except pa.ArrowException as error:
        raise ValueError(f"{path} can't be read as Arrow or Feather: {first_line(error)}.") from None


class DatasetReader(BatchReader):
    """The rows of a `pyarrow.dataset.Dataset`, in the order of its fragments."""

    def __init__(self, dataset: Any, columns: Sequence[str] | None = None, weights: str | None = None) -> None:
        self._dataset = dataset
        self.stamps = Stamps([Path(file) for file in getattr(dataset, "files", ()) if Path(file).exists()])
        super().__init__("the dataset", dataset.schema, dataset.count_rows(), columns, weights)

    def batches(self) -> Iterator[pa.RecordBatch]:
        scanner = self._dataset.scanner(
            columns=self.read_columns, batch_size=BATCH_ROWS, batch_readahead=1, fragment_readahead=1, use_threads=False
        )
        return iter(scanner.to_batches())

    def check_unchanged(self) -> None:
        self.stamps.check()


class OnceReader(BatchReader):
    """Record batches that can be read once only: they are spooled."""

    def __init__(
        self, name: str, batches: pa.RecordBatchReader, columns: Sequence[str] | None, weights: str | None
    ) -> None:
        self._once = batches
        super().__init__(name, batches.schema, 0, columns, weights)

    def batches(self) -> Iterator[pa.RecordBatch]:
        return iter(self._once)
