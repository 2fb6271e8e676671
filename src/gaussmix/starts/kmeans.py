"""k-means on the engine, from centres that k-means++ draws: EM with one unit sphere for all and `Rule.HARD`."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from gaussmix.engines.base import Engine
from gaussmix.engines.runner import Runner
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.core import native_target
from gaussmix.numerics.threads import allowed
from gaussmix.starts.base import Partition, centre_parameters, nearest_centre, register, width_of
from gaussmix.starts.sample import Distinct, variances_of
from gaussmix.waist.block import Block
from gaussmix.waist.need import Need, Rule, Second

MAX_PASSES = 100  # on data without clusters k-means needs hundreds; EM continues from the last centres
COMPLETE = 0.25  # of the weight: rows without missing cells that a search needs
TOLERANCE = 1e-4  # of the mean variance of a feature, as scikit-learn's KMeans


@register("k-means++")
def kmeans_plus_plus(sample: Distinct, engine: Engine[Any], n_components: int, rng: np.random.Generator) -> Partition:
    """Give each row to the nearest of the centres that greedy k-means++ draws."""
    return nearest_centre(spread_centres(sample, engine, n_components, rng))


def spread_centres(sample: Distinct, engine: Engine[Any], n_components: int, rng: np.random.Generator) -> Array:
    """Greedy k-means++, Arthur & Vassilvitskii (2007): centres (n_components, n_features).

    Each centre is the best of 2 + log K rows drawn with probability ∝ D²: the one that lowers Σ D² most. They are
    distinct as long as there are distinct rows left.
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
    """‖x − c‖² of every row and centre, (n_rows, n_centres); without missing cells, scaled up for them."""
    missing = np.isnan(rows)
    if not missing.any():
        return -2.0 * engine.component_log_density(Block(0, rows), centre_parameters(centres))
    n_seen = rows.shape[1] - missing.sum(axis=1)
    scale = rows.shape[1] / np.maximum(n_seen, 1)
    return np.stack([scale * (np.where(missing, 0.0, rows - centre) ** 2).sum(axis=1) for centre in centres], axis=1)


@register("kmeans")
def kmeans(sample: Distinct, engine: Engine[Any], n_components: int, rng: np.random.Generator) -> Partition:
    """Give each row to the nearest centre of k-means (Lloyd 1982) on at most about 65,520 rows."""
    return nearest_centre(lloyd(sample, engine, spread_centres(sample, engine, n_components, rng)))


@register("search")
def search(sample: Distinct, engine: Engine[Any], n_components: int, rng: np.random.Generator) -> Partition:
    """As "kmeans"; then components are merged and split while that raises the likelihood (Ueda et al. 2000).

    Moves are judged on complete rows. With few complete rows there are no moves.
    """
    found, complete = kmeans(sample, engine, n_components, rng), sample.complete
    if complete.weight.sum() <= COMPLETE * sample.weight.sum():
        return found
    return replace(found, searched=complete, seed=int(rng.integers(2**63)))


def lloyd(sample: Distinct, engine: Engine[Any], centres: Array) -> Array:
    """Move centres (n_components, n_features) to the means of their rows until they no longer move."""
    block, need = Block(0, sample.rows, sample.weight), Need(Second.NONE)
    total = np.cumsum(variances_of(sample.rows, sample.weight))[-1]  # one after the other, as the core adds them
    settled = TOLERANCE * (float(total) / sample.rows.shape[1])
    width = width_of(centres) if np.isnan(sample.rows).any() else 1.0  # complete rows need none
    centres, n_left = np.array(centres, dtype=np.float64), MAX_PASSES
    target = native_target() if isinstance(engine, Runner) else None
    if target is not None and width == 1.0:
        threads = allowed(getattr(engine, "n_threads", 1))
        n_left = target.move_centres(sample.rows, sample.weight, centres, settled, MAX_PASSES, threads)
    state = engine.open(block, need, len(centres)) if n_left else None
    for _ in range(n_left):
        parameters = centre_parameters(centres, width)
        moments = engine.finish(engine.step(block, state, parameters, need, Rule.HARD), parameters, need)
        moved = moments.means(centres)
        if not moments.mass.all():
            moved = _refill(sample, engine, centres, moved, moments.mass == 0)
        shift, centres = float(((moved - centres) ** 2).sum()), moved
        if shift <= settled:
            break
    return centres


def _refill(sample: Distinct, engine: Engine[Any], centres: Array, moved: Array, empty: Array) -> Array:
    """Put centres without rows on the rows farthest from their own centre."""
    distance = squared_distances(sample.rows, engine, centres).min(axis=1)
    farthest = np.argsort(-distance, kind="stable")[: int(empty.sum())]
    moved = np.array(moved)
    moved[np.flatnonzero(empty)[: len(farthest)]] = sample.filled[farthest]
    return moved
