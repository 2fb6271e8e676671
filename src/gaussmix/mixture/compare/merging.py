"""Components merged into clusters: a cluster that is no Gaussian takes several components to describe."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import entr

from gaussmix.checks import check_count, check_within
from gaussmix.errors import counted
from gaussmix.mixture.base import check_alone
from gaussmix.mixture.mixture import Mixture
from gaussmix.mixture.shown import table_html
from gaussmix.numerics.arrays import Array

MIN_OVERLAP = 0.025


@dataclass(frozen=True, eq=False, repr=False)
class Merging:
    """The components of a mixture, merged to clusters two at a time.

    Parameters
    ----------
    mixture : the one whose components are merged.
    cluster_of : (n_components, n_components), the cluster of each component (column) in n + 1 clusters (row n).
    entropy : (n_components,), −Σ_i s_i Σ_j t_ij log t_ij of the clusters' responsibilities t and the rows' weights s,
        nats, by row as `cluster_of`.
    overlap : (n_components − 1,), the overlap of the two clusters whose union leaves n + 1 clusters, from 0 to 1.
    n_clusters : where no two clusters overlap by `min_overlap` or more.

    Notes
    -----
    Two clusters j and l are merged while some pair overlaps: of the pairs that do, the one whose union lowers the
    entropy most, by

        Σ_i s_i ((t_ij + t_il) log (t_ij + t_il) − t_ij log t_ij − t_il log t_il),

    Baudry et al. (2010), J. Comput. Graph. Stat. 19, 332–353. Where no pair overlaps, `n_clusters` is reached, and the
    other pairs are merged in the same order until one cluster is left.

    The overlap of j and l is the larger of p_jl and p_lj,

        p_jl = Σ_i s_i t_ij [t_il ≥ t_ij] / Σ_i s_i t_ij,

    the share of the rows of j that l gets where only these two are compared: DEMP of Hennig (2010), Advances in Data
    Analysis and Classification 4, 3–34, as R's `fpc::mergenormals` estimates it. The default 0.025 is his. Two round
    Gaussians of one size overlap by Φ(−d/2) at a distance of d standard deviations: they are merged up to 3.92.
    """

    mixture: Mixture
    cluster_of: NDArray[np.intp]
    entropy: Array
    overlap: Array
    n_clusters: int

    def __repr__(self) -> str:
        components = counted(self.mixture.n_components, "component")
        return f"<Merging: {components} in {counted(self.n_clusters, 'cluster')}: {self._grouped(self.n_clusters)}>"

    def _repr_html_(self) -> str:
        n_components = self.mixture.n_components
        numbers = range(n_components, 0, -1)
        overlaps = ["", *(f"{overlap:.3g}" for overlap in self.overlap[::-1])]
        rows = [
            [f"→ {n}" if n == self.n_clusters else str(n), overlap, f"{self.entropy[n - 1]:.4g}", self._grouped(n)]
            for n, overlap in zip(numbers, overlaps, strict=True)
        ]
        table = table_html(["clusters", "overlap of the two", "entropy", "components"], rows)
        return f'<div><p>{escape(repr(self)[1:-1])}</p><div style="overflow-x:auto">{table}</div></div>'

    def _grouped(self, n_clusters: int) -> str:
        """The components of each cluster: "0 2 | 1"."""
        clusters = self.cluster_of[n_clusters - 1]
        return " | ".join(" ".join(map(str, np.flatnonzero(clusters == j))) for j in range(n_clusters))

    def responsibilities(self, rows: ArrayLike, n_clusters: int | None = None) -> Array:
        """p(cluster | x), (n_rows, n_clusters): sums over the components of a cluster.

        Parameters
        ----------
        rows : (n_rows, n_features), data units.
        n_clusters : 1 … n_components; those that do not overlap by default.

        Raises
        ------
        ValueError : rows or n_clusters can't be used.
        """
        return merged(self.mixture.responsibilities(rows), self._clusters(n_clusters))

    def predict(self, rows: ArrayLike, n_clusters: int | None = None) -> NDArray[np.int64]:
        """The most probable cluster of each row, (n_rows,); the first of equals. Parameters and errors as above."""
        return np.asarray(self.responsibilities(rows, n_clusters).argmax(axis=1))

    def _clusters(self, n_clusters: int | None) -> NDArray[np.intp]:
        wanted = self.n_clusters if n_clusters is None else check_count("n_clusters", n_clusters, 1)
        if wanted > len(self.cluster_of):
            raise ValueError(f"n_clusters={n_clusters!r} must be an integer from 1 to {len(self.cluster_of)}.")
        return np.asarray(self.cluster_of[wanted - 1])


def merge_by_entropy(
    mixture: Mixture, responsibilities: Array, row_weight: Array | None = None, min_overlap: float = MIN_OVERLAP
) -> Merging:
    """Merge two clusters at a time until one is left, in the order that `Merging` describes.

    Raises ValueError where the mixture has noise, whose part of the rows belongs to no cluster, and TypeError or
    ValueError where `min_overlap` is not a number from 0 to 1.
    """
    check_alone("merge", [mixture])
    check_within("min_overlap", min_overlap, "a number from 0 to 1", lambda value: 0 <= value <= 1)
    n_components = responsibilities.shape[1]
    clusters = _Clusters(responsibilities, np.ones(len(responsibilities)) if row_weight is None else row_weight)
    cluster_of = np.empty((n_components, n_components), dtype=np.intp)
    entropy, overlap = np.empty(n_components), np.empty(n_components - 1)
    cluster_of[-1], entropy[-1] = np.arange(n_components), clusters.entropy()
    for n_clusters in range(n_components - 1, 0, -1):
        pairs = clusters.pairs()
        i, j = next((pair for pair in pairs if clusters.overlap(pair) >= min_overlap), pairs[0])
        overlap[n_clusters - 1] = clusters.overlap((i, j))
        clusters.merge(i, j)
        entropy[n_clusters - 1] = clusters.entropy()
        before = cluster_of[n_clusters]
        cluster_of[n_clusters - 1] = np.where(before == j, i, before - (before > j))
    apart = np.flatnonzero(overlap < min_overlap)
    return Merging(mixture, cluster_of, entropy, overlap, int(apart[-1]) + 2 if apart.size else 1)


def merged(responsibilities: Array, clusters: NDArray[np.intp]) -> Array:
    """Responsibilities of clusters, (n_rows, n_clusters): sums over the components of each."""
    shares = np.zeros((len(responsibilities), int(clusters.max()) + 1))
    for component, cluster in enumerate(clusters):
        shares[:, cluster] += responsibilities[:, component]
    return shares


class _Clusters:
    """Clusters that are left, by number, and what is known of pairs of them: it is computed once, and when needed."""

    def __init__(self, responsibilities: Array, weight: Array) -> None:
        self._weight = weight
        self._shares = list(responsibilities.T)
        self._entropy = [self._entropy_of(share) for share in self._shares]
        self._fall = {pair: self._fall_of(*pair) for pair in combinations(range(len(self._shares)), 2)}
        self._overlap: dict[tuple[int, int], float] = {}

    def entropy(self) -> float:
        """Of all clusters, nats."""
        return sum(self._entropy)

    def pairs(self) -> list[tuple[int, int]]:
        """The pairs in order: the one whose union lowers the entropy most, then the others; the first of equals."""
        return sorted(self._fall, key=lambda pair: (-self._fall[pair], pair))

    def overlap(self, pair: tuple[int, int]) -> float:
        """Their overlap, as `Merging` defines it."""
        if pair not in self._overlap:
            first, second = (self._shares[k] for k in pair)
            self._overlap[pair] = max(self._lost(first, second), self._lost(second, first))
        return self._overlap[pair]

    def merge(self, i: int, j: int) -> None:
        """Take j into i < j, and move the numbers behind j up."""
        self._shares[i] = self._shares[i] + self._shares.pop(j)
        self._entropy.pop(j)
        self._entropy[i] = self._entropy_of(self._shares[i])
        for known in (self._fall, self._overlap):
            kept = {(a - (a > j), b - (b > j)): value for (a, b), value in known.items() if not {a, b} & {i, j}}
            known.clear()
            known.update(kept)
        new = (pair for pair in combinations(range(len(self._shares)), 2) if i in pair)
        self._fall |= {pair: self._fall_of(*pair) for pair in new}

    def _fall_of(self, i: int, j: int) -> float:
        """By how much the union of two clusters lowers the entropy, nats."""
        return self._entropy[i] + self._entropy[j] - self._entropy_of(self._shares[i] + self._shares[j])

    def _entropy_of(self, share: Array) -> float:
        """−Σ s t log t; 0 log 0 is 0."""
        return float(self._weight @ entr(share))

    def _lost(self, share: Array, other: Array) -> float:
        """p_jl of `Merging`, of a cluster and another; 1 where the cluster has no rows, so that it does not count."""
        mass = float(self._weight @ share)
        return float(self._weight @ np.where(other >= share, share, 0.0)) / mass if mass > 0 else 1.0
