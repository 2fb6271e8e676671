"""A hash function for random choices that do not depend on the order of the rows or on how rows are partitioned."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.numerics.arrays import Array


def mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the splitmix64 hash of each number (Steele, Lea & Flood 2014, OOPSLA, figure 17)."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def uniform(hashed: NDArray[np.uint64]) -> Array:
    """Return uniform variates in (0, 1], computed from the upper 53 bits of each hash."""
    return ((hashed >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
