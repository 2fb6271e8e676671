"""Rows whose components are known for some."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gaussmix.sources.base import Source, Task
from gaussmix.waist.block import Block
from gaussmix.waist.moments import Partial

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
        self._source = source
        self._by_label = source.changed(partial(_by_label, labels=labels, component_label=component_label), self.n_rows)

    def blocks(self) -> Iterable[Block]:
        return self._source.blocks()

    def map_merge(self, task: Task) -> Partial:
        return self._by_label.map_merge(task)

    def fresh(self) -> Self:
        twin = super().fresh()
        twin._by_label = self._by_label.fresh()
        return twin


def _by_label(block: Block, labels: Labels, component_label: Labels) -> Iterable[Block]:
    mine = labels[block.places]
    for label in np.unique(mine):
        log_prior = np.where((component_label == label) | (label < 0), 0.0, -np.inf)
        yield replace(block.taken(np.flatnonzero(mine == label), block.first_row), log_prior=log_prior)
