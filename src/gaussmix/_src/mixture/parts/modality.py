"""Modes of a mixture, gradient and Hessian of its log density, and boundaries between components.

The algorithms are from Carreira-Perpiñán (2000), IEEE Transactions on Pattern Analysis and Machine Intelligence 22.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.checks import check_range
from gaussmix._src.engines.base import Engine
from gaussmix._src.interfaces.block import Block
from gaussmix._src.mixture.features import as_block
from gaussmix._src.mixture.parts.expectations import mean_and_spread, quiet, row_pieces, weighted_mean
from gaussmix._src.mixture.univariate.level_sets import extrema
from gaussmix._src.mixture.univariate.univariate_mixture import UnivariateMixture
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array, Rows

# Two end points of hill climbing count as the same mode if they are at most this number of standard deviations apart.
# The log densities of two end points at the same mode differ by at most 1e-12.
_MAX_MODE_DISTANCE = 1e-3
_OVERFLOW = "The derivatives at row {row} are beyond the range of float64: rescale the features, or leave out the row."
_MAX_SHIFTS = 2000  # largest number of hill-climbing steps; on a ridge, a step may cover less than 1 % of the way
_MAX_NEWTON_STEP = 0.1  # longest Newton step, in standard deviations; a longer one might lead to a different mode
_MAX_SHIFT = 1e-12  # standard deviations; hill climbing ends if a step is shorter than this length
_CURVATURE_ROUNDING = 1e-8  # standard deviations⁻²; a curvature up to this value may be due to rounding errors
# The outer intervals, at whose midpoints labels are computed, are longer by this fraction of the largest absolute
# boundary, so that rounding does not move a midpoint onto a boundary.
_BOUNDARY_OFFSET = 1e-6
_SADDLE_STEP = 1e-2  # length, in standard deviations, of the step away from a saddle point where hill climbing ended


@dataclass(frozen=True, eq=False)
class Modes:
    """The local maxima (modes) of a density, sorted by decreasing density.

    Parameters
    ----------
    locations : points at which the density has a local maximum, (n_modes, n_features), in data units.
    log_density : log densities at the modes, (n_modes,), in nats.
    component_index : index of the mode that hill climbing from the mean of each component reaches, (n_components,).
    """

    locations: Array
    log_density: Array
    component_index: NDArray[np.intp]


def modes(model: Model, line: UnivariateMixture | None, engine: Engine[Any]) -> Modes:
    """Return the modes reached by hill climbing from the component means, or all modes if there is one feature."""
    if line is not None:
        cuts = extrema(line)
        ends, component_index = cuts[::2, None], np.searchsorted(cuts[1::2], model.means[:, 0])
    else:
        ends, component_index = _distinct(_ascend(model, engine), np.sqrt(model.covariances.variances()))
    heights = engine.log_density(Block(0, ends), model.parameters)
    order = np.argsort(-heights, kind="stable")
    return Modes(ends[order], heights[order], np.argsort(order)[component_index])


def _ascend(model: Model, engine: Engine[Any]) -> Array:
    """Apply hill climbing to the density from the component means; return end points (n_components, n_features).

    The mean shift is the step from x to (Σ_k γ_k Σ_k⁻¹)⁻¹ Σ_k γ_k Σ_k⁻¹ μ_k; Carreira-Perpiñán (2000), eq. 8. Close to
    a mode, where the density is concave, Newton's method is used, because it converges in a few steps.
    """
    rows = model.means.copy()
    precisions = model.covariances.inverse().dense()
    moving = np.arange(len(rows))
    for _ in range(_MAX_SHIFTS):
        if not len(moving):
            break
        shift, has_converged = _step(model, engine, precisions, rows[moving])
        rows[moving] += shift
        moving = moving[~has_converged]
    return rows


def _step(model: Model, engine: Engine[Any], precisions: Array, rows: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Return the next hill-climbing step from each row, and whether the hill climbing has converged."""
    responsibilities = engine.responsibilities(Block(0, rows), model.parameters)
    local = np.tensordot(responsibilities, precisions, axes=1)
    slope = gradient(model, as_block(rows, model.n_features), engine)  # raises an error if derivatives overflow
    step: Array = np.asarray(np.linalg.solve(local, slope[..., None])[..., 0], np.float64)
    is_concave = np.einsum("nd,nd->n", step, slope) < _MAX_NEWTON_STEP**2
    has_converged = np.zeros(len(rows), dtype=np.bool_)
    if is_concave.any():
        bend = hessian(model, as_block(rows[is_concave], model.n_features), engine)
        step[is_concave], has_converged[is_concave] = _last_steps(slope[is_concave], bend, local[is_concave])
    return step, has_converged


