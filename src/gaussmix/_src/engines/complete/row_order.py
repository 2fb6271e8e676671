"""The order in which a pass visits rows, and the bounds on distances that a pass stores for the next pass.

If rows of the same component are visited together, the core can skip other components for all these rows
(docs/develop/numerics.md). The order changes the last bits of sums. Therefore, the order is chosen for all blocks
together: for the first pass from the parameters, and after fixed numbers of passes from counts over all blocks. Results
with and without bounds are bit-identical.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.engines.complete.packed_mixture import PackedMixture
from gaussmix._src.interfaces.leaves import leaves_of
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.interfaces.whitening.base import FactorShape
from gaussmix._src.numerics.core import core, native_target

Labels = NDArray[np.uint16]
RowLabeller = Callable[[PackedMixture], Labels]

# A pass with fewer multiply-adds than this takes at most about a millisecond and would not be faster in a different
# order of the rows. Therefore, the C++ core runs many such passes in one call, and also some longer passes
# (`core_runs.MIN_ORDERED_WORK`).
MIN_LONG_WORK = 1e7
GROUP_ROWS = core.GROUP_ROWS  # number of consecutive rows that share bounds on distances
MAX_DISTANCE_BOUNDS = 2**23  # maximum number of stored bounds, which take 32 MB
MAX_LABELLED_COMPONENTS = 2**16  # maximum number of components whose labels fit in two bytes

# Costs of visiting rows component by component. The work for each pair of a row and a component that is not skipped is
# multiplied by ORDERED_PAIR_COST, because a group of rows that are processed together may contain rows of several
# components. Each row costs ORDERED_ROW_COST multiply-adds more than in data order, because rows are not read
# sequentially and bounds are compared. The visit pays if it takes less than MAX_ORDERED_WORK_RATIO of the work.
ORDERED_PAIR_COST = 2.5
ORDERED_ROW_COST = 1060.0
MAX_ORDERED_WORK_RATIO = 0.8
# The first pass visits rows by their nearest mean if finding the nearest means takes at most this fraction of the work.
MAX_FIRST_ORDER_RATIO = 0.1
MIN_ROWS_PER_FEATURE = 8  # with fewer rows per feature, updating the bounds takes more time than the bounds save
# A new order is used only if the fraction of groups with rows of several components decreases by more than this value.
MAX_MIXED_FRACTION = 0.1


class RowPass(NamedTuple):
    """Order, labels and bounds of a pass, as arguments of `Target.step`; all None if rows are visited in data order.

    Parameters
    ----------
    order : row indices within each leaf (65,520 rows), in the order in which rows are visited, (n_rows,).
    labels : output array for the most probable component of each row, (n_rows,).
    distance_bounds : lower bounds on distances, (n_groups, n_components). The C++ core adjusts the bounds with
        `component_motion`, uses them to skip components, and writes new bounds.
    component_motion : ratio and shift of each component since the last pass, (2, n_components) (kernels/bounds.hpp).
    """

    order: NDArray[np.uint16] | None = None
    labels: NDArray[np.uint16] | None = None
    distance_bounds: NDArray[np.float32] | None = None
    component_motion: NDArray[np.float32] | None = None

    def for_leaves(self, rows: slice) -> RowPass:
        """Return the order and labels of the given rows, but no bounds, which exist only for whole blocks."""
        order = None if self.order is None else self.order[rows]
        return RowPass(order, None if self.labels is None else self.labels[rows])


class PassCounts(NamedTuple):
    """Counts over all rows of one pass, from which the order of the rows in the next pass is chosen.

    Parameters
    ----------
    n_active : approximate number of responsibilities above 0.
    old_label_changes : number of rows whose label differs from the label of the previous row; 0 without labels.
    new_label_changes : the same number for rows that are sorted by their labels in this pass.
    """

    n_active: float
    old_label_changes: int = 0
    new_label_changes: int = 0

    def prefers_new_order(self, n_rows: int) -> bool:
        """Return whether sorting by the new labels would make far fewer groups contain rows of several components."""
        return self.old_label_changes > self.new_label_changes + MAX_MIXED_FRACTION * -(-n_rows // GROUP_ROWS)


class RowOrdering(NamedTuple):
    """Choice of the order in which the next pass visits rows. The choice is the same for all blocks of a source.

    The order depends only on the rows of each leaf and on `label_mixture`, so that a lost order can be computed again.

    Parameters
    ----------
    label_mixture : mixture that labels each row with its most probable component. Rows are visited label by label. If
        `label_mixture` is None, rows are visited in the order of the data.
    n_passes : number of finished passes.
    writes_labels : whether the next pass stores the label of each row.
    """

    label_mixture: PackedMixture | None = None
    n_passes: int = 0
    writes_labels: bool = False

    @classmethod
    def of_first_pass(cls, parameters: Parameters, n_rows: int) -> RowOrdering:
        """Choose the order for the first pass: rows are visited by their nearest mean if finding it costs little.

        Each feature is multiplied by the square root of its precision, averaged over the components. Finding the most
        probable component instead would cost half a pass.
        """
        (n_components, n_features), whitening = parameters.means.shape, parameters.whitening
        if whitening.is_shared or not can_ordering_pay(n_rows, whitening.factor_shape, n_components, n_features):
            return cls()
        cost = ORDERED_ROW_COST + work_per_row(FactorShape.DIAGONAL, n_components, n_features)
        if cost > MAX_FIRST_ORDER_RATIO * work_per_row(whitening.factor_shape, n_components, n_features):
            return cls()
        scale = np.sqrt(whitening.precision_diagonals()).mean(axis=0) * np.ones((n_components, n_features))
        means = np.ascontiguousarray(parameters.means)
        return cls(PackedMixture(np.zeros(n_components), means, int(FactorShape.DIAGONAL), scale))

    def next_ordering(self, mixture: PackedMixture, counts: PassCounts, n_rows: int) -> RowOrdering:
        """Choose the order for the next pass. If ordering pays, passes 2, 3, 5, 9 … store labels for a new order."""
        label_mixture, n_passes = self.label_mixture, self.n_passes + 1
        if self.writes_labels and (label_mixture is None or counts.prefers_new_order(n_rows)):
            label_mixture = mixture
        if n_passes & (n_passes - 1):  # `n_passes` is not a power of 2, so that no new order is considered
            return RowOrdering(label_mixture, n_passes)
        does_pay = _does_ordering_pay(counts.n_active, mixture, n_rows)
        return RowOrdering(label_mixture if does_pay else None, n_passes, writes_labels=does_pay)


class _StoredBounds(NamedTuple):
    """Lower bounds on distances, (n_groups, n_components), that a pass left for the next pass over the same block."""

    values: NDArray[np.float32]
    label_mixture: PackedMixture  # mixture whose labels ordered the rows, and thus divided them into groups
    mixture: PackedMixture  # mixture for which the bounds hold


@dataclass(eq=False)
class RowOrderCache:
    """Order and bounds that are stored with a block. If this cache is lost, the results are still bit-identical.

    Parameters
    ----------
    n_rows, n_components, n_features : numbers of rows, components and features.
    """

    n_rows: int
    n_components: int
    n_features: int
    # The mixture that labelled the rows, and the order by these labels, which the next pass will probably use.
    _order: tuple[PackedMixture, NDArray[np.uint16]] | None = None
    _bounds: _StoredBounds | None = None

    @property
    def n_bytes(self) -> int:
        """Return the memory that the stored order and bounds take, in bytes."""
        arrays = (self._order and self._order[1], self._bounds and self._bounds.values)
        return sum(array.nbytes for array in arrays if array is not None)

    def begin_pass(self, mixture: PackedMixture, ordering: RowOrdering, label_rows: RowLabeller) -> RowPass:
        """Return the order and bounds for a pass; if the order is not in the cache, `label_rows` labels the rows."""
        bounds, self._bounds = self._bounds, None  # removed, because an interrupted pass must not leave bounds
        labels = np.empty(self.n_rows, dtype=np.uint16) if ordering.writes_labels else None
        label_mixture = ordering.label_mixture
        if label_mixture is None:
            return RowPass(labels=labels)
        if self._order is None or not self._order[0].is_same(label_mixture):
            self._order = label_mixture, _sort_by_label(label_rows(label_mixture))
        order = self._order[1]
        if bounds is None or not bounds.label_mixture.is_same(label_mixture):
            return self._begin_without_bounds(order, labels)
        before = bounds.mixture
        motion = native_target().measure_motion(
            mixture.factor_shape, before.means, before.factors, mixture.means, mixture.factors
        )  # fmt: skip
        return RowPass(order, labels, bounds.values, motion)

    def end_pass(self, row_pass: RowPass, mixture: PackedMixture, ordering: RowOrdering, n_active: float) -> PassCounts:
        """Store the order and the bounds of a finished pass, and return the counts of the pass."""
        counts = PassCounts(n_active)
        if row_pass.labels is not None:
            new_order = _sort_by_label(row_pass.labels)
            old_changes = 0 if row_pass.order is None else _count_label_changes(row_pass.labels, row_pass.order)
            counts = PassCounts(n_active, old_changes, _count_label_changes(row_pass.labels, new_order))
            # Counts over all blocks decide the next order. Each block stores only the order that this block prefers,
            # because storing both orders would double the memory.
            if row_pass.order is None or counts.prefers_new_order(self.n_rows):
                self._order = mixture, new_order
        if row_pass.distance_bounds is not None and ordering.label_mixture is not None:
            self._bounds = _StoredBounds(row_pass.distance_bounds, ordering.label_mixture, mixture)
        return counts

    def _begin_without_bounds(self, order: NDArray[np.uint16], labels: Labels | None) -> RowPass:
        """Return a pass with bounds of 0, which are valid for any mixture, or without bounds if they save no time."""
        n_groups = -(-self.n_rows // GROUP_ROWS)
        if n_groups * self.n_components > MAX_DISTANCE_BOUNDS or self.n_rows < MIN_ROWS_PER_FEATURE * self.n_features:
            return RowPass(order, labels)
        bounds = np.zeros((n_groups, self.n_components), dtype=np.float32)
        return RowPass(order, labels, bounds, np.zeros((2, self.n_components), dtype=np.float32))


def _does_ordering_pay(n_active: float, mixture: PackedMixture, n_rows: int) -> bool:
    """Return whether visiting rows by component saves time if `n_active` responsibilities are above 0."""
    n_components, n_features = mixture.means.shape
    work = work_per_row(FactorShape(mixture.factor_shape), n_components, n_features)
    visited = ORDERED_PAIR_COST * n_active * (work / n_components) + ORDERED_ROW_COST * n_rows
    return bool(visited < MAX_ORDERED_WORK_RATIO * n_rows * work)


def can_ordering_pay(n_rows: int, factor_shape: FactorShape, n_components: int, n_features: int) -> bool:
    """Return whether visiting rows by component would save time if every row had a single component."""
    work = work_per_row(factor_shape, n_components, n_features)
    if not 1 < n_components <= MAX_LABELLED_COMPONENTS or n_rows * work < MIN_LONG_WORK:
        return False
    return ORDERED_PAIR_COST * work / n_components + ORDERED_ROW_COST < MAX_ORDERED_WORK_RATIO * work


def _sort_by_label(labels: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return row indices within each leaf, sorted by label; rows with equal labels stay in data order."""
    order = np.empty(len(labels), dtype=np.uint16)
    for part in leaves_of(len(labels)):
        order[part] = np.argsort(labels[part], kind="stable")
    return order


def _count_label_changes(labels: NDArray[np.uint16], order: NDArray[np.uint16]) -> int:
    """Count, within each leaf, the rows whose label differs from the label of the row visited just before."""
    in_order = (labels[part][order[part]] for part in leaves_of(len(labels)))
    return sum(int(np.count_nonzero(visited[1:] != visited[:-1])) for visited in in_order)


@lru_cache(maxsize=64)
def work_per_row(factor_shape: FactorShape, n_components: int, n_features: int) -> float:
    """Return the number of multiply-adds per row in a step with unshared factors; an exponential counts as 20."""
    return native_target().work_per_row(factor_shape, n_components, n_features)
