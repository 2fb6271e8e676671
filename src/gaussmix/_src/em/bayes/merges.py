"""Merges and deletions of components in variational Bayes, and estimates of how much a move raises the bound.

The gain of a merge is computed without EM, from the log normalising constants of the posterior and from the sum Σ r log
r over the rows, where r are the responsibilities of the two components. One pass over the rows computes Σ r log r for
all pairs whose merge may raise the bound. See Hughes & Sudderth (2013), NIPS 26.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.em.bayes.variational_posterior import VariationalPosterior
from gaussmix._src.engines.base import Engine
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.leaves import Sums
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.numerics.arrays import Array, Indices
from gaussmix._src.numerics.core import native_target


class CandidateMerges(NamedTuple):
    """Merges of pairs of components.

    Parameters
    ----------
    pairs : indices of the components of each pair, (n_pairs, 2); the second component becomes part of the first.
    gains : upper bounds on the gains of the bound, in nats, (n_pairs,).
    means : means of the merged components, (n_pairs, n_features), in data units.
    scales : scales S of the merged components, (n_pairs, …), in the form of `ConjugatePrior.scale`.
    """

    pairs: NDArray[np.int64]
    gains: Array
    means: Array
    scales: Array

    def take(self, indices: Any) -> CandidateMerges:
        return CandidateMerges(*(values[indices] for values in self))


def find_merges(posterior: VariationalPosterior) -> CandidateMerges:
    """Return merges that may raise the bound, best first.

    Right after an M-step, the bound on the evidence is a sum of log normalising constants and of −Σ r log r. Because a
    merge lowers −Σ r log r, the gain is at most the change of the log normalising constants
    (cpp/em/variational_merges.hpp).
    """
    algebra, covariances = posterior.prior.family.algebra, posterior.covariances.each
    assert algebra is not None, "structures with a conjugate prior have an algebra"
    arguments = posterior.counts, posterior.means, np.ascontiguousarray(covariances).ravel()
    pairs, gains, means, scales = native_target().find_merges(algebra, *arguments, posterior.prior.pack(1.0, 1.0))
    return CandidateMerges(pairs, gains, means, scales.reshape(len(pairs), *covariances.shape[1:]))


def apply_merges(posterior: VariationalPosterior, merges: CandidateMerges) -> tuple[VariationalPosterior, Indices]:
    """Return the posterior after all merges, and the indices of the retained components."""
    prior = posterior.prior
    mass, means = np.array(posterior.counts), np.array(posterior.means)
    one, other = merges.pairs.T
    means[one] = merges.means
    mass[one] += mass[other]
    retained = np.setdiff1d(np.arange(len(mass)), other)
    if posterior.covariances.is_shared:
        covariances = posterior.covariances.take(retained)
    else:
        each = np.array(posterior.covariances.each)
        dof = (prior.dof_factor * (prior.dof + mass[one])).reshape(-1, *(1,) * (each.ndim - 1))
        each[one] = merges.scales / dof
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
    log_weights, but_last = posterior.weight_moments[0], np.arange(len(counts) - 1)
    others = but_last + (but_last >= removed[:, None])  # the other components, (n_removed, n_components - 1)
    remaining = posterior.counts[others]
    log_weights_after, normalisers = posterior.prior.weight_prior.expected_log_weights(remaining)
    divergences_after = (remaining * log_weights_after).sum(axis=1) - normalisers
    changes = (counts[others] * (log_weights_after - log_weights[others])).sum(axis=1)
    gains: Array = log_complements + divergences[removed] + posterior.weights_divergence - divergences_after + changes
    return gains


def merge_sums(leaf: Block, engine: Engine[Any], parameters: Parameters, pairs: Indices, candidates: Indices) -> Sums:
    """Return the sums over rows from which the gains of merges and deletions are computed.

    The sum for a pair with responsibilities r and r' is Σ s [(r + r') log (r + r') − r log r − r' log r'], where s are
    the row weights. The sum for a candidate for deletion with responsibilities r is Σ s log (1 − r).
    """
    responsibilities = np.ascontiguousarray(engine.responsibilities(leaf, parameters))
    return Sums(native_target().merge_sums(responsibilities, leaf.weight, pairs, candidates))
