"""Rows of Dask arrays and frames: work goes to the workers of a cluster, or partitions come to this process."""

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
from gaussmix._src.numerics.arrays import Array, Rows
from gaussmix._src.sources.base import Source
from gaussmix._src.sources.dask.cluster import Workers, loaded
from gaussmix._src.sources.files.base import About, Chosen, Reader, check_columns, long_integers, opened
from gaussmix._src.sources.remote import LazySource
from gaussmix._src.sources.request import Request

# What objects in a column may be, by pandas, so that they are numbers.
_NUMBERS = {"boolean", "decimal", "floating", "integer", "mixed-integer-float"}


def open_dask(data: Any, asked: Request) -> Source:
    """Open a Dask array, frame or series.

    Where there is a `distributed.Client`, the rows stay in the memory of its workers, and passes go there. Elsewhere
    partitions are computed in this process: once, or in every pass where they do not fit into the memory asked for.
    """
    table = Table.of(data, asked)
    return LazySource(table.about, table.per_row, partial(_read, table, asked.memory), table.left_out)


def _read(table: Table, memory: int) -> Source:
    client = _client()
    return opened(PartReader(table), memory) if client is None else loaded(client, table.parts, table.about)


def _client() -> Any:
    """The client of a cluster; None where there is none."""
    if "distributed" not in sys.modules:
        return None
    from distributed import default_client

    try:
        return default_client()
    except ValueError:
        return None


@dataclass(frozen=True)
class Table:
    """What is known of a Dask array or frame before any of its partitions is computed."""

    about: About  # its columns that are features, x0, x1 … for arrays; its number of rows is not read
    parts: Sequence[Any] = field(repr=False)  # a delayed `Block` for each partition, whose `first_row` is not read
    sizes: Sequence[int] | None  # numbers of rows of the partitions; None where Dask does not know them
    left_out: Sequence[str] = ()  # sentences: columns that hold no numbers

    @classmethod
    def of(cls, data: Any, asked: Request) -> Table:
        """Of a Dask array or frame.

        Raises ValueError: a column is absent or holds no numbers, or an array has other than two dimensions.
        """
        if data.ndim != 2:
            raise ValueError(f"Expected 2D array, got {data.ndim}D array instead: X has a row for each sample.")
        return _of_array(data, asked) if isinstance(data, da.Array) else _of_frame(data, asked)

    def per_row(self, task: Callable[[Block], NDArray[Any]], dtype: Any, shape: tuple[int, ...]) -> Any:
        """What a task returns for rows, as a Dask array whose chunks are the partitions; nothing is computed yet.

        Raises ImportError, as a fit does: a worker without gaussmix would die of the task, and Dask wait for another.
        """
        client = _client()
        if client is not None:
            Workers(client, self.about.name).n_threads()
        sent = dask.delayed(task, pure=False, traverse=False)
        answer = dask.delayed(partial(_answer, about=self.about), pure=False)
        sizes: Sequence[float] = self.sizes or [np.nan] * len(self.parts)
        found = [
            da.from_delayed(answer(part, sent, number), (size, *shape), dtype)
            for number, (part, size) in enumerate(zip(self.parts, sizes, strict=True))
        ]
        return da.concatenate(found)


class PartReader(Reader):
    """The partitions of a table, computed in this process one after the other."""

    def __init__(self, table: Table) -> None:
        about, self._table = table.about, table
        self.name, self.names, self.dtype, self.weights = about.name, about.names, about.dtype, about.weights
        self.has_names, self.may_miss, self.integers = about.has_names, about.may_miss, about.integers
        self.n_rows = sum(table.sizes or dask.compute(*[part.n_rows for part in table.parts]))

    def parts(self) -> Iterator[Block]:
        return (dask.compute(part)[0] for part in self._table.parts)

    def put_part(self, part: Block, first: int, rows: Rows, row_weight: Array | None) -> None:
        taken = part.between(first, first + len(rows))
        rows[...] = taken.rows
        if row_weight is not None:
            row_weight[...] = taken.row_weight


def _of_array(data: Any, asked: Request) -> Table:
    weights = asked.weights
    if data.dtype.kind not in "biuf":
        raise ValueError(f"the Dask array holds {data.dtype}, not real numbers.")
    n_columns = data.shape[1]
    chosen = Chosen.of("the Dask array", invented_names(n_columns), asked.columns, weights, data.dtype)
    names, places, weight_place, dtype, integers = chosen
    how: dict[str, Any] = {"weight_place": weight_place, "dtype": dtype, "n_columns": n_columns}
    numbers = partial(_numbers_of_array, places=None if places == list(range(n_columns)) else places, **how)
    chunks = data.rechunk({1: -1}).to_delayed(optimize_graph=not _is_persisted(data)).ravel()
    sizes = None if np.isnan(data.chunks[0]).any() else list(data.chunks[0])
    parts = [dask.delayed(numbers, pure=False)(chunk, number) for number, chunk in enumerate(chunks)]
    return Table(About("the Dask array", names, weights, dtype, 0, asked.missing, False, integers), parts, sizes)


