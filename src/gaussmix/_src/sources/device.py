"""Implement a source for arrays of libraries other than NumPy: the rows stay on their device, such as a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.errors import ParameterTypeError
from gaussmix._src.interfaces.block import Block, RowStatistics
from gaussmix._src.interfaces.leaves import Sums
from gaussmix._src.interfaces.spread import Spread
from gaussmix._src.numerics.device_array import (
    ROWS_COPIED_AT_ONCE,
    DeviceArray,
    extreme_indices,
    hashed_rows,
    namespace_of,
    to_host,
)
from gaussmix._src.numerics.rows import MAX_TOTAL_WEIGHT, BadCell, unit_of_weights
from gaussmix._src.sources.array import ArraySource
from gaussmix._src.sources.base import Change, F, S, Source, T, Task, renumbered
from gaussmix._src.sources.row_statistics import Cells
from gaussmix._src.sources.survey import sampled


class DeviceSource(Source):
    """A source whose rows are an array on a device. Sums over all rows are computed on the device.

    Parameters
    ----------
    rows : array (n_rows, n_features) of float32 or float64.
    row_weight : weights of the rows (n_rows,), of the type in which sums are computed; None if all weights are 1.
    """

    is_on_device = True

    def __init__(self, rows: DeviceArray, row_weight: DeviceArray | None = None) -> None:
        arrays: Any = (rows, row_weight)
        self._blocks: Sequence[Block] = [Block(0, *arrays)]
        (self.n_rows, self.n_features), self.dtype = rows.shape, rows.dtype
        xp = rows.namespace
        self.array_like = xp.empty((0, self.n_features), dtype=rows.values.dtype, device=rows.values.device)

    @property
    def whole(self) -> None:
        """Return None, because the rows are not in the memory of this process."""
        return None

    def blocks(self) -> Sequence[Block]:
        return self._blocks

    def map_merge(self, task: Task[S]) -> S:
        """Run a task once for each block instead of each node, because a pass takes milliseconds even for few rows."""
        return reduce(add, (task.call(block, task.open(block)) for block in self._blocks))

    def map_rows(self, task: Callable[[Block], T]) -> Iterator[T]:
        return (task(leaf) for block in self._blocks for leaf in block.split())

    def per_row(self, task: Callable[[Block], NDArray[Any]], dtype: Any, shape: tuple[int, ...] = ()) -> Any:
        """Return the results for all rows; numbers are sent to the device, and floats get the type of the rows."""
        (result,) = (task(block) for block in self._blocks)
        if result.dtype.kind not in "biuf":
            return result
        values, xp = self._rows.send(result), self._rows.namespace
        return xp.astype(values, self._rows.values.dtype) if result.dtype.kind == "f" else values

    def collect(self, kind: type[F]) -> F:
        compute = {RowStatistics: self._row_statistics, Cells: self._cells, Spread: self._spread}.get(kind)
        if compute is None or self._origin is not None:
            return super().collect(kind)
        result: Any = self.cached(kind, compute)
        return result

    def sample(self, n_rows: int) -> Block:
        return super().sample(n_rows).on_host()

    def _draw(self, n_rows: int) -> Block:
        drawn_weight, rows, xp = self.row_totals.total_weight / n_rows, self._rows, self._rows.namespace
        drawn = []
        for first in range(0, self.n_rows, ROWS_COPIED_AT_ONCE):
            piece = slice(first, first + ROWS_COPIED_AT_ONCE)
            weight = 1.0 if self._weight is None else self._weight[piece].values
            drawn.append(to_host(xp.nonzero(hashed_rows(rows[piece], first) * drawn_weight < weight)[0]) + first)
        indices = np.concatenate(drawn)
        chosen = np.union1d(indices, extreme_indices(rows, self._weight))
        return sampled(self._blocks[0].take(chosen, 0).on_host(), np.isin(chosen, indices), drawn_weight)

    def changed(self, change: Change, n_rows: int, columns: Sequence[int] | None = None) -> Source:
        """Return a source of the changed blocks, which are computed once and stored."""
        blocks = list(renumbered(changed for block in self._blocks for changed in change(block)))
        is_here = not blocks or isinstance(blocks[0].rows, np.ndarray)  # `change` may have returned NumPy arrays
        twin: Any = ArraySource(np.empty((0, self.n_features if columns is None else len(columns)), self.dtype))
        if not is_here:
            twin = DeviceSource(self._rows)
            blocks = [self._on_device(block) for block in blocks]
        twin._blocks, twin.n_rows = blocks, n_rows
        return twin._copy_flags(self)

    def _on_device(self, block: Block) -> Block:
        """Copy the weights and `Block.prior_indices` that are NumPy arrays to the device, once for all passes."""
        copies: dict[str, Any] = {}
        for name, dtype in (("row_weight", np.float64), ("prior_indices", np.int64)):
            values = getattr(block, name)
            if isinstance(values, np.ndarray):
                copies[name] = DeviceArray(self._rows.send(values.astype(dtype)))
        return replace(block, **copies)

    def is_in_library_of_rows(self, values: Any) -> bool:
        """Return whether `values` is an array of the same library as the rows."""
        try:
            return hasattr(values, "__dlpack_device__") and namespace_of(values) is self._rows.namespace
        except TypeError:  # an array whose library does not follow the standard, such as pyarrow
            return False

    def weighted(self, sample_weight: Any) -> DeviceSource:
        """Return a source with weights, which are an array on the device (checked here) or a checked NumPy array."""
        xp = self._rows.namespace
        if isinstance(sample_weight, np.ndarray):
            return DeviceSource(self._rows, DeviceArray(self._rows.send(sample_weight)))
        sample_weight = _dense("sample_weight", sample_weight)
        if "complex" in str(sample_weight.dtype):
            raise ValueError("sample_weight must be real numbers, not complex numbers.")
        try:
            weight = xp.asarray(sample_weight, dtype=self._rows.computing_type, device=self._rows.values.device)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ParameterTypeError(f"sample_weight must be on the device of X: {error}.") from None
        if tuple(weight.shape) != (self.n_rows,):
            raise ValueError(f"sample_weight.shape == {tuple(weight.shape)}, expected {(self.n_rows,)}.")
        is_bad, total = ~((weight >= 0) & (weight < xp.inf)), float(xp.sum(weight))
        if xp.any(is_bad):
            row = int(xp.argmax(xp.astype(is_bad, xp.int8)))
            raise ValueError(f"sample_weight must be finite and non-negative, but row {row} has {float(weight[row])}.")
        if not 0 < total <= min(MAX_TOTAL_WEIGHT, float(xp.finfo(weight.dtype).max)):
            raise ValueError(f"sample_weight adds up to {total:g}; the sum must be positive and finite.")
        return DeviceSource(self._rows, DeviceArray(weight))

    @property
    def _rows(self) -> DeviceArray:
        rows: Any = self._blocks[0].rows
        return rows

    @property
    def _weight(self) -> DeviceArray | None:
        weight: Any = self._blocks[0].row_weight
        return weight

    def _row_statistics(self) -> RowStatistics:
        weight = self._weight
        if weight is None:
            return RowStatistics(self.n_rows, float(self.n_rows), self.n_rows, None)
        xp = weight.namespace
        n_positive = int(xp.sum(xp.astype(weight.values > 0, xp.int64)))
        return RowStatistics(self.n_rows, weight.sum(), n_positive, float(xp.max(weight.values)))

    def _cells(self) -> Cells:
        n_positive = np.full(self.n_features, float(self.row_totals.n_positive))
        ends = np.full((2, self.n_features), np.nan)
        if n_positive.any():
            extremes = extreme_indices(self._rows, self._weight).reshape(2, -1)
            ends[:] = self._rows[extremes.ravel()].reshape(2, len(extremes[0]), -1).diagonal(axis1=1, axis2=2)
        return Cells(ends, n_positive, np.zeros(self.n_features), 0, 0.0)

    def _spread(self) -> Spread:
        def sum_leaf(leaf: Any) -> Sums:
            rows, weight = leaf.rows, leaf.row_weight
            offsets = (rows.as_computing_type() - mean) / widths
            weighted = offsets if weight is None else offsets * (weight.values / unit)[:, None]
            return Sums((xp.sum(weighted, axis=0), weighted.T @ offsets))

        xp, totals, block, ends = self._rows.namespace, self.row_totals, self._blocks[0], self.collect(Cells).ends
        unit = 1.0 if totals.largest_weight is None else unit_of_weights(totals.largest_weight)
        total, scale = totals.total_weight / unit, np.where(ends[1] > ends[0], ends[1] - ends[0], 1.0)
        mean, widths = self._rows.send(ends.mean(axis=0)), self._rows.send(scale)
        mean = mean + widths * (block.sum_of(sum_leaf)[0] / total)
        scatter = to_host(block.sum_of(sum_leaf)[1]).astype(np.float64) * np.outer(scale, scale)
        return Spread(to_host(mean).astype(np.float64), total, scatter, unit)


def _dense(name: str, values: Any) -> Any:
    """Return an array without PyTorch's graph of gradients; raise ParameterTypeError for a sparse tensor."""
    if not hasattr(values, "detach"):  # not a PyTorch tensor
        return values
    if str(values.layout) != "torch.strided":
        raise ParameterTypeError(
            f"Sparse data was passed for {name}, but dense data is required. Use {name}.to_dense()."
        )
    return values.detach()


