"""Means over draws, with their standard errors, in memory that does not grow with the draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from gaussmix.checks import check_count
from gaussmix.engines import choose
from gaussmix.mixture.compare.estimate import Estimate
from gaussmix.mixture.compare.gaussians import within_range
from gaussmix.mixture.randomness import Rng, generator
from gaussmix.mixture.sampling import alone, sample
from gaussmix.mixture.values import Values
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.pieces import pieces
from gaussmix.waist.block import Block

_LARGEST = float(np.finfo(np.float64).max)
DRAWS = 100_000  # where nobody says how many


def expectation(
    integrand: Callable[..., Array], mixtures: Sequence[Values], n_draws: Any, rng: Rng, n_jobs: int | None
) -> Estimate[float]:
    """E f(log p(x), log q(x), …) over p, by draws from each component in proportion to its weight, at least two each.

    So a rare component in which f is large is never missed, and what differs between components adds no error;
    Cochran (1977) theorem 5.3. Rows are drawn about the component's mean, so that they have digits however far from
    the origin it is.

    Parameters
    ----------
    integrand : f of the log densities in each of the mixtures, (n_rows,) all of them, nats.
    mixtures : p, which rows are drawn from, and others of the same features.
    n_draws : about how many; an integer of at least 2.
    rng : source of randomness, or a seed; None for the same each time.
    n_jobs : threads.

    Raises
    ------
    ValueError, TypeError : n_draws is no such number, or f is beyond the range of `within_range`.
    """
    n_draws = check_count("n_draws", n_draws, 2)
    of, source, value, variance = mixtures[0], generator(rng, 0), 0.0, 0.0
    weights = of.weights / of.weights.sum()

    def draw(component: int, moved: Sequence[Values], n_rows: int) -> Array:
        only = alone(component, of.n_components)
        rows = sample(only, moved[0].means, of.whitening, n_rows, source, n_jobs)[0]
        return integrand(*(choose(n_jobs).log_density(Block(0, rows), mixture.parameters) for mixture in moved))

    for k in map(int, np.flatnonzero(weights)):
        moved = [_about(mixture, of.means[k]) for mixture in mixtures]
        n_own = max(2, int(np.ceil(n_draws * weights[k])))
        mean, squared_error = moments(partial(draw, k, moved), n_own, of.n_features)
        value += float(weights[k]) * mean
        variance += float(weights[k]) ** 2 * squared_error
    return Estimate(value, float(np.sqrt(variance)))


def _about(mixture: Values, origin: Array) -> Values:
    """The mixture as it is seen from a point, with the factors that it has."""
    with np.errstate(over="ignore"):
        means = np.clip(mixture.means - origin, -_LARGEST, _LARGEST)
    moved = mixture.of(replace(mixture.model, means=means))
    vars(moved)["whitening"] = mixture.whitening
    return moved


def moments(draw: Callable[[int], Array], n_draws: int, n_features: int) -> tuple[float, float]:
    """The mean of numbers that are drawn, and its squared standard error; block after block.

    Parameters
    ----------
    draw : makes (n,) numbers of n.
    n_draws : at least 2.
    n_features : of the rows behind the numbers, for the size of a block.

    Notes
    -----
    Blocks are merged as in Chan, Golub & LeVeque (1983), without the difference of large squares.
    """
    n_done, mean, squares = 0, 0.0, 0.0
    for part in pieces((n_draws, n_features)):
        numbers = draw(min(part.stop, n_draws) - part.start)
        within_range(float(np.abs(numbers).max()))
        own_mean, n_before, n_done = float(numbers.mean()), n_done, n_done + len(numbers)
        ahead = own_mean - mean
        squares += float(((numbers - own_mean) ** 2).sum()) + ahead**2 * (n_before * len(numbers) / n_done)
        mean += ahead * (len(numbers) / n_done)
    return mean, squares / (n_draws - 1) / n_draws
