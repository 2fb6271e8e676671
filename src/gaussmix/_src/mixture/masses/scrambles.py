"""Scrambled nets of quasi-Monte Carlo points; the spread of the results of several nets estimates the error."""

from __future__ import annotations

import numpy as np

from gaussmix._src.numerics.arrays import Array

N_SCRAMBLES = 8
_BITS = 30  # bits per coordinate of a point


def scrambled(n_features: int, n_points: int, rng: np.random.Generator) -> Array:
    """Return scrambled Sobol nets in the open unit cube, (N_SCRAMBLES, n, n_features); Owen (1998).

    All nets together have about `n_points` points.
    """
    from scipy.stats.qmc import Sobol  # imported here because the import is slow

    log_count = max(int(np.ceil(np.log2(n_points / N_SCRAMBLES))), 4)  # a complete Sobol net has 2^n points
    nets = [Sobol(n_features, bits=_BITS, seed=rng).random_base2(log_count) for _ in range(N_SCRAMBLES)]
    return np.array(nets) + 0.5 ** (_BITS + 1)


def near_corners(net: Array) -> Array:
    """Move up to 64 points of a net, (n, n_features), to the corners of the unit cube; return (n_corners, n_features).

    Each coordinate is 1e-8 to 1e-4 away from 0 or 1, nearer than most points of a net. The logarithms of these
    distances are spread evenly.
    """
    distance = np.minimum(net[:64], 1 - net[:64])
    distance, is_low = 10.0 ** (-8 + 8 * distance), net[:64] < 0.5
    return np.where(is_low, distance, 1 - distance)


def log_mean(log_values: Array, log_steps: Array | None = None) -> tuple[Array, Array]:
    """Return the log of the mean over the nets, (n,), and the relative standard error, from values (N_SCRAMBLES, n).

    If `log_steps`, (N_SCRAMBLES, n) or (1, n), is given, the values are multiples of about exp(log_steps), and the
    standard error includes the error of rounding to multiples. Without this rounding error, the standard error would be
    0 if all nets gave the same value.
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
