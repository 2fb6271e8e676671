"""What EM raises: the log-likelihood, and what a fit adds to it."""

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
    """Maximum likelihood, with a ridge (n_features,), data units², added to the variances at each step.

    A ridge is not a prior: its term grows with the mass, so EM raises no function of the parameters alone. The
    log-likelihood decides when EM ends and which run is the best, as in scikit-learn.

    Subclasses add other terms, at each M-step and in the numbers that EM compares. `objective_name` is what users
    call it, and `objective_scale` how often they count what it is per unit of row weight.
    """

    ridge: Array

    objective_name: ClassVar[str] = LIKELIHOOD

    @property
    def objective_scale(self) -> float:
        return 1.0

    def constrain(self, weights: Array, means: Array, scatter: Scatter) -> tuple[Array, Array, Scatter]:
        """Change the maximum-likelihood values, before the family makes covariances from the scatter.

        Parameters
        ----------
        weights : (n_components,), which sum to 1.
        means : (n_components, n_features), data units.
        scatter : about these means, with the masses as `degrees`. A prior adds to `second` and `degrees`: once to
            pooled moments, otherwise to each component.
        """
        return weights, means, scatter.with_ridge(self.ridge)

    @property
    def variance_floor(self) -> Array:
        """Lower bounds on variances, (n_features,), data units²; 0 for none."""
        return self.ridge

    def log_prior(self, model: Model) -> float:
        """The term added to the log-likelihood of all rows, nats, up to a constant."""
        return 0.0

    def parameters(self, model: Model) -> Parameters:
        """What the E-step of a model reads."""
        return model.parameters

    @property
    def fixed_covariance_components(self) -> Collection[int]:
        """Components whose covariance no step changes."""
        return ()

    def nearest_feasible(self, model: Model) -> Model:
        """The nearest model that an M-step could make, with fixed values and allowed weights."""
        return model

    def n_fixed_parameters(self, model: Model) -> int:
        """Number of parameters of a model that no step changes."""
        return 0

    @property
    def without_component_terms(self) -> Objective:
        """The objective without terms for single components, for starts with another order or number of components."""
        return self

    def ridge_penalty(self, model: Model) -> float:
        """½ Σ_k π_k tr(R Σ_k⁻¹), R = diag(ridge): the objective less what a step raises, nats per unit of row weight.

        An M-step maximises Q − ½ Σ_k N_k tr(R Σ_k⁻¹). With N_k = N π_k, a gain of that is a gain of the likelihood less
        this cost. It is not exact: the E-step ignores R.
        """
        if not self.ridge.any():
            return 0.0
        return 0.5 * float((model.weights[:, None] * model.covariances.ridge_precisions() * self.ridge).sum())

    def pack_for_core(self, n_components: int) -> tuple[Array, PackedPrior | None] | None:
        """The ridge and the prior, if there is one; None if the core does not support all terms of the objective."""
        return (self.ridge, None) if type(self) is Objective else None
