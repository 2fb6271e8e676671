"""Entropy, and what tells one mixture from another: divergences in nats."""

from __future__ import annotations

from typing import Self

import numpy as np
from scipy.special import logsumexp

from gaussmix.mixture.estimate import Estimate
from gaussmix.mixture.gaussians import Gaussians, bhattacharyya_distances, kl_divergences, log_overlaps, within_range
from gaussmix.mixture.monte_carlo import DRAWS, Drawn, average
from gaussmix.mixture.values import Values
from gaussmix.waist.arrays import Array

_MOST_STEPS = 1000  # of a bound that falls from step to step …
_LEAST_FALL = 1e-6  # … while it falls by such a part of itself
_LOG_2 = float(np.log(2.0))


class Information(Values):
    """Entropy and divergences."""

    def entropy(
        self, *, n_draws: int = DRAWS, rng: np.random.Generator | None = None, n_jobs: int | None = None
    ) -> Estimate[float]:
        """Differential entropy −∫ p log p, by Monte Carlo; for one component exactly.

        Parameters
        ----------
        n_draws : how many rows are drawn; the error falls as 1 / √n_draws.
        rng : source of randomness; None for the same draws each time.
        n_jobs : threads; None for every processor.

        Returns
        -------
        entropy : Estimate, `value` and its standard `error`, nats. It depends on the unit of the data.

        Raises
        ------
        ValueError : n_draws is no integer of at least 2.

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
        drawn = Drawn(self, n_jobs)
        return average(lambda n, seed: -drawn.log_density(drawn.rows(n, seed)), self.n_features, n_draws, rng)

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
        return _entropy_bounds(Gaussians.of(self))

    def kl(
        self,
        other: Self,
        *,
        n_draws: int = DRAWS,
        rng: np.random.Generator | None = None,
        n_jobs: int | None = None,
    ) -> Estimate[float]:
        """Kullback–Leibler divergence ∫ p log (p / q) from this mixture to another, by Monte Carlo.

        Parameters
        ----------
        other : q, a mixture of the same features.
        n_draws : how many rows are drawn; the error falls as 1 / √n_draws.
        rng : source of randomness; None for the same draws each time.
        n_jobs : threads; None for every processor.

        Returns
        -------
        kl : Estimate, `value` ≥ 0 and its standard `error`, nats; exact between single Gaussians. The same in any
            unit of the data.

        Raises
        ------
        ValueError : other has other features, n_draws is no integer of at least 2, or densities overflow.
        TypeError : other is no mixture.

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
        self._check_alike(other)
        one, another = Gaussians.pair(self, other)
        if len(one.weights) == len(another.weights) == 1:
            return Estimate(within_range(float(kl_divergences(one, another)[0, 0])), 0.0)
        p, q = Drawn(self, n_jobs), Drawn(other, n_jobs)

        def excess(n: int, seed: int) -> Array:
            rows = p.rows(n, seed)
            return p.log_density(rows) - q.log_density(rows)

        found = average(excess, self.n_features, n_draws, rng)
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
        self._check_alike(other)
        p, q = Gaussians.pair(self, other)
        entropy, divergences = _entropy_bounds(p), kl_divergences(p, q)
        crossed = _crossed(p, q, divergences), -float(p.weights @ logsumexp(q.log_weights + log_overlaps(p, q), axis=1))
        upper = within_range(min(crossed[0] - entropy[0], _variational_bound(p, q, divergences)))
        return min(max(crossed[1] - entropy[1], 0.0), upper), upper

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
        self._check_alike(other)
        p, q = Gaussians.pair(self, other)
        return within_range(_crossed(p, q, kl_divergences(p, q)) - _crossed(p, p, kl_divergences(p, p)))

    def js(
        self,
        other: Self,
        *,
        n_draws: int = DRAWS,
        rng: np.random.Generator | None = None,
        n_jobs: int | None = None,
    ) -> Estimate[float]:
        """Jensen–Shannon divergence ½ KL(p‖m) + ½ KL(q‖m) with m = ½ p + ½ q, by Monte Carlo; Lin (1991) eq. 4.1.

        Parameters
        ----------
        other : q, a mixture of the same features.
        n_draws : how many rows are drawn from each; the error falls as 1 / √n_draws.
        rng : source of randomness; None for the same draws each time.
        n_jobs : threads; None for every processor.

        Returns
        -------
        js : Estimate, `value` from 0 to log 2 and its standard `error`, nats. Symmetric: both mixtures are drawn
            from the same random numbers.

        Raises
        ------
        ValueError : other has other features, n_draws is no integer of at least 2, or densities overflow.
        TypeError : other is no mixture.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> m.js(m).value
        0.0
        """
        self._check_alike(other)
        pair = Drawn(self, n_jobs), Drawn(other, n_jobs)

        def excess(n: int, seed: int) -> Array:
            """log (p / m) = log 2 − log (1 + q / p) at a row of p, and the same of q; their mean."""
            halves = []
            for p, q in (pair, pair[::-1]):
                rows = p.rows(n, seed)
                halves.append(_LOG_2 - np.logaddexp(0.0, q.log_density(rows) - p.log_density(rows)))
            return 0.5 * (halves[0] + halves[1])

        found = average(excess, self.n_features, n_draws, rng)
        return Estimate(min(max(found.value, 0.0), _LOG_2), found.error)


def _entropy_bounds(p: Gaussians) -> tuple[float, float]:
    upper = _crossed(p, p, kl_divergences(p, p))
    lower = _crossed(p, p, bhattacharyya_distances(p, p))
    return min(lower, upper), upper


def _crossed(p: Gaussians, q: Gaussians, distances: Array) -> float:
    """Σ_i π_i (h_i − log Σ_j ω_j e^−D_ij): with D = KL(p_i‖q_j) above −∫ p log q."""
    return float(p.weights @ (p.entropies - logsumexp(q.log_weights - distances, axis=1)))


def _variational_bound(p: Gaussians, q: Gaussians, divergences: Array) -> float:
    """The least Σ φ_ij (log (φ_ij / ψ_ij) + KL(p_i‖q_j)) over shares φ of π_i and ψ of ω_j, all of them bounds.

    Hershey & Olsen (2007) section 8: for given ψ the best φ_ij is π_i times the share of ψ_ij e^−KL(p_i‖q_j) in
    its row, where the bound is −Σ_i π_i log of the sum of the row, less the entropy of π; for given φ the best ψ_ij is
    ω_j times the share of φ_ij in its column.
    """
    log_psi = q.log_weights + p.log_weights[:, None]
    bound = np.inf
    for _ in range(_MOST_STEPS):
        joint = log_psi - divergences
        of_rows = logsumexp(joint, axis=1)
        before, bound = bound, float(p.weights @ (p.log_weights - of_rows))
        if not bound < before * (1 - _LEAST_FALL):
            break
        log_phi = joint + (p.log_weights - of_rows)[:, None]
        log_psi = log_phi + (q.log_weights - logsumexp(log_phi, axis=0))
    return max(min(before, bound), 0.0)
