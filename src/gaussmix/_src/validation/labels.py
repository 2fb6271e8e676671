"""Check the argument `labels` of `fit`, which contains the known components of rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.checks import check_real
from gaussmix._src.em.initialisation.user_labels import UNKNOWN_LABEL, UserLabels
from gaussmix._src.errors import ParameterTypeError, listed, warn
from gaussmix._src.numerics.arrays import plain_array
from gaussmix._src.numerics.cells import is_missing
from gaussmix._src.numerics.frames import Frame
from gaussmix._src.sources.base import Source
from gaussmix._src.sources.labels import MAX_LABELS, labelled, values_in
from gaussmix._src.sources.opening import IN_MEMORY, is_table, open
from gaussmix._src.validation.targets import distinct_values, encode_values, label_array


class Column(NamedTuple):
    """A column of labels in a source, such as a file, whose rows are not in memory.

    Parameters
    ----------
    position : index of the column in the source.
    values : sorted distinct numbers in the column, without NaN; of type int64 if all are whole numbers.
    """

    position: int
    values: NDArray[Any]


def take_column(X: Any, name: str, called: str, *, may_miss: bool) -> tuple[Any, Any]:
    """Separate the column `name` from X: return X as a data frame without this column, and the column's values.

    If the rows are not in memory, return a source that still contains the column, and a `Column` that describes this
    column. `called` is the name of the argument by which the user passed `name`, for messages.

    Raises ValueError if X has no column `name` or no other column, or if the column has too many distinct numbers.
    """
    if is_table(X):
        X = open(X, missing=may_miss)
    frame = None if isinstance(X, Source) else Frame.from_table(X)
    names = X.feature_names if isinstance(X, Source) else None if frame is None else frame.names
    if names is None:
        raise ValueError(
            f"{called}={name!r} should be a column of X, but the columns of X have no names. Pass a data "
            "frame, or a file with column names."
        )
    if name not in names:
        kind, advice = "columns", ""
        if frame is None:
            kind, advice = "columns of numbers", " Labels in files and on clusters must be numbers. Encode text."
        raise ValueError(
            f"{called}={name!r} should be a column of X, whose {kind} are {listed(list(map(str, names)))}.{advice}"
        )
    if len(names) == 1:
        raise ValueError(f"{called}={name!r} is the only column of X. X must also have columns with features.")
    if frame is not None:
        return frame.only(each for each in names if each != name), frame.data[name].to_list()
    values = values_in(X, names.index(name))
    values = values[~np.isnan(values)]
    if len(values) > MAX_LABELS:
        raise ValueError(
            f"{called}={name!r}: this column of X has more than {MAX_LABELS:,} distinct numbers, too many for labels."
        )
    is_whole = (values == np.floor(values)).all() and (np.abs(values) < 2**53).all()
    return X, Column(names.index(name), values.astype(np.int64) if is_whole else values)


def without_labels(estimator: Any, X: Any, labels: Any) -> tuple[Any, Any]:
    """Return X without the column that `labels` names, and the labels in this column.

    If `labels` is not the name of a column, X and `labels` are returned unchanged. This function raises the same errors
    as `take_column` and `check_labels` with the parameters `missing` and `label_components` of the estimator.
    """
    if not isinstance(labels, str):
        return X, labels
    X, column = take_column(X, labels, "labels", may_miss=estimator._may_miss)
    if not isinstance(column, Column):
        return X, column
    groups = _check_groups(getattr(estimator, "label_components", None))
    known = _from_labels(column.values, groups, f"column {labels!r} of X contains")
    assert known.label_indices is not None, "`known` contains labels"
    is_known = bool((known.label_indices != UNKNOWN_LABEL).any())
    return labelled(X, *column, known.label_indices), UserLabels(known.allowed_components if is_known else [])


def warn_of_ignored(y: Any) -> None:
    """Warn that `fit` ignores y if some, but not all, values of y are unknown, as in the argument `labels`.

    NaN and None mean unknown. Because components are counted from 0, −1 means unknown only if y also contains 0 and no
    number below −1. For example, if y contains only the two classes −1 and 1, all values are known.
    """
    values = np.asarray(y) if type(y).__module__.partition(".")[0] in (*IN_MEMORY, "polars") else np.empty(0)
    if values.ndim != 1 or values.dtype.kind not in "iufO":
        return
    if values.dtype.kind == "O":
        is_unknown = np.array([_is_unknown(label) for label in values.tolist()], dtype=bool)
    else:
        is_counted = len(values) > 0 and values.min() == UNKNOWN_LABEL and 0 in values
        is_unknown = np.isnan(values) | (is_counted & (values == UNKNOWN_LABEL))
    if 0 < is_unknown.sum() < len(values):
        warn("fit ignores y, which has known and unknown labels (-1 or NaN). If y numbers components, pass labels=y.")


def check_labels(
    labels: Any, label_components: Any, n_rows: int, component_counts: Collection[int], *, has_noise: bool
) -> UserLabels | None:
    """Check labels, and convert them to `UserLabels`; return None if no label is known.

    Labels are integers (n_rows,), which are −1, None or masked if unknown. Labels can also be a table (n_rows,
    n_components) of allowed components (bool) or of prior responsibilities (numbers ≥ 0). `label_components` is a dict
    {label: components}, or None if labels are indices of components. `component_counts` lists the numbers of components
    of the mixtures to fit, and `has_noise` states whether these mixtures have a noise component.

    Raises ValueError or TypeError if the length or type is wrong, if a row has no possible component (the message names
    the row), or if the labels are invalid for one of the `component_counts`.
    """
    known = _to_user_labels(labels, label_components, n_rows, max(component_counts))
    if known is None:
        return None
    for n_components in component_counts:
        known.check_n_components(n_components, has_noise)
    return None if known.is_empty else known


def _to_user_labels(labels: Any, label_components: Any, n_rows: int, max_components: int) -> UserLabels | None:
    """Convert labels to `UserLabels`, as in `check_labels`; return None if the user passed no labels."""
    if isinstance(labels, UserLabels):  # labels from a column of X are already checked
        return labels
    groups = _check_groups(label_components)
    if labels is None:
        if groups is not None:
            raise ValueError("label_components assigns components to labels, so fit also needs the argument labels.")
        return None
    labels = _without_masks(labels)
    array = label_array(labels, "labels")
    if array.dtype in ("M8[ns]", "m8[ns]"):  # as Python objects, these times become integers
        raise ParameterTypeError(
            "labels contains times in nanoseconds. Convert them to text, and name the texts in label_components."
        )
    is_column = array.shape[1:] == (1,) and max_components > 1  # one column is not a table of components
    if array.shape[:1] != (n_rows,) or array.ndim not in (1, 2) or is_column:
        raise ValueError(
            f"labels has shape {array.shape}. Pass one label for each of the {n_rows} rows, or a table of shape "
            f"({n_rows}, n_components)."
        )
    if array.ndim == 2:
        if groups is not None:
            raise ValueError("With label_components, labels must be one label for each row, not a table.")
        table = labels if array.dtype == object else array  # nulls in a data frame lead to an array of objects
        return UserLabels(plausibilities=_check_table(table))
    return _from_labels(array, groups, "labels[{row}] is")


def _without_masks(labels: Any) -> Any:
    """Replace masked labels with None; in a table, replace masked rows with rows that allow all components."""
    if not isinstance(labels, np.ma.MaskedArray) or labels.ndim != 2:
        return plain_array(labels, None)
    is_masked = np.ma.getmaskarray(labels)
    cut = np.flatnonzero(is_masked.any(axis=1) & ~is_masked.all(axis=1))
    if cut.size:
        raise ValueError(f"Row {cut[0]} of labels is partly masked. Mask the whole row if its component is unknown.")
    return labels.filled(1)


def _check_groups(label_components: Any) -> dict[Any, list[int]] | None:
    if label_components is None:
        return None
    if not isinstance(label_components, Mapping):
        raise ParameterTypeError(
            f"label_components must be a dictionary {{label: [component, …]}}, not {label_components!r:.80}."
        )
    groups = {}
    for label, components in label_components.items():
        if not isinstance(components, Sequence | np.ndarray) or isinstance(components, str) or not len(components):
            raise ValueError(f"label_components[{label!r}] must be a list of components, not {components!r:.60}.")
        for component in components:
            if isinstance(component, bool) or not isinstance(component, Integral) or component < 0:
                raise ValueError(f"label_components[{label!r}] contains {component!r:.40}, not a component's index.")
        groups[_plain(label)] = [int(component) for component in components]
    if not groups or any(_is_unknown(label) for label in groups):
        raise ValueError(f"label_components must name labels, but not {UNKNOWN_LABEL}, which means unknown.")
    return groups


def _from_labels(array: NDArray[Any], groups: Mapping[Any, list[int]] | None, where: str) -> UserLabels:
    """Convert labels (n_rows,) to `UserLabels`; `where` is the beginning of messages about an invalid label."""
    if array.dtype.kind == "b" and groups is None:
        raise ParameterTypeError(
            "labels contains True and False. Pass integers or a table with a column for each component, or set "
            "label_components, such as {True: [0], False: [1]}."
        )
    if array.dtype.kind in "iu" and groups is None:
        if len(array) and array.min() < UNKNOWN_LABEL:
            row = int((array < UNKNOWN_LABEL).argmax())
            raise ValueError(
                f"{where.format(row=row)} {array[row]}; a label is the index of a component, or {UNKNOWN_LABEL}."
            )
        return _from_components(array)
    unknown = np.array([_is_unknown(label) for label in array.tolist()], dtype=bool)
    known = [_plain(label) for label in array[~unknown].tolist()]
    rows = np.flatnonzero(~unknown)
    if groups is None:
        components = np.full(len(array), UNKNOWN_LABEL, object)  # objects, because labels may be too large for int64
        for row, label in zip(rows.tolist(), known, strict=True):
            if isinstance(label, bool) or not isinstance(label, Integral) or label < 0:
                raise ValueError(
                    f"{where.format(row=row)} {label!r:.60}; a label is the index of a component, {UNKNOWN_LABEL} or "
                    f"None. For other labels set label_components, such as {{{label!r:.60}: [0]}}, or use "
                    "GaussianMixtureClassifier."
                )
        components[rows] = known
        return _from_components(components)
    codes = np.full(len(array), UNKNOWN_LABEL, np.int32)
    code = {label: position for position, label in enumerate(groups)}
    for row, label in zip(rows.tolist(), known, strict=True):
        if label not in code:
            named = listed([str(label) for label in code])
            raise ValueError(f"{where.format(row=row)} {label!r:.60}, but label_components lists {named}.")
        codes[row] = code[label]
    return UserLabels(list(groups.values()), codes)


def _from_components(components: NDArray[Any]) -> UserLabels:
    """Convert labels that are component indices, or −1 for unknown components, to `UserLabels`."""
    values = np.sort(distinct_values(components))
    is_known = values >= 0
    codes = np.full(len(values), UNKNOWN_LABEL, np.int32)
    codes[is_known] = np.arange(np.count_nonzero(is_known))
    return UserLabels(values[is_known][:, None].tolist(), encode_values(components, values, codes))


def _check_table(table: Any) -> NDArray[Any]:
    """Check and return a table of labels (n_rows, n_columns), in which every row must allow at least one component."""
    numbers = check_real("labels", table)
    wrong = ~((numbers >= 0) & (numbers < np.inf)).all(axis=1)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(f"Row {row} of labels must contain numbers ≥ 0, not {numbers[row]}.")
    empty = ~numbers.any(axis=1)
    if empty.any():
        raise ValueError(f"Row {int(empty.argmax())} of labels allows no component. Each row must allow at least one.")
    return numbers


def _is_unknown(label: Any) -> bool:
    """Return whether a label means that the component is unknown: −1, None or another missing value."""
    return is_missing(label) or (isinstance(label, Integral | float) and bool(label == UNKNOWN_LABEL))


def _plain(label: Any) -> Any:
    """Convert a label to a Python object; floats that are whole numbers become integers."""
    label = label.item() if isinstance(label, np.generic) else label
    return int(label) if isinstance(label, float) and label.is_integer() else label
