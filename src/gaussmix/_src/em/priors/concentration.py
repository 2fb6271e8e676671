"""Priors on the weights in variational Bayes, with the posterior distributions of the weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.elementary import gammas, log


@dataclass(frozen=True)
class DirichletWeights:
    """Prior π ~ Dirichlet(α, …, α) of `n_components` weights, including the weights of omitted components.

    The concentration α is a number of rows. `mass` contains the number of rows of each component, but components
    without rows may be omitted.
    """

    concentration: float
    n_components: int

    def posterior_parameters(self, mass: Array) -> tuple[Array, ...]:
        """Return the parameters of q(π), (n_components,) each, given the number of rows of each component (`mass`)."""
        return (self.concentration + mass,)

    def expected_log_weights(self, mass: Array) -> tuple[Array, Array]:
        """Return E log π_k, and the difference between the log normalising constants of q(π) and p(π), in nats."""
        total = self.n_components * self.concentration
        total_after = total + mass.sum(axis=-1, keepdims=True)
        constants = np.broadcast_to([total, self.concentration], (*mass.shape[:-1], 2))
        logs, derivatives = gammas(np.concatenate((self.concentration + mass, total_after, constants), axis=-1))
        normaliser = (logs[..., :-3] - logs[..., -1:]).sum(axis=-1) + logs[..., -2] - logs[..., -3]
        return derivatives[..., :-3] - derivatives[..., -3:-2], normaliser

    def mean_weights(self, mass: Array) -> Array:
        """Return E π_k, (n_components,), whose sum is 1 minus the weight of all omitted components."""
        return (self.concentration + mass) / (self.n_components * self.concentration + mass.sum())

    def mean_omitted_weight(self, mass: Array) -> float:
        """Return the expected weight of all omitted components together, without a rounding error if it is 0."""
        n_omitted = self.n_components - len(mass)
        return float(n_omitted * self.concentration / (self.n_components * self.concentration + mass.sum()))

    def draw_weights(self, mass: Array, rng: np.random.Generator) -> Array:
        """Draw weights from q(π), (n_components,), whose sum is 1 minus the weight of all omitted components."""
        rest = (self.n_components - len(mass)) * self.concentration
        shape = np.append(self.concentration + mass, rest) if rest > 0 else self.concentration + mass
        return rng.dirichlet(shape)[: len(mass)]


@dataclass(frozen=True)
class StickBreakingWeights:
    """Stick-breaking prior of a Dirichlet process, π_k = v_k Π_{j<k} (1 − v_j) with v_k ~ Beta(1, α).

    Blei & Jordan (2006), Bayesian Analysis 1, assume v_K = 1 for the last component K. Here, there are infinitely many
    components instead, and the fractions v_k of components without rows have their prior distribution (Kurihara,
    Welling & Teh 2007, IJCAI). Therefore, the model does not depend on the number of components.
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

    def mean_omitted_weight(self, mass: Array) -> float:
        here, after = self.posterior_parameters(mass)
        return float(np.prod(after / (here + after)))

    def draw_weights(self, mass: Array, rng: np.random.Generator) -> Array:
        here, after = self.posterior_parameters(mass)
        return _break_sticks(rng.beta(here, after))


# Prior on the weights. The posterior of the weights depends on N_k, (n_components,), the number of rows of each
# component.
WeightPrior = DirichletWeights | StickBreakingWeights


def _break_sticks(stick_fractions: Array) -> Array:
    """Return the weights v_k Π_{j<k} (1 − v_j) for the fractions v_k."""
    return stick_fractions * np.append(1.0, np.cumprod(1.0 - stick_fractions)[:-1])
