"""Coordinates of the models near a model, by the free parameters of its structure; the model itself is 0.

Component k has Σ_k = L_k exp(B_k) L_kᵀ and a mean that is L_k a_k away, with L_k L_kᵀ the covariance of the model. In
these units of its own, the information of rows with known components is the unit matrix, whatever the units of data.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gaussmix.covariances import Dense, LowRank
from gaussmix.covariances.dense import composed, squared
from gaussmix.em.objective import Objective
from gaussmix.em.posterior import Posterior, Shares
from gaussmix.em.trace import Frozen, Trace
from gaussmix.families.base import Family
from gaussmix.model import Model
from gaussmix.numerics.arrays import Array, Places
from gaussmix.numerics.axes import common_axes, principal_axes
from gaussmix.numerics.contract import contract
from gaussmix.numerics.elementary import exponential
from gaussmix.numerics.factorise import factorise
from gaussmix.waist.algebra import Across, FactorAlgebra
from gaussmix.waist.need import Second
from gaussmix.waist.whitening.low_rank import spectrum

LEAST_SLOPE = 1e-6  # of what a rotation changes, as a unit; axes of equal variances have no direction
AT_BOUND = 1 + 1e-9  # a weight at most so many times the least one that is allowed stays there
MOST_COORDINATES = 4_000  # the information of more has 128 MB
LEAST_SPREAD = 1e-3  # of rows along a factor, in units of the noise; a weaker factor has no direction


Bounds = tuple[NDArray[np.bool_], NDArray[np.bool_]]


class NotSmooth(ValueError):
    """A structure or a restriction has no free parameters here that the likelihood is a smooth function of."""


@dataclass(frozen=True, eq=False)
class Group:
    """Weights that share what the others leave, and the columns of their coordinates.

    Parameters
    ----------
    members : their places among the weights; the background has the last place.
    columns : of the Jacobian.
    has_prior : whether a prior of weights is about them.
    """

    members: Places
    columns: slice
    has_prior: bool


@dataclass(frozen=True, eq=False)
class Loadings:
    """How the factor analysers of components move: Λ_k + Σ_b θ_b M_kb and ψ_k exp(Σ_b θ_b n_kb).

    Factors may be turned without a change of the covariance. So along the directions of the factors, in units of the
    noise, M_kb is lower triangular.

    Parameters
    ----------
    moved : M, (n, n_features, n_factors, n_b).
    noise : n, (n, n_features, n_b).
    """

    moved: Array
    noise: Array


@dataclass(frozen=True, eq=False)
class Coordinates:
    """The coordinates θ (p,) of the models near `model`.

    Parameters
    ----------
    model : at θ = 0.
    groups : of the weights.
    jacobian : (n_all, p), from θ to the changes of all log weights, then of a_k, then of the coordinates of B_k.
    angles : (n_pairs, p) of each component, the rotation of its axes by θ; None if B_k is linear in θ.
    variances : (n_components, n_features), along these axes; None if B_k is linear in θ.
    factors : W_k = L_k⁻¹, in the form of the covariances: matrices, (…, n_features), or numbers.
    loadings : how factor analysers move by the last coordinates; B_k then is `jacobian` to first order only.
    bounds : which variances along the axes are at the lower and at the upper bound, (n, n_values) each; they have one
        coordinate together. None if no bound is met.
    """

    model: Model
    groups: tuple[Group, ...]
    jacobian: Array
    factors: Array
    angles: Array | None = None
    variances: Array | None = None
    loadings: Loadings | None = None
    bounds: Bounds | None = None

    @classmethod
    def of(cls, model: Model, objective: Objective, trace: Trace) -> Coordinates:
        """The coordinates of the models that EM moves among; raises `NotSmooth`."""
        why = refusal(model.family, model.n_components, model.n_features)
        if why:
            raise NotSmooth(why)
        shares = objective.shares if isinstance(objective, Posterior) else Shares()
        fixed_means = set(objective.fixed_means) if isinstance(objective, Posterior) else set()
        lost = {k for k, why in trace.frozen.items() if why is Frozen.LOST}
        of_weights, groups = _of_weights(model, shares, lost)
        K, d, is_shared = model.n_components, model.n_features, model.covariances.is_shared
        moving = np.array([k not in trace.frozen and k not in fixed_means for k in range(K)])
        of_means = np.eye(K * d)[:, np.repeat(moving, d)]
        stuck = set() if is_shared else {*trace.frozen, *objective.fixed_covariances}
        free = np.ones(1) if is_shared else np.array([float(k not in stuck) for k in range(K)])
        algebra, second, bounds = model.family.free_algebra, model.covariances.second, bounds_met(model)
        assert algebra is not None, "`refusal` says so"
        if bounds is not None and trace.frozen:
            raise NotSmooth(f"the structure {model.family!r} bounds the variances beside those of frozen components")
        if isinstance(algebra, FactorAlgebra):
            factors, loadings, blocks = _of_loadings(model, algebra, free)
            return cls(model, groups, _block_diagonal(of_weights, of_means, blocks), factors, loadings=loadings)
        of_diagonals = _of_diagonals(len(free), d, algebra.volume, algebra.shape, second)
        is_turned = second is Second.FULL and d > 1 and algebra.shape is not algebra.orientation
        orientation = algebra.orientation
        if bounds is not None:
            of_diagonals = _of_bounded(bounds[0] | bounds[1])
            is_turned, orientation = second is Second.FULL and d > 1, Across.OWN
        factors, angles, variances = _factors(model), None, None
        if second is not Second.FULL:
            blocks = free[:, None, None] * of_diagonals
        elif is_turned:
            factors, variances = _turned_factors(model, is_common=orientation is Across.EQUAL)
            level = variances if bounds is None else _levelled(variances, bounds)
            of_pairs, turns = _of_turns(level, free * model.weights if len(free) > 1 else free, orientation)
            blocks = free[:, None, None] * _beside(of_diagonals, of_pairs)
            angles = free[:, None, None] * np.concatenate(
                (np.zeros((len(free), turns.shape[1], of_diagonals.shape[2])), turns), 2
            )
        else:
            blocks = free[:, None, None] * _beside(
                of_diagonals, _across(len(free), np.eye(d * (d - 1) // 2), algebra.orientation)
            )
        kept = (blocks != 0).any(axis=(0, 1))
        blocks = blocks[:, :, kept]
        n_numbers = blocks.shape[0] * blocks.shape[1]
        jacobian = _block_diagonal(of_weights, of_means, blocks.reshape(n_numbers, blocks.shape[2]))
        if angles is not None:
            before = jacobian.shape[1] - blocks.shape[2]
            angles = np.concatenate((np.zeros((*angles.shape[:2], before)), angles[:, :, kept]), axis=2)
        return cls(model, groups, jacobian, factors, angles, variances, bounds=bounds)

    @property
    def size(self) -> int:
        """The number of free parameters."""
        return int(self.jacobian.shape[1])

    @property
    def second(self) -> Second:
        """The second moments that say how the covariances move."""
        second = self.model.covariances.second
        return Second.FULL if second is Second.PROJECTED else second

    @property
    def n_weights(self) -> int:
        """Components, and the background if there is one."""
        return self.model.n_components + (self.model.noise is not None)

    @property
    def n_covariances(self) -> int:
        """1 if all components have the same covariance."""
        return len(self.factors)

    @cached_property
    def basis(self) -> Array:
        """Symmetric matrices E_b (n_b, d, d) with B = Σ_b β_b E_b and ½ tr E_b² = 1."""
        d, second = self.model.n_features, self.second
        if second is Second.TRACE:
            return math.sqrt(2 / d) * np.eye(d)[None]
        diagonals = math.sqrt(2) * np.eye(d)[:, :, None] * np.eye(d)[:, None, :]
        if second is Second.DIAGONAL:
            return diagonals
        rows, columns = pairs(d)
        off = np.zeros((len(rows), d, d))
        off[np.arange(len(rows)), rows, columns] = off[np.arange(len(rows)), columns, rows] = 1.0
        return np.concatenate((diagonals, off))

    @cached_property
    def colours(self) -> Array:
        """L_k = W_k⁻¹, in the form of `factors`."""
        return 1 / self.factors if self.factors.ndim < 3 else np.asarray(np.linalg.inv(self.factors), np.float64)

    def whiten(self, component: int, offsets: Array) -> Array:
        """W_k u of each row u (n_rows, n_features)."""
        columns = np.empty((offsets.shape[1], len(offsets)))
        self.whiten_columns(component, offsets.T, columns)
        return columns.T

    def whiten_columns(self, component: int, offsets: Array, out: Array) -> None:
        """Write W_k u of each column u (n_features, n_rows) to `out`, without BLAS, which has bits of its own."""
        factor = self.factors[component if len(self.factors) > 1 else 0]
        if factor.ndim < 2:
            np.multiply(factor[:, None], offsets, out=out)
            return
        for row, line in zip(factor, out, strict=True):
            line[:] = 0.0
            for j in np.flatnonzero(row):
                line += row[j] * offsets[j]

    def at(self, point: Array) -> Model:
        """The model with the coordinates θ."""
        model = self.model
        ends = [self.n_weights, self.n_weights + model.means.size]
        _, of_means, of_covariances = np.split((self.jacobian * point).sum(axis=1), ends)
        weights = model.all_weights
        for group in self.groups:
            mine, total = group.members, weights[group.members].sum()
            moved = (self.jacobian[mine, group.columns] * point[group.columns]).sum(axis=1)
            if group.has_prior:  # the components; `beside` gives them what the background leaves
                raised = weights[mine] * exponential(moved - moved.max())
                weights = np.array(weights)
                weights[mine] = raised * (total / raised.sum())
            else:
                odds = float(weights[-1] / (1 - weights[-1]) * math.exp(float(moved[-1] - moved[0])))
                weights = weights * ((1 - odds / (1 + odds)) / (1 - weights[-1]))
                weights[-1] = odds / (1 + odds)
        noise = None if model.noise is None else model.noise.weighing(float(weights[-1]))
        colours, means = self.colours, np.array(model.means)
        for k, offset in enumerate(of_means.reshape(means.shape)):
            colour = colours[k if len(colours) > 1 else 0]
            means[k] += colour * offset if colour.ndim < 2 else (colour * offset).sum(axis=1)
        if self.loadings is None:
            array = self._covariances_at(point, of_covariances.reshape(self.n_covariances, -1), colours)
        else:
            array = self._loadings_at(point, self.loadings)
        covariances = model.family.covariances(array.reshape(model.covariances.array.shape), *means.shape)
        return Model(weights[: model.n_components], means, covariances, model.family, noise)

    def _loadings_at(self, point: Array, loadings: Loadings) -> Array:
        found = np.array(self.model.covariances.each)
        own = point[self.size - loadings.noise.shape[-1] :]
        found[..., :-1] += (loadings.moved * own).sum(axis=-1)
        found[..., -1] *= exponential((loadings.noise * own).sum(axis=-1))
        return found

    def _covariances_at(self, point: Array, changes: Array, colours: Array) -> Array:
        d, second = self.model.n_features, self.model.covariances.second
        if second is Second.TRACE:
            return colours[:, 0] ** 2 * exponential(math.sqrt(2 / d) * changes[:, 0])
        if second is Second.DIAGONAL:
            return colours**2 * exponential(math.sqrt(2) * changes)
        if self.angles is None:
            exponents = (0.5 * changes[:, :, None, None] * self.basis).sum(axis=1)
            values, axes = np.linalg.eigh(exponents)
            return squared(colours @ (axes * exponential(values)[:, None, :] @ axes.swapaxes(1, 2)))
        assert self.variances is not None, "they go with the angles"
        turns = np.zeros((len(changes), d, d))
        rows, columns = pairs(d)
        turns[:, rows, columns] = (self.angles * point).sum(axis=2)
        turns = turns - turns.swapaxes(1, 2)
        # Cayley's transform is a rotation too, and differs from exp Ω by terms of the third order only.
        turned = np.linalg.solve(np.eye(d) - 0.5 * turns, np.eye(d) + 0.5 * turns)
        axes = colours / np.sqrt(self.variances)[:, None, :]
        return composed(axes @ turned, self.variances * exponential(math.sqrt(2) * changes[:, :d]))


def refusal(family: Family, n_components: int, n_features: int) -> str:
    """Why no mixture of a structure and size has coordinates, as the end of a sentence; empty if some have."""
    if family.free_algebra is None:
        return f"the structure {family!r} has no formula for it"
    n_numbers = (1 if family.is_shared else n_components) * family.kind.second.n_numbers(n_features)
    if n_components * (1 + n_features) + n_numbers > MOST_COORDINATES:
        return f"a mixture of this size has more than {MOST_COORDINATES:,} parameters"
    return ""


def bounds_met(model: Model) -> Bounds | None:
    """Which variances along the axes are at the lower and at the upper bound of a structure; None if none is."""
    if not model.family.is_bounded:
        return None
    each = model.covariances.each
    return model.family.at_bound(principal_axes(each)[0] if each.ndim == 3 else each.reshape(len(each), -1))


def are_same(one: Bounds | None, other: Bounds | None) -> bool:
    """Whether the same variances meet bounds."""
    if one is None or other is None:
        return one is other
    return all(np.array_equal(mine, theirs) for mine, theirs in zip(one, other, strict=True))


def pairs(n_features: int) -> tuple[Places, Places]:
    """The places i > j below a diagonal."""
    rows, columns = np.tril_indices(n_features, -1)
    return rows, columns


def _of_weights(model: Model, shares: Shares, lost: Collection[int]) -> tuple[Array, tuple[Group, ...]]:
    """The Jacobian of the log weights, and groups of weights with a sum of their own."""
    K, noise = model.n_components, model.noise
    columns, groups, shares_of_all = list[Array](), list[Group](), model.without_noise.weights
    if noise is not None and 0 < noise.weight < 1:
        change = np.full(K + 1, -noise.weight)
        change[K] += 1.0
        groups.append(Group(np.arange(K + 1), slice(0, 1), False))
        columns.append(change[:, None] / math.sqrt(noise.weight * (1 - noise.weight)))
    is_open = np.array([k not in lost and k not in shares.fixed and not shares.is_equal for k in range(K)])
    members = np.flatnonzero(is_open & (shares_of_all > AT_BOUND * shares.least))
    if len(members) > 1:
        own = shares_of_all[members] / shares_of_all[members].sum()
        changes = np.zeros((K + (noise is not None), len(members) - 1))
        changes[members] = _complement(np.sqrt(own)) / np.sqrt(own)[:, None]
        groups.append(Group(members, slice(len(columns), len(columns) + len(members) - 1), True))
        columns.append(changes)
    return np.concatenate([np.zeros((K + (noise is not None), 0)), *columns], axis=1), tuple(groups)


def _of_diagonals(n: int, d: int, volume: Across, shape: Across, second: Second) -> Array:
    """The Jacobian of the diagonals of B_k, (n, n_b, …): all of them move with the volume, the rest is the shape."""
    if second is Second.TRACE:
        return _across(n, np.ones((1, 1)), volume)
    if volume is shape:
        return _across(n, np.eye(d), volume)
    of_volume = _across(n, np.full((d, 1), 1 / math.sqrt(d)), volume)
    if shape is Across.NOTHING or d == 1:
        return of_volume
    return np.concatenate((of_volume, _across(n, _complement(np.full(d, 1 / math.sqrt(d))), shape)), axis=2)


def _of_bounded(is_met: NDArray[np.bool_]) -> Array:
    """The same where variances (n, n_b) meet a bound: these move together, and all others freely."""
    together = is_met[:, :, None] / math.sqrt(is_met.sum())
    return np.concatenate((together, np.eye(is_met.size)[:, ~is_met.ravel()].reshape(*is_met.shape, -1)), axis=2)


def _levelled(variances: Array, bounds: Bounds) -> Array:
    """Variances with equal numbers at a bound, so that rotations among them have no direction."""
    low, high = bounds
    level = np.where(high, variances.max(), variances)
    return np.where(low, variances.min(), level)


def _of_turns(variances: Array, importance: Array, orientation: Across) -> tuple[Array, Array]:
    """The Jacobian of what is below the diagonals of B_k, and that of the angles; both (n, n_pairs, …).

    To first order a rotation by Ω of the axes makes (√(v_j / v_i) − √(v_i / v_j)) Ω_ij of B_ij.
    """
    n, d = variances.shape
    rows, columns = pairs(d)
    ratios = np.sqrt(variances[:, columns] / variances[:, rows])
    slopes = ratios - 1 / ratios
    if orientation is Across.EQUAL:
        size = np.sqrt((importance[:, None] * slopes**2).sum(axis=0) / importance.sum())
        angles = _across(n, np.diag(1 / np.maximum(size, LEAST_SLOPE)), orientation)
    else:
        angles = _across(n, np.eye(len(rows)), orientation)
        angles = angles / np.maximum(np.abs(slopes), LEAST_SLOPE)[:, :, None]
    return slopes[:, :, None] * angles, angles


def _of_loadings(model: Model, algebra: FactorAlgebra, free: Array) -> tuple[Array, Loadings, Array]:
    """W_k (n, n_features, n_features), how loadings and noises move, and the Jacobian of all B_k."""
    covariances = model.covariances
    assert isinstance(covariances, LowRank), "a structure with loadings has no others"
    (n, d), n_factors = covariances.noise.shape, covariances.loadings.shape[2]
    frames = covariances.loadings, covariances.noise
    if algebra.loadings is Across.EQUAL:
        frames = covariances.loadings[:1], covariances.noise.mean(axis=0, keepdims=True)
    roots, directions, spread, rotation = spectrum(*frames)
    if spread.min() < LEAST_SPREAD:
        raise NotSmooth("some factors have no loadings")
    each = np.array([_free_loadings(*of_one) for of_one in zip(roots, directions, rotation, strict=True)])
    moved = each if algebra.loadings is Across.EQUAL else _own_columns(each)
    moved = np.broadcast_to(moved, (n, *moved.shape[1:]))
    noise = _across(n, np.ones((d, 1)) if algebra.is_isotropic else np.eye(d), algebra.noise)
    if moved.shape[2] + noise.shape[2] != model.family.n_parameters(model.n_components, d):
        raise NotSmooth("so many factors are not determined by the covariances")
    n_moved = moved.shape[2]
    moved = np.concatenate((moved, np.zeros((n, d * n_factors, noise.shape[2]))), axis=2)
    noise = np.concatenate((np.zeros((n, d, n_moved)), noise), axis=2)
    moved = (free[:, None, None] * moved).reshape(n, d, n_factors, -1)
    noise = free[:, None, None] * noise
    factors, _, failed = factorise(covariances.simple().each)
    if failed.any():
        raise NotSmooth("a covariance is singular")
    of_each = zip(factors, covariances.each, moved, noise, strict=True)
    blocks = np.array([_of_matrices(first_order(*of_one)) for of_one in of_each])
    size = np.sqrt((blocks**2).sum(axis=1).max(axis=0))
    kept = size > 0
    moved, noise, blocks = (found[..., kept] / size[kept] for found in (moved, noise, blocks))
    return factors, Loadings(moved, noise), blocks.reshape(-1, blocks.shape[2])


def _free_loadings(roots: Array, directions: Array, rotation: Array) -> Array:
    """The directions (n_features × n_factors, …) in which loadings move, less rotations of the factors."""
    (d, q), basis = directions.shape, np.eye(len(directions))
    for direction in directions.T:  # so that at the end the columns are orthogonal to all of them
        inside = contract("ij,i->j", basis, direction)
        basis = contract("ij,jk->ik", basis, _complement(inside if inside[0] >= 0 else -inside))
    columns = [(directions[:, i], j) for j in range(q) for i in range(j, q)]
    columns += [(column, j) for j in range(q) for column in basis.T]
    found = np.array([(column / roots)[:, None] * rotation[:, j] for column, j in columns])
    return found.reshape(len(columns), d * q).T


def _own_columns(each: Array) -> Array:
    """Coordinates of each component's own, (n, m, n × c), from the columns (n, m, c) of each."""
    n, m, c = each.shape
    own = np.zeros((n, m, n, c))
    own[np.arange(n), :, np.arange(n)] = each
    return own.reshape(n, m, n * c)


