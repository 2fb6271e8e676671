"""Entropy: how spread out a mixture is."""

from __future__ import annotations

import numpy as np

from gaussmix.mixture.compare.bounds import entropy_bounds
from gaussmix.mixture.compare.estimate import Estimate
from gaussmix.mixture.compare.gaussians import Gaussians
from gaussmix.mixture.compare.monte_carlo import DRAWS, expectation
from gaussmix.mixture.randomness import Rng
from gaussmix.mixture.values import Values


class Entropy(Values):
    """Differential entropy."""

    def entropy(self, *, n_draws: int = DRAWS, rng: Rng = None, n_jobs: int | None = None) -> Estimate[float]:
        """Differential entropy −∫ p log p, by Monte Carlo; for one component exactly.

        Parameters
        ----------
        n_draws : how many rows are drawn, at least two from each component; the error falls as 1 / √n_draws.
        rng : source of randomness, or a seed; None for the same draws each time.
        n_jobs : threads; None for every processor.

        Returns
        -------
        entropy : Estimate, `value` and its standard `error`, nats. It depends on the unit of the data.

        Raises
        ------
        ValueError, TypeError : n_draws is no integer of at least 2.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> value, error = m.entropy()
        >>> lower, upper = m.entropy_bounds()
        >>> lower < value < upper
        True
        """
        own = Gaussians.of(self)
        if len(own.weights) == 1:
            return Estimate(float(own.entropies[0]), 0.0)
        return expectation(np.negative, [self], n_draws, rng, n_jobs)

    def entropy_bounds(self) -> tuple[float, float]:
        """Bounds of the entropy in closed form; Kolchinsky & Tracey (2017), Entropy 19, 361.

        Returns
        -------
        lower, upper : nats. From Bhattacharyya distances and from divergences between components. They meet
            where components are alike or far apart, and for one component.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> Mixture([1.0], [[0.0]], [1.0], FAMILIES["spherical"]).entropy_bounds()
        (1.4189385332046727, 1.4189385332046727)
        """
        return entropy_bounds(Gaussians.of(self))
