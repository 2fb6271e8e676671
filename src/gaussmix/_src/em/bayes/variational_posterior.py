"""The approximate posterior of a mixture in variational Bayes: its divergence from the prior, its E-step, its density.

q(π) Π_k q(μ_k, Λ_k): Gauss–Wishart for matrices, Gauss–gamma for variances, with Λ = Σ⁻¹. Bishop (2006) section 10.2;
Attias (2000), NIPS 12. Components that share a covariance share Λ, and its posterior has all rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gaussmix._src.covariances import Covariances
from gaussmix._src.em.bayes.student_mixture import StudentMixture
from gaussmix._src.em.priors.concentration import DirichletWeights, StickBreakingWeights, WeightPrior
from gaussmix._src.em.priors.posterior import ConjugatePrior
from gaussmix._src.engines.calls import PackedPrior
from gaussmix._src.families.base import Family
from gaussmix._src.interfaces.moment_spec import Second
from gaussmix._src.interfaces.parameters import LOG_2PI, Parameters
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.elementary import gammas, log
from gaussmix._src.numerics.threads import cached_property


@dataclass(frozen=True, eq=False)
class GaussWishartPrior:
    """The prior of a component's mean and covariance, and of the weights: p(μ, Λ) and p(π).

    μ | Λ ~ N(m, (β Λ)⁻¹). Λ ~ W(ν, S⁻¹) for matrices; for variances λ_j ~ Γ(ν/2, rate s_j/2) each, and for one variance
    λ ~ Γ(dν/2, rate d s/2).

    Parameters
    ----------
    family : the structure.
    weight_prior : of the weights.
    mean : m, (n_features,), data units.
    mean_precision : β, rows.
    dof : ν, rows; above n_features − 1 for matrices.
    scale : S, data units²: a matrix, (n_features,), or a number for one variance.
    """

    family: Family
    weight_prior: WeightPrior
    mean: Array
    mean_precision: float
    dof: float
    scale: Array

    @property
    def covariance_form(self) -> Second:
        return self.family.kind.second

    @property
    def n_features(self) -> int:
        return len(self.mean)

    @cached_property
    def covariance(self) -> Covariances:
        """S / ν, as the covariance of a component; raises `SingularCovarianceError` when it is factored."""
        return self.family.kind.from_array(self.scale[None] / self.dof, 1, self.n_features, False)

    def scaled_conjugate(self, unit: float = 1.0) -> ConjugatePrior:
        """The prior as what it adds to sums of rows whose weights were divided by `unit`."""
        scale = self.n_features * self.scale if self.covariance_form is Second.TRACE else self.scale
        each, once = (0.0, self.dof) if self.family.is_shared else (self.dof, 0.0)
        return ConjugatePrior(self.mean, self.mean_precision / unit, scale / unit, each / unit, once / unit)

    @cached_property
    def conjugate(self) -> ConjugatePrior:
        """The prior as what it adds to sums of rows."""
        return self.scaled_conjugate()

    def pack(self, total_weight: float, weight_unit: float) -> PackedPrior:
        """The prior for an engine, for rows of this total weight, whose weights were divided by `weight_unit`."""
        concentration = self.weight_prior
        limit = concentration.n_components if isinstance(concentration, DirichletWeights) else 0
        roots = self.conjugate.scale_roots(self.n_features) if self.covariance_form is Second.FULL else None
        scale = np.ascontiguousarray(self.scale).ravel()
        of_prior = self.mean, self.mean_precision, self.dof, scale, roots, self.log_normaliser
        has_sticks = isinstance(concentration, StickBreakingWeights)
        return PackedPrior(has_sticks, concentration.concentration, limit, *of_prior, total_weight, weight_unit)

    @property
    def dof_factor(self) -> float:
        """Gamma distributions of one variance have d times the degrees of freedom."""
        return float(self.n_features) if self.covariance_form is Second.TRACE else 1.0

    def _gamma_arguments(self, dof: Array) -> Array:
        """Arguments of the gamma functions, (n, …)."""
        if self.covariance_form is Second.FULL:
            return np.asarray(0.5 * (dof[:, None] - np.arange(self.n_features)))
        return np.asarray(0.5 * (dof * self.dof_factor)[:, None])

    def wishart_expectations(self, dof: Array, log_dets: Array) -> tuple[Array, Array]:
        """E log |Λ| + log |S / ν|, and logs of the normalisers of Λ up to a constant, nats, (n,).

        `dof` are ν, (n,), and `log_dets` are log |S / ν| of the posteriors.
        """
        d, (logs, derivatives) = self.n_features, gammas(self._gamma_arguments(dof))
        n_each = {Second.FULL: (1, 1), Second.TRACE: (d, 1)}.get(self.covariance_form, (d, d))
        of_dof = d * log(0.5 * self.dof_factor * dof)
        normalisers = n_each[1] * logs.sum(axis=1) - 0.5 * dof * (of_dof + log_dets)
        return n_each[0] * derivatives.sum(axis=1) - of_dof, normalisers

    @cached_property
    def log_normaliser(self) -> float:
        """Log of the normaliser of p(Λ), nats, up to the same constant."""
        log_dets = -2.0 * self.covariance.whitening.log_abs_det
        return float(self.wishart_expectations(np.array([self.dof]), log_dets)[1][0])


@dataclass(frozen=True, eq=False)
class VariationalPosterior:
    """q(π, μ, Λ) of a mixture.

    Parameters
    ----------
    prior : p(π, μ, Λ).
    counts : (n_components,), N_k, rows.
    means : (n_components, n_features), the means of q(μ_k), data units.
    covariances : S_k / ν_k, data units²; their inverses are E Λ_k.
    """

    prior: GaussWishartPrior
    counts: Array
    means: Array
    covariances: Covariances

    @cached_property
    def mean_precisions(self) -> Array:
        """β_k, (n_components,), rows."""
        return self.prior.mean_precision + self.counts

    @cached_property
    def dof(self) -> Array:
        """ν_k of each covariance, (n_components,) or (1,), rows."""
        of_rows = self.counts.sum(keepdims=True) if self.prior.family.is_shared else self.counts
        return self.prior.dof + of_rows

    @property
    def _log_dets(self) -> Array:
        """log |S / ν| of each covariance, (n_components,) or (1,)."""
        return -2.0 * self.covariances.whitening.log_abs_det

    @cached_property
    def _weight_moments(self) -> tuple[Array, Array]:
        return self.prior.weight_prior.expected_log_weights(self.counts)

    @cached_property
    def _covariance_moments(self) -> tuple[Array, Array]:
        return self.prior.wishart_expectations(self.dof, self._log_dets)

    @property
    def expected_log_weights(self) -> Array:
        """E log π_k, (n_components,), nats."""
        return self._weight_moments[0]

    @property
    def precision_log_normalisers(self) -> Array:
        """Logs of the normalisers of Λ, nats, up to a constant, (n_components,) or (1,)."""
        return self._covariance_moments[1]

    @cached_property
    def e_step_log_weights(self) -> Array:
        """Logs of the numbers that stand for the weights in the E-step, (n_components,); they sum to less than 1."""
        constants = 0.5 * self._covariance_moments[0] - 0.5 * self.prior.n_features / self.mean_precisions
        return self._weight_moments[0] + constants

    @cached_property
    def e_step_parameters(self) -> Parameters:
        """The E-step: log r_nk = E log π_k + E log N(x_n | μ_k, Λ_k⁻¹) + constant; Bishop (2006) eq. 10.46."""
        whitening, d = self.covariances.whitening, self.prior.n_features
        log_scale = self.e_step_log_weights + whitening.log_abs_det - 0.5 * d * LOG_2PI
        return Parameters(log_scale, self.means, whitening)

    def component_divergences(self) -> Array:
        """KL(q ‖ p) of means and covariances, nats: of each component, or of all in a sum, (1,), if they share Λ."""
        prior, d = self.prior, self.prior.n_features
        expected, normalisers = self._covariance_moments
        of_covariance = prior.log_normaliser - normalisers + 0.5 * (self.dof - prior.dof) * (expected - self._log_dets)
        of_covariance = of_covariance + 0.5 * (prior.conjugate.scale_traces(self.covariances) - d * self.dof)
        of_means = self.mean_divergences()
        return of_covariance + (of_means.sum(keepdims=True) if prior.family.is_shared else of_means)

    def mean_divergences(self) -> Array:
        """The part of the means alone, given Λ, (n_components,), nats."""
        prior = self.prior
        ratio = prior.mean_precision / self.mean_precisions
        distance = (self.covariances.whitening.whiten_each(self.means - prior.mean) ** 2).sum(axis=1)
        return 0.5 * (prior.n_features * (ratio - 1.0 - log(ratio)) + prior.mean_precision * distance)

    @property
    def divergence_from_prior(self) -> float:
        """KL(q ‖ p) of all parameters, nats. The bound is log Σ exp of the E-step, summed over rows, less this."""
        return float(self.component_divergences().sum()) + self.weights_divergence

    @property
    def weights_divergence(self) -> float:
        """KL(q(π) ‖ p(π)), nats."""
        expected_logs, normaliser = self._weight_moments
        return float((self.counts * expected_logs).sum() - normaliser)

    def take(self, components: Any) -> VariationalPosterior:
        """Some of the components, in this order. Those that they share a covariance with keep their part in it."""
        own = np.asarray(components, dtype=np.intp)
        return replace(self, counts=self.counts[own], means=self.means[own], covariances=self.covariances.take(own))

    def with_empty_components(self, n_empty: int) -> VariationalPosterior:
        """This posterior with more components, `n_empty` without rows, which are as the prior has them."""
        prior, n_components = self.prior, len(self.counts)
        mass = np.append(self.counts, np.zeros(n_empty))
        means = np.concatenate((self.means, np.broadcast_to(prior.mean, (n_empty, prior.n_features))))
        each = self.covariances.each
        if not self.covariances.is_shared:
            own = prior.covariance.each
            each = np.concatenate((each, np.broadcast_to(own, (n_empty, *own.shape[1:]))))
        covariances = replace(self.covariances, each=each, n_components=n_components + n_empty)
        return replace(self, counts=mass, means=means, covariances=covariances)

    def draw_model(self, rng: np.random.Generator) -> Model:
        """A mixture drawn from q, of the components at hand; their weights are scaled to sum to 1."""
        prior, d = self.prior, self.prior.n_features
        dof = self.dof
        normal = rng.standard_normal(self.means.shape)
        if prior.covariance_form is Second.FULL:
            roots = self._draw_covariance_roots(rng)
            each = roots @ roots.swapaxes(-1, -2)
            offsets = (roots @ normal[..., None])[..., 0]  # a root that all share counts for each
        else:
            size = (len(dof), d) if prior.covariance_form is Second.DIAGONAL else len(dof)
            shape = dof[:, None] if prior.covariance_form is Second.DIAGONAL else dof
            each = prior.dof_factor * shape * self.covariances.each / rng.chisquare(prior.dof_factor * shape, size)
            offsets = np.sqrt(each if prior.covariance_form is Second.DIAGONAL else each[:, None]) * normal
        means = self.means + offsets / np.sqrt(self.mean_precisions)[:, None]
        weights = prior.weight_prior.draw_weights(self.counts, rng)
        covariances = replace(self.covariances, each=each)
        return Model(weights / weights.sum(), means, covariances, prior.family)

    def _draw_covariance_roots(self, rng: np.random.Generator) -> Array:
        """R with R Rᵀ = Λ⁻¹ for a draw of each Λ; Bartlett (1933), Proceedings of the Royal Society of Edinburgh 53."""
        d, dof = self.prior.n_features, self.dof
        lower = np.tril(rng.standard_normal((len(dof), d, d)), -1)
        lower[:, np.arange(d), np.arange(d)] = np.sqrt(rng.chisquare(dof[:, None] - np.arange(d)))
        return np.sqrt(dof)[:, None, None] * self._scale_roots @ np.linalg.inv(lower).swapaxes(-1, -2)

    @cached_property
    def _scale_roots(self) -> Array:
        """W⁻¹ of each covariance, (n, n_features, n_features)."""
        whitening = self.covariances.whitening
        return np.array([whitening.colour(k, np.eye(self.prior.n_features)).T for k in range(len(self.dof))])

    @cached_property
    def predictive_density(self) -> StudentMixture:
        """The density of the next row, with the parameters integrated out: a mixture of t; Bishop (2006) eq. 10.81.

        A new row may also be the first of a component; that has the density of the prior.
        """
        weights = self.prior.weight_prior.mean_weights(self.counts)
        rest = max(0.0, 1.0 - float(weights.sum()))
        n_all, d = self.with_empty_components(1), self.prior.n_features
        dof = np.broadcast_to(n_all.dof, len(n_all.counts))
        if self.prior.covariance_form is Second.FULL:
            factor, df = dof / (dof + 1.0 - d), dof + 1.0 - d
        else:
            factor, df = np.ones(len(dof)), self.prior.dof_factor * dof
        factor = factor * (1.0 + 1.0 / n_all.mean_precisions)
        is_product = self.prior.covariance_form is Second.DIAGONAL
        return StudentMixture(np.append(weights, rest), n_all.means, n_all.covariances, factor, df, is_product)
