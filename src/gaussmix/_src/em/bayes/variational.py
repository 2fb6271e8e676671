"""Variational Bayes as an objective of EM: the lower bound of the log evidence takes the place of the log-likelihood.

An M-step is that of a conjugate prior (`em.priors.posterior`) with other degrees of freedom, so families need no code
for it. An E-step reads other `Parameters`, so engines need none either. Before each step, Σ log Σ exp of the E-step
less KL(q ‖ p) is the bound; Bishop (2006) eq. 10.70–10.77 is the same in another order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from gaussmix._src.em.bayes.approximation import Approximation, GaussWishart
from gaussmix._src.em.priors.posterior import PosteriorObjective
from gaussmix._src.em.priors.terms import OverallMoments, PriorTerms
from gaussmix._src.engines.calls import PackedPrior
from gaussmix._src.families.base import Family
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array


@dataclass(frozen=True, eq=False, kw_only=True)
class Variational(PosteriorObjective):
    """The bound, of models whose weights are fractions of the rows, N_k / n, and whose covariances are S_k / ν_k.

    Such a model and n are the whole posterior. A model may have fewer components than the prior: the others have no
    rows, so that the bound of both is the same.

    Parameters
    ----------
    packed_prior : the prior, in rows.
    row_weight : n, in rows.
    unit : what the weights of the rows were divided by.
    """

    objective_name: ClassVar[str] = "bound"
    packed_prior: GaussWishart
    row_weight: float
    unit: float = 1.0

    @property
    def objective_scale(self) -> float:
        return self.row_weight

    def approximation(self, model: Model) -> Approximation:
        """q of a model."""
        prior: tuple[Model, Approximation] | None = vars(self).get("_last")
        if prior is None or prior[0] is not model:  # each step asks twice
            result = Approximation(self.packed_prior, self.row_weight * model.weights, model.means, model.covariances)
            prior = vars(self)["_last"] = model, result
        return prior[1]

    def model(self, approximation: Approximation) -> Model:
        """The model of q."""
        mass = approximation.mass
        return Model(mass / self.row_weight, approximation.means, approximation.covariances, self.packed_prior.family)

    def parameters(self, model: Model) -> Parameters:
        return self.approximation(model).parameters

    def log_prior(self, model: Model) -> float:
        """−KL(q ‖ p), which the bound has besides the sum over rows."""
        return -self.approximation(model).divergence / self.unit

    def pack_for_core(self, n_components: int) -> tuple[Array, PackedPrior]:
        return self.ridge, self.packed_prior.as_values(self.row_weight, self.unit)

    @property
    def without_component_terms(self) -> Variational:
        return self


# Makes the prior from the moments of all rows, and the ridge of the steps if their covariance is singular.
PriorFrom = Callable[[OverallMoments], tuple[GaussWishart, Array | None]]


@dataclass(frozen=True, eq=False)
class Bayesian(PriorTerms):
    """The prior of a Bayesian fit.

    Parameters
    ----------
    packed_prior : makes it from the moments of all rows.
    """

    packed_prior: PriorFrom | None = None

    @property
    def needs_moments(self) -> bool:
        return True

    def make_objective(
        self, ridge: Array, unit: float, n_components: int, family: Family, moments: OverallMoments | None
    ) -> Variational:
        assert self.packed_prior is not None, "always given"
        assert moments is not None, "a prior comes with moments"
        packed_prior, automatic = self.packed_prior(moments)
        ridge = ridge if automatic is None else automatic  # one that was 0 or too small
        return Variational(
            ridge, packed_prior.conjugate(unit), packed_prior=packed_prior, row_weight=moments.total_weight, unit=unit
        )
