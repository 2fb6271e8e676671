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

from gaussmix._src.engines.complete.arguments import Arguments
from gaussmix._src.interfaces.leaves import leaves_of
from gaussmix._src.interfaces.whitening.base import FactorShape, Whitening
from gaussmix._src.numerics.core import core, native_target

Labels = NDArray[np.uint16]

# Multiply-adds of a pass, which take about a millisecond. On shorter passes another order of the rows does not
# pay, and the core may make many steps in one call; on some longer ones too, up to `complete.run.MIN_ORDERED_WORK`.
MIN_LONG_WORK = 1e7
GROUP_ROWS = core.GROUP_ROWS  # rows that share their bounds
MAX_BOUNDS = 2**23  # numbers, 32 MB
MAX_LABELLED = 2**16  # that labels of two bytes distinguish

# In an order by component, a pair of row and component that is not left out takes VISIT_COST times its usual work,
# because a group meets several components. Each row takes ROW_COST multiply-adds more: it is read out of turn, and its
# bounds are looked through. An order pays if it takes less than the fraction MAX_WORK_OF_ORDER of the work without one.
VISIT_COST = 2.5
ROW_COST = 1060.0
MAX_WORK_OF_ORDER = 0.8
MIN_ROWS_PER_FEATURE = 8  # rows per feature: with fewer, measuring how components moved costs more than bounds save
# Keep the old order and its bounds while it has at most this part of all groups more mixed groups than a fresh order.
MAX_MIXED_FRACTION = 0.1


class Visit(NamedTuple):
    """Four arguments of `Target.step`; all None for rows in their own order.

    Parameters
    ----------
    order : (n_rows,), the index in its leaf of the row that is visited.
    labels : (n_rows,), written: the likeliest component of each row.
    bounds : (n_groups, n_components), lower bounds on distances; moved, used and renewed.
    motion : (2, n_components), how components moved since the bounds were made.
    """

    order: NDArray[np.uint16] | None = None
    labels: NDArray[np.uint16] | None = None
    bounds: NDArray[np.float32] | None = None
    motion: NDArray[np.float32] | None = None

    def in_leaves(self, rows: slice) -> Visit:
        """The order and the labels of some leaves of the block; bounds are of whole blocks."""
        order = None if self.order is None else self.order[rows]
        return Visit(order, None if self.labels is None else self.labels[rows])


def may_be_ordered(whitening: Whitening) -> bool:
    """Whether the core can leave components out: each has its own factor, and whitens feature by feature."""
    return not whitening.is_shared and whitening.factor_shape is not FactorShape.LOW_RANK


