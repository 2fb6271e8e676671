"""Drawing rows from a mixture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gaussmix.engines import choose
from gaussmix.mixture.values import Values
from gaussmix.waist.arrays import Array
from gaussmix.waist.whitening import Whitening


class Sampling(Values):
    """Draws."""

    def sample(
        self, n_rows: int, rng: np.random.Generator, *, n_jobs: int | None = None
    ) -> tuple[Array, NDArray[np.int64]]:
        """Draw rows, in random order.

        Parameters
        ----------
        n_rows : how many.
        rng : source of randomness, for instance `numpy.random.default_rng(0)`. In the same state it gives the same
            rows, and those of a smaller draw are the first of a larger one.
        n_jobs : threads; None for every processor. They change no bit.

        Returns
        -------
        rows : (n_rows, n_features), data units.
        labels : (n_rows,), the component each row was drawn from.
        """
        return sample(self.weights, self.means, self.whitening, n_rows, rng, n_jobs)


def sample(
    weights: Array, means: Array, whitening: Whitening, n_rows: int, rng: np.random.Generator, n_jobs: int | None = None
) -> tuple[Array, NDArray[np.int64]]:
    """Draw labels by inverse cdf, then rows x = μ_k + W_k⁻¹ z with z standard normal; Bishop (2006) section 11.1.

    The generator gives a key of 64 bits, from which the engine makes every number.

    Returns
    -------
    rows : (n_rows, n_features), in random order.
    labels : (n_rows,), int64.
    """
    key = int(rng.integers(2**64, dtype=np.uint64))
    return choose(n_jobs).draw(n_rows, cumulative_shares(weights), means, whitening, key)


def cumulative_shares(weights: Array) -> Array:
    """The first of these to exceed a number of [0, 1) is that number's component, and one of weight 0 never is.

    Parameters
    ----------
    weights : (n_components,), not all 0; any sum.
    """
    cumulative = np.cumsum(weights)
    cumulative /= cumulative[-1]
    cumulative[np.flatnonzero(weights)[-1] :] = np.inf  # rounding of the sum leaves no gap below 1
    return cumulative
