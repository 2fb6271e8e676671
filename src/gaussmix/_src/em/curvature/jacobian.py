"""Jacobians of covariances with respect to free parameters, such as variances, angles of axes, and loadings."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.covariances import Dense, LowRank
from gaussmix._src.errors import counted
from gaussmix._src.interfaces.algebra import Across, Algebra, FactorAlgebra
from gaussmix._src.interfaces.moment_spec import Second
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array, below_diagonal, block_diagonal
from gaussmix._src.numerics.axes import common_axes, principal_axes
from gaussmix._src.numerics.factorise import factorise

# Lower limit on the derivatives of the exponent B_k of a covariance with respect to rotation angles. Such a derivative
# is 0 if the two rotated axes have equal variances.
MIN_ROTATION_SLOPE = 1e-6
# If the standard deviation along a factor is below this fraction of the standard deviation of the noise, the direction
# of the factor is undefined.
MIN_FACTOR_SPREAD = 1e-3

VarianceBoundMasks = tuple[NDArray[np.bool_], NDArray[np.bool_]]


class NotSmooth(ValueError):
    """Error raised if standard errors can't be computed by formula; its text is the reason, without a full stop."""


@dataclass(frozen=True, eq=False)
class AxisJacobian:
    """Jacobian of the angles of axes with respect to p free parameters, for covariances whose axes rotate.

    Parameters
    ----------
    angles : derivatives of the angles of each covariance's axes, (n, n_pairs, p).
    variances : variances along the axes of each covariance, (n, n_features).
    """

    angles: Array
    variances: Array


@dataclass(frozen=True, eq=False)
class LoadingJacobian:
    """Jacobian of factor analysers with respect to free parameters θ_b, b = 1 … n_b.

    The loadings are Λ_k + Σ_b θ_b M_kb, and the noise variances are ψ_k exp(Σ_b θ_b n_kb).

    Rotations of the factors do not change the covariance. To exclude rotations, M_kb is lower triangular in a basis
    that begins with the directions of the factors, after features are divided by their noise's standard deviations.

    Parameters
    ----------
    loadings : derivatives M_kb of the loadings, (n, n_features, n_factors, n_b).
    log_noise : derivatives n_kb of the log noise variances, (n, n_features, n_b).
    """

    loadings: Array
    log_noise: Array


