"""Maximum a posteriori (MAP) estimation with priors on means, covariances and weights, or fixed parameters.

A conjugate prior only adds terms to the sums over rows, so that covariance structures need no special code for priors.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from gaussmix._src.covariances import Covariances
from gaussmix._src.em.objective.objective import Objective
from gaussmix._src.engines.calls import PackedPrior
from gaussmix._src.interfaces.moment_spec import Second
from gaussmix._src.interfaces.moments import Scatter
from gaussmix._src.interfaces.whitening.triangular import TriangularWhitening
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.axes import principal_axes
from gaussmix._src.numerics.elementary import log
from gaussmix._src.numerics.threads import cached_property


@dataclass(frozen=True, eq=False)
class WeightUpdate:
    """M-step of the weights, which maximises Σ_k (N_k + α_k − 1) log π_k over weights that satisfy the restrictions.

    Parameters
    ----------
    concentration : parameter α − 1 ≥ 0 of a Dirichlet prior, in units of row weight, as a number or an array
        (n_components,).
    is_equal : whether all weights are restricted to be equal.
    fixed_weights : dict from the index of a component to its fixed weight.
    min_weight : lower bound on every weight.
    """

    concentration: float | Array = 0.0
    is_equal: bool = False
    fixed_weights: Mapping[int, float] = field(default_factory=dict)
    min_weight: float = 0.0

    @property
    def is_unrestricted(self) -> bool:
        """Return whether there are no restrictions on the weights."""
        return not (self.is_equal or self.fixed_weights or self.min_weight)

    @property
    def without_component_terms(self) -> WeightUpdate:
        """Return these settings without fixed weights, and without a concentration that differs between components."""
        concentration = self.concentration if np.ndim(self.concentration) == 0 else 0.0
        return replace(self, concentration=concentration, fixed_weights={})

    def update(self, weights: Array, total_weight: float) -> Array:
        """Return the allowed weights with the highest posterior density, given maximum-likelihood weights."""
        added = np.broadcast_to(self.concentration, weights.shape)
        if added.any():
            weights = (total_weight * weights + added) / (total_weight + added.sum())
        return self.nearest_allowed(weights)

    def nearest_allowed(self, weights: Array) -> Array:
        """Return the allowed weights π with sum 1 that maximise Σ_k w_k log π_k, where w are the given weights.

        With a lower bound m, the maximum is π_k = max(m, w_k / λ), where λ makes the sum 1 (Karush–Kuhn–Tucker
        conditions). In each iteration, one or more further weights below m are set to m, and the other weights are
        rescaled. Weights that were set to m stay at m, because λ never decreases.
        """
        if self.is_equal:
            return np.full(len(weights), 1.0 / len(weights))
        if self.is_unrestricted:
            return weights
        result, is_open = np.array(weights), np.ones(len(weights), dtype=bool)
        for component, value in self.fixed_weights.items():
            result[component], is_open[component] = value, False
        while is_open.any():
            rest, mass = 1.0 - float(result[~is_open].sum()), float(weights[is_open].sum())
            result[is_open] = weights[is_open] * (rest / mass) if mass > 0 else rest / is_open.sum()
            low = is_open & (result < self.min_weight)
            if not low.any():
                break
            result[low], is_open[low] = self.min_weight, False
        return result

    def log_prior(self, weights: Array) -> float:
        """Return the log prior density of the weights, Σ_k (α_k − 1) log π_k, in nats, up to a constant."""
        added = np.broadcast_to(self.concentration, weights.shape)
        counts = added > 0
        return float((added[counts] * log(weights[counts])).sum())

    def n_fixed_weights(self, n_components: int) -> int:
        """Return how many of the K − 1 free parameters of the weights are fixed."""
        return n_components - 1 if self.is_equal else min(len(self.fixed_weights), n_components - 1)


@dataclass(frozen=True, eq=False)
class ConjugatePrior:
    """Normal–inverse Wishart prior, whose scale has the form of the second moments of a covariance structure.

    The log density of the prior is −½ Σ_k [a_k log|Σ_k| + tr(Λ Σ_k⁻¹) + κ (μ_k − μ_p)ᵀ Σ_k⁻¹ (μ_k − μ_p)]. If all
    components share a covariance, the term tr(Λ Σ⁻¹) occurs only once.

    Parameters
    ----------
    mean : prior mean μ_p, (n_features,), in data units.
    shrinkage : strength κ of the prior on means, in units of row weight; 0 without a prior on means.
    scale : scale Λ, in data units²: a matrix, its diagonal (n_features,) for diagonal covariances, or its trace for
        spherical covariances.
    dof_each, dof_total : degrees of freedom in units of row weight, with a_k = dof_each + dof_total / n_components.
    """

    mean: Array
    shrinkage: float
    scale: Array
    dof_each: float
    dof_total: float

    def dof(self, n_components: int) -> float:
        """Return the degrees of freedom a_k, which are equal for all components."""
        return self.dof_each + self.dof_total / n_components

    def posterior_means(self, means: Array, mass: Array) -> Array:
        """Return the posterior means (N_k x̄_k + κ μ_p) / (N_k + κ), (n_components, n_features)."""
        if not self.shrinkage:
            return means
        part: Array = (self.shrinkage / (mass + self.shrinkage))[:, None]
        return means + part * (self.mean - means)

    def add_to_scatter(self, scatter: Scatter, means: Array) -> Scatter:
        """Add Λ and the term of the prior mean to `second` of a scatter about `means`, and a_k to `degrees`."""
        second = scatter.second + self._scale_in_moment_form(scatter)
        if self.shrinkage:
            second = second + scatter.spec.squares(np.sqrt(self.shrinkage) * (means - self.mean))
        return replace(scatter, degrees=scatter.degrees + self.dof(scatter.n_components), second=second)

    def _scale_in_moment_form(self, scatter: Scatter) -> Array:
        """Return the scale Λ in the form of a component's second moments."""
        spec = scatter.spec
        if spec.second is not Second.PROJECTED:
            return self.scale
        assert spec.projection is not None, "Second.PROJECTED requires a projection"
        crossed = self.scale[:, None] * spec.projection.swapaxes(1, 2)
        variances = np.broadcast_to(self.scale[:, None], (*crossed.shape[:2], 1))
        both = np.concatenate((crossed, variances), axis=2)
        return both[0] if spec.is_pooled else both

    def log_density(self, model: Model) -> float:
        """Return the log prior density of a model, in nats, up to a constant."""
        whitening, n_components = model.whitening, model.n_components
        log_det = -2.0 * np.broadcast_to(whitening.log_abs_det, n_components)
        with np.errstate(over="ignore"):  # overflow gives a density of 0
            traces = float(self.scale_traces(model.covariances).sum())
            total = self.dof(n_components) * float(log_det.sum()) + traces
            if self.shrinkage:
                total += self.shrinkage * float((whitening.whiten_each(model.means - self.mean) ** 2).sum())
        return -0.5 * total

    def scale_traces(self, covariances: Covariances) -> Array:
        """Return tr(Λ Σ⁻¹) for each covariance, (n,), where n is 1 for a shared covariance."""
        if self.scale.ndim < 2:
            precisions = covariances.whitening.precision_diagonals()
            if not self.scale.ndim:
                return np.asarray(self.scale * precisions.mean(axis=1))
            return (self.scale * precisions).sum(axis=1)
        whitening = covariances.whitening
        assert isinstance(whitening, TriangularWhitening), "covariance matrices have triangular factors"
        return whitening.total_squares(self._scale_roots)

    @cached_property
    def _scale_roots(self) -> Array:
        """Return a matrix whose rows r satisfy Λ = Σ r rᵀ."""
        values, axes = principal_axes(self.scale[None])
        return (axes[0] * np.sqrt(values[0].clip(min=0.0))).T

    def scale_roots(self, n_features: int) -> Array:
        """Return a matrix (n_features, n_features) whose rows r satisfy Λ = Σ r rᵀ, for any form of Λ."""
        if self.scale.ndim == 2:
            return self._scale_roots
        variances = self.scale if self.scale.ndim else self.scale / n_features
        return np.diag(np.sqrt(np.broadcast_to(variances, n_features)))


