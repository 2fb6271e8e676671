"""What a user knows of the components of rows: `labels` of a fit, checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix.checks import check_real
from gaussmix.errors import listed
from gaussmix.estimators.parameters import check_start_names
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.elementary import log
from gaussmix.numerics.pieces import pieces

SEARCH = "search"  # the start that moves components
UNKNOWN = -1  # the label of a row whose component is not known


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of rows, for mixtures of any number of components that it fits.

    Parameters
    ----------
    groups : for each label the components that its rows may have; None where `table` says it.
    places : (n_rows,) int32, the number of each row's label, −1 where nothing is known; None with a table.
    table : (n_rows, n_columns), how possible each component is for a row, ≥ 0; None with labels.
    """

    groups: Sequence[Sequence[int]] | None = None
    places: NDArray[np.int32] | None = None
    table: NDArray[Any] | None = None

    def least(self) -> int:
        """The least number of components that a mixture must have."""
        return 1 if self.groups is None else 1 + max((max(group) for group in self.groups), default=0)

    def check_size(self, n_components: int, has_noise: bool) -> None:
        """Raise ValueError where it does not go with so many components."""
        if self.groups is not None and self.least() > n_components:
            raise ValueError(
                f"labels name component {self.least() - 1}; with n_components={n_components} they must lie in 0 … "
                f"{n_components - 1}, or be {UNKNOWN} where they are unknown."
            )
        widths = [n_components, n_components + 1] if has_noise else [n_components]
        if self.table is not None and self.table.shape[1] not in widths:
            raise ValueError(
                f"labels has {self.table.shape[1]} columns; with n_components={n_components} a table of labels has "
                f"{' or '.join(map(str, widths))}{', the last one for noise' if has_noise else ''}."
            )

    def log_prior(self, n_components: int, has_noise: bool) -> tuple[Array, NDArray[np.int32] | None]:
        """`Block.log_prior` of all rows, and their places in it.

        Of a row whose label is known, or that is not allowed some component, noise is not possible either. Where a
        table has no column for it, noise is as possible as the least possible component.
        """
        if self.groups is not None:
            is_allowed = np.zeros((len(self.groups), n_components + has_noise))
            for row, group in zip(is_allowed, self.groups, strict=True):
                row[list(group)] = 1.0
            return log(is_allowed), self.places
        assert self.table is not None, "labels or a table"
        prior = np.empty((len(self.table), n_components + has_noise))
        for part in pieces(prior.shape):
            some = self.table[part].astype(np.float64)
            prior[part, : some.shape[1]] = some / some.max(axis=1, keepdims=True)
        if prior.shape[1] > self.table.shape[1]:
            prior[:, -1] = prior[:, :-1].min(axis=1)
        return log(prior), None

    def arrays(self) -> list[Any]:
        """All that it says, as arrays."""
        groups = [] if self.groups is None else [np.array(group, np.int64) for group in self.groups]
        return [*groups, *(array for array in (self.places, self.table) if array is not None)]

    def part(self, chosen: NDArray[np.bool_]) -> Known:
        """Of some rows."""
        if self.places is not None:
            return Known(self.groups, self.places[chosen])
        assert self.table is not None, "labels or a table"
        return Known(table=self.table[chosen])


def check_labels(labels: Any, label_components: Any, n_rows: int, most: int) -> Known | None:
    """What labels say of the rows; None where they say nothing.

    Parameters
    ----------
    labels : (n_rows,) integers, −1 or None where unknown; or a table (n_rows, n_components) of allowed components
        (bool) or of prior responsibilities (numbers ≥ 0).
    label_components : {label: components}; None where a label is the number of its component.
    most : the largest number of components that is fitted.

    Raises
    ------
    ValueError, TypeError : they are of the wrong length or type, or leave a row without a component: it is named.
    """
    groups = _check_groups(label_components)
    if labels is None:
        if groups is not None:
            raise ValueError("label_components says which components labels have: give labels to fit.")
        return None
    try:
        array = np.asarray(labels)
    except ValueError as error:
        raise ValueError(f"labels is no array: {error}") from None
    is_column = array.shape[1:] == (1,) and most > 1  # of labels rather than a table
    if array.shape[:1] != (n_rows,) or array.ndim not in (1, 2) or is_column:
        raise ValueError(
            f"labels has shape {array.shape}; give one label for each of the {n_rows} rows, or a table of shape "
            f"({n_rows}, n_components)."
        )
    if array.ndim == 2:
        if groups is not None:
            raise ValueError("label_components goes with one label for each row, not with a table.")
        return Known(table=_check_table(array))
    return _of_labels(array, groups)


