"""Open Ray data sets, and Ray references to arrays and tables; the work runs on the nodes of a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import ray
from numpy.typing import NDArray

from gaussmix._src.errors import ParameterTypeError, invented_names
from gaussmix._src.interfaces.block import Block
from gaussmix._src.numerics.arrays import plain_array
from gaussmix._src.sources.base import Source
from gaussmix._src.sources.files.arrow import Columns, column_of_results
from gaussmix._src.sources.files.base import TableInfo
from gaussmix._src.sources.open_options import OpenOptions
from gaussmix._src.sources.ray.cluster import RayWorkers, load_rows, start_task
from gaussmix._src.sources.remote import LazySource
from gaussmix._src.sources.tables.base import fill_null_types, is_numeric
from gaussmix._src.sources.tables.typed_table import native_array

RESULT = "result"  # name of the column that predictions add to a data set


def open_ray(data: Any, request: OpenOptions) -> Source:
    """Open a Ray data set, or Ray references to arrays or tables. The rows stay on the nodes of the Ray cluster."""
    table = RayTable.from_data(data, request)
    return LazySource(table.info, table.per_row, table.load, table.columns.notices)


@dataclass(frozen=True)
class RayTable:
    """A Ray data set or a list of Ray references, with its selected columns."""

    data: Any = field(repr=False)  # `ray.data.Dataset`, or a list of references
    columns: Columns  # selected columns: features and weights
    info: TableInfo  # description of the selected columns; its number of rows is ignored
    n_columns: int  # total number of columns, selected or not

    @classmethod
    def from_data(cls, data: Any, request: OpenOptions) -> RayTable:
        """Build the description of a data set, or of one or several references.

        Raises ValueError if a column does not exist or is not numeric, and TypeError if a reference refers to an object
        that is neither an array nor a table.
        """
        is_set = _is_set(data)
        data = data if is_set else [data] if isinstance(data, ray.ObjectRef) else list(data)
        name = "the Ray data set" if is_set else "the Ray list"
        schema, has_names = getattr(data.schema(), "base_schema", None) if is_set else None, True
        if isinstance(schema, pa.Schema) and pa.null() not in schema.types:
            schema = _flat(schema.empty_table()).schema
        else:  # there are references, pandas data frames, columns with only nulls, or blocks without rows
            schema, has_names = _schema_of(data, name)
        result = Columns(name, schema, request.columns, request.weights)
        return cls(data, result, result.table_info(may_miss=request.missing, has_names=has_names), len(schema))

    def load(self) -> Source:
        """Load and check the rows on the nodes, and return their source."""
        count = partial(_count, columns=self.columns, n_columns=self.n_columns)
        return load_rows(_parts(self.data), self.info, count, partial(_block, columns=self.columns))

    def per_row(self, task: Callable[[Block], NDArray[Any]], dtype: Any, shape: tuple[int, ...]) -> Any:
        """Return a task's results for all rows, as a new column of the data set or as one reference per partition."""
        answer = partial(_answers, task=task, columns=self.columns, info=self.info)
        if not _is_set(self.data):
            return [start_task("answer", answer, part, index) for index, part in enumerate(self.data)]
        if RESULT in self.data.columns():
            raise ValueError(f"{self.info.name} has a column {RESULT!r}, which predictions would add: rename it.")
        return self.data.map_batches(partial(_widened, answer=answer), batch_size=None, batch_format="pyarrow")


def _is_set(data: Any) -> bool:
    return hasattr(data, "to_arrow_refs")


def _parts(data: Any) -> Sequence[Any]:
    """Return references to arrays or tables, in the order of the rows."""
    if not _is_set(data):
        return list(data)
    options = data.context.execution_options
    before, options.preserve_order = options.preserve_order, True
    try:
        return list(type(data).copy(data).to_arrow_refs())  # copied, so that computed blocks are not stored
    finally:
        options.preserve_order = before


def _table(part: Any, where: str) -> pa.Table:
    """Convert an array, or a table of any library, to an Arrow table without columns of vectors."""
    if isinstance(part, np.ndarray):
        part = plain_array(part)
        if part.ndim != 2 or part.dtype.kind not in "biuf":
            raise ValueError(f"{where} is an array {part.shape} of {part.dtype}, not of two axes and real numbers.")
        return pa.table(list(map(native_array, part.T)), names=invented_names(part.shape[1]))
    try:
        is_pandas = isinstance(part, pd.DataFrame)
        return _flat(pa.Table.from_pandas(part, preserve_index=False) if is_pandas else pa.table(part))
    except (pa.ArrowException, ValueError) as error:
        reason = ": ".join(map(str, error.args)).rstrip(".")
        raise ValueError(f"{where} can't be converted to an Arrow table: {reason}.") from None
    except TypeError:
        raise ParameterTypeError(
            f"{where} is a {type(part).__name__}, not an array, an Arrow table or a data frame."
        ) from None


