"""Rows in memory whose components are known for some."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix.numerics.arrays import Array, Rows
from gaussmix.numerics.pieces import taken
from gaussmix.sources.array import ArraySource
from gaussmix.sources.base import Task
from gaussmix.waist.block import Block
from gaussmix.waist.moments import Partial


class LabelledSource(ArraySource):
    """An array and its labels: a block of rows for each label, and one of rows without.

    Parameters
    ----------
    rows, row_weight : as of `ArraySource`.
    labels : (n_rows,), a number for each row; below 0 where nothing is known.
    component_label : (n_components,), the label whose rows a component may have.
    """

    def __init__(
        self,
        rows: Rows,
        row_weight: Array | None,
        labels: NDArray[np.integer[Any]],
        component_label: NDArray[np.integer[Any]],
    ) -> None:
        super().__init__(rows, row_weight)
        self._labels, self._component_label = labels, component_label
        self._parts = []
        for label in np.unique(labels):
            places, log_prior = np.flatnonzero(labels == label), self._log_prior(label)
            weight = None if row_weight is None else row_weight[places]
            self._parts.append(ArraySource(taken(rows, places), weight, log_prior=log_prior))

    def map_merge(self, task: Task) -> Partial:
        return reduce(add, (part.map_merge(task) for part in self._parts))

    def sample(self, n_rows: int) -> Block:
        """As of `ArraySource`; what is known of each row is in the block where it has them all."""
        block = super().sample(n_rows)
        return block if block is not self.block else replace(block, log_prior=self._log_prior(self._labels[:, None]))

    def _log_prior(self, labels: Any) -> Array:
        """0 where a label allows a component, −inf where not; (n_components,) for one label."""
        return np.where((self._component_label == labels) | (labels < 0), 0.0, -np.inf)
