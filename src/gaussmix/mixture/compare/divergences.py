"""Divergences: what tells one mixture from another, in nats."""

from __future__ import annotations

from typing import Self

import numpy as np

from gaussmix.mixture.compare.bounds import kl_bounds, kl_variational
from gaussmix.mixture.compare.estimate import Estimate
from gaussmix.mixture.compare.gaussians import Gaussians, kl_divergences, within_range
from gaussmix.mixture.compare.monte_carlo import DRAWS, expectation
from gaussmix.mixture.randomness import Rng, generator
from gaussmix.mixture.values import Values, common_names
from gaussmix.numerics.arrays import Array

_LOG_2 = float(np.log(2.0))


class Divergences(Values):
    """Kullback–Leibler and Jensen–Shannon divergences."""

    def kl(
        self,
        other: Self,
        *,
        n_draws: int = DRAWS,
        rng: Rng = None,
        n_jobs: int | None = None,
    ) -> Estimate[float]:
        """Kullback–Leibler divergence ∫ p log (p / q) from this mixture to another, by Monte Carlo.

        Parameters
        ----------
        other : q, a mixture of the same features.
        n_draws : how many rows are drawn, at least two from each component; the error falls as 1 / √n_draws.
        rng : source of randomness, or a seed; None for the same draws each time.
        n_jobs : threads; None for every processor.

        Returns
        -------
        kl : Estimate, `value` ≥ 0 and its standard `error`, nats; exact between single Gaussians. The same in any
            unit of the data.

        Raises
        ------
        ValueError : other has other features, n_draws is below 2, or densities overflow.
        TypeError : other is no mixture, n_draws no integer, or rng no source of randomness.

        Notes
        -----
        A chance result below 0 becomes 0, which can only bring it nearer. `kl_bounds` and `kl_variational` need no
        draws.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> value, error = m.kl(Mixture([1.0], [[2.0]], [5.0], FAMILIES["spherical"]))
        >>> round(value, 1)
        0.2
        """
        common_names([self, other])
        one, another = Gaussians.pair(self, other)
        if len(one.weights) == len(another.weights) == 1:
            return Estimate(within_range(float(kl_divergences(one, another)[0, 0])), 0.0)

        found = expectation(np.subtract, [self, other], n_draws, rng, n_jobs)
        return Estimate(max(found.value, 0.0), found.error)

    def kl_bounds(self, other: Self) -> tuple[float, float]:
        """Bounds of the Kullback–Leibler divergence to another mixture, in closed form.

        Parameters
        ----------
        other : a mixture of the same features.

        Returns
        -------
        lower, upper : nats.

        Raises
        ------
        ValueError : other has other features.
        TypeError : other is no mixture.

        Notes
        -----
        −∫ p log q is bounded as by Durrieu, Thiran & Kelly (2012), ICASSP, the entropy by
        `entropy_bounds`, whose upper bound is theirs and whose lower bound is closer. The upper bound is the less of
        that and of the variational bound of Hershey & Olsen (2007), ICASSP, section 8.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> m.kl_bounds(m)
        (0.0, 0.0)
        """
        common_names([self, other])
        return kl_bounds(*Gaussians.pair(self, other))

    def kl_variational(self, other: Self) -> float:
        """The Kullback–Leibler divergence to another mixture, nearly, without draws.

        Parameters
        ----------
        other : a mixture of the same features.

        Returns
        -------
        kl : nats; 0 for equal mixtures, exact between single Gaussians. It can be below 0, and is no bound.

        Raises
        ------
        ValueError : other has other features.
        TypeError : other is no mixture.

        Notes
        -----
        Σ_i π_i log (Σ_j π_j e^−KL(p_i‖p_j) / Σ_j ω_j e^−KL(p_i‖q_j)), Hershey & Olsen (2007), ICASSP, eq. 20.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> other = Mixture([1.0], [[2.0]], [5.0], FAMILIES["spherical"])
        >>> lower, upper = m.kl_bounds(other)
        >>> lower < m.kl_variational(other) < upper
        True
        """
        common_names([self, other])
        return kl_variational(*Gaussians.pair(self, other))

    def js(
        self,
        other: Self,
        *,
        n_draws: int = DRAWS,
        rng: Rng = None,
        n_jobs: int | None = None,
    ) -> Estimate[float]:
        """Jensen–Shannon divergence ½ KL(p‖m) + ½ KL(q‖m) with m = ½ p + ½ q, by Monte Carlo; Lin (1991) eq. 4.1.

        Parameters
        ----------
        other : q, a mixture of the same features.
        n_draws : how many rows are drawn from each; the error falls as 1 / √n_draws.
        rng : source of randomness, or a seed; None for the same draws each time.
        n_jobs : threads; None for every processor.

        Returns
        -------
        js : Estimate, `value` from 0 to log 2 and its standard `error`, nats. Symmetric: both mixtures are drawn
            from the same random numbers. The error is that of the worst case, halves that err alike.

        Raises
        ------
        ValueError : other has other features, n_draws is below 2, or densities overflow.
        TypeError : other is no mixture, n_draws no integer, or rng no source of randomness.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> m.js(m).value
        0.0
        """
        common_names([self, other])
        seed = None if rng is None else int(generator(rng).integers(2**63))

        def half(p: Values, q: Values) -> Estimate[float]:
            """KL(p‖m): the mean of log (p / m) = log 2 − log (1 + q / p) over p."""

            def excess(log_p: Array, log_q: Array) -> Array:
                return np.asarray(_LOG_2 - np.logaddexp(0.0, log_q - log_p))

            return expectation(excess, [p, q], n_draws, seed, n_jobs)

        one, another = half(self, other), half(other, self)
        value = 0.5 * (one.value + another.value)
        return Estimate(min(max(value, 0.0), _LOG_2), 0.5 * (one.error + another.error))
