"""The second initialisation of mixtures with noise: k-means and a search of the rows that have near neighbours."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from gaussmix._src.em.initialisation.base import Partition
from gaussmix._src.em.initialisation.kmeans import kmeans, kmeans_and_search
from gaussmix._src.em.initialisation.sample import DistinctRows
from gaussmix._src.engines.base import Engine
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.elementary import exponential, log, softmax, softmax_and_log_sum
from gaussmix._src.numerics.threads import allowed_threads

MAX_ROWS, MAX_COORDINATES = 4096, 10**8  # limits on the sampled rows, and on coordinates in all pairs of these rows
N_NEIGHBOURS = 5  # the distance to the neighbour with this rank measures the density at a row
MAX_STEPS, POSTERIOR_TOLERANCE = 500, 1e-6  # limits of EM for the volumes around rows
_MAX_LOG = 690.0  # maximum argument of `exponential`; volumes that reach it have a density of practically 0


def search_dense_rows(
    sample: DistinctRows, engine: Engine[Any], n_components: int, rng: np.random.Generator
) -> Partition:
    """Run k-means, and request a split-and-merge search, on a sample of the rows without clutter.

    A search of all rows gives distant rows their own components, because it does not model noise. If too
    few rows remain without clutter, k-means reads all rows, and there is no search.
    """
    n_features = sample.rows.shape[1]
    rows = sample.subsample(min(MAX_ROWS, math.isqrt(MAX_COORDINATES // n_features)), rng)
    dense = rows.take(clutter_probabilities(rows, allowed_threads(engine.n_threads)) <= 0.5)
    if len(dense.rows) <= n_components * n_features:
        return kmeans(sample, engine, n_components, rng)
    return kmeans_and_search(dense, engine, n_components, rng)


def clutter_probabilities(sample: DistinctRows, n_threads: int = 1) -> Array:
    """Return the probability that each row is clutter, which has no near neighbours, (n_rows,).

    Where the density is constant, the volume that contains the k nearest rows has a gamma distribution with shape k.
    The volumes around all rows are described by a mixture of two gamma distributions, one for rows in clusters, and one
    for clutter; see Byers & Raftery (1998), Journal of the American Statistical Association 93, 577-584. Volumes are
    divided by the median weight of the neighbours, so that a single heavy row has no effect.
    """
    from scipy.spatial import KDTree  # imported here because few fits need it

    rows = replace(sample, rows=sample.imputed).in_unit.rows
    if len(rows) <= N_NEIGHBOURS:
        return np.zeros(len(rows))
    # Distances are maxima over the features, whose bits are the same on every processor.
    distances, neighbours = KDTree(rows).query(rows, N_NEIGHBOURS + 1, p=np.inf, workers=n_threads)
    distances = np.maximum(distances[:, -1:], np.finfo(np.float64).tiny)
    weight = np.median(sample.weight[neighbours], axis=1, keepdims=True)
    log_volumes = rows.shape[1] * log(distances) - log(weight)
    posterior = np.where(log_volumes > np.median(log_volumes), [0.9, 0.1], [0.1, 0.9])  # clutter comes first
    for _ in range(MAX_STEPS):
        before, posterior = posterior, _update_posterior(log_volumes, posterior)
        if np.abs(posterior - before).max() < POSTERIOR_TOLERANCE:
            break
    return posterior[:, 0]


def _update_posterior(log_volumes: Array, posterior: Array) -> Array:
    """Return the probabilities of the two gamma distributions, (n_rows, 2), after an M-step and an E-step.

    The density of a volume v under a gamma distribution with rate r and shape k is proportional to r^k exp(−r v).
    """
    log_posterior = log(posterior)
    log_masses = softmax_and_log_sum(log_posterior, axis=0)[1]
    log_rates = log_masses - softmax_and_log_sum(log_posterior + log_volumes, axis=0)[1] + math.log(N_NEIGHBOURS)
    scaled_volumes = exponential(np.minimum(log_volumes + log_rates, _MAX_LOG))
    return softmax(log_masses + N_NEIGHBOURS * log_rates - scaled_volumes)
