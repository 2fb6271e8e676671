"""The lower bound of variational Bayes, computed with SciPy from normalisers and the entropy of the rows.

This form of the bound shares no formula with `em.bayes.variational_posterior`, where the bound is Σ log Σ exp of the
E-step minus KL(q ‖ p). For responsibilities 0 and 1 the bound is log p(x, z) of an allocation. See Bishop (2006)
section 10.2 and Attias (2000).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, gammaln, multigammaln, xlogy
from scipy.stats import multivariate_t
from scipy.stats import t as student

Array = NDArray[np.float64]


@dataclass
class Prior:
    """Prior as in `em.bayes.variational_posterior.GaussWishartPrior`; `form` is full, diag or spherical."""

    form: str
    is_shared: bool
    alpha: float
    has_sticks: bool
    mean: Array
    precision: float
    dof: float
    scale: Array


def moments(rows: Array, responsibilities: Array, prior: Prior) -> tuple[Array, Array, Array]:
    """Compute mass, mean and scatter of each component; spherical components have the mean scatter per feature."""
    mass = responsibilities.sum(axis=0)
    means = responsibilities.T @ rows / np.maximum(mass, 1e-300)[:, None]
    offsets = rows[:, None] - means
    if prior.form == "full":
        return mass, means, np.einsum("nk,nki,nkj->kij", responsibilities, offsets, offsets)
    scatter = np.einsum("nk,nki->ki", responsibilities, offsets**2)
    return mass, means, scatter if prior.form == "diag" else scatter.mean(axis=1)


def after_m_step(rows: Array, responsibilities: Array, prior: Prior) -> float:
    """Compute the bound, in nats, for responsibilities and the q that is optimal for them."""
    (n, d), k = rows.shape, responsibilities.shape[1]
    mass, means, scatter = moments(rows, responsibilities, prior)
    beta = prior.precision + mass
    shift = prior.precision * mass / beta
    offsets = means - prior.mean
    if prior.form == "full":
        scatter = scatter + shift[:, None, None] * offsets[:, :, None] * offsets[:, None, :]
    else:
        squares = offsets**2 if prior.form == "diag" else (offsets**2).mean(axis=1)
        scatter = scatter + (shift[:, None] * squares if prior.form == "diag" else shift * squares)
    if prior.is_shared:
        found = _of_covariance(prior, d, prior.dof + n, prior.scale + scatter.sum(axis=0))
        found -= _of_covariance(prior, d, prior.dof, prior.scale)
    else:
        found = sum(_of_covariance(prior, d, prior.dof + mass[j], prior.scale + scatter[j]) for j in range(k))
        found -= k * _of_covariance(prior, d, prior.dof, prior.scale)
    found += 0.5 * d * np.log(prior.precision / beta).sum() - 0.5 * n * d * np.log(2 * np.pi)
    return float(found + _of_weights(prior, mass) - xlogy(responsibilities, responsibilities).sum())


def _of_covariance(prior: Prior, d: int, dof: float, scale: Array) -> float:
    """Compute the log normaliser of a Wishart distribution or of gamma distributions."""
    if prior.form == "full":
        return float(dof * d / 2 * np.log(2) + multigammaln(dof / 2, d) - dof / 2 * np.linalg.slogdet(scale)[1])
    if prior.form == "diag":
        return float((gammaln(dof / 2) - dof / 2 * np.log(scale / 2)).sum())
    return float(gammaln(d * dof / 2) - d * dof / 2 * np.log(d * scale / 2))


def _of_weights(prior: Prior, mass: Array) -> float:
    """Compute the log normaliser of q(π) minus the log normaliser of p(π)."""
    k, alpha = len(mass), prior.alpha
    if prior.has_sticks:
        after = alpha + np.append(np.cumsum(mass[::-1])[::-1][1:], 0.0)
        return float((betaln(1 + mass, after) - betaln(1.0, alpha)).sum())
    of_all = gammaln(k * alpha) - gammaln(k * alpha + mass.sum())
    return float(of_all + (gammaln(alpha + mass) - gammaln(alpha)).sum())


def evidence_of_one(rows: Array, prior: Prior) -> float:
    """Compute the log evidence of one component, in nats, as the sum of log p(row | earlier rows)."""
    d, total = rows.shape[1], 0.0
    for i, row in enumerate(rows):
        past = rows[:i]
        beta, dof = prior.precision + i, prior.dof + i
        mean = (prior.precision * prior.mean + past.sum(axis=0)) / beta
        centre = past.mean(axis=0) if i else prior.mean
        offsets, shift = past - centre, centre - prior.mean
        inflation = 1 + 1 / beta
        if prior.form == "full":
            scale = prior.scale + offsets.T @ offsets + prior.precision * i / beta * np.outer(shift, shift)
            df = dof + 1 - d
            total += multivariate_t(mean, scale * inflation / df, df).logpdf(row)
            continue
        scale = prior.scale + (offsets**2).sum(axis=0) + prior.precision * i / beta * shift**2
        if prior.form == "diag":
            total += student(dof, mean, np.sqrt(scale * inflation / dof)).logpdf(row).sum()
        else:
            total += multivariate_t(mean, np.eye(d) * scale.mean() * inflation / dof, d * dof).logpdf(row)
    return float(total)
