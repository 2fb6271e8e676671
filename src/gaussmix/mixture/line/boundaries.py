"""Where the most probable component of a mixture of one feature changes."""

from __future__ import annotations

from typing import Any

import numpy as np

from gaussmix.engines.base import Engine
from gaussmix.model import Model
from gaussmix.numerics.arrays import Array
from gaussmix.waist.block import Block

_BESIDE = 1e-6  # how far outside the places labels are taken, relative to a place: much more than its rounding


def decision_boundary(model: Model, engine: Engine[Any]) -> Array:
    """Where the most probable component of a model of one feature changes, (n_boundaries,), ascending, data units."""
    deviations = np.sqrt(model.covariances.variances()[:, 0])
    real = np.flatnonzero(model.weights)
    places = crossings(model.parameters.log_scale[real], model.means[real, 0], deviations[real])
    if not len(places):
        return places
    reach = deviations.max() + _BESIDE * np.abs(places).max()
    edges = np.concatenate([[places[0] - reach], places, [places[-1] + reach]])
    labels = engine.labels(Block(0, (edges[:-1] + 0.5 * np.diff(edges))[:, None]), model.parameters)
    return np.asarray(places[labels[1:] != labels[:-1]])


def crossings(log_scale: Array, means: Array, deviations: Array) -> Array:
    """Where log π_j N_j(x) = log π_k N_k(x) for some j < k, ascending, each once, from log π_k N_k(μ_k), μ and σ.

    In u = (x − μ_j) / σ_j, with δ = (μ_k − μ_j) / σ_j, r = σ_j / σ_k and c = log π_k N_k(μ_k) − log π_j N_j(μ_j), the
    difference is ½ (1 − r²) u² + r² δ u + c − ½ r² δ². Its roots are q / a and c / q, neither a difference of like
    numbers (Press et al. 2007, eq. 5.6.4). The first is infinite where the deviations are equal.
    """
    narrow_first = np.argsort(deviations, kind="stable")  # roots then have the rounding of the narrower one
    log_scale, means, deviations = (array[narrow_first] for array in (log_scale, means, deviations))
    first, second = np.triu_indices(len(means), 1)
    apart = (means[second] - means[first]) / deviations[first]
    ratio = deviations[first] / deviations[second]
    rise = log_scale[second] - log_scale[first]
    square, half = 0.5 * (1 - ratio) * (1 + ratio), 0.5 * ratio**2 * apart
    unit = np.maximum(np.abs(apart), 1.0)  # its square may be beyond float64
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        root = unit * np.sqrt((0.5 * ratio * (apart / unit)) ** 2 - square * (rise / unit / unit))
        larger = -(half + np.copysign(root, half))
        steps = np.stack([larger / square, (rise / unit - half * (apart / unit)) / (larger / unit)]) * deviations[first]
    places = steps + means[first]
    rounding = 8 * np.finfo(np.float64).eps * (np.abs(steps) + np.abs(means[first]) + deviations[first])
    order = np.argsort(places, axis=None)
    order = order[np.isfinite(places.ravel()[order])]
    places, rounding = places.ravel()[order], rounding.ravel()[order]
    return places[np.diff(places, prepend=-np.inf) > rounding]  # where three densities meet, each pair of them does
