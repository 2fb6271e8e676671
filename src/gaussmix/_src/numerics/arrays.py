"""Types of arrays, how an array becomes read-only, and work on large arrays in pieces."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.errors import ParameterTypeError

Array = NDArray[np.float64]
Rows = NDArray[np.floating[Any]]  # (n_rows, n_features), float32 or float64, any strides
Indices = NDArray[np.intp]  # numbers of features, rows or components
MAX_GIGABYTES = 4.0  # size of an array with a number for each row and each component
PIECE_VALUES = 2**19  # values for one call of NumPy, 4 MB: about 2 ms, including the first touch of the memory


def frozen(array: Array) -> Array:
    """Mark an array that we own as read-only, and return it."""
    array.flags.writeable = False
    return array


def copied(values: NDArray[Any]) -> Array:
    """A contiguous float64 copy of an array of numbers."""
    return np.array(values, np.float64, order="C")


def check_size(n_rows: int, n_components: int, instead: str) -> None:
    """Raise ValueError where an array (n_rows, n_components) would be above `MAX_GIGABYTES`; say what to do instead."""
    if (gigabytes := 8e-9 * n_rows * n_components) > MAX_GIGABYTES:
        size = f"{n_rows:,} × {n_components:,} numbers would take {gigabytes:,.1f} GB"
        raise ValueError(f"An array of {size}, above the limit of {MAX_GIGABYTES:g} GB: {instead}.")


@cache
def below_diagonal(n: int) -> tuple[Indices, Indices]:
    """The places i > j of a matrix (n, n)."""
    rows, columns = np.tril_indices(n, -1)
    return rows, columns


def block_diagonal(*blocks: Array) -> Array:
    """Matrices (…, n_rows, n_columns) along the diagonal of one; as SciPy's `block_diag`, in a sixth of the time."""
    size = np.sum([block.shape[-2:] for block in blocks], axis=0).tolist()
    whole, row, column = np.zeros((*blocks[0].shape[:-2], *size)), 0, 0
    for block in blocks:
        n_rows, n_columns = block.shape[-2:]
        whole[..., row : row + n_rows, column : column + n_columns] = block
        row, column = row + n_rows, column + n_columns
    return whole


def pieces(shape: tuple[int, ...]) -> Iterator[slice]:
    """Slices of the first axis of an array of this shape, in order; a small array is one piece.

    What NumPy makes on the way takes little memory then.
    """
    values = prod(shape)
    if values <= PIECE_VALUES:
        yield slice(0, shape[0] if shape else 1)
        return
    step = max(1, PIECE_VALUES * shape[0] // values)
    for first in range(0, shape[0], step):
        yield slice(first, first + step)


_CPU = 1  # of DLPack's devices


def plain_array(values: Any, fill: float | None = np.nan) -> Any:
    """A masked array with `fill` in its masked cells, or a copy of an array on another device, such as a GPU.

    NumPy hands out what is under a mask, and libraries of GPUs refuse to be converted. Anything else passes as it is.

    Raises TypeError: the array can't be copied from its device.
    """
    if not isinstance(values, np.ndarray) and hasattr(values, "__dlpack_device__"):
        if values.__dlpack_device__()[0] != _CPU:
            return _copied(values)
        try:
            np.asarray(values)
        except RuntimeError:  # a device of a library that only pretends to be another one
            return _copied(values)
        return values
    if not isinstance(values, np.ma.MaskedArray) or not np.ma.is_masked(values):
        return values
    kinds = {"f": values.dtype, **dict.fromkeys("biu", np.dtype(np.float64))} if fill is not None else {}
    plain = np.array(values.data, dtype=kinds.get(values.dtype.kind, object))
    plain[np.ma.getmaskarray(values)] = fill
    return plain


def _copied(values: Any) -> Any:
    """The values of another device."""
    try:
        return np.from_dlpack(values, device="cpu", copy=True)
    except (TypeError, ValueError, BufferError, RuntimeError) as error:
        raise ParameterTypeError(
            f"An array of {type(values).__module__.partition('.')[0]} is on another device and can't be copied from it "
            f"({error}). Copy it first, such as X.cpu() or X.get()."
        ) from error


def narrowed(values: NDArray[np.float64], dtype: np.dtype[Any]) -> Rows:
    """The values in a floating type, or as they are where a finite one would become infinite."""
    if dtype == values.dtype:
        return values
    with np.errstate(over="ignore"):
        narrow: Rows = values.astype(dtype)
    return narrow if (np.isfinite(narrow) | ~np.isfinite(values)).all() else values
