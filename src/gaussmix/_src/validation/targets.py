"""Checks of what an estimator predicts: classes, targets passed as y, and targets among the columns of X."""

from __future__ import annotations

from functools import partial, reduce
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import column_or_1d

from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.leaves import leaves_of
from gaussmix._src.mixture.features import Features, feature_indices
from gaussmix._src.numerics.arrays import Array, Indices, plain_array
from gaussmix._src.numerics.frames import Frame
from gaussmix._src.numerics.rows import bad_cell
from gaussmix._src.sources.base import Source
from gaussmix._src.validation.parameters import check_floats

UNLABELLED = -1
_UNLABELLED_TEXT = ("-1", "-1.0", "nan")  # -1 and NaN, as NumPy converts them in a list with text


def check_classes(y: ArrayLike | None, n_rows: int) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Return the classes in y, sorted, and the index of each row's class, (n_rows,), which is −1 if unknown.

    The class of a row is unknown if y is −1 or missing: None, NaN, pandas.NA, masked, a null of polars or Arrow. "-1"
    and "nan" mean the same, because NumPy converts −1 and NaN among text to text. If there is only one other class, −1
    is itself a class, because many people call their two classes −1 and 1.

    Raises ValueError for no labels, one class, infinite or continuous values, numbers among text, and if y has another
    length than the rows.
    """
    if y is None:
        raise ValueError("A classifier requires y to be passed, but the target y is None.")
    column = _labels(y, n_rows, warn=True)
    cells = different(column)
    if any(isinstance(value, float) and np.isinf(value) for value in cells.tolist()):
        _check_finite(column)
    known = ~_is_unlabelled(cells)
    if len(set(cells[known].tolist())) < 2:
        known = np.ones(len(cells), dtype=bool)
    _check_one_kind(cells[known])
    named = np.asarray(cells[known].tolist(), dtype=_integer_type(y, cells))  # converts objects to numbers or text
    if not named.size:
        raise ValueError("y holds no class: every label is missing. Give the classes of some rows.")
    from sklearn.utils.multiclass import check_classification_targets  # imported here, because importing it is slow

    check_classification_targets(np.repeat(named, 2))  # repeated, because it warns if each class occurs once
    classes, numbers = np.unique(named, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"y holds one class only, {classes.tolist()[0]!r}: a classifier needs two or more.")
    codes = np.full(len(cells), UNLABELLED, dtype=np.int32)
    codes[known] = numbers
    return classes, coded(column, cells, codes)


def encode_labels(y: ArrayLike, n_rows: int, classes: NDArray[Any], *, has_unknown: bool) -> NDArray[np.int32]:
    """Return the index of each row's class in y, (n_rows,), as in `check_classes`; −1 if it is unknown.

    −1 in y may be one of the fitted `classes` or, with `has_unknown`, mean that a row belongs to none of them. Classes
    that were not fitted have the index len(classes).

    Raises ValueError if y has another length than the rows, or has no class.
    """
    column = _labels(y, n_rows)
    cells = different(column)
    return coded(column, cells, encode_names(cells, classes, has_unknown=has_unknown))


def encode_names(cells: NDArray[Any], classes: NDArray[Any], *, has_unknown: bool) -> NDArray[np.int32]:
    """Return the index of the class of each value in `cells`, as in `encode_labels`; all values are different."""
    known = np.ones(len(cells), dtype=bool)
    if not (has_unknown or _is_unlabelled(classes).any()):
        known = ~_is_unlabelled(cells)
    if not known.any():
        raise ValueError("y holds no class: every label is missing. Give the classes of some rows.")
    named = np.asarray(cells[known].tolist())
    codes = np.full(len(cells), UNLABELLED, dtype=np.int32)
    numbers = {name: index for index, name in enumerate(classes.tolist())}
    codes[known] = [numbers.get(name, len(classes)) for name in named.tolist()]
    return codes


def different(y: NDArray[Any]) -> NDArray[Any]:
    """Return the different values in y except missing ones; numbers and text are sorted."""
    if y.dtype.kind == "O":
        cells = np.fromiter(dict.fromkeys(value for part in leaves_of(len(y)) for value in y[part].tolist()), object)
    else:
        cells = reduce(lambda one, part: np.unique(np.concatenate([one, np.unique(y[part])])), leaves_of(len(y)), y[:0])
    return cells[~_is_missing(cells)]


def coded(y: NDArray[Any], values: NDArray[Any], codes: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the code of each value in y, (n_rows,), from the codes of the different values; −1 for missing values."""
    array = np.full(len(y), UNLABELLED, dtype=np.int32)
    code_of = dict(zip(values.tolist(), codes.tolist(), strict=True)) if y.dtype.kind == "O" else {}
    for part in leaves_of(len(y)) if len(values) else ():
        if code_of:
            array[part] = [UNLABELLED if _is_no_value(value) else code_of[value] for value in y[part].tolist()]
            continue
        positions = np.minimum(np.searchsorted(values, y[part]), len(values) - 1)
        array[part] = np.where(values[positions] == y[part], codes[positions], UNLABELLED)
    return array


