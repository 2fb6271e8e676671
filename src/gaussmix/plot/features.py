"""Which features a picture shows, and their names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any

import numpy as np

from gaussmix.errors import counted, unknown_name

Feature = int | str
Features = Feature | Sequence[Feature] | None

MOST_FEATURES = 8  # of a grid of pictures that can still be read


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


def chosen_features(features: Features, names: Sequence[str]) -> list[int]:
    """Indices of one or two different features, given by index or name; by default the first two.

    Raises
    ------
    ValueError : no feature has a name or an index, or there are not one or two different features.
    """
    chosen = list(range(min(2, len(names)))) if features is None else _indices(features, names)
    if len(chosen) not in (1, 2) or len(set(chosen)) != len(chosen):
        raise ValueError(f"features={features!r} must be one feature, or two different ones.")
    return chosen


def several_features(features: Features, names: Sequence[str]) -> list[int]:
    """Indices of different features for a grid of pictures; by default all, where they are at most 8.

    Raises
    ------
    ValueError : no feature has a name or an index, one is named twice, or there are too many to show.
    """
    if features is None and len(names) > MOST_FEATURES:
        some = [*names[:3]]
        raise ValueError(
            f"There are {len(names)} features, and a grid of more than {MOST_FEATURES} can't be read: choose some, "
            f"such as features={some!r:.90}."
        )
    chosen = list(range(len(names))) if features is None else _indices(features, names)
    if not 1 <= len(chosen) <= MOST_FEATURES or len(set(chosen)) != len(chosen):
        raise ValueError(f"features={features!r:.90} must be 1 to {MOST_FEATURES} different features.")
    return chosen


def _indices(features: Any, names: Sequence[str]) -> list[int]:
    listed: Any = [features] if np.ndim(features) == 0 else features
    return [_index(feature, names) for feature in listed]


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


def one_feature(called: str, feature: Any, names: Sequence[str]) -> int:
    """The index of a feature that an argument names; raises ValueError."""
    try:
        return _index(feature, names)
    except ValueError as error:
        raise ValueError(str(error).replace("features", called, 1)) from None