def open_device(X: Any, *, are_squared: bool) -> DeviceSource:
    """Check an array on a device and return its rows without copying them.

    Parameters
    ----------
    X : array.
    are_squared : whether the caller squares the values, as a fit does, so that squares must not overflow.

    Raises
    ------
    ValueError : X is not a table of finite real numbers; the message names the first invalid value.
    TypeError : X is sparse or has numbers of an unsupported type, or the device does not support 64-bit integers.
    """
    xp = namespace_of(X)
    X = _dense("X", X)
    if X.ndim != 2 or 0 in X.shape:
        raise ValueError(f"X must be a table of shape (n_samples, n_features), not an array of shape {tuple(X.shape)}.")
    is_integer = xp.isdtype(X.dtype, ("bool", "integral"))
    if is_integer:
        X = xp.astype(X, DeviceArray(xp.zeros(0, device=X.device)).computing_type)
    if X.dtype not in (xp.float32, xp.float64):
        raise ParameterTypeError(f"Input X has numbers of type {X.dtype}. Convert them to float32 or float64.")
    if "int64" not in xp.__array_namespace_info__().dtypes(device=X.device, kind="signed integer"):
        raise ParameterTypeError(
            "Rows on a device need 64-bit integers, which are not enabled. Enable them, in JAX by "
            'jax.config.update("jax_enable_x64", True), or copy the rows to NumPy.'
        )
    rows, largest = DeviceArray(X), float(xp.finfo(X.dtype).max)
    if are_squared:
        largest = min(largest, (float(xp.finfo(rows.computing_type).max) / (4 * len(rows))) ** 0.5)
    for first in range(0, len(rows), ROWS_COPIED_AT_ONCE):
        is_bad = ~(xp.abs(rows[first : first + ROWS_COPIED_AT_ONCE].values) <= largest)
        if xp.any(is_bad):
            row, column = divmod(int(xp.argmax(xp.reshape(xp.astype(is_bad, xp.int8), (-1,)))), rows.shape[1])
            cell = BadCell(first + row, column, float(X[first + row, column]))
            advice = "Rows on a device need finite numbers: fill in missing values, or copy the rows to NumPy."
            if np.isfinite(cell.value):
                advice = cell.advice
            raise ValueError(f"Input X contains {cell.name}: row {cell.row}, column {column}. {advice}")
    source = DeviceSource(rows)
    source.integer_columns = range(rows.shape[1]) if is_integer else ()
    return source
