"""Starts that respect known labels: their parts are matched with the components that the labels name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.em.initialisation.base import Partition, centre_parameters, mean_distance
from gaussmix._src.em.step.accumulate import StepTask
from gaussmix._src.engines.base import Engine
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.moment_spec import MomentSpec, Rule, Second
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.interfaces.whitening.base import Whitening
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array, Indices, pieces
from gaussmix._src.numerics.contract import contract
from gaussmix._src.numerics.elementary import exponential
from gaussmix._src.sources.base import Source

MAX_KMEANS_PASSES = 20  # of k-means over all rows
KMEANS_TOLERANCE = 1e-4  # of the squared distance of centres from their mean
# The log density of noise in k-means: noise gets only the rows that no component may have.
NOISE_LOG_DENSITY = -1e300


def guided(
    partition: Partition, source: Source, engine: Engine[Any], n_components: int, *, is_matched: bool = False
) -> Partition:
    """Change a partition, made without labels, so that each row is in a component that its label allows.

    The parts of a start are in no order, unless `is_matched`. They are matched with the components so that the most row
    weight agrees with its label (Kuhn 1955). Constrained k-means then moves the centres: it begins at the means of the
    labelled rows, which keep their component; Basu, Banerjee & Mooney (2002), ICML 19. For complete rows without
    labels, `partition` is returned unchanged.
    """
    if source.has_log_prior or source.has_errors or source.may_miss:
        partition = partition.scaled
    if not source.has_log_prior:
        return partition
    if is_matched and partition.parameters is not None:
        return replace(partition, parameters=replace(partition.parameters, log_background=NOISE_LOG_DENSITY))
    responsibilities = partial(_responsibilities, partition=partition, engine=engine)
    order = _matching_order(responsibilities, source, n_components)
    parameters, is_soft = partition.parameters, partition.rule is Rule.SOFT
    if parameters is None or not (is_soft or partition.centres is not None):
        return Partition(responsibilities=partial(_guided, responsibilities=responsibilities, order=order))
    whitening = parameters.whitening if is_soft or partition.unit is not None else None
    around = _constrained_kmeans(parameters.means[order], whitening, source, engine)
    return replace(partition, parameters=around, rule=Rule.HARD)


def matched(model: Model, source: Source, engine: Engine[Any]) -> Model:
    """The components of a model in the order in which the most row weight agrees with its label."""
    if not source.has_log_prior:
        return model
    responsibilities = partial(_responsibilities, partition=Partition(model.parameters), engine=engine)
    return model.take(_matching_order(responsibilities, source, model.n_components))


def _matching_order(responsibilities: Callable[[Block], Array], source: Source, n_components: int) -> Indices:
    """Which part of a partition each component gets; Kuhn (1955)."""
    from scipy.optimize import linear_sum_assignment  # slow to import

    agreement = source.sum_of(partial(_agreement, responsibilities=responsibilities, n_components=n_components))
    order: Indices = linear_sum_assignment(-agreement)[1]
    return order


def _constrained_kmeans(centres: Array, whitening: Whitening | None, source: Source, engine: Engine[Any]) -> Parameters:
    """Constrained k-means over all rows, from the means of the rows with exactly one possible component.

    Distances are whitened; without a `whitening`, which all components share, they are those from spheres.
    """
    certain = partial(_single_component, n_components=len(centres))
    first = StepTask(engine, len(centres), None, MomentSpec(Second.NONE), Rule.ASSIGNMENT, responsibilities=certain)
    around = _around(first.over(source).means(centres), whitening)
    for _ in range(MAX_KMEANS_PASSES):
        moments = StepTask(engine, len(centres), around, MomentSpec(Second.NONE), Rule.HARD).over(source)
        centres, whiten = around.means, around.whitening.whiten_each
        around = _around(moments.means(centres), whitening)
        shift, offsets = around.means - centres, around.means - around.means.mean(axis=0)
        if float((whiten(shift) ** 2).sum()) <= KMEANS_TOLERANCE * float((whiten(offsets) ** 2).sum()):
            break
    return around


def _around(centres: Array, whitening: Whitening | None) -> Parameters:
    """Components alike about the centres; spheres without a `whitening`."""
    parameters = centre_parameters(centres, mean_distance(centres))
    return replace(parameters, whitening=whitening or parameters.whitening, log_background=NOISE_LOG_DENSITY)


def _possible(block: Block, n_components: int) -> Array:
    """How possible each component is for a row, (n_rows, n_components), from 0 to 1."""
    log_prior = block.row_log_prior(n_components)
    return np.ones((block.n_rows, n_components)) if log_prior is None else exponential(log_prior)


def _responsibilities(block: Block, partition: Partition, engine: Engine[Any]) -> Array:
    """Responsibilities (n_rows, n_components) under a partition; labels are ignored."""
    block = replace(block, log_prior=None, prior_indices=None)
    if partition.responsibilities is not None:
        return partition.responsibilities(block)
    assert partition.parameters is not None, "a partition by given labels is matched already"
    labels = engine.labels(block, partition.parameters)
    return np.asarray(labels[:, None] == np.arange(len(partition.parameters.means)), dtype=np.float64)


def _single_component(block: Block, n_components: int) -> Array:
    """Responsibilities of rows with exactly one possible component; 0 for other rows."""
    possible = _possible(block, n_components)
    has_one_component = (possible > 0).sum(axis=1, keepdims=True) == 1
    return np.where(has_one_component, possible, 0.0)


def _guided(block: Block, responsibilities: Callable[[Block], Array], order: NDArray[np.intp]) -> Array:
    """Responsibilities under a partition, restricted to possible components; the labels' own if nothing is left."""
    possible = _possible(block, len(order))
    result = responsibilities(block)[:, order] * possible
    result = np.where(result.sum(axis=1, keepdims=True) > 0, result, possible)
    total = result.sum(axis=1, keepdims=True)
    return np.asarray(result / np.where(total > 0, total, 1.0))


def _agreement(leaf: Block, responsibilities: Callable[[Block], Array], n_components: int) -> Array:
    """For each component and part, the row weight of the part that the component may have."""
    agreement = np.zeros(())
    for piece in pieces((leaf.n_rows, n_components)):
        part = leaf.between(*piece.indices(leaf.n_rows)[:2])
        possible = _possible(part, n_components)
        if part.row_weight is not None:
            possible = possible * part.row_weight[:, None]
        agreement = agreement + contract("ik,ij->kj", possible, responsibilities(part))
    return agreement
