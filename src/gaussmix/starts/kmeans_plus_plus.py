"""k-means++: centres are rows far from each other."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gaussmix.engines.base import Engine
from gaussmix.engines.runner import Runner
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.core import native_target
from gaussmix.starts.base import Partition, centre_parameters, nearest_centre, register
from gaussmix.starts.sample import Distinct
from gaussmix.waist.block import Block


@register("k-means++")
def kmeans_plus_plus(sample: Distinct, engine: Engine[Any], n_components: int, rng: np.random.Generator) -> Partition:
    """Give each row to the nearest of the centres that greedy k-means++ draws."""
    return nearest_centre(spread_centres(sample, engine, n_components, rng))


def spread_centres(sample: Distinct, engine: Engine[Any], n_components: int, rng: np.random.Generator) -> Array:
    """Greedy k-means++, Arthur & Vassilvitskii (2007).

    Each centre is the best of 2 + log K rows drawn with probability ∝ D²: the one that lowers Σ D² most.

    Returns
    -------
    centres : (n_components, n_features); distinct as long as there are distinct rows left.
    """
    n_candidates = count_candidates(n_components)
    target = native_target() if isinstance(engine, Runner) else None
    if target is not None:
        uniform = rng.random(1 + (n_components - 1) * n_candidates)
        return sample.rows[target.spread_centres(sample.rows, sample.weight, n_components, n_candidates, uniform)]
    chosen = [sample.draw(rng)]
    nearest = squared_distances(sample.rows, engine, sample.filled[chosen])[:, 0]
    for _ in range(1, n_components):
        candidates = sample.draw_many(rng, n_candidates, nearest)
        reached = np.minimum(squared_distances(sample.rows, engine, sample.filled[candidates]), nearest[:, None])
        best = int((sample.weight[:, None] * reached).sum(axis=0).argmin())
        chosen.append(int(candidates[best]))
        nearest = reached[:, best]
    return sample.filled[chosen]


def count_candidates(n_components: int) -> int:
    """How many rows are drawn for each centre but the first."""
    return 2 + int(math.log(n_components))


def squared_distances(rows: Array, engine: Engine[Any], centres: Array) -> Array:
    """‖x − c‖² of every row and centre, (n_rows, n_centres); where cells are missing, that of the others, scaled up."""
    missing = np.isnan(rows)
    if not missing.any():
        return -2.0 * engine.component_log_density(Block(0, rows), centre_parameters(centres))
    n_seen = rows.shape[1] - missing.sum(axis=1)
    scale = rows.shape[1] / np.maximum(n_seen, 1)
    return np.stack([scale * (np.where(missing, 0.0, rows - centre) ** 2).sum(axis=1) for centre in centres], axis=1)
