"""The array types of the waist, and how an array becomes read-only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Rows = NDArray[np.floating[Any]]  # (n_rows, n_features), float32 or float64, any strides
Places = NDArray[np.intp]  # numbers of features, rows or components


def frozen(array: Array) -> Array:
    """Mark an array we own as read-only and give it back."""
    array.flags.writeable = False
    return array
