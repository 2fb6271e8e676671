"""Explain why an object that can't be converted to rows of numbers is invalid; loaded only for such objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gaussmix._src.errors import ParameterTypeError, cell_named
from gaussmix._src.sources.opening import IN_MEMORY, SEVERAL


def check_cells(X: ArrayLike, names: Any, *, are_converted: bool = False) -> None:
    """Raise an error with advice for objects that are not tables, and for the first value that is not a number.

    If `are_converted`, a text is rejected even if NumPy can convert it to a number. If this function raises no error,
    its caller raises scikit-learn's error.
    """
    _check_is_table(X)
    try:
        cells = np.asarray(X, dtype=object)
    except (TypeError, ValueError, OverflowError):
        return
    _check_shape_of_cells(X, cells)
    for (row, column), cell in np.ndenumerate(cells) if cells.ndim == 2 else ():
        try:
            float(np.nan if cell is None else cell)
            if are_converted and isinstance(cell, str | bytes):
                raise ValueError(f"{cell!r:.40} is text")
        except (TypeError, ValueError, OverflowError) as error:
            kind = ParameterTypeError if isinstance(error, TypeError) else ValueError
            advice = "X must contain numbers: drop, encode or convert other columns, for example by .astype(float)."
            if type(cell).__name__ == "NAType":  # .astype(float) does not convert pandas.NA
                advice = "Pass the data frame, or replace pandas.NA by NaN: .to_numpy(float, na_value=numpy.nan)."
            raise kind(f"Input X: {error}, in {cell_named(row, column, names)}. {advice}") from None


def _check_is_table(X: Any) -> None:
    """Raise TypeError with advice for an object of a type that is not a table, such as a dictionary."""
    if isinstance(X, Mapping) and not hasattr(X, "toarray"):  # scipy's dok_array is a mapping
        if not isinstance(X, dict):  # for example from numpy.load, h5py or xarray
            raise ParameterTypeError(
                f"Input X is a {type(X).__name__} of several arrays. Pass one array: X[name]."
            ) from None
        advice = "Convert it to a data frame: pandas.DataFrame(X)"
        if hasattr(X, "data"):  # a Bunch, which the functions of sklearn.datasets return
            advice = "Pass its table: X.data"
        raise ParameterTypeError(f"Input X is a dictionary. {advice}.") from None
    if X is None:
        raise ValueError("Input X is None. Pass an array, a data frame, or the path of a file.") from None
    # Lazy objects of Dask and Spark have all public attributes, such as `dtype` and `read`, but no truth value.
    if isinstance(dtype := getattr(X, "dtype", None), np.dtype) and dtype.names:
        raise ParameterTypeError(
            "Input X is a structured array. Convert it to a table: "
            "numpy.lib.recfunctions.structured_to_unstructured(X), or pandas.DataFrame(X)."
        ) from None
    if hasattr(getattr(X, "read", None), "__name__"):
        raise ParameterTypeError("Input X is an open file. Pass the path of the file instead.") from None
    if isinstance(X, Set | Iterator):
        batches = " If X yields tables, pass each to GaussianMixture.partial_fit." if isinstance(X, Iterator) else ""
        raise ParameterTypeError(
            f"Input X is of type {type(X).__name__}, not a table. Convert it to a list of rows: list(X).{batches}"
        ) from None


def _check_shape_of_cells(X: Any, cells: NDArray[Any]) -> None:
    """Raise an error with advice if X is not a table; `cells` is the array of objects to which NumPy converts X."""
    first = cells.flat[0] if cells.ndim < 2 and cells.size else None
    if isinstance(first, str | PathLike) and isinstance(X, list | tuple):
        raise ParameterTypeError(f"Input X is a list of text. {SEVERAL}") from None
    if type(first).__module__.partition(".")[0] not in IN_MEMORY or callable(first):  # for example Dask or a function
        name = f"{'list of ' if cells.ndim else ''}{type(first).__module__}.{type(first).__name__}"
        raise ParameterTypeError(
            f"Input X is a {name}, not a table. See help(gaussmix.open) for the types that X may have."
        ) from None
    if cells.ndim == 1 and len(cells) and isinstance(cells[0], np.ndarray):
        raise ValueError("Input X is a column of arrays. Convert it to a table: numpy.stack(X).") from None
    lengths = [len(row) for row in cells if isinstance(row, list | tuple)] if cells.ndim == 1 else []
    if len(set(lengths)) > 1 and len(lengths) == len(cells):
        other = next(at for at, length in enumerate(lengths) if length != lengths[0])
        counts = f"{lengths[0]} in row 0 and {lengths[other]} in row {other}"
        raise ValueError(f"Input X has rows of different lengths: {counts}. Pad the shorter rows with NaN.") from None