def _labels(y: ArrayLike, n_rows: int, *, warn: bool = False) -> NDArray[Any]:
    cells: NDArray[Any] = np.asarray(column_or_1d(plain_array(y, None), warn=warn))
    if len(cells) != n_rows:
        raise ValueError(f"y holds {len(cells)} labels, but X has {n_rows} rows: inconsistent numbers of samples.")
    return cells


def check_mass(mass: Array, classes: NDArray[Any]) -> None:
    """Raise ValueError for a class with total weight 0; `mass` (n_classes,) are the total weights."""
    if not mass.all():
        name = classes.tolist()[int(mass.argmin())]
        raise ValueError(f"No row of the class {name!r} has a positive sample_weight: leave the class out.")


def check_priors(priors: ArrayLike, n_classes: int, *, is_complete: bool) -> Array:
    """Check and return probabilities of classes, (n_classes,); raises ValueError, also if EM would change them."""
    prior = check_floats("priors", priors)
    if prior.shape != (n_classes,) or not (prior > 0).all() or not abs(prior.sum() - 1) < 1e-6:
        raise ValueError(f"priors={priors!r:.60} must be {n_classes} numbers > 0 that sum to 1, one for each class.")
    if not is_complete:
        raise ValueError("priors can't be combined with rows of unknown class (y is -1 or missing). Remove priors.")
    return prior


def no_class(classes: NDArray[Any]) -> int | str:
    """Return the label of rejected rows; raises ValueError if a class has this name."""
    label = "unknown" if classes.dtype.kind in "UO" else UNLABELLED
    if label in classes.tolist():
        raise ValueError(
            f"With reject_below above 0, rejected rows are labelled {label!r}, but a class of y has this name."
            " Rename the class, or use density_p_value."
        )
    return label


