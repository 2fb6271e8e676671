"""Sums over components, weighted by responsibilities, and the moments of a mixture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gaussmix._src.checks import check_count, check_finite, check_range
from gaussmix._src.engines.base import Engine
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array, Rows

_MAX_MOMENT_VALUES = 2**27  # largest number of values in an array of moments, which takes 1 GB
_MAX_ORDER = 64  # maximum number of axes of a NumPy array
OVERFLOW = "These moments are beyond the range of float64: rescale the features."
MAX_ROWS_PER_CALL = 16_384  # rows per call of the engine: enough for several threads, but few enough for the cache
# Up to this number of multiplications in a matrix product, OpenBLAS uses one thread. On shared processors, a product
# took ten times as long with several threads, which wait for each other, as with one thread.
MAX_VALUES_AT_ONCE = 2**18
# Smallest number of rows in a matrix product. With a large matrix, OpenBLAS uses several threads even for few rows, so
# the product has many rows, for which the matrix is read from memory only once.
MIN_PRODUCT_ROWS = 256

quiet = np.errstate(over="ignore", invalid="ignore")  # `check_range` raises an error after an overflow


@quiet
def mean_and_spread_of_means(model: Model) -> tuple[Array, Array]:
    """Return the mean of a mixture, (n_features,), and the covariance of the means μ_k, (n_features, n_features)."""
    means, spreads = mean_and_spread(_proportions(model)[None], lambda k: model.means[k : k + 1])
    return means[0], spreads[0]


@quiet
def covariance(model: Model, spread_of_means: Array) -> Array:
    """Return the covariance of a mixture, the sum Σ_k π_k Σ_k plus the covariance of the means μ_k."""
    return check_range(np.tensordot(_proportions(model), model.covariances.dense(), axes=1) + spread_of_means, OVERFLOW)


@quiet
def moments(model: Model, order: int, center: ArrayLike | None, mean: Array) -> Array:
    """Return joint moments about `center`, by default the mean, as an array with `order` axes of length n_features."""
    order, d = check_count("order", order, 0), model.n_features
    if order * np.log2(d) > np.log2(_MAX_MOMENT_VALUES):
        raise ValueError(
            f"Moments of order {order} of {d} features are {d}^{order} numbers, which are too many. Take the "
            "marginal of a few features first."
        )
    if order > _MAX_ORDER:
        raise ValueError(f"order={order} must be at most {_MAX_ORDER}, the maximum number of axes of an array.")
    centre = mean if center is None else check_finite("center", center)
    if centre.shape != (d,):
        raise ValueError(f"center must have shape ({d},), not {centre.shape}.")
    total = np.zeros(order * (d,))
    weights, dense = _proportions(model), model.covariances.dense()
    for k in np.flatnonzero(weights):
        total += weights[k] * _component_moment(order, model.means[k] - centre, dense[k])
    return check_range(total, OVERFLOW)


def _proportions(model: Model) -> Array:
    """Scale weights to sum to 1 up to rounding, because the sum of weights that a user has passed may be inexact."""
    return np.asarray(model.weights / model.weights.sum())


def _component_moment(order: int, offset: Array, covariance: Array) -> Array:
    """Return E[y ⊗ … ⊗ y] with `order` factors for one component; y = x − a has the mean `offset`."""
    lower, current = np.ones(()), offset
    if order == 0:
        return lower
    for n in range(2, order + 1):
        pairs = np.multiply.outer(covariance, lower)
        higher = np.multiply.outer(offset, current)
        for j in range(1, n):
            higher += np.moveaxis(pairs, 1, j)
        lower, current = current, higher
    return current


def row_pieces(
    parameters: Parameters, block: Block, engine: Engine[Any], *, product: int, array: int
) -> Iterator[tuple[slice, Rows, Array]]:
    """Yield pieces of a block as (slice, rows, responsibilities); the pieces are small to limit the size of arrays.

    The parameter `product` is the number of multiplications per row in a matrix product, and `array` is the number of
    values per row in an array.
    """
    step = min(max(MIN_PRODUCT_ROWS, MAX_VALUES_AT_ONCE // product), max(1, MAX_VALUES_AT_ONCE // array))
    for part in block.split(MAX_ROWS_PER_CALL):
        responsibilities = engine.responsibilities(part, parameters)
        for first in range(0, part.n_rows, step):
            piece, start = slice(first, first + step), part.first_row + first
            rows = part.rows[piece]
            yield slice(start, start + len(rows)), rows, responsibilities[piece]


def weighted_mean(responsibilities: Array, vectors: Callable[[int], Array]) -> Array:
    """Return the mean Σ_k γ_k v_k for each row, (n_rows, n). The parameters are the same as in `mean_and_spread`."""
    present = np.flatnonzero(responsibilities.any(axis=0))  # leaves out γ_k = 0, because v_k could overflow
    means: Array = np.zeros_like(vectors(int(present[0]) if len(present) else 0))
    for k in present:
        means += responsibilities[:, k, None] * vectors(int(k))
    return means


def mean_and_spread(responsibilities: Array, vectors: Callable[[int], Array]) -> tuple[Array, Array]:
    """Return the means m = Σ_k γ_k v_k and the spreads Σ_k γ_k (v_k − m)(v_k − m)ᵀ for each row.

    The function `vectors` computes the vectors v_k (n_rows, n) of a component, and is called twice per component. The
    responsibilities γ (n_rows, n_components) sum to 1. The spreads (n_rows, n, n) are exactly symmetric, and are
    computed without the inaccurate difference E[vvᵀ] − mmᵀ.
    """
    means = weighted_mean(responsibilities, vectors)
    spreads = np.zeros((len(means), means.shape[1], means.shape[1]))
    for k in np.flatnonzero(responsibilities.any(axis=0)):
        offsets = np.sqrt(responsibilities[:, k, None]) * (vectors(int(k)) - means)
        spreads += offsets[:, :, None] * offsets[:, None, :]
    return means, spreads
