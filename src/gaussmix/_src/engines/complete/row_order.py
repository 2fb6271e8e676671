"""The order in which passes visit rows, and bounds on distances, which one pass leaves for the next.

Rows that follow each other share the components that they can leave out, so rows of one component should follow each
other (docs/develop/numerics.md). The order decides which rows are summed first, and so the last bits of sums. So it is
decided for all rows at once, at fixed passes, by what was counted over all blocks. Bounds change no bit.
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
from gaussmix._src.interfaces.whitening.base import FactorShape, Whitening
from gaussmix._src.numerics.core import core, native_target

Labels = NDArray[np.uint16]
RowLabeller = Callable[[PackedMixture], Labels]

# Multiply-adds of a pass, which take about a millisecond. On shorter passes another order of the rows does not
# pay, and the core may make many steps in one call; on some longer ones too, up to `core_runs.MIN_ORDERED_WORK`.
MIN_LONG_WORK = 1e7
GROUP_ROWS = core.GROUP_ROWS  # rows that share their bounds
MAX_DISTANCE_BOUNDS = 2**23  # numbers, 32 MB
MAX_LABELLED_COMPONENTS = 2**16  # that labels of two bytes distinguish

# In an order by component, a pair of row and component that is not left out takes ORDERED_PAIR_COST times its usual
# work, because a group meets several components. Each row takes ORDERED_ROW_COST multiply-adds more: it is read out of
# turn, and its bounds are looked through. An order pays if it takes less than MAX_ORDERED_WORK_RATIO times the work
# without one.
ORDERED_PAIR_COST = 2.5
ORDERED_ROW_COST = 1060.0
MAX_ORDERED_WORK_RATIO = 0.8
MIN_ROWS_PER_FEATURE = 8  # rows per feature: with fewer, measuring how components moved costs more than bounds save
# Keep the old order and its bounds while it has at most this part of all groups more mixed groups than a fresh order.
MAX_MIXED_FRACTION = 0.1


class RowPass(NamedTuple):
    """Four arguments of `Target.step`; all None for rows in their own order.

    Parameters
    ----------
    order : (n_rows,), the index in its leaf of the row that is visited.
    labels : (n_rows,), written: the likeliest component of each row.
    distance_bounds : (n_groups, n_components), lower bounds on distances; moved, used and renewed.
    component_motion : (2, n_components), how components moved since the bounds were made.
    """

    order: NDArray[np.uint16] | None = None
    labels: NDArray[np.uint16] | None = None
    distance_bounds: NDArray[np.float32] | None = None
    component_motion: NDArray[np.float32] | None = None

    def for_leaves(self, rows: slice) -> RowPass:
        """The order and the labels of some leaves of the block; bounds are of whole blocks."""
        order = None if self.order is None else self.order[rows]
        return RowPass(order, None if self.labels is None else self.labels[rows])


def can_skip_components(whitening: Whitening) -> bool:
    """Whether the core can leave components out: each has its own factor, and whitens feature by feature."""
    return not whitening.is_shared and whitening.factor_shape is not FactorShape.LOW_RANK


class PassCounts(NamedTuple):
    """What a pass counts over all rows, to decide about the order of the next.

    Parameters
    ----------
    n_active : about how many responsibilities are above 0.
    old_label_changes : how many rows have another label than the row that was visited before them; 0 if no labels were
        written.
    new_label_changes : the same in the order that the new labels give.
    """

    n_active: float
    old_label_changes: int = 0
    new_label_changes: int = 0

    def prefers_new_order(self, n_rows: int) -> bool:
        """Whether the order that the new labels give has clearly fewer mixed groups of `n_rows` rows."""
        return self.old_label_changes > self.new_label_changes + MAX_MIXED_FRACTION * -(-n_rows // GROUP_ROWS)


class RowOrdering(NamedTuple):
    """In which order the next pass visits rows; the same decision for all blocks of a source.

    The order itself is a function of the rows of a leaf and of `label_mixture`. So whoever lost it makes it again.

    Parameters
    ----------
    label_mixture : the mixture whose likeliest components label the rows, which are visited label by label; None for
        rows in their own order.
    n_passes : how many passes there were.
    writes_labels : the next pass writes labels.
    """

    label_mixture: PackedMixture | None = None
    n_passes: int = 0
    writes_labels: bool = False

    def next_ordering(self, mixture: PackedMixture, counts: PassCounts, n_rows: int) -> RowOrdering:
        """How to visit rows after a pass over all `n_rows` rows; refreshed after passes 2, 3, 5, 9 …, if that pays."""
        by, n_passes = self.label_mixture, self.n_passes + 1
        is_refresh = n_passes & (n_passes - 1) == 0
        writes_labels = is_refresh and _does_ordering_pay(counts.n_active, mixture, n_rows)
        if self.writes_labels and (by is None or counts.prefers_new_order(n_rows)):
            by = mixture
        return RowOrdering(None if is_refresh and not writes_labels else by, n_passes, writes_labels)


@dataclass(eq=False)
class RowOrderCache:
    """The orders and bounds that are stored with a block. Any of them may be lost: no bit depends on that.

    Parameters
    ----------
    n_rows, n_components, n_features : of the block and the mixture.
    """

    n_rows: int
    n_components: int
    n_features: int
    # The order that the next pass is likely to use, and the parameters that it is by.
    _order: tuple[PackedMixture, NDArray[np.uint16]] | None = None
    # With the labels of the order, and the parameters they are for.
    _bounds: tuple[NDArray[np.float32], PackedMixture, PackedMixture] | None = None

    @property
    def n_bytes(self) -> int:
        """Memory that orders and bounds take."""
        arrays = (self._order and self._order[1], self._bounds and self._bounds[0])
        return sum(array.nbytes for array in arrays if array is not None)

    def begin_pass(self, mixture: PackedMixture, ordering: RowOrdering, label_rows: RowLabeller) -> RowPass:
        """Choose order and bounds of a pass; `label_rows` gives the labels of the rows if they are not known."""
        bounds, self._bounds = self._bounds, None  # the core writes to them: an interrupted pass leaves none
        labels = np.empty(self.n_rows, dtype=np.uint16) if ordering.writes_labels else None
        by = ordering.label_mixture
        if by is None:
            return RowPass(labels=labels)
        if self._order is None or not self._order[0].is_same(by):
            self._order = by, _sort_by_label(label_rows(by))
        order = self._order[1]
        if bounds is None or not bounds[1].is_same(by):
            fresh = self._new_bounds()
            none = np.zeros((2, self.n_components), dtype=np.float32)
            return RowPass(order, labels, fresh, None if fresh is None else none)
        values, _, before = bounds
        motion = native_target().measure_motion(
            mixture.factor_shape, before.means, before.factors, mixture.means, mixture.factors
        )  # fmt: skip
        return RowPass(order, labels, values, motion)

    def end_pass(self, row_pass: RowPass, mixture: PackedMixture, ordering: RowOrdering, n_active: float) -> PassCounts:
        """Take note of the pass."""
        counts = PassCounts(n_active)
        if row_pass.labels is not None:
            fresh = _sort_by_label(row_pass.labels)
            old_changes = 0 if row_pass.order is None else _count_label_changes(row_pass.labels, row_pass.order)
            counts = PassCounts(n_active, old_changes, _count_label_changes(row_pass.labels, fresh))
            # All rows decide which order is used next. Keeping the one that this block prefers takes half the memory.
            if row_pass.order is None or counts.prefers_new_order(self.n_rows):
                self._order = mixture, fresh
        if row_pass.distance_bounds is not None and ordering.label_mixture is not None:
            self._bounds = row_pass.distance_bounds, ordering.label_mixture, mixture
        return counts

    def _new_bounds(self) -> NDArray[np.float32] | None:
        n_groups = -(-self.n_rows // GROUP_ROWS)
        if n_groups * self.n_components > MAX_DISTANCE_BOUNDS or self.n_rows < MIN_ROWS_PER_FEATURE * self.n_features:
            return None
        return np.zeros((n_groups, self.n_components), dtype=np.float32)


def _does_ordering_pay(n_active: float, mixture: PackedMixture, n_rows: int) -> bool:
    """Whether an order pays with so many responsibilities above 0."""
    n_components, n_features = mixture.means.shape
    work = work_per_row(FactorShape(mixture.factor_shape), n_components, n_features)
    visited = ORDERED_PAIR_COST * n_active * (work / n_components) + ORDERED_ROW_COST * n_rows
    return bool(visited < MAX_ORDERED_WORK_RATIO * n_rows * work)


def can_ordering_pay(n_rows: int, factor_shape: FactorShape, n_components: int, n_features: int) -> bool:
    """Whether an order would pay if every row had a component to itself."""
    work = work_per_row(factor_shape, n_components, n_features)
    if not 1 < n_components <= MAX_LABELLED_COMPONENTS or n_rows * work < MIN_LONG_WORK:
        return False
    return ORDERED_PAIR_COST * work / n_components + ORDERED_ROW_COST < MAX_ORDERED_WORK_RATIO * work


def _sort_by_label(labels: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Indices of rows in their leaf, sorted by label; rows of one label keep their order."""
    order = np.empty(len(labels), dtype=np.uint16)
    for part in leaves_of(len(labels)):
        order[part] = np.argsort(labels[part], kind="stable")
    return order


def _count_label_changes(labels: NDArray[np.uint16], order: NDArray[np.uint16]) -> int:
    """How many rows have another label than the row visited before them."""
    in_order = (labels[part][order[part]] for part in leaves_of(len(labels)))
    return sum(int(np.count_nonzero(visited[1:] != visited[:-1])) for visited in in_order)


@lru_cache(maxsize=64)
def work_per_row(factor_shape: FactorShape, n_components: int, n_features: int) -> float:
    """Multiply-adds of a step for each row, with one factor for each component; an exponential counts as 20."""
    return native_target().work_per_row(factor_shape, n_components, n_features)
