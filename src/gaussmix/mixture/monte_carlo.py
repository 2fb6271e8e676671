"""Means over draws, with their standard errors, in memory that does not grow with the draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gaussmix.engines import choose
from gaussmix.mixture.estimate import Estimate
from gaussmix.mixture.gaussians import within_range
from gaussmix.mixture.sampling import sample
from gaussmix.mixture.values import Values
from gaussmix.waist.arrays import Array
from gaussmix.waist.block import Block
from gaussmix.waist.pieces import pieces

DRAWS = 100_000  # where nobody says how many


@dataclass(frozen=True, eq=False)
class Drawn:
    """A mixture that is drawn from, and asked for densities, on some threads."""

    mixture: Values
    n_jobs: int | None

    def rows(self, n_rows: int, seed: int) -> Array:
        """Rows (n_rows, n_features), the same for the same seed."""
        mixture = self.mixture
        rng = np.random.default_rng(seed)
        return sample(mixture.weights, mixture.means, mixture.whitening, n_rows, rng, self.n_jobs)[0]

    def log_density(self, rows: Array) -> Array:
        """log p(x), (n_rows,), nats."""
        return choose(self.n_jobs).log_density(Block(0, rows), self.mixture.parameters)


def average(
    integrand: Callable[[int, int], Array], n_features: int, n_draws: Any, rng: np.random.Generator | None
) -> Estimate[float]:
    """The mean of numbers made from draws, block after block; Chan, Golub & LeVeque (1983).

    Parameters
    ----------
    integrand : makes numbers (n,) of n and the seed of a block.
    n_features : of the rows drawn, for the size of a block.
    n_draws : at least 2.
    rng : where seeds come from; None for the same ones each time.

    Raises
    ------
    ValueError : n_draws is no such number, or a number made is beyond the range of `within_range`.
    """
    if isinstance(n_draws, bool) or not isinstance(n_draws, int | np.integer) or n_draws < 2:
        raise ValueError(f"n_draws={n_draws!r} must be an integer of at least 2.")
    seeds = np.random.default_rng(0) if rng is None else rng
    n_done, mean, squares = 0, 0.0, 0.0
    for part in pieces((int(n_draws), n_features)):
        n_block = min(part.stop, int(n_draws)) - part.start
        numbers = integrand(n_block, int(seeds.integers(2**63)))
        within_range(float(np.abs(numbers).max()))
        own_mean = float(numbers.mean())
        ahead, n_before, n_done = own_mean - mean, n_done, n_done + n_block
        squares += float(((numbers - own_mean) ** 2).sum()) + ahead**2 * (n_before * n_block / n_done)
        mean += ahead * n_block / n_done
    return Estimate(mean, float(np.sqrt(squares / (n_done - 1) / n_done)))
