"""Check missing values and measurement errors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gaussmix._src.errors import column_named
from gaussmix._src.families.base import Family
from gaussmix._src.interfaces.moment_spec import Second
from gaussmix._src.numerics.arrays import Array, Indices, Rows, pieces
from gaussmix._src.sources.array import ArraySource
from gaussmix._src.sources.base import Source
from gaussmix._src.sources.opening import is_table
from gaussmix._src.sources.row_statistics import PairwiseObservedCounts
from gaussmix._src.validation.parameters import check_column_names, check_floats

ASYMMETRY = 1e-8  # largest allowed asymmetry of a covariance matrix, relative to products of standard deviations


def check_pairs(source: Source, families: Iterable[Family], names: Any) -> None:
    """Raise ValueError if a structure needs the covariance of two columns, but no row has values in both of them."""
    with_covariances = next((each for each in families if _has_free_covariances(each, source.n_features)), None)
    if not source.may_miss or with_covariances is None:
        return
    differences = np.argwhere(source.collect(PairwiseObservedCounts).n_rows == 0)
    if len(differences):
        one, other = (column_named(int(column), names) for column in differences[0])
        raise ValueError(
            f"No row of X has values both in {one} and {other}, so their covariance can't be estimated. Drop one of "
            f'them, or use covariance_type="diag" instead of {with_covariances.name!r}.'
        )


def _has_free_covariances(family: Family, n_features: int) -> bool:
    """Return whether no covariance of two features follows from the other covariances of a component.

    Factor analysers with few factors determine the covariance of two features that are never observed together.
    """
    if family.kind.second is Second.PROJECTED:
        return family.n_parameters(1, n_features) == Second.FULL.n_values(n_features)
    return family.moment_spec(None).second is Second.FULL


def with_errors(X: object, source: Source, X_error: ArrayLike, feature_names: Sequence[str] | None) -> Source:
    """Return a source of the rows of X with the measurement errors `X_error`.

    Raises ValueError if X is not an array or a data frame in memory, or if `check_errors` rejects `X_error`.
    """
    block = None if isinstance(X, Source) or is_table(X) else source.whole
    if block is None:
        raise ValueError("With X_error, X must be an array or a data frame in memory. Copy the rows into memory first.")
    rows, error, is_missing = check_errors(X_error, block.rows, source.may_miss, feature_names)
    result = ArraySource(rows, block.row_weight, error=error)
    result.feature_names, result.may_miss = source.feature_names, is_missing
    return result


def check_errors(
    X_error: ArrayLike, rows: Rows, is_missing: bool, feature_names: Sequence[str] | None
) -> tuple[Rows, Array | None, bool]:
    """Check measurement errors; return the rows, the errors, and whether rows have missing values.

    In the returned rows, values with an infinite error are NaN. The returned errors have the form that `Block.error`
    requires, or are None if all errors are 0.

    `X_error` contains standard deviations of shape (n_features,) or (n_rows, n_features), in the units of the data, or
    covariances of shape (n_features, n_features) or (n_rows, n_features, n_features), in squared units. If the shape
    fits both standard deviations and covariances, the values are standard deviations. A data frame of errors must have
    the `feature_names` of X. `rows` may have NaN if `is_missing`.

    Raises ValueError if `X_error` is not numeric, has the wrong shape, is negative, or is NaN for an observed value, or
    if covariance matrices are not symmetric and positive semidefinite. The message names the first invalid row.
    """
    check_column_names("X_error", X_error, feature_names)
    error, (n_rows, n_features) = check_floats("X_error", X_error), rows.shape
    if error.ndim == 0:
        error = np.full(n_features, float(error))
    is_common = _is_common(error, n_rows)
    whole = np.broadcast_to(error, (n_rows, *error.shape)) if is_common else error
    if whole.shape not in (rows.shape, (*rows.shape, n_features)):
        raise ValueError(
            f"X_error has shape {error.shape}. Pass standard deviations of shape {(n_features,)} or {rows.shape}, or "
            f"covariances of shape {(n_features,) * 2} or {(*rows.shape, n_features)}."
        )
    if is_common:
        _check_rows(whole[:1], np.zeros((1, n_features)), None)
    else:
        for part in pieces(whole.shape):
            _check_rows(whole[part], rows[part], part.start)
    if not error.any():
        return rows, None, is_missing
    if whole.ndim == 3:
        error, variances = whole, np.einsum("nii->ni", whole)
    else:
        with np.errstate(over="ignore"):
            error = np.broadcast_to(whole[0] ** 2, whole.shape) if is_common else whole**2
        variances = error
    lost = np.isinf(variances)
    if lost.any():
        rows, is_missing = np.where(lost, np.nan, rows).astype(rows.dtype), True
    return rows, error, is_missing


def select_errors(X_error: ArrayLike, indices: Indices, n_rows: int) -> Array:
    """Return the measurement errors of some of `n_rows` rows. Errors shared by all rows are broadcast, not copied.

    The result has an entry for each row, because `check_errors` could mistake a common covariance matrix for the
    standard deviations of n_features rows. A scalar error is returned unchanged.
    """
    error = check_floats("X_error", X_error)
    if error.ndim == 0:
        return error
    return np.broadcast_to(error, (len(indices), *error.shape)) if _is_common(error, n_rows) else error[indices]


def _is_common(error: Array, n_rows: int) -> bool:
    """Return whether errors have the shape (n_features,) or (n_features, n_features), which all rows share."""
    return error.ndim == 1 or len(error) != n_rows


def _check_rows(error: Array, rows: Rows, first: int | None) -> None:
    """Raise ValueError for invalid measurement errors. `first` is the first row's index, or None for equal errors."""
    known = ~np.isnan(rows)
    if error.ndim == 3:
        variance = np.einsum("nii->ni", error)
        known = known & ~np.isinf(variance)  # values with an infinite variance are missing
        known = known[:, :, None] & known[:, None, :]
        deviation, seen = np.sqrt(np.abs(variance)), np.where(known & np.isfinite(error), error, 0.0)
        with np.errstate(invalid="ignore"):
            skew = np.abs(error - error.swapaxes(1, 2)) > ASYMMETRY * deviation[:, :, None] * deviation[:, None, :]
            lowest = np.linalg.eigvalsh(seen)
        is_indefinite = lowest[:, 0] < -ASYMMETRY * np.abs(lowest[:, -1])
        invalid = {
            "contains NaN where X is observed": (np.isnan(error) & known).any(axis=(1, 2)),
            "is not symmetric": (skew & known).any(axis=(1, 2)),
            "is infinite between two finite variances": (np.isinf(error) & known).any(axis=(1, 2)),
            "is not positive semidefinite": is_indefinite | (variance == -np.inf).any(axis=1),
        }
    else:
        invalid = {
            "contains NaN where X is observed": (np.isnan(error) & known).any(axis=1),
            "is negative; give standard deviations ≥ 0": (error < 0).any(axis=1),
        }
    for what, wrong in invalid.items():
        if wrong.any():
            where = "" if first is None else f" of row {first + int(wrong.argmax())}"
            raise ValueError(f"X_error{where} {what}.")
