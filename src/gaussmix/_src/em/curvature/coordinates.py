"""Coordinates, one per free parameter, of the models near a given model, which has the coordinates 0.

Let L_k L_kᵀ be the covariance of component k in the given model. In a model near the given model, the covariance of
component k is Σ_k = L_k exp(B_k) L_kᵀ, and the mean has moved by L_k a_k. Because a_k and B_k are relative to the
covariance L_k L_kᵀ, the expected information of a row whose component is known is the identity matrix, whatever the
units of the data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.covariances import LowRank
from gaussmix._src.covariances.dense import composed, squared
from gaussmix._src.em.curvature import jacobian as jacobians
from gaussmix._src.em.curvature.jacobian import AxisJacobian, LoadingJacobian, NotSmooth, VarianceBoundMasks
from gaussmix._src.em.objective.objective import Objective
from gaussmix._src.em.objective.trace import FreezeReason, Trace
from gaussmix._src.em.priors.posterior import PosteriorObjective, WeightUpdate
from gaussmix._src.families.base import Family
from gaussmix._src.interfaces.algebra import FactorAlgebra
from gaussmix._src.interfaces.moment_spec import Second
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array, Indices, below_diagonal, block_diagonal
from gaussmix._src.numerics.axes import principal_axes
from gaussmix._src.numerics.elementary import exponential
from gaussmix._src.numerics.threads import cached_property

# A weight counts as being at its lower bound if it is at most the bound times this factor.
WEIGHT_BOUND_FACTOR = 1 + 1e-9
MAX_COORDINATES = 4_000  # maximum number of coordinates; an information matrix of this size takes 128 MB
# A weight of the noise component below this value is converging to 0 and is not a free parameter.
MIN_NOISE_WEIGHT = 1e-9
MAX_BOUND_FRACTION = 1e-5  # see `find_noise_at_bound`
_MAX_LOGIT = 600.0  # limit on the logit of the noise weight, so that its odds do not overflow or underflow


@dataclass(frozen=True, eq=False)
class FreeWeightGroup:
    """Group of weights whose sum is fixed, and the columns of the Jacobian for these weights.

    Parameters
    ----------
    members : indices of the weights in the group; the noise component has the last index.
    jacobian_columns : columns of the Jacobian that belong to the group.
    has_weight_prior : whether a prior on the weights applies to the group.
    """

    members: Indices
    jacobian_columns: slice
    has_weight_prior: bool


@dataclass(frozen=True, eq=False)
class Coordinates:
    """Coordinates θ (p,) of the models near `model`, which is at θ = 0. The module docstring defines a_k and B_k.

    Parameters
    ----------
    model : model at θ = 0.
    weight_groups : groups of free weights.
    jacobian : derivatives, with respect to θ, of all log weights, all a_k, and the coordinates of all B_k, in this
        order, (n_all, p).
    whitening_factors : whitening factors W_k = L_k⁻¹ of the covariances: matrices, arrays (…, n_features) for diagonal
        covariances, or numbers for spherical covariances.
    axes : the Jacobian, with respect to θ, of the angles of axes that rotate, because `jacobian` describes the B_k of
        rotating axes only to first order; None if no axes rotate.
    loadings : the Jacobian of loadings and noise variances with respect to their coordinates, which come last in θ,
        because `jacobian` describes the B_k of factor analysers only to first order; None for other structures.
    variances_at_bounds : two masks, (n, n_values) each, of the variances along the axes: at the lower bound, and at the
        upper bound. All variances at a bound share one coordinate. None if no variance is at a bound.
    """

    model: Model
    weight_groups: tuple[FreeWeightGroup, ...]
    jacobian: Array
    whitening_factors: Array
    axes: AxisJacobian | None = None
    loadings: LoadingJacobian | None = None
    variances_at_bounds: VarianceBoundMasks | None = None

    @classmethod
    def at_model(cls, model: Model, objective: Objective, trace: Trace) -> Coordinates:
        """Make the coordinates of the models that EM can reach, or raise `NotSmooth` if no coordinates exist."""
        why = unsupported_reason(model.family, model.n_components, model.n_features)
        if why:
            raise NotSmooth(why)
        weights = objective.weight_update if isinstance(objective, PosteriorObjective) else WeightUpdate()
        fixed_means = set(objective.fixed_mean_components) if isinstance(objective, PosteriorObjective) else set()
        empty = {k for k, why in trace.frozen_components.items() if why is FreezeReason.EMPTY}
        weight_rows, groups = _weight_jacobian(model, weights, empty)
        K, d, is_shared = model.n_components, model.n_features, model.covariances.is_shared
        moving = np.array([k not in trace.frozen_components and k not in fixed_means for k in range(K)])
        mean_rows = np.eye(K * d)[:, np.repeat(moving, d)]
        frozen = {*objective.fixed_covariance_components, *(() if is_shared else trace.frozen_components)}
        free = np.array([float(k not in frozen) for k in range(1 if is_shared else K)])
        algebra, bounds = model.family.free_algebra, find_variances_at_bounds(model)
        assert algebra is not None, "`unsupported_reason` excludes this structure"
        if bounds is not None and trace.frozen_components:
            raise NotSmooth(f"the structure {model.family!r} bounds the variances, and components are frozen")
        if isinstance(algebra, FactorAlgebra):
            at_bound = find_noise_at_bound(model, objective)
            factors, loadings, blocks = jacobians.loading_jacobian(model, algebra, free, at_bound)
            return cls(model, groups, block_diagonal(weight_rows, mean_rows, blocks), factors, loadings=loadings)
        blocks, factors, axes = jacobians.covariance_jacobian(model, algebra, free, bounds)
        jacobian = block_diagonal(weight_rows, mean_rows, blocks)
        if axes is not None:
            # Angles do not depend on the coordinates of weights and means.
            zeros = np.zeros((*axes.angles.shape[:2], jacobian.shape[1] - blocks.shape[1]))
            axes = replace(axes, angles=np.concatenate((zeros, axes.angles), axis=2))
        return cls(model, groups, jacobian, factors, axes, variances_at_bounds=bounds)

    @property
    def n_parameters(self) -> int:
        """Return the number of free parameters."""
        return int(self.jacobian.shape[1])

    @property
    def covariance_form(self) -> Second:
        """Return the second moments (FULL, DIAGONAL or TRACE) from which changes of covariances are computed."""
        second = self.model.covariances.second
        return Second.FULL if second is Second.PROJECTED else second

    @property
    def n_weights(self) -> int:
        """Return the number of weights: one per component, plus 1 for a noise component."""
        return self.model.n_components + (self.model.noise is not None)

    @property
    def n_covariances(self) -> int:
        """Return the number of covariances, which is 1 if all components share a covariance."""
        return len(self.whitening_factors)

    def covariance_index(self, component: int) -> int:
        """Return the index of a component's covariance, which is 0 if all components share a covariance."""
        return component if self.n_covariances > 1 else 0

    @cached_property
    def symmetric_basis(self) -> Array:
        """Return a basis E_b, (n_b, d, d), of symmetric matrices B = Σ_b β_b E_b, scaled so that ½ tr E_b² = 1."""
        d, second = self.model.n_features, self.covariance_form
        if second is Second.TRACE:
            return math.sqrt(2 / d) * np.eye(d)[None]
        diagonals = math.sqrt(2) * np.eye(d)[:, :, None] * np.eye(d)[:, None, :]
        if second is Second.DIAGONAL:
            return diagonals
        rows, columns = below_diagonal(d)
        off = np.zeros((len(rows), d, d))
        off[np.arange(len(rows)), rows, columns] = off[np.arange(len(rows)), columns, rows] = 1.0
        return np.concatenate((diagonals, off))

    @cached_property
    def inverse_factors(self) -> Array:
        """Return the inverse factors L_k = W_k⁻¹, in the form of `whitening_factors`."""
        factors = self.whitening_factors
        return 1 / factors if factors.ndim < 3 else np.asarray(np.linalg.inv(factors), np.float64)

    def whiten(self, component: int, offsets: Array) -> Array:
        """Return W_k u for each row u of `offsets` (n_rows, n_features), bit-identical on every processor."""
        factor = self.whitening_factors[self.covariance_index(component)]
        if factor.ndim < 2:
            return (factor[:, None] * offsets.T).T
        columns = np.zeros((len(factor), len(offsets)))
        for row, column in zip(factor, columns, strict=True):
            for j in np.flatnonzero(row):
                column += row[j] * offsets[:, j]
        return columns.T

    def model_at(self, point: Array) -> Model:
        """Return the model with the coordinates θ = `point`."""
        model = self.model
        ends = [self.n_weights, self.n_weights + model.means.size]
        _, mean_changes, covariance_changes = np.split((self.jacobian * point).sum(axis=1), ends)
        weights = model.all_weights
        for group in self.weight_groups:
            members, total = group.members, weights[group.members].sum()
            log_changes = (self.jacobian[members, group.jacobian_columns] * point[group.jacobian_columns]).sum(axis=1)
            if group.has_weight_prior:  # such a group does not contain the noise component
                raised = weights[members] * exponential(log_changes - log_changes.max())
                weights = np.array(weights)
                weights[members] = raised * (total / raised.sum())
            else:
                logit = math.log(weights[-1] / (1 - weights[-1])) + float(log_changes[-1] - log_changes[0])
                odds = float(exponential(np.clip(logit, -_MAX_LOGIT, _MAX_LOGIT)))
                weights = weights / (1 - weights[-1]) / (1 + odds)
                weights[-1] = odds / (1 + odds)
        noise = None if model.noise is None else model.noise.with_weight(float(weights[-1]))
        colours, means = self.inverse_factors, np.array(model.means)
        for k, offset in enumerate(mean_changes.reshape(means.shape)):
            colour = colours[self.covariance_index(k)]
            means[k] += colour * offset if colour.ndim < 2 else (colour * offset).sum(axis=1)
        if self.loadings is None:
            array = self._covariances_at(point, covariance_changes.reshape(self.n_covariances, -1), colours)
        else:
            array = self._factor_analysers_at(point, self.loadings)
        return Model.from_arrays(weights[: model.n_components], means, array, model.family, noise)

    def _factor_analysers_at(self, point: Array, loading_jacobian: LoadingJacobian) -> Array:
        result = np.array(self.model.covariances.each)
        own = point[self.n_parameters - loading_jacobian.log_noise.shape[-1] :]
        result[..., :-1] += (loading_jacobian.loadings * own).sum(axis=-1)
        result[..., -1] *= exponential((loading_jacobian.log_noise * own).sum(axis=-1))
        return result

    def _covariances_at(self, point: Array, exponent_coordinates: Array, inverse_factors: Array) -> Array:
        d, second = self.model.n_features, self.model.covariances.second
        if second is Second.TRACE:
            return inverse_factors[:, 0] ** 2 * exponential(math.sqrt(2 / d) * exponent_coordinates[:, 0])
        if second is Second.DIAGONAL:
            return inverse_factors**2 * exponential(math.sqrt(2) * exponent_coordinates)
        if self.axes is None:
            exponents = (0.5 * exponent_coordinates[:, :, None, None] * self.symmetric_basis).sum(axis=1)
            values, axes = np.linalg.eigh(exponents)
            return squared(inverse_factors @ (axes * exponential(values)[:, None, :] @ axes.swapaxes(1, 2)))
        generators = np.zeros((len(exponent_coordinates), d, d))
        rows, columns = below_diagonal(d)
        generators[:, rows, columns] = (self.axes.angles * point).sum(axis=2)
        generators = generators - generators.swapaxes(1, 2)
        # Cayley's transform of Ω is a rotation, which differs from exp Ω only by terms of third order.
        rotations = np.linalg.solve(np.eye(d) - 0.5 * generators, np.eye(d) + 0.5 * generators)
        axes = inverse_factors / np.sqrt(self.axes.variances)[:, None, :]
        return composed(axes @ rotations, self.axes.variances * exponential(math.sqrt(2) * exponent_coordinates[:, :d]))


