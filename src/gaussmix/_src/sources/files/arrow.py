"""Read rows of tables that yield record batches: files, PyArrow data sets and streams."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from errno import EIO, ENOENT
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gaussmix._src.interfaces.block import Block
from gaussmix._src.numerics.arrays import Array, Rows
from gaussmix._src.sources.files.base import Reader, TableInfo, check_columns
from gaussmix._src.sources.files.listing import FileVersions
from gaussmix._src.sources.files.stores import MAX_REQUESTS, as_stored_file, run_tasks
from gaussmix._src.sources.open_options import OpenOptions
from gaussmix._src.sources.tables import Files, base
from gaussmix._src.sources.tables.arrow_table import ZSTD, codec_of
from gaussmix._src.sources.tables.base import batch_rows, describe_type, fill_null_types, first_line, is_numeric
from gaussmix._src.sources.tables.typed_table import is_slow

_LONG_INTEGERS = pa.int64(), pa.uint64()
_INDEX_OR_EMPTY = base.INDEX_OF_FRAME, describe_type(pa.null())


class Columns:
    """The selected columns of an Arrow table: features and weights.

    By default, all numeric columns except the weights are features. The attribute `notices` lists messages about
    columns that are left out and about guesses, such as the delimiter of a CSV file.
    """

    def __init__(self, name: str, schema: pa.Schema, columns: Sequence[str] | None, weights: str | None) -> None:
        self.name, self.weights = name, weights
        check_columns(name, schema.names, columns, weights)
        for column in (*(columns or ()), *(() if weights is None else [weights])):
            kind = schema.field(column).type
            # A column without values is a feature if the user names it, because its values may be missing.
            if not is_numeric(kind) and (column == weights or not pa.types.is_null(kind)):
                raise ValueError(f"{name}, column {column!r}: {self.why_not_numeric(schema.field(column))}.")
        names, self.notices = ([*columns], []) if columns else self._choose_features(schema)
        self.names: Sequence[str] = names
        types = [schema.field(column).type for column in self.names]
        is_single = all(kind == pa.float32() for kind in types)
        self.dtype = np.dtype(np.float32 if is_single else np.float64)
        self.integer_columns: Sequence[int] = [at for at, kind in enumerate(types) if kind in _LONG_INTEGERS]

    def _choose_features(self, schema: pa.Schema) -> tuple[list[str], list[str]]:
        """Return the names of the features, if the user has not chosen columns, and notices about other columns."""
        features, of_index, not_numeric = list[str](), list[str](), list[str]()
        for field in schema:
            if field.name == self.weights:
                continue
            if base.INDEX.fullmatch(field.name):
                of_index.append(f"column {field.name!r}: {_INDEX_OR_EMPTY[pa.types.is_null(field.type)]}.")
            elif is_numeric(field.type):
                features.append(field.name)
            else:
                not_numeric.append(f"column {field.name!r}: {self.why_not_numeric(field)}.")
        if not features:
            reason = f", {not_numeric[0]}" if not_numeric else " has no column of numbers to fit."
            raise ValueError(f"{self.name}{reason}")
        return features, [f"left out {each}" for each in of_index + not_numeric]

    def table_info(self, *, may_miss: bool, has_names: bool = True) -> TableInfo:
        """Return a description of these columns that can be sent to other processes."""
        return TableInfo(self.name, self.names, self.weights, self.dtype, may_miss, has_names, self.integer_columns)

    @property
    def read_columns(self) -> list[str]:
        """Return the names of the columns that record batches must have: the features and, if given, the weights."""
        return [*self.names, *([] if self.weights is None else [self.weights])]

    def put(self, batch: pa.RecordBatch, rows: Rows, row_weight: Array | None) -> None:
        """Copy the rows and weights of a record batch into arrays, with NaN for null."""
        targets = [*rows.T] if row_weight is None else [*rows.T, row_weight]
        batch = base.valid(batch, self.name)
        for name, target in zip(self.read_columns, targets, strict=False):  # ignores weights if `row_weight` is None
            column = batch.column(name)
            is_integer = pa.types.is_integer(column.type) and not column.null_count
            convert = base.column_values if is_integer or pa.types.is_floating(column.type) else base.doubles
            target[...] = convert(column)

    def block(self, table: pa.Table | pa.RecordBatch) -> Block:
        """Return the rows of a table as a block, with weights if the table has weights."""
        rows = np.empty((table.num_rows, len(self.names)), self.dtype, order="F")
        row_weight = np.empty(len(rows)) if self.weights in table.schema.names else None
        if len(rows):
            self.put(table, rows, row_weight)
        return Block(0, rows, row_weight)

    def why_not_numeric(self, field: pa.Field) -> str:
        """Return the reason why a column is not numeric, worded as the end of a sentence."""
        return describe_type(field.type)


def column_of_results(results: NDArray[Any]) -> pa.Array:
    """Convert an array with one entry per row to an Arrow column; entries of several values become lists."""
    column = pa.array(results.ravel())
    for width in reversed(results.shape[1:]):
        column = pa.FixedSizeListArray.from_arrays(column, width)
    return column


class BatchReader(Columns, Reader):
    """A reader of a table, which yields the record batches in the same order in every pass."""

    is_slow: bool  # whether reading is slower than an EM step or possible only once; if so, `n_rows` is 0 for now
    n_rows = 0
    identity: tuple[Any, ...] = ()  # value that changes if the rows change; empty if changes can't be detected
    n_together = 0  # largest number of rows that must be read together; 0 if any number of rows can be read

    @abstractmethod
    def parts(self) -> Iterator[pa.RecordBatch]:
        """Yield all rows in order as record batches, which have at least the columns in `read_columns`."""

    def put_part(self, part: pa.RecordBatch, first: int, rows: Rows, row_weight: Array | None) -> None:
        self.put(part.slice(first, len(rows)), rows, row_weight)


class TableReader(BatchReader):
    """A reader of a table in files or a pipe."""

    def __init__(self, table: Files, columns: Sequence[str] | None = None, weights: str | None = None) -> None:
        self.table, self.versions = table, table.versions
        if columns is None:
            table.check_bad_cells([weights] if isinstance(weights, str) else [])
        super().__init__(table.name, table.schema, columns, weights)
        self.has_names = table.has_names
        self.notices = [*table.notices, *self.notices]
        self.is_slow = table.is_slow(self.read_columns)
        self.n_rows = 0 if self.is_slow else table.n_rows or 0  # rows of slow tables are counted when they are copied
        self.n_together = table.n_together(self.read_columns)
        self.identity = (*table.versions.identity, *([table.complete, table.dialect] if table.files else []))

    def parts(self) -> Iterator[pa.RecordBatch]:
        return self.table.batches(self.read_columns, self.read_columns)

    def why_not_numeric(self, field: pa.Field) -> str:
        return self.table.why_not_numeric(field.name, field.type)

    def describe_location(self, row: int) -> str:
        return self.table.describe_location(row)


class DatasetReader(BatchReader):
    """A reader of a `pyarrow.dataset.Dataset`, whose fragments are read in the order of the data set."""

    def __init__(
        self,
        dataset: Any,
        columns: Sequence[str] | None,
        weights: str | None,
        memory: int,
        name: str = "the dataset",
        missing_advice: str = "",
    ) -> None:
        self._dataset, self._missing_advice, self.name = dataset, missing_advice, name
        files = getattr(dataset, "files", ())
        self.versions = FileVersions([Path(file) for file in files if Path(file).exists()])
        self._stored = [] if self.versions.identity else [as_stored_file(dataset.filesystem, file) for file in files]
        types, fragments = dataset.schema, self._fragments()
        with self._reading():
            schema = fill_null_types(types, (fragment.physical_schema for fragment in fragments))
        if schema is not types:
            self._dataset = dataset = dataset.replace_schema(schema)
        super().__init__(name, base.mark_categories(schema), columns, weights)
        with self._reading():
            self.is_slow = any(run_tasks(partial(_is_slow, fragment, self.read_columns) for fragment in fragments))
        self._at_once = 1
        if self._stored:
            rows = [each.num_rows for fragment in fragments for each in getattr(fragment, "row_groups", ())]
            size = self.bytes_of(max(rows, default=batch_rows(len(self.read_columns))))
            self._at_once = max(1, min(MAX_REQUESTS, memory // (4 * size)))
        if not self.is_slow:
            self.n_rows = dataset.count_rows()

    def parts(self) -> Iterator[pa.RecordBatch]:
        with self._reading():
            for _ in run_tasks(partial(file.read, 0, 0) for file in self._stored):
                pass  # these requests only check that no file has changed
        options = {"columns": self.read_columns, "batch_size": batch_rows(len(self.read_columns)), "use_threads": False}
        n_batches = max(1, self._at_once // max(1, len(self._stored)))
        scanner = self._dataset.scanner(fragment_readahead=self._at_once, batch_readahead=n_batches, **options)
        with self._reading():
            yield from scanner.to_batches()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Add the name of the table to errors inside the `with` block; if a file is missing, also add advice."""
        try:
            yield
        except pa.ArrowInvalid as error:
            raise ValueError(f"{self._first_non_numeric() or self.name} can't be read: {first_line(error)}.") from None
        except OSError as error:
            is_missing_file = isinstance(error, FileNotFoundError)
            hint = self._missing_advice if is_missing_file else ""
            if error.filename is not None and not hint:  # errors of files in stores already name the file
                raise
            code = ENOENT if is_missing_file else error.errno or EIO
            raise OSError(code, f"can't be read: {first_line(error)}{hint}", self.name) from None

    def describe_location(self, row: int) -> str:
        for fragment in self._fragments():
            n_rows = fragment.count_rows()
            if row < n_rows:
                return f"{getattr(fragment, 'path', '') or self.name}, row {row}"
            row -= n_rows
        return super().describe_location(row)

    def _first_non_numeric(self) -> str | None:
        """Name the first file that has a non-numeric selected column, and this column; return None if there is none."""
        for fragment in self._fragments():
            for field in fragment.physical_schema:
                if field.name in self.read_columns and not (is_numeric(field.type) or pa.types.is_null(field.type)):
                    return f"{getattr(fragment, 'path', '') or self.name}, column {field.name!r} of {field.type},"
        return None

    def _fragments(self) -> list[Any]:
        """Return the fragments of the data set; [] if the data set is filtered, because fragments ignore filters."""
        try:
            return list(self._dataset.get_fragments())
        except ValueError:
            return []


def _is_slow(fragment: Any, columns: Sequence[str]) -> bool:
    """Return whether a file of a data set is slow to read because it is text or is compressed by a slow codec."""
    format = getattr(getattr(fragment, "format", None), "default_extname", None)
    if format == "parquet":
        return is_slow(fragment.metadata, columns)
    if format in ("arrow", "feather", "ipc"):
        with fragment.open() as file:
            return codec_of(file) == ZSTD
    return format is not None


class OnceReader(BatchReader):
    """A reader of record batches that can be read only once and are therefore copied to a temporary file."""

    is_slow = True

    def __init__(self, name: str, batches: pa.RecordBatchReader, request: OpenOptions) -> None:
        self._once: Iterator[pa.RecordBatch] = iter(batches)
        super().__init__(name, batches.schema, request.columns, request.weights)

    def parts(self) -> Iterator[pa.RecordBatch]:
        once, self._once = self._once, iter(())
        return once
