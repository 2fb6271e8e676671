"""Gradient and Hessian of the log density; Carreira-Perpiñán (2000), IEEE Trans. Pattern Anal. Mach. Intell. 22."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from gaussmix.engines.base import Engine
from gaussmix.mixture.parts.weighted import few_rows, mean_and_spread, weighted_mean
from gaussmix.model import Model
from gaussmix.numerics.arrays import Array, Rows
from gaussmix.waist.block import Block


def gradient(model: Model, block: Block, engine: Engine[Any]) -> Array:
    """∇ log p(x) = Σ_k γ_k g_k of each row, (n_rows, n_features), with g_k = Σ_k⁻¹ (μ_k − x) and γ_k = p(k | x)."""
    found, d = np.zeros(block.rows.shape), model.n_features
    for part, values, shared in few_rows(model.parameters, block, engine, product=d**2, array=d):
        found[part] = weighted_mean(shared, partial(_pull, model, rows=values))
    return found


def hessian(model: Model, block: Block, engine: Engine[Any]) -> Array:
    """Σ_k γ_k (g_k − g)(g_k − g)ᵀ − Σ_k γ_k Σ_k⁻¹ of each row, (n_rows, n_features, n_features), g the gradient."""
    precisions = model.covariances.inverse().dense()
    found = np.empty((block.n_rows, *precisions[0].shape))
    of_row = {"product": precisions.size, "array": precisions[0].size}
    for part, values, shared in few_rows(model.parameters, block, engine, **of_row):
        spread = mean_and_spread(shared, partial(_pull_apart, model, rows=values))[1]
        found[part] = spread - np.tensordot(shared, precisions, axes=1)
    return found


def _pull(model: Model, component: int, rows: Rows) -> Array:
    """g_k = Σ_k⁻¹ (μ_k − x) of each row, (n_rows, n_features)."""
    return model.whitening.precision_times(component, model.means[component] - rows)


def _pull_apart(model: Model, component: int, rows: Rows) -> Array:
    """g_k without what all components have in common: where they share one covariance, only the mean differs."""
    if not model.whitening.is_shared:
        return _pull(model, component, rows)
    apart = model.whitening.precision_times(component, (model.means[component] - model.means[0])[None])
    return np.broadcast_to(apart, rows.shape)
