"""Moments of rows as a partition shares them: what the first M-step of every structure is made of."""

from __future__ import annotations

from functools import cached_property
from threading import Lock
from typing import Any

from gaussmix.em.accumulate import StepTask
from gaussmix.engines.base import Engine
from gaussmix.numerics.arrays import Array
from gaussmix.sources.base import Source
from gaussmix.starts.base import Partition
from gaussmix.waist.moments import Moments
from gaussmix.waist.need import Need, Second


class FirstMoments:
    """One pass over the rows for the means, and one about them for each need that is asked for.

    Parameters
    ----------
    source : the rows; of threads one at a time reads them.
    engine : sums moments over them.
    n_components : K.
    partition : how the rows are shared.
    """

    def __init__(self, source: Source, engine: Engine[Any], n_components: int, partition: Partition) -> None:
        self._source, self._engine, self._n_components, self._partition = source, engine, n_components, partition
        self._made: dict[Need, Moments] = {}
        self._one_at_a_time = Lock()

    def about_means(self, need: Need) -> tuple[Moments, Array]:
        """The moments, and the means (n_components, n_features): of a component without rows, where it may start."""
        with self._one_at_a_time:
            if need.projection is not None:  # which nobody else has
                return self._sum(need, self._means), self._means
            if need not in self._made:
                self._made[need] = self._sum(need, self._means)
            return self._made[need], self._means

    @cached_property
    def _means(self) -> Array:
        rough, parameters = self._sum(Need(Second.NONE), None), self._partition.parameters
        centre = rough.anchor + rough.first.sum(axis=0) / rough.mass.sum()
        return rough.means(centre if parameters is None else parameters.means)

    def _sum(self, need: Need, anchor: Array | None) -> Moments:
        parameters, rule, share = self._partition.parameters, self._partition.rule, self._partition.share
        task = StepTask(self._engine, self._n_components, parameters, need, rule, anchor=anchor, share=share)
        return task.over(self._source)
