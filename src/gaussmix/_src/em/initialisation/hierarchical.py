"""Agglomerative clustering, which merges rows into a tree and cuts the tree for any number of clusters."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.em.initialisation.base import Partition, nearest_centre
from gaussmix._src.em.initialisation.outliers import separate_outliers
from gaussmix._src.em.initialisation.sample import DistinctRows, robust_variances
from gaussmix._src.engines.base import Engine
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.moment_spec import AssignmentRule
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.interfaces.whitening.triangular import TriangularWhitening
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.axes import principal_axes
from gaussmix._src.numerics.einsum import einsum
from gaussmix._src.numerics.factorise import factorise
from gaussmix._src.numerics.hashing import mix, uniform

MAX_LEAVES = 2000  # maximum number of leaves of the tree; time and memory grow with the square of this number
# A principal direction contains only rounding errors if its eigenvalue is at most this fraction of the largest
# eigenvalue.
MIN_RELATIVE_EIGENVALUE = 1e-10


class _WardScaling(NamedTuple):
    """Scaling of rows by D⁻¹ V Λ^(−¼), where D are standard deviations and V Λ Vᵀ correlations of features.

    Flat directions, in which rows differ only by rounding errors, are not scaled up. If there are fewer rows than
    features, there are at most as many directions as rows.

    Parameters
    ----------
    inverse_deviations : inverse standard deviations D⁻¹, (n_features,).
    eigenvectors : eigenvectors V of the correlations, (n_features, n_directions).
    fourth_roots : fourth roots Λ^¼ of the eigenvalues of the correlations, or 1 for flat directions, (n_directions,).
    """

    inverse_deviations: Array
    eigenvectors: Array
    fourth_roots: Array

    @property
    def whitening(self) -> TriangularWhitening:
        """Return whitening factors with which distances between rows equal distances between scaled rows."""
        roots = self.eigenvectors * self.fourth_roots / self.inverse_deviations[:, None]
        inverse = einsum("ij,kj->ik", roots, roots)
        if len(self.fourth_roots) < len(self.inverse_deviations):
            # The rows do not vary in the directions without an eigenvector, so that any scale is allowed there.
            axes = self.eigenvectors / self.inverse_deviations[:, None]
            inverse += np.diag(self.inverse_deviations**-2) - einsum("ij,kj->ik", axes, axes)
        return TriangularWhitening(factorise(inverse[None])[0], np.zeros(1))


@dataclass(frozen=True, eq=False)
class Hierarchy:
    """Binary tree of merged rows, which can be cut into any number of clusters.

    Parameters
    ----------
    leaf_rows : index of the distinct row that each leaf of the tree represents, (n_leaves,). Leaves with the same
        distinct row are consecutive.
    merges : for each merge i, the two nodes that are combined to node n_leaves + i, (n_leaves − 1, 2).
    scaling : scaling that was applied to the rows before their distances were computed.
    has_all_rows : whether every distinct row of the sample has a leaf.
    """

    leaf_rows: NDArray[np.intp]
    merges: NDArray[np.intp]
    scaling: _WardScaling
    has_all_rows: bool

    def cut(self, n_clusters: int) -> NDArray[np.intp]:
        """Cut the tree into `n_clusters`; return each leaf's cluster, (n_leaves,). Cluster 0 has the most leaves."""
        n_leaves = len(self.leaf_rows)
        n_merges = n_leaves - n_clusters
        parent = np.arange(2 * n_leaves - 1)
        parent[self.merges[:n_merges]] = n_leaves + np.arange(n_merges)[:, None]
        while (parent[parent] != parent).any():
            parent = parent[parent]
        _, clusters, sizes = np.unique(parent[:n_leaves], return_inverse=True, return_counts=True)
        rank: NDArray[np.intp] = np.argsort(np.argsort(-sizes, kind="stable"))
        return rank[clusters]


@dataclass(eq=False)
class _CachedHierarchy:
    """Hierarchy of a sample, shared by threads that fit mixtures with different numbers of components.

    Each sample has a separate lock. With one lock for all samples, a process that is forked while a thread holds the
    lock would wait for ever.
    """

    lock: Lock = field(default_factory=Lock)
    hierarchy: Hierarchy | None = None


_CACHED_HIERARCHIES: WeakKeyDictionary[DistinctRows, _CachedHierarchy] = WeakKeyDictionary()


