"""Approximate posterior of a mixture in variational Bayes, its divergence from the prior, and its predictive density.

The posterior is q(π) Π_k q(μ_k, Λ_k) with Λ = Σ⁻¹. Each q(μ_k, Λ_k) is a Gauss–Wishart distribution if covariances are
matrices, and a Gauss–gamma distribution if they are variances. See Bishop (2006) section 10.2 and Attias (2000), NIPS
12. If components share a covariance, there is a single Λ, and its posterior depends on all rows.
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
    """Prior p(μ, Λ) of a component's mean and precision, and prior p(π) of the weights.

    The prior on the mean is μ | Λ ~ N(m, (β Λ)⁻¹). If precisions are matrices, their prior is Λ ~ W(ν, S⁻¹). If
    covariances are diagonal, each feature's precision has the prior λ_j ~ Γ(ν/2, rate s_j/2). If covariances are
    spherical, the precision has the prior λ ~ Γ(dν/2, rate d s/2).

    Parameters
    ----------
    family : covariance structure.
    weight_prior : prior on the weights.
    mean : prior mean m, (n_features,), in data units.
    mean_precision : precision β of the mean, as a number of rows.
    dof : degrees of freedom ν, as a number of rows; greater than n_features − 1 if covariances are matrices.
    scale : scale S, in data units²: a matrix, an array (n_features,) for diagonal covariances, or a number for
        spherical covariances.
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
        """Return the covariance S / ν, whose `whitening` raises `SingularCovarianceError` if S / ν is singular."""
        return self.family.kind.from_array(self.scale[None] / self.dof, 1, self.n_features, False)

    def scaled_conjugate(self, unit: float = 1.0) -> ConjugatePrior:
        """Return the prior as terms to add to sums over rows whose weights were divided by `unit`."""
        scale = self.n_features * self.scale if self.covariance_form is Second.TRACE else self.scale
        each, once = (0.0, self.dof) if self.family.is_shared else (self.dof, 0.0)
        return ConjugatePrior(self.mean, self.mean_precision / unit, scale / unit, each / unit, once / unit)

    @cached_property
    def conjugate(self) -> ConjugatePrior:
        """Return the prior as terms to add to sums over rows."""
        return self.scaled_conjugate()

    def pack(self, total_weight: float, weight_unit: float) -> PackedPrior:
        """Return the prior as plain values for the C++ core; row weights were divided by `weight_unit`."""
        concentration = self.weight_prior
        limit = concentration.n_components if isinstance(concentration, DirichletWeights) else 0
        roots = self.conjugate.scale_roots(self.n_features) if self.covariance_form is Second.FULL else None
        scale = np.ascontiguousarray(self.scale).ravel()
        prior_values = self.mean, self.mean_precision, self.dof, scale, roots, self.log_normaliser
        has_sticks = isinstance(concentration, StickBreakingWeights)
        return PackedPrior(has_sticks, concentration.concentration, limit, *prior_values, total_weight, weight_unit)

    @property
    def dof_factor(self) -> float:
        """Return the factor by which ν is multiplied: n_features for spherical covariances, and otherwise 1."""
        return float(self.n_features) if self.covariance_form is Second.TRACE else 1.0

    def wishart_expectations(self, dof: Array, log_dets: Array) -> tuple[Array, Array]:
        """Return E log |Λ| + log |S / ν|, and log normalising constants of Λ up to a constant, in nats, (n,) each.

        `dof` (n,) contains the degrees of freedom ν of the posteriors, and `log_dets` (n,) contains log |S / ν|. Λ is a
        Wishart matrix, a diagonal matrix of gamma variates with the shape ν / 2, or the identity times one gamma
        variate with the shape n_features · ν / 2.
        """
        d, is_full = self.n_features, self.covariance_form is Second.FULL
        arguments = 0.5 * (dof[:, None] - np.arange(d) if is_full else (dof * self.dof_factor)[:, None])
        logs, derivatives = gammas(arguments)
        n_logs = d if self.covariance_form is Second.DIAGONAL else 1
        log_sizes = d * log(0.5 * self.dof_factor * dof)
        normalisers = n_logs * logs.sum(axis=1) - 0.5 * dof * (log_sizes + log_dets)
        return (1 if is_full else d) * derivatives.sum(axis=1) - log_sizes, normalisers

    @cached_property
    def log_normaliser(self) -> float:
        """Return the log normalising constant of p(Λ) in nats, up to the constant omitted by `wishart_expectations`."""
        log_dets = -2.0 * self.covariance.whitening.log_abs_det
        return float(self.wishart_expectations(np.array([self.dof]), log_dets)[1][0])


