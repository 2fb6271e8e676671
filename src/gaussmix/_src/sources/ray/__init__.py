"""Rows of Ray data sets, and of arrays and tables that Ray references: work goes to the nodes of its cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import ray
from numpy.typing import NDArray

from gaussmix._src.errors import ParameterTypeError, invented_names
from gaussmix._src.interfaces.block import Block
from gaussmix._src.sources.base import Source
from gaussmix._src.sources.files.arrow import Columns, column_of_results
from gaussmix._src.sources.files.base import About
from gaussmix._src.sources.open_options import OpenOptions
from gaussmix._src.sources.ray.cluster import RayWorkers, loaded, start_task
from gaussmix._src.sources.remote import LazySource
from gaussmix._src.sources.tables.base import typed

RESULT = "result"  # the column that predictions add to a data set


def open_ray(data: Any, request: OpenOptions) -> Source:
    """Open a data set of Ray, or references of arrays or tables, whose rows stay with the nodes of the cluster."""
    table = RayTable.from_data(data, request)
    return LazySource(table.about, table.per_row, table.load, table.columns.notices)


@dataclass(frozen=True)
class RayTable:
    """Rows in Ray, and their columns that are features."""

    data: Any = field(repr=False)  # a `ray.data.Dataset`, or a list of references
    columns: Columns  # the features and the weights
    about: About  # the same; its number of rows is not read
    n_columns: int  # of all that it has

    @classmethod
    def from_data(cls, data: Any, request: OpenOptions) -> RayTable:
        """Of a data set, a reference or several.

        Raises ValueError: a column is absent or holds no numbers. TypeError: a reference is of something else.
        """
        is_set = _is_set(data)
        data = data if is_set else [data] if isinstance(data, ray.ObjectRef) else list(data)
        name = "the Ray data set" if is_set else "the Ray list"
        schema, has_names = getattr(data.schema(), "base_schema", None) if is_set else None, True
        if isinstance(schema, pa.Schema) and pa.null() not in schema.types:
            schema = _flat(schema.empty_table()).schema
        else:  # of references, of frames of pandas, of nulls alone, or of a block without rows
            schema, has_names = _schema_of(data, name)
        result = Columns(name, schema, request.columns, request.weights)
        return cls(data, result, result.about(may_miss=request.missing, has_names=has_names), len(schema))

    def load(self) -> Source:
        """The rows, checked, on the nodes."""
        count = partial(_count, columns=self.columns, n_columns=self.n_columns)
        return loaded(_parts(self.data), self.about, count, partial(_block, columns=self.columns))

    def per_row(self, task: Callable[[Block], NDArray[Any]], dtype: Any, shape: tuple[int, ...]) -> Any:
        """What a task returns for rows: a data set with a column more, or a reference for each part."""
        answer = partial(_answers, task=task, columns=self.columns, about=self.about)
        if not _is_set(self.data):
            return [start_task("answer", answer, part, index) for index, part in enumerate(self.data)]
        if RESULT in self.data.columns():
            raise ValueError(f"{self.about.name} has a column {RESULT!r}, which predictions add: rename it.")
        return self.data.map_batches(partial(_widened, answer=answer), batch_size=None, batch_format="pyarrow")


def _is_set(data: Any) -> bool:
    return hasattr(data, "to_arrow_refs")


def _parts(data: Any) -> Sequence[Any]:
    """References of arrays or tables, in the order of the rows."""
    if not _is_set(data):
        return list(data)
    options = data.context.execution_options
    before, options.preserve_order = options.preserve_order, True
    try:
        return list(type(data).copy(data).to_arrow_refs())  # the copy does not keep what is computed
    finally:
        options.preserve_order = before


def _table(part: Any, where: str) -> pa.Table:
    """An array or a table of any library as an Arrow table of plain columns."""
    if isinstance(part, np.ndarray):
        if part.ndim != 2 or part.dtype.kind not in "biuf":
            raise ValueError(f"{where} is an array {part.shape} of {part.dtype}, not of real numbers with two axes.")
        return pa.table(list(map(np.ascontiguousarray, part.T)), names=invented_names(part.shape[1]))
    try:
        return _flat(pa.table(part))
    except pa.ArrowException as error:
        raise ValueError(f"{where} can't be made an Arrow table: {': '.join(map(str, error.args))}.") from None
    except TypeError:
        raise ParameterTypeError(
            f"{where} is a {type(part).__name__}, not an array, an Arrow table or a data frame."
        ) from None


def _flat(table: pa.Table) -> pa.Table:
    """The table with a column for each number of a column of vectors, which Ray makes of arrays."""
    columns: dict[str, Any] = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        shape: Sequence[int] = getattr(column.type, "shape", ())
        if len(shape) != 1:
            columns[name] = column
            continue
        empty = np.empty((0, shape[0]), column.type.value_type.to_pandas_dtype())
        rows = np.concatenate([empty, *(chunk.to_numpy_ndarray() for chunk in column.chunks)])
        columns |= {f"{name}[{index}]": np.ascontiguousarray(each) for index, each in enumerate(rows.T)}
    return pa.table(columns)


def _schema_of(data: Any, name: str) -> tuple[pa.Schema, bool]:
    """The schema of the first part that has rows, and whether its columns have names of their own.

    Columns of nulls alone have the type that they have in the next part with values. All parts are looked at where
    there are such columns.
    """
    parts = data.limit(1).to_arrow_refs() if _is_set(data) else data
    if not parts:
        raise ValueError(f"{name} has no rows.")
    workers, result = RayWorkers(name), list[tuple[pa.Schema, bool, int]]()
    for index, part in enumerate(parts):
        task = start_task("look", _schema, part, index, name)
        result += workers.results([task], f"with partition {index} of {name}".format)
        if result[-1][-1]:
            break
    schema, has_names, n_rows = result[-1] if result[-1][-1] else result[0]
    if n_rows and pa.null() in schema.types:
        names = [start_task("look", _schema, part, index, name) for index, part in enumerate(_parts(data))]
        schema = typed(schema, (one for one, _, _ in workers.results(names, f"with partition {{}} of {name}".format)))
    return schema, has_names


def _schema(part: Any, index: int, name: str) -> tuple[pa.Schema, bool, int]:
    """The schema of a part, whether its columns have names of their own, and its number of rows."""
    table = _table(part, f"partition {index} of {name}")
    return table.schema, not isinstance(part, np.ndarray), table.num_rows


def _like_first(table: pa.Table, columns: Columns) -> pa.Table:
    """The table with numbers for columns of nulls alone, whose type is not known."""
    for index, name in enumerate(table.column_names):
        if name in columns.read_columns and pa.types.is_null(table[name].type):
            kind = pa.float64() if name == columns.weights else pa.from_numpy_dtype(columns.dtype)
            table = table.set_column(index, name, table[name].cast(kind))
    return table


def _count(part: Any, index: int, columns: Columns, n_columns: int) -> int:
    """The number of rows of a part; ValueError where its columns are not those of the first."""
    where = f"partition {index} of {columns.name}"
    table = _like_first(_table(part, where), columns)
    if not table.num_rows:  # then a filter of Ray has left no column either
        return 0
    result = Columns(where, table.schema, columns.names, columns.weights)
    if result.dtype != columns.dtype:
        raise ValueError(f"{where} has features of {result.dtype}, and the first has {columns.dtype}: convert them.")
    if isinstance(part, np.ndarray) and table.num_columns != n_columns:
        raise ValueError(f"{where} is an array of {table.num_columns} columns, and the first has {n_columns}.")
    return int(table.num_rows)


def _block(part: Any, first: int, end: int | None, columns: Columns) -> Block:
    """Rows first … end − 1 of a part."""
    table = _like_first(_table(part[first:end] if isinstance(part, np.ndarray) else part, columns.name), columns)
    if not isinstance(part, np.ndarray):
        table = table.slice(first, None if end is None else end - first)
    return columns.block(table)


def _answers(
    part: Any, index: int | None, task: Callable[[Block], NDArray[Any]], columns: Columns, about: About
) -> NDArray[Any]:
    """What a task returns for rows that nobody has looked at."""
    rows = _block(part, 0, None, columns).rows
    where = f"{about.name}, " + ("one of its rows" if index is None else f"partition {index}, row {{}} of it")
    return about.answer(task, rows, where.format)


def _widened(table: pa.Table, answer: Callable[..., NDArray[Any]]) -> pa.Table:
    """The table with a column of answers, which are lists where a row has several."""
    return table.append_column(RESULT, column_of_results(answer(table, None)))
