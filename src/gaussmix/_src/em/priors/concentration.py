"""Priors of the weights in variational Bayes, and their posteriors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.elementary import gammas, log


@dataclass(frozen=True)
class DirichletWeights:
    """Prior π ~ Dirichlet(α, …, α) of `n_components` weights. Weights without a mass belong to components without rows.

    The concentration α is in rows.
    """

    concentration: float
    n_components: int

    def posterior_parameters(self, mass: Array) -> tuple[Array, ...]:
        """Return the parameters of q(π), each (n_components,)."""
        return (self.concentration + mass,)

    def expected_log_weights(self, mass: Array) -> tuple[Array, Array]:
        """Return E log π_k and the log normaliser of q(π) minus that of p(π), nats, for masses (…, n_components)."""
        total = self.n_components * self.concentration
        collect = total + mass.sum(axis=-1, keepdims=True)
        constants = np.broadcast_to([total, self.concentration], (*mass.shape[:-1], 2))
        logs, derivatives = gammas(np.concatenate((self.concentration + mass, collect, constants), axis=-1))
        normaliser = (logs[..., :-3] - logs[..., -1:]).sum(axis=-1) + logs[..., -2] - logs[..., -3]
        return derivatives[..., :-3] - derivatives[..., -3:-2], normaliser

    def mean_weights(self, mass: Array) -> Array:
        """Return E π_k, (n_components,). Components without rows have the remaining weight, 1 minus the sum."""
        return (self.concentration + mass) / (self.n_components * self.concentration + mass.sum())

    def draw_weights(self, mass: Array, rng: np.random.Generator) -> Array:
        """Draw weights from q(π), (n_components,). Components without rows have the remaining weight."""
        rest = (self.n_components - len(mass)) * self.concentration
        shape = np.append(self.concentration + mass, rest) if rest > 0 else self.concentration + mass
        return rng.dirichlet(shape)[: len(mass)]


@dataclass(frozen=True)
class StickBreakingWeights:
    """Stick-breaking prior of a Dirichlet process, π_k = v_k Π_{j<k} (1 − v_j) with v_k ~ Beta(1, α).

    See Blei & Jordan (2006), Bayesian Analysis 1. The posterior does not end with a stick of length 1: components
    beyond the masses have no rows, and their sticks keep the prior (Kurihara, Welling & Teh 2007, IJCAI). The number of
    components is therefore not part of the model.
    """

    concentration: float

    def posterior_parameters(self, mass: Array) -> tuple[Array, ...]:
        after = np.zeros(mass.shape)
        after[..., :-1] = np.cumsum(mass[..., :0:-1], axis=-1)[..., ::-1]
        return 1.0 + mass, self.concentration + after

    def expected_log_weights(self, mass: Array) -> tuple[Array, Array]:
        here, after = self.posterior_parameters(mass)
        logs, derivatives = gammas(np.stack((here, after, here + after)))
        normaliser = (logs[0] + logs[1] - logs[2] + log(np.array([self.concentration]))).sum(axis=-1)
        taken, left = derivatives[:2] - derivatives[2]  # E log v_k and E log (1 − v_k)
        taken[..., 1:] += np.cumsum(left[..., :-1], axis=-1)
        return taken, np.asarray(normaliser)

    def mean_weights(self, mass: Array) -> Array:
        here, after = self.posterior_parameters(mass)
        return _break_sticks(here / (here + after))

    def draw_weights(self, mass: Array, rng: np.random.Generator) -> Array:
        here, after = self.posterior_parameters(mass)
        return _break_sticks(rng.beta(here, after))


# Prior of the weights. Its posterior depends on the masses N_k, (n_components,), in rows.
WeightPrior = DirichletWeights | StickBreakingWeights


def _break_sticks(stick_fractions: Array) -> Array:
    """Return v_k Π_{j<k} (1 − v_j)."""
    return stick_fractions * np.append(1.0, np.cumprod(1.0 - stick_fractions)[:-1])
