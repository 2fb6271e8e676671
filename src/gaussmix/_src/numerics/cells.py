"""Values of any type in the cells of a data frame: missing values, and the keys of groups of rows."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from gaussmix._src.errors import ParameterTypeError, listed
from gaussmix._src.numerics.arrays import Indices
from gaussmix._src.numerics.frames import Frame


def is_missing(value: Any) -> bool:
    """Return whether a value is None, NaN or another missing value."""
    try:
        return value is None or bool(value != value)
    except TypeError:  # raised because pandas.NA != pandas.NA has no truth value
        return True


def rows_by_key(frame: Frame, by: Any) -> dict[Any, Indices]:
    """Map the keys in the column `by`, in the order of their first rows, to the indices of the rows with this key.

    Raises ValueError if there is no such column or a row has no key, and TypeError if `by` is not a name or a key is of
    a type that can't be a key, such as a list.
    """
    if not isinstance(by, Hashable):
        what = type(by).__name__
        raise ParameterTypeError(f"by must be the name of a column of the data frame, not the values ({what}).")
    if by not in frame.names:
        columns = listed(list(map(str, frame.names)))
        raise ValueError(f"by={by!r:.60} is not a column of the data frame. The columns are {columns}.")
    keys: list[Any] = frame.data.get_column(by).to_list()
    missing = next((row for row, key in enumerate(keys) if is_missing(key)), None)
    if missing is not None:
        raise ValueError(f"Column {by!r} has no value in row {missing}. Fill in the group, or drop the row.")
    unusable = next((key for key in keys if not isinstance(key, Hashable)), None)
    if unusable is not None:
        raise ParameterTypeError(f"Column {by!r} contains {unusable!r:.40}, which can't be a key: use text or numbers.")
    return group_by_key(keys)


def group_by_key(keys: Sequence[Any]) -> dict[Any, Indices]:
    """Map the different keys, in the order of their first rows, to the indices of the rows with this key."""
    codes = dict[Any, int]()
    group = np.fromiter((codes.setdefault(key, len(codes)) for key in keys), np.int64, len(keys))
    ends = np.bincount(group, minlength=len(codes)).cumsum()
    indices = np.split(np.argsort(group, kind="stable"), ends[:-1])
    return dict(zip(codes, indices, strict=False))  # without rows, `np.split` returns one empty array for no key
