"""Structures of one feature. There are two: mclust's "E", one variance for all components, and "V", one for each."""

from __future__ import annotations

import re
from typing import Any

_THREE_LETTERS = re.compile("[EV](?!II)[EVI][EVI]")  # of volume, shape and orientation; "EII" and "VII" have neither


def check_features(name: Any, n_features: int) -> str | None:
    """Say what a name means if that differs from its letters for this number of features; None otherwise.

    Values have no letters. Raises ValueError for the name of a structure of a single feature where there are more.
    """
    if name in ("E", "V") and n_features > 1:
        raise ValueError(
            f"covariance_type={name!r} is for one feature, and X has {n_features}: say what shapes and orientations "
            f"are, as in {name + 'II'!r} or {3 * name!r}."
        )
    if n_features > 1 or not isinstance(name, str) or not _THREE_LETTERS.fullmatch(name):
        return None
    variances = "one variance for all components" if name[0] == "E" else "a variance per component"
    return f"covariance_type={name!r} is {name[0]!r} for one feature, which has no shape or orientation: {variances}."
