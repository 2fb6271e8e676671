"""Rows whose components are known for some."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from gaussmix.sources.base import Source, Task
from gaussmix.waist.block import Block
from gaussmix.waist.leaves import Summable, Tree

S = TypeVar("S", bound=Summable)
Labels = NDArray[np.integer[Any]]


class LabelledSource(Source):
    """Another source's rows and their labels: in a pass the rows of each label are a block of their own.

    Labels take part in `map_merge` alone, whose blocks hold rows that are not consecutive: a task there may not count
    rows. `changed`, and what is made by it, gives the rows without them.

    Parameters
    ----------
    source : the rows.
    labels : (n_rows,), a number for each row; below 0 where nothing is known.
    component_label : (n_components,), the label whose rows a component may have.
    """

    def __init__(self, source: Source, labels: Labels, component_label: Labels) -> None:
        self.n_rows, self.n_features, self.dtype = source.n_rows, source.n_features, source.dtype
        self._source, self._labels, self._component_label = source.fresh(), labels, component_label

    def blocks(self) -> Iterable[Block]:
        return self._source.blocks()

    @property
    def whole(self) -> None:
        """Blocks of rows do not tell their labels."""
        return None

    def map_merge(self, task: Task[S]) -> S:
        return self._source.map_merge(_ByLabel(task, self._labels, self._component_label))

    def fresh(self) -> Self:
        twin = super().fresh()
        twin._source = self._source.fresh()
        return twin


class _States(dict[tuple[int, int], Any]):
    """The states of the parts of a block, by the first row of their leaf and their label."""

    @property
    def n_bytes(self) -> int:
        return sum(getattr(state, "n_bytes", 0) for state in self.values())


@dataclass(frozen=True, eq=False)
class _ByLabel(Generic[S]):
    """A task for the rows of each label in a leaf, as a block of their own."""

    task: Task[S]
    labels: Labels
    component_label: Labels

    @property
    def key(self) -> Hashable:
        return self.task.key

    def open(self, block: Block) -> _States:
        return _States()

    def call(self, block: Block, state: _States) -> S:
        tree = Tree[S]()
        for leaf in block.cut():
            sums = []
            for label in np.unique(self.labels[leaf.places]):
                part, key = self._part(leaf, label), (leaf.first_row, int(label))
                if key not in state:
                    state[key] = self.task.open(part)
                sums.append(self.task.call(part, state[key]))
            tree.add(reduce(add, sums))
        return tree.total

    def _part(self, leaf: Block, label: int) -> Block:
        log_prior = np.where((self.component_label == label) | (label < 0), 0.0, -np.inf)
        mine = np.flatnonzero(self.labels[leaf.places] == label)
        return replace(leaf.taken(mine, leaf.first_row), log_prior=log_prior)
