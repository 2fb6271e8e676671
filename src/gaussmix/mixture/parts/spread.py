"""Weighted means of vectors, one for each component, and their spread about them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gaussmix.numerics.arrays import Array


def weighted_mean(shared: Array, vectors: Callable[[int], Array]) -> Array:
    """Σ_k γ_k v_k of each row, (n_rows, n); parameters as below."""
    there = np.flatnonzero(shared.any(axis=0))  # what has no share may be beyond float64
    means: Array = np.zeros_like(vectors(int(there[0]) if len(there) else 0))
    for k in there:
        means += shared[:, k, None] * vectors(int(k))
    return means


def mean_and_spread(shared: Array, vectors: Callable[[int], Array]) -> tuple[Array, Array]:
    """m = Σ_k γ_k v_k and Σ_k γ_k (v_k − m)(v_k − m)ᵀ for each row, without the difference E[vvᵀ] − mmᵀ.

    Parameters
    ----------
    shared : γ, (n_rows, n_components), rows sum to 1.
    vectors : of a component, the v_k of each row, (n_rows, n); called twice.

    Returns
    -------
    means : (n_rows, n).
    spreads : (n_rows, n, n), symmetric to the bit.
    """
    means = weighted_mean(shared, vectors)
    spreads = np.zeros((len(means), means.shape[1], means.shape[1]))
    for k in np.flatnonzero(shared.any(axis=0)):
        offsets = np.sqrt(shared[:, k, None]) * (vectors(int(k)) - means)
        spreads += offsets[:, :, None] * offsets[:, None, :]
    return means, spreads