def covariance_jacobian(
    model: Model, structure: Algebra, is_free: Array, bounds: VarianceBoundMasks | None
) -> tuple[Array, Array, AxisJacobian | None]:
    """Return the Jacobian of all B_k (n · n_b, m), the factors W_k, and the Jacobian of axes, or None if none rotate.

    `is_free` (n,) is 0 for fixed or frozen covariances, and 1 otherwise. `Coordinates` defines B_k and W_k.
    """
    n, d, second = len(is_free), model.n_features, model.covariances.second
    is_rotated, orientation = structure.shape is not structure.orientation, structure.orientation
    diagonal_blocks = _diagonal_jacobian(n, d, structure.volume, structure.shape, second)
    if bounds is not None:
        diagonal_blocks = _bounded_diagonal_jacobian(bounds[0] | bounds[1])
        is_rotated, orientation = True, Across.OWN
    factors, axes, blocks = _whitening_factors(model), None, diagonal_blocks
    if second is Second.FULL and is_rotated and d > 1:
        factors, variances = _axis_whitening_factors(model, has_common_axes=orientation is Across.EQUAL)
        level = variances if bounds is None else _equalise_bounded_variances(variances, bounds)
        pair_blocks, rotations = _rotation_jacobian(level, is_free * (model.weights if n > 1 else 1.0), orientation)
        blocks = block_diagonal(diagonal_blocks, pair_blocks)
        unrotated = np.zeros((n, rotations.shape[1], diagonal_blocks.shape[2]))
        axes = AxisJacobian(is_free[:, None, None] * np.concatenate((unrotated, rotations), 2), variances)
    elif second is Second.FULL:
        blocks = block_diagonal(diagonal_blocks, _expand_columns(n, np.eye(d * (d - 1) // 2), structure.orientation))
    blocks = is_free[:, None, None] * blocks
    retained = (blocks != 0).any(axis=(0, 1))
    jacobian = blocks[:, :, retained].reshape(blocks.shape[0] * blocks.shape[1], int(retained.sum()))
    return jacobian, factors, None if axes is None else replace(axes, angles=axes.angles[:, :, retained])


def _diagonal_jacobian(n_covariances: int, n_features: int, volume: Across, shape: Across, form: Second) -> Array:
    """Return the Jacobian of the diagonals of B_k, (n, n_b, …): columns for the volume, then columns for the shape."""
    if form is Second.TRACE:
        return _expand_columns(n_covariances, np.ones((1, 1)), volume)
    if volume is shape:
        return _expand_columns(n_covariances, np.eye(n_features), volume)
    equal = np.full(n_features, 1 / math.sqrt(n_features))
    volume_columns = _expand_columns(n_covariances, equal[:, None], volume)
    if shape is Across.NOTHING or n_features == 1:
        return volume_columns
    return np.concatenate((volume_columns, _expand_columns(n_covariances, orthogonal_complement(equal), shape)), axis=2)


def _bounded_diagonal_jacobian(is_met: NDArray[np.bool_]) -> Array:
    """Return the Jacobian of diagonals, (n, n_b): one column for all variances at a bound, then the free variances."""
    together = is_met[:, :, None] / math.sqrt(is_met.sum())
    return np.concatenate((together, np.eye(is_met.size)[:, ~is_met.ravel()].reshape(*is_met.shape, -1)), axis=2)


def _equalise_bounded_variances(variances: Array, bounds: VarianceBoundMasks) -> Array:
    """Set the variances at each bound to the same value, so that rotations of their axes are not free parameters."""
    low, high = bounds
    level = np.where(high, variances.max(), variances)
    return np.where(low, variances.min(), level)


def _rotation_jacobian(variances: Array, covariance_weights: Array, orientation: Across) -> tuple[Array, Array]:
    """Return the Jacobians of the entries of B_k below the diagonal, and of the angles, (n, n_pairs, …) each.

    To first order, rotating axes with variances v by Ω changes B_ij by (√(v_j / v_i) − √(v_i / v_j)) Ω_ij.
    """
    n, d = variances.shape
    rows, columns = below_diagonal(d)
    ratios = np.sqrt(variances[:, columns] / variances[:, rows])
    slopes = ratios - 1 / ratios
    if orientation is Across.EQUAL:
        size = np.sqrt((covariance_weights[:, None] * slopes**2).sum(axis=0) / (covariance_weights.sum() or 1.0))
        angles = _expand_columns(n, np.diag(1 / np.maximum(size, MIN_ROTATION_SLOPE)), orientation)
    else:
        angles = _expand_columns(n, np.eye(len(rows)), orientation)
        angles = angles / np.maximum(np.abs(slopes), MIN_ROTATION_SLOPE)[:, :, None]
    return slopes[:, :, None] * angles, angles


def loading_jacobian(
    model: Model, structure: FactorAlgebra, is_free: Array, is_at_bound: NDArray[np.bool_]
) -> tuple[Array, LoadingJacobian, Array]:
    """Return W_k (n, n_features, n_features), the Jacobian of loadings and noise, and the Jacobian of all B_k.

    `is_free` (n,) is 0 for fixed or frozen covariances, and 1 otherwise. The noise variances in the mask `is_at_bound`
    (n, n_features) are not free, unless they equal a noise variance that is not at its bound. Each coordinate is scaled
    so that its largest effect on a single B_k has the norm 1. Coordinates that change no B_k are left out.
    """
    covariances = model.covariances
    assert isinstance(covariances, LowRank), "a structure with loadings has low-rank covariances"
    (n, d), n_factors = covariances.noise.shape, covariances.loadings.shape[2]
    loadings = _loading_columns(covariances, are_equal=structure.loadings is Across.EQUAL)
    noise = _expand_columns(n, np.ones((d, 1)) if structure.is_isotropic else np.eye(d), structure.noise)
    if loadings.shape[2] + noise.shape[2] != model.family.n_parameters(model.n_components, d):
        raise NotSmooth(f"the covariances do not determine the loadings of {counted(n_factors, 'factor')}")
    loadings, noise = np.split(block_diagonal(loadings, noise), [d * n_factors], axis=1)
    loadings = (is_free[:, None, None] * loadings).reshape(n, d, n_factors, -1)
    noise = is_free[:, None, None] * noise * (noise * ~is_at_bound[..., None]).any(axis=(0, 1))
    factors, _, failed = factorise(covariances.to_simple_form().each)
    if failed.any():
        raise NotSmooth("a covariance is singular")
    covariance_parts = zip(factors, covariances.each, loadings, noise, strict=True)
    blocks = np.array([_basis_coordinates(exponent_derivatives(*parts)) for parts in covariance_parts])
    size = np.sqrt((blocks**2).sum(axis=1).max(axis=0))
    retained = size > 0
    loadings, noise, blocks = (result[..., retained] / size[retained] for result in (loadings, noise, blocks))
    return factors, LoadingJacobian(loadings, noise), blocks.reshape(math.prod(blocks.shape[:2]), blocks.shape[2])


def _loading_columns(covariances: LowRank, *, are_equal: bool) -> Array:
    """Return the derivatives (n, n_features × n_factors, n_free) of the loadings by free coordinates, not rotations.

    Raises `NotSmooth` if the loadings of a factor are almost 0. `are_equal` states whether components share loadings.
    """
    loadings, scale = covariances.loadings, covariances.noise
    if are_equal:  # any scale of the features defines a basis for the shared loadings
        loadings, scale = loadings[:1], scale.mean(axis=0, keepdims=True)
    deviations = np.sqrt(scale)
    directions, spread, right = np.linalg.svd(loadings / deviations[..., None])
    if spread.min() < MIN_FACTOR_SPREAD:
        raise NotSmooth("the loadings of some factor are almost 0")
    each = np.array([_loading_directions(*parts) for parts in zip(deviations, directions, right, strict=True)])
    return np.broadcast_to(each, (len(covariances.noise), *each.shape[1:])) if are_equal else _separate_columns(each)


def _loading_directions(deviations: Array, directions: Array, right: Array) -> Array:
    """Return directions (n_features × n_factors, …) in which loadings can change, except rotations of the factors.

    `deviations` (n_features,) are standard deviations of the noise. `directions`, U (n_features, n_features), and
    `right`, Vᵀ (n_factors, n_factors), are from the singular value decomposition of loadings divided by these standard
    deviations. `LoadingJacobian` explains how rotations are excluded.
    """
    d, q = len(directions), len(right)
    columns = [(directions[:, i], j) for j in range(q) for i in range(j, d)]
    result = np.array([(column * deviations)[:, None] * right[j] for column, j in columns])
    return result.reshape(len(columns), d * q).T


def _separate_columns(columns: Array) -> Array:
    """Expand the columns (n, m, c) to separate coordinates for each component, (n, m, n × c)."""
    n, m, c = columns.shape
    own = np.zeros((n, m, n, c))
    own[np.arange(n), :, np.arange(n)] = columns
    return own.reshape(n, m, n * c)


def exponent_derivatives(factor: Array, covariance: Array, loadings: Array, log_noise: Array) -> Array:
    """Return the derivatives of the exponent B of one covariance Λ Λᵀ + diag(ψ), (n_b, n_features, n_features).

    The derivative is W (M Λᵀ + Λ Mᵀ + diag(n ψ)) Wᵀ for a coordinate that changes the loadings by M and log ψ by n.

    Parameters
    ----------
    factor : whitening factor W of the covariance, (n_features, n_features).
    covariance : loadings Λ, followed by the column ψ, (n_features, n_factors + 1).
    loadings, log_noise : derivatives M and n for one covariance, as in `LoadingJacobian`.
    """
    whitened_change = np.einsum("ij,jqb->bqi", factor, loadings)
    crossed = np.einsum("bqi,jq->bij", whitened_change, np.einsum("ij,jq->iq", factor, covariance[:, :-1]))
    scaled = (log_noise * covariance[:, -1:]).T[:, None, :] * factor
    return np.asarray(crossed + crossed.swapaxes(1, 2) + np.einsum("bij,kj->bik", scaled, factor))


def _basis_coordinates(matrices: Array) -> Array:
    """Return the coordinates ½ tr(E_b M), (n_b, m), of symmetric matrices M (m, d, d) in the basis E_b."""
    rows, columns = below_diagonal(matrices.shape[1])
    diagonals = np.einsum("bii->ib", matrices) / math.sqrt(2)
    return np.concatenate((diagonals, matrices[:, rows, columns].T))


def _expand_columns(n_covariances: int, columns: Array, sharing: Across) -> Array:
    """Expand columns (m, c) to (n, m, …), so that n covariances share coordinates or not, depending on `sharing`."""
    if sharing is Across.EQUAL or n_covariances == 1:
        return np.broadcast_to(columns, (n_covariances, *columns.shape))
    if sharing is Across.NOTHING:
        return np.zeros((n_covariances, len(columns), 0))
    return _separate_columns(np.broadcast_to(columns, (n_covariances, *columns.shape)))


def orthogonal_complement(unit_vector: Array) -> Array:
    """Return orthonormal columns (n, n − 1) that are orthogonal to a unit vector, by a Householder reflection."""
    mirror = np.array(unit_vector)
    mirror[0] += 1.0  # loses no digits, because the first entry is never negative here
    reflection: Array = np.eye(len(unit_vector)) - mirror[:, None] * (mirror * (2 / (mirror**2).sum()))
    return reflection[:, 1:]


def _whitening_factors(model: Model) -> Array:
    """Return the whitening factors W_k, as matrices, or as numbers per feature or per component."""
    factors = model.whitening.factors
    return factors if isinstance(model.covariances, Dense) else factors.reshape((len(factors), -1))


def _axis_whitening_factors(model: Model, *, has_common_axes: bool) -> tuple[Array, Array]:
    """Return W_k = diag(v_k)^(−½) D_kᵀ for common or component-specific axes D_k, and the variances v_k."""
    covariances = model.covariances.each
    if has_common_axes:
        axes = common_axes(covariances)
        products = covariances @ axes
        variances = np.einsum("kij,ij->kj", products, axes)
        each = np.broadcast_to(axes, covariances.shape)
    else:
        variances, each = principal_axes(covariances)
    if not (variances > 0).all():
        raise NotSmooth("a covariance is singular along an axis")
    return each.swapaxes(1, 2) / np.sqrt(variances)[:, :, None], variances
