"""The directions in which the components of a mixture differ most; Scrucca (2010), Statistics and Computing 20."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.linalg

from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array

_MIN_EIGENVALUE = float(np.sqrt(np.finfo(np.float64).eps))  # axes with eigenvalues up to this are ignored, as in mclust


class Directions(NamedTuple):
    """Axes (n_directions, n_features) that separate components, sorted by decreasing eigenvalues (n_directions,).

    Each axis has length 1. If its entries are multiplied by the standard deviations of the features, the entry with the
    largest absolute value is positive, so that the sign does not depend on units. The eigenvalue of an axis measures
    how well the axis separates the components; it has no unit. `centre` (n_features,) is the mean of the mixture, in
    data units.
    """

    centre: Array
    axes: Array
    values: Array


def directions(model: Model, mean_fraction: float) -> Directions:
    """Compute directions as generalised eigenvectors for a model without noise; `mean_fraction` is λ in Scrucca (2010).

    The result has at least one direction, even if the components do not differ at all.
    """
    each, weights = model.covariances.dense(), model.weights
    centre = weights @ model.means
    offsets = model.means - centre
    between = np.einsum("k,ki,kj->ij", weights, offsets, offsets)
    within = np.einsum("k,kij->ij", weights, each)
    total = within + between
    scale = np.sqrt(np.diagonal(total))  # without this scaling, rounding would hide features of small variance
    try:
        lower = np.linalg.cholesky(total / scale[:, None] / scale)
    except np.linalg.LinAlgError:
        raise ValueError(
            "The directions cannot be computed: the means lie so far apart, on a line or plane, that rounding hides "
            "the covariances. Leave out linearly dependent features, or increase reg_covar."
        ) from None
    root = scipy.linalg.solve_triangular(lower, np.diag(1.0 / scale), lower=True)  # root · total · rootᵀ = I
    kernel = mean_fraction * _square(root @ between @ root.T)
    for weight, covariance in zip(weights, each, strict=True):
        kernel += (1.0 - mean_fraction) * weight * _square(root @ (covariance - within) @ root.T)
    values, vectors = np.linalg.eigh(kernel)
    values, axes = values[::-1], (root.T @ vectors[:, ::-1]).T
    n_directions = max(1, int(np.count_nonzero(values > _MIN_EIGENVALUE)))
    axes = axes[:n_directions] / np.linalg.norm(axes[:n_directions], axis=1, keepdims=True)
    indices = abs(axes * scale).argmax(axis=1)
    signs = np.sign(axes[np.arange(n_directions), indices])
    return Directions(centre, axes * signs[:, None], values[:n_directions])


def _square(matrix: Array) -> Array:
    return np.asarray(matrix @ matrix.T)