def first_order(factor: Array, covariance: Array, moved: Array, noise: Array) -> Array:
    """W (M Λᵀ + Λ Mᵀ + diag(n ψ)) Wᵀ of each coordinate of a factor analyser, (n_b, n_features, n_features)."""
    half = contract("ij,jqb->bqi", factor, moved)
    crossed = contract("bqi,jq->bij", half, contract("ij,jq->iq", factor, covariance[:, :-1]))
    scaled = (noise * covariance[:, -1:]).T[:, None, :] * factor
    return crossed + crossed.swapaxes(1, 2) + contract("bij,kj->bik", scaled, factor)


def _of_matrices(matrices: Array) -> Array:
    """The coordinates ½ tr(E_b M) of symmetric matrices (m, d, d), (n_b, m)."""
    rows, columns = pairs(matrices.shape[1])
    diagonals = np.einsum("bii->ib", matrices) / math.sqrt(2)
    return np.concatenate((diagonals, matrices[:, rows, columns].T))


def _across(n: int, columns: Array, across: Across) -> Array:
    """The columns (m, c) of a coordinate, the same for all n covariances or for each of them: (n, m, …)."""
    if across is Across.EQUAL or n == 1:
        return np.broadcast_to(columns, (n, *columns.shape))
    if across is Across.NOTHING:
        return np.zeros((n, len(columns), 0))
    return _own_columns(np.broadcast_to(columns, (n, *columns.shape)))


