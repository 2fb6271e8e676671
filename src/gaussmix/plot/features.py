"""Which features a picture shows, and their names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any

import numpy as np

from gaussmix.errors import counted, unknown_name

Feature = int | str


def names_of(n_features: int, given: Sequence[str] | None, *others: Iterable[Any] | None) -> list[str]:
    """The names that are given, or the first others that are as many as the features, or x0, x1, … .

    Raises
    ------
    ValueError : the number of given names is not that of the features.
    """
    if given is not None:
        if np.ndim(given) != 1 or len(given) != n_features:
            raise ValueError(
                f"feature_names={given!r} must be a list of {counted(n_features, 'name')}, one for each feature."
            )
        return [str(name) for name in given]
    for names in others:
        listed = [] if names is None else [str(name) for name in names]
        if len(listed) == n_features:
            return listed
    return [f"x{j}" for j in range(n_features)]


def chosen_features(features: Feature | Sequence[Feature] | None, names: Sequence[str]) -> list[int]:
    """Indices of one or two different features, given by index or name; by default the first two.

    Raises
    ------
    ValueError : no feature has a name or an index, or there are not one or two different features.
    """
    if features is None:
        return list(range(min(2, len(names))))
    listed: Any = [features] if np.ndim(features) == 0 else features
    chosen = [_index(feature, names) for feature in listed]
    if len(chosen) not in (1, 2) or len(set(chosen)) != len(chosen):
        raise ValueError(f"features={features!r} must be one feature, or two different ones.")
    return chosen


def _index(feature: object, names: Sequence[str]) -> int:
    if isinstance(feature, str):
        if feature not in names:
            raise unknown_name("features", feature, names)
        return list(names).index(feature)
    if isinstance(feature, bool) or not isinstance(feature, Integral):
        raise ValueError(f"features holds {feature!r}, which is neither an index nor a name.")
    index = int(feature)
    if not -len(names) <= index < len(names):
        known = counted(len(names), "feature")
        raise ValueError(f"features holds {feature}, but the mixture has {known}, counted from 0.")
    return index % len(names)
