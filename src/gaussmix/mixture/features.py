"""Features by number or by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix.errors import unknown_name

Feature = int | str
Features = Feature | Sequence[Feature] | NDArray[np.integer[Any]]


def checked_names(names: Iterable[str], n_features: int) -> tuple[str, ...]:
    """Names of features as a tuple; raises TypeError or ValueError where they can't be."""
    checked = tuple(names)
    for name in checked:
        if not isinstance(name, str):
            raise TypeError(f"feature_names must be text, not {name!r:.60}.")
    if len(checked) != n_features:
        raise ValueError(f"feature_names has {len(checked)} names, but there are {n_features} features.")
    return checked


def places(features: Features, n_features: int, names: tuple[str, ...] | None) -> NDArray[np.intp]:
    """Where features stand, (n,), each once.

    Parameters
    ----------
    features : numbers (from the end where negative) or names; one or several.
    n_features : d.
    names : of the features, None where they have none.

    Raises
    ------
    ValueError : there is no such feature, or one is there twice.
    TypeError : something is neither a number nor a name.
    """
    several: list[Any] = [features]
    if isinstance(features, Iterable) and not isinstance(features, str | Set):  # a set has no order
        several = [*features]
    found = [_place(feature, n_features, names) for feature in several]
    if len(set(found)) < len(found):
        twice = next(feature for feature, place in zip(several, found, strict=True) if found.count(place) > 1)
        raise ValueError(f"Feature {twice!r:.60} is there twice.")
    return np.array(found, dtype=np.intp)


def check_order(rows: object, names: tuple[str, ...] | None, called: str) -> None:
    """Raise ValueError where a data frame has a feature in the column of another."""
    if names is None:
        return
    for place, column in enumerate(getattr(rows, "columns", ())):
        if column in names and names[place : place + 1] != (column,):
            raise ValueError(
                f"{called} has {column!r} in column {place}, but the order of the features is {list(names)!r:.200}: "
                "bring the columns into it."
            )


def _place(feature: object, n_features: int, names: tuple[str, ...] | None) -> int:
    if isinstance(feature, str):
        if names is None:
            raise ValueError(
                f"Feature {feature!r:.60} is a name, and this mixture's features have none: give a number."
            )
        if feature not in names:
            raise unknown_name("feature", feature, names)
        if names.count(feature) > 1:  # as tables may have them
            raise ValueError(f"{names.count(feature)} features are called {feature!r:.60}: give a number.")
        return names.index(feature)
    if isinstance(feature, bool | np.bool_) or not isinstance(feature, int | np.integer):
        raise TypeError(f"A feature is a number or a name, not {feature!r:.60}.")
    if not -n_features <= feature < n_features:
        raise ValueError(f"There is no feature {feature}: the mixture has {n_features}, counted from 0.")
    return int(feature) % n_features
