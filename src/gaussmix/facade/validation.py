"""What the user passes with the data, turned into rows and weights, or refused in one sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from gaussmix.waist.arrays import Array, Rows
from gaussmix.waist.block import BLOCK_ROWS


def check_rows(estimator: BaseEstimator, X: ArrayLike, *, reset: bool) -> Rows:
    """Rows (n_samples, n_features), float32 or float64, of what scikit-learn takes as X; copied only to convert.

    Raises
    ------
    ValueError : strings, complex or non-finite numbers, a wrong number of dimensions, samples or features.
    TypeError : a sparse matrix.
    """
    rows: Rows = validate_data(
        estimator,
        X,
        reset=reset,
        dtype=[np.float64, np.float32],
        ensure_all_finite=False,
        ensure_min_samples=2 if reset else 1,
    )
    _check_finite(rows, getattr(estimator, "feature_names_in_", None))
    return rows


def _check_finite(rows: Rows, names: Any) -> None:
    """Name the first row and column that hold NaN or infinity; a block at a time, without a mask of all rows."""
    for first in range(0, len(rows), BLOCK_ROWS):
        part = rows[first : first + BLOCK_ROWS]
        with np.errstate(over="ignore", invalid="ignore"):
            if np.isfinite(part.sum()):  # a NaN or infinity would show; only an overflow says no for nothing
                continue
        bad = np.argwhere(~np.isfinite(part))
        if len(bad):
            row, column = bad[0]
            value = "NaN" if np.isnan(part[row, column]) else "infinity"
            where = repr(str(names[column])) if names is not None else str(column)
            raise ValueError(
                f"Input X contains {value}: row {first + row}, column {where} (counted from 0). "
                "Remove or fill such rows first."
            )


def check_row_weight(sample_weight: ArrayLike | None, n_rows: int, n_components: int) -> Array | None:
    """Row weights (n_rows,), float64; None where all are 1.

    Raises
    ------
    ValueError : wrong shape, not finite, negative, or positive for fewer rows than components.
    """
    if sample_weight is None:
        return None
    weight = np.asarray(sample_weight, dtype=np.float64)
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
    positive = int(np.count_nonzero(weight))
    if positive == 0:
        raise ValueError("sample_weight is zero for every row; give some rows a positive weight.")
    if positive < n_components:
        raise ValueError(
            f"Expected at least n_components={n_components} rows of positive sample_weight, but got {positive}."
        )
    return weight
