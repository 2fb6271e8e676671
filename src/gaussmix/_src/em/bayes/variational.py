"""Variational Bayes as an objective of EM: a lower bound on the log evidence replaces the log-likelihood.

The M-step differs from the M-step of a conjugate prior (`em.priors.posterior`) only in the degrees of freedom, and the
E-step differs from the usual E-step only in `Parameters.log_scale`. Therefore, neither covariance structures nor
engines need special code for variational Bayes. The bound before a step is the log-likelihood Σ_i log Σ_k p(x_i, k), as
the E-step computes it, minus the divergence KL(q ‖ p) of the posterior q from the prior p. The bound equals Bishop
(2006) eq. 10.70–10.77, with the terms in a different order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from gaussmix._src.em.bayes.variational_posterior import GaussWishartPrior, VariationalPosterior
from gaussmix._src.em.priors.posterior import PosteriorObjective
from gaussmix._src.em.priors.terms import OverallMoments, PriorTerms
from gaussmix._src.engines.calls import PackedPrior
from gaussmix._src.families.base import Family
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array


@dataclass(frozen=True, eq=False, kw_only=True)
class VariationalObjective(PosteriorObjective):
    """Lower bound on the log evidence of a variational posterior, as an objective of EM.

    The whole posterior, in which component k has N_k rows, scale S_k and ν_k degrees of freedom, is defined by the
    number of rows n and a model with weights N_k / n and covariances S_k / ν_k. A model may have fewer components than
    the prior. Omitting components without rows after the last component with rows does not change the bound.

    Parameters
    ----------
    gauss_wishart : prior of the mixture; its `mean_precision` and its degrees of freedom are numbers of rows.
    total_weight : total weight n of all rows, before the division by `weight_unit`.
    weight_unit : number by which the row weights were divided.
    """

    objective_name: ClassVar[str] = "bound"
    gauss_wishart: GaussWishartPrior
    total_weight: float
    weight_unit: float = 1.0

    @property
    def objective_scale(self) -> float:
        return self.total_weight

    def variational_posterior(self, model: Model) -> VariationalPosterior:
        """Return the variational posterior q that a model represents."""
        last: tuple[Model, VariationalPosterior] | None = vars(self).get("_last")
        if last is None or last[0] is not model:  # q is cached, because each EM step needs q twice
            counts = self.total_weight * model.weights
            result = VariationalPosterior(self.gauss_wishart, counts, model.means, model.covariances)
            last = vars(self)["_last"] = model, result
        return last[1]

    def to_model(self, posterior: VariationalPosterior) -> Model:
        """Return the model that represents a variational posterior."""
        mass = posterior.counts
        return Model(mass / self.total_weight, posterior.means, posterior.covariances, self.gauss_wishart.family)

    def parameters(self, model: Model) -> Parameters:
        return self.variational_posterior(model).e_step_parameters

    def log_prior(self, model: Model) -> float:
        """Return −KL(q ‖ p), which is the part of the bound that is not a sum over rows."""
        return -self.variational_posterior(model).divergence_from_prior / self.weight_unit

    def pack_for_core(self, n_components: int) -> tuple[Array, PackedPrior]:
        return self.ridge, self.gauss_wishart.pack(self.total_weight, self.weight_unit)

    @property
    def without_component_terms(self) -> VariationalObjective:
        return self


# Function that makes the prior from the moments of all rows. The second result is the automatic ridge if this ridge was
# added to the scale of the prior, and otherwise None.
PriorFactory = Callable[[OverallMoments], tuple[GaussWishartPrior, Array | None]]


@dataclass(frozen=True, eq=False, kw_only=True)
class BayesianTerms(PriorTerms):
    """Terms of the prior of a Bayesian fit, from which the objective of EM is made.

    Parameters
    ----------
    make_prior : function that makes the prior from the moments of all rows.
    """

    make_prior: PriorFactory

    @property
    def needs_moments(self) -> bool:
        return True

    def make_objective(
        self, ridge: Array, unit: float, n_components: int, family: Family, moments: OverallMoments | None
    ) -> VariationalObjective:
        assert moments is not None, "a prior requires the moments of all rows"
        prior, automatic = self.make_prior(moments)
        ridge = ridge if automatic is None else automatic  # the automatic ridge replaces a ridge that is too small
        conjugate, total = prior.scaled_conjugate(unit), moments.total_weight
        return VariationalObjective(ridge, conjugate, gauss_wishart=prior, total_weight=total, weight_unit=unit)
