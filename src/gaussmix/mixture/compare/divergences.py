"""Entropy and divergences by Monte Carlo, with their standard errors, in nats; exact for single Gaussians."""

from __future__ import annotations

from typing import Any

import numpy as np

from gaussmix.checks import Rng, generator
from gaussmix.engines.base import Engine
from gaussmix.mixture.compare.estimate import Estimate
from gaussmix.mixture.compare.gaussians import Gaussians, kl_divergences, within_range
from gaussmix.mixture.compare.monte_carlo import expectation
from gaussmix.model import Model
from gaussmix.numerics.arrays import Array

_LOG_2 = float(np.log(2.0))


def entropy(model: Model, n_draws: int, rng: Rng, engine: Engine[Any]) -> Estimate[float]:
    """−∫ p log p."""
    own = Gaussians.of(model)
    if len(own.weights) == 1:
        return Estimate(float(own.entropies[0]), 0.0)
    return expectation(np.negative, [model], n_draws, rng, engine)


def kl(p: Model, q: Model, n_draws: int, rng: Rng, engine: Engine[Any]) -> Estimate[float]:
    """∫ p log (p / q), at least 0."""
    one, another = Gaussians.pair(p, q)
    if len(one.weights) == len(another.weights) == 1:
        return Estimate(within_range(float(kl_divergences(one, another)[0, 0])), 0.0)
    found = expectation(np.subtract, [p, q], n_draws, rng, engine)
    return Estimate(max(found.value, 0.0), found.error)


def js(p: Model, q: Model, n_draws: int, rng: Rng, engine: Engine[Any]) -> Estimate[float]:
    """½ KL(p‖m) + ½ KL(q‖m) with m = ½ p + ½ q, from 0 to log 2. Both halves use the same random numbers."""
    seed = None if rng is None else int(generator(rng).integers(2**63))

    def half(one: Model, other: Model) -> Estimate[float]:
        """KL(p‖m): the mean of log (p / m) = log 2 − log (1 + q / p) over p."""

        def excess(log_p: Array, log_q: Array) -> Array:
            return np.asarray(_LOG_2 - np.logaddexp(0.0, log_q - log_p))

        return expectation(excess, [one, other], n_draws, seed, engine)

    of_p, of_q = half(p, q), half(q, p)
    value = 0.5 * (of_p.value + of_q.value)
    return Estimate(min(max(value, 0.0), _LOG_2), 0.5 * (of_p.error + of_q.error))
