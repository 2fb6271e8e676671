"""Drawing rows from a mixture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gaussmix.waist.arrays import Array
from gaussmix.waist.whitening import Whitening


def sample(
    weights: Array, means: Array, whitening: Whitening, n_rows: int, rng: np.random.Generator
) -> tuple[Array, NDArray[np.int64]]:
    """Draw labels, then x = μ_k + W_k⁻¹ z with z standard normal; Bishop (2006) section 11.1.4.

    Returns
    -------
    rows : (n_rows, n_features), in random order.
    labels : (n_rows,), int64.
    """
    labels = rng.choice(len(weights), size=n_rows, p=weights / weights.sum())
    rows = rng.standard_normal((n_rows, means.shape[1]))
    for k in np.unique(labels):
        drawn = labels == k
        rows[drawn] = means[k] + whitening.colour(k, rows[drawn])
    return rows, labels
