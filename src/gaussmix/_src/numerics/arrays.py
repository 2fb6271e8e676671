"""Array types, read-only arrays, helpers for matrices, and iteration over large arrays in pieces."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.errors import ParameterTypeError

Array = NDArray[np.float64]
Rows = NDArray[np.floating[Any]]  # float32 or float64 array (n_rows, n_features) with any strides
Indices = NDArray[np.intp]  # indices of features, rows or components
MAX_GIGABYTES = 4.0  # size limit for arrays with one number per row and component
FLOAT32_ERROR = 1e-4  # relative errors of covariances above this are not rounding errors of float32
PIECE_VALUES = 2**19  # values per NumPy call: 4 MB, about 2 ms per call if the memory is newly allocated


def frozen(array: Array) -> Array:
    """Mark an array that gaussmix created as read-only, and return the same array."""
    array.flags.writeable = False
    return array


def copied(values: NDArray[Any]) -> Array:
    """Return a contiguous float64 copy of an array of numbers."""
    return np.array(values, np.float64, order="C")


def check_size(n_rows: int, n_components: int, instead: str) -> None:
    """Raise ValueError, with the advice `instead`, if an array (n_rows, n_components) would exceed `MAX_GIGABYTES`."""
    if (gigabytes := 8e-9 * n_rows * n_components) > MAX_GIGABYTES:
        array = f"An array of {n_rows:,} × {n_components:,} numbers"
        raise ValueError(f"{array} would take {gigabytes:,.1f} GB, but the limit is {MAX_GIGABYTES:g} GB: {instead}.")


@cache
def below_diagonal(n: int) -> tuple[Indices, Indices]:
    """Return the row indices i and the column indices j < i of all entries below the diagonal of a matrix (n, n)."""
    rows, columns = np.tril_indices(n, -1)
    return rows, columns


def is_symmetric(matrices: Array, tolerance: float = 1e-8) -> NDArray[np.bool_]:
    """Return (…) whether each matrix (…, d, d) is symmetric up to `tolerance` × the product of standard deviations."""
    scale = np.sqrt(np.abs(np.diagonal(matrices, axis1=-2, axis2=-1)))
    allowed = tolerance * scale[..., :, None] * scale[..., None, :]
    return np.asarray((np.abs(matrices - matrices.swapaxes(-1, -2)) <= allowed).all(axis=(-2, -1)))


def block_diagonal(*blocks: Array) -> Array:
    """Return a block-diagonal matrix of matrices (…, n_rows, n_columns), six times as fast as SciPy's `block_diag`."""
    size = np.sum([block.shape[-2:] for block in blocks], axis=0).tolist()
    whole, row, column = np.zeros((*blocks[0].shape[:-2], *size)), 0, 0
    for block in blocks:
        n_rows, n_columns = block.shape[-2:]
        whole[..., row : row + n_rows, column : column + n_columns] = block
        row, column = row + n_rows, column + n_columns
    return whole


def pieces(shape: tuple[int, ...]) -> Iterator[slice]:
    """Yield slices of the first axis that split an array of this shape into pieces; a small array is one piece.

    Working on one piece at a time limits the memory that NumPy's temporary arrays take.
    """
    values = prod(shape)
    if values <= PIECE_VALUES:
        yield slice(0, shape[0] if shape else 1)
        return
    step = max(1, PIECE_VALUES * shape[0] // values)
    for first in range(0, shape[0], step):
        yield slice(first, first + step)


CPU = 1  # number of the device type CPU in DLPack


def plain_array(values: Any, fill: float | None = np.nan) -> Any:
    """Fill the masked values of a masked array, or convert an array of another library, such as PyTorch, to NumPy.

    All other values are returned unchanged. NumPy itself would ignore the mask, and GPU libraries would raise errors.

    Raises TypeError if the array can't be converted to NumPy.
    """
    is_arrow = hasattr(values, "__arrow_c_array__")  # pyarrow before 26 has no DLPack for arrays with nulls
    if not isinstance(values, np.ndarray) and hasattr(values, "__dlpack_device__") and not is_arrow:
        values = values.detach() if hasattr(values, "detach") else values  # drops the gradients of PyTorch tensors
        try:
            return np.asarray(values) if values.__dlpack_device__()[0] == CPU else _copied(values)
        except (RuntimeError, TypeError):  # array-api-strict simulates other devices in CPU memory
            return _copied(values)
    if not isinstance(values, np.ma.MaskedArray) or not np.ma.is_masked(values):
        return values
    kinds = {"f": values.dtype, **dict.fromkeys("biu", np.dtype(np.float64))} if fill is not None else {}
    plain = np.array(values.data, dtype=kinds.get(values.dtype.kind, object))
    plain[np.ma.getmaskarray(values)] = fill
    return plain


def _copied(values: Any) -> Any:
    """Copy an array from another device to a NumPy array."""
    try:
        return np.from_dlpack(values, device="cpu", copy=True)
    except (TypeError, ValueError, BufferError, RuntimeError) as error:
        raise ParameterTypeError(
            f"An array of {type(values).__module__.partition('.')[0]} can't be converted to NumPy ({error}). Copy it "
            "first, for example by X.cpu() or X.get(), to a dense array of a type that NumPy has, such as float32."
        ) from error


def narrowed(values: NDArray[np.float64], dtype: np.dtype[Any]) -> Rows:
    """Convert values to the type `dtype`, or return them unchanged if a finite value would become infinite."""
    if dtype == values.dtype:
        return values
    with np.errstate(over="ignore"):
        narrow: Rows = values.astype(dtype)
    return narrow if (np.isfinite(narrow) | ~np.isfinite(values)).all() else values