def unsupported_reason(family: Family, n_components: int, n_features: int) -> str:
    """Return why mixtures of this structure and size have no coordinates; "" if they have coordinates."""
    if family.free_algebra is None:
        return f"there is no formula for the structure {family!r}"
    n_values = (1 if family.is_shared else n_components) * family.kind.second.n_values(n_features)
    if n_components * (1 + n_features) + n_values > MAX_COORDINATES:
        return f"a mixture of this size has more than {MAX_COORDINATES:,} parameters"
    return ""


def find_variances_at_bounds(model: Model) -> VarianceBoundMasks | None:
    """Return masks of the variances that are at the structure's lower and upper bound; None if there are no bounds."""
    if not model.family.is_bounded:
        return None
    each = model.covariances.each
    return model.family.at_bound(principal_axes(each)[0] if each.ndim == 3 else each.reshape(len(each), -1))


def find_noise_at_bound(model: Model, objective: Objective) -> NDArray[np.bool_]:
    """Return a mask (n, n_features) of the noise variances of factor analysers that converge to their lower bound 0.

    Without a ridge, a noise variance is at its bound if it is below `MAX_BOUND_FRACTION` of the feature's conditional
    variance, given the other features. Its standard error is then far larger than the noise variance itself.
    """
    if not isinstance(model.covariances, LowRank):
        return np.zeros(model.means.shape, dtype=np.bool_)
    fractions = model.covariances.noise * model.whitening.precision_diagonals()
    return (fractions < MAX_BOUND_FRACTION) & (objective.ridge == 0)


