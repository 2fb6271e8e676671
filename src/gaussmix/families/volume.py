"""Volumes: one for all components, or one each for components that share a shape."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gaussmix.numerics.arrays import Array

# Volumes stop when they change by less than this part. The likelihood is flat there: it can gain the square at most.
TOLERANCE = 1e-13
MOST_ROUNDS = 500
# Volumes that move by such a factor have no limit: the shape is singular, and the likelihood has no bound.
RUNAWAY = 2.0**50
RESTLESS = 0.01  # volumes that still change by more than this part in the last round have no limit


def equal_volumes(roots: Array, degrees: Array) -> Array:
    """Factors (n_components,) that turn scatters into covariances of one volume λ = Σ_k |S_k|^(1/d) / Σ_k N_k.

    Where a root |S_k|^(1/d), data units², is 0, the factor makes the plain covariance S_k / N_k, which is as singular.
    """
    usable = roots > 0
    return np.where(usable, roots.sum() / degrees.sum(), 1.0) / np.where(usable, roots, degrees)


def settled_volumes(volumes: Array, degrees: Array, n_features: int, traces: Callable[[Array], Array]) -> Array:
    """Volumes λ_k of covariances λ_k C with one C, in turns with it: Celeux & Govaert (1995) section 3.1.

    Each turn is a maximisation, so none lowers the expected log-likelihood. It ends when volumes change by less than
    `TOLERANCE` of themselves. C keeps its scale meanwhile, as Σ_k N_k λ'_k / λ_k = Σ_k N_k. `volumes` (n_components,)
    are where to start, 0 for a component without scatter. `traces` gives tr C⁻¹S_k where C = Σ_k S_k / λ_k / Σ_k N_k
    has the volumes it is called with; NaN where C is singular. The result is all 0 where C is singular or volumes have
    no limit, so that covariances are singular too.
    """
    start = volumes
    for _ in range(MOST_ROUNDS):
        before, volumes = volumes, traces(volumes) / (n_features * degrees)
        if (np.abs(volumes - before) <= TOLERANCE * before).all():
            return volumes
        if not ((volumes / RUNAWAY <= start) & (volumes >= start / RUNAWAY)).all():
            return np.zeros_like(volumes)
    settles = (np.abs(volumes - before) <= RESTLESS * before).all()
    return volumes if settles else np.zeros_like(volumes)


def reciprocal(numbers: Array) -> Array:
    """1 / x, and 0 where x is not positive."""
    usable = numbers > 0
    return np.where(usable, 1.0 / np.where(usable, numbers, 1.0), 0.0)


def with_own_volumes(scatters: Array, degrees: Array, volumes: Array) -> Array:
    """Variances λ_k b_j (n_components, n_features) that fit diagonal scatters of that shape best, from volumes λ."""

    def shape(volumes: Array) -> Array:
        return (scatters * reciprocal(volumes)[:, None]).sum(axis=0) / degrees.sum()

    def traces(volumes: Array) -> Array:
        return (scatters * reciprocal(shape(volumes))).sum(axis=1)

    volumes = settled_volumes(volumes, degrees, scatters.shape[1], traces)
    return volumes[:, None] * shape(volumes)
