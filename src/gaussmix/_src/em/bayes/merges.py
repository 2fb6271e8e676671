"""Merges and deletions of components in variational Bayes, and estimates of how much a move raises the bound.

The gain of a merge is computed without EM, from the log normalising constants of the posterior and from the sum Σ r log
r over the rows, where r are the responsibilities of the two components. One pass over the rows computes Σ r log r for
all pairs whose merge may raise the bound. See Hughes & Sudderth (2013), NIPS 26.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.em.bayes.variational_posterior import VariationalPosterior
from gaussmix._src.engines.base import Engine
from gaussmix._src.errors import SingularCovarianceError
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.leaves import Sums
from gaussmix._src.interfaces.moment_spec import MomentSpec
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.numerics.arrays import Array, Indices
from gaussmix._src.numerics.core import core
from gaussmix._src.numerics.elementary import log


def find_merges(posterior: VariationalPosterior) -> tuple[NDArray[np.intp], Array, Array]:
    """Return pairs whose merge may raise the bound, upper bounds on the gains in nats, and scales S of merged pairs.

    Each scale S has the same form as `ConjugatePrior.scale`. Right after an M-step, the bound on the evidence is a sum
    of log normalising constants and of −Σ r log r. Because a merge lowers −Σ r log r, the gain is at most the change of
    the log normalising constants.
    """
    pairs, prior = _nearest_pairs(posterior), posterior.prior
    one, other = pairs.T
    scales, d = _merged_scales(posterior, one, other), prior.n_features
    is_shared, merged_counts = posterior.covariances.is_shared, posterior.counts[one] + posterior.counts[other]
    dof = np.broadcast_to(posterior.dof, len(one)) if is_shared else prior.dof + merged_counts
    log_dets, is_usable = _log_dets(scales, dof, posterior)
    # Each component adds log Z_k − log Z_0 to the bound, with the normalising constants Z_k of its posterior and Z_0 of
    # the prior. Therefore, a merge adds log Z + log Z_0 − log Z_one − log Z_other. For a mean, log Z is −d/2 log β.
    gains = 0.5 * d * (log(posterior.mean_precisions[one]) + log(posterior.mean_precisions[other]))
    gains -= 0.5 * d * (log(prior.mean_precision + merged_counts) + log(np.array([prior.mean_precision])))
    gains, log_z = gains + prior.wishart_expectations(dof, log_dets)[1], posterior.precision_log_normalisers
    gains = gains - log_z if is_shared else gains + prior.log_normaliser - log_z[one] - log_z[other]
    gains = gains + _weight_prior_gains(posterior, one, other)
    chosen, n_pairs = list[int](), np.zeros(len(posterior.counts), dtype=np.intp)
    for index in np.argsort(-gains, kind="stable").tolist():
        if is_usable[index] and gains[index] > 0 and n_pairs[pairs[index]].max() < core.MERGE_PAIRS:
            chosen.append(index)
            n_pairs[pairs[index]] += 1
    return pairs[chosen], gains[chosen], scales[chosen]


def merge_pairs(posterior: VariationalPosterior, pairs: Indices, scales: Array) -> tuple[VariationalPosterior, Indices]:
    """Merge each pair, with the pair's scale S in `scales`; return the posterior and indices of retained components."""
    prior = posterior.prior
    mass, means = np.array(posterior.counts), np.array(posterior.means)
    one, other = pairs.T
    both = mass[one] + mass[other]
    means[one] = _merged_means(posterior, one, other)
    mass[one] = both
    retained = np.setdiff1d(np.arange(len(mass)), other)
    if posterior.covariances.is_shared:
        covariances = posterior.covariances.take(retained)
    else:
        each = np.array(posterior.covariances.each)
        each[one] = _scales_to_covariances(scales, prior.dof + both, prior)
        covariances = replace(posterior.covariances, each=each).take(retained)
    return VariationalPosterior(prior, mass[retained], means[retained], covariances), retained


def deletion_gains(posterior: VariationalPosterior, counts: Array, removed: Indices, log_complements: Array) -> Array:
    """Return, for each component in `removed`, the gain of the bound in nats if this component is deleted.

    The result is a lower bound on the gain after the rows of the deleted component are divided among the other
    components. If components share a covariance, the result is only an estimate.

    Parameters
    ----------
    posterior : posterior before the deletion.
    counts : sums Σ r_k over the rows, (n_components,), of the responsibilities that an E-step with `posterior` gives.
    removed : indices of the components that may be deleted.
    log_complements : sums Σ log (1 − r_k) over the rows for each component k in `removed`.

    Notes
    -----
    A deletion removes the divergence of the component from the prior, and replaces the divergence of the weights. The
    log evidence of a row changes by log Σ_j r_j exp(Δ_j) over the other components j, where Δ_j is the change of
    E log π_j. By Jensen's inequality and because Δ_j ≥ 0, this is at least log (1 − r_k) + Σ_j r_j Δ_j.
    """
    divergences = posterior.mean_divergences() if posterior.covariances.is_shared else posterior.component_divergences()
    n_components = len(counts)
    others = np.array([np.delete(np.arange(n_components), k) for k in removed], dtype=np.intp)
    others = others.reshape(len(removed), n_components - 1)
    remaining = posterior.counts[others]
    log_weights, normalisers = posterior.prior.weight_prior.expected_log_weights(remaining)
    divergences_after = (remaining * log_weights).sum(axis=1) - normalisers
    gains = log_complements + (divergences[removed] + posterior.weights_divergence - divergences_after)
    return np.asarray(gains + (counts[others] * (log_weights - posterior.expected_log_weights[others])).sum(axis=1))


