"""Components merged into clusters: a cluster that is no Gaussian takes several components to describe."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gaussmix.mixture.base import check_alone
from gaussmix.mixture.mixture import Mixture
from gaussmix.numerics.arrays import Array


@dataclass(frozen=True, eq=False)
class Merging:
    """The components of a mixture, merged two at a time; Baudry et al. (2010), J. Comput. Graph. Stat. 19, 332–353.

    Parameters
    ----------
    mixture : the one whose components are merged.
    cluster_of : (n_components, n_components), the cluster of each component (column) in n + 1 clusters (row n).
    entropy : (n_components,), −Σ_i s_i Σ_j t_ij log t_ij of the clusters' responsibilities t, nats, by row as
        `cluster_of`. It falls steeply while the merged components overlap, and stays where clusters are apart.
    """

    mixture: Mixture
    cluster_of: NDArray[np.intp]
    entropy: Array

    @property
    def n_clusters(self) -> int:
        """Where the entropy bends."""
        return elbow(self.entropy)

    def responsibilities(self, rows: ArrayLike, n_clusters: int | None = None) -> Array:
        """p(cluster | x), (n_rows, n_clusters): sums over the components of a cluster.

        Parameters
        ----------
        rows : (n_rows, n_features), data units.
        n_clusters : 1 … n_components; the elbow by default.

        Raises
        ------
        ValueError : rows or n_clusters can't be used.
        """
        return merged(self.mixture.responsibilities(rows), self._clusters(n_clusters))

    def predict(self, rows: ArrayLike, n_clusters: int | None = None) -> NDArray[np.int64]:
        """The most probable cluster of each row, (n_rows,); the first of equals. Parameters and errors as above."""
        return np.asarray(self.responsibilities(rows, n_clusters).argmax(axis=1))

    def _clusters(self, n_clusters: int | None) -> NDArray[np.intp]:
        wanted = self.n_clusters if n_clusters is None else n_clusters
        if not 1 <= wanted <= len(self.cluster_of):
            raise ValueError(f"n_clusters={n_clusters!r} must be an integer from 1 to {len(self.cluster_of)}.")
        return np.asarray(self.cluster_of[wanted - 1])


def merge_by_entropy(mixture: Mixture, responsibilities: Array, row_weight: Array | None = None) -> Merging:
    """Merge the two clusters that lower the entropy of the responsibilities most, until one is left.

    Raises ValueError where the mixture has noise, whose part of the rows belongs to no cluster.
    """
    check_alone("merge", [mixture])
    n_components = responsibilities.shape[1]
    weight = np.ones(len(responsibilities)) if row_weight is None else row_weight
    shares = list(responsibilities.T)
    own = [_entropy(share, weight) for share in shares]
    gain = {
        (i, j): own[i] + own[j] - _entropy(shares[i] + shares[j], weight)
        for i in range(n_components)
        for j in range(i + 1, n_components)
    }
    cluster_of, entropy = np.empty((n_components, n_components), dtype=np.intp), np.empty(n_components)
    cluster_of[-1], entropy[-1] = np.arange(n_components), sum(own)
    for n_clusters in range(n_components - 1, 0, -1):
        i, j = max(gain, key=lambda pair: (gain[pair], -pair[0], -pair[1]))
        before = cluster_of[n_clusters]
        cluster_of[n_clusters - 1] = np.where(before == j, i, before - (before > j))
        shares[i] = shares[i] + shares.pop(j)
        own.pop(j)
        own[i] = _entropy(shares[i], weight)
        entropy[n_clusters - 1] = sum(own)
        gain = {(a - (a > j), b - (b > j)): value for (a, b), value in gain.items() if j not in (a, b)}
        for other in range(n_clusters):
            if other != i:
                pair = min(i, other), max(i, other)
                gain[pair] = own[i] + own[other] - _entropy(shares[i] + shares[other], weight)
    return Merging(mixture, cluster_of, entropy)


def merged(responsibilities: Array, clusters: NDArray[np.intp]) -> Array:
    """Responsibilities of clusters, (n_rows, n_clusters): sums over the components of each."""
    shares = np.zeros((len(responsibilities), int(clusters.max()) + 1))
    for component, cluster in enumerate(clusters):
        shares[:, cluster] += responsibilities[:, component]
    return shares


def elbow(entropy: Array) -> int:
    """Where two straight pieces that share a point fit the entropy (n_components,) best, in least squares.

    mclust's `clustCombiOptim` with `reg = 2`. With one or two components there is nothing to bend: all are kept.
    """
    n_components = len(entropy)
    counts = np.arange(1, n_components + 1)
    if n_components <= 2:
        return n_components

    def misfit(bend: int) -> float:
        pieces = (slice(None, bend), slice(bend - 1, None))
        return sum(_misfit(counts[piece].astype(np.float64), entropy[piece]) for piece in pieces)

    return min(range(2, n_components), key=misfit)


def _misfit(x: Array, y: Array) -> float:
    """The sum of squares that the straight line nearest to the points leaves."""
    x, y = x - x.mean(), y - y.mean()
    residual = y - (x @ y) / (x @ x) * x
    return float(residual @ residual)


def _entropy(share: Array, weight: Array) -> float:
    """−Σ s t log t; 0 log 0 is 0."""
    return -float(weight @ np.where(share > 0, share * np.log(np.where(share > 0, share, 1.0)), 0.0))
