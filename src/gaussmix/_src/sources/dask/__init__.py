"""Open Dask arrays and data frames: work is sent to a Dask cluster, or this process computes the partitions."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import dask
import dask.array as da
import numpy as np
from numpy.typing import NDArray

from gaussmix._src.errors import invented_names
from gaussmix._src.interfaces.block import Block
from gaussmix._src.numerics.arrays import Array, Rows, plain_array
from gaussmix._src.sources.base import Source
from gaussmix._src.sources.dask.cluster import DaskWorkers, load_rows
from gaussmix._src.sources.files.base import Chosen, Reader, TableInfo, check_columns, long_integers, open_source
from gaussmix._src.sources.open_options import OpenOptions
from gaussmix._src.sources.remote import LazySource

# Types of Python objects that can be converted to numbers, as named by `pandas.api.types.infer_dtype`.
_NUMERIC_KINDS = {"boolean", "decimal", "floating", "integer", "mixed-integer-float"}


def open_dask(data: Any, request: OpenOptions) -> Source:
    """Open a Dask array, data frame or series.

    If there is a `distributed.Client`, the rows stay in the memory of its workers, and passes run there. Without a
    client, this process computes the partitions: once if they fit into `memory`, otherwise in every pass.
    """
    table = DaskTable.from_data(data, request)
    return LazySource(table.info, table.per_row, partial(_read, table, request.memory), table.left_out)


def _read(table: DaskTable, memory: int) -> Source:
    client = _client()
    return open_source(PartReader(table), memory) if client is None else load_rows(client, table.blocks(), table.info)


def _client() -> Any:
    """Return the client of a Dask cluster; None if there is no client."""
    if "distributed" not in sys.modules:
        return None
    from distributed import default_client

    try:
        return default_client()
    except ValueError:
        return None


@dataclass(frozen=True)
class DaskTable:
    """A description of a Dask array or data frame before any partition is computed."""

    info: TableInfo  # description of the selected columns (named x0, x1, … in arrays); `n_rows` is ignored
    parts: Sequence[Any] = field(repr=False)  # one delayed chunk or data frame per partition
    to_block: Callable[[Any, int], Block]  # function of a partition and its index; `Block.first_row` is ignored
    sizes: Sequence[int] | None  # number of rows of each partition; None if Dask does not know these numbers
    left_out: Sequence[str] = ()  # messages about columns that are left out as non-numeric

    @classmethod
    def from_data(cls, data: Any, request: OpenOptions) -> DaskTable:
        """Build the description of a Dask array or data frame.

        Raises ValueError if a column does not exist or is not numeric, or if an array does not have two dimensions.
        """
        if data.ndim != 2:
            raise ValueError(f"Expected 2D array, got {data.ndim}D array instead: X must have one row per sample.")
        return _of_array(data, request) if isinstance(data, da.Array) else _of_frame(data, request)

    def blocks(self) -> list[Any]:
        """Return a delayed `Block` of each partition.

        Each call uses new keys, because Dask fuses tasks. In two computations, the same key would stand for different
        tasks, and Dask's scheduler would warn about deadlocks.
        """
        return [dask.delayed(self.to_block, pure=False)(part, index) for index, part in enumerate(self.parts)]

    def per_row(self, task: Callable[[Block], NDArray[Any]], dtype: Any, shape: tuple[int, ...]) -> Any:
        """Return the results of a task for all rows as a lazy Dask array with one chunk per partition.

        Raises ImportError if a worker lacks gaussmix. Without this check, a task would kill such a worker, and Dask
        would send the same task to the next worker.
        """
        client = _client()
        if client is not None:
            DaskWorkers(client, self.info.name).n_threads()
        sent = dask.delayed(task, pure=False, traverse=False)
        answer = dask.delayed(partial(_answer, info=self.info), pure=False)
        sizes: Sequence[float] = self.sizes or [np.nan] * len(self.parts)
        result = [
            da.from_delayed(answer(part, sent, index), (size, *shape), dtype)
            for index, (part, size) in enumerate(zip(self.blocks(), sizes, strict=True))
        ]
        return da.concatenate(result)


class PartReader(Reader):
    """A reader that computes the partitions of a table in this process, one after the other."""

    def __init__(self, table: DaskTable) -> None:
        info, self._blocks = table.info, table.blocks()
        self.name, self.names, self.dtype, self.weights = info.name, info.names, info.dtype, info.weights
        self.has_names, self.may_miss, self.integer_columns = info.has_names, info.may_miss, info.integer_columns
        self._sizes = table.sizes or dask.compute(*[block.n_rows for block in self._blocks])
        self.n_rows = sum(self._sizes)

    def parts(self) -> Iterator[Block]:
        for index, (block, size) in enumerate(zip(self._blocks, self._sizes, strict=True)):
            part = dask.compute(block)[0]
            if part.n_rows > size:
                raise ValueError(
                    f"partition {index} of {self.name} has {part.n_rows} rows, but {size} were expected: give the "
                    "array the right chunks, or persist rows that change."
                )
            yield part

    def put_part(self, part: Block, first: int, rows: Rows, row_weight: Array | None) -> None:
        taken = part.row_range(first, first + len(rows))
        rows[...] = taken.rows
        if row_weight is not None:
            row_weight[...] = taken.row_weight


def _of_array(data: Any, request: OpenOptions) -> DaskTable:
    weights = request.weights
    if data.dtype.kind not in "biuf":
        raise ValueError(f"the Dask array contains {data.dtype}, not real numbers.")
    n_columns = data.shape[1]
    chosen = Chosen.from_columns("the Dask array", invented_names(n_columns), request.columns, weights, data.dtype)
    names, indices, weight_index, dtype, integers = chosen
    options: dict[str, Any] = {"weight_index": weight_index, "dtype": dtype, "n_columns": n_columns}
    values = partial(_array_block, indices=None if indices == list(range(n_columns)) else indices, **options)
    chunks = data.rechunk({1: -1}).to_delayed(optimize_graph=not _is_persisted(data)).ravel()
    sizes = None if np.isnan(data.chunks[0]).any() else list(data.chunks[0])
    info = TableInfo("the Dask array", names, weights, dtype, request.missing, False, integers)
    return DaskTable(info, chunks, values, sizes)


def _is_persisted(data: da.Array) -> bool:
    """Return whether workers store the chunks of an array as futures, which Dask's optimisation would discard."""
    if "distributed" not in sys.modules:
        return False
    from distributed import Future

    return any(isinstance(each, Future) for each in data.dask.values())


