"""The objective that EM increases: the log-likelihood plus terms such as a log prior."""

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
    """Log-likelihood as the objective, with a ridge (n_features,), in data units², that M-steps add to variances.

    A ridge is not a prior, because its effect grows with the number of rows of a component. EM with a ridge therefore
    does not increase any function of the parameters alone. As in scikit-learn, the log-likelihood determines when EM
    has converged and which run is the best.

    Subclasses add terms to each M-step and to the value of the objective. `objective_name` is the name of the objective
    in messages. Reported values of the objective are values per unit of row weight, multiplied by `objective_scale`.
    """

    ridge: Array

    objective_name: ClassVar[str] = LIKELIHOOD

    @property
    def objective_scale(self) -> float:
        return 1.0

    def constrain(self, weights: Array, means: Array, scatter: Scatter) -> tuple[Array, Array, Scatter]:
        """Apply a prior and restrictions to the maximum-likelihood estimates, before covariances are computed.

        Parameters
        ----------
        weights : weights with sum 1, (n_components,).
        means : means of the components, (n_components, n_features), in data units.
        scatter : scatter about `means`, with the components' sums of responsibilities as `degrees`. A prior adds terms
            to `second` and `degrees` of the scatter, once for pooled moments and otherwise for each component.
        """
        return weights, means, scatter.with_ridge(self.ridge)

    @property
    def variance_floor(self) -> Array:
        """Return the lower bound on each feature's variances, (n_features,), in data units²; 0 means no bound."""
        return self.ridge

    def log_prior(self, model: Model) -> float:
        """Return the term that the objective adds to the log-likelihood of all rows, in nats, up to a constant."""
        return 0.0

    def parameters(self, model: Model) -> Parameters:
        """Return the parameters that the E-step uses for a model."""
        return model.parameters

    @property
    def fixed_covariance_components(self) -> Collection[int]:
        """Return the indices of the components whose covariance is fixed."""
        return ()

    def nearest_feasible(self, model: Model) -> Model:
        """Return the nearest model that satisfies all constraints, such as fixed values and bounds on weights."""
        return model

    def n_fixed_parameters(self, model: Model) -> int:
        """Return the number of fixed parameters, which no EM step changes."""
        return 0

    @property
    def without_component_terms(self) -> Objective:
        """Return the objective without terms for single components, so that the number of components may change."""
        return self

    def ridge_penalty(self, model: Model) -> float:
        """Return the penalty of the ridge R, ½ Σ_k π_k tr(R Σ_k⁻¹), in nats per unit of row weight.

        An M-step maximises Q − ½ Σ_k N_k tr(R Σ_k⁻¹), with N_k = N π_k and the expected log-likelihood Q. Therefore, an
        EM step increases the log-likelihood minus the penalty, but only approximately, because the E-step ignores R.
        """
        if not self.ridge.any():
            return 0.0
        return 0.5 * float((model.weights[:, None] * model.covariances.ridge_precisions() * self.ridge).sum())

    def pack_for_core(self, n_components: int) -> tuple[Array, PackedPrior | None] | None:
        """Return ridge and prior (or None) for the C++ core; None if the core does not support this objective."""
        return (self.ridge, None) if type(self) is Objective else None
