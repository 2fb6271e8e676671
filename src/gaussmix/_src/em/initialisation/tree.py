"""Many centres at a time: the cells of a tree that always splits the cell with the largest spread, then k-means."""

from __future__ import annotations

from typing import Any

import numpy as np

from gaussmix._src.em.initialisation.base import Partition, nearest_centre, sphere_parameters
from gaussmix._src.em.initialisation.kmeans import complete_rows, run_lloyd
from gaussmix._src.em.initialisation.sample import DistinctRows
from gaussmix._src.engines.base import Engine
from gaussmix._src.engines.truncated import TruncatedContext, TruncatedEngine
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.moment_spec import AssignmentRule, MomentSpec, Second
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.core import native_target

MAX_TRUNCATED_PASSES = 10
N_CANDIDATES = 4  # centres that k-means compares with a row, besides neighbours


def tree(sample: DistinctRows, engine: Engine[Any], n_components: int, rng: np.random.Generator) -> Partition:
    """Give each row to the nearest centre of k-means from the means of the cells of a tree.

    Su & Dy (2007), "In search of deterministic methods for initializing K-means and Gaussian mixture clustering",
    Intelligent Data Analysis 11, section 3: VarPart. Nothing is drawn.
    """
    scaled = complete_rows(sample.in_unit)
    centres = _cell_means(scaled, n_components)
    if isinstance(engine, TruncatedEngine):
        centres = _run_truncated_lloyd(scaled, TruncatedEngine(engine.n_threads, N_CANDIDATES), centres)
    else:
        centres = run_lloyd(scaled, engine, centres)
    return nearest_centre(centres if sample.unit is None else centres * sample.unit, sample.unit)


def _cell_means(sample: DistinctRows, n_cells: int) -> Array:
    """Return the means of the cells, (n_cells, n_features), and of rows if there are fewer cells."""
    cells = native_target().partition_cells(np.ascontiguousarray(sample.rows), sample.weight, n_cells)
    weight = np.bincount(cells, sample.weight, minlength=n_cells)
    sums = [np.bincount(cells, sample.weight * column, minlength=n_cells) for column in sample.rows.T]
    means = np.stack(sums, axis=1) / np.where(weight > 0, weight, 1.0)[:, None]
    empty = np.flatnonzero(weight == 0)
    means[empty] = sample.rows[empty % len(sample.rows)]
    return means


def _run_truncated_lloyd(sample: DistinctRows, engine: TruncatedEngine, centres: Array) -> Array:
    """Some passes of k-means in which each row is compared with its candidates and their neighbours."""
    block, n_components = Block(0, sample.rows, sample.weight), len(centres)
    state, spec = engine.make_state(block, n_components), MomentSpec(Second.TRACE)
    context = TruncatedContext(block.n_rows)
    for _ in range(MAX_TRUNCATED_PASSES):
        spheres = sphere_parameters(centres)
        context = engine.begin_pass(context, spheres)
        sums = engine.step(block, state, spheres, spec, AssignmentRule.HARD, None, context)
        moments = engine.finish(sums, spheres, spec, context)
        context, centres = moments.context, moments.means(centres)
    return centres