class Counts(NamedTuple):
    """What a pass counts over all rows, to decide about the order of the next.

    Parameters
    ----------
    n_active : about how many responsibilities are above 0.
    old_changes : how many rows have another label than the row that was visited before them; 0 if no labels were
        written.
    new_changes : the same in the order that the new labels give.
    """

    n_active: float
    old_changes: int = 0
    new_changes: int = 0

    def prefers_fresh(self, n_rows: int) -> bool:
        """Whether the order that the new labels give has clearly fewer mixed groups of `n_rows` rows."""
        return self.old_changes > self.new_changes + MAX_MIXED_FRACTION * -(-n_rows // GROUP_ROWS)


class Ordering(NamedTuple):
    """In which order the next pass visits rows; the same decision for all blocks of a source.

    The order itself is a function of the rows of a leaf and of `by`. So whoever lost it makes it again.

    Parameters
    ----------
    by : the parameters whose likeliest components label the rows, which are visited label by label; None for rows in
        their own order.
    n_passes : how many passes there were.
    wants_labels : the next pass writes labels.
    """

    by: Arguments | None = None
    n_passes: int = 0
    wants_labels: bool = False

    def after(self, done: Arguments, counts: Counts, n_rows: int) -> Ordering:
        """How to visit rows after a pass over all `n_rows` rows; refreshed after passes 2, 3, 5, 9 …, if that pays."""
        by, n_passes = self.by, self.n_passes + 1
        is_refresh = n_passes & (n_passes - 1) == 0
        wants_labels = is_refresh and _pays(counts.n_active, done, n_rows)
        if self.wants_labels and (by is None or counts.prefers_fresh(n_rows)):
            by = done
        return Ordering(None if is_refresh and not wants_labels else by, n_passes, wants_labels)


@dataclass(eq=False)
class Visits:
    """The orders and bounds that are stored with a block. Any of them may be lost: no bit depends on that.

    Parameters
    ----------
    n_rows, n_components, n_features : of the block and the mixture.
    """

    n_rows: int
    n_components: int
    n_features: int
    # The order that the next pass is likely to use, and the parameters that it is by.
    _order: tuple[Arguments, NDArray[np.uint16]] | None = None
    # With the labels of the order, and the parameters they are for.
    _bounds: tuple[NDArray[np.float32], Arguments, Arguments] | None = None

    @property
    def n_bytes(self) -> int:
        """Memory that orders and bounds take."""
        arrays = (self._order and self._order[1], self._bounds and self._bounds[0])
        return sum(array.nbytes for array in arrays if array is not None)

    def begin(self, arguments: Arguments, ordering: Ordering, label: Callable[[Arguments], Labels]) -> Visit:
        """Choose order and bounds of a pass; `label` gives the labels of the rows if they are not known."""
        bounds, self._bounds = self._bounds, None  # the core writes to them: an interrupted pass leaves none
        labels = np.empty(self.n_rows, dtype=np.uint16) if ordering.wants_labels else None
        by = ordering.by
        if by is None:
            return Visit(labels=labels)
        if self._order is None or not self._order[0].is_same(by):
            self._order = by, _by_label(label(by))
        order = self._order[1]
        if bounds is None or not bounds[1].is_same(by):
            fresh = self._new_bounds()
            none = np.zeros((2, self.n_components), dtype=np.float32)
            return Visit(order, labels, fresh, None if fresh is None else none)
        values, _, before = bounds
        motion = native_target().measure_motion(
            arguments.factor_shape, before.means, before.factors, arguments.means, arguments.factors
        )  # fmt: skip
        return Visit(order, labels, values, motion)

    def end(self, visit: Visit, done: Arguments, ordering: Ordering, n_active: float) -> Counts:
        """Take note of the pass."""
        counts = Counts(n_active)
        if visit.labels is not None:
            fresh = _by_label(visit.labels)
            old_changes = 0 if visit.order is None else _changes(visit.labels, visit.order)
            counts = Counts(n_active, old_changes, _changes(visit.labels, fresh))
            # All rows decide which order is used next. Keeping the one that this block prefers takes half the memory.
            if visit.order is None or counts.prefers_fresh(self.n_rows):
                self._order = done, fresh
        if visit.bounds is not None and ordering.by is not None:
            self._bounds = visit.bounds, ordering.by, done
        return counts

    def _new_bounds(self) -> NDArray[np.float32] | None:
        n_groups = -(-self.n_rows // GROUP_ROWS)
        if n_groups * self.n_components > MAX_BOUNDS or self.n_rows < MIN_ROWS_PER_FEATURE * self.n_features:
            return None
        return np.zeros((n_groups, self.n_components), dtype=np.float32)


def _pays(n_active: float, arguments: Arguments, n_rows: int) -> bool:
    """Whether an order pays with so many responsibilities above 0."""
    n_components, n_features = arguments.means.shape
    work = work_per_row(FactorShape(arguments.factor_shape), n_components, n_features)
    visited = VISIT_COST * n_active * (work / n_components) + ROW_COST * n_rows
    return bool(visited < MAX_WORK_OF_ORDER * n_rows * work)


def could_pay(n_rows: int, factor_shape: FactorShape, n_components: int, n_features: int) -> bool:
    """Whether an order would pay if every row had a component to itself."""
    work = work_per_row(factor_shape, n_components, n_features)
    if not 1 < n_components <= MAX_LABELLED or n_rows * work < MIN_LONG_WORK:
        return False
    return VISIT_COST * work / n_components + ROW_COST < MAX_WORK_OF_ORDER * work


def _by_label(labels: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Indices of rows in their leaf, sorted by label; rows of one label keep their order."""
    order = np.empty(len(labels), dtype=np.uint16)
    for part in leaves_of(len(labels)):
        order[part] = np.argsort(labels[part], kind="stable")
    return order


def _changes(labels: NDArray[np.uint16], order: NDArray[np.uint16]) -> int:
    """How many rows have another label than the row visited before them."""
    in_order = (labels[part][order[part]] for part in leaves_of(len(labels)))
    return sum(int(np.count_nonzero(visited[1:] != visited[:-1])) for visited in in_order)


@lru_cache(maxsize=64)
def work_per_row(factor_shape: FactorShape, n_components: int, n_features: int) -> float:
    """Multiply-adds of a step for each row, with one factor for each component; an exponential counts as 20."""
    return native_target().work_per_row(factor_shape, n_components, n_features)
