"""The objective that EM increases: the log-likelihood and the terms that a fit adds."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

from gaussmix._src.engines.calls import PackedPrior
from gaussmix._src.errors import LIKELIHOOD
from gaussmix._src.interfaces.moments import Scatter
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array


@dataclass(frozen=True, eq=False)
class Objective:
    """Log-likelihood with a ridge (n_features,), data units², that is added to the variances at each step.

    A ridge is not a prior: because its term grows with the mass of a component, EM does not increase any function of
    the parameters alone. As in scikit-learn, the log-likelihood decides when EM ends and which run is the best.

    Subclasses add terms to each M-step and to the values that EM compares. `objective_name` is the name in messages,
    and `objective_scale` the factor from values per unit of row weight to reported values.
    """

    ridge: Array

    objective_name: ClassVar[str] = LIKELIHOOD

    @property
    def objective_scale(self) -> float:
        return 1.0

    def constrain(self, weights: Array, means: Array, scatter: Scatter) -> tuple[Array, Array, Scatter]:
        """Change the maximum-likelihood values before the structure computes covariances from the scatter.

        Parameters
        ----------
        weights : (n_components,), with sum 1.
        means : (n_components, n_features), data units.
        scatter : scatter about these means, with the masses as `degrees`. A prior adds to `second` and `degrees`, once
            for pooled moments and otherwise for each component.
        """
        return weights, means, scatter.with_ridge(self.ridge)

    @property
    def variance_floor(self) -> Array:
        """Return lower bounds on variances, (n_features,), data units²; 0 without a bound."""
        return self.ridge

    def log_prior(self, model: Model) -> float:
        """Return the term that is added to the log-likelihood of all rows, nats, up to a constant."""
        return 0.0

    def parameters(self, model: Model) -> Parameters:
        """Return the parameters of a model for the E-step."""
        return model.parameters

    @property
    def fixed_covariance_components(self) -> Collection[int]:
        """Return the components whose covariance no step changes."""
        return ()

    def nearest_feasible(self, model: Model) -> Model:
        """Return the nearest model that an M-step could make, with fixed values and allowed weights."""
        return model

    def n_fixed_parameters(self, model: Model) -> int:
        """Count the parameters of a model that no step changes."""
        return 0

    @property
    def without_component_terms(self) -> Objective:
        """Return the objective without terms for single components, for starts with other numbers of components."""
        return self

    def ridge_penalty(self, model: Model) -> float:
        """Return the cost of the ridge R, ½ Σ_k π_k tr(R Σ_k⁻¹), in nats per unit of row weight.

        An M-step maximises Q − ½ Σ_k N_k tr(R Σ_k⁻¹). With N_k = N π_k, a step therefore increases the likelihood minus
        this cost, though not exactly, because the E-step ignores R.
        """
        if not self.ridge.any():
            return 0.0
        return 0.5 * float((model.weights[:, None] * model.covariances.ridge_precisions() * self.ridge).sum())

    def pack_for_core(self, n_components: int) -> tuple[Array, PackedPrior | None] | None:
        """Return the ridge and the prior, if any; None if the core does not support all terms of the objective."""
        return (self.ridge, None) if type(self) is Objective else None