@dataclass(frozen=True, eq=False)
class PosteriorObjective(Objective):
    """Log-likelihood plus log prior density, as an objective with free and fixed parameters.

    The ridge is added to variances as in `Objective`. EM is guaranteed to increase this objective only if the ridge is
    0.

    Parameters
    ----------
    prior : prior on means and covariances; None without a prior.
    weight_update : restrictions and prior on the weights of all components except noise; these weights sum to 1.
    fixed_mean_values : values of the fixed means, (n_fixed, n_features), in data units; None if no mean is fixed.
    fixed_mean_components : indices of the components with fixed means.
    initial_covariances : covariances of all components; only the fixed covariances are used.
    fixed_covariance_components : indices of the components with fixed covariances.
    """

    prior: ConjugatePrior | None = None
    weight_update: WeightUpdate = field(default_factory=WeightUpdate)
    fixed_mean_values: Array | None = None
    fixed_mean_components: Sequence[int] = ()
    initial_covariances: Covariances | None = None
    fixed_covariance_components: Collection[int] = ()

    def constrain(self, weights: Array, means: Array, scatter: Scatter) -> tuple[Array, Array, Scatter]:
        mass = scatter.degrees
        result = self._insert_fixed_means(means if self.prior is None else self.prior.posterior_means(means, mass))
        if result is not means:
            offsets = np.sqrt(mass)[:, None] * (means - result)
            scatter = replace(scatter, second=scatter.second + scatter.spec.squares(offsets))
        if self.prior is not None:
            scatter = self.prior.add_to_scatter(scatter, result)
        weights = self.weight_update.update(weights, float(mass.sum()))
        return weights, result, super().constrain(weights, result, scatter)[2]

    def _insert_fixed_means(self, means: Array) -> Array:
        """Return the means after replacing the fixed means with their fixed values."""
        if self.fixed_mean_values is None:
            return means
        result = np.array(means)
        result[list(self.fixed_mean_components)] = self.fixed_mean_values
        return result

    @property
    def variance_floor(self) -> Array:
        """Return the ridge or, if the ridge is 0 and the prior's scale is positive, the smallest normal float64."""
        if self.prior is None:
            return self.ridge
        scale = np.diagonal(self.prior.scale) if self.prior.scale.ndim == 2 else self.prior.scale
        return np.maximum(self.ridge, np.where(scale > 0, np.finfo(np.float64).tiny, 0.0))

    def log_prior(self, model: Model) -> float:
        log_weight_prior = self.weight_update.log_prior(model.without_noise.weights)
        return log_weight_prior if self.prior is None else log_weight_prior + self.prior.log_density(model)

    def pack_for_core(self, n_components: int) -> tuple[Array, PackedPrior] | None:
        """Return ridge and prior for the C++ core; None if the core does not support the prior or fixed parameters."""
        prior, weight_update = self.prior, self.weight_update
        is_fixed = self.fixed_mean_components or self.fixed_covariance_components
        has_fixed_weights = weight_update.n_fixed_weights(n_components) == n_components - 1 > 0
        is_supported = (weight_update.is_unrestricted or has_fixed_weights) and not np.ndim(weight_update.concentration)
        if type(prior) is not ConjugatePrior or is_fixed or not is_supported:
            return None
        scale = prior.scale if prior.scale.ndim else prior.scale / len(prior.mean)
        roots = prior.scale_roots(len(prior.mean)) if scale.ndim == 2 else None
        return self.ridge, PackedPrior(
            has_stick_breaking=False,
            weight_concentration=float(weight_update.concentration),
            max_components=0,
            mean=prior.mean,
            mean_precision=prior.shrinkage,
            dof=prior.dof(n_components),
            scale=np.array(scale).ravel(),
            scale_roots=roots,
            log_normaliser=0.0,
            total_weight=1.0,
            weight_unit=1.0,
            is_map=True,
            has_fixed_weights=has_fixed_weights,
        )

    def nearest_feasible(self, model: Model) -> Model:
        components, covariances = model.without_noise, model.covariances
        weights, means = self.weight_update.nearest_allowed(components.weights), self._insert_fixed_means(model.means)
        if self.initial_covariances is not None:
            indices = list(self.fixed_covariance_components)
            covariances = covariances.replace_components(indices, self.initial_covariances.take(indices))
        return replace(components, weights=weights, means=means, covariances=covariances).with_noise(model.noise)

    def n_fixed_parameters(self, model: Model) -> int:
        n_components, n_features = model.means.shape
        n_means, n_covariances = len(self.fixed_mean_components) * int(n_features), 0
        if self.fixed_covariance_components:
            rest = n_components - len(self.fixed_covariance_components)
            count = model.family.n_parameters
            n_covariances = count(n_components, n_features) - (count(rest, n_features) if rest else 0)
        return self.weight_update.n_fixed_weights(int(n_components)) + n_means + n_covariances

    @property
    def without_component_terms(self) -> PosteriorObjective:
        return PosteriorObjective(self.ridge, self.prior, self.weight_update.without_component_terms)