def are_bounds_equal(one: VarianceBoundMasks | None, other: VarianceBoundMasks | None) -> bool:
    """Return whether the same variances are at their bounds in two models."""
    if one is None or other is None:
        return one is other
    return all(np.array_equal(*pair) for pair in zip(one, other, strict=True))


def _weight_jacobian(
    model: Model, weight_update: WeightUpdate, empty: set[int]
) -> tuple[Array, tuple[FreeWeightGroup, ...]]:
    """Return the Jacobian of the log weights, (n_weights, …), and the groups of free weights.

    Let π_k be the weights of a group, divided by their sum. A column v of the group satisfies Σ π_k v_k = 0, so that
    the sum of the weights does not change, and Σ π_k v_k² = 1, so that its information is 1 per row of the group's
    components. Different columns satisfy Σ π_k u_k v_k = 0. `empty` contains the components without rows, whose weights
    are not free.
    """
    K, noise, mean_weights = model.n_components, model.noise, model.without_noise.weights
    jacobian, groups = np.zeros((K + (noise is not None), 0)), list[FreeWeightGroup]()
    if noise is not None and MIN_NOISE_WEIGHT < noise.weight < 1:
        change = np.full(K + 1, -noise.weight)
        change[K] += 1.0
        groups.append(FreeWeightGroup(np.arange(K + 1), slice(0, 1), False))
        jacobian = change[:, None] / math.sqrt(noise.weight * (1 - noise.weight))
    fixed = range(K) if weight_update.is_equal else weight_update.fixed_weights
    is_free = np.array([k not in empty and k not in fixed for k in range(K)])
    members = np.flatnonzero(is_free & (mean_weights > WEIGHT_BOUND_FACTOR * weight_update.min_weight))
    if len(members) > 1:
        roots = np.sqrt(mean_weights[members] / mean_weights[members].sum())
        changes = np.zeros((len(jacobian), len(members) - 1))
        changes[members] = jacobians.orthogonal_complement(roots) / roots[:, None]
        first = jacobian.shape[1]
        groups.append(FreeWeightGroup(members, slice(first, first + len(members) - 1), True))
        jacobian = np.concatenate((jacobian, changes), axis=1)
    return jacobian, tuple(groups)
