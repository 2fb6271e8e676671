"""Reduction of a mixture to a mixture with fewer components and nearly the same distribution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gaussmix._src.checks import check_count
from gaussmix._src.covariances import Dense
from gaussmix._src.errors import SingularCovarianceError
from gaussmix._src.families.base import unconstrained
from gaussmix._src.interfaces.whitening.triangular import TriangularWhitening
from gaussmix._src.mixture.compare.gaussians import MAX_DISTANCE, Gaussians, kl_divergences
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array, Indices, pieces
from gaussmix._src.numerics.threads import one_blas_thread

_MAX_REFINEMENTS = 100


def reduce(model: Model, n_components: int, *, refine: bool) -> Model:
    """Merge components until `n_components` are left, and optionally refine the assignment to merged components.

    The components are merged by the method of Runnalls (2007), IEEE Transactions on Aerospace and Electronic Systems
    43, 989–999, and refined by the method of Davis & Dhillon (2006), NIPS.
    """
    n_components, largest = check_count("n_components", n_components, 1), model.n_components
    if n_components > largest:
        raise ValueError(f"n_components={n_components} must be an integer from 1 to {largest}, the current number.")
    if n_components == largest:
        return model
    there = np.flatnonzero(model.weights > 0)
    if len(there) <= n_components:
        others = np.flatnonzero(model.weights == 0)[: n_components - len(there)]
        return model.take(np.sort(np.append(there, others)))
    parts = Gaussians.from_model(model, axis_parallel=False)
    labels = _merged(parts, n_components)
    merged = _refined(parts, labels) if refine else _joined(parts, labels)
    covariances = Dense(merged.covariances, *merged.means.shape)
    return Model(merged.weights, merged.means, covariances, unconstrained(covariances))


@one_blas_thread()
def _merged(parts: Gaussians, n_components: int) -> Indices:
    """Merge components by Runnalls' rule; return the merged component's index for each original component, (n,)."""
    live = _RemainingComponents.from_parts(parts)
    n = len(parts.weights)
    costs = np.full((n, n), np.inf)
    for i in range(n - 1):
        following = np.arange(i + 1, n)
        costs[i, following] = costs[following, i] = live.costs(i, following)
    owner = np.arange(n)
    for n_left in range(n, n_components, -1):
        i, j = sorted(divmod(int(costs.argmin()), n))
        try:
            live.merge(i, j)
        except SingularCovarianceError:
            raise ValueError(
                f"n_components={n_components} is too small: it would merge components so far apart that float64 cannot "
                f"represent the merged covariance. The smallest possible n_components is {n_left}."
            ) from None
        owner[owner == j] = i
        costs[j, :] = costs[:, j] = np.inf
        others = np.setdiff1d(owner, i)
        costs[i, others] = costs[others, i] = live.costs(i, others)
    return np.asarray(np.unique(owner, return_inverse=True)[1])


@dataclass(eq=False)
class _RemainingComponents:
    """The components that are left during merging; their arrays are changed in place."""

    weights: Array
    means: Array
    covariances: Array
    log_dets: Array

    @classmethod
    def from_parts(cls, parts: Gaussians) -> _RemainingComponents:
        weights, means, covariances = (np.array(each) for each in (parts.weights, parts.means, parts.covariances))
        return cls(weights, means, covariances, -2 * parts.whitening.log_abs_det)

    def costs(self, i: int, others: Indices) -> Array:
        """Return costs (w_i + w_j) log |P_ij| − w_i log |P_i| − w_j log |P_j| of merging components i and j.

        P_ij is the covariance of the union of component i and a component j in `others`; see eq. 16 of Runnalls (2007).
        """
        parts = pieces((len(others), *self.covariances.shape[1:]))
        gained = np.concatenate([self._log_dets(i, others[part]) for part in parts])
        costs: Array = self.weights[i] * (gained - self.log_dets[i])
        return costs + self.weights[others] * (gained - self.log_dets[others])

    def _log_dets(self, i: int, others: Indices) -> Array:
        """Return log |P_ij| as log |C| + log (1 + s δᵀC⁻¹δ), because C is better conditioned than P_ij = C + s δδᵀ.

        C is a weighted mean of the covariances of components i and j, and δ is the difference of their means.
        """
        ratio = self.weights[others] / (self.weights[i] + self.weights[others])
        within = self.covariances[i] + ratio[:, None, None] * (self.covariances[others] - self.covariances[i])
        whitening = TriangularWhitening.from_covariances(within)
        with np.errstate(over="ignore"):
            squared = (whitening.whiten_each(self.means[others] - self.means[i]) ** 2).sum(axis=1)
        return np.asarray(np.log1p(ratio * (1 - ratio) * np.minimum(squared, MAX_DISTANCE)) - 2 * whitening.log_abs_det)

    def merge(self, i: int, j: int) -> None:
        """Replace component i by the union of components i and j; raises an error if the new covariance is singular."""
        pair = Gaussians(*(each[[i, j]] for each in (self.weights, self.means, self.covariances)))
        with np.errstate(over="ignore"):
            both = _joined(pair, np.zeros(2, dtype=np.intp))
        self.weights[i], self.means[i], self.covariances[i] = both.weights[0], both.means[0], both.covariances[0]
        self.log_dets[i] = -2 * both.whitening.log_abs_det[0]


@np.errstate(over="ignore", invalid="ignore")  # the caller checks whether the result is finite
def _joined(parts: Gaussians, labels: Indices) -> Gaussians:
    """Merge the components with the same label into one component that has their overall mean and covariance."""
    weights = np.zeros(int(labels.max()) + 1)
    np.add.at(weights, labels, parts.weights)
    fractions = parts.weights / weights[labels]
    means = np.zeros((len(weights), parts.n_features))
    np.add.at(means, labels, fractions[:, None] * parts.means)
    offsets = parts.means - means[labels]
    covariances = np.zeros((len(weights), parts.n_features, parts.n_features))
    spreads = parts.covariances + offsets[:, :, None] * offsets[:, None, :]
    np.add.at(covariances, labels, fractions[:, None, None] * spreads)
    return Gaussians(weights, means, covariances)


def _refined(parts: Gaussians, labels: Indices) -> Gaussians:
    """Reassign components to lower Σ_i w_i KL(p_i‖merged), so that no merged component loses all its components."""
    merged = _joined(parts, labels)
    for _ in range(_MAX_REFINEMENTS):
        divergences = kl_divergences(parts, merged)
        own = divergences[np.arange(len(labels)), labels]
        new_labels = divergences.argmin(axis=1)
        new_labels = np.where(own > divergences.min(axis=1), new_labels, labels)
        for label in range(len(merged.weights)):
            members = np.flatnonzero(labels == label)
            new_labels[members[own[members].argmin()]] = label
        if (new_labels == labels).all():
            break
        labels = new_labels
        merged = _joined(parts, labels)
    return merged
