"""Drawing rows from a mixture."""

from __future__ import annotations

from typing import Literal, overload

import numpy as np
from numpy.typing import NDArray

from gaussmix.checks import check_count
from gaussmix.engines import choose
from gaussmix.mixture.randomness import Rng, generator
from gaussmix.mixture.values import Values
from gaussmix.numerics.arrays import Array
from gaussmix.waist.whitening.base import Whitening

Labels = NDArray[np.int64]


class Sampling(Values):
    """Draws."""

    @overload
    def sample(
        self,
        n_rows: int,
        rng: Rng = None,
        *,
        component: int | None = None,
        return_labels: Literal[True] = True,
        n_jobs: int | None = None,
    ) -> tuple[Array, Labels]: ...

    @overload
    def sample(
        self,
        n_rows: int,
        rng: Rng = None,
        *,
        component: int | None = None,
        return_labels: Literal[False],
        n_jobs: int | None = None,
    ) -> Array: ...

    def sample(
        self,
        n_rows: int,
        rng: Rng = None,
        *,
        component: int | None = None,
        return_labels: bool = True,
        n_jobs: int | None = None,
    ) -> tuple[Array, Labels] | Array:
        """Draw rows, in random order.

        Parameters
        ----------
        n_rows : how many.
        rng : source of randomness, `numpy.random.default_rng(0)` for instance, or its seed; None for other rows each
            time. In the same state it gives the same rows, and those of a smaller draw are the first of a larger one.
        component : the one component to draw from, counted from 0; by default all, by their weights.
        return_labels : whether labels come with the rows.
        n_jobs : threads; None for every processor. They change no bit.

        Returns
        -------
        rows : (n_rows, n_features), data units.
        labels : (n_rows,), the component each row was drawn from; with return_labels.

        Raises
        ------
        ValueError : n_rows or a seed is negative, or there is no such component.
        TypeError : n_rows or component is no integer, or rng no source of randomness.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0], [40.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> rows, labels = m.sample(100, rng=0)
        >>> bool(((rows[:, 0] > 20) == (labels == 1)).all())
        True
        >>> m.sample(2, component=1, return_labels=False).shape
        (2, 1)
        """
        count = check_count("n_rows", n_rows, 0)
        weights = self.weights if component is None else alone(component, self.n_components)
        rows, labels = sample(weights, self.means, self.whitening, count, generator(rng), n_jobs)
        return (rows, labels) if return_labels else rows


def alone(component: int, n_components: int) -> Array:
    """Weights (n_components,) that leave one component."""
    if isinstance(component, bool) or not isinstance(component, int | np.integer):
        raise TypeError(f"component must be a number, counted from 0, not {component!r:.60}.")
    if not 0 <= component < n_components:
        raise ValueError(f"There is no component {component}: the mixture has {n_components}, counted from 0.")
    weights = np.zeros(n_components)
    weights[component] = 1.0
    return weights


def sample(
    weights: Array, means: Array, whitening: Whitening, n_rows: int, rng: np.random.Generator, n_jobs: int | None = None
) -> tuple[Array, Labels]:
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
