"""Rows on a device, such as a GPU, in an array library other than NumPy: they stay where they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.errors import ParameterTypeError
from gaussmix._src.interfaces.block import Block, RowStatistics
from gaussmix._src.interfaces.leaves import Sums
from gaussmix._src.interfaces.spread import Spread
from gaussmix._src.numerics.device_array import DeviceArray, extreme_indices, hashed_rows, namespace_of, to_host
from gaussmix._src.numerics.rows import MAX_TOTAL_WEIGHT, largest_of
from gaussmix._src.sources.array import ArraySource
from gaussmix._src.sources.base import Change, Source, T, counted_anew
from gaussmix._src.sources.row_statistics import Cells, RowStatistic
from gaussmix._src.sources.survey import sampled

F = TypeVar("F", bound=RowStatistic)
ROWS_HASHED_AT_ONCE = 2**22  # so that hashes take less than 100 MB


class DeviceSource(Source):
    """An array on a device. Sums over all rows are computed there; at most as many rows as a leaf has are copied.

    Parameters
    ----------
    rows : (n_rows, n_features), float32 or float64.
    row_weight : (n_rows,), in the type that sums are computed in; None if all weights are 1.
    """

    is_on_device = True

    def __init__(self, rows: DeviceArray, row_weight: DeviceArray | None = None) -> None:
        self._blocks: Sequence[Block] = [Block(0, rows, row_weight)]  # type: ignore[arg-type]
        (self.n_rows, self.n_features), self.dtype = rows.shape, rows.dtype
        self.array_like = rows.values[:0, ...]

    @property
    def whole(self) -> None:
        """None, because a block is not in the memory of this process."""
        return None

    def blocks(self) -> Sequence[Block]:
        return self._blocks

    def map_rows(self, task: Callable[[Block], T]) -> Iterator[T]:
        return (task(leaf) for block in self._blocks for leaf in block.split())

    def per_row(self, task: Callable[[Block], NDArray[Any]], dtype: Any, shape: tuple[int, ...] = ()) -> Any:
        """Return the results for all rows, on the device if they are numbers, floats in the type of the rows."""
        (result,) = (task(block) for block in self._blocks)
        if result.dtype.kind not in "biuf":
            return result
        values, xp = self._rows.send(result), self._rows.namespace
        return xp.astype(values, self._rows.values.dtype) if result.dtype.kind == "f" else values

    def collect(self, kind: type[F]) -> F:
        compute = {RowStatistics: self._row_statistics, Cells: self._cells, Spread: self._spread}.get(kind)
        if compute is None or self._origin is not None:
            return super().collect(kind)
        return self.cached(kind, compute)  # type: ignore[return-value]

    def sample(self, n_rows: int) -> Block:
        return super().sample(n_rows).on_host()

    def _draw(self, n_rows: int) -> Block:
        fair, rows, xp = self.row_totals.total_weight / n_rows, self._rows, self._rows.namespace
        drawn = []
        for first in range(0, self.n_rows, ROWS_HASHED_AT_ONCE):
            some = slice(first, first + ROWS_HASHED_AT_ONCE)
            weight = 1.0 if self._weight is None else self._weight[some].values
            drawn.append(to_host(xp.nonzero(hashed_rows(rows[some], first) * fair < weight)[0]) + first)
        indices = np.concatenate(drawn)
        chosen = np.union1d(indices, extreme_indices(rows, self._weight))
        return sampled(self._blocks[0].take(chosen, 0).on_host(), np.isin(chosen, indices), fair)

    def changed(self, change: Change, n_rows: int, columns: Sequence[int] | None = None) -> Source:
        """As for every source, but the changed blocks are kept, and not made again in every pass."""
        blocks = list(counted_anew(changed for block in self._blocks for changed in change(block)))
        is_here = not blocks or isinstance(blocks[0].rows, np.ndarray)  # what the change reads by NumPy comes back so
        twin: Any = ArraySource(np.empty((0, self.n_features if columns is None else len(columns)), self.dtype))
        if not is_here:
            twin = self.without_states()
            twin._cache = {}
        twin._blocks, twin.n_rows = blocks, n_rows
        return twin

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
            offsets = rows.as_doubles() - mean
            weighted = offsets if weight is None else offsets * weight.values[:, None]
            return Sums((xp.sum(weighted, axis=0), weighted.T @ offsets))

        xp, total, block = self._rows.namespace, self.row_totals.total_weight, self._blocks[0]
        mean = self._rows.send(self._cells().ends.mean(axis=0))
        mean = mean + block.sum_of(sum_leaf)[0] / total
        scatter = block.sum_of(sum_leaf)[1]
        return Spread(to_host(mean).astype(np.float64), total, to_host(scatter).astype(np.float64))


def open_device(X: Any, sample_weight: Any) -> DeviceSource:
    """Check an array on a device, and the weights of its rows; return its rows without copying them.

    Raises
    ------
    ValueError : X is not a table of finite real numbers, or a weight can't be used; the message names the cell or row.
    TypeError : X has another type of numbers, or X and sample_weight are on two devices.
    """
    xp = namespace_of(X)
    X = X.detach() if hasattr(X, "detach") else X  # from the graph of PyTorch's gradients
    if X.ndim != 2 or 0 in X.shape:
        raise ValueError(f"X must be a table of shape (n_samples, n_features), not an array of shape {tuple(X.shape)}.")
    if xp.isdtype(X.dtype, ("bool", "integral")):
        X = xp.astype(X, DeviceArray(xp.zeros(0, device=X.device)).computing_type)
    if X.dtype not in (xp.float32, xp.float64):
        raise ParameterTypeError(f"Input X has numbers of type {X.dtype}. Convert them to float32 or float64.")
    rows = DeviceArray(X)
    if "int64" not in xp.__array_namespace_info__().dtypes(device=X.device, kind="signed integer"):
        raise ParameterTypeError(
            "Rows on a device need integers of 64 bits there. Allow them, in JAX by "
            'jax.config.update("jax_enable_x64", True), or copy the rows to NumPy.'
        )
    is_bad = ~(xp.abs(X) <= min(largest_of(len(rows)), float(xp.finfo(X.dtype).max)))
    if xp.any(is_bad):
        row, column = divmod(int(xp.argmax(xp.reshape(xp.astype(is_bad, xp.int8), (-1,)))), rows.shape[1])
        raise ValueError(
            f"Input X contains {float(X[row, column]):.3g}: row {row}, column {column}. Rows on a device need finite "
            "numbers: fill in missing values, or copy the rows to NumPy, where a fit reads missing values."
        )
    return DeviceSource(rows, None if sample_weight is None else _check_weight(rows, sample_weight))


def _check_weight(rows: DeviceArray, sample_weight: Any) -> DeviceArray:
    xp = rows.namespace
    try:
        weight = xp.asarray(sample_weight, dtype=rows.computing_type, device=rows.values.device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ParameterTypeError(f"sample_weight can't be read on the device of X ({error}). Move it there.") from None
    if tuple(weight.shape) != (len(rows),):
        raise ValueError(
            f"sample_weight must have shape ({len(rows)},), the number of rows, not {tuple(weight.shape)}."
        )
    is_bad = ~((weight >= 0) & (weight <= min(MAX_TOTAL_WEIGHT, float(xp.finfo(weight.dtype).max)) / len(rows)))
    if xp.any(is_bad) or not xp.any(weight > 0):
        row = int(xp.argmax(xp.astype(is_bad, xp.int8)))
        raise ValueError(
            f"sample_weight must be finite and non-negative, and positive for some row; row {row} has "
            f"{float(weight[row]):.3g}."
        )
    return DeviceArray(weight)
