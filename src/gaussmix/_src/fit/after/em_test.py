"""The EM-test of one normal distribution against two, for one feature; Chen & Li (2009), Annals of Statistics 37."""

from __future__ import annotations

import numpy as np

from gaussmix._src.numerics.arrays import Array

SHARES = 0.1, 0.3, 0.5  # of the second component, at first
PENALTY = 0.25  # of a variance far from that of all rows
SETTLING, STEPS = 300, 3  # of EM with the share at first, and without
NARROW = 0.05  # least variance of a start, of that of all numbers
DEGREES = 2  # of freedom of the limit, χ²


def em_statistic(values: Array) -> float:
    """The statistic of numbers (n,), nats: twice the gain of a penalised likelihood of two components over one.

    The penalty of a share α is log(1 − |1 − 2 α|), that of a variance −¼ (s² / σ² + log(σ² / s²)) with the variance s²
    of all numbers: sections 2.1 and 3 of the article. χ² with two degrees of freedom is the limit for one normal
    distribution. Shares, penalties and the number of steps are those of the authors' R package MixtureInf 1.1.
    """
    x = values / np.abs(values).max()  # the statistic has no unit, and squares neither overflow nor vanish
    x = (x - x.min()) / np.ptp(x)
    x = (x - x.mean()) / x.std()
    shares, means, variances = _starts(x)
    for _ in range(SETTLING):
        shares_of_rows = _second(x, shares, means, variances)
        means, variances = _maximised(x, shares_of_rows)
    heights = _height(x, shares, means, variances)
    places = [np.flatnonzero(shares == share)[heights[shares == share].argmax()] for share in SHARES]
    shares, means, variances = shares[places], means[places], variances[places]
    for _ in range(STEPS):
        shares_of_rows = _second(x, shares, means, variances)
        total = shares_of_rows.sum(axis=1)
        shares = np.where(
            total < len(x) / 2, np.minimum((total + 1) / (len(x) + 1), 0.5), np.maximum(total / (len(x) + 1), 0.5)
        )
        means, variances = _maximised(x, shares_of_rows)
    alone = _height(x, np.array([0.5]), np.zeros((1, 2)), np.ones((1, 2)))
    return float(max(2 * (_height(x, shares, means, variances).max() - alone[0]), 0.0))


def _starts(x: Array) -> tuple[Array, Array, Array]:
    """Shares (m,), means and variances (m, 2): for each share the ends apart, or one within the other."""
    ordered, found = np.sort(x), list[tuple[float, list[float], list[float]]]()
    for share in SHARES:
        cut = max(1, round(share * len(x)))
        for parts in ((ordered[cut:], ordered[:cut]), (ordered[:-cut], ordered[-cut:])):
            found.append((share, [part.mean() for part in parts], [max(part.var(), NARROW) for part in parts]))
        found += [(share, [0.0, 0.0], [0.5, 2.0]), (share, [0.0, 0.0], [1.5, 0.3])]
    shares, means, variances = (np.array(each) for each in zip(*found, strict=True))
    return shares, means, variances


def _joint(x: Array, shares: Array, means: Array, variances: Array) -> Array:
    """log p(x, k), (m, n, 2)."""
    parts = np.log(np.stack((1 - shares, shares), axis=1))[:, None, :]
    distances = (x[:, None] - means[:, None, :]) ** 2 / variances[:, None, :]
    return parts - 0.5 * (distances + np.log(2 * np.pi * variances)[:, None, :])


def _second(x: Array, shares: Array, means: Array, variances: Array) -> Array:
    """The responsibility of the second component, (m, n)."""
    joint = _joint(x, shares, means, variances)
    return 1 / (1 + np.exp(joint[:, :, 0] - joint[:, :, 1]))


def _maximised(x: Array, second: Array) -> tuple[Array, Array]:
    """Means and variances (m, 2) of a step of EM."""
    both = np.stack((1 - second, second), axis=2)
    mass = both.sum(axis=1)
    means = (both * x[:, None]).sum(axis=1) / np.maximum(mass, np.finfo(np.float64).tiny)
    squares = (both * (x[:, None] - means[:, None, :]) ** 2).sum(axis=1)
    return means, (squares + 2 * PENALTY) / (mass + 2 * PENALTY)


def _height(x: Array, shares: Array, means: Array, variances: Array) -> Array:
    """The penalised log-likelihood, (m,), nats."""
    joint = _joint(x, shares, means, variances)
    of_rows = np.logaddexp(joint[:, :, 0], joint[:, :, 1]).sum(axis=1)
    of_variances = -PENALTY * (1 / variances + np.log(variances)).sum(axis=1)
    return of_rows + of_variances + np.log(1 - np.abs(1 - 2 * shares))
