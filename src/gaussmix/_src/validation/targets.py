"""Check the values that an estimator learns to predict: classes, and targets in y or in columns of X."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Set
from datetime import date, time, timedelta
from functools import partial, reduce
from numbers import Number, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import column_or_1d

from gaussmix._src.errors import ParameterTypeError
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.leaves import leaves_of
from gaussmix._src.mixture.features import Features, feature_indices
from gaussmix._src.numerics.arrays import Array, Indices, plain_array
from gaussmix._src.numerics.cells import is_missing
from gaussmix._src.numerics.frames import Frame
from gaussmix._src.numerics.rows import bad_cell, largest_of
from gaussmix._src.sources.base import Source
from gaussmix._src.validation.parameters import check_floats, check_label_order, check_row_floats

UNLABELLED = -1
_UNLABELLED_TEXT = ("-1", "-1.0", "nan")  # NumPy converts -1, -1.0 and NaN to these texts if a list also has texts
_TIME_CLASSES = date, time, timedelta, np.datetime64, np.timedelta64  # pandas' classes are derived from them
_TO_LIST = "tolist", "to_list", "to_pylist"  # methods of pandas, polars and Arrow columns


def check_classes(y: ArrayLike | None, n_rows: int) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Return the sorted classes in y, and an array (n_rows,) of the index of each row's class (−1 if unknown).

    The class of a row is unknown if its value in y is −1 or missing (None, NaN, pandas.NA, masked, or a null of polars
    or Arrow). The strings "-1" and "nan" also mean unknown, because NumPy converts −1 and NaN to them if an array has
    text. If y has only one class besides −1, −1 is also a class, because many people name two classes −1 and 1.

    Raises ValueError if y has no class or only one class, has infinite or continuous values, or mixes numbers and text,
    or if the length of y is not `n_rows`. Raises TypeError if y contains dates, times or durations.
    """
    if y is None:
        raise ValueError("A classifier requires y to be passed, but the target y is None.")
    column = _labels(y, n_rows, warn=True)
    cells = _check_no_times(distinct_values(column))
    if any(map(_is_infinite, cells.tolist())):
        row = list(map(_is_infinite, column.tolist())).index(True)
        raise ValueError(
            f"Input y contains infinity or a value too large for dtype('float64'): row {row} (counted from 0). "
            "Pass class labels."
        )
    known = ~_is_unlabelled(cells)
    if len(set(cells[known].tolist())) < 2:
        known = np.ones(len(cells), dtype=bool)
    _check_one_kind(cells[known])
    named = np.asarray(cells[known].tolist())  # converts objects to numbers or text
    if not named.size:
        raise ValueError("y contains no classes, because every label is missing. Label at least some rows.")
    from sklearn.utils.multiclass import check_classification_targets  # imported here, because the import is slow

    check_classification_targets(np.repeat(named, 2))  # repeated, to avoid a warning if each class occurs once
    classes, numbers = np.unique(named, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"y contains only one class, {classes.tolist()[0]!r}, but a classifier needs two or more.")
    codes = np.full(len(cells), UNLABELLED, dtype=np.int32)
    codes[known] = numbers
    return classes, encode_values(column, cells, codes)


def encode_labels(y: ArrayLike, n_rows: int, classes: NDArray[Any], *, has_unknown: bool) -> NDArray[np.int32]:
    """Return an array (n_rows,) of the index of each row's class in y (−1 if unknown; see `check_classes`).

    If −1 is one of the fitted `classes`, −1 in y means this class. If `has_unknown`, −1 in y means that the row belongs
    to none of the fitted classes. A class that was not fitted gets the index len(classes).

    Raises ValueError if the length of y is not `n_rows`, if y has no class, or if only y or only `classes` are text.
    Raises TypeError if y contains dates, times or durations.
    """
    column = _labels(y, n_rows)
    cells = _check_no_times(distinct_values(column))
    known = np.ones(len(cells), dtype=bool)
    if not (has_unknown or _is_unlabelled(classes).any()):
        known = ~_is_unlabelled(cells)
    if not known.any():
        raise ValueError("y contains no classes, because every label is missing. Label at least some rows.")
    named = np.asarray(cells[known].tolist())
    kinds, labels = {named.dtype.kind, classes.dtype.kind}, named[~_is_unlabelled(named)].tolist()
    if labels and "U" in kinds and kinds & set("biuf"):
        fitted = classes.tolist()[0]
        raise ValueError(f"y has {labels[0]!r}, but classes in fit, like {fitted!r}, had a different type. Convert y.")
    codes = np.full(len(cells), UNLABELLED, dtype=np.int32)
    numbers = {name: index for index, name in enumerate(classes.tolist())}
    codes[known] = [numbers.get(name, len(classes)) for name in named.tolist()]
    return encode_values(column, cells, codes)