def _flat(table: pa.Table) -> pa.Table:
    """Split columns of vectors, to which Ray converts arrays, into columns of numbers."""
    columns: list[tuple[str, Any]] = []  # not a dictionary, so that later checks of names can find duplicate names
    for name, column in zip(table.column_names, table.columns, strict=True):
        shape: Sequence[int] = getattr(column.type, "shape", ())
        if len(shape) != 1:
            columns.append((name, column))
            continue
        empty = np.empty((0, shape[0]), column.type.value_type.to_pandas_dtype())
        rows = np.concatenate([empty, *(chunk.to_numpy_ndarray() for chunk in column.chunks)])
        columns += [(f"{name}[{index}]", np.ascontiguousarray(each)) for index, each in enumerate(rows.T)]
    return pa.table([column for _, column in columns], names=[name for name, _ in columns])


class _PartSchema(NamedTuple):
    """Schema and number of rows of a partition, which are examined before the partition is loaded."""

    schema: pa.Schema
    has_names: bool  # whether the columns have their own names
    n_rows: int


def _schema_of(data: Any, name: str) -> tuple[pa.Schema, bool]:
    """Return the schema of the first partition with rows, and whether its columns have their own names.

    If a column of this partition has only nulls, all partitions are examined, and the column gets its type from the
    first partition in which it has values.
    """
    parts = data.limit(1).to_arrow_refs() if _is_set(data) else data
    if not parts:
        raise ValueError(f"{name} has no rows.")
    workers, examined = RayWorkers(name), list[_PartSchema]()
    for index, part in enumerate(parts):
        task = start_task("look", _schema, part, index, name)
        examined += workers.results([task], f"with partition {index} of {name}".format)
        if examined[-1].n_rows:
            break
    schema, has_names, n_rows = examined[-1] if examined[-1].n_rows else examined[0]
    if not n_rows and not any(is_numeric(kind) for kind in schema.types):  # columns without rows may have no types
        raise ValueError(f"{name} has no rows.")
    if n_rows and pa.null() in schema.types:
        tasks = [start_task("look", _schema, part, index, name) for index, part in enumerate(_parts(data))]
        all_parts = workers.results(tasks, lambda index: f"with partition {index} of {name}")
        schema = fill_null_types(schema, (each.schema for each in all_parts))
    return schema, has_names


def _schema(part: Any, index: int, name: str) -> _PartSchema:
    table = _table(part, f"partition {index} of {name}")
    return _PartSchema(table.schema, not isinstance(part, np.ndarray), table.num_rows)


def _cast_null_columns(table: pa.Table, columns: Columns) -> pa.Table:
    """Convert columns with only nulls, which have no type, to the type of these columns in the other partitions."""
    for index, name in enumerate(table.column_names):
        if name in columns.read_columns and pa.types.is_null(table[name].type):
            kind = pa.float64() if name == columns.weights else pa.from_numpy_dtype(columns.dtype)
            table = table.set_column(index, name, table[name].cast(kind))
    return table


def _count(part: Any, index: int, columns: Columns, n_columns: int) -> tuple[int, Sequence[int]]:
    """Return the number of rows of a partition, and the indices of its columns of 64-bit integers.

    Raises ValueError if the columns of the partition differ from the columns of the first partition.
    """
    where = f"partition {index} of {columns.name}"
    table = _cast_null_columns(_table(part, where), columns)
    if not table.num_rows:  # a Ray filter that removes all rows also removes the columns
        return 0, ()
    result = Columns(where, table.schema, columns.names, columns.weights)
    if result.dtype != columns.dtype:
        raise ValueError(
            f"{where} has features of {result.dtype}, but the first partition has {columns.dtype}: convert them."
        )
    if isinstance(part, np.ndarray) and table.num_columns != n_columns:
        raise ValueError(
            f"{where} is an array of {table.num_columns} columns, but the first partition has {n_columns}."
        )
    return table.num_rows, result.integer_columns


def _block(part: Any, first: int, end: int | None, columns: Columns) -> Block:
    """Return the rows from `first` to `end` − 1 of a partition as a block."""
    table = _cast_null_columns(_table(part[first:end] if isinstance(part, np.ndarray) else part, columns.name), columns)
    if not isinstance(part, np.ndarray):
        table = table.slice(first, None if end is None else end - first)
    return columns.block(table)


def _answers(
    part: Any, index: int | None, task: Callable[[Block], NDArray[Any]], columns: Columns, info: TableInfo
) -> NDArray[Any]:
    """Check the values of a partition, run a task on its rows, and return the results."""
    rows = _block(part, 0, None, columns).rows
    where = f"{info.name}, " + ("one of its rows" if index is None else f"partition {index}, row {{}} of it")
    return info.answer(task, rows, where.format)


def _widened(table: pa.Table, answer: Callable[..., NDArray[Any]]) -> pa.Table:
    """Append a column of results to a table; if a row has several results, they become a list."""
    return table.append_column(RESULT, column_of_results(answer(table, None)))
