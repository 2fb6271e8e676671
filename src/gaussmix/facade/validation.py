"""What the user passes with the data, turned into rows and weights, or refused in one sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from gaussmix.facade.parameters import check_numbers
from gaussmix.waist.arrays import Array, Rows
from gaussmix.waist.rows import first_beyond, in_whole_steps

SMALLEST_SPREAD = 1e-152  # a thousandth of its square still has all its digits
LARGEST_WEIGHT = 1e150  # of all rows together: sums of weighted squares keep clear of overflow


def check_rows(estimator: BaseEstimator, X: ArrayLike, *, reset: bool) -> Rows:
    """Rows (n_samples, n_features), float32 or float64, of what scikit-learn takes as X; copied only to convert.

    Raises
    ------
    ValueError : text, complex, masked, non-finite or (in `fit`) too large numbers, a wrong number of dimensions,
        samples or features.
    TypeError : a sparse matrix, or cells that are neither numbers nor text.
    """
    if np.ma.is_masked(X):  # NumPy would hand out what is under the mask
        raise ValueError("Input X is a masked array with masked cells. Remove or fill such rows first.")
    try:
        rows: Rows = validate_data(
            estimator,
            X,
            reset=reset,
            dtype=[np.float64, np.float32],
            ensure_all_finite=False,
            ensure_min_samples=2 if reset else 1,
        )
    except (TypeError, ValueError, OverflowError) as error:
        if str(error).startswith("Complex data not supported"):  # scikit-learn goes on to print all of X
            raise ValueError(
                "Complex data not supported: X must be real numbers; real and imaginary part can be two columns."
            ) from None
        _check_cells(X, getattr(estimator, "feature_names_in_", None))
        raise
    largest = float(np.finfo(np.float64).max)
    if reset:  # squared offsets add up without overflow
        largest = (largest / (4 * len(rows))) ** 0.5
    _check_values(rows, getattr(estimator, "feature_names_in_", None), largest)
    return in_whole_steps(rows)


def _check_cells(X: ArrayLike, names: Any) -> None:
    """Name the first cell that is no number; what is no table or fails otherwise is scikit-learn's to refuse."""
    if _converts(X, np.float64) or not _converts(X, object):
        return
    cells = np.asarray(X, dtype=object)
    for (row, column), cell in np.ndenumerate(cells) if cells.ndim == 2 else ():
        try:
            float(cell)
        except (TypeError, ValueError, OverflowError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(
                f"Input X: {error}, in {_place(row, column, names)}. Give numbers: drop or encode such columns first."
            ) from None


def _converts(X: ArrayLike, dtype: Any) -> bool:
    try:
        np.asarray(X, dtype=dtype)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def _place(row: int, column: int, names: Any) -> str:
    """Say where a cell is, by the name of its column where it has one."""
    where = repr(str(names[column])) if names is not None else str(column)
    return f"row {row}, column {where} (counted from 0)"


def _check_values(rows: Rows, names: Any, largest: float) -> None:
    """Name the first row and column that hold NaN or too large a number."""
    cell = first_beyond(rows, largest)
    if cell is None:
        return
    value, where = rows[cell], _place(*cell, names)
    if np.isfinite(value):
        raise ValueError(f"Input X contains {value:.3g}: {where}. Its square overflows: rescale the columns of X.")
    what = "NaN" if np.isnan(value) else "infinity"
    raise ValueError(f"Input X contains {what}: {where}. Remove or fill such rows first.")


def check_spread(rows: Array) -> None:
    """Raise ValueError for a column of rows (n_rows, n_features) that varies by so little that squares vanish."""
    spread = rows.max(axis=0) - rows.min(axis=0)
    vanishing = (spread > 0) & (spread < SMALLEST_SPREAD)
    if vanishing.any():
        column = int(vanishing.argmax())
        raise ValueError(
            f"Input X varies by only {spread[column]:.3g} in column {column} (counted from 0): squares of that "
            "underflow. Rescale the columns of X."
        )


def check_row_weight(sample_weight: ArrayLike | None, n_rows: int, n_components: int) -> Array | None:
    """Row weights (n_rows,), float64; None where all are 1.

    Raises
    ------
    ValueError : no numbers, wrong shape, not finite, negative, positive for fewer rows than components, or so large
        that sums overflow.
    """
    if sample_weight is None:
        return None
    weight = check_numbers("sample_weight", sample_weight)
    if weight.ndim == 0:
        weight = np.full(n_rows, float(weight))
    if weight.ndim != 1:
        raise ValueError(f"Sample weights must be 1D array or scalar, got shape {weight.shape}.")
    if weight.shape != (n_rows,):
        raise ValueError(f"sample_weight.shape == {weight.shape}, expected {(n_rows,)}: one number for each row.")
    for wrong, what in ((~np.isfinite(weight), "a finite number"), (weight < 0, "≥ 0")):
        if wrong.any():
            row = int(wrong.argmax())
            raise ValueError(f"sample_weight must be {what}, but row {row} has {weight[row]}.")
    with np.errstate(over="ignore"):
        if not weight.sum() <= LARGEST_WEIGHT:
            raise ValueError(
                f"sample_weight adds up to more than {LARGEST_WEIGHT:g}; divide it by its maximum, {weight.max()}."
            )
    positive = int(np.count_nonzero(weight))
    if positive == 0:
        raise ValueError("sample_weight is zero for every row; give some rows a positive weight.")
    if positive < n_components:
        raise ValueError(
            f"Expected at least n_components={n_components} rows of positive sample_weight, but got {positive}."
        )
    return in_whole_steps(weight)
