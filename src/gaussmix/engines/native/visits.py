"""What passes over the same rows leave for the next: the order to visit rows in, and how far components were.

Consecutive rows of one component can leave out the same work (docs/develop/performance.md). Decisions are made by
counting, at fixed passes, so that a fit has the same bits whatever the machine; the order itself decides which rows are
added up first, and so the last bits of sums.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix.engines.native.arguments import Arguments
from gaussmix.waist.block import BLOCK_ROWS
from gaussmix.waist.whitening.base import FactorShape, Whitening

if TYPE_CHECKING:
    from gaussmix._core import Target

GROUP_ROWS = 24  # the core's: rows that share their bounds
MAX_BOUNDS = 2**23  # numbers: 32 MB
MOST_COMPONENTS = 2**16  # that labels tell apart

# Work in multiply-adds. A pair of row and component takes d² + 5d + 20 of them (4d + 20 without off-diagonal elements),
# a visited one 2.5 times as much: rows of several components meet in a group. Reading a row out of turn, and looking
# through its bounds, costs a row 1100.
VISITED = 2.5
OUT_OF_TURN = 1100.0
GAIN = 0.8
LEAST_WORK = 1e7  # of a pass: below, nothing of this pays
MOTION = 8  # rows for each feature: with fewer, measuring how components moved costs what bounds save
KEPT = 0.1  # groups of several components, of all, beyond those of a new order that the old one may have


class Visit(NamedTuple):
    """Four arguments of `Target.step`; all None where rows are visited as they come."""

    order: NDArray[np.uint16] | None = None
    labels: NDArray[np.uint16] | None = None
    bounds: NDArray[np.float32] | None = None
    motion: NDArray[np.float32] | None = None


def may_be_ordered(whitening: Whitening) -> bool:
    """Whether an order of the rows can save work: a factor for each component, which whitens feature by feature."""
    return not whitening.is_shared and whitening.factor_shape is not FactorShape.LOW_RANK


@dataclass(eq=False)
class Visits:
    """Orders rows by their likeliest component, after passes 2, 3, 5, 9 …, where the responsibilities say it pays.

    Parameters
    ----------
    n_rows, n_components, n_features : of the block and the mixture.
    """

    n_rows: int
    n_components: int
    n_features: int
    _n_passes: int = 0
    _wants_labels: bool = False
    _are_new: bool = False  # the bounds
    _order: NDArray[np.uint16] | None = None
    _bounds: NDArray[np.float32] | None = None
    _last: Arguments | None = None  # of the last pass, which bounds are for unless they are new

    def begin(self, target: Target, arguments: Arguments) -> Visit:
        """What to pass to the next soft step with these parameters."""
        if not self._is_worthwhile(arguments):
            return Visit()
        bounds, self._bounds = self._bounds, None  # an interrupted pass leaves none
        if self._last is not None and _moved_away(self._last, arguments):
            self._n_passes, self._wants_labels, self._order, bounds = 0, False, None, None
        labels = np.empty(self.n_rows, dtype=np.uint16) if self._wants_labels else None
        return Visit(self._order, labels, bounds, None if bounds is None else self._motion(target, arguments))

    def end(self, visit: Visit, arguments: Arguments, n_near: int) -> None:
        """Learn from the step, in which about `n_near` responsibilities were above 0."""
        if not self._is_worthwhile(arguments):
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
        # At once, so that an interrupt finds an order and bounds that belong together.
        self._wants_labels, self._order, self._bounds, self._last = wants_labels, order, bounds, arguments
        self._are_new = are_new

    def _new_order(self, labels: NDArray[np.uint16]) -> tuple[NDArray[np.uint16], bool]:
        """An order by label, and whether it is new: bounds go with the old one, if its groups are nearly as uniform."""
        n_groups, order = -(-self.n_rows // GROUP_ROWS), _by_label(labels)
        if self._order is not None and _changes(labels, self._order) <= _changes(labels, order) + KEPT * n_groups:
            return self._order, False
        return order, True

    def _new_bounds(self) -> NDArray[np.float32] | None:
        n_groups = -(-self.n_rows // GROUP_ROWS)
        if n_groups * self.n_components > MAX_BOUNDS or self.n_rows < MOTION * self.n_features:
            return None
        return np.zeros((n_groups, self.n_components), dtype=np.float32)

    def _is_worthwhile(self, arguments: Arguments) -> bool:
        """Whether any of this could pay: most fits are small, and their steps take microseconds."""
        is_triangular = arguments.factor_shape == FactorShape.TRIANGULAR
        return could_pay(self.n_rows, self.n_components, self.n_features, is_triangular)

    def _pays(self, n_near: int, arguments: Arguments) -> bool:
        """Whether visiting in order saves work where so many responsibilities are above 0."""
        pair = _work_of_pair(self.n_features, arguments.factor_shape == FactorShape.TRIANGULAR)
        visited = VISITED * n_near * pair + OUT_OF_TURN * self.n_rows
        return visited < GAIN * self.n_rows * self.n_components * pair

    def _motion(self, target: Target, arguments: Arguments) -> NDArray[np.float32]:
        """How the bounds are moved: new ones, which are 0, stay what they are."""
        before = self._last
        if self._are_new or before is None:
            return np.zeros((2, self.n_components), dtype=np.float32)
        return target.measure_motion(
            arguments.factor_shape, before.means, before.factors, arguments.means, arguments.factors
        )


def could_pay(n_rows: int, n_components: int, n_features: int, is_triangular: bool) -> bool:
    """Whether visiting in order would save work if every row had a component to itself."""
    if not 1 < n_components <= MOST_COMPONENTS or not is_long(n_rows, n_components, n_features, is_triangular):
        return False
    pair = _work_of_pair(n_features, is_triangular)
    return VISITED * pair + OUT_OF_TURN < GAIN * n_components * pair


def is_long(n_rows: int, n_components: int, n_features: int, is_triangular: bool) -> bool:
    """Whether a pass is more than `LEAST_WORK`."""
    return n_rows * n_components * _work_of_pair(n_features, is_triangular) >= LEAST_WORK


def _work_of_pair(n_features: int, is_triangular: bool) -> int:
    """Multiply-adds for a row and a component, roughly."""
    return n_features * n_features + 5 * n_features + 20 if is_triangular else 4 * n_features + 20


def _moved_away(before: Arguments, after: Arguments) -> bool:
    """Whether half of the components moved by more than a standard deviation: this is another run of EM."""
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
    """Places of rows in their block, by label, then as they come."""
    order = np.empty(len(labels), dtype=np.uint16)
    for part in _blocks(len(labels)):
        order[part] = np.argsort(labels[part], kind="stable")
    return order


def _changes(labels: NDArray[np.uint16], order: NDArray[np.uint16]) -> int:
    """How many rows have another label than the one visited before."""
    in_order = (labels[part][order[part]] for part in _blocks(len(labels)))
    return sum(int(np.count_nonzero(visited[1:] != visited[:-1])) for visited in in_order)


def _blocks(n_rows: int) -> Iterator[slice]:
    return (slice(first, first + BLOCK_ROWS) for first in range(0, n_rows, BLOCK_ROWS))
