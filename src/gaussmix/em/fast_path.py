"""Several steps of EM at a time, where an engine makes them by itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from gaussmix.em.accumulate import look
from gaussmix.em.maximise import LOST_SHARE, MAX_LOSS, MEAN_ROUNDING
from gaussmix.em.objective import Objective
from gaussmix.em.stopping import Aitken, Stopping
from gaussmix.engines.base import Engine
from gaussmix.engines.runner import Control, Course, Groups, Recipe, Runner
from gaussmix.families.base import Family
from gaussmix.model import Model
from gaussmix.numerics.arrays import Array
from gaussmix.sources.base import Source
from gaussmix.waist.algebra import Algebra
from gaussmix.waist.block import Block
from gaussmix.waist.leaves import LEAF_ROWS


@dataclass(frozen=True, eq=False)
class FastPath:
    """The steps of a run that its engine can make without Python.

    Parameters
    ----------
    source, engine, objective, stopping : of the run; see `run_em`.
    family, n_components : of its models.
    """

    source: Source
    engine: Engine[Any]
    family: Family
    n_components: int
    objective: Objective
    stopping: Stopping

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
        if self._task is None or model.noise is not None:
            return model, []
        runner, algebra, rows = self._task
        left = self.stopping.max_steps - n_steps
        control = self._control(left if most is None else min(left, most), previous)
        start = model.weights, model.means, model.covariances.array
        course = runner.run_em(*rows, start, algebra, control)
        if course is None or not course.log_likelihood:
            return model, []
        return model_of(course, self.family), course.log_likelihood

    def begin(self, centres: Array) -> Model | None:
        """The model of an M-step on rows that each belong to the nearest centre (n_components, n_features).

        None where Python has to make it.
        """
        if self._task is None:
            return None
        runner, algebra, (block, _) = self._task
        recipe = Recipe(algebra, len(centres), np.ascontiguousarray(centres), self._control(0), 0.0, 0.0, 0.0)
        fits = runner.fit_many(Groups.of_one(block, 1.0), recipe)
        course = None if fits is None else fits.course
        return None if course is None else model_of(course, self.family)

    def _control(self, max_steps: int, previous: float = float("-inf")) -> Control:
        return Control(self._ridge, self.stopping.least_gain, max_steps, LOST_SHARE, MEAN_ROUNDING, MAX_LOSS, previous)

    @cached_property
    def _ridge(self) -> Array | None:
        """The ridge of the objective; None where the objective or the stopping rule is one that engines don't know."""
        return self.objective.as_ridge() if type(self.stopping) in (Stopping, Aitken) else None

    @cached_property
    def _task(self) -> tuple[Runner, Algebra, tuple[Block, Any]] | None:
        """The engine, what it makes of a scatter, and all rows with what it has found out about them.

        None where it makes no steps by itself, and where rows are many, or known to belong to some of the components.
        """
        engine, algebra, block = self.engine, self.family.algebra, self.source.whole
        if algebra is None or self._ridge is None or not isinstance(engine, Runner):
            return None
        if block is None or block.n_rows > LEAF_ROWS or block.log_prior is not None:
            return None
        return engine, algebra, (block, look(self.source, self.engine, self.family.need(None)))


def model_of(course: Course, family: Family) -> Model:
    """The model of a structure that a course has reached."""
    shape = course.means.shape
    found = family.covariances(course.covariances.reshape(family.shape(*shape)), *shape)
    if course.whitening is not None:
        found = found.factored(course.whitening)  # so that nobody factors these covariances again
    return Model(course.weights, course.means, found, family)
