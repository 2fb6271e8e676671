"""Matching of clusters, found by an initialisation, to the components that users have named in labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.em.initialisation.base import Partition, sphere_parameters, typical_centre_distance
from gaussmix._src.em.step.accumulate import StepTask
from gaussmix._src.engines.base import Engine
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.moment_spec import AssignmentRule, MomentSpec, Second
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.interfaces.whitening.base import Whitening
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array, Indices, pieces
from gaussmix._src.numerics.elementary import exponential
from gaussmix._src.sources.base import Source

MAX_KMEANS_PASSES = 20  # maximum number of k-means passes over all rows
KMEANS_TOLERANCE = 1e-4  # tolerance relative to the squared distance of centres from their mean
# Log density of the noise component in k-means. This value is so low that the noise component gets only rows whose
# label excludes all other components.
NOISE_LOG_DENSITY = -1e300


def match_labels(
    partition: Partition, source: Source, engine: Engine[Any], n_components: int, *, is_matched: bool = False
) -> Partition:
    """Change a partition that was made without labels, so that each row is in a component that the row's label allows.

    If `is_matched` is false, the order of the clusters is arbitrary. Clusters in arbitrary order are matched to
    components so that the rows whose label and component agree have the largest possible total weight (Kuhn 1955).
    Constrained k-means (Basu, Banerjee & Mooney 2002, ICML 19) then moves the centres. It begins at the means of the
    labelled rows, and never assigns these rows to other components. If there are neither labels nor missing values nor
    measurement errors, `partition` is returned unchanged.
    """
    if source.has_log_prior or source.has_errors or source.may_miss:
        partition = partition.with_scaled_spheres
    if not source.has_log_prior:
        return partition
    if is_matched and partition.parameters is not None:
        return replace(partition, parameters=replace(partition.parameters, log_noise_density=NOISE_LOG_DENSITY))
    responsibilities = partial(_partition_responsibilities, partition=partition, engine=engine)
    order = _matching_order(responsibilities, source, n_components)
    parameters, is_soft = partition.parameters, partition.rule is AssignmentRule.SOFT
    if parameters is None or not (is_soft or partition.centres is not None):
        return Partition(responsibilities=partial(_restrict_to_labels, responsibilities=responsibilities, order=order))
    whitening = parameters.whitening if is_soft or partition.unit is not None else None
    around = _constrained_kmeans(parameters.means[order], whitening, source, engine)
    return replace(partition, parameters=around, rule=AssignmentRule.HARD)


def match_model(model: Model, source: Source, engine: Engine[Any]) -> Model:
    """Reorder components so that the rows whose component agrees with their label have the largest possible weight."""
    if not source.has_log_prior:
        return model
    responsibilities = partial(_partition_responsibilities, partition=Partition(model.parameters), engine=engine)
    return model.take(_matching_order(responsibilities, source, model.n_components))


def _matching_order(responsibilities: Callable[[Block], Array], source: Source, n_components: int) -> Indices:
    """Return the index of the cluster that is matched to each component; Kuhn (1955)."""
    # SciPy's optimisation is imported in this function, because the import is slow.
    from scipy.optimize import linear_sum_assignment

    agreement = source.sum_of(partial(_label_agreement, responsibilities=responsibilities, n_components=n_components))
    order: Indices = linear_sum_assignment(-agreement)[1]
    return order


def _constrained_kmeans(centres: Array, whitening: Whitening | None, source: Source, engine: Engine[Any]) -> Parameters:
    """Run constrained k-means on all rows, starting from means of the rows with exactly one possible component.

    `whitening` defines the distances for all components; None means Euclidean distances.
    """
    certain, spec = partial(_certain_responsibilities, n_components=len(centres)), MomentSpec(Second.NONE)
    first = StepTask(engine, len(centres), None, spec, AssignmentRule.ASSIGNMENT, responsibilities=certain)
    result = _centred_components(first.sum_moments(source).means(centres), whitening)
    for _ in range(MAX_KMEANS_PASSES):
        moments = StepTask(engine, len(centres), result, spec, AssignmentRule.HARD).sum_moments(source)
        centres, whiten = result.means, result.whitening.whiten_each
        result = _centred_components(moments.means(centres), whitening)
        shift, offsets = result.means - centres, result.means - result.means.mean(axis=0)
        if float((whiten(shift) ** 2).sum()) <= KMEANS_TOLERANCE * float((whiten(offsets) ** 2).sum()):
            break
    return result


def _centred_components(centres: Array, whitening: Whitening | None) -> Parameters:
    """Return parameters with the given centres as means and one shared `whitening`; None means Euclidean distances."""
    parameters = sphere_parameters(centres, typical_centre_distance(centres))
    return replace(parameters, whitening=whitening or parameters.whitening, log_noise_density=NOISE_LOG_DENSITY)


def _component_possibility(block: Block, n_components: int) -> Array:
    """Return the plausibility (0 to 1) of each component for each row, from the labels, (n_rows, n_components)."""
    log_prior = block.row_log_prior(n_components)
    if log_prior is None:
        return np.ones((block.n_rows, n_components))
    possible = np.asarray(log_prior == 0.0, dtype=np.float64)
    uncertain = np.isfinite(log_prior) & (log_prior < 0.0)  # few or none, because most labels are certain
    possible[uncertain] = exponential(log_prior[uncertain])
    return possible


def _partition_responsibilities(block: Block, partition: Partition, engine: Engine[Any]) -> Array:
    """Return responsibilities (n_rows, n_components) under a partition, ignoring labels."""
    block = replace(block, log_prior=None, prior_indices=None)
    if partition.responsibilities is not None:
        return partition.responsibilities(block)
    assert partition.parameters is not None, "a partition from labels is already matched"
    labels = engine.labels(block, partition.parameters)
    return np.asarray(labels[:, None] == np.arange(len(partition.parameters.means)), dtype=np.float64)


def _certain_responsibilities(block: Block, n_components: int) -> Array:
    """Return responsibilities for rows with exactly one possible component, and 0 for all other rows."""
    possible = _component_possibility(block, n_components)
    has_one_component = (possible > 0).sum(axis=1, keepdims=True) == 1
    return np.where(has_one_component, possible, 0.0)


def _restrict_to_labels(block: Block, responsibilities: Callable[[Block], Array], order: NDArray[np.intp]) -> Array:
    """Set responsibilities of impossible components to 0; if a row then has only zeros, use its plausibilities."""
    possible = _component_possibility(block, len(order))
    result = responsibilities(block)[:, order] * possible
    result = np.where(result.sum(axis=1, keepdims=True) > 0, result, possible)
    total = result.sum(axis=1, keepdims=True)
    return np.asarray(result / np.where(total > 0, total, 1.0))


def _label_agreement(leaf: Block, responsibilities: Callable[[Block], Array], n_components: int) -> Array:
    """Sum, for each component and cluster, the weight of the cluster's rows whose label allows the component."""
    from scipy.sparse import csr_array

    agreement = csr_array((n_components, n_components))
    for piece in pieces((leaf.n_rows, n_components)):
        part = leaf.row_range(*piece.indices(leaf.n_rows)[:2])
        # Rows without a label allow all components, so they do not affect the matching.
        is_known = np.ones(part.n_rows, bool) if part.prior_indices is None else part.prior_indices >= 0
        possible = _component_possibility(part.take(np.flatnonzero(is_known), part.first_row), n_components)
        possible *= part.weight[is_known, None]
        # Most rows have one possible component or one cluster. Dense products would take K times as long.
        agreement = agreement + csr_array(possible).T @ csr_array(responsibilities(part)[is_known])
    return agreement.toarray()
