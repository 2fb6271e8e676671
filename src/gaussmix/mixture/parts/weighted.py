"""Sums over components, weighted by their responsibilities for a row, for a few rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from gaussmix.engines.base import Engine
from gaussmix.numerics.arrays import Array, Rows
from gaussmix.waist.block import Block
from gaussmix.waist.parameters import Parameters

MOST_ROWS = 16_384  # in one call of the engine: enough for its threads, and the responsibilities fit a cache
# Multiplications of one matrix product on a piece: up to here OpenBLAS uses one thread. Its threads wait for each
# other, and where processors are shared that took ten times as long.
MOST_NUMBERS = 2**18
FEWEST_ROWS = 256  # of a product: a larger matrix takes threads in any case, and is read once for so many


def few_rows(
    parameters: Parameters, block: Block, engine: Engine[Any], *, product: int, array: int
) -> Iterator[tuple[slice, Rows, Array]]:
    """Cut a block into pieces (slice, rows, responsibilities), in order, so that no array is rows times components.

    Parameters
    ----------
    parameters : of the mixture whose responsibilities they are.
    block : rows with its features.
    engine : finds the responsibilities.
    product : multiplications that a matrix product makes for one row.
    array : numbers that an array holds for one row.
    """
    step = min(max(FEWEST_ROWS, MOST_NUMBERS // product), max(1, MOST_NUMBERS // array))
    for part in block.cut(MOST_ROWS):
        shared = engine.responsibilities(part, parameters)
        for first in range(0, part.n_rows, step):
            piece = slice(first, first + step)
            start = part.first_row + first
            yield slice(start, start + len(shared[piece])), part.rows[piece], shared[piece]


def weighted_mean(shared: Array, vectors: Callable[[int], Array]) -> Array:
    """Σ_k γ_k v_k of each row, (n_rows, n). Parameters: see `mean_and_spread`."""
    there = np.flatnonzero(shared.any(axis=0))  # the vectors of other components may be beyond float64
    means: Array = np.zeros_like(vectors(int(there[0]) if len(there) else 0))
    for k in there:
        means += shared[:, k, None] * vectors(int(k))
    return means


def mean_and_spread(shared: Array, vectors: Callable[[int], Array]) -> tuple[Array, Array]:
    """m = Σ_k γ_k v_k and Σ_k γ_k (v_k − m)(v_k − m)ᵀ for each row, without the difference E[vvᵀ] − mmᵀ.

    Parameters
    ----------
    shared : γ, (n_rows, n_components), rows sum to 1.
    vectors : called with a component, gives the v_k of each row, (n_rows, n); called twice.

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
