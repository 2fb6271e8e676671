"""Uphill on the density of a mixture, from many rows at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gaussmix.engines import choose
from gaussmix.mixture.parts.derivatives import Derivatives
from gaussmix.numerics.arrays import Array
from gaussmix.waist.block import Block

_STEPS = 2000  # a mean shift on a ridge is slow: it makes 1% of the way a step, or less
_NEAR = 0.1  # deviations: where Newton's step may take over without leaving the hill
_SETTLED = 1e-12  # deviations
_FLAT = 1e-8  # curvature in deviations⁻² that rounding may make of none
_ASIDE = 1e-2  # deviations that a climb which ended on a saddle goes on from


def climbed(mixture: Derivatives, rows: Array) -> Array:
    """Where climbs from rows (n, d) end, (n, d).

    The mean shift goes from x to (Σ_k γ_k Σ_k⁻¹)⁻¹ Σ_k γ_k Σ_k⁻¹ μ_k; Carreira-Perpiñán (2000) eq. 8. Near its end,
    where the density is concave, Newton's step goes on, which needs a handful of steps.
    """
    rows = rows.copy()
    precisions = mixture.model.covariances.inverse().dense()
    moving = np.arange(len(rows))
    for _ in range(_STEPS):
        if not len(moving):
            break
        shift, is_settled = _step(mixture, precisions, rows[moving])
        rows[moving] += shift
        moving = moving[~is_settled]
    return rows


def _step(mixture: Derivatives, precisions: Array, rows: Array) -> tuple[Array, NDArray[np.bool_]]:
    """The next step of each climb, and whether it is the last."""
    shares = choose(None).responsibilities(Block(0, rows), mixture.parameters)
    local = np.tensordot(shares, precisions, axes=1)
    gradient = mixture.gradient(rows)
    step: Array = np.asarray(np.linalg.solve(local, gradient[..., None])[..., 0], np.float64)
    is_near = np.einsum("nd,nd->n", step, gradient) < _NEAR**2
    is_settled = np.zeros(len(rows), dtype=np.bool_)
    if is_near.any():
        step[is_near], is_settled[is_near] = _last_steps(mixture, rows[is_near], gradient[is_near], local[is_near])
    return step, is_settled


def _last_steps(mixture: Derivatives, rows: Array, gradient: Array, local: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Steps along the axes of the Hessian, in deviations by the local precision: Newton's where it is concave."""
    roots = np.linalg.cholesky(local)  # R with local precision RRᵀ: R⁻¹ H R⁻ᵀ is the Hessian in deviations
    scaled = np.linalg.solve(roots, np.linalg.solve(roots, mixture.hessian(rows)).swapaxes(1, 2))
    curvatures, axes = np.linalg.eigh(0.5 * (scaled + scaled.swapaxes(1, 2)))
    slopes = np.einsum("nde,nd->ne", axes, np.linalg.solve(roots, gradient[..., None])[..., 0])
    with np.errstate(divide="ignore", invalid="ignore"):
        newton = slopes / -curvatures
    is_newton = (curvatures < -_FLAT) & (np.abs(newton) < _NEAR)
    along = np.where(is_newton, newton, slopes)  # else the mean shift's
    is_still = np.abs(along).max(axis=1) < _SETTLED
    on_saddle = is_still & (curvatures[:, -1] > _FLAT)
    along[on_saddle, -1] = _ASIDE
    step = np.linalg.solve(roots.swapaxes(1, 2), np.einsum("nde,ne->nd", axes, along)[..., None])[..., 0]
    return step, is_still & ~on_saddle
