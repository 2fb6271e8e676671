"""Initialisation of many centres by k-means, starting from a tree of cells; the cell with the most rows is cut next."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from gaussmix._src.em.initialisation.base import Partition, sphere_parameters
from gaussmix._src.em.initialisation.kmeans import complete_or_imputed_rows, nearest_scaled_centre, run_lloyd
from gaussmix._src.em.initialisation.outliers import separate_outliers
from gaussmix._src.em.initialisation.sample import DistinctRows
from gaussmix._src.em.step.accumulate import StepTask
from gaussmix._src.engines.base import Engine
from gaussmix._src.interfaces.moment_spec import AssignmentRule, MomentSpec, Second
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.core import native_target
from gaussmix._src.sources.array import ArraySource

MAX_PASSES = 10


def tree(sample: DistinctRows, engine: Engine[Any], n_components: int, rng: np.random.Generator) -> Partition:
    """Assign each row to the nearest centre of k-means, which starts from the cell means of a tree.

    A cell is cut at the mean of its rows, along the feature with the largest variance; see Su & Dy (2007), "In search
    of deterministic methods for initializing K-means and Gaussian mixture clustering", Intelligent Data Analysis 11,
    section 3. Su & Dy always cut the cell with the largest sum of squares. In contrast, this function cuts the cell
    with the most rows, which leads to higher likelihoods, because the gain of a cut increases with the number of rows,
    but not with the width of the cell. No random numbers are drawn.
    """
    # With truncated EM, outliers are not separated, because their separation needs the responsibilities of all
    # components, which would fill the memory.
    start = _kmeans_from_cells if engine.is_truncated else separate_outliers(_kmeans_from_cells)
    return start(sample, engine, n_components, rng)


def _kmeans_from_cells(
    sample: DistinctRows, engine: Engine[Any], n_components: int, rng: np.random.Generator
) -> Partition:
    """Assign each row to the nearest centre of k-means, which starts from the means of cells."""
    scaled = complete_or_imputed_rows(sample.in_unit)
    run = _run_truncated_kmeans if engine.is_truncated else run_lloyd
    return nearest_scaled_centre(run(scaled, engine, _cell_means(scaled, n_components)), sample)


def _cell_means(sample: DistinctRows, n_cells: int) -> Array:
    """Return the mean of each cell, (n_cells, n_features); a row replaces the mean of each empty cell."""
    cells = native_target().partition_cells(np.ascontiguousarray(sample.rows), sample.weight, n_cells)
    weight = np.bincount(cells, sample.weight, minlength=n_cells)
    sums = [np.bincount(cells, sample.weight * column, minlength=n_cells) for column in sample.rows.T]
    means = np.stack(sums, axis=1) / np.where(weight > 0, weight, 1.0)[:, None]
    empty = np.flatnonzero(weight == 0)
    means[empty] = sample.rows[empty % len(sample.rows)]
    return means


def _run_truncated_kmeans(sample: DistinctRows, engine: Engine[Any], centres: Array) -> Array:
    """Run `MAX_PASSES` passes of k-means, in which each row is compared only with the row's candidate centres."""
    rows, context = ArraySource(sample.rows, sample.weight), None
    task = StepTask(engine, len(centres), None, MomentSpec(Second.TRACE), AssignmentRule.HARD)
    for _ in range(MAX_PASSES):
        moments = replace(task, parameters=sphere_parameters(centres), context=context).sum_moments(rows)
        context, centres = moments.context, moments.means(centres)
    return centres