def build_hierarchy(sample: DistinctRows) -> Hierarchy:
    """Return Ward's hierarchy of a sample, which is cached as long as the sample exists.

    The method is described by Ward (1963), JASA 58, 236–244. Rows are scaled as by default in mclust: each feature is
    divided by its standard deviation, and then each principal component by the square root of its singular value. See
    Scrucca & Raftery (2015), Adv. Data Anal. Classif. 9, 447–460.
    """
    # SciPy's clustering is imported in this function, because the import is slow.
    from scipy.cluster.hierarchy import ward

    tree = _CACHED_HIERARCHIES.setdefault(sample, _CachedHierarchy())
    with tree.lock:
        if tree.hierarchy is None:
            scaling = _ward_scaling(sample)
            leaves = _draw_leaves(sample)
            offsets = sample.imputed[leaves] - sample.imputed[0]
            matrix = scaling.inverse_deviations[:, None] * scaling.eigenvectors / scaling.fourth_roots
            scaled = einsum("ni,ij->nj", offsets, matrix)
            merges = np.empty((0, 2)) if len(leaves) == 1 else ward(scaled)[:, :2]
            has_all_rows = len(np.unique(leaves)) == len(sample.weight)
            tree.hierarchy = Hierarchy(leaves, merges.astype(np.intp), scaling, has_all_rows)
        return tree.hierarchy


@separate_outliers
def hierarchical(sample: DistinctRows, engine: Engine[Any], n_components: int, rng: np.random.Generator) -> Partition:
    """Assign rows to Ward's clusters, or to the nearest cluster centre if some distinct rows are not in the tree."""
    if n_components == 1:
        return nearest_centre(sample.imputed[:1])
    tree = build_hierarchy(sample)
    n_clusters = min(n_components, len(tree.leaf_rows))
    clusters = tree.cut(n_clusters)
    if tree.has_all_rows and sample.distinct_index is not None:
        labels = np.empty(len(sample.rows), dtype=np.intp)
        labels[tree.leaf_rows] = clusters
        return Partition(responsibilities=DistinctRowLabels(labels, sample.distinct_index, n_components))
    leaves = sample.imputed[tree.leaf_rows]
    centres = np.array([leaves[clusters == cluster].mean(axis=0) for cluster in range(n_clusters)])
    centres = np.resize(centres, (n_components, leaves.shape[1]))
    return Partition(Parameters(np.zeros(n_components), centres, tree.scaling.whitening), AssignmentRule.HARD)


@dataclass(frozen=True, eq=False)
class DistinctRowLabels:
    """Responsibilities that assign each row to the component (`component_labels`) of its distinct row."""

    component_labels: NDArray[np.intp]
    distinct_index: NDArray[np.intp]
    n_components: int

    def __call__(self, block: Block) -> Array:
        return (self.row_labels(block)[:, None] == np.arange(self.n_components)).astype(np.float64)

    def row_labels(self, block: Block) -> NDArray[np.int32]:
        """Return the component of each row, (n_rows,)."""
        rank = self.distinct_index[block.first_row : block.first_row + block.n_rows]
        return self.component_labels[rank].astype(np.int32)


def _draw_leaves(sample: DistinctRows) -> NDArray[np.intp]:
    """Return the index of the distinct row of each leaf, (n_leaves,).

    A row with twice the smallest weight has two leaves, because SciPy's `ward` does not accept weights. If there would
    be more than `MAX_LEAVES` leaves, or if weights are not whole multiples of the smallest weight, `MAX_LEAVES` leaves
    are drawn. To draw the leaves, the cumulative weight is divided into equal intervals, and a hash of the interval's
    number selects a position in each interval. Therefore, the leaves depend only on the sample.
    """
    times = sample.weight / sample.weight.min()
    if times.sum() <= MAX_LEAVES and (times == np.rint(times)).all():
        return np.repeat(np.arange(len(times)), times.astype(np.intp))
    indices = np.arange(MAX_LEAVES) + uniform(mix(np.arange(MAX_LEAVES, dtype=np.uint64)))
    return sample.draw_indices(indices / MAX_LEAVES)


def _ward_scaling(sample: DistinctRows) -> _WardScaling:
    """Compute the scaling of a sample's rows for Ward's hierarchy."""
    fraction = (sample.weight / sample.weight.sum())[:, None]
    deviations = np.sqrt(robust_variances(sample.imputed, sample.weight))
    scale = 1.0 / np.where(deviations > 0, deviations, 1.0)
    offsets = (sample.imputed - (fraction * sample.imputed).sum(axis=0)) * scale
    is_wide = 1 < len(offsets) < len(scale)  # if so, the rows' Gram matrix is smaller than the correlations
    weighted = np.sqrt(fraction) * offsets
    inner = einsum("ni,mi->nm", weighted, weighted) if is_wide else einsum("ni,nj->ij", fraction * offsets, offsets)
    eigenvalues, eigenvectors = (result[0] for result in principal_axes(inner[None]))
    seen = eigenvalues > MIN_RELATIVE_EIGENVALUE * max(eigenvalues[0], np.finfo(np.float64).tiny)
    if is_wide:
        eigenvalues, eigenvectors = eigenvalues[seen], einsum("ni,nj->ij", weighted, eigenvectors[:, seen])
        return _WardScaling(scale, eigenvectors / np.sqrt(eigenvalues), np.sqrt(np.sqrt(eigenvalues)))
    return _WardScaling(scale, eigenvectors, np.sqrt(np.sqrt(np.where(seen, eigenvalues, 1.0))))
