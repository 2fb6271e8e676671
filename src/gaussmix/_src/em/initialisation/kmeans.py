"""k-means, initialised by k-means++; the C++ core computes both."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from gaussmix._src.em.initialisation.base import Partition, nearest_centre, sphere_parameters
from gaussmix._src.em.initialisation.sample import DistinctRows, robust_variances
from gaussmix._src.engines.base import Engine
from gaussmix._src.interfaces.block import Block
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.core import native_target
from gaussmix._src.numerics.threads import allowed_threads
from gaussmix._src.sources.waiting import seconds_left

MAX_LLOYD_PASSES = 100  # maximum number of passes; data without clusters would need hundreds of passes
LLOYD_TOLERANCE = 1e-4  # tolerance relative to the mean variance of the features, as in scikit-learn's KMeans


def kmeans_plus_plus(
    sample: DistinctRows, engine: Engine[Any], n_components: int, rng: np.random.Generator
) -> Partition:
    """Assign each row to the nearest of the centres that greedy k-means++ chooses."""
    return nearest_scaled_centre(seed_centres(sample.in_unit, n_components, rng), sample)


def nearest_scaled_centre(centres: Array, sample: DistinctRows) -> Partition:
    """Assign each row to the nearest of `centres`, which were divided by `sample.unit`."""
    return nearest_centre(centres if sample.unit is None else centres * sample.unit, sample.unit)


def seed_centres(sample: DistinctRows, n_components: int, rng: np.random.Generator) -> Array:
    """Draw centres (n_components, n_features) by greedy k-means++; Arthur & Vassilvitskii (2007).

    D is a row's distance to the nearest of the centres drawn so far. For each further centre, 2 + log K rows are drawn
    with probability ∝ D², and the row that lowers Σ D² most becomes the centre. All centres are distinct if there are
    enough distinct rows.
    """
    n_candidates, observed = count_candidates(n_components), complete_or_imputed_rows(sample)
    uniform = rng.random(1 + (n_components - 1) * n_candidates)
    indices = native_target().seed_centres(observed.rows, observed.weight, n_components, n_candidates, uniform)
    return observed.rows[indices]


def complete_or_imputed_rows(sample: DistinctRows) -> DistinctRows:
    """Return the complete rows or, if they are too few, all rows with a value, with imputed missing values."""
    rows = sample.clustered_rows
    return replace(rows, rows=rows.imputed, estimates=None)


def count_candidates(n_components: int) -> int:
    """Return the number of rows that k-means++ draws for each centre after the first."""
    return 2 + int(math.log(n_components))


def kmeans(
    sample: DistinctRows,
    engine: Engine[Any],
    n_components: int,
    rng: np.random.Generator,
    *,
    relocates: bool = False,
) -> Partition:
    """Assign each row to the nearest centre that k-means (Lloyd 1982) finds on at most about 65,520 rows."""
    scaled = sample.in_unit
    centres = run_lloyd(scaled, engine, seed_centres(scaled, n_components, rng), relocates=relocates)
    return nearest_scaled_centre(centres, sample)


def kmeans_and_search(
    sample: DistinctRows, engine: Engine[Any], n_components: int, rng: np.random.Generator
) -> Partition:
    """Run k-means, and request a split-and-merge search (Ueda et al. 2000) that improves the first model."""
    return request_search(kmeans(sample, engine, n_components, rng, relocates=True), sample, rng)


def request_search(partition: Partition, sample: DistinctRows, rng: np.random.Generator) -> Partition:
    """Request a split-and-merge search on the complete rows or, if too few, on all rows with a value."""
    return replace(partition, search_rows=sample.clustered_rows, search_seed=int(rng.integers(2**63)))


def run_lloyd(sample: DistinctRows, engine: Engine[Any], centres: Array, *, relocates: bool = False) -> Array:
    """Move centres (n_components, n_features) to the means of their nearest rows until convergence or `max_time`.

    If `relocates` is set, misplaced centres are relocated after convergence (cpp/em/relocation.hpp).
    """
    sample = complete_or_imputed_rows(sample)
    total = np.cumsum(robust_variances(sample.rows, sample.weight))[-1]  # `cumsum` adds in order, like the C++ core
    tolerance = LLOYD_TOLERANCE * (float(total) / sample.rows.shape[1])
    centres, n_left = np.array(centres, dtype=np.float64), MAX_LLOYD_PASSES
    threads = allowed_threads(engine.n_threads)
    while n_left > 0:
        limits = tolerance, n_left, seconds_left()
        n_left = native_target().move_centres(sample.rows, sample.weight, centres, *limits, threads)
        if n_left > 0:  # passes remain only if some centre has no rows
            centres, n_left = _refill_empty_centres(sample, engine, centres), n_left - 1
    if relocates:
        limits = tolerance, MAX_LLOYD_PASSES, seconds_left()
        native_target().relocate_centres(sample.rows, sample.weight, centres, *limits, threads)
    return centres


def _refill_empty_centres(sample: DistinctRows, engine: Engine[Any], centres: Array) -> Array:
    """Move centres without rows to the rows that are farthest from the nearest centre."""
    distances = -2.0 * engine.component_log_density(Block(0, sample.rows), sphere_parameters(centres))
    empty = np.bincount(distances.argmin(axis=1), minlength=len(centres)) == 0
    farthest = np.argsort(-distances.min(axis=1), kind="stable")[: int(empty.sum())]
    centres[np.flatnonzero(empty)[: len(farthest)]] = sample.rows[farthest]
    return centres
