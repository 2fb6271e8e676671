"""Merges and deletions of components: what the bound of variational Bayes gains by each, and what is left.

A merge is evaluated without EM: by the normalisers of the posterior and Σ r log r of the pair, which one pass collects
for the pairs that may pay. Hughes & Sudderth (2013), NIPS 26.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.em.bayes.approximation import Approximation
from gaussmix._src.engines.base import Engine
from gaussmix._src.errors import SingularCovariance
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.leaves import Sums
from gaussmix._src.interfaces.moment_spec import MomentSpec
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.numerics.arrays import Array, Indices
from gaussmix._src.numerics.core import core
from gaussmix._src.numerics.elementary import log


def merges(q: Approximation) -> tuple[NDArray[np.intp], Array, Array]:
    """Pairs whose merge may raise the bound, by how much at most, nats, and S of each as `ConjugatePrior` has it.

    Right after an M-step, the bound is a sum of log normalisers, and of −Σ r log r. That of both together is larger, so
    this is a bound on the gain.
    """
    pairs, prior = _nearest_pairs(q), q.prior
    one, other = pairs.T
    second, d = _merged_scales(q, one, other), prior.n_features
    is_shared, both = q.covariances.is_shared, q.mass[one] + q.mass[other]
    dof = np.broadcast_to(q.dof, len(one)) if is_shared else prior.dof + both
    log_dets, is_usable = _log_dets(second, dof, q)
    of_means = 0.5 * d * (log(q.precisions[one]) + log(q.precisions[other]))
    of_means -= 0.5 * d * (log(prior.precision + both) + log(np.array([prior.precision])))
    gains, before = of_means + prior.moments(dof, log_dets)[1], q.log_normalisers
    gains = gains - before if is_shared else gains + prior.log_normaliser - before[one] - before[other]
    gains = gains + _weights_gain(q, one, other)
    chosen, n_pairs = list[int](), np.zeros(len(q.mass), dtype=np.intp)
    for index in np.argsort(-gains, kind="stable").tolist():
        if is_usable[index] and gains[index] > 0 and n_pairs[pairs[index]].max() < core.MERGE_PAIRS:
            chosen.append(index)
            n_pairs[pairs[index]] += 1
    return pairs[chosen], gains[chosen], second[chosen]


def merged(q: Approximation, pairs: NDArray[np.intp], scales: Array) -> tuple[Approximation, Indices]:
    """The posterior with pairs of components merged, and the indices that are left; `scales` are S of the pairs."""
    prior = q.prior
    mass, means = np.array(q.mass), np.array(q.means)
    one, other = pairs.T
    both = mass[one] + mass[other]
    means[one] = _mean_of_both(q, one, other)
    mass[one] = both
    retained = np.setdiff1d(np.arange(len(mass)), other)
    if q.covariances.is_shared:
        covariances = q.covariances.take(retained)
    else:
        each = np.array(q.covariances.each)
        each[one] = _as_covariances(scales, prior.dof + both, prior)
        covariances = replace(q.covariances, each=each).take(retained)
    return Approximation(prior, mass[retained], means[retained], covariances), retained


def deletions(q: Approximation, mass: Array, small: Indices, left: Array) -> Array:
    """What the bound gains without each of the small components, nats; `left` are their Σ log (1 − r).

    It is a lower bound, for the rows shared among the others; an estimate where components share a covariance.
    """
    own = q.divergences_of_means() if q.covariances.is_shared else q.divergences()
    gains, n_all = np.array(left), np.arange(len(q.mass))
    logs = q.expected_logs
    for i, k in enumerate(small):
        without = q.take(n_all[n_all != k])
        gains[i] += own[k] + q.divergence_of_weights - without.divergence_of_weights
        gains[i] += float((np.delete(mass, k) * (without.expected_logs - np.delete(logs, k))).sum())
    return gains


def _nearest_pairs(q: Approximation) -> NDArray[np.intp]:
    """Pairs of components that may merge, (n_pairs, 2): each with its nearest by both of their covariances."""
    n_components = len(q.mass)
    if n_components - 1 <= core.MERGE_NEIGHBOURS:
        return np.column_stack(np.triu_indices(n_components, 1))
    whitening, distances = q.covariances.whitening, np.zeros((n_components, n_components))
    for k in range(n_components):
        distances[:, k] = (whitening.whiten_each(q.means - q.means[k]) ** 2).sum(axis=1)
    distances = np.minimum(distances, distances.T)
    np.fill_diagonal(distances, np.inf)
    nearest_components = np.argsort(distances, axis=1, kind="stable")[:, : core.MERGE_NEIGHBOURS]
    pairs = np.column_stack((np.repeat(np.arange(n_components), core.MERGE_NEIGHBOURS), nearest_components.ravel()))
    pairs.sort(axis=1)
    return np.unique(pairs, axis=0)


def _weights_gain(q: Approximation, one: Indices, other: Indices) -> Array:
    """What merges change in the log normaliser of the weights, nats."""
    mass = np.repeat(q.mass[None], len(one), axis=0)
    rows = np.arange(len(one))
    mass[rows, one] += mass[rows, other]
    mass[rows, other] = 0.0
    mass = np.sort(mass, axis=1)[:, ::-1]
    concentration = q.prior.concentration
    return concentration.expected_log_weights(mass)[1] - concentration.expected_log_weights(q.mass)[1]


def _mean_of_both(q: Approximation, one: Indices, other: Indices) -> Array:
    """The posterior means of pairs of components together."""
    prior, beta = q.prior, q.precisions[:, None]
    both = beta[one] + beta[other] - prior.precision
    shift = beta[other] * (q.means[other] - q.means[one]) - prior.precision * (prior.mean - q.means[one])
    return q.means[one] + shift / both


def _merged_scales(q: Approximation, one: Indices, other: Indices) -> Array:
    """S of pairs of components together, as sums: of one variance the sum over features."""
    prior, spec = q.prior, MomentSpec(q.prior.form)
    middle = _mean_of_both(q, one, other)
    between = spec.squares(np.sqrt(q.precisions[one])[:, None] * (q.means[one] - middle))
    between = between + spec.squares(np.sqrt(q.precisions[other])[:, None] * (q.means[other] - middle))
    between = between - spec.squares(np.sqrt(prior.precision) * (prior.mean - middle))
    times = prior.times
    if q.covariances.is_shared:
        return np.asarray(times * q.dof[0] * q.covariances.each + between)
    shape = (-1,) + (1,) * (q.covariances.each.ndim - 1)
    second = times * q.dof.reshape(shape) * q.covariances.each
    return np.asarray(second[one] + second[other] - prior.as_sums.scale + between)


def _as_covariances(second: Array, dof: Array, prior: Any) -> Array:
    """S / ν of sums."""
    shape = (-1,) + (1,) * (second.ndim - 1)
    return second / (prior.times * dof).reshape(shape)


def _log_dets(second: Array, dof: Array, q: Approximation) -> tuple[Array, NDArray[np.bool_]]:
    """log |S / ν| of sums, and which of them are positive definite; others are rounding."""
    prior, is_usable = q.prior, np.ones(len(dof), dtype=bool)
    each = _as_covariances(second, dof, prior)
    for _ in range(2):
        try:
            result = prior.family.kind.from_array(each, len(dof), prior.n_features, False).whitening.log_abs_det
            return -2.0 * result, is_usable
        except SingularCovariance as error:
            is_usable[list(error.components)] = False
            each = np.array(each)
            each[list(error.components)] = prior.covariance.each[0]
    return np.zeros(len(dof)), np.zeros(len(dof), dtype=bool)


def survey(leaf: Block, engine: Engine[Any], parameters: Parameters, pairs: NDArray[np.intp], some: Indices) -> Sums:
    """For pairs (n_pairs, 2) Σ s [(r + r') log (r + r') − r log r − r' log r']; for some Σ s log (1 − r)."""
    responsibilities = np.ascontiguousarray(engine.responsibilities(leaf, parameters).T)
    weight, entropy, left = leaf.weight, np.zeros(len(pairs)), np.zeros(len(some))
    is_there = (responsibilities > core.MIN_MERGE_RESPONSIBILITY) & (weight > 0)
    for i, (one, other) in enumerate(pairs):
        indices = np.flatnonzero(is_there[one] & is_there[other])
        if indices.size:
            a, b = responsibilities[one, indices], responsibilities[other, indices]
            terms = _x_log_x(a + b) - _x_log_x(a) - _x_log_x(b)
            entropy[i] = (weight[indices] * terms).sum()
    for i, k in enumerate(some):
        indices = np.flatnonzero(is_there[k])
        if indices.size:
            terms = log(1.0 - responsibilities[k, indices])
            left[i] = (weight[indices] * terms).sum()
    return Sums([entropy, left])


def _x_log_x(values: Array) -> Array:
    return values * log(values)
