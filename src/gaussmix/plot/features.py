"""Which features a picture shows, and their names."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np

from gaussmix.errors import unknown_name

Feature = int | str


def names_of(n_features: int, given: Sequence[str] | None, *carriers: Any) -> list[str]:
    """The names that are given, or those of the first carrier (a fitted estimator, a frame), or x0, x1, … .

    Raises
    ------
    ValueError : the number of given names is not that of the features.
    """
    if given is not None:
        if isinstance(given, str) or len(given) != n_features:
            raise ValueError(f"feature_names={given!r} must be a list of {n_features} names, one for each feature.")
        return [str(name) for name in given]
    for carrier in carriers:
        for attribute in ("feature_names_in_", "columns"):
            names = getattr(carrier, attribute, None)
            if names is not None and len(names) == n_features:
                return [str(name) for name in names]
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
        raise ValueError(f"features holds {feature}, but there are {len(names)} features, counted from 0.")
    return index % len(names)