def distinct_values(y: NDArray[Any]) -> NDArray[Any]:
    """Return the distinct values in y without missing values, sorted unless y is an array of objects."""
    if y.dtype.kind == "O":
        cells = np.fromiter(dict.fromkeys(value for part in leaves_of(len(y)) for value in y[part].tolist()), object)
    else:
        cells = reduce(lambda one, part: np.unique(np.concatenate([one, np.unique(y[part])])), leaves_of(len(y)), y[:0])
    return cells[~_missing_mask(cells)]


def encode_values(y: NDArray[Any], values: NDArray[Any], codes: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return an array (n_rows,) of the code of each value in y (−1 if missing); `values[i]` has the code `codes[i]`."""
    array = np.full(len(y), UNLABELLED, dtype=np.int32)
    code_of = dict(zip(values.tolist(), codes.tolist(), strict=True)) if y.dtype.kind == "O" else {}
    for part in leaves_of(len(y)) if len(values) else ():
        if code_of:
            array[part] = [UNLABELLED if is_missing(value) else code_of[value] for value in y[part].tolist()]
            continue
        positions = np.minimum(np.searchsorted(values, y[part]), len(values) - 1)
        array[part] = np.where(values[positions] == y[part], codes[positions], UNLABELLED)
    return array


def _is_infinite(label: Any) -> bool:
    return isinstance(label, float | np.floating) and bool(np.isinf(label))


def _labels(y: ArrayLike, n_rows: int, *, warn: bool = False) -> NDArray[Any]:
    column, frame = y, Frame.from_table(y)
    if frame is not None and len(frame.names) == 1:
        column = frame.data.get_column(frame.names[0])
    cells: NDArray[Any] = np.asarray(column_or_1d(label_array(column, "y"), warn=warn))
    if len(cells) != n_rows:
        raise ValueError(f"y has {len(cells)} labels, but X has {n_rows} rows: inconsistent numbers of samples.")
    return cells


def label_array(labels: Any, called: str) -> NDArray[Any]:
    """Convert labels to an array; integers and booleans with missing values become objects, not floats.

    As floats, different integers above 2⁵³ may be equal, and booleans would be numbers. Raises ValueError for
    sets, dictionaries and lists of different lengths; `called` is the name of the argument.
    """
    try:
        array = np.asarray(plain_array(labels, None))
    except ParameterTypeError:
        raise
    except ValueError:
        raise ValueError(f"{called} must contain one label for each row, not lists of different lengths.") from None
    for kind in {*map(type, array.flat)} if array.dtype == object else ():
        if not issubclass(kind, Hashable):
            raise ValueError(f"{called} must be a list or an array of numbers or text, not of type {kind.__name__}.")
    kinds = {*map(type, labels)} if array.dtype.kind == "U" and isinstance(labels, list | tuple) else ()
    if any(issubclass(kind, Number | np.bool_) for kind in kinds):
        return np.array(labels, dtype=object)  # NumPy has converted numbers to text, such as NaN to "nan"
    is_float = getattr(getattr(labels, "dtype", None), "kind", "") == "f"  # floats stay floats
    if is_float or array.dtype.kind != "f" or array.ndim != 1:
        return array
    to_list = next((getattr(labels, name) for name in _TO_LIST if hasattr(labels, name)), None)
    return array if to_list is None else np.array(to_list(), dtype=object)


def check_mass(mass: Array, classes: NDArray[Any]) -> None:
    """Raise ValueError if a class has total weight 0; `mass` (n_classes,) contains the total weight of each class."""
    if not mass.all():
        name = classes.tolist()[int(mass.argmin())]
        raise ValueError(f"No row of class {name!r} has a positive sample_weight. Leave out the class.")


def check_priors(priors: Any, classes: NDArray[Any], *, is_complete: bool) -> Array:
    """Check and return prior probabilities (n_classes,); raise ValueError if the class of a row is unknown."""
    n_classes = len(classes)
    prior = np.empty(0) if isinstance(priors, Mapping) else check_floats("priors", priors)
    check_label_order("priors", priors, classes.tolist(), "classes_ has")
    if prior.shape != (n_classes,) or not (prior > 0).all() or not abs(prior.sum() - 1) < 1e-6:
        wanted = f"{n_classes} numbers > 0 that sum to 1, in the order of classes_, {classes.tolist()!r:.200}"
        raise ValueError(f"priors={priors!r:.60} must be {wanted}.")
    if not is_complete:
        raise ValueError("priors can't be combined with rows of unknown class (y is -1 or missing). Remove priors.")
    return prior


def no_class(classes: NDArray[Any]) -> int | str:
    """Return the label for rejected rows; raise ValueError if a class has the same label."""
    label = "unknown" if classes.dtype.kind in "UO" else UNLABELLED
    if label in classes.tolist():
        raise ValueError(
            f"With reject_below above 0, rejected rows are labelled {label!r}, but a class of y has this name."
            " Rename the class, or use density_p_value."
        )
    return label


def _is_unlabelled(y: NDArray[Any]) -> NDArray[np.bool_]:
    """Return a mask (n_rows,) of the values in y that are −1, or a string to which NumPy converts −1 or NaN."""
    if y.dtype.kind in "iuf":
        return y == UNLABELLED
    if y.dtype.kind not in "OU":
        return np.zeros(len(y), dtype=bool)
    return np.array([_is_minus_one(value) for value in y.tolist()], dtype=bool)


def _is_minus_one(value: Any) -> bool:
    if isinstance(value, str):
        return value in _UNLABELLED_TEXT
    return isinstance(value, Real) and bool(value == UNLABELLED)


def _missing_mask(y: NDArray[Any]) -> NDArray[np.bool_]:
    """Return a mask (n_rows,) of the missing values in y."""
    if y.dtype.kind not in "fO":
        return np.zeros(len(y), dtype=bool)
    return np.array([is_missing(value) for value in y.tolist()], dtype=bool)


def _check_one_kind(named: NDArray[Any]) -> None:
    text = next((value for value in named.tolist() if isinstance(value, str)), None)
    other = next((value for value in named.tolist() if not isinstance(value, str)), None)
    if text is not None and other is not None:
        raise ValueError(f"y mixes text and other values, such as {text!r} and {other!r}. Convert all classes to text.")


def _check_no_times(cells: NDArray[Any]) -> NDArray[Any]:
    """Raise TypeError if y contains times, because NumPy converts times in nanoseconds to integers."""
    if cells.dtype.kind in "mM" or any(isinstance(value, _TIME_CLASSES) for value in cells.tolist()):
        raise ParameterTypeError(
            "y contains dates, times or durations. Convert them to text, for example by .astype(str)."
        )
    return cells


def check_target(y: ArrayLike | None, n_rows: int) -> Array:
    """Check y, and return an array of finite numbers of shape (n_rows,) or (n_rows, n_targets).

    Raises ValueError if y is None, not numeric, has the wrong shape or length, or has missing or infinite values.
    Raises TypeError if a column of a data frame has neither numbers nor text.
    """
    if y is None:
        raise ValueError(
            "A regressor requires y to be passed, but the target y is None. Pass y, or set targets to columns of X."
        )
    values = check_row_floats("y", y)
    if values.ndim not in (1, 2) or 0 in values.shape[1:]:
        raise ValueError(f"y must have shape (n_samples,) or (n_samples, n_targets), not {values.shape}.")
    if len(values) != n_rows:
        raise ValueError(f"y has {len(values)} rows, but X has {n_rows}: inconsistent numbers of samples.")
    cell = bad_cell(values.reshape(n_rows, -1), largest_of(n_rows))
    if cell is not None:
        or_too_large = " or a value too large for dtype('float64')" if cell.name == "infinity" else ""
        raise ValueError(f"Input y contains {cell.name}{or_too_large}: row {cell.row} (counted from 0). {cell.advice}")
    return values


def target_names(y: Any, n_targets: int, taken: Set[str] = frozenset()) -> tuple[str, ...]:
    """Return the column names of a data frame or series, or default names: y for one target, y0, y1, … for several.

    Default names end in as many underscores as needed to differ from `taken`, the names of the predictors. Raises
    ValueError if a column of y has the name of a predictor.
    """
    frame = Frame.from_table(y)
    names: list[Any] = [getattr(y, "name", None)] if frame is None else list(frame.names)
    if len(names) == n_targets and all(isinstance(name, str) and name for name in names):
        if both := taken & {*names}:
            raise ValueError(f"y and X both have a column {min(both)!r}. Leave the target out of X, or rename it.")
        return tuple(names)
    defaults = ["y"] if n_targets == 1 else [f"y{index}" for index in range(n_targets)]
    while taken & {*defaults}:
        defaults = [f"{name}_" for name in defaults]
    return tuple(defaults)


def check_targets(targets: Features, n_features: int, names: tuple[str, ...] | None) -> Indices:
    """Return the column indices (n_targets,) of the targets in X; may raise ValueError or TypeError."""
    try:
        indices = feature_indices(targets, n_features, names)
    except (TypeError, ValueError) as error:
        raise type(error)(f"targets={targets!r:.60}: {error}") from None
    if not 0 < len(indices) < n_features:
        which = "every column" if len(indices) else "no column"
        raise ValueError(f"targets contains {which} of X. Pass at least one column, and leave at least one predictor.")
    return indices


def copied_column(source: Source, targets: Indices) -> tuple[int, int] | None:
    """Return the column indices of a target and of another column with the same values; None if no column is equal."""
    equal = np.all([*source.map_rows(partial(_equal_columns, targets=targets))], axis=0)
    for target, columns in zip(targets.tolist(), equal, strict=True):
        others = np.flatnonzero(columns)
        others = others[others != target]
        if others.size:
            return target, int(others[0])
    return None


def _equal_columns(block: Block, targets: Indices) -> NDArray[np.bool_]:
    """Return a mask (n_targets, n_features) of the pairs of a target and a column that are equal in this block."""
    rows = block.rows
    return np.array([(rows == rows[:, target, None]).all(axis=0) for target in targets])