def _last_steps(slope: Array, bend: Array, local: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Return Newton steps along concave axes of the scaled Hessian if short, and mean shifts along other axes."""
    roots = np.linalg.cholesky(local)  # matrices R; the local precision is R Rᵀ, and the scaled Hessian is R⁻¹ H R⁻ᵀ
    scaled = np.linalg.solve(roots, np.linalg.solve(roots, bend).swapaxes(1, 2))
    curvatures, axes = np.linalg.eigh(0.5 * (scaled + scaled.swapaxes(1, 2)))
    slopes = np.einsum("nde,nd->ne", axes, np.linalg.solve(roots, slope[..., None])[..., 0])
    with np.errstate(divide="ignore", invalid="ignore"):
        newton = slopes / -curvatures
    is_newton = (curvatures < -_CURVATURE_ROUNDING) & (np.abs(newton) < _MAX_NEWTON_STEP)
    along = np.where(is_newton, newton, slopes)  # the elements of `slopes` are mean-shift steps
    is_still = np.abs(along).max(axis=1) < _MAX_SHIFT
    on_saddle = is_still & (curvatures[:, -1] > _CURVATURE_ROUNDING)
    along[on_saddle, -1] = _SADDLE_STEP
    step = np.linalg.solve(roots.swapaxes(1, 2), np.einsum("nde,ne->nd", axes, along)[..., None])[..., 0]
    return step, is_still & ~on_saddle


def _distinct(ends: Array, deviations: Array) -> tuple[Array, NDArray[np.intp]]:
    """Return end points without duplicates, and for each end point the index of its representative."""
    distinct: list[int] = []
    which = np.empty(len(ends), dtype=np.intp)
    for k, end in enumerate(ends):
        is_close = np.abs(ends[distinct] - end) <= _MAX_MODE_DISTANCE * deviations.min(axis=0)
        matches = np.flatnonzero(is_close.all(axis=1))
        if not len(matches):
            distinct.append(k)
        which[k] = matches[0] if len(matches) else len(distinct) - 1
    return ends[distinct], which


@quiet
def gradient(model: Model, block: Block, engine: Engine[Any]) -> Array:
    """Return ∇ log p(x) = Σ_k γ_k g_k for each row, (n_rows, n_features), with g_k = Σ_k⁻¹ (μ_k − x)."""
    result, d = np.zeros(block.rows.shape), model.n_features
    for part, values, responsibilities in row_pieces(model.parameters, block, engine, product=d**2, array=d):
        result[part] = weighted_mean(responsibilities, partial(_pull, model, rows=values))
    return check_range(result, _OVERFLOW)


@quiet
def hessian(model: Model, block: Block, engine: Engine[Any]) -> Array:
    """Return the Hessian Σ_k γ_k (g_k − g)(g_k − g)ᵀ − Σ_k γ_k Σ_k⁻¹ of log p(x) for each row, where g = ∇ log p."""
    precisions = model.covariances.inverse().dense()
    result = np.empty((block.n_rows, *precisions[0].shape))
    sizes = {"product": precisions.size, "array": precisions[0].size}
    for part, values, responsibilities in row_pieces(model.parameters, block, engine, **sizes):
        spread = mean_and_spread(responsibilities, partial(_relative_pull, model, rows=values))[1]
        result[part] = spread - np.tensordot(responsibilities, precisions, axes=1)
    return check_range(result, _OVERFLOW)


def _pull(model: Model, component: int, rows: Rows) -> Array:
    """Return g_k = Σ_k⁻¹ (μ_k − x) of one component for each row x, (n_rows, n_features)."""
    return model.whitening.precision_times(component, model.means[component] - rows)


def _relative_pull(model: Model, component: int, rows: Rows) -> Array:
    """Return g_k plus a term that is equal for all components; with a shared Σ, the result is Σ⁻¹ (μ_k − μ_0)."""
    if not model.whitening.is_shared:
        return _pull(model, component, rows)
    gap = model.whitening.precision_times(component, (model.means[component] - model.means[0])[None])
    return np.broadcast_to(gap, rows.shape)


def decision_boundary(model: Model, engine: Engine[Any]) -> Array:
    """Return the points, in ascending order, at which the most probable component of a univariate model changes."""
    deviations = np.sqrt(model.covariances.variances()[:, 0])
    real = np.flatnonzero(model.weights)
    points = crossings(model.parameters.log_scale[real], model.means[real, 0], deviations[real])
    if not len(points):
        return points
    reach = deviations.max() + _BOUNDARY_OFFSET * np.abs(points).max()
    edges = np.concatenate([[points[0] - reach], points, [points[-1] + reach]])
    labels = engine.labels(Block(0, (edges[:-1] + 0.5 * np.diff(edges))[:, None]), model.parameters)
    return np.asarray(points[labels[1:] != labels[:-1]])


def crossings(log_scale: Array, means: Array, deviations: Array) -> Array:
    """Return all x with log π_j N_j(x) = log π_k N_k(x) for some j < k, in ascending order, without duplicates.

    The arguments are log π_k N_k(μ_k), μ_k and σ_k. Let u = (x − μ_j) / σ_j, δ = (μ_k − μ_j) / σ_j, r = σ_j / σ_k and c
    = log π_k N_k(μ_k) − log π_j N_j(μ_j). The difference of the logarithms is ½ (1 − r²) u² + r² δ u + c − ½ r² δ². The
    roots of this polynomial are computed with eq. 5.6.4 of Numerical Recipes (Press and others 2007), which avoids
    cancellation. If σ_j = σ_k, one root is infinite.
    """
    narrow_first = np.argsort(deviations, kind="stable")  # rounding errors are proportional to the smaller deviation
    log_scale, means, deviations = (array[narrow_first] for array in (log_scale, means, deviations))
    first, second = np.triu_indices(len(means), 1)
    gap = (means[second] - means[first]) / deviations[first]
    ratio = deviations[first] / deviations[second]
    rise = log_scale[second] - log_scale[first]
    square, half = 0.5 * (1 - ratio) * (1 + ratio), 0.5 * ratio**2 * gap
    unit = np.maximum(np.abs(gap), 1.0)  # divides the gap, because the square of the gap may overflow
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        root = unit * np.sqrt((0.5 * ratio * (gap / unit)) ** 2 - square * (rise / unit / unit))
        larger = -(half + np.copysign(root, half))
        steps = np.stack([larger / square, (rise / unit - half * (gap / unit)) / (larger / unit)]) * deviations[first]
    points = steps + means[first]
    rounding = 8 * np.finfo(np.float64).eps * (np.abs(steps) + np.abs(means[first]) + deviations[first])
    order = np.argsort(points, axis=None)
    order = order[np.isfinite(points.ravel()[order])]
    points, rounding = points.ravel()[order], rounding.ravel()[order]
    return points[np.diff(points, prepend=-np.inf) > rounding]  # if three densities are equal, drops duplicate points


Modes.__module__ = "gaussmix"  # the public module that exports Modes
