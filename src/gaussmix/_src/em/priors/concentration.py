"""Priors of the weights in variational Bayes, and their posteriors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.elementary import gammas, log


@dataclass(frozen=True)
class DirichletWeights:
    """π ~ Dirichlet(α, …, α) of `n_components` weights; those beyond the masses are of components without rows.

    α is the concentration, in rows.
    """

    concentration: float
    n_components: int

    def posterior_parameters(self, mass: Array) -> tuple[Array, ...]:
        """The parameters of q(π), each (n_components,)."""
        return (self.concentration + mass,)

    def expected_log_weights(self, mass: Array) -> tuple[Array, Array]:
        """E log π_k, and log of the normaliser of q(π) less that of p(π), nats, of masses (…, n_components)."""
        total = self.n_components * self.concentration
        collect = total + mass.sum(axis=-1, keepdims=True)
        constants = np.broadcast_to([total, self.concentration], (*mass.shape[:-1], 2))
        logs, derivatives = gammas(np.concatenate((self.concentration + mass, collect, constants), axis=-1))
        normaliser = (logs[..., :-3] - logs[..., -1:]).sum(axis=-1) + logs[..., -2] - logs[..., -3]
        return derivatives[..., :-3] - derivatives[..., -3:-2], normaliser

    def mean_weights(self, mass: Array) -> Array:
        """E π_k, (n_components,). The rest, 1 less their sum, is the weight of components without rows."""
        return (self.concentration + mass) / (self.n_components * self.concentration + mass.sum())

    def draw_weights(self, mass: Array, rng: np.random.Generator) -> Array:
        """A draw of the weights from q(π), (n_components,); components without rows have the rest."""
        rest = (self.n_components - len(mass)) * self.concentration
        shape = np.append(self.concentration + mass, rest) if rest > 0 else self.concentration + mass
        return rng.dirichlet(shape)[: len(mass)]


@dataclass(frozen=True)
class StickBreakingWeights:
    """The sticks of a Dirichlet process, π_k = v_k Π_{j<k} (1 − v_j) with v_k ~ Beta(1, α).

    Blei & Jordan (2006), Bayesian Analysis 1. The posterior has no last stick of length 1: components beyond the masses
    have no rows, and their sticks are as the prior's (Kurihara, Welling & Teh 2007, IJCAI). So their number is not part
    of the model.
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


# The prior of the weights. Its posterior depends on the masses N_k, (n_components,), in rows.
WeightPrior = DirichletWeights | StickBreakingWeights


def _break_sticks(stick_fractions: Array) -> Array:
    """v_k Π_{j<k} (1 − v_j)."""
    return stick_fractions * np.append(1.0, np.cumprod(1.0 - stick_fractions)[:-1])
