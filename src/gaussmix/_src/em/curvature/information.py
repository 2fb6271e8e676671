"""The gradient and the observed information of the objective at a model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from gaussmix._src.em.curvature.coordinates import Coordinates
from gaussmix._src.em.curvature.jacobian import first_order
from gaussmix._src.em.curvature.scores import Differences, Scores, expected, joined, slopes
from gaussmix._src.em.objective.objective import Objective
from gaussmix._src.em.objective.trace import Trace
from gaussmix._src.em.priors.posterior import PosteriorObjective
from gaussmix._src.em.trimming.trimming import TrimmedSource
from gaussmix._src.engines.base import Engine
from gaussmix._src.interfaces.leaves import Sums
from gaussmix._src.interfaces.moment_spec import Second
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array, Indices, below_diagonal
from gaussmix._src.numerics.factorise import factorise
from gaussmix._src.sources.base import Source


@dataclass(frozen=True, eq=False)
class Information:
    """The gradient g and the observed information I = −∂²/∂θ² of the objective, per unit of row weight, at θ = 0.

    Louis (1982), Journal of the Royal Statistical Society B 44, eq. 3.2': I = Σ_i [E(B_i) − E(S_i S_iᵀ) + E S_i E S_iᵀ]
    with the score S_i and the information B_i of row i and its component, in expectation over the component. Where
    cells are missing, rows have errors, or factors are unknown too, Σ_i [E(S_i S_iᵀ) − E S_i E S_iᵀ] is the derivative
    of Σ_i E S_i by the parameters of the expectation, S_i as it is: Oakes (1999), JRSS B 61, eq. 3. Central differences
    of what a step of EM sums give it in two passes for each parameter.

    A ridge counts as a prior with the masses of this model: then g = 0 where EM with the ridge ends. It is not exact,
    because the masses move too; the error is as small as the ridge compared with the variances.

    The score of row i is the gradient of log p(x_i) and of its parts of the ridge and the prior: the term of the ridge
    belongs to the rows by responsibility, that of the prior to all rows alike. With row weights s, g = Σ s score / Σ s.

    Parameters
    ----------
    coordinates : θ.
    gradient : (p,).
    matrix : (p, p).
    outer : (p, p), Σ s score scoreᵀ / Σ s where the weights count rows, so that s equal rows are one row of weight s;
        Σ s² score scoreᵀ / Σ s where each weight belongs to one row. With the second, I⁻¹ outer I⁻¹ / Σ s is the
        covariance of θ for either meaning: White (1982), Econometrica 50, theorem 3.2. (0, 0) if it was not
        asked for.
    forces : (n_all,), the gradient by the numbers that the rows of the Jacobian belong to, free or not.
    """

    coordinates: Coordinates
    gradient: Array
    matrix: Array
    outer: Array
    forces: Array

    @classmethod
    def at_model(
        cls,
        model: Model,
        objective: Objective,
        trace: Trace,
        source: Source,
        engine: Engine[Any],
        *,
        are_counts: bool | None = True,
    ) -> Information:
        """Make one pass over the rows where `is_one_pass` says so, otherwise 2 p; raises `NotSmooth`.

        `are_counts` says what row weights are, for `outer`. It costs one more pass where there are 2 p, in which each
        row is evaluated 2 p times. With None it is not made. Of trimmed rows those count that this model keeps.
        """
        source = used_rows(source, engine, model)
        at, row_weight = Coordinates.at_model(model, objective, trace), source.profile.total_weight
        has_squares = are_counts is False and source.profile.largest_weight is not None
        with np.errstate(over="ignore", invalid="ignore"):  # then the information is not positive definite
            if is_one_pass(model, source):
                between, within, *squared = source.sum_of(Scores(engine, at, has_squares))
                own, products, change = within[:, 0], Sums((between, *squared)), at.jacobian
                unknown = -_within(between - _blocks(at, within, row_weight), at.jacobian)
            else:
                own = expected(at, source, engine, model.parameters)
                unknown, products = at.jacobian.T @ slopes(at, source, engine), Sums()
                change = np.concatenate((np.zeros((at.n_weights, at.size)), np.eye(at.size)))
                if are_counts is not None:
                    products = source.sum_of(Differences.at_coordinates(at, engine, has_squares=has_squares))
            matrix, slope, forces = _complete(at, objective, own, row_weight)
            outer = np.empty((0, 0))
            if are_counts is not None:
                change = change + _shared(at, objective, own, slope, row_weight, len(change))
                outer = _symmetric(_within(products[-1], change) / row_weight)
            return cls(at, slope / row_weight, _symmetric(matrix - unknown) / row_weight, outer, forces / row_weight)

    @property
    def is_at_bounds(self) -> bool:
        """Whether the objective rises beyond every bound that variances meet: then they stay at it near a maximum.

        The gradient G by B_k is definite among the axes at a bound: negative at the lower one, positive at the upper.
        """
        at = self.coordinates
        if at.bounds is None:
            return True
        low, high = at.bounds
        (K, d), n_b = at.model.means.shape, len(at.basis)
        rows, columns = below_diagonal(d)
        for i in range(at.n_covariances):
            first = at.n_weights + K * d + i * n_b
            own = self.forces[first : first + n_b]
            slope = np.diag(own[: low.shape[1]])
            if n_b > low.shape[1]:  # in the basis, what is on the diagonal has √2 times the size of what is not
                slope[rows, columns] = slope[columns, rows] = own[d:] / math.sqrt(2)
            for indices, sign in (low[i] & ~high[i], -1.0), (high[i] & ~low[i], 1.0):
                if indices.any() and np.linalg.eigvalsh(sign * slope[np.ix_(indices, indices)]).min() <= 0:
                    return False
        return True

    @property
    def newton(self) -> tuple[Array, float] | None:
        """Newton's step to the maximum (p,), and the gain it promises, ½ gᵀ I⁻¹ g, nats per unit of row weight.

        None where I is not positive definite to working precision: at a saddle, or on a ridge without an end.
        """
        if not self.gradient.size:
            return self.gradient, 0.0
        factors, _, failed = factorise(self.matrix[None])
        if failed.any():
            return None
        whitened = factors[0] @ self.gradient
        step = whitened @ factors[0]
        return step, 0.5 * float((whitened**2).sum())


def used_rows(source: Source, engine: Engine[Any], model: Model) -> Source:
    """The rows that a step from a model uses: all, unless they are trimmed."""
    return source.retained_rows(engine, model.parameters) if isinstance(source, TrimmedSource) else source


def is_one_pass(model: Model, source: Source) -> bool:
    """Whether the scores of rows have formulas, given their components."""
    return not source.is_incomplete and model.covariances.second is not Second.PROJECTED


def _symmetric(matrix: Array) -> Array:
    return 0.5 * (matrix + matrix.T)


def _jacobian_rows(at: Coordinates, component: int) -> tuple[Indices, Indices]:
    """Where the means and the covariances of a component are among the rows of the Jacobian."""
    K, d = at.model.means.shape
    n_b = len(at.basis)
    first = at.n_weights + K * d + (component * n_b if at.n_covariances > 1 else 0)
    means = at.n_weights + component * d
    return np.arange(means, means + d), np.arange(first, first + n_b)


def _blocks(at: Coordinates, within: Array, row_weight: float) -> Array:
    """Σ s E(S_i S_iᵀ), (n_all, n_all), from the products of each component (n_components, n_own, n_own)."""
    K = at.model.n_components
    result = np.zeros((len(at.jacobian),) * 2)
    if at.n_weights > K:
        result[K, K] = row_weight - within[:, 0, 0].sum()
    for k, own in enumerate(within):
        indices = np.concatenate(([k], *_jacobian_rows(at, k)))
        result[indices[:, None], indices] += own
    return result


def _complete(at: Coordinates, objective: Objective, own: Array, row_weight: float) -> tuple[Array, Array, Array]:
    """The information (p, p) of rows with known components and cells, and the gradients (p,) and (n_all,)."""
    model, mass = at.model, own[:, 0]
    K = model.n_components
    n_all, of_turns, of_ridge = len(at.jacobian), np.zeros((at.size, at.size)), np.zeros(at.size)
    collect, gradient = np.zeros((n_all, n_all)), np.zeros(n_all)
    gradient[:K] = mass
    if at.n_weights > K:
        gradient[K] = row_weight - mass.sum()
    for k, scatter in enumerate(_scatters(at, objective, own)):
        means, covariances = _jacobian_rows(at, k)
        collect[means, means] += scatter.mass
        crossed = (at.basis @ scatter.first).T
        collect[means[:, None], covariances] += crossed
        collect[covariances[:, None], means] += crossed.T
        gradient[means] += scatter.first
        gradient[covariances] += scatter.pull(at.basis)
        if at.angles is not None and at.variances is not None:
            index = k if at.n_covariances > 1 else 0
            turned = np.concatenate((at.jacobian[covariances[: model.n_features]], at.angles[index]))
            of_turns += _within(_turned(scatter.second, at.variances[index]), turned)
            continue
        collect[covariances[:, None], covariances] += _straight(at.basis, scatter.second)
        if at.loadings is not None and at.loadings.noise.size:  # nothing moves where all are frozen
            last = slice(at.size - at.loadings.noise.shape[-1], None)
            of_noise = scatter.degrees * _ridge_of_noise(at, objective, k)
            of_turns[last, last] += _bent(at, k, scatter, of_noise)
            of_ridge[last] += _of_noise(at, k, of_noise)
    matrix = _within(collect, at.jacobian) + of_turns
    slope = gradient @ at.jacobian + of_ridge
    concentration = objective.weight_update.concentration if isinstance(objective, PosteriorObjective) else 0.0
    weights = model.all_weights
    for group in at.groups:
        mine, columns = group.members, group.columns
        of_prior = np.broadcast_to(concentration, K)[mine] if group.has_prior else np.zeros(len(mine))
        shifted, own_weight = at.jacobian[mine, columns], weights[mine] / weights[mine].sum()
        count = float(gradient[mine].sum() + of_prior.sum())
        matrix[columns, columns] += count * shifted.T @ (shifted * own_weight[:, None])
        slope[columns] += of_prior @ shifted
    return matrix, slope, gradient


def _shared(at: Coordinates, objective: Objective, own: Array, slope: Array, row_weight: float, n_values: int) -> Array:
    """What the ridge and the prior add to the scores of rows, as columns (n_values, p) for the numbers of a row.

    The first of these numbers are responsibilities, and that of the background. They sum to 1, so they carry what is
    alike for all rows of a component, and for all rows.
    """
    added, ridge = np.zeros((n_values, at.size)), np.diag(np.sqrt(objective.ridge))
    for k in range(at.model.n_components):
        if at.loadings is not None:
            of_noise = _of_noise(at, k, _ridge_of_noise(at, objective, k))
            added[k, at.size - len(of_noise) :] = of_noise
            continue
        pulls = 0.5 * at.basis.reshape(len(at.basis), -1) @ _squares(at.whiten(k, ridge)).ravel()
        added[k] = pulls @ at.jacobian[_jacobian_rows(at, k)[1]]
    of_rows = joined(at, own, row_weight) @ at.jacobian
    of_prior = slope - of_rows - own[:, 0] @ added[: len(own)]
    added[: at.n_weights] += of_prior / row_weight
    return added


@dataclass(frozen=True, eq=False)
class _Scatter:
    """What the rows, the prior and the ridge say of a component: −½ [A log|exp B| + Σ (z − a)ᵀ exp(−B) (z − a)].

    Parameters
    ----------
    mass : the weight of the z that pull at the mean.
    first : Σ z, (n_features,), of these.
    second : Σ z zᵀ, (n_features, n_features), of all.
    degrees : A.
    """

    mass: float
    first: Array
    second: Array
    degrees: float

    def pull(self, basis: Array) -> Array:
        """The gradient by the coordinates of B, (n_b,)."""
        of_rows: Array = basis.reshape(len(basis), -1) @ self.second.ravel()
        return 0.5 * (of_rows - self.degrees * np.trace(basis, axis1=1, axis2=2))


def _scatters(at: Coordinates, objective: Objective, own: Array) -> list[_Scatter]:
    """The scatters of all components."""
    model, result = at.model, list[_Scatter]()
    d, second = model.n_features, at.second
    prior = objective.prior if isinstance(objective, PosteriorObjective) else None
    ridge = np.diag(np.sqrt(objective.ridge)) if at.loadings is None else np.zeros((d, d))
    for k, sums in enumerate(own):
        mass, first, of_rows = float(sums[0]), sums[1 : 1 + d], sums[1 + d :]
        degrees = pulled = mass
        if second is Second.TRACE:
            squares = (np.sqrt(2 / d) * of_rows + mass) * np.eye(d)
        else:
            squares = np.diag(np.sqrt(2) * of_rows[:d] + mass)
        if second is Second.FULL:
            rows, columns = below_diagonal(d)
            squares[rows, columns] = squares[columns, rows] = of_rows[d:]
        if prior is not None:
            degrees += prior.degrees_of_freedom(model.n_components)
            pulled += prior.shrinkage
            towards = at.whiten(k, (prior.mean - model.means[k])[None])
            first = first + prior.shrinkage * towards[0]
            squares = squares + prior.shrinkage * towards.T * towards
            if k == 0 or at.n_covariances > 1:
                squares = squares + _squares(at.whiten(k, prior.scale_roots(d)))
        squares = squares + degrees * _squares(at.whiten(k, ridge))
        if second is Second.TRACE:
            squares = np.trace(squares) / d * np.eye(d)
        elif second is Second.DIAGONAL:
            squares = np.diag(np.diagonal(squares))
        result.append(_Scatter(pulled, first, squares, degrees))
    return result


def _squares(rows: Array) -> Array:
    return rows.T @ rows


def _within(matrix: Array, jacobian: Array) -> Array:
    """Jᵀ M J; most columns of J have one number that is not 0."""
    return _times(_times(matrix, jacobian).T, jacobian)


def _times(matrix: Array, jacobian: Array) -> Array:
    """M J."""
    counts, product = (jacobian != 0).sum(axis=0), np.empty((len(matrix), jacobian.shape[1]))
    single, several = np.flatnonzero(counts == 1), np.flatnonzero(counts != 1)
    indices = (jacobian[:, single] != 0).argmax(axis=0)
    product[:, single] = matrix[:, indices] * jacobian[indices, single]
    used = np.flatnonzero((jacobian[:, several] != 0).any(axis=1))
    product[:, several] = matrix[:, used] @ jacobian[used[:, None], several]
    return product


def _straight(basis: Array, second: Array) -> Array:
    """The second derivatives of ½ Σ zᵀ exp(−B) z by the coordinates of B: ½ tr(E_b E_c S), made symmetric."""
    n_b = len(basis)
    shifted = (basis @ second).reshape(n_b, -1)
    splits = 0.5 * shifted @ basis.reshape(n_b, -1).T  # E_c is symmetric
    return 0.5 * (splits + splits.T)


def _turned(second: Array, variances: Array) -> Array:
    """The second derivatives of ½ Σ zᵀ exp(−B) z by the diagonal of B, and by the rotation Ω of the axes (i > j).

    Σ⁻¹ is e^Ω V⁻¹ e^(−t) e^(−Ω) along the axes; its terms of second order are those of ½ [Ω, [Ω, V⁻¹]] − [Ω, V⁻¹ t] +
    ½ V⁻¹ t², t = √2 times the diagonal.
    """
    d = len(second)
    rows, columns = below_diagonal(d)
    n, roots = len(rows), np.sqrt(variances / variances.max())
    scatter, inverse, each = second * roots[:, None] * roots, 1 / roots**2, np.arange(n)
    turns = np.zeros((n, d, d))
    turns[each, rows, columns], turns[each, columns, rows] = 1.0, -1.0
    result = np.zeros((d + n, d + n))
    result[np.arange(d), np.arange(d)] = np.diagonal(second)
    crossed = np.sqrt(2) * scatter[rows, columns]
    result[d + each, rows], result[d + each, columns] = crossed * inverse[rows], -crossed * inverse[columns]
    result[:d, d:] = result[d:, :d].T
    first = scatter * (inverse[:, None] + inverse) @ turns
    middle = scatter @ turns * inverse
    splits = -0.5 * (first - 2 * middle).reshape(n, -1) @ turns.reshape(n, -1).T
    result[d:, d:] = 0.5 * (splits + splits.T)
    return result


def _bent(at: Coordinates, component: int, scatter: _Scatter, of_noise: Array) -> Array:
    """What the second order of B_k in the loadings and log noises adds to the information, (n_b, n_b).

    B is W (Σ(θ) − Σ) Wᵀ less half its square: M Mᵀ + ½ Ψ n² less half the square of what is of first order.
    """
    assert at.loadings is not None, "they are bent"
    index = component if at.n_covariances > 1 else 0
    factor, each = at.factors[index], at.model.covariances.each[index]
    shifted, noise = at.loadings.shifted[index], at.loadings.noise[index]
    d, n_b = noise.shape
    gap = scatter.second - scatter.degrees * np.eye(d)
    straight = first_order(factor, each, shifted, noise)
    half_step = np.einsum("ij,jqb->biq", factor, shifted)
    of_loadings = (gap @ half_step).reshape(n_b, -1) @ half_step.reshape(n_b, -1).T
    squared = (gap @ straight).reshape(n_b, -1) @ straight.reshape(n_b, -1).T
    curves = (gap @ factor * factor).sum(axis=0) * each[:, -1]
    result = of_loadings - 0.5 * squared + noise.T @ (0.5 * curves[:, None] * noise)
    return np.asarray(noise.T @ (0.5 * of_noise[:, None] * noise) - _symmetric(result))


def _ridge_of_noise(at: Coordinates, objective: Objective, component: int) -> Array:
    """r / ψ of a component, (n_features,): an M-step adds the ridge to the noise, and not to what factors explain."""
    precisions: Array = at.model.covariances.ridge_precisions()[component]
    return objective.ridge * precisions


def _of_noise(at: Coordinates, component: int, ratios: Array) -> Array:
    """The gradient of −½ Σ_j r_j / ψ_j by the coordinates of loadings and noises, (n_b,)."""
    assert at.loadings is not None, "the noise is theirs"
    noise = at.loadings.noise[component if at.n_covariances > 1 else 0]
    return np.asarray(0.5 * ratios @ noise)
