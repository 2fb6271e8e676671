"""Means over draws, with their standard errors, in memory that does not grow with the draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from gaussmix.checks import Rng, check_count, generator
from gaussmix.engines.base import Engine
from gaussmix.mixture.compare.estimate import Estimate
from gaussmix.mixture.compare.gaussians import within_range
from gaussmix.mixture.sampling import alone, draw
from gaussmix.model import Model
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.pieces import pieces
from gaussmix.numerics.rows import LARGEST
from gaussmix.waist.block import Block

DRAWS = 100_000  # by default


def expectation(
    integrand: Callable[..., Array], models: Sequence[Model], n_draws: Any, rng: Rng, engine: Engine[Any]
) -> Estimate[float]:
    """E f(log p(x), log q(x), …) over p, by draws from each component in proportion to its weight, at least two each.

    A rare component in which f is large is never missed, and differences between components add no error; Cochran
    (1977) theorem 5.3. Rows are drawn with the component's mean as the origin, so that they keep their digits however
    far from 0 it is.

    Parameters
    ----------
    integrand : f of the log densities in each of the models, (n_rows,) each, nats.
    models : p, from which rows are drawn, and others of the same features.
    n_draws : about how many; an integer of at least 2.
    rng : source of randomness, or a seed; None for the same each time.
    engine : draws rows and finds densities.

    Raises
    ------
    ValueError, TypeError : n_draws is no such number, or f is beyond the range of `within_range`.
    """
    n_draws = check_count("n_draws", n_draws, 2)
    of, source, value, variance = models[0], generator(rng, 0), 0.0, 0.0
    weights = of.weights / of.weights.sum()

    def drawn(component: int, moved: Sequence[Model], n_rows: int) -> Array:
        only = alone(component, of.n_components)
        rows = draw(only, moved[0].means, of.whitening, n_rows, source, engine)[0]
        return integrand(*(engine.log_density(Block(0, rows), model.parameters) for model in moved))

    for k in map(int, np.flatnonzero(weights)):
        moved = [_about(model, of.means[k]) for model in models]
        n_own = max(2, int(np.ceil(n_draws * weights[k])))
        mean, squared_error = moments(partial(drawn, k, moved), n_own, of.n_features)
        value += float(weights[k]) * mean
        variance += float(weights[k]) ** 2 * squared_error
    return Estimate(value, float(np.sqrt(variance)))


def _about(model: Model, origin: Array) -> Model:
    """The model with `origin` moved to 0, with the factors that it has."""
    with np.errstate(over="ignore"):
        means = np.clip(model.means - origin, -LARGEST, LARGEST)
    return replace(model, means=means)


def moments(draw: Callable[[int], Array], n_draws: int, n_features: int) -> tuple[float, float]:
    """The mean of numbers that are drawn, and its squared standard error; block after block.

    Parameters
    ----------
    draw : called with n, makes (n,) numbers.
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
