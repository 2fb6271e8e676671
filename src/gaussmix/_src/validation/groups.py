"""Check the groups for `fit_many`: a list or dict of tables, a table with offsets, or a data frame with group names."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from sys import maxsize
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator

from gaussmix._src.engines.calls import RowGroups
from gaussmix._src.errors import ParameterTypeError, counted, listed
from gaussmix._src.numerics.arrays import Array, Indices, Rows, plain_array
from gaussmix._src.numerics.cells import rows_by_key
from gaussmix._src.numerics.frames import Frame, listed_columns
from gaussmix._src.numerics.rows import MAX_TOTAL_WEIGHT, MIN_MERGED_INTEGER, in_whole_steps, unit_of_weights
from gaussmix._src.sources.base import Source
from gaussmix._src.sources.opening import is_table
from gaussmix._src.validation.parameters import check_floats
from gaussmix._src.validation.rows import as_rows, convert_row_weight


@dataclass(frozen=True, eq=False)
class Groups:
    """Groups of rows for `fit_many`. One array contains all numeric groups; an estimator checks all other groups.

    Parameters
    ----------
    keys : names of the groups, in the order of the groups.
    table, weight : functions of the index of a group, which return the table and the weights that the user passed.
    rows : rows of all numeric groups, (n_rows, n_features).
    row_weight : weights of `rows`, (n_rows,); None if the user passed no weights.
    first, size : for each group, the index of its first row in `rows`, and its number of rows (0 if not numeric).
    names : feature names; None if the features have no names.
    indices : function of the index of a group, which returns, for each of its rows, the index of the row in the
        user's table; by default, each group is a table of its own.
    refused : dictionary from the index of each group that can't be fitted together with the other groups to the reason.
    """

    keys: tuple[Any, ...]
    table: Callable[[int], Any]
    weight: Callable[[int], Any]
    rows: Rows
    row_weight: Array | None
    first: NDArray[np.int64]
    size: NDArray[np.int64]
    names: tuple[str, ...] | None = None
    indices: Callable[[int], Any] = lambda index: range(maxsize)
    refused: Mapping[int, str] = field(default_factory=dict)

    def pack_for_core(self) -> tuple[RowGroups, Indices]:
        """Return the numeric groups with valid weights, scaled to be below 1, and the indices of these groups."""
        chosen, total, unit = np.flatnonzero(self.size), self.size.astype(np.float64), np.ones(len(self.keys))
        weights = None
        if self.row_weight is not None:
            weights = np.array(self.row_weight)
            are_valid = [self._scale_weights(weights, index, total, unit) for index in chosen.tolist()]
            chosen = chosen[np.array(are_valid, dtype=bool)]
        return RowGroups(self.rows, weights, self.first[chosen], self.size[chosen], total[chosen], unit[chosen]), chosen

    def rows_in_core(self, index: int) -> tuple[Rows, Array | None]:
        """Return the rows of a numeric group, and their weights or None."""
        own = slice(self.first[index], self.first[index] + self.size[index])
        return self.rows[own], None if self.row_weight is None else self.row_weight[own]

    def _scale_weights(self, weights: Array, index: int, total: Array, unit: Array) -> bool:
        """Scale the weights of a group in place, as in a fit, so that they are below 1, and store their total and unit.

        Return False, and change nothing, if a weight is invalid.
        """
        weight = weights[self.first[index] : self.first[index] + self.size[index]]  # a view
        largest = float(weight.max())
        if not (weight.min() >= 0 and largest > 0 and float(weight.sum()) <= MAX_TOTAL_WEIGHT):  # also rejects NaN
            return False
        unit[index] = unit_of_weights(largest)
        weight *= 1 / unit[index]
        total[index] = weight.sum()
        return True


def check_groups(groups: Any, by: Any, offsets: Any, sample_weight: Any, template: BaseEstimator) -> Groups:
    """Convert any input that `fit_many` accepts to groups, and store the feature names in `template`.

    Raises ValueError or TypeError if there are no groups, or if `fit_many` does not accept the type of the input.
    """
    if isinstance(groups, Source) or is_table(groups):
        raise ParameterTypeError(
            "fit_many needs tables in memory: a list of arrays, an array with offsets, or a data frame."
        )
    frame = Frame.from_table(groups)
    if by is not None and offsets is not None:
        raise ValueError("by= and offsets= both assign rows to groups. Pass only one of them.")
    if by is not None:
        if frame is None:
            raise ParameterTypeError(f"by={by!r:.60} can be used only if groups is a data frame.")
        return _from_frame(frame, by, sample_weight, template)
    if offsets is not None:
        return _from_offsets(groups, offsets, sample_weight, template)
    if frame is not None or (isinstance(groups, np.ndarray) and groups.ndim < 3 and groups.dtype != object):
        wanted = "by=, the name of the column with the groups" if frame is not None else "offsets="
        raise ValueError(f"groups is a single table. Pass {wanted}, or pass a list of tables.")
    if not isinstance(groups, Iterable) or isinstance(groups, str | bytes) or "GroupBy" in type(groups).__name__:
        expected = "groups must be a list of arrays, an array with offsets or a data frame with by="
        raise ParameterTypeError(f"{expected}, not {type(groups).__name__}.")
    tables = list(groups.values() if isinstance(groups, Mapping) else groups)
    keys = tuple(map(_python_key, groups) if isinstance(groups, Mapping) else range(len(tables)))
    return _from_tables(keys, tables, _check_group_weights(sample_weight, keys))


def _python_key(key: Any) -> Any:
    """Convert a NumPy number, which no file can hold, to the equal Python number; return other keys unchanged."""
    return key.item() if isinstance(key, np.number | np.bool_) else key


def _check_group_weights(sample_weight: Any, keys: tuple[Any, ...]) -> Sequence[Any] | None:
    """Check `sample_weight`, and return a list with one array of weights for each table."""
    if sample_weight is None:
        return None
    if isinstance(sample_weight, Mapping):
        if set(sample_weight) != set(keys):
            raise ValueError("sample_weight must have the same keys as groups, with the weights of each group.")
        return [sample_weight[key] for key in keys]
    if not isinstance(sample_weight, Sequence | np.ndarray) or len(sample_weight) != len(keys):
        raise ValueError(f"sample_weight must be a list or dict with the weights of {counted(len(keys), 'group')}.")
    return list(sample_weight)


def width_sentence(n_columns: int, wanted: int) -> str:
    """Return the error for a group with `n_columns` columns, if the other groups have `wanted` columns."""
    columns = counted(n_columns, "column")
    return f"It has {columns}, but the other groups have {wanted}. All groups need the same columns."


def _from_tables(keys: tuple[Any, ...], tables: list[Any], weights: Sequence[Any] | None) -> Groups:
    """Concatenate the tables in memory; tables that differ from most others are left out or get an error message."""
    if not tables:
        raise ValueError("groups is empty: give at least one group.")
    for key, table in zip(keys, tables, strict=True):
        if isinstance(table, os.PathLike) or np.isscalar(table):
            raise ParameterTypeError(
                f"fit_many needs tables in memory, but group {key!r:.40} is {table!r:.40}. Pass arrays or data frames."
            )
    names, refused = _common_names(tables)
    rows, wrong_widths = _joinable_rows(tables, weights)
    refused |= wrong_widths
    rows = [None if index in refused else each for index, each in enumerate(rows)]
    size = np.array([0 if each is None else len(each) for each in rows], dtype=np.int64)
    row_weight = None
    if weights is not None:
        weighted = [weight for each, weight in zip(rows, weights, strict=True) if each is not None]
        row_weight = np.concatenate([check_floats("sample_weight", weight) for weight in weighted] or [np.empty(0)])
    return Groups(
        keys,
        tables.__getitem__,
        (lambda index: None) if weights is None else weights.__getitem__,
        np.concatenate([each for each in rows if each is not None] or [np.empty((0, 1))]),
        row_weight,
        np.cumsum(size) - size,
        size,
        names,
        refused=refused,
    )


def _joinable_rows(tables: list[Any], weights: Sequence[Any] | None) -> tuple[list[Rows | None], dict[int, str]]:
    """Return the rows of each table, and an error message for each table with an unusual number of columns.

    The rows are None if an estimator must check the table, or if the number of columns or the data type is not the most
    frequent one. All other rows can be concatenated.
    """
    rows = [_numeric_rows(table) for table in tables]
    if weights is not None:
        rows = [each if _has_one_per_row(weight, each) else None for each, weight in zip(rows, weights, strict=True)]
    numeric = {index: each for index, each in enumerate(rows) if each is not None}
    if not numeric:
        return rows, {}
    width, _ = Counter(each.shape[1] for each in numeric.values()).most_common(1)[0]
    dtype, _ = Counter(each.dtype for each in numeric.values()).most_common(1)[0]
    wrong = {i: width_sentence(each.shape[1], width) for i, each in numeric.items() if each.shape[1] != width}
    usual = {index for index, each in numeric.items() if each.dtype == dtype} - set(wrong)
    return [each if index in usual else None for index, each in enumerate(rows)], wrong


def _common_names(tables: list[Any]) -> tuple[tuple[str, ...] | None, dict[int, str]]:
    """Return the column names of the first data frame, and an error message for each frame with different names."""
    named = [(index, listed_columns(table)) for index, table in enumerate(tables) if hasattr(table, "columns")]
    if not named:
        return None, {}
    wanted = named[0][1]
    wanted_text = f"but the columns of the first group are {_join(wanted)}."
    refused = {index: f"Its columns are {_join(names)}, {wanted_text}" for index, names in named if names != wanted}
    is_text = all(isinstance(name, str) for name in wanted) and len(named) == len(tables)
    return (tuple(wanted) if is_text else None), refused


def _join(names: Iterable[Any]) -> str:
    return listed([str(name) for name in names])


def _numeric_rows(table: Any) -> Rows | None:
    """Return the array of floats of a numeric table; None if an estimator must check the table."""
    if type(table) is not np.ndarray:
        if isinstance(table, np.ma.MaskedArray) or is_table(table) or isinstance(table, Source):
            return None
        try:
            frame = Frame.from_table(table)
            if frame is not None:
                if 0 in np.shape(table):
                    return None
                result = frame.rows("It")
                return None if _has_large(result[:, frame.integer_columns()]) else result
            table = np.asarray(table)
        except (TypeError, ValueError, OverflowError):
            return None
    if table.ndim != 2 or 0 in table.shape or table.dtype.kind not in "biuf":
        return None
    if table.dtype.kind in "iu" and _has_large(table):
        return None
    return table if table.dtype in (np.float64, np.float32) else table.astype(np.float64)


def _has_large(integers: NDArray[Any]) -> bool:
    """Return whether any integer is so large that different integers may be rounded to the same double."""
    return bool((np.abs(integers.astype(np.float64, copy=False)) >= MIN_MERGED_INTEGER).any())


def _has_one_per_row(weight: Any, rows: Rows | None) -> bool:
    """Return whether `weight` is an array with one number for each row."""
    if rows is None:
        return False
    try:
        array = check_floats("sample_weight", weight)
    except (TypeError, ValueError):
        return False
    return array.shape == (len(rows),)


def _from_offsets(table: Any, offsets: ArrayLike, sample_weight: Any, template: BaseEstimator) -> Groups:
    """Return the groups of one table: group i has the rows from offsets[i] to offsets[i + 1] − 1."""
    table = plain_array(table)
    rows = as_rows(template, table, 1, reset=True)
    ends = np.asarray(plain_array(offsets))
    if ends.ndim != 1 or ends.dtype.kind not in "iu" or len(ends) < 2:
        raise ValueError("offsets must be integers: the first row of each group, and then the total number of rows.")
    ends = ends.astype(np.int64)
    if ends[0] != 0 or ends[-1] != len(rows):
        raise ValueError(
            f"offsets must rise from 0 to the number of rows, {len(rows)}, but go from {ends[0]} to {ends[-1]}."
        )
    falls = np.flatnonzero(np.diff(ends) < 0)
    if len(falls):
        index = int(falls[0])
        raise ValueError(
            f"offsets must rise, but offsets[{index}] is {ends[index]} and offsets[{index + 1}] is {ends[index + 1]}."
        )
    weight = None if sample_weight is None else convert_row_weight(sample_weight, len(rows))
    first, size = ends[:-1], np.diff(ends)
    table = np.asarray(table)
    return Groups(
        tuple(range(len(size))),
        lambda index: table[ends[index] : ends[index + 1]],
        lambda index: None if weight is None else weight[ends[index] : ends[index + 1]],
        in_whole_steps(rows),
        weight,
        first,
        _without_large_integers(table, first, size),
        indices=lambda index: np.arange(ends[index], ends[index + 1]),
    )


def _from_frame(frame: Frame, by: Any, sample_weight: Any, template: BaseEstimator) -> Groups:
    """Return the groups of a data frame, in which the column `by` contains each row's group."""
    groups = rows_by_key(frame, by)
    if not groups:
        raise ValueError("The data frame has no rows.")
    features, order = frame.data.drop([by]), np.concatenate([*groups.values()])
    rows = as_rows(template, features.to_native(), 1, reset=True)[order]
    weight = None if sample_weight is None else convert_row_weight(sample_weight, len(order))
    size = np.array([*map(len, groups.values())], dtype=np.int64)
    first = np.cumsum(size) - size

    def indices(index: int) -> Indices:
        return order[first[index] : first[index] + size[index]]

    text = getattr(template, "feature_names_in_", None)
    return Groups(
        tuple(groups),
        lambda index: features[indices(index)].to_native(),
        lambda index: None if weight is None else weight[indices(index)],
        rows,
        None if weight is None else weight[order],
        first,
        _without_large_integers(rows, first, size),
        None if text is None else tuple(text.tolist()),
        indices,
    )


def _without_large_integers(rows: NDArray[Any], first: NDArray[np.int64], size: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sizes of groups, but 0 for groups with integers too large for float64, which estimators check."""
    if not _has_large(rows):
        return size
    ends = zip(first.tolist(), (first + size).tolist(), strict=True)
    return np.where([_has_large(rows[begin:end]) for begin, end in ends], 0, size)
