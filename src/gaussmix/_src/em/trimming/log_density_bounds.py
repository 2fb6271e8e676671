"""Bounds on how much log densities decrease from one mixture to the next, so that trimming can skip most rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.interfaces.whitening.base import FactorShape
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.threads import one_blas_thread

# Log densities under components that are far from a row are not bounded, because these components contribute at most
# this fraction to the density of the row.
MAX_UNBOUNDED_FRACTION = 1e-6


def bound_log_densities(before: Parameters, after: Parameters) -> Callable[[Array], Array] | None:
    """Return a function that converts lower bounds on log densities before a step to lower bounds after the step.

    The result is None if there is no useful bound. Let r = ‖W (x − μ)‖ be the distance of a row x from a component with
    mean μ and whitening factor W before the step. With the mean μ' and the whitening factor W' after the step, the
    distance is at most a r + b, where a = ‖W' W⁻¹‖ and b = ‖W' (μ − μ')‖. Hence, log p(x, k) decreases by at most a
    function D(r), which increases with r. For K components, define R by R² / 2 = largest `log_scale` of `Parameters` −
    log p(x) + log K − log `MAX_UNBOUNDED_FRACTION`. Components with r > R contribute at most the fraction
    `MAX_UNBOUNDED_FRACTION` to p(x). For all other components, log p(x, k) decreases by at most D(R). Therefore, log
    p(x) also decreases by at most about D(R).
    """
    shape = before.whitening.factor_shape
    if len(before.means) != len(after.means) or shape is not after.whitening.factor_shape:
        return None
    present = np.flatnonzero(before.log_scale > -np.inf)
    if shape is FactorShape.LOW_RANK or not present.size or not np.isfinite(after.log_scale[present]).all():
        return None
    if before.log_noise_density > after.log_noise_density:
        return None
    highest = max(float(before.log_scale.max()), before.log_noise_density) + math.log(
        len(present) / MAX_UNBOUNDED_FRACTION
    )
    drop = before.log_scale[present] - after.log_scale[present]
    with np.errstate(over="ignore", invalid="ignore"):
        stretch = np.maximum(_whitening_ratios(before, after), 1.0)[present]
        shift = np.sqrt((after.whitening.whiten_each(before.means - after.means) ** 2).sum(axis=1))[present]
        # For every component, D is at most the polynomial whose coefficients are the maxima of the coefficients of all
        # components.
        quadratic, linear, constant = (
            float(each.max()) for each in (stretch**2 - 1.0, 2.0 * stretch * shift, shift**2 + 2.0 * drop)
        )
    if not math.isfinite(quadratic + linear + constant):
        return None
    return partial(_lower_bounds, highest=highest, quadratic=quadratic, linear=linear, constant=constant)


def _lower_bounds(log_density: Array, highest: float, quadratic: float, linear: float, constant: float) -> Array:
    """Return lower bounds on log densities after a step, given `highest` and the coefficients of a bound on D."""
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.maximum(2.0 * (highest - log_density), 0.0)
        fallen = quadratic * squares + linear * np.sqrt(squares) + constant
        result = log_density - np.maximum(0.5 * fallen + 2.0 * MAX_UNBOUNDED_FRACTION, 0.0)
    return np.where(np.isnan(result), -np.inf, result)


@one_blas_thread()
def _whitening_ratios(before: Parameters, after: Parameters) -> Array:
    """Return the norm ‖W'_k W_k⁻¹‖ of each component's whitening factors after (W') and before (W) a step."""
    old, new = before.whitening, after.whitening
    if old.factor_shape is not FactorShape.TRIANGULAR:
        ratios = np.abs(new.factors / old.factors).reshape(max(len(old.factors), len(new.factors)), -1)
        return np.broadcast_to(ratios.max(axis=1), len(before.means))
    identity, norms = np.eye(before.means.shape[1]), np.empty(len(before.means))
    for k in range(len(norms)):
        if k == 0 or not (old.is_shared and new.is_shared):
            norms[k] = np.linalg.norm(new.whiten(k, old.colour(k, identity)), 2)
        else:
            norms[k] = norms[0]
    return norms