@dataclass(frozen=True, eq=False)
class VariationalPosterior:
    """Approximate posterior q(π, μ, Λ) of a mixture.

    Parameters
    ----------
    prior : prior p(π, μ, Λ) of the parameters.
    counts : number of rows N_k of each component (the sum of its weighted responsibilities), (n_components,).
    means : means of q(μ_k), (n_components, n_features), in data units.
    covariances : covariances S_k / ν_k, the inverses of the expected precisions E Λ_k, in data units².
    """

    prior: GaussWishartPrior
    counts: Array
    means: Array
    covariances: Covariances

    @cached_property
    def mean_precisions(self) -> Array:
        """Return the precisions β_k of the means, (n_components,), as pseudo-counts of rows."""
        return self.prior.mean_precision + self.counts

    @cached_property
    def dof(self) -> Array:
        """Return the degrees of freedom ν_k of each covariance, (n_components,) or (1,), as pseudo-counts of rows."""
        counts = self.counts.sum(keepdims=True) if self.prior.family.is_shared else self.counts
        return self.prior.dof + counts

    @property
    def _log_dets(self) -> Array:
        """Return log |S / ν| of each covariance, (n_components,) or (1,)."""
        return -2.0 * self.covariances.whitening.log_abs_det

    @cached_property
    def weight_moments(self) -> tuple[Array, Array]:
        """Return E log π_k, (n_components,), and the difference of log normalisers of q(π) and p(π), in nats."""
        return self.prior.weight_prior.expected_log_weights(self.counts)

    @cached_property
    def _covariance_moments(self) -> tuple[Array, Array]:
        return self.prior.wishart_expectations(self.dof, self._log_dets)

    @cached_property
    def e_step_log_weights(self) -> Array:
        """Return logs of the factors (with sum below 1) that replace the weights in E-steps, (n_components,)."""
        constants = 0.5 * self._covariance_moments[0] - 0.5 * self.prior.n_features / self.mean_precisions
        return self.weight_moments[0] + constants

    @cached_property
    def e_step_parameters(self) -> Parameters:
        """Return parameters for which log p(x, k) = E log π_k + E log N(x | μ_k, Λ_k⁻¹); Bishop (2006) eq. 10.46."""
        whitening, d = self.covariances.whitening, self.prior.n_features
        log_scale = self.e_step_log_weights + whitening.log_abs_det - 0.5 * d * LOG_2PI
        return Parameters(log_scale, self.means, whitening)

    def component_divergences(self) -> Array:
        """Return KL(q ‖ p) of each component's mean and precision, in nats; if Λ is shared, return the sum, (1,)."""
        prior, d = self.prior, self.prior.n_features
        expected, normalisers = self._covariance_moments
        wishart_kl = prior.log_normaliser - normalisers + 0.5 * (self.dof - prior.dof) * (expected - self._log_dets)
        wishart_kl = wishart_kl + 0.5 * (prior.conjugate.scale_traces(self.covariances) - d * self.dof)
        mean_kl = self.mean_divergences()
        return wishart_kl + (mean_kl.sum(keepdims=True) if prior.family.is_shared else mean_kl)

    def mean_divergences(self) -> Array:
        """Return the divergence KL(q ‖ p) of each component's mean for given Λ, (n_components,), in nats."""
        prior = self.prior
        ratio = prior.mean_precision / self.mean_precisions
        squared_distance = (self.covariances.whitening.whiten_each(self.means - prior.mean) ** 2).sum(axis=1)
        return 0.5 * (prior.n_features * (ratio - 1.0 - log(ratio)) + prior.mean_precision * squared_distance)

    @property
    def divergence_from_prior(self) -> float:
        """Return the divergence KL(q ‖ p) of the posterior q from the prior p, in nats."""
        return float(self.component_divergences().sum()) + self.weights_divergence

    @property
    def weights_divergence(self) -> float:
        """Return the divergence KL(q(π) ‖ p(π)) of the weights, in nats."""
        expected_logs, normaliser = self.weight_moments
        return float((self.counts * expected_logs).sum() - normaliser)

    def take(self, components: Any) -> VariationalPosterior:
        """Return the posterior of only the given components; a shared covariance is not changed."""
        own = np.asarray(components, dtype=np.intp)
        return replace(self, counts=self.counts[own], means=self.means[own], covariances=self.covariances.take(own))

    def with_empty_components(self, n_empty: int) -> VariationalPosterior:
        """Return this posterior plus `n_empty` components without rows, which have the prior as their posterior."""
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
        """Draw the parameters of the components with rows from q. Weights are rescaled so that their sum is 1."""
        prior, own = self.prior, self._with_rows
        normal = rng.standard_normal(own.means.shape)
        if prior.covariance_form is Second.FULL:
            roots = own._draw_covariance_roots(rng)
            each = roots @ roots.swapaxes(-1, -2)
            offsets = (roots @ normal[..., None])[..., 0]  # the root of a shared covariance is used for every component
        else:
            is_diagonal, variances = prior.covariance_form is Second.DIAGONAL, own.covariances.each
            dof = prior.dof_factor * (own.dof[:, None] if is_diagonal else own.dof)
            each = dof * variances / rng.chisquare(dof, variances.shape)
            offsets = np.sqrt(each if is_diagonal else each[:, None]) * normal
        means = own.means + offsets / np.sqrt(own.mean_precisions)[:, None]
        weights = prior.weight_prior.draw_weights(self.counts, rng)[self.counts > 0]
        return Model(weights / weights.sum(), means, replace(own.covariances, each=each), prior.family)

    @cached_property
    def _with_rows(self) -> VariationalPosterior:
        """The posterior of only the components with rows; a covariance drawn from the prior may be singular."""
        return self.take(np.flatnonzero(self.counts > 0))

    def _draw_covariance_roots(self, rng: np.random.Generator) -> Array:
        """Draw Λ, and return R with R Rᵀ = Λ⁻¹; Bartlett (1933), Proc. of the Royal Society of Edinburgh 53."""
        d, dof = self.prior.n_features, self.dof
        lower = np.tril(rng.standard_normal((len(dof), d, d)), -1)
        lower[:, np.arange(d), np.arange(d)] = np.sqrt(rng.chisquare(dof[:, None] - np.arange(d)))
        return np.sqrt(dof)[:, None, None] * self._scale_roots @ np.linalg.inv(lower).swapaxes(-1, -2)

    @cached_property
    def _scale_roots(self) -> Array:
        """Return the inverse whitening factor of each covariance, (n, n_features, n_features)."""
        whitening = self.covariances.whitening
        return np.array([whitening.colour(k, np.eye(self.prior.n_features)).T for k in range(len(self.dof))])

    @cached_property
    def predictive_density(self) -> StudentMixture:
        """Return the predictive density of a new row, which is a mixture of t distributions; Bishop (2006) eq. 10.81.

        The last component of the predictive density stands for all components without rows, and is computed from the
        prior.
        """
        weights = self.prior.weight_prior.mean_weights(self.counts)
        # The weight of the last component is not computed as 1 minus the sum of `weights`, because its t distribution
        # may be so wide that a rounding error in its weight dominates the density of distant rows.
        rest = self.prior.weight_prior.mean_omitted_weight(self.counts)
        extended, d = self.with_empty_components(1), self.prior.n_features
        dof = np.broadcast_to(extended.dof, len(extended.counts))
        if self.prior.covariance_form is Second.FULL:
            factor, df = dof / (dof + 1.0 - d), dof + 1.0 - d
        else:
            factor, df = np.ones(len(dof)), self.prior.dof_factor * dof
        factor = factor * (1.0 + 1.0 / extended.mean_precisions)
        is_product = self.prior.covariance_form is Second.DIAGONAL
        return StudentMixture(np.append(weights, rest), extended.means, extended.covariances, factor, df, is_product)
