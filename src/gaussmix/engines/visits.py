"""What passes over the same rows leave for the next: the order to visit rows in, and how far components were.

Rows of one component that follow each other share what can be left out (DESIGN 3.5). All decisions are made by
counting, at fixed passes, so that a fit has the same bits whatever the machine; the order itself decides which rows are
added up first, and so the last bits of sums.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix.waist.arrays import Array
from gaussmix.waist.block import BLOCK_ROWS
from gaussmix.waist.whitening import Structure

if TYPE_CHECKING:
    from gaussmix._core import Target

Arguments = tuple[Array, Array, int, Array]  # log_scale, means, structure and factors, as the core takes them

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
KEPT = 0.1  # groups of several components, of all, beyond those of a new order that the old one may have


class Visit(NamedTuple):
    """The last arguments of `Target.step`; all None where rows are visited as they come."""

    order: NDArray[np.uint16] | None = None
    labels: NDArray[np.uint16] | None = None
    bounds: NDArray[np.float32] | None = None
    motion: NDArray[np.float32] | None = None


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
    _order: NDArray[np.uint16] | None = None
    _bounds: NDArray[np.float32] | None = None
    _known_for: Arguments | None = None

    def begin(self, target: Target, arguments: Arguments) -> Visit:
        """What to pass to the next soft step with these parameters."""
        bounds, self._bounds = self._bounds, None  # an interrupted pass leaves none
        motion = None if bounds is None else self._motion(target, arguments)
        if motion is not None and np.median(motion[1]) > 1:  # another run of EM: all has moved
            self._n_passes, self._order, bounds, motion = 0, None, None, None
        labels = np.empty(self.n_rows, dtype=np.uint16) if self._wants_labels else None
        return Visit(self._order, labels, bounds, motion)

    def end(self, visit: Visit, arguments: Arguments, n_near: int) -> None:
        """Learn from the step, in which about `n_near` responsibilities were above 0."""
        self._n_passes += 1
        self._bounds, self._known_for = visit.bounds, arguments
        if visit.labels is not None:
            self._put_in_order(visit.labels)
        is_refresh = self._n_passes & (self._n_passes - 1) == 0
        self._wants_labels = is_refresh and self._pays(n_near, arguments)
        if is_refresh and not self._wants_labels:
            self._order = self._bounds = None

    def _put_in_order(self, labels: NDArray[np.uint16]) -> None:
        """Order rows anew, unless the groups of the order there is are nearly as uniform: bounds go with an order."""
        n_groups, order = -(-self.n_rows // GROUP_ROWS), _by_label(labels)
        if self._order is not None and _changes(labels, self._order) <= _changes(labels, order) + KEPT * n_groups:
            return
        self._order = order
        fits = n_groups * self.n_components <= MAX_BOUNDS
        self._bounds = np.zeros((n_groups, self.n_components), dtype=np.float32) if fits else None
        self._known_for = None

    def _pays(self, n_near: int, arguments: Arguments) -> bool:
        """Whether visiting in order saves work where so many responsibilities are above 0."""
        d = float(self.n_features)
        pair = d * d + 5 * d + 20 if arguments[2] == Structure.TRIANGULAR else 4 * d + 20
        work = self.n_rows * self.n_components * pair
        if work < LEAST_WORK or not 1 < self.n_components <= MOST_COMPONENTS:
            return False
        return VISITED * n_near * pair + OUT_OF_TURN * self.n_rows < GAIN * work

    def _motion(self, target: Target, arguments: Arguments) -> NDArray[np.float32]:
        """How the bounds are moved: to 0 where none are known yet."""
        if self._known_for is None:
            return np.zeros((2, self.n_components), dtype=np.float32)
        _, means, structure, factors = arguments
        _, means_before, _, factors_before = self._known_for
        return target.measure_motion(structure, means_before, factors_before, means, factors)


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
