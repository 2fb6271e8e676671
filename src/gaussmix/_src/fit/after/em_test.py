"""The EM-test of one normal component against two, for one feature; Chen & Li (2009), Annals of Statistics 37."""

from __future__ import annotations

import numpy as np

from gaussmix._src.numerics.arrays import Array

INITIAL_SECOND_WEIGHTS = 0.1, 0.3, 0.5  # initial weights of the second component
VARIANCE_PENALTY = 0.25  # factor of the penalty on variances that differ from the variance of all values
FIXED_WEIGHT_STEPS, FREE_WEIGHT_STEPS = 300, 3  # numbers of EM steps with fixed weights and then with free weights
MIN_VARIANCE = 0.05  # minimum initial variance of a component, as a fraction of the variance of all values
CHI2_DOF = 2  # degrees of freedom of the limiting χ² distribution of the statistic


def em_test_statistic(values: Array) -> float:
    """Compute twice the gain in penalised log-likelihood of `values` (n,) from a second component, in nats.

    The penalty of a weight α is log(1 − |1 − 2 α|). The penalty of a variance σ² is −¼ (s² / σ² + log(σ² / s²)), where
    s² is the variance of all values (sections 2.1 and 3). If the values come from one normal distribution, the
    distribution of the statistic tends to χ² with two degrees of freedom. Initial weights, penalties and numbers of EM
    steps equal those in the authors' R package MixtureInf 1.1.
    """
    x = values / np.abs(values).max()  # scaling avoids overflow and does not change the statistic
    x = (x - x.min()) / np.ptp(x)
    x = (x - x.mean()) / x.std()
    weights, means, variances = _initial_parameters(x)
    for _ in range(FIXED_WEIGHT_STEPS):
        responsibilities = _second_responsibilities(x, weights, means, variances)
        means, variances = _m_step(x, responsibilities)
    heights = _penalised_log_likelihood(x, weights, means, variances)
    indices = [np.flatnonzero(weights == each)[heights[weights == each].argmax()] for each in INITIAL_SECOND_WEIGHTS]
    weights, means, variances = weights[indices], means[indices], variances[indices]
    for _ in range(FREE_WEIGHT_STEPS):
        responsibilities = _second_responsibilities(x, weights, means, variances)
        total = responsibilities.sum(axis=1)
        low, high = np.minimum((total + 1) / (len(x) + 1), 0.5), np.maximum(total / (len(x) + 1), 0.5)
        weights = np.where(total < len(x) / 2, low, high)
        means, variances = _m_step(x, responsibilities)
    alone = _penalised_log_likelihood(x, np.array([0.5]), np.zeros((1, 2)), np.ones((1, 2)))
    return float(max(2 * (_penalised_log_likelihood(x, weights, means, variances).max() - alone[0]), 0.0))


def _initial_parameters(x: Array) -> tuple[Array, Array, Array]:
    """Return m sets of initial parameters: weights (m,) of component 2, means (m, 2), variances (m, 2)."""
    ordered, starts = np.sort(x), list[tuple[float, list[float], list[float]]]()
    for weight in INITIAL_SECOND_WEIGHTS:
        cut = max(1, round(weight * len(x)))
        for parts in ((ordered[cut:], ordered[:cut]), (ordered[:-cut], ordered[-cut:])):
            starts.append((weight, [part.mean() for part in parts], [max(part.var(), MIN_VARIANCE) for part in parts]))
        starts += [(weight, [0.0, 0.0], [0.5, 2.0]), (weight, [0.0, 0.0], [1.5, 0.3])]
    weights, means, variances = (np.array(each) for each in zip(*starts, strict=True))
    return weights, means, variances


def _joint_log_density(x: Array, weights: Array, means: Array, variances: Array) -> Array:
    """Compute the log densities log p(x, k) of n values and two components for each of m mixtures, (m, n, 2)."""
    parts = np.log(np.stack((1 - weights, weights), axis=1))[:, None, :]
    distances = (x[:, None] - means[:, None, :]) ** 2 / variances[:, None, :]
    return parts - 0.5 * (distances + np.log(2 * np.pi * variances)[:, None, :])


def _second_responsibilities(x: Array, weights: Array, means: Array, variances: Array) -> Array:
    """Compute the responsibility of the second component for each value in each mixture, (m, n)."""
    joint = _joint_log_density(x, weights, means, variances)
    with np.errstate(over="ignore"):  # exp overflows to infinity at a distant value, whose responsibility is then 0
        return 1 / (1 + np.exp(joint[:, :, 0] - joint[:, :, 1]))


def _m_step(x: Array, responsibilities: Array) -> tuple[Array, Array]:
    """Compute the new means and variances (but not weights) of m mixtures, (m, 2) each, in an M-step."""
    both = np.stack((1 - responsibilities, responsibilities), axis=2)
    mass = both.sum(axis=1)
    means = (both * x[:, None]).sum(axis=1) / np.maximum(mass, np.finfo(np.float64).tiny)
    squares = (both * (x[:, None] - means[:, None, :]) ** 2).sum(axis=1)
    return means, (squares + 2 * VARIANCE_PENALTY) / (mass + 2 * VARIANCE_PENALTY)


def _penalised_log_likelihood(x: Array, weights: Array, means: Array, variances: Array) -> Array:
    """Compute the penalised log-likelihoods of m mixtures, (m,), in nats."""
    joint = _joint_log_density(x, weights, means, variances)
    of_rows = np.logaddexp(joint[:, :, 0], joint[:, :, 1]).sum(axis=1)
    of_variances = -VARIANCE_PENALTY * (1 / variances + np.log(variances)).sum(axis=1)
    return of_rows + of_variances + np.log(1 - np.abs(1 - 2 * weights))
