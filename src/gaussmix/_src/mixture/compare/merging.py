"""Merging of components into clusters, because a non-Gaussian cluster may need several components to describe it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, reduce
from html import escape
from operator import add

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gaussmix._src.checks import check_count, check_fraction
from gaussmix._src.engines import make_engine
from gaussmix._src.errors import counted
from gaussmix._src.interfaces.block import Block
from gaussmix._src.mixture.features import as_block
from gaussmix._src.mixture.html import table_html
from gaussmix._src.mixture.mixture import Mixture
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.elementary import log

BlockTask = Callable[[Block], Array]
Pairs = tuple[NDArray[np.intp], NDArray[np.intp]]  # the first and the second cluster of each pair
MAX_MERGED = 5000  # largest number of components, for which `merge` takes about 1.8 GB
MAX_PART_ROWS = 2**12  # largest number of rows that are evaluated together, to save memory
MAX_STORED = 2**22  # largest number of responsibilities that `merge` stores, instead of computing them in each pass
MAX_PAIRS = 32  # largest number of pairs of clusters that are evaluated in one pass


@dataclass(frozen=True, eq=False, repr=False)
class Merging:
    """A hierarchy of clusters, made by merging the components of a mixture step by step, two clusters at a time.

    Parameters
    ----------
    mixture : mixture whose components are merged.
    cluster_labels : index of the cluster of each component, (n_components, n_components). Row n contains the indices of
        the components' clusters when there are n + 1 clusters.
    entropy : entropies of the responsibilities, (n_components,), in nats. Entry n is −Σ_i s_i Σ_j t_ij log t_ij, where
        t_ij are the responsibilities of the n + 1 clusters and s_i are the weights of the rows.
    overlap : overlaps of the merged clusters, (n_components − 1,), from 0 to 1. Entry n is the overlap of the two
        clusters that are merged to get n + 1 clusters.
    n_clusters : largest number of clusters at which no two clusters overlap by `min_overlap` or more.

    Notes
    -----
    Two clusters count as overlapping if their overlap is at least `min_overlap`. Each step merges the overlapping
    clusters j and l whose union lowers the entropy most. The union lowers the entropy by the following amount:

        Σ_i s_i ((t_ij + t_il) log (t_ij + t_il) − t_ij log t_ij − t_il log t_il).

    This criterion is due to Baudry, Raftery, Celeux, Lo & Gottardo (2010), Journal of Computational and Graphical
    Statistics 19, 332–353. When no clusters overlap any more, the number of clusters is `n_clusters`. After that, each
    step merges the two clusters whose union lowers the entropy most, until one cluster is left.

    The overlap of the clusters j and l is the larger of p_jl and p_lj. Here p_jl is the fraction of the rows of cluster
    j that would be assigned to cluster l if j and l were the only clusters:

        p_jl = Σ_i s_i t_ij [t_il ≥ t_ij] / Σ_i s_i t_ij.

    The overlap is the merging criterion of the method DEMP, Hennig (2010), Advances in Data Analysis and Classification
    4, 3–34, with the estimator of the R function `fpc::mergenormals` and with Hennig's default threshold, 0.025. Two
    spherical Gaussians with equal weights and covariances, whose means are d standard deviations apart, have the
    overlap Φ(−d/2), so they are merged if d is at most 3.92.
    """

    mixture: Mixture
    cluster_labels: NDArray[np.intp]
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
        """Return the components of each cluster as text, such as "0 2 | 1"."""
        clusters = self.cluster_labels[n_clusters - 1]
        return " | ".join(" ".join(map(str, np.flatnonzero(clusters == j))) for j in range(n_clusters))

    def responsibilities(self, rows: ArrayLike, n_clusters: int | None = None) -> Array:
        """Return p(cluster | x), the sum of the responsibilities of the cluster's components, (n_rows, n_clusters).

        Parameters
        ----------
        rows : rows to evaluate, (n_rows, n_features), in data units; missing values (NaN) are ignored.
        n_clusters : number of clusters, 1 … n_components; by default the attribute `n_clusters`.

        Raises
        ------
        ValueError : `rows` or `n_clusters` is not valid.
        """
        mixture, clusters = self.mixture, self._clusters(n_clusters)
        block = as_block(rows, mixture.n_features, mixture.feature_names, may_miss=True)
        engine = make_engine(None, is_incomplete=bool(np.isnan(block.rows).any()))
        return merged(engine.responsibilities(block, mixture.parameters), clusters)

    def predict(self, rows: ArrayLike, n_clusters: int | None = None) -> NDArray[np.int64]:
        """Return the most probable cluster of each row, (n_rows,); parameters are the same as in `responsibilities`."""
        return np.asarray(self.responsibilities(rows, n_clusters).argmax(axis=1))

    def _clusters(self, n_clusters: int | None) -> NDArray[np.intp]:
        wanted = self.n_clusters if n_clusters is None else check_count("n_clusters", n_clusters, 1)
        if wanted > len(self.cluster_labels):
            raise ValueError(f"n_clusters={n_clusters!r} must be an integer from 1 to {len(self.cluster_labels)}.")
        return np.asarray(self.cluster_labels[wanted - 1])


def merge_by_sums(
    mixture: Mixture, evaluate: BlockTask, total: Callable[[BlockTask], Array], min_overlap: float
) -> Merging:
    """Merge two clusters at a time, in the order that `Merging` describes, until one cluster is left.

    The first pass over the rows computes bounds for all pairs of components. After that, each pass computes the exact
    values of the pairs with the best bounds, until no other pair can be better than the best pair with exact values.

    Parameters
    ----------
    mixture : mixture whose components are merged; it has no noise component, whose rows belong to no cluster.
    evaluate : function that returns the responsibilities (n_rows, n_components) of the rows in a block. `evaluate` must
        be picklable if the rows are in other processes.
    total : function that sums the results of a picklable function over all blocks of rows.
    min_overlap : smallest overlap, from 0 to 1, at which two clusters count as overlapping; this threshold determines
        the attribute `n_clusters`.

    Raises ValueError if the mixture has more than `MAX_MERGED` components. Raises TypeError or ValueError if
    `min_overlap` is not a number from 0 to 1.
    """
    check_fraction("min_overlap", min_overlap)
    n_components = mixture.n_components
    if n_components > MAX_MERGED:
        raise ValueError(f"merge supports at most {MAX_MERGED:,} components, but the mixture has {n_components:,}.")
    cluster_labels = np.empty((n_components, n_components), dtype=np.intp)
    entropy, overlap = np.empty(n_components), np.empty(n_components - 1)
    cluster_labels[-1] = np.arange(n_components)
    known = _PairValues(total(partial(_component_sums, evaluate=evaluate)))
    entropy[-1] = known.entropy.sum()
    for n_clusters in range(n_components - 1, 0, -1):
        before = cluster_labels[n_clusters]
        while not known.is_exact[pairs := known.next_pairs(min_overlap)].all():
            known.set(total(partial(_pair_sums, evaluate=evaluate, clusters=before, pairs=pairs)), pairs)
        (i,), (j,) = pairs
        overlap[n_clusters - 1] = known.overlap[i, j]
        known.merge(i, j)
        entropy[n_clusters - 1] = known.entropy.sum()
        cluster_labels[n_clusters - 1] = np.where(before == j, i, before - (before > j))
    separate = np.flatnonzero(overlap < min_overlap)
    return Merging(mixture, cluster_labels, entropy, overlap, int(separate[-1]) + 2 if separate.size else 1)


def _component_sums(leaf: Block, evaluate: BlockTask) -> Array:
    """Return sums over the rows of a block, from which bounds for all pairs follow, (n_components + 2, n_components).

    With row weights s and responsibilities t, the result contains −Σ s t log t and Σ s t for each component, followed
    by Σ s √(t_j t_l) for each pair of components.
    """

    def part_sums(part: Block) -> Array:
        probabilities = np.ascontiguousarray(evaluate(part).T)
        roots = np.sqrt(probabilities * part.weight)
        return np.vstack([_weighted_sums(part, _entropy(probabilities), probabilities), roots @ roots.T])

    return reduce(add, map(part_sums, leaf.split(MAX_PART_ROWS)))


def _pair_sums(leaf: Block, evaluate: BlockTask, clusters: NDArray[np.intp], pairs: Pairs) -> Array:
    """Return sums over the rows of a block, from which the entropies and overlaps of pairs are computed, (5, n_pairs).

    With row weights s and responsibilities t of clusters, the sums for a pair (j, l) are −Σ s t log t of the union,
    Σ s t_j [t_l ≥ t_j], Σ s t_l [t_j ≥ t_l], Σ s t_j and Σ s t_l.
    """

    def part_sums(part: Block) -> Array:
        probabilities = merged(evaluate(part), clusters).T
        one, other = (probabilities[each] for each in pairs)
        moved = np.where(other >= one, one, 0.0), np.where(one >= other, other, 0.0)
        return _weighted_sums(part, _entropy(one + other), *moved, one, other)

    return reduce(add, map(part_sums, leaf.split(MAX_PART_ROWS)))


def _weighted_sums(part: Block, *values: Array) -> Array:
    """Return the weighted sums of arrays (n, n_rows) over the rows of a block, (n_arrays, n).

    All arrays are summed in the same order, so that rounding is the same, and no overlap exceeds 1.
    """
    return np.array([(each * part.weight).sum(axis=1) for each in values])


def _entropy(probabilities: Array) -> Array:
    """Return −t log t for each probability t, which is 0 for t = 0."""
    return -probabilities * log(np.where(probabilities > 0, probabilities, 1.0))


def merged(responsibilities: Array, clusters: NDArray[np.intp]) -> Array:
    """Return the responsibilities of clusters, (n_rows, n_clusters), by summing over the components of each cluster."""
    probabilities = np.zeros((len(responsibilities), int(clusters.max()) + 1), order="F")
    for component, cluster in enumerate(clusters):
        probabilities[:, cluster] += responsibilities[:, component]
    return probabilities


class _PairValues:
    """The entropy of each cluster, and exact values or bounds of each pair of clusters, in symmetric tables.

    Merging the clusters j and l lowers the entropy by at most 2 log 2 Σ_i s_i √(t_ij t_il). Their overlap is at most
    this sum of roots, divided by the smaller of Σ_i s_i t_ij and Σ_i s_i t_il. For a pair that contains the union of
    two clusters, the sums for both clusters together are upper bounds, so that a merge needs no pass for bounds.

    Parameters
    ----------
    sums : result of `_component_sums`.

    Attributes
    ----------
    entropy : entropy of each cluster, (n_clusters,).
    increase : change of the entropy if the two clusters of a pair are merged, or a lower bound of this change,
        (n_clusters, n_clusters); infinite on the diagonal.
    overlap : overlap of each pair, or an upper bound, (n_clusters, n_clusters).
    union : entropy of the union of the two clusters of a pair, where `is_exact`, (n_clusters, n_clusters).
    is_exact : whether the values of a pair are exact, (n_clusters, n_clusters).
    """

    def __init__(self, sums: Array) -> None:
        self.entropy, self._mass = sums[:2].copy()  # sums from other processes are read-only
        self._roots = sums[2:] * (1 + 1e-9)  # the factor exceeds rounding errors
        self.increase = -2 * np.log(2) * self._roots
        np.fill_diagonal(self.increase, np.inf)
        self.overlap = _fraction(self._roots, np.minimum(self._mass[:, None], self._mass))
        self.union = self.entropy[:, None] + self.entropy
        self.is_exact = self._roots == 0

    def next_pairs(self, min_overlap: float) -> Pairs:
        """Return the first of the pairs whose union lowers the entropy most, or pairs whose exact values are needed.

        If any clusters overlap, only overlapping pairs are compared.
        """
        overlapping = np.where(self.overlap >= min_overlap, self.increase, np.inf)
        increase = overlapping if np.isfinite(overlapping).any() else self.increase
        exact = np.where(self.is_exact, increase, np.inf)
        i, j = np.nonzero(np.triu(~self.is_exact & (increase < exact.min())))
        if not i.size:
            i, j = np.unravel_index([exact.argmin()], exact.shape)
        order = increase[i, j].argsort(kind="stable")[:MAX_PAIRS]
        return i[order], j[order]

    def set(self, sums: Array, pairs: Pairs) -> None:
        """Set the exact values of pairs from the sums that `_pair_sums` returns."""
        i, j = pairs
        union, moved_i, moved_j, mass_i, mass_j = sums
        overlap = np.maximum(_fraction(moved_i, mass_i), _fraction(moved_j, mass_j))
        exact = union, union - (self.entropy[i] + self.entropy[j]), overlap, True
        for table, values in zip((self.union, self.increase, self.overlap, self.is_exact), exact, strict=True):
            table[i, j] = table[j, i] = values

    def merge(self, i: int, j: int) -> None:
        """Merge cluster j into cluster i < j, and renumber the clusters after j."""
        self.entropy[i] = self.union[i, j]
        for values in self._mass, self._roots, self.increase:
            values[i] += values[j]
        self.overlap[i] = _fraction(self._roots[i], np.minimum(self._mass[i], self._mass))
        self.union[i], self.is_exact[i] = self.entropy[i] + self.entropy, self._roots[i] == 0
        self.entropy, self._mass = np.delete(self.entropy, j), np.delete(self._mass, j)
        for name in "_roots", "increase", "overlap", "union", "is_exact":
            table = np.delete(np.delete(getattr(self, name), j, 0), j, 1)
            table[:, i] = table[i]
            setattr(self, name, table)


def _fraction(moved: Array, mass: Array) -> Array:
    """Return the fraction of a cluster's rows that would be assigned to the other cluster.

    The fraction is 1 for a cluster without rows, so that the cluster is merged, which does not change other clusters.
    """
    return np.divide(moved, mass, out=np.ones_like(moved), where=mass > 0)


Merging.__module__ = "gaussmix"  # the public module that exports Merging
