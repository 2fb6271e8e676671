"""Arrays of libraries other than NumPy, which may be on a GPU (array API standard, 2023.12)."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from importlib import import_module
from math import prod
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray

from gaussmix._src.numerics.arrays import CPU, Indices

ROWS_COPIED_AT_ONCE = 2**22  # number of rows that are copied at a time, so that the copies take little memory


def namespace_of(values: Any) -> Any:
    """Return the array API namespace of an array; raises ImportError if no installed package provides it."""
    for package in ("array_api_compat", "sklearn.externals.array_api_compat"):  # scikit-learn ≥ 1.8 has a copy
        try:
            return import_module(package).array_namespace(values)
        except ImportError:
            continue
    raise ImportError("Arrays on a device need array-api-compat: pip install array-api-compat.")


def to_host(values: Any) -> NDArray[Any]:
    """Copy an array from its device to NumPy."""
    if hasattr(values, "cpu"):  # PyTorch tensors, which DLPack reads only from the current device
        return np.array(values.numpy(force=True))
    if hasattr(values, "get"):  # CuPy's arrays
        return np.asarray(values.get())
    copied = np.from_dlpack(values, device="cpu", copy=True)
    return copied if copied.flags.writeable else copied.copy()  # it is read-only before NumPy 2.2.5


class DeviceArray(NDArrayOperatorsMixin):
    """Array on a device. Most NumPy functions that get a `DeviceArray` read a copy in the memory of the host.

    Parameters
    ----------
    values : array of another library.
    whole : array that contains this array as a slice; None if this array is not a slice.
    """

    def __init__(self, values: Any, whole: DeviceArray | None = None) -> None:
        self.values, self._whole = values, whole
        self.shape, self.ndim = tuple(map(int, values.shape)), len(values.shape)
        self.measured: Any = None  # statistics of the array, which an engine computes once

    @property
    def whole(self) -> DeviceArray:
        """Return the array that contains this array as a slice, or this array if it is not a slice."""
        return self if self._whole is None else self._whole

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the data type of the values as a NumPy type."""
        return np.dtype(str(self.values.dtype).rpartition(".")[2])

    @property
    def namespace(self) -> Any:
        """Return the array API namespace of this array."""
        return namespace_of(self.values)

    @property
    def computing_type(self) -> Any:
        """Return the type in which sums are computed: float64, or float32 if the device has no float64."""
        xp = self.namespace
        known = xp.__array_namespace_info__().dtypes(device=self.values.device, kind="real floating")
        return xp.float64 if "float64" in known else xp.float32

    @property
    def is_on_cpu(self) -> bool:
        """Return whether the device is a CPU."""
        return bool(self.values.__dlpack_device__()[0] == CPU)

    @property
    def precision(self) -> float:
        """Return the relative rounding error of `computing_type`."""
        return float(self.namespace.finfo(self.computing_type).eps)

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize

    def send(self, values: Any) -> Any:
        """Return a copy of a NumPy array on this device, or the `values` of a `DeviceArray`."""
        if isinstance(values, DeviceArray):
            return values.values
        values = np.array(values)  # a writable copy, because libraries warn about read-only arrays
        if values.dtype == np.float64:
            values = values.astype(np.float64 if self.computing_type == self.namespace.float64 else np.float32)
        return self.namespace.asarray(values, device=self.values.device)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Any:
        """Return a slice of rows as an array on the device, and any other selection as a NumPy array."""
        if isinstance(index, slice):
            return DeviceArray(self.values[slice(*index.indices(len(self))), ...], self.whole)
        if not isinstance(index, np.ndarray) or index.ndim != 1:
            return np.asarray(self)[index]
        return to_host(self.take(index.nonzero()[0] if index.dtype == np.bool_ else index).values)

    def take(self, indices: NDArray[Any]) -> DeviceArray:
        """Return a copy of the rows at `indices`, on the device."""
        return DeviceArray(self.namespace.take(self.values, self.send(indices.astype(np.int64)), axis=0))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        values = to_host(self.values)
        return values if dtype is None else values.astype(dtype, copy=False)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        is_plain = method == "__call__" and not options
        if is_plain and ufunc in _OPERATORS and all(isinstance(each, DeviceArray | float) for each in inputs):
            return DeviceArray(
                _OPERATORS[ufunc](*(each.values if isinstance(each, DeviceArray) else each for each in inputs))
            )
        return getattr(ufunc, method)(*_on_host(inputs), **options)

    def __array_function__(self, function: Any, types: Any, arguments: Any, options: Any) -> Any:
        is_first, n_arguments = isinstance(arguments[0], DeviceArray), len(arguments)
        if function is np.take and is_first and isinstance(arguments[1], np.ndarray) and options == {"axis": 0}:
            return arguments[0].take(arguments[1])
        if function is np.concatenate and n_arguments == 1 and not options:
            return concatenated(arguments[0])
        if function is np.where and is_first and n_arguments == 3:
            condition, *others = (
                each.values if isinstance(each, DeviceArray) else self.send(each) for each in arguments
            )
            return DeviceArray(self.namespace.where(condition, *others))
        return function(*_on_host(arguments), **options)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(np.asarray(self), name)

    def as_computing_type(self) -> Any:
        """Return the values, converted to `computing_type`."""
        return self.namespace.astype(self.values, self.computing_type, copy=False)

    def sum(self) -> float:
        """Return the sum of all values, computed on the device."""
        return float(self.namespace.sum(self.values))

    def astype(self, dtype: Any, copy: bool = True, **order: Any) -> Any:
        """Convert the values on the device, or on the host if a memory order is requested."""
        if order:
            return np.asarray(self).astype(dtype, copy=copy, **order)
        target = getattr(self.namespace, np.dtype(dtype).name)
        return DeviceArray(self.namespace.astype(self.values, target, copy=copy))


