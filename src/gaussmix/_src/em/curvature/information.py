"""The gradient and the observed information of the objective at a given model.

`em.curvature.coordinates` defines θ, a_k and B_k. z is a row whitened with a component of the given model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from gaussmix._src.em.curvature.coordinates import Coordinates
from gaussmix._src.em.curvature.jacobian import AxisJacobian, LoadingJacobian, exponent_derivatives
from gaussmix._src.em.curvature.scores import NumericalScores, ScoreProducts, expected_scores, score_slopes, total_score
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
from gaussmix._src.sources.waiting import check_time


@dataclass(frozen=True, eq=False)
class ObservedInformation:
    """Gradient g and observed information I = −∂²/∂θ² of the objective, per unit of row weight, at θ = 0.

    If S_i and C_i are the score and the information of row i for a known component, and E is the expectation over the
    component, I = Σ_i [E(C_i) − E(S_i S_iᵀ) + E S_i E S_iᵀ]; see Louis (1982), JRSS B 44, eq. 3.2'. The sum
    Σ_i [E(S_i S_iᵀ) − E S_i E S_iᵀ] is also the derivative of Σ_i E S_i with respect to the parameters of the
    expectation, for fixed S_i; see Oakes (1999), JRSS B 61, eq. 3. With missing values, measurement errors or factors,
    this derivative is computed from central differences of the sums of EM steps, in two passes per parameter.

    A ridge is treated like a prior whose strength is given by the components' sums of responsibilities in the given
    model, so that the gradient is 0 after EM with a ridge has converged. This treatment of ridges is not exact, because
    the sums of responsibilities also depend on θ. The relative error of the treatment is about the ratio of the ridge
    to the variances.

    The score of row i is the gradient of log p(x_i) plus the row's part of the gradients of ridge and prior. The
    gradient of the ridge is divided among rows in proportion to responsibilities, and the gradient of the prior is
    divided equally among rows. With row weights s, the gradient is g = Σ s score / Σ s.

    Parameters
    ----------
    coordinates : coordinates θ of the models near the given model.
    gradient : gradient g, (p,).
    matrix : observed information I, (p, p).
    score_outer_product : matrix M, (p, p), or an array of shape (0, 0) if M was not requested. If weights are
        frequencies (a row of weight s stands for s equal rows), M = Σ s score scoreᵀ / Σ s. If each weight belongs to a
        single row, M = Σ s² score scoreᵀ / Σ s. The covariance of θ is I⁻¹ M I⁻¹ / Σ s; see White (1982), Econometrica
        50, theorem 3.2.
    full_gradient : gradient with respect to all values for which `Coordinates.jacobian` has a row, whether the values
        are free parameters or not, (n_all,).
    """

    coordinates: Coordinates
    gradient: Array
    matrix: Array
    score_outer_product: Array
    full_gradient: Array

    @classmethod
    def at_model(
        cls,
        model: Model,
        objective: Objective,
        trace: Trace,
        source: Source,
        engine: Engine[Any],
        *,
        are_frequency_weights: bool | None = True,
    ) -> ObservedInformation:
        """Compute the information in one pass if `has_score_formulas` is true, otherwise in two passes per parameter.

        `are_frequency_weights` should be true if a row of weight s stands for s equal rows. If `are_frequency_weights`
        is None, `score_outer_product` is not computed. Without formulas for scores, `score_outer_product` needs one
        more pass, in which each row is evaluated twice per parameter. With trimming, only the rows that trimming with
        `model` retains are used. `NotSmooth` is raised if the model has no coordinates. Inside `cut_in_time`,
        `TimeIsOver` is raised if `max_time` has passed.
        """
        check_time()
        source = untrimmed_rows(source, engine, model)
        coords, row_weight = Coordinates.at_model(model, objective, trace), source.row_totals.total_weight
        has_squares = are_frequency_weights is False and source.row_totals.largest_weight is not None
        # Overflow is not reported here, because it leads to an information matrix that is not positive definite.
        with np.errstate(over="ignore", invalid="ignore"):
            if has_score_formulas(model, source):
                between, within, *squared = source.sum_of(ScoreProducts(engine, coords, has_squares))
                score_sums, products, change = within[:, 0], Sums((between, *squared)), coords.jacobian
                unknown = -_sandwich(between - _assemble_component_blocks(coords, within, row_weight), coords.jacobian)
            else:
                score_sums = expected_scores(coords, source, engine, model.parameters)
                unknown, products = coords.jacobian.T @ score_slopes(coords, source, engine), Sums()
                change = np.pad(np.eye(coords.n_parameters), ((coords.n_weights, 0), (0, 0)))
                if are_frequency_weights is not None:
                    products = source.sum_of(NumericalScores.at_coordinates(coords, engine, has_squares=has_squares))
            matrix, slope, full = _complete_information(coords, objective, score_sums, row_weight)
            outer = np.empty((0, 0))
            if are_frequency_weights is not None:
                change = change + _penalty_scores(coords, objective, score_sums, slope, row_weight, len(change))
                outer = _symmetrise(_sandwich(products[-1], change) / row_weight)
            return cls(coords, slope / row_weight, _symmetrise(matrix - unknown) / row_weight, outer, full / row_weight)

    @property
    def is_optimal_at_bounds(self) -> bool:
        """Return whether variances at bounds should stay there, because the objective increases only beyond the bounds.

        The condition is that the gradient with respect to B_k, for the axes whose variances are at a bound, is negative
        definite at the lower bound and positive definite at the upper bound.
        """
        coords = self.coordinates
        if coords.variances_at_bounds is None:
            return True
        low, high = coords.variances_at_bounds
        (K, d), n_b = coords.model.means.shape, len(coords.symmetric_basis)
        rows, columns = below_diagonal(d)
        for i in range(coords.n_covariances):
            first = coords.n_weights + K * d + i * n_b
            own = self.full_gradient[first : first + n_b]
            slope = np.diag(own[: low.shape[1]])
            # In `symmetric_basis`, diagonal entries are √2 times as large as other entries.
            if n_b > low.shape[1]:
                slope[rows, columns] = slope[columns, rows] = own[d:] / math.sqrt(2)
            for indices, sign in (low[i] & ~high[i], -1.0), (high[i] & ~low[i], 1.0):
                if indices.any() and np.linalg.eigvalsh(sign * slope[np.ix_(indices, indices)]).min() <= 0:
                    return False
        return True

    @property
    def newton_step(self) -> tuple[Array, float] | None:
        """Return Newton's step (p,), and the predicted gain ½ gᵀ I⁻¹ g, in nats per unit of row weight.

        The result is None if I is not positive definite in float64, for example at a saddle point, or if the objective
        is constant in some direction.
        """
        if not self.gradient.size:
            return self.gradient, 0.0
        factors, _, failed = factorise(self.matrix[None])
        if failed.any():
            return None
        whitened = factors[0] @ self.gradient
        step = whitened @ factors[0]
        return step, 0.5 * float((whitened**2).sum())


def untrimmed_rows(source: Source, engine: Engine[Any], model: Model) -> Source:
    """Return the rows that a step from a model uses: the rows that trimming retains or, without trimming, all rows."""
    return source.retained_rows(engine, model.parameters) if isinstance(source, TrimmedSource) else source


def has_score_formulas(model: Model, source: Source) -> bool:
    """Return whether the scores of rows have formulas, that is, without missing values, errors in rows, or factors."""
    return not source.is_incomplete and model.covariances.second is not Second.PROJECTED


def _symmetrise(matrix: Array) -> Array:
    return 0.5 * (matrix + matrix.T)


def _jacobian_rows(coords: Coordinates, component: int) -> tuple[Indices, Indices]:
    """Return the indices of the Jacobian's rows for a component's mean, and for its covariance."""
    K, d = coords.model.means.shape
    n_b = len(coords.symmetric_basis)
    first = coords.n_weights + K * d + coords.covariance_index(component) * n_b
    means = coords.n_weights + component * d
    return np.arange(means, means + d), np.arange(first, first + n_b)


def _assemble_component_blocks(coords: Coordinates, component_products: Array, total_weight: float) -> Array:
    """Assemble Σ s E(S_i S_iᵀ), (n_all, n_all), from products for each component, (n_components, n_own, n_own)."""
    K = coords.model.n_components
    result = np.zeros((len(coords.jacobian),) * 2)
    if coords.n_weights > K:
        result[K, K] = total_weight - component_products[:, 0, 0].sum()
    for k, products in enumerate(component_products):
        indices = np.concatenate(([k], *_jacobian_rows(coords, k)))
        result[indices[:, None], indices] += products
    return result


def _complete_information(
    coords: Coordinates, objective: Objective, score_sums: Array, total_weight: float
) -> tuple[Array, Array, Array]:
    """Return the complete-data information (p, p), and gradients with respect to θ (p,) and to all values (n_all,)."""
    n_all, p = coords.jacobian.shape
    # `full` and `gradient` are derivatives with respect to all values. `second_order` contains the terms in θ that
    # `Coordinates.jacobian` does not describe. `ridge_slope` is the gradient of the ridge on noise variances.
    full, gradient, second_order, ridge_slope = np.zeros((n_all, n_all)), np.zeros(n_all), np.zeros((p, p)), np.zeros(p)
    gradient[: coords.n_weights] = total_score(coords, score_sums, total_weight)[: coords.n_weights]
    for k, scatter in enumerate(_component_scatters(coords, objective, score_sums)):
        own = np.concatenate(_jacobian_rows(coords, k))
        full[own[:, None], own] += scatter.hessian(coords.symmetric_basis, has_axes=coords.axes is not None)
        gradient[own] += scatter.gradient(coords.symmetric_basis)
        if coords.axes is not None:
            second_order += _rotation_terms(coords, coords.axes, k, scatter)
        if coords.loadings is not None and coords.loadings.log_noise.size:  # empty if all components are frozen
            index, last = coords.covariance_index(k), slice(p - coords.loadings.log_noise.shape[-1], None)
            scaled_ratios = scatter.dof * _ridge_noise_ratios(coords, objective, k)
            second_order[last, last] += _hessian_loadings(coords, coords.loadings, index, scatter, scaled_ratios)
            ridge_slope[last] += _noise_ridge_gradient(coords.loadings, index, scaled_ratios)
    matrix = _sandwich(full, coords.jacobian) + second_order
    slope = gradient @ coords.jacobian + ridge_slope
    _add_weight_terms(coords, objective, gradient, matrix, slope)
    return matrix, slope, gradient


def _add_weight_terms(coords: Coordinates, objective: Objective, gradient: Array, matrix: Array, slope: Array) -> None:
    """Add the information of the weights to `matrix` (p, p), and the gradient of their prior to `slope` (p,)."""
    concentration = objective.weight_update.concentration if isinstance(objective, PosteriorObjective) else 0.0
    concentrations, weights = np.broadcast_to(concentration, coords.model.n_components), coords.model.all_weights
    for group in coords.weight_groups:
        members, columns = group.members, group.jacobian_columns
        prior_counts = concentrations[members] if group.has_weight_prior else np.zeros(len(members))
        derivatives, own_weight = coords.jacobian[members, columns], weights[members] / weights[members].sum()
        count = float(gradient[members].sum() + prior_counts.sum())
        matrix[columns, columns] += count * derivatives.T @ (derivatives * own_weight[:, None])
        slope[columns] += prior_counts @ derivatives


def _penalty_scores(
    coords: Coordinates, objective: Objective, score_sums: Array, gradient: Array, total_weight: float, n_values: int
) -> Array:
    """Return factors (n_values, p) that convert the values of a row to the row's terms of ridge and prior.

    The values of a row begin with the responsibilities of all components, including the noise component. Because the
    responsibilities of a row sum to 1, equal factors on all responsibilities represent a term that is equal for all
    rows.
    """
    added, ridge = np.zeros((n_values, coords.n_parameters)), np.diag(np.sqrt(objective.ridge))
    basis = coords.symmetric_basis.reshape(len(coords.symmetric_basis), -1)
    for k in range(coords.model.n_components):
        if coords.loadings is not None:
            ratios = _ridge_noise_ratios(coords, objective, k)
            slope = _noise_ridge_gradient(coords.loadings, coords.covariance_index(k), ratios)
            added[k, coords.n_parameters - len(slope) :] = slope
            continue
        pulls = 0.5 * basis @ _gram(coords.whiten(k, ridge)).ravel()
        added[k] = pulls @ coords.jacobian[_jacobian_rows(coords, k)[1]]
    row_gradient = total_score(coords, score_sums, total_weight) @ coords.jacobian
    prior_gradient = gradient - row_gradient - score_sums[:, 0] @ added[: len(score_sums)]
    added[: coords.n_weights] += prior_gradient / total_weight
    return added


@dataclass(frozen=True, eq=False)
class _ComponentScatter:
    """Terms of the objective that depend on one component k: −½ [A tr B_k + Σ (z − a_k)ᵀ exp(−B_k) (z − a_k)].

    The sum is over rows, weighted by their responsibilities, and over vectors z that represent prior and ridge.

    Parameters
    ----------
    mean_weight : total weight of the vectors z that contribute to the mean.
    first_sum : sum of the vectors z that contribute to the mean, (n_features,).
    second_sum : sum of z zᵀ over all vectors z, (n_features, n_features).
    dof : degrees of freedom A.
    """

    mean_weight: float
    first_sum: Array
    second_sum: Array
    dof: float

    def gradient(self, basis: Array) -> Array:
        """Return the gradient of these terms with respect to a and to the coordinates of B, (n_features + n_b,)."""
        traces = basis.reshape(len(basis), -1) @ self.second_sum.ravel()
        return np.append(self.first_sum, 0.5 * (traces - self.dof * np.trace(basis, axis1=1, axis2=2)))

    def hessian(self, basis: Array, *, has_axes: bool) -> Array:
        """Return minus the second derivatives with respect to a and B, (n_features + n_b, n_features + n_b).

        If `has_axes`, second derivatives with respect to B are 0 here, because `_rotation_terms` contains them.
        """
        d = len(self.first_sum)
        result = np.zeros((d + len(basis),) * 2)
        np.fill_diagonal(result[:d, :d], self.mean_weight)
        result[d:, :d] = basis @ self.first_sum
        result[:d, d:] = result[d:, :d].T
        if not has_axes:
            result[d:, d:] = _hessian_linear(basis, self.second_sum)
        return result


def _component_scatters(coords: Coordinates, objective: Objective, score_sums: Array) -> list[_ComponentScatter]:
    """Compute, for each component, the terms of the objective that come from rows, prior and ridge.

    A row of `score_sums` contains N_k, Σ γ z, and Σ γ ½ tr(E_b (z zᵀ − I)) for each matrix E_b of the symmetric basis.
    """
    model, result = coords.model, list[_ComponentScatter]()
    d, second = model.n_features, coords.covariance_form
    prior = objective.prior if isinstance(objective, PosteriorObjective) else None
    ridge = np.diag(np.sqrt(objective.ridge)) if coords.loadings is None else np.zeros((d, d))
    for k, sums in enumerate(score_sums):
        mass, first_sum, covariance_scores = float(sums[0]), sums[1 : 1 + d], sums[1 + d :]
        dof = mean_weight = mass
        # Solve the definition of the scores for Σ γ z zᵀ, or for the mean of its diagonal if covariances are spherical.
        if second is Second.TRACE:
            second_sum = (np.sqrt(2 / d) * covariance_scores + mass) * np.eye(d)
        else:
            second_sum = np.diag(np.sqrt(2) * covariance_scores[:d] + mass)
        if second is Second.FULL:
            rows, columns = below_diagonal(d)
            second_sum[rows, columns] = second_sum[columns, rows] = covariance_scores[d:]
        if prior is not None:
            dof += prior.dof(model.n_components)
            mean_weight += prior.shrinkage
            offset = coords.whiten(k, (prior.mean - model.means[k])[None])
            first_sum = first_sum + prior.shrinkage * offset[0]
            second_sum = second_sum + prior.shrinkage * offset.T * offset
            if k == 0 or coords.n_covariances > 1:  # the prior's scale is added only once to a shared covariance
                second_sum = second_sum + _gram(coords.whiten(k, prior.scale_roots(d)))
        second_sum = second_sum + dof * _gram(coords.whiten(k, ridge))
        if second is Second.TRACE:
            second_sum = np.trace(second_sum) / d * np.eye(d)
        elif second is Second.DIAGONAL:
            second_sum = np.diag(np.diagonal(second_sum))
        result.append(_ComponentScatter(mean_weight, first_sum, second_sum, dof))
    return result


def _gram(rows: Array) -> Array:
    return rows.T @ rows


def _sandwich(matrix: Array, jacobian: Array) -> Array:
    """Return Jᵀ M J for a Jacobian J."""
    return _sparse_product(_sparse_product(matrix, jacobian).T, jacobian)


def _sparse_product(matrix: Array, jacobian: Array) -> Array:
    """Return M J, which is fast if most columns of J have a single nonzero entry."""
    counts, product = (jacobian != 0).sum(axis=0), np.empty((len(matrix), jacobian.shape[1]))
    single, several = np.flatnonzero(counts == 1), np.flatnonzero(counts != 1)
    indices = (jacobian[:, single] != 0).argmax(axis=0)
    product[:, single] = matrix[:, indices] * jacobian[indices, single]
    used = np.flatnonzero((jacobian[:, several] != 0).any(axis=1))
    product[:, several] = matrix[:, used] @ jacobian[used[:, None], several]
    return product


def _hessian_linear(basis: Array, second_sum: Array) -> Array:
    """Return second derivatives of ½ Σ zᵀ exp(−B) z in the coordinates of B: ½ tr(E_b E_c Σ z zᵀ), symmetrised."""
    n_b = len(basis)
    products = (basis @ second_sum).reshape(n_b, -1)
    splits = 0.5 * products @ basis.reshape(n_b, -1).T  # uses that each basis matrix E_c is symmetric
    return 0.5 * (splits + splits.T)


def _rotation_terms(coords: Coordinates, axes: AxisJacobian, component: int, scatter: _ComponentScatter) -> Array:
    """Return the information, (p, p), from the second derivatives in the variances and the axes of a component."""
    index, (means, covariances) = coords.covariance_index(component), _jacobian_rows(coords, component)
    # The rows are derivatives of the variables of `_hessian_rotation`: the diagonal of B, and then the angles.
    jacobian = np.concatenate((coords.jacobian[covariances[: len(means)]], axes.angles[index]))
    return _sandwich(_hessian_rotation(scatter.second_sum, axes.variances[index]), jacobian)


def _hessian_rotation(second_sum: Array, variances: Array) -> Array:
    """Return second derivatives of ½ Σ zᵀ exp(−B) z in the diagonal of B and the angles Ω_ij (i > j) of the axes.

    In the coordinate system of the axes, Σ⁻¹ is e^Ω V⁻¹ e^(−t) e^(−Ω), where V are the variances, and t is the diagonal
    of B, √2 times the coordinates. The second-order terms of Σ⁻¹ are ½ [Ω, [Ω, V⁻¹]] − [Ω, V⁻¹ t] + ½ V⁻¹ t², where
    [·, ·] is the commutator.
    """
    d = len(second_sum)
    rows, columns = below_diagonal(d)
    n, deviations = len(rows), np.sqrt(variances / variances.max())
    # S sums products of unwhitened rows. S and V are divided by the largest variance.
    scatter, precisions, indices = second_sum * deviations[:, None] * deviations, 1 / deviations**2, np.arange(n)
    generators = np.zeros((n, d, d))  # derivatives of Ω with respect to the angles
    generators[indices, rows, columns], generators[indices, columns, rows] = 1.0, -1.0
    result = np.zeros((d + n, d + n))
    result[np.arange(d), np.arange(d)] = np.diagonal(second_sum)
    mixed = np.sqrt(2) * scatter[rows, columns]
    result[d + indices, rows], result[d + indices, columns] = mixed * precisions[rows], -mixed * precisions[columns]
    result[:d, d:] = result[d:, :d].T
    # Because Ωᵀ = −Ω, tr S [Ω, [Ω, V⁻¹]] = −tr ((S V⁻¹ + V⁻¹ S) Ω − 2 S Ω V⁻¹) Ωᵀ.
    outer = scatter * (precisions[:, None] + precisions) @ generators
    inner = scatter @ generators * precisions
    products = -0.5 * (outer - 2 * inner).reshape(n, -1) @ generators.reshape(n, -1).T
    result[d:, d:] = 0.5 * (products + products.T)
    return result


def _hessian_loadings(
    coords: Coordinates, jacobian: LoadingJacobian, index: int, scatter: _ComponentScatter, noise_ratios: Array
) -> Array:
    """Return the information, (n_b, n_b), that results from second-order terms of B_k in loadings and log noise.

    `index` is the index of the covariance, and `jacobian` describes the loadings and the noise of all covariances.

    To second order, B is W (Σ(θ) − Σ) Wᵀ minus half the square of W (Σ(θ) − Σ) Wᵀ. If M is the change of the loadings,
    Ψ are the noise variances, and n is the change of log Ψ, the second-order terms of B are W (M Mᵀ + ½ Ψ n²) Wᵀ minus
    half the square of the first-order terms of B.
    """
    factor, each = coords.whitening_factors[index], coords.model.covariances.each[index]
    loadings, noise = jacobian.loadings[index], jacobian.log_noise[index]
    d, n_b = noise.shape
    gap = scatter.second_sum - scatter.dof * np.eye(d)
    derivatives = exponent_derivatives(factor, each, loadings, noise)
    whitened_change = np.einsum("ij,jqb->biq", factor, loadings)
    loading_terms = (gap @ whitened_change).reshape(n_b, -1) @ whitened_change.reshape(n_b, -1).T
    squared = (gap @ derivatives).reshape(n_b, -1) @ derivatives.reshape(n_b, -1).T
    curves = (gap @ factor * factor).sum(axis=0) * each[:, -1]
    result = loading_terms - 0.5 * squared + noise.T @ (0.5 * curves[:, None] * noise)
    return np.asarray(noise.T @ (0.5 * noise_ratios[:, None] * noise) - _symmetrise(result))


def _noise_ridge_gradient(loadings: LoadingJacobian, index: int, noise_ratios: Array) -> Array:
    """Return the gradient of the ridge term −½ Σ_j r_j / ψ_j in the coordinates of loadings and noise, (n_b,)."""
    return np.asarray(0.5 * noise_ratios @ loadings.log_noise[index])


def _ridge_noise_ratios(coords: Coordinates, objective: Objective, component: int) -> Array:
    """Return r / ψ, (n_features,), where r is the ridge, which an M-step adds to the noise variances ψ."""
    precisions: Array = coords.model.covariances.ridge_precisions()[component]
    return objective.ridge * precisions
