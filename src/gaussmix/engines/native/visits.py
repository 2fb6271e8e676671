"""The order in which passes visit rows, and bounds on distances, which one pass leaves for the next.

Rows that follow each other share the components that they can leave out, so rows of one component should follow each
other (docs/develop/numerics.md). All decisions count rows and responsibilities, at fixed passes, so that a fit has the
same bits on every machine. The order decides which rows are summed first, and so the last bits of sums.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix.engines.native.arguments import Arguments
from gaussmix.engines.native.work import is_long, work_per_row
from gaussmix.waist.block import BLOCK_ROWS
from gaussmix.waist.whitening.base import FactorShape, Whitening

if TYPE_CHECKING:
    from gaussmix._core import Target

GROUP_ROWS = 24  # rows that share their bounds; the C++ core has the same number, and a test compares them
MOST_BOUNDS = 2**23  # numbers, 32 MB
MOST_COMPONENTS = 2**16  # that labels of two bytes tell apart

# In an order by component, a pair of row and component that is not left out takes VISITED times its usual work, because
# a group meets several components. Each row takes OUT_OF_TURN multiply-adds more: it is read out of turn, and its
# bounds are looked through. An order pays if it takes less than the share GAIN of the work without one.
VISITED = 2.5
OUT_OF_TURN = 1060.0
GAIN = 0.8
MOTION = 8  # rows per feature: with fewer, measuring how components moved costs more than bounds save
# Keep the old order and its bounds while it has at most this share of all groups more mixed groups than a fresh order.
KEPT = 0.1


class Visit(NamedTuple):
    """Four arguments of `Target.step`; all None where rows are visited in their own order.

    Parameters
    ----------
    order : (n_rows,), the place in its block of 65,520 rows of the row that is visited.
    labels : (n_rows,), written: the likeliest component of each row.
    bounds : (n_groups, n_components), lower bounds on distances; moved, used and renewed.
    motion : (2, n_components), how components moved since the bounds were made.
    """

    order: NDArray[np.uint16] | None = None
    labels: NDArray[np.uint16] | None = None
    bounds: NDArray[np.float32] | None = None
    motion: NDArray[np.float32] | None = None


def may_be_ordered(whitening: Whitening) -> bool:
    """Whether the core can leave components out: each has its own factor, and whitens feature by feature."""
    return not whitening.is_shared and whitening.factor_shape is not FactorShape.LOW_RANK


@dataclass(eq=False)
class Visits:
    """Orders rows by their likeliest component after passes 2, 3, 5, 9 …, if the responsibilities show that it pays.

    Parameters
    ----------
    n_rows, n_components, n_features : of the block and the mixture.
    """

    n_rows: int
    n_components: int
    n_features: int
    _could: dict[int, bool] = field(default_factory=dict)  # pay, by factor shape
    _n_passes: int = 0
    _wants_labels: bool = False
    _has_new_bounds: bool = False
    _order: NDArray[np.uint16] | None = None
    _bounds: NDArray[np.float32] | None = None
    _last: Arguments | None = None  # of the last pass; bounds that are not new are for these

    def begin(self, target: Target, arguments: Arguments) -> Visit:
        """Choose order and bounds of the next soft step with these parameters."""
        if not self._could_pay(arguments):
            return Visit()
        bounds, self._bounds = self._bounds, None  # the core writes to them: an interrupted pass leaves none
        if self._last is not None and _moved_away(self._last, arguments):
            self._n_passes, self._wants_labels, self._order, bounds = 0, False, None, None
        labels = np.empty(self.n_rows, dtype=np.uint16) if self._wants_labels else None
        return Visit(self._order, labels, bounds, None if bounds is None else self._motion(target, arguments))

    def end(self, visit: Visit, arguments: Arguments, n_near: int) -> None:
        """Take note of the step, in which about `n_near` responsibilities were above 0."""
        if not self._could_pay(arguments):
            return
        self._n_passes += 1
        is_refresh = self._n_passes & (self._n_passes - 1) == 0
        wants_labels = is_refresh and self._pays(n_near, arguments)
        order, bounds, are_new = visit.order, visit.bounds, False
        if visit.labels is not None:
            order, are_new = self._new_order(visit.labels)
            bounds = self._new_bounds() if are_new else bounds
        if is_refresh and not wants_labels:
            order = bounds = None
        # In one statement, so that order and bounds belong together whenever an interrupt comes.
        self._wants_labels, self._order, self._bounds, self._last = wants_labels, order, bounds, arguments
        self._has_new_bounds = are_new

    def _new_order(self, labels: NDArray[np.uint16]) -> tuple[NDArray[np.uint16], bool]:
        """The order to visit rows in, and whether it is new: the old one keeps its bounds if it is nearly as good."""
        n_groups, order = -(-self.n_rows // GROUP_ROWS), _by_label(labels)
        if self._order is not None and _changes(labels, self._order) <= _changes(labels, order) + KEPT * n_groups:
            return self._order, False
        return order, True

    def _new_bounds(self) -> NDArray[np.float32] | None:
        n_groups = -(-self.n_rows // GROUP_ROWS)
        if n_groups * self.n_components > MOST_BOUNDS or self.n_rows < MOTION * self.n_features:
            return None
        return np.zeros((n_groups, self.n_components), dtype=np.float32)

    def _could_pay(self, arguments: Arguments) -> bool:
        """Whether any order could pay; found out once, because most fits are small and step in microseconds."""
        answer = self._could.get(arguments.factor_shape)
        if answer is None:
            answer = could_pay(self.n_rows, FactorShape(arguments.factor_shape), self.n_components, self.n_features)
            self._could[arguments.factor_shape] = answer
        return answer

    def _pays(self, n_near: int, arguments: Arguments) -> bool:
        """Whether an order pays with so many responsibilities above 0."""
        work = work_per_row(FactorShape(arguments.factor_shape), self.n_components, self.n_features)
        visited = VISITED * n_near * (work / self.n_components) + OUT_OF_TURN * self.n_rows
        return visited < GAIN * self.n_rows * work

    def _motion(self, target: Target, arguments: Arguments) -> NDArray[np.float32]:
        """How components moved since the bounds were made; new bounds are 0 and do not move."""
        before = self._last
        if self._has_new_bounds or before is None:
            return np.zeros((2, self.n_components), dtype=np.float32)
        return target.measure_motion(
            arguments.factor_shape, before.means, before.factors, arguments.means, arguments.factors
        )


def could_pay(n_rows: int, factor_shape: FactorShape, n_components: int, n_features: int) -> bool:
    """Whether an order would pay if every row had a component to itself."""
    if not 1 < n_components <= MOST_COMPONENTS or not is_long(n_rows, factor_shape, n_components, n_features):
        return False
    work = work_per_row(factor_shape, n_components, n_features)
    return VISITED * work / n_components + OUT_OF_TURN < GAIN * work


def _moved_away(before: Arguments, after: Arguments) -> bool:
    """Whether half of the components moved by more than a standard deviation: then this is another run of EM."""
    if before.means.shape != after.means.shape or before.factor_shape != after.factor_shape:
        return True
    moved = after.means - before.means
    with np.errstate(over="ignore", invalid="ignore"):
        if before.factor_shape == FactorShape.TRIANGULAR:
            whitened = np.einsum("kij,kj->ki", before.factors, moved)
        else:
            whitened = moved * (before.factors if before.factors.ndim == 2 else before.factors[:, None])
        squares = np.sort((whitened**2).sum(axis=1))
        return bool(squares[(len(squares) - 1) // 2] + squares[len(squares) // 2] > 2)  # np.median takes 90 µs


def _by_label(labels: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Places of rows in their block, sorted by label; rows of one label keep their order."""
    order = np.empty(len(labels), dtype=np.uint16)
    for part in _blocks(len(labels)):
        order[part] = np.argsort(labels[part], kind="stable")
    return order


def _changes(labels: NDArray[np.uint16], order: NDArray[np.uint16]) -> int:
    """How many rows have another label than the row visited before them."""
    in_order = (labels[part][order[part]] for part in _blocks(len(labels)))
    return sum(int(np.count_nonzero(visited[1:] != visited[:-1])) for visited in in_order)


def _blocks(n_rows: int) -> Iterator[slice]:
    return (slice(first, first + BLOCK_ROWS) for first in range(0, n_rows, BLOCK_ROWS))
