"""Which component lies nearest to each, and how far the two overlap."""

from __future__ import annotations

import numpy as np

from gaussmix.mixture.compare.gaussians import Gaussians, bhattacharyya_distances
from gaussmix.model import Model
from gaussmix.numerics.arrays import Array, Places


def nearest(model: Model) -> tuple[Places, Array]:
    """The component that overlaps most with each, and their overlap ∫ √(N_i N_j); Bhattacharyya (1943).

    Returns
    -------
    neighbour : (n_components,); −1 where there is none: for a single component, and for those of weight 0.
    overlap : (n_components,), from 0, apart, to 1, the same Gaussian; NaN where there is no neighbour. Weights do not
        count, nor do units. Two components misclassify at most √(π_i π_j) times their overlap (Kailath 1967).
    """
    neighbour, overlap = np.full(model.n_components, -1, dtype=np.intp), np.full(model.n_components, np.nan)
    there = np.flatnonzero(model.weights > 0)
    if len(there) < 2:
        return neighbour, overlap
    gaussians = Gaussians.of(model)
    distances = bhattacharyya_distances(gaussians, gaussians)
    np.fill_diagonal(distances, np.inf)
    neighbour[there] = there[distances.argmin(axis=1)]
    overlap[there] = np.exp(-np.maximum(distances.min(axis=1), 0.0))
    return neighbour, overlap