def _of_frame(data: Any, request: OpenOptions) -> DaskTable:
    columns, weights = request.columns, request.weights
    check_columns("the Dask frame", list(data.columns), columns, weights)
    all_names = {name: _kind(dtype) for name, dtype in data.dtypes.items()}
    numeric = [name for name, kind in all_names.items() if kind in "biuf" and name != weights]
    names = list(columns or numeric)
    for name in (*names, *(() if weights is None else [weights])):
        if all_names[name] not in "biuf":
            raise ValueError(f"the Dask frame, {_type_sentence(name, data)}")
    if not names:
        raise ValueError("the Dask frame has no column of numbers to fit.")
    is_single = all(_numpy_type(data.dtypes[name]) == np.float32 for name in names)
    dtype = np.dtype(np.float32 if is_single else np.float64)
    values = partial(_frame_block, names=names, weights=weights, dtype=dtype)
    retained = data[[*names, *([] if weights is None else [weights])]]
    has_names = all(isinstance(name, str) for name in names)
    others = [] if columns else [name for name in all_names if name not in (*numeric, weights)]
    integers = long_integers(_numpy_type(data.dtypes[name]) for name in names)
    info = TableInfo("the Dask frame", names, weights, dtype, request.missing, has_names, integers)
    left_out = [f"left out {_type_sentence(name, data)}" for name in others]
    return DaskTable(info, retained.to_delayed(), values, None, left_out)


def _type_sentence(name: Any, data: Any) -> str:
    return f"column {name!r}: its type, {data.dtypes[name]}, is not numeric."


def _numpy_type(dtype: Any) -> Any:
    """Return the NumPy type of the values of a pandas type, such as float64 for the nullable type Float64."""
    return getattr(dtype, "numpy_dtype", dtype)


def _kind(dtype: Any) -> str:
    # The NumPy type of a pandas column of Arrow decimals is object.
    return "f" if str(dtype).startswith("decimal") else str(getattr(_numpy_type(dtype), "kind", "O"))


def _array_block(
    chunk: Any, index: int, indices: Sequence[int] | None, weight_index: int | None, dtype: Any, n_columns: int
) -> Block:
    array = np.asarray(plain_array(chunk))
    if array.ndim != 2 or array.shape[1] != n_columns or array.dtype.kind not in "biuf":
        raise ValueError(
            f"partition {index} of the Dask array has the shape {array.shape} and contains {array.dtype}, not real "
            f"numbers in {n_columns} columns. Give all partitions the same columns."
        )
    rows = array if indices is None else array[:, indices]
    weight = None if weight_index is None else array[:, weight_index].astype(np.float64)
    return Block(0, rows.astype(dtype, copy=False), weight)


def _frame_block(frame: Any, index: int, names: Sequence[Any], weights: Any, dtype: Any) -> Block:
    from pandas.api.types import infer_dtype  # imported here, because arrays don't need pandas

    check_columns(f"partition {index} of the Dask frame", list(frame.columns), names, weights)
    for name in (*names, *([weights] if weights is not None else ())):
        if _kind(frame[name].dtype) in "biuf":
            continue
        values = frame[name].dropna()
        if len(values) and (kind := infer_dtype(values)) not in _NUMERIC_KINDS:
            raise ValueError(
                f"partition {index} of the Dask frame, column {name!r}: it contains {kind}. Convert it to real numbers."
            )
    rows = np.empty((len(frame), len(names)), dtype, order="F")
    for column, name in enumerate(names):
        rows[:, column] = frame[name].to_numpy(dtype, na_value=np.nan)
    weight = None if weights is None else frame[weights].to_numpy(np.float64, na_value=np.nan)
    return Block(0, rows, weight)


def _answer(block: Block, task: Callable[[Block], NDArray[Any]], partition: int, info: TableInfo) -> NDArray[Any]:
    return info.answer(task, block.rows, lambda row: f"{info.name}, partition {partition}, row {row} of it")
