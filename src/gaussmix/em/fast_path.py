"""Several steps of EM at a time, where an engine makes them by itself."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from gaussmix.em.accumulate import look
from gaussmix.em.maximise import LOST_SHARE, MAX_LOSS, NOISE
from gaussmix.em.objective import Objective
from gaussmix.em.stopping import Stopping
from gaussmix.engines.base import Engine
from gaussmix.engines.runner import Control, Runner
from gaussmix.families.base import Family
from gaussmix.model import Model
from gaussmix.numerics.arrays import Array
from gaussmix.sources.base import Source
from gaussmix.waist.block import Block
from gaussmix.waist.leaves import LEAF_ROWS


class FastPath:
    """The steps of a run that its engine can make without Python.

    Parameters
    ----------
    source, engine, objective, stopping : of the run; see `run_em`.
    family, n_components : of its models.
    """

    def __init__(
        self,
        source: Source,
        engine: Engine[Any],
        family: Family,
        n_components: int,
        objective: Objective,
        stopping: Stopping,
    ) -> None:
        self._source, self._engine, self._family, self._n_components = source, engine, family, n_components
        self._objective, self._stopping = objective, stopping

    def run(self, model: Model, n_steps: int, previous: float, most: int | None = None) -> tuple[Model, list[float]]:
        """Go on from a model as far as the engine does by itself.

        Parameters
        ----------
        model : where to go on from.
        n_steps : number of steps made before.
        previous : the objective before the last of them.
        most : limit on the number of steps; None for that of the stopping rule.

        Returns
        -------
        model : after the last step.
        log_likelihood : mean before each step; empty where Python has to make the next one.
        """
        engine, algebra, ridge, stopping = self._engine, self._family.algebra, self._ridge, self._stopping
        if algebra is None or ridge is None or not isinstance(engine, Runner) or self._rows is None:
            return model, []
        left = stopping.max_steps - n_steps
        left = left if most is None else min(left, most)
        control = Control(ridge, stopping.tolerance, left, previous, LOST_SHARE, NOISE, MAX_LOSS)
        start = model.weights, model.means, model.covariances.array
        course = engine.run_em(*self._rows, start, algebra, control)
        if course is None or not course.log_likelihood:
            return model, []
        found = self._family.covariances(course.covariances, *course.means.shape)
        if course.whitening is not None:
            found = found.factored(course.whitening)  # so that nobody factors these covariances again
        return Model(course.weights, course.means, found, self._family), course.log_likelihood

    @cached_property
    def _ridge(self) -> Array | None:
        """The ridge of the objective; None where the objective or the stopping rule is one that engines don't know."""
        return self._objective.as_ridge() if type(self._stopping) is Stopping else None

    @cached_property
    def _rows(self) -> tuple[Block, Any] | None:
        """All rows, and what the engine has found out about them.

        None where rows are many, or known to belong to some of the components.
        """
        block = self._source.whole
        if block is None or block.n_rows > LEAF_ROWS or block.log_prior is not None:
            return None
        return block, look(self._source, self._engine, self._family.need(None))