def _is_unlabelled(y: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where y is −1, or the text to which NumPy converts −1 or NaN, (n_rows,)."""
    if y.dtype.kind in "iuf":
        return y == UNLABELLED
    if y.dtype.kind not in "OU":
        return np.zeros(len(y), dtype=bool)
    return np.array([_is_minus_one(value) for value in y.tolist()], dtype=bool)


def _is_minus_one(value: Any) -> bool:
    if isinstance(value, str):
        return value in _UNLABELLED_TEXT
    return isinstance(value, Real) and bool(value == UNLABELLED)


def _is_missing(y: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where y has no value, (n_rows,)."""
    if y.dtype.kind not in "fO":
        return np.zeros(len(y), dtype=bool)
    return np.array([_is_no_value(value) for value in y.tolist()], dtype=bool)


def _is_no_value(value: Any) -> bool:
    try:
        return value is None or bool(value != value)
    except TypeError:  # Comparing pandas.NA with itself has no truth value.
        return True


def _integer_type(y: Any, cells: NDArray[Any]) -> type[np.int64] | None:
    """Return int64 if integers of a data frame became floats because some are missing; otherwise None."""
    name = str(getattr(y, "dtype", "")).lower().removeprefix("u")
    return np.int64 if cells.dtype.kind == "f" and name.startswith("int") else None


def _check_one_kind(named: NDArray[Any]) -> None:
    text = next((value for value in named.tolist() if isinstance(value, str)), None)
    other = next((value for value in named.tolist() if not isinstance(value, str)), None)
    if text is not None and other is not None:
        raise ValueError(f"y holds text and other values, such as {text!r} and {other!r}: write all classes as text.")


def _check_finite(y: NDArray[Any]) -> None:
    for row, value in enumerate(y.tolist()) if y.dtype.kind in "fO" else ():
        if isinstance(value, float) and np.isinf(value):
            raise ValueError(
                f"Input y contains infinity or a value too large for dtype('float64'): row {row}. Give classes."
            )


def check_target(y: ArrayLike | None, n_rows: int) -> Array:
    """Check y and return it as finite numbers, (n_rows,) or (n_rows, n_targets).

    Raises ValueError if y is None, is not numeric, has another shape or length, or has missing or infinite values.
    Raises TypeError if a column of a data frame has neither numbers nor text.
    """
    if y is None:
        raise ValueError(
            "A regressor requires y to be passed, but the target y is None: give y, or name columns of X by targets."
        )
    values = check_floats("y", y)
    if values.ndim not in (1, 2) or 0 in values.shape[1:]:
        raise ValueError(f"y must have shape (n_samples,) or (n_samples, n_targets), not {values.shape}.")
    if len(values) != n_rows:
        raise ValueError(f"y holds {len(values)} rows, but X has {n_rows}: inconsistent numbers of samples.")
    cell = bad_cell(values.reshape(n_rows, -1))
    if cell is not None:
        or_too_large = " or a value too large for dtype('float64')" if cell.name == "infinity" else ""
        raise ValueError(f"Input y contains {cell.name}{or_too_large}: row {cell.row}. {cell.advice}")
    return values


def target_names(y: Any, n_targets: int) -> tuple[str, ...]:
    """Return the column names of a data frame or series; y, or y0, y1 … if it has no names."""
    frame = Frame.from_table(y)
    names: list[Any] = [getattr(y, "name", None)] if frame is None else list(frame.names)
    if len(names) == n_targets and all(isinstance(name, str) and name for name in names):
        return tuple(names)
    return ("y",) if n_targets == 1 else tuple(f"y{index}" for index in range(n_targets))


def check_targets(targets: Features, n_features: int, names: tuple[str, ...] | None) -> Indices:
    """Return the indices of the targets among the columns of X, (n_targets,); raises ValueError or TypeError."""
    try:
        indices = feature_indices(targets, n_features, names)
    except (TypeError, ValueError) as error:
        raise type(error)(f"targets={targets!r:.60}: {error}") from None
    if not 0 < len(indices) < n_features:
        which = "every column" if len(indices) else "no column"
        raise ValueError(f"targets names {which} of X: name some, and leave at least one to predict from.")
    return indices


def copied_column(source: Source, targets: Indices) -> tuple[int, int] | None:
    """Return the indices of a target and another column with equal values; None if there is no such pair."""
    equal = np.all([*source.map_rows(partial(_equal_columns, targets=targets))], axis=0)
    for target, columns in zip(targets.tolist(), equal, strict=True):
        others = np.flatnonzero(columns)
        others = others[others != target]
        if others.size:
            return target, int(others[0])
    return None


def _equal_columns(block: Block, targets: Indices) -> NDArray[np.bool_]:
    """Return which columns equal which target, (n_targets, n_features)."""
    rows = block.rows
    return np.array([(rows == rows[:, target, None]).all(axis=0) for target in targets])
