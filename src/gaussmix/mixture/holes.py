"""Rows with missing cells: the distribution of what they have."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from gaussmix.mixture.mixture import Mixture
from gaussmix.numerics.arrays import Array, Places, Rows


def patterns(missing: NDArray[np.bool_]) -> Iterator[tuple[Places, Places]]:
    """The places of rows that lack the same features, with the features they have; complete rows are left out."""
    holed = np.flatnonzero(missing.any(axis=1))
    packed, pattern = np.unique(np.packbits(missing[holed], axis=1), axis=0, return_inverse=True)
    order = holed[np.argsort(pattern, kind="stable")]
    for places in np.split(order, np.cumsum(np.bincount(pattern, minlength=len(packed)))[:-1]):
        if places.size:
            yield places, np.flatnonzero(~missing[places[0]])


def tail_probability(rows: Rows, mixture: Mixture) -> Array:
    """The share of the mass that is less probable than each row, by the distribution of what it has, (n_rows,)."""
    found, missing = np.ones(len(rows)), np.isnan(rows)
    complete = ~missing.any(axis=1)
    found[complete] = mixture.tail_probability(rows[complete])
    for places, seen in patterns(missing):
        if seen.size:
            found[places] = mixture.marginal(seen).tail_probability(rows[np.ix_(places, seen)])
    return found
