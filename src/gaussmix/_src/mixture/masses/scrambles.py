"""Nets of points for quasi-Monte Carlo, scrambled several times, so that the spread of results estimates the error."""

from __future__ import annotations

import numpy as np

from gaussmix._src.numerics.arrays import Array

N_SCRAMBLES = 8
_BITS = 30  # bits per coordinate


def scrambled(n_features: int, n_points: int, rng: np.random.Generator) -> Array:
    """Return Sobol's net in the open unit cube, (N_SCRAMBLES, n, n_features), about n_points in all; Owen (1998)."""
    from scipy.stats.qmc import Sobol  # slow to import

    log_count = max(int(np.ceil(np.log2(n_points / N_SCRAMBLES))), 4)  # rounds up to a complete net, a power of 2
    nets = [Sobol(n_features, bits=_BITS, seed=rng).random_base2(log_count) for _ in range(N_SCRAMBLES)]
    return np.array(nets) + 0.5 ** (_BITS + 1)


def log_mean(log_values: Array, log_steps: Array | None = None) -> tuple[Array, Array]:
    """Return log of the mean over the scrambles (N_SCRAMBLES, n), and the relative standard error of that mean.

    If `log_steps` is given, each value is a multiple of about exp(log_steps). The error then includes this rounding,
    because all scrambles may have the same value.
    """
    largest = np.max(log_values if log_steps is None else np.maximum(log_values, log_steps), axis=0)
    largest = np.where(largest > -np.inf, largest, 0.0)
    values = np.exp(log_values - largest)
    mean, variance = values.mean(axis=0), values.var(axis=0, ddof=1)
    if log_steps is not None:
        variance = variance + (np.exp(log_steps - largest) ** 2).mean(axis=0) / 12
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        error = np.sqrt(variance / len(values)) / mean
        return largest + np.log(mean), np.where(mean > 0, error, np.inf)
