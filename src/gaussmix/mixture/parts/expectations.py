"""Mean, covariance and higher moments of a mixture as a whole."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from gaussmix.checks import check_count, check_range
from gaussmix.mixture.features import block_of
from gaussmix.mixture.parts.weighted import mean_and_spread
from gaussmix.model import Model
from gaussmix.numerics.arrays import Array

MOST_NUMBERS = 2**27  # of an array of moments: 1 GB
BEYOND = "These moments are beyond the range of float64: rescale the features."

_quiet = np.errstate(over="ignore", invalid="ignore")  # `check_range` reports what is beyond the range


@_quiet
def mean_and_spread_of_means(model: Model) -> tuple[Array, Array]:
    """The mean (n_features,) and the covariance of the μ_k, (n_features, n_features)."""
    means, spreads = mean_and_spread(_shares(model)[None], lambda k: model.means[k : k + 1])
    return means[0], spreads[0]


@_quiet
def covariance(model: Model, spread_of_means: Array) -> Array:
    """Σ_k π_k Σ_k + the covariance of the μ_k, (n_features, n_features)."""
    return check_range(np.tensordot(_shares(model), model.covariances.dense(), axes=1) + spread_of_means, BEYOND)


@_quiet
def moments(model: Model, order: int, about: ArrayLike | None, mean: Array) -> Array:
    """Joint moments of all features with each other about a point, or about the mean; `order` axes of n_features."""
    order, d = check_count("order", order, 0), model.n_features
    if order * np.log2(d) > np.log2(MOST_NUMBERS):
        raise ValueError(
            f"Moments of order {order} of {d} features are {d}^{order} numbers: take the marginal of a few features "
            "first."
        )
    if about is not None and np.shape(about) != (d,):
        raise ValueError(f"about must have shape ({d},), not {np.shape(about)}.")
    centre = mean if about is None else block_of(np.asarray(about)[None], d, called="about").rows[0].astype(np.float64)
    total = np.zeros(order * (d,))
    shares, dense = _shares(model), model.covariances.dense()
    for k in np.flatnonzero(shares):
        total += shares[k] * _of_component(order, model.means[k] - centre, dense[k])
    return check_range(total, BEYOND)


def _shares(model: Model) -> Array:
    """Weights that sum to 1 to the last bits. Weights that a user typed need not."""
    return np.asarray(model.weights / model.weights.sum())


def _of_component(order: int, offset: Array, covariance: Array) -> Array:
    """E[y ⊗ … ⊗ y] of one component, `order` times, y = x − a with mean `offset`."""
    lower, found = np.ones(()), offset
    if order == 0:
        return lower
    for n in range(2, order + 1):
        pairs = np.multiply.outer(covariance, lower)
        higher = np.multiply.outer(offset, found)
        for j in range(1, n):
            higher += np.moveaxis(pairs, 1, j)
        lower, found = found, higher
    return found
