"""The M-step: moments to a mixture, done once for all families."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix.covariances import Covariances
from gaussmix.em.trace import Frozen
from gaussmix.engines.base import Engine
from gaussmix.engines.runner import Runner
from gaussmix.errors import SingularCovariance
from gaussmix.families.base import Family
from gaussmix.model import Model
from gaussmix.numerics.arrays import Array, Places
from gaussmix.numerics.pieces import copied, pieces
from gaussmix.waist.moments import Moments, Scatter

# Below this share of the row weight a component has no rows left to learn from.
LOST_SHARE = 2.0**-40
# What a component that no row starts in gets of an equal weight.
EMPTY_SHARE = 0.01
# The part of all rows that stands in for those of a component without any: far below rounding beside the others.
TRACE = 2.0**-60
# A standard deviation of so few units in the last place of the mean is rounding noise, not spread.
NOISE = 4 * float(np.finfo(np.float64).eps)
# Moving second moments to the new means may cancel this factor: their relative error stays below 1e3 ε.
MAX_LOSS = 1e3
MAX_LOSS_IN_SINGLE = 30.0  # of sums with an error of about 1e-4 at worst


def maximise(moments: Moments, default_means: Array) -> tuple[Array, Array, Scatter]:
    """Weights, means and the scatter about the new means; Bishop (2006) eq. 9.17, 9.22.

    Parameters
    ----------
    moments : of all rows.
    default_means : (n_components, n_features), what a component without mass gets.
    """
    weights = moments.mass / moments.mass.sum()
    means = moments.means(default_means)
    second = moments.about(means).second
    assert second is not None
    return weights, means, Scatter(moments.mass, second, means.shape[1], moments.need)


def first_mixtures(
    moments: Moments,
    family: Family,
    engine: Engine[Any],
    ridge: Array,
    default_means: Array,
    current: Covariances | None = None,
) -> list[Model]:
    """The mixtures that EM may start from: the M-step's first, then other beginnings of the family.

    Or, where the first step takes several updates, the one after an update of covariances that are `current`.

    A component without rows starts at its default mean, with the pooled covariance of the others and
    `EMPTY_SHARE` of an equal weight, so that rows can still find it.

    Raises
    ------
    SingularCovariance : a component has too few distinct rows for a covariance, and nothing to fall back on.
    """
    weights, means, scatter = maximise(moments, default_means)
    empty = weights <= LOST_SHARE
    weights = np.where(empty, EMPTY_SHARE / len(weights), weights)
    scatter = _fill_empty(scatter, empty).with_ridge(ridge)
    updated = _updated(family, engine, scatter, current)
    if current is None:
        beginnings = [updated, *family.other_initial_covariances(scatter)]
    else:
        beginnings = [_kept(updated, current, np.flatnonzero(empty)) if empty.any() else updated]
    mixtures, collapsed = [], set()
    for covariances in beginnings:
        mixture = Model(weights / weights.sum(), means, covariances, family)
        wrong = set(_noise(mixture, ridge)) | set(_singular(mixture))
        if not wrong:
            mixtures.append(mixture)
        collapsed |= wrong
    if not mixtures:
        raise SingularCovariance.of_fit(sorted(collapsed))
    return mixtures


def next_mixture(
    moments: Moments, current: Model, engine: Engine[Any], ridge: Array, frozen: Mapping[int, Frozen]
) -> tuple[Model, dict[int, Frozen]]:
    """The mixture after a step, and the components that keep mean and covariance: `frozen` and newly stuck ones."""
    weights, means, scatter = maximise(moments, current.means)
    scatter = scatter.with_ridge(ridge)
    stuck = {int(k): Frozen.LOST for k in np.flatnonzero(weights <= LOST_SHARE)} | dict(frozen)
    while True:
        if stuck:
            is_stuck = np.isin(np.arange(len(means)), list(stuck))
            means = np.where(is_stuck[:, None], current.means, means)
        covariances = _moved(current, engine, scatter, stuck)
        mixture = Model(weights, means, covariances, current.family)
        collapsed = (set(_noise(mixture, ridge)) | set(_singular(mixture))) - set(stuck)
        if not collapsed:
            return mixture, stuck
        stuck |= dict.fromkeys(sorted(collapsed), Frozen.COLLAPSED)


def _moved(current: Model, engine: Engine[Any], scatter: Scatter, stuck: Mapping[int, Frozen]) -> Covariances:
    """Update the covariances of the components that still move.

    Frozen components are left out of what the others share; otherwise the step could lower the likelihood.
    """
    covariances = current.covariances
    moving = [k for k in range(current.n_components) if k not in stuck]
    if not moving:
        return covariances
    if not stuck or covariances.is_shared:
        return _updated(current.family, engine, scatter, covariances)
    return covariances.put(moving, _updated(current.family, engine, scatter.part(moving), covariances.take(moving)))


def _kept(updated: Covariances, previous: Covariances, components: Places) -> Covariances:
    """Covariances in which some components have what they had; a shared one is theirs too."""
    return updated.put(components, previous.take(components))


def loss(anchor: Array, mixture: Model) -> float:
    """How many times larger second moments about the anchor are than about the means of the mixture, at most.

    Moving them takes N_k δ_k δ_kᵀ away, δ_k = mean − anchor. In whitened coordinates what remains is N_k I, so
    the factor is ‖W_k δ_k‖² of a component, and the largest eigenvalue of Σ_k π_k W δ_k δ_kᵀ Wᵀ where moments
    are pooled: at most the largest row sum of the Gram matrix.
    """
    offsets = mixture.means - anchor
    if not offsets.any():
        return 0.0
    whitened = mixture.whitening.whiten_each(offsets)
    if not mixture.covariances.is_shared:
        return float((whitened**2).sum(axis=1).max())
    scaled = whitened * np.sqrt(mixture.weights)[:, None]
    parts = pieces((len(scaled), *scaled.shape))
    return max(float(np.abs(np.einsum("ij,kj->ik", scaled[part], scaled)).sum(axis=1).max()) for part in parts)


def _updated(family: Family, engine: Engine[Any], scatter: Scatter, current: Covariances | None) -> Covariances:
    """`family.update`, by the engine where it can."""
    if family.algebra is not None and isinstance(engine, Runner):
        last = None if current is None else current.array
        return family.covariances(engine.update(family.algebra, scatter, last), *scatter.shape)
    return family.update(scatter, current)


def _fill_empty(scatter: Scatter, empty: NDArray[np.bool_]) -> Scatter:
    """Give components without mass a trace of the scatter of all: families divide by mass, and may pool."""
    if not empty.any() or scatter.need.pooled:
        return scatter
    mass, second = np.array(scatter.mass), copied(scatter.second)
    mass[empty], second[empty] = TRACE * mass.sum(), TRACE * second.sum(axis=0)
    return replace(scatter, mass=mass, second=second)


def _noise(mixture: Model, ridge: Array) -> list[int]:
    """Components whose spread in some feature is only the rounding of its mean, without a ridge to stand on."""
    if ridge.all():
        return []
    variances = mixture.covariances.variances()
    limits = (NOISE * mixture.means) ** 2
    if mixture.covariances.is_shared:  # to which all add
        limits = np.broadcast_to((mixture.weights[:, None] * limits).sum(axis=0), limits.shape)
    noise = (variances <= limits) & (ridge == 0)
    return np.flatnonzero(noise.any(axis=1)).tolist() if noise.any() else []


def _singular(mixture: Model) -> tuple[int, ...]:
    """Components without a Cholesky factor; a shared covariance stands for all of them."""
    try:
        _ = mixture.whitening
    except SingularCovariance as error:
        return tuple(range(mixture.n_components)) if mixture.covariances.is_shared else error.components
    return ()
