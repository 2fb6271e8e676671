"""Access to features by index or name, and a check that data frames contain the features in the right order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gaussmix._src import numerics
from gaussmix._src.checks import check_real
from gaussmix._src.errors import ParameterTypeError, cell_named, unknown_name
from gaussmix._src.interfaces.block import Block
from gaussmix._src.numerics.arrays import Indices, Rows
from gaussmix._src.numerics.rows import bad_cell, in_whole_steps

Feature = int | str
Features = Feature | Sequence[Feature] | NDArray[np.integer[Any]]


def feature_indices(features: Features, n_features: int, names: tuple[str, ...] | None) -> Indices:
    """Convert names or indices of features to indices ≥ 0, (n,); negative indices count from the end.

    Raises ValueError if a feature is unknown or repeated, and TypeError if a value is neither an index nor a name.
    """
    several: list[Any] = [features]
    if isinstance(features, Iterable) and not isinstance(features, str | Set):  # a set has no order, so it is rejected
        several = [*features]
    indices = [feature_index(feature, n_features, names) for feature in several]
    if len(set(indices)) < len(indices):
        twice = next(feature for feature, index in zip(several, indices, strict=True) if indices.count(index) > 1)
        raise ValueError(f"Feature {twice!r:.60} occurs twice.")
    return np.array(indices, dtype=np.intp)


def names_at(names: tuple[str, ...] | None, feature_indices: Indices) -> tuple[str, ...] | None:
    """Return the names of the features at the given indices; None if the features have no names."""
    return None if names is None else tuple(names[index] for index in feature_indices)


def check_order(rows: object, names: tuple[str, ...] | None, called: str, indices: Indices | None = None) -> None:
    """Raise ValueError if a data frame has a feature in the wrong column; messages call the rows `called`.

    The columns must be all features, or the features at `indices`, in this order. The labels of a pandas Series, which
    must be one row, are checked like the columns of a data frame. The check passes if the rows have neither columns nor
    labels, or if the features have no names.
    """
    if names is None:
        return
    expected = names if indices is None else tuple(names[index] for index in indices)
    for index, column in enumerate(numerics.frames.column_names(rows) or ()):
        if column in names and expected[index : index + 1] != (column,):
            raise ValueError(
                f"{called} has {column!r} in column {index}, but the columns must be {list(expected)!r:.200}. "
                "Arrange the columns in this order."
            )


def as_block(
    rows: ArrayLike,
    n_features: int,
    names: tuple[str, ...] | None = None,
    called: str = "rows",
    *,
    may_miss: bool = False,
) -> Block:
    """Check rows (n_rows, n_features) and convert them to a `Block` for engines; raises ValueError or TypeError.

    NaN is allowed if `may_miss` is True. The parameters `names` and `called` are the same as in `check_order`.
    """
    check_order(rows, names, called)
    array: Rows = check_real(called, rows)
    if array.dtype not in (np.float32, np.float64) or not array.dtype.isnative:
        array = array.astype(np.float64)
    if array.ndim != 2 or array.shape[1] != n_features:
        raise ValueError(f"{called} must have shape (n_rows, {n_features}), not {array.shape}.")
    cell = bad_cell(array, may_miss=may_miss)
    if cell is not None:
        raise ValueError(f"{called} contains {cell.name}: {cell_named(cell.row, cell.column, names)}. {cell.advice}")
    return Block(0, in_whole_steps(array))


def feature_index(feature: object, n_features: int, names: tuple[str, ...] | None, called: str = "feature") -> int:
    """Return the index of a feature given by index or name; `called` is the parameter's name in errors."""
    if isinstance(feature, str):
        if names is None:
            raise ValueError(
                f"Feature {feature!r:.60} is a name, but the features of this mixture have no names: pass an index."
            )
        if feature not in names:
            raise unknown_name(called, feature, names)
        if names.count(feature) > 1:  # tables may have duplicate column names
            raise ValueError(f"{names.count(feature)} features are called {feature!r:.60}: pass an index.")
        return names.index(feature)
    if isinstance(feature, bool | np.bool_) or not isinstance(feature, int | np.integer):
        raise ParameterTypeError(f"A feature must be an index or a name, not {feature!r:.60}.")
    if not -n_features <= feature < n_features:
        raise ValueError(f"There is no feature {feature}: the mixture has features 0 to {n_features - 1}.")
    return int(feature) % n_features