def _beside(of_diagonals: Array, of_pairs: Array) -> Array:
    """The Jacobian of all of B_k: first that of its diagonal, then that of what is below."""
    n, d, n_first = of_diagonals.shape
    _, n_pairs, n_last = of_pairs.shape
    both = np.zeros((n, d + n_pairs, n_first + n_last))
    both[:, :d, :n_first], both[:, d:, n_first:] = of_diagonals, of_pairs
    return both


def _block_diagonal(*blocks: Array) -> Array:
    whole = np.zeros(tuple(np.sum([block.shape for block in blocks], axis=0).tolist()))
    row = column = 0
    for block in blocks:
        whole[row : row + block.shape[0], column : column + block.shape[1]] = block
        row, column = row + block.shape[0], column + block.shape[1]
    return whole


def _complement(unit: Array) -> Array:
    """Orthonormal columns (n, n − 1) that are orthogonal to a unit vector: those of a Householder reflection."""
    mirror = np.array(unit)
    mirror[0] += 1.0  # the vectors of this module have no negative numbers
    reflection: Array = np.eye(len(unit)) - mirror[:, None] * (mirror * (2 / (mirror**2).sum()))
    return reflection[:, 1:]


def _factors(model: Model) -> Array:
    """W_k in the form of the covariances."""
    factors = model.whitening.factors
    return factors if isinstance(model.covariances, Dense) else factors.reshape((len(factors), -1))


def _turned_factors(model: Model, *, is_common: bool) -> tuple[Array, Array]:
    """W_k = diag(v_k)^(−½) D_kᵀ of axes D_k, and the v_k; the axes are common or those of each component."""
    covariances = model.covariances.each
    if is_common:
        axes = common_axes(covariances)
        turned = contract("kij,jl->kil", covariances, axes)
        variances = contract("kij,ij->kj", turned, axes)
        each = np.broadcast_to(axes, covariances.shape)
    else:
        variances, each = principal_axes(covariances)
    if not (variances > 0).all():
        raise NotSmooth("a covariance is singular along an axis")
    return each.swapaxes(1, 2) / np.sqrt(variances)[:, :, None], variances