def check_suits_labels(
    known: Known | None, init_params: Any, counts: Iterable[int], *, has_noise: bool = False
) -> None:
    """Raise ValueError for a start that can't keep labels, or a number of components that they do not go with."""
    if known is None:
        return
    for n_components in counts:
        known.check_size(n_components, has_noise)
    if SEARCH in check_start_names(init_params):
        raise ValueError(
            f"init_params={SEARCH!r} exchanges components, so that it can't keep labels: name another start, such as "
            '"kmeans".'
        )


def _check_groups(label_components: Any) -> dict[Any, list[int]] | None:
    if label_components is None:
        return None
    if not isinstance(label_components, Mapping):
        raise TypeError(
            f"label_components must be a dictionary {{label: [component, …]}}, not {label_components!r:.80}."
        )
    groups = {}
    for label, components in label_components.items():
        if not isinstance(components, Sequence | np.ndarray) or isinstance(components, str) or not len(components):
            raise ValueError(f"label_components[{label!r}] must be a list of components, not {components!r:.60}.")
        for component in components:
            if isinstance(component, bool) or not isinstance(component, Integral) or component < 0:
                raise ValueError(f"label_components[{label!r}] holds {component!r:.40}, which is no component.")
        groups[_plain(label)] = [int(component) for component in components]
    if not groups or any(_is_unknown(label) for label in groups):
        raise ValueError(f"label_components must name labels other than {UNKNOWN}, which means unknown.")
    return groups


def _of_labels(array: NDArray[Any], groups: Mapping[Any, list[int]] | None) -> Known:
    """Labels (n_rows,) as numbers of groups."""
    if array.dtype.kind == "b":
        raise TypeError("labels holds True and False; give integers, or a table with a column for each component.")
    if array.dtype.kind in "iu" and groups is None:
        wrong = array < UNKNOWN
        if wrong.any():
            row = int(wrong.argmax())
            raise ValueError(f"labels[{row}] is {array[row]}; a label is the number of a component, or {UNKNOWN}.")
        return _of_components(array)
    unknown = np.array([_is_unknown(label) for label in array.tolist()], dtype=bool)
    known = [_plain(label) for label in array[~unknown].tolist()]
    rows = np.flatnonzero(~unknown)
    if groups is None:
        components = np.full(len(array), UNKNOWN, object)  # integers of any size
        for row, label in zip(rows.tolist(), known, strict=True):
            if isinstance(label, bool) or not isinstance(label, Integral) or label < 0:
                raise ValueError(
                    f"labels[{row}] is {label!r:.60}; a label is the number of a component, {UNKNOWN} or None. Give "
                    "label_components for labels of other kinds."
                )
        components[rows] = known
        return _of_components(components)
    places = np.full(len(array), UNKNOWN, np.int32)
    number = {label: place for place, label in enumerate(groups)}
    for row, label in zip(rows.tolist(), known, strict=True):
        if label not in number:
            raise ValueError(
                f"labels[{row}] is {label!r:.60}, and label_components has {listed([str(label) for label in number])}."
            )
        places[row] = number[label]
    return Known(list(groups.values()), places)


def _of_components(components: NDArray[Any]) -> Known:
    """Of rows whose labels are their components, −1 where unknown."""
    is_known = components >= 0
    named, number = np.unique(components[is_known], return_inverse=True)
    places = np.full(len(components), UNKNOWN, np.int32)
    places[is_known] = number
    return Known(named[:, None].tolist(), places)


def _check_table(array: NDArray[Any]) -> NDArray[Any]:
    """A table (n_rows, n_columns) that leaves each row a component."""
    numbers = check_real("labels", array)
    for part in pieces(numbers.shape):
        some = numbers[part]
        wrong = ~((some >= 0) & (some < np.inf)).all(axis=1)
        if wrong.any():
            row = int(wrong.argmax())
            raise ValueError(f"labels of row {part.start + row} must be numbers ≥ 0, not {some[row]}.")
        empty = ~some.any(axis=1)
        if empty.any():
            raise ValueError(f"labels forbids row {part.start + int(empty.argmax())} every component: allow it one.")
    return numbers


def _is_unknown(label: Any) -> bool:
    """Whether a label is −1, None or missing."""
    if label is None or type(label).__name__ == "NAType":  # of pandas, which no comparison takes
        return True
    return bool(label != label or (isinstance(label, Integral | float) and label == UNKNOWN))


def _plain(label: Any) -> Any:
    """A label as Python has it: whole numbers as integers."""
    label = label.item() if isinstance(label, np.generic) else label
    return int(label) if isinstance(label, float) and label.is_integer() else label
