"""Types of arrays, and how an array becomes read-only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Rows = NDArray[np.floating[Any]]  # (n_rows, n_features), float32 or float64, any strides
Places = NDArray[np.intp]  # numbers of features, rows or components


def frozen(array: Array) -> Array:
    """Mark an array that we own as read-only, and return it."""
    array.flags.writeable = False
    return array