def _is_persisted(data: da.Array) -> bool:
    """Whether workers hold chunks for futures, which the optimization of Dask arrays leaves out: they would be lost."""
    if "distributed" not in sys.modules:
        return False
    from distributed import Future

    return any(isinstance(each, Future) for each in data.dask.values())


def _of_frame(data: Any, asked: Request) -> Table:
    columns, weights = asked.columns, asked.weights
    check_columns("the Dask frame", list(data.columns), columns, weights)
    every = {name: _kind(dtype) for name, dtype in data.dtypes.items()}
    numeric = [name for name, kind in every.items() if kind in "biuf" and name != weights]
    names = list(columns or numeric)
    for name in (*names, *([weights] if weights else ())):
        if every[name] not in "biuf":
            raise ValueError(f"the Dask frame, {_unfit(name, data)}")
    if not names:
        raise ValueError("the Dask frame has no column of numbers to fit.")
    is_single = all(_numpy_type(data.dtypes[name]) in (np.float32, np.float16) for name in names)
    dtype = np.dtype(np.float32 if is_single else np.float64)
    numbers = partial(_numbers_of_frame, names=names, weights=weights, dtype=dtype)
    kept = data[[*names, *([weights] if weights and weights not in names else [])]]
    parts = [dask.delayed(numbers, pure=False)(part, number) for number, part in enumerate(kept.to_delayed())]
    has_names = all(isinstance(name, str) for name in names)
    others = [] if columns else [name for name in every if name not in (*numeric, weights)]
    integers = long_integers(_numpy_type(data.dtypes[name]) for name in names)
    about = About("the Dask frame", names, weights, dtype, 0, asked.missing, has_names, integers)
    return Table(about, parts, None, [f"left out {_unfit(name, data)}" for name in others])


def _unfit(name: Any, data: Any) -> str:
    return f"column {name!r}: {data.dtypes[name]} is not a type of real numbers."


def _numpy_type(dtype: Any) -> Any:
    """The type of NumPy behind one of pandas, which may also hold missing values."""
    return getattr(dtype, "numpy_dtype", dtype)


def _kind(dtype: Any) -> str:
    return str(getattr(_numpy_type(dtype), "kind", "O"))


def _numbers_of_array(
    chunk: Any, number: int, places: Sequence[int] | None, weight_place: int | None, dtype: Any, n_columns: int
) -> Block:
    every = np.asarray(chunk)
    if every.ndim != 2 or every.shape[1] != n_columns or every.dtype.kind not in "biuf":
        raise ValueError(
            f"partition {number} of the Dask array has the shape {every.shape} and holds {every.dtype}, not real "
            f"numbers in {n_columns} columns. Make all partitions alike."
        )
    rows = every if places is None else every[:, places]
    weight = None if weight_place is None else every[:, weight_place].astype(np.float64)
    return Block(0, rows.astype(dtype, copy=False), weight)


def _numbers_of_frame(frame: Any, number: int, names: Sequence[Any], weights: Any, dtype: Any) -> Block:
    from pandas.api.types import infer_dtype  # which arrays do without

    check_columns(f"partition {number} of the Dask frame", list(frame.columns), names, weights)
    for name in (*names, *([weights] if weights is not None else ())):
        if _kind(frame[name].dtype) in "biuf":
            continue
        values = frame[name].dropna()
        if len(values) and (kind := infer_dtype(values)) not in _NUMBERS:
            raise ValueError(
                f"partition {number} of the Dask frame, column {name!r}: it holds {kind}, not real numbers. Convert it."
            )
    rows = np.empty((len(frame), len(names)), dtype, order="F")
    for column, name in enumerate(names):
        rows[:, column] = frame[name].to_numpy(dtype, na_value=np.nan)
    weight = None if weights is None else frame[weights].to_numpy(np.float64, na_value=np.nan)
    return Block(0, rows, weight)


def _answer(block: Block, task: Callable[[Block], NDArray[Any]], partition: int, about: About) -> NDArray[Any]:
    return about.answer(task, block.rows, lambda row: f"{about.name}, partition {partition}, row {row} of it")
