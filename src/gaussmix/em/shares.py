"""What the weights of a mixture may be: equal, fixed, not below a bound, or drawn to equal ones by a prior."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from gaussmix.numerics.arrays import Array


@dataclass(frozen=True, eq=False)
class Shares:
    """The M-step of the weights: maximise Σ_k c_k log π_k over the weights that are allowed.

    Parameters
    ----------
    concentration : α − 1 ≥ 0 of a Dirichlet prior, in row weight; a number or (n_components,).
    is_equal : all weights are the same.
    fixed : component → the weight that it keeps.
    least : no weight is below.
    """

    concentration: float | Array = 0.0
    is_equal: bool = False
    fixed: Mapping[int, float] = field(default_factory=dict)
    least: float = 0.0

    @property
    def is_free(self) -> bool:
        """Whether every weight is allowed."""
        return not (self.is_equal or self.fixed or self.least)

    @property
    def for_any(self) -> Shares:
        """Without what is said of single components."""
        concentration = self.concentration if np.ndim(self.concentration) == 0 else 0.0
        return replace(self, concentration=concentration, fixed={})

    def best(self, weights: Array, row_weight: float) -> Array:
        """The weights (n_components,) with the highest posterior density, where `weights` have the highest likelihood.

        Parameters
        ----------
        weights : N_k / N, which sum to 1.
        row_weight : N.
        """
        added = np.broadcast_to(self.concentration, weights.shape)
        if added.any():
            weights = (row_weight * weights + added) / (row_weight + added.sum())
        return self.nearest(weights)

    def nearest(self, weights: Array) -> Array:
        """The allowed weights, which sum to 1, at which Σ_k w_k log π_k is highest, for given w.

        With a least weight m the maximum is π_k = max(m, w_k / λ), for the λ that gives the sum (Karush–Kuhn–Tucker).
        Components that fall below m stay there, and the others are scaled again. Each turn adds one such component at
        least, and none of them rises again, because λ only grows.
        """
        if self.is_equal:
            return np.full(len(weights), 1.0 / len(weights))
        if self.is_free:
            return weights
        found, is_open = np.array(weights), np.ones(len(weights), dtype=bool)
        for component, value in self.fixed.items():
            found[component], is_open[component] = value, False
        while is_open.any():
            rest, mass = 1.0 - float(found[~is_open].sum()), float(weights[is_open].sum())
            found[is_open] = weights[is_open] * (rest / mass) if mass > 0 else rest / is_open.sum()
            low = is_open & (found < self.least)
            if not low.any():
                break
            found[low], is_open[low] = self.least, False
        return found

    def log_prior(self, weights: Array) -> float:
        """Σ_k (α_k − 1) log π_k, nats."""
        added = np.broadcast_to(self.concentration, weights.shape)
        counts = added > 0
        return float((added[counts] * np.log(weights[counts])).sum())

    def n_fixed(self, n_components: int) -> int:
        """How many of the K − 1 free weights are none."""
        if self.is_equal:
            return n_components - 1
        return min(len(self.fixed), n_components - 1)
