"""What EM raises: the log-likelihood, and what a fit adds to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass

from gaussmix.model import Model
from gaussmix.numerics.arrays import Array
from gaussmix.waist.moments import Scatter


class Objective(ABC):
    """What a fit adds to maximum likelihood, at each M-step and in the numbers that EM compares."""

    @abstractmethod
    def constrain(self, weights: Array, means: Array, scatter: Scatter) -> tuple[Array, Array, Scatter]:
        """Change what maximises the likelihood alone, before the family makes covariances of the scatter.

        Parameters
        ----------
        weights : (n_components,), which sum to 1.
        means : (n_components, n_features), data units.
        scatter : about these means; its `degrees` are the masses. A prior adds to `second` and to `degrees`: once where
            moments are pooled, and for each component where they are not.
        """

    @property
    @abstractmethod
    def floor(self) -> Array:
        """(n_features,), data units²: variances that no component falls below, 0 where it may."""

    def log_prior(self, model: Model) -> float:
        """What is added to the log-likelihood of all rows, nats, up to a constant."""
        return 0.0

    @property
    def fixed_covariances(self) -> Collection[int]:
        """Components whose covariance no step changes."""
        return ()

    def feasible(self, model: Model) -> Model:
        """The nearest model that an M-step could make: with the fixed values and the weights that are allowed."""
        return model

    def n_fixed(self, model: Model) -> int:
        """How many of the free parameters of a model are none, because no step changes them."""
        return 0

    @property
    def for_any(self) -> Objective:
        """Without what it says of single components: for starts, whose components have another order or number."""
        return self

    def cost(self, model: Model) -> float:
        """By how much the objective exceeds what a step raises, nats per unit of row weight."""
        return 0.0

    def as_ridge(self) -> Array | None:
        """The ridge (n_features,), where the objective is nothing else: the fast path of engines knows ridges only."""
        return None


@dataclass(frozen=True, eq=False)
class Ridge(Objective):
    """Maximum likelihood, with a number added to every variance at each step.

    It is no prior: what it adds to the scatter grows with the mass, so that no function of the parameters alone is
    raised. The log-likelihood decides when EM ends and which run is the best, as in scikit-learn.

    Parameters
    ----------
    ridge : (n_features,), data units²; 0 adds nothing.
    """

    ridge: Array

    def constrain(self, weights: Array, means: Array, scatter: Scatter) -> tuple[Array, Array, Scatter]:
        return weights, means, scatter.with_ridge(self.ridge)

    @property
    def floor(self) -> Array:
        return self.ridge

    def cost(self, model: Model) -> float:
        """½ Σ_k π_k tr(R Σ_k⁻¹), R = diag(ridge).

        An M-step maximises Q − ½ Σ_k N_k tr(R Σ_k⁻¹). With N_k = N π_k a gain of that is one of the likelihood less
        this. It is not exact: the E-step does not know of R.
        """
        if not self.ridge.any():
            return 0.0
        return 0.5 * float((model.weights[:, None] * model.covariances.ridge_precisions() * self.ridge).sum())

    def as_ridge(self) -> Array | None:
        return self.ridge
