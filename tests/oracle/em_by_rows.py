"""One EM step in NumPy, row by row, with missing values, measurement errors, noise, labels and trimming.

This module is the reference of `tests/laws/test_combined_options.py`. The formulas are written as in the literature
(Ghahramani & Jordan 1994; Bovy, Hogg & Roweis 2011), with inverses and determinants, and do not use gaussmix.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass
class Sums:
    """Result of an E-step: sums over all rows.

    Parameters
    ----------
    log_likelihood : Σ s log p(x), nats.
    total : Σ s.
    mass : (K,), Σ s γ.
    first : (K, d), Σ s γ E[x].
    second : (K, d, d), Σ s γ E[(x − μ)(x − μ)ᵀ] about the means before the step.
    noise_mass : Σ s γ of the noise component.
    """

    log_likelihood: float
    total: float
    mass: Array
    first: Array
    second: Array
    noise_mass: float = 0.0


def expect(
    rows: Array,
    weights: Array,
    means: Array,
    covariances: Array,
    *,
    row_weight: Array | None = None,
    log_prior: Array | None = None,
    error: Array | None = None,
    noise_density: float = 0.0,
    sides: Array | None = None,
    trim: float = 0.0,
) -> Sums:
    """Run an E-step.

    Parameters
    ----------
    rows : (n, d), with NaN for missing values.
    weights, means, covariances : parameters of the mixture: (K,), (K, d), (K, d, d).
    row_weight : (n,), weights of the rows.
    log_prior : (n, K), or (n, K + 1) with a column for the noise, added to log p(x, k).
    error : (n, d, d), covariances of the measurement errors.
    noise_density : density of the noise component times its weight; 0 if there is no noise.
    sides : (d,), side lengths of the noise's box.
    trim : fraction of the weight of rows with observed values that is left out, from the least likely of these rows.
    """
    n_components = len(means)
    sums = Sums(0.0, 0.0, np.zeros(n_components), np.zeros(means.shape), np.zeros(covariances.shape))
    evaluated = []
    for i, row in enumerate(rows):
        seen = np.flatnonzero(~np.isnan(row))
        density, expected, spread = np.zeros(n_components), [], []
        for k in range(n_components):
            total = covariances[k][np.ix_(seen, seen)] + (0 if error is None else error[i][np.ix_(seen, seen)])
            inverse, offset = np.linalg.inv(total), row[seen] - means[k][seen]
            normaliser = np.sqrt((2 * np.pi) ** len(seen) * np.linalg.det(total))
            density[k] = weights[k] * np.exp(-0.5 * offset @ inverse @ offset) / normaliser
            gain = covariances[k][:, seen] @ inverse
            expected.append(means[k] + gain @ offset)
            spread.append(covariances[k] - gain @ covariances[k][seen])
        if log_prior is not None:
            density *= np.exp(log_prior[i, :n_components])
        missing = np.setdiff1d(np.arange(len(row)), seen)
        noise = noise_density if sides is None else noise_density * np.prod(sides[missing])
        if log_prior is not None and log_prior.shape[1] > n_components:
            noise *= np.exp(log_prior[i, -1])
        evaluated.append((density, noise, expected, spread))
    remaining = np.ones(len(rows)) if row_weight is None else np.array(row_weight)
    has_values = ~np.isnan(rows).all(axis=1)
    left = trim * remaining[has_values].sum()
    order = np.argsort([density.sum() + noise for density, noise, _, _ in evaluated])
    for i in order[has_values[order]]:
        left_out = min(left, remaining[i])
        remaining[i], left = remaining[i] - left_out, left - left_out
    for s, (density, noise, expected, spread) in zip(remaining, evaluated, strict=True):
        sums.log_likelihood += s * np.log(density.sum() + noise)
        sums.total += s
        sums.noise_mass += s * noise / (density.sum() + noise)
        for k, mass in enumerate(s * density / (density.sum() + noise)):
            offset = expected[k] - means[k]
            sums.mass[k] += mass
            sums.first[k] += mass * expected[k]
            sums.second[k] += mass * (np.outer(offset, offset) + spread[k])
    return sums


def about_new_means(sums: Sums, old: Array, new: Array) -> Array:
    """Compute second moments (K, d, d) about the new means: Σγ(x − b)(x − b)ᵀ for b = `new`."""
    second = np.empty_like(sums.second)
    for k, mass in enumerate(sums.mass):
        shift, offset = new[k] - old[k], sums.first[k] - mass * old[k]
        second[k] = sums.second[k] - np.outer(offset, shift) - np.outer(shift, offset) + mass * np.outer(shift, shift)
    return second
