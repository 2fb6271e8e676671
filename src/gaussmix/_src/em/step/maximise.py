"""The M-step, which computes a model from moments; the code is the same for all covariance structures."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.covariances import Covariances
from gaussmix._src.em.objective.objective import Objective
from gaussmix._src.em.objective.trace import FreezeReason
from gaussmix._src.errors import SingularCovarianceError
from gaussmix._src.families.base import Family
from gaussmix._src.interfaces.moments import Moments, Scatter
from gaussmix._src.interfaces.parameters import MEAN_ROUNDING, MIN_COMPONENT_WEIGHT
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.einsum import einsum

# The initial weight of an empty component is this number divided by n_components.
EMPTY_COMPONENT_WEIGHT = 0.01
# An empty component gets this fraction of the scatter of all rows, which is too little to change shared covariances.
EMPTY_SCATTER_FRACTION = 2.0**-60


def maximise_likelihood(moments: Moments, default_means: Array) -> tuple[Array, Array, Scatter]:
    """Compute weights with sum 1, means, and the scatter about the new means; Bishop (2006) eq. 9.17, 9.22.

    A component without rows gets its mean from `default_means`, (n_components, n_features).
    """
    weights = moments.mass / (moments.mass.sum() or 1.0)  # the divisor is 1 if all rows are noise
    means = moments.means(default_means)
    second = moments.about(means).second
    assert second is not None
    return weights, means, Scatter(moments.mass, second, means.shape[1], moments.spec)


def initial_models(
    moments: Moments, family: Family, objective: Objective, default_means: Array, current: Covariances | None = None
) -> list[Model]:
    """Return initial models for EM: first the result of the M-step, then models with alternative covariances.

    An empty component gets its mean from `default_means` (n_components, n_features), the pooled covariance of the other
    components, and the weight `EMPTY_COMPONENT_WEIGHT` / K, so that it can still gain rows. If the M-step is iterative,
    `current` contains the covariances after the previous update, and no alternatives are returned. If a covariance is
    singular in every model, because a component has too few distinct rows, `SingularCovarianceError` is raised.
    """
    weights, means, scatter = maximise_likelihood(moments, default_means)
    empty = weights <= MIN_COMPONENT_WEIGHT
    weights = np.where(empty, EMPTY_COMPONENT_WEIGHT / len(weights), weights)
    scatter = _fill_empty_components(scatter, empty)
    weights, means, scatter = objective.constrain(weights / weights.sum(), means, scatter)
    # The means of empty components stay at `default_means`, because a prior would move them all to the prior mean.
    means = np.where(empty[:, None], default_means, means) if empty.any() else means
    first = family.update(scatter, current)
    if current is None:
        candidates = [first, *family.other_initial_covariances(scatter)]
    else:
        indices = np.flatnonzero(empty)  # empty components keep their current covariances
        candidates = [first.replace_components(indices, current.take(indices)) if indices.size else first]
    models, singular = [], set[int]()
    for covariances in candidates:
        model = Model(weights, means, covariances, family)
        collapsed = find_collapsed(model, objective)
        if not collapsed:
            models.append(model)
        singular |= collapsed
    if not models:
        raise SingularCovarianceError.from_components(sorted(singular))
    return models


def next_model(
    moments: Moments, current_model: Model, objective: Objective, frozen: Mapping[int, FreezeReason]
) -> tuple[Model, dict[int, FreezeReason]]:
    """Perform the M-step; return the new model and all frozen components, including components frozen in this step."""
    weights, means, scatter = objective.constrain(*maximise_likelihood(moments, current_model.means))
    noise = current_model.noise
    if noise is not None:
        noise = noise.with_weight(float(moments.noise_mass / (moments.noise_mass + moments.mass.sum())))
    # The test for empty components uses degrees of freedom, to which a prior may add even if a component has no rows.
    empty = scatter.degrees / (moments.mass.sum() or 1.0) <= MIN_COMPONENT_WEIGHT
    all_frozen = {int(k): FreezeReason.EMPTY for k in np.flatnonzero(empty)} | dict(frozen)
    while True:
        if all_frozen:
            is_frozen = np.isin(np.arange(len(means)), list(all_frozen))
            means = np.where(is_frozen[:, None], current_model.means, means)
        covariances = _update_covariances(current_model, scatter, {*all_frozen, *objective.fixed_covariance_components})
        model = Model(weights, means, covariances, current_model.family).with_noise(noise)
        wrong = find_collapsed(model, objective) - set(all_frozen)
        if not wrong:
            return model, all_frozen
        all_frozen |= dict.fromkeys(sorted(wrong), FreezeReason.COLLAPSED)


def _update_covariances(current_model: Model, scatter: Scatter, frozen: Collection[int]) -> Covariances:
    """Update the covariances of all components except frozen and fixed components.

    If components share only a part of their covariances (such as the volume), frozen and fixed components do not
    contribute to the shared part, because a step with their contributions could lower the likelihood. If components
    share the whole covariance, all components contribute, because the scatter is already pooled.
    """
    family, covariances = current_model.family, current_model.covariances
    moving = np.delete(np.arange(current_model.n_components), list(frozen))
    if not moving.size:
        return covariances
    if covariances.is_shared or not frozen:
        return family.update(scatter, covariances)
    return covariances.replace_components(moving, family.update(scatter.part(moving), covariances.take(moving)))


def anchor_cancellation(anchor: Array, model: Model) -> float:
    """Return an upper bound on the ratio of second moments about `anchor` to second moments about the means.

    The conversion of second moments to the means subtracts N_k δ_k δ_kᵀ with δ_k = mean − anchor. In whitened
    coordinates, the moments about the mean are N_k I, so that the ratio is ‖W_k δ_k‖². For pooled moments, the ratio is
    the largest eigenvalue of Σ_k π_k W δ_k δ_kᵀ Wᵀ, which is at most the largest row sum of the Gram matrix.
    """
    offsets = model.means - anchor
    if not offsets.any():
        return 0.0
    whitened = model.whitening.whiten_each(offsets)
    if not model.covariances.is_shared:
        return float((whitened**2).sum(axis=1).max())
    scaled = whitened * np.sqrt(model.weights)[:, None]
    return float(np.abs(einsum("ij,kj->ik", scaled, scaled)).sum(axis=1).max())


def _fill_empty_components(scatter: Scatter, empty: NDArray[np.bool_]) -> Scatter:
    """Give empty components a tiny part of the scatter of all rows, so that their covariance is the pooled covariance.

    The degrees of freedom also become positive, because covariance structures divide by these values.
    """
    if not empty.any() or scatter.spec.is_pooled:
        return scatter
    degrees, second = np.array(scatter.degrees), np.array(scatter.second)
    degrees[empty], second[empty] = EMPTY_SCATTER_FRACTION * degrees.sum(), EMPTY_SCATTER_FRACTION * second.sum(axis=0)
    return replace(scatter, degrees=degrees, second=second)


def find_collapsed(model: Model, objective: Objective) -> set[int]:
    """Return the components whose covariance is singular because they have too few distinct rows."""
    return set(_find_rounding_variances(model, objective.variance_floor)) | set(_find_singular_components(model))


def _find_rounding_variances(model: Model, variance_floor: Array) -> list[int]:
    """Return components whose variance is only rounding errors, in some feature without a lower bound on variances."""
    if variance_floor.all():
        return []
    variances = model.covariances.variances()
    if variances.min() > (MEAN_ROUNDING * np.abs(model.means).max()) ** 2:  # true for nearly all models
        return []
    limits = (MEAN_ROUNDING * model.means) ** 2
    if model.covariances.is_shared:  # a shared variance is compared with the mean of the components' limits
        limits = np.broadcast_to((model.weights[:, None] * limits).sum(axis=0), limits.shape)
    return ((variances <= limits) & (variance_floor == 0)).nonzero()[0].tolist()


def _find_singular_components(model: Model) -> tuple[int, ...]:
    """Return the components whose covariance has no Cholesky factor; if the covariance is shared, all components."""
    try:
        _ = model.whitening
    except SingularCovarianceError as error:
        return tuple(range(model.n_components)) if model.covariances.is_shared else error.components
    return ()