_OPERATORS = {np.multiply: operator.mul, np.greater: operator.gt, np.less: operator.lt}  # computed on the device


def _on_host(arguments: Any) -> Any:
    """Replace device arrays in the arguments of a NumPy function by NumPy arrays."""
    if isinstance(arguments, list | tuple):
        return [_on_host(each) for each in arguments]
    return np.asarray(arguments) if isinstance(arguments, DeviceArray) else arguments


def concatenated(arrays: Sequence[DeviceArray]) -> DeviceArray:
    """Join arrays along their first axis, on the device."""
    return arrays[0] if len(arrays) == 1 else DeviceArray(arrays[0].namespace.concat([each.values for each in arrays]))


def extreme_indices(rows: DeviceArray, weight: DeviceArray | None) -> Indices:
    """Return indices (2 d,) of rows with the smallest and largest value of each column, ignoring rows of weight 0."""
    xp, n_columns, candidates = rows.namespace, np.arange(rows.shape[1]), list[Indices]()
    for first in range(0, len(rows), ROWS_COPIED_AT_ONCE):
        piece = slice(first, first + ROWS_COPIED_AT_ONCE)
        low = high = rows[piece].values
        if weight is not None:
            counts = (weight[piece].values > 0)[:, None]
            infinity = xp.asarray(xp.inf, dtype=low.dtype, device=low.device)
            low, high = xp.where(counts, low, infinity), xp.where(counts, high, -infinity)
        candidates += [to_host(xp.argmin(low, axis=0)) + first, to_host(xp.argmax(high, axis=0)) + first]
    lowest, highest = np.stack(candidates[::2]), np.stack(candidates[1::2])
    best = [rows[each.ravel()].reshape(*each.shape, -1).diagonal(axis1=1, axis2=2) for each in (lowest, highest)]
    chosen = lowest[best[0].argmin(axis=0), n_columns], highest[best[1].argmax(axis=0), n_columns]
    return np.concatenate(chosen).astype(np.intp)


def hashed_rows(rows: DeviceArray, first_row: int) -> Any:
    """Return `numerics.hashing.uniform(mix(mix(number)))` for each row number, computed on the device."""
    xp = rows.namespace
    numbers = xp.arange(first_row, first_row + len(rows), dtype=xp.int64, device=rows.values.device)
    for _ in range(2):
        numbers = numbers + _signed(0x9E3779B97F4A7C15)
        numbers = (numbers ^ _shifted(numbers, 30)) * _signed(0xBF58476D1CE4E5B9)
        numbers = (numbers ^ _shifted(numbers, 27)) * _signed(0x94D049BB133111EB)
        numbers = numbers ^ _shifted(numbers, 31)
    return (xp.astype(_shifted(numbers, 11), rows.computing_type) + 0.5) * 2.0**-53


def _signed(number: int) -> int:
    """Return the signed integer with the same 64 bits, because few libraries multiply unsigned integers."""
    return number - 2**64 if number >= 2**63 else number


def _shifted(numbers: Any, n_bits: int) -> Any:
    """Shift 64-bit integers to the right, and fill the highest bits with zeros."""
    return (numbers >> n_bits) & (2 ** (64 - n_bits) - 1)
