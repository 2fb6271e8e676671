"""Mixtures in mpmath with 50 digits, computed from the formulas of Bishop (2006), without gaussmix's arithmetic."""

from __future__ import annotations

import numpy as np
from common import EPS, univariate
from mpmath import mp

DIGITS = 50
ONE = univariate([0.3, 0.7], [0.0, 2.5], [1.0, 0.25])
OTHER = univariate([0.5, 0.2, 0.3], [-0.5, 2.0, 4.0], [1.5, 0.5, 2.0])


def conditional(mixture, row, known, digits=DIGITS):
    """Return weights (K,), means (K, n_unknown), covariances (K, n_unknown, n_unknown) given features; eq. 2.81–2.82.

    Also return the largest squared distance of the row, in standard deviations, from a component that matters.
    """
    unknown = [j for j in range(mixture.n_features) if j not in known]
    with mp.workdps(digits):
        joint, squared, means, covariances = [], [], [], []
        for weight, mean, covariance in components(mixture):
            offset = mp.matrix([mp.mpf(float(x)) - mean[j] for x, j in zip(row, known, strict=True)])
            block, across = _part(covariance, known, known), _part(covariance, unknown, known)
            solved = mp.lu_solve(block, offset)
            squared.append((offset.T * solved)[0])
            joint.append(mp.log(weight) - (mp.log(mp.det(block)) + squared[-1]) / 2 if weight else -mp.inf)
            means.append(_column(mean, unknown) + across * solved)
            covariances.append(_part(covariance, unknown, unknown) - across * mp.inverse(block) * across.T)
        largest = max(joint)
        relative = [mp.exp(each - largest) for each in joint]
        weights = np.array([float(ratio / sum(relative)) for ratio in relative])
        distance = max(float(q) for q, weight in zip(squared, weights, strict=True) if weight > EPS)
        means = np.array([doubles(m)[:, 0] for m in means])
        return weights, means, np.array([doubles(c) for c in covariances]), distance


def log_density(mixture):
    """Return a function of a row of mpf that returns log p(row) as mpf. Call both with the digits set."""
    parts = []
    for weight, mean, covariance in components(mixture):
        scale = mp.log(weight) - mp.log(mp.det(2 * mp.pi * covariance)) / 2
        parts.append((scale, list(mean), mp.inverse(covariance).tolist()))

    def of(row):
        logs = []
        for scale, mean, precision in parts:
            offset = [x - m for x, m in zip(row, mean, strict=True)]
            logs.append(scale - mp.fdot(offset, [mp.fdot(line, offset) for line in precision]) / 2)
        largest = max(logs)
        return largest + mp.log(mp.fsum(mp.exp(each - largest) for each in logs))

    return of


def density_of_one_feature(mixture):
    """Return a function of x that returns the density p(x) as mpf."""
    parts = [
        (mp.mpf(w), mp.mpf(m), mp.sqrt(mp.mpf(v)))
        for w, m, v in zip(mixture.weights, mixture.means[:, 0], mixture.covariances, strict=True)
    ]
    return lambda x: mp.fsum(w * mp.npdf(x, m, s) for w, m, s in parts)


def integral(integrand, *mixtures):
    """Compute ∫ f(p(x), …) dx over the range of `ONE` and `OTHER`, to about 20 digits."""
    with mp.workdps(30):
        densities = [density_of_one_feature(mixture) for mixture in mixtures]
        return float(mp.quad(lambda x: integrand(*(p(x) for p in densities)), mp.linspace(-14, 18, 33)))


def components(mixture):
    """Return (weight, mean, covariance) of each component, without rounding."""
    dense = mixture._model.covariances.dense()
    for weight, mean, covariance in zip(mixture.weights, mixture.means, dense, strict=True):
        yield mp.mpf(float(weight)), mp.matrix(mean.tolist()), mp.matrix(covariance.tolist())


def doubles(matrix):
    """Convert an mpmath matrix to an array of doubles."""
    return np.array(matrix.tolist(), dtype=np.float64).reshape(matrix.rows, matrix.cols)


def deviations(mixture):
    """Return standard deviations of features within components, (K, d)."""
    return np.sqrt(mixture._model.covariances.variances())


def rounding(mixture):
    """Return the rounding of Cholesky factors, c d cond ε with c = 16; Higham (2002), theorems 8.5 and 10.4.

    `cond` is the condition number of covariances scaled to a unit diagonal (theorem 10.5). If means are far from 0,
    their differences lose ε |μ| / σ before any other operation.
    """
    dense, scale = mixture._model.covariances.dense(), deviations(mixture)
    condition = max(np.linalg.cond(c / np.outer(s, s)) for c, s in zip(dense, scale, strict=True))
    return 16 * mixture.n_features * condition * EPS * max(1.0, float(np.abs(mixture.means / scale).max()))


def _part(matrix, rows, columns):
    return mp.matrix([[matrix[i, j] for j in columns] for i in rows])


def _column(vector, indices):
    return mp.matrix([vector[j] for j in indices])