def _nearest_pairs(posterior: VariationalPosterior) -> NDArray[np.intp]:
    """Pair each component with its nearest components, and return these candidates for merges, (n_pairs, 2)."""
    n_components = len(posterior.counts)
    if n_components - 1 <= core.MERGE_NEIGHBOURS:
        return np.column_stack(np.triu_indices(n_components, 1))
    whitening, distances = posterior.covariances.whitening, np.zeros((n_components, n_components))
    for k in range(n_components):
        distances[:, k] = (whitening.whiten_each(posterior.means - posterior.means[k]) ** 2).sum(axis=1)
    distances = np.minimum(distances, distances.T)
    np.fill_diagonal(distances, np.inf)
    nearest_components = np.argsort(distances, axis=1, kind="stable")[:, : core.MERGE_NEIGHBOURS]
    pairs = np.column_stack((np.repeat(np.arange(n_components), core.MERGE_NEIGHBOURS), nearest_components.ravel()))
    pairs.sort(axis=1)
    return np.unique(pairs, axis=0)


def _weight_prior_gains(posterior: VariationalPosterior, one: Indices, other: Indices) -> Array:
    """Return, for each merge, the change in the log normalising constant of the weights' posterior, in nats."""
    mass = np.repeat(posterior.counts[None], len(one), axis=0)
    rows = np.arange(len(one))
    mass[rows, one] += mass[rows, other]
    mass[rows, other] = 0.0
    mass = np.sort(mass, axis=1)[:, ::-1]
    concentration = posterior.prior.weight_prior
    return concentration.expected_log_weights(mass)[1] - concentration.expected_log_weights(posterior.counts)[1]


def _merged_means(posterior: VariationalPosterior, one: Indices, other: Indices) -> Array:
    """Return the posterior mean of the merged component for each pair of components."""
    prior, beta = posterior.prior, posterior.mean_precisions[:, None]
    both = beta[one] + beta[other] - prior.mean_precision
    mean, other_mean = posterior.means[one], posterior.means[other]
    return mean + (beta[other] * (other_mean - mean) - prior.mean_precision * (prior.mean - mean)) / both


def _merged_scales(posterior: VariationalPosterior, one: Indices, other: Indices) -> Array:
    """Return the merged component's scale S for each pair; for spherical covariances, S is summed over features."""
    prior, spec = posterior.prior, MomentSpec(posterior.prior.covariance_form)
    middle, roots = _merged_means(posterior, one, other), np.sqrt(posterior.mean_precisions)[:, None]
    between = spec.squares(roots[one] * (posterior.means[one] - middle))
    between = between + spec.squares(roots[other] * (posterior.means[other] - middle))
    between = between - spec.squares(np.sqrt(prior.mean_precision) * (prior.mean - middle))
    times = prior.dof_factor
    if posterior.covariances.is_shared:
        return np.asarray(times * posterior.dof[0] * posterior.covariances.each + between)
    shape = (-1,) + (1,) * (posterior.covariances.each.ndim - 1)
    second = times * posterior.dof.reshape(shape) * posterior.covariances.each
    return np.asarray(second[one] + second[other] - prior.conjugate.scale + between)


def _scales_to_covariances(scales: Array, dof: Array, prior: Any) -> Array:
    """Convert scales S, in the form that `_merged_scales` returns, to covariances S / ν."""
    shape = (-1,) + (1,) * (scales.ndim - 1)
    return scales / (prior.dof_factor * dof).reshape(shape)


def _log_dets(scales: Array, dof: Array, posterior: VariationalPosterior) -> tuple[Array, NDArray[np.bool_]]:
    """Return log |S / ν|, and whether each scale S is positive definite (rounding errors may make S indefinite)."""
    prior, is_usable = posterior.prior, np.ones(len(dof), dtype=bool)
    each = _scales_to_covariances(scales, dof, prior)
    for _ in range(2):
        try:
            result = prior.family.kind.from_array(each, len(dof), prior.n_features, False).whitening.log_abs_det
            return -2.0 * result, is_usable
        except SingularCovarianceError as error:
            is_usable[list(error.components)] = False
            each = np.array(each)
            each[list(error.components)] = prior.covariance.each[0]
    return np.zeros(len(dof)), np.zeros(len(dof), dtype=bool)


def merge_sums(leaf: Block, engine: Engine[Any], parameters: Parameters, pairs: Indices, candidates: Indices) -> Sums:
    """Return the sums over rows from which the gains of merges and deletions are computed.

    The sum for a pair with responsibilities r and r' is Σ s [(r + r') log (r + r') − r log r − r' log r'], where s are
    the row weights. The sum for a candidate for deletion with responsibilities r is Σ s log (1 − r).
    """
    responsibilities = np.ascontiguousarray(engine.responsibilities(leaf, parameters).T)
    weight, entropy, left = leaf.weight, np.zeros(len(pairs)), np.zeros(len(candidates))
    is_there = (responsibilities > core.MIN_MERGE_RESPONSIBILITY) & (weight > 0)
    for i, (one, other) in enumerate(pairs):
        indices = np.flatnonzero(is_there[one] & is_there[other])
        if indices.size:
            a, b = responsibilities[one, indices], responsibilities[other, indices]
            terms = _x_log_x(a + b) - _x_log_x(a) - _x_log_x(b)
            entropy[i] = (weight[indices] * terms).sum()
    for i, k in enumerate(candidates):
        indices = np.flatnonzero(is_there[k])
        if indices.size:
            terms = log(1.0 - responsibilities[k, indices])
            left[i] = (weight[indices] * terms).sum()
    return Sums([entropy, left])


def _x_log_x(values: Array) -> Array:
    return values * log(values)
