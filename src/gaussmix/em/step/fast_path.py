"""Several steps of EM, or the first M-step, in one call of the core: the part of a run that needs no Python."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix.background import Background
from gaussmix.em.objective.objective import Objective
from gaussmix.em.objective.stopping import Stopping
from gaussmix.em.step.accumulate import look
from gaussmix.engines.base import Engine
from gaussmix.engines.runner import Belief, Control, Course, Groups, Recipe
from gaussmix.families.base import Family
from gaussmix.model import Model
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.threads import cached_property
from gaussmix.sources.base import Source
from gaussmix.waist.algebra import Algebra
from gaussmix.waist.block import Block
from gaussmix.waist.leaves import LEAF_ROWS
from gaussmix.waist.need import Second


@dataclass(frozen=True, eq=False)
class FastPath:
    """The steps of a run that its engine can make without Python; the fields are those of `run_em`."""

    source: Source
    engine: Engine[Any]
    family: Family
    n_components: int
    objective: Objective
    stopping: Stopping

    def run(
        self, model: Model, n_steps: int, previous: float, most: int | None = None
    ) -> tuple[Model, list[float], list[float]]:
        """Continue from a model, `n_steps` steps into a run, for as many steps as the engine makes by itself.

        These are at most `most`, and as many as the stopping rule allows; `previous` is the objective before the last
        step. On a busy processor they are fewer, so a caller goes on from the model until the rule ends the run. Gives
        the model after them, and the mean log-likelihood and the objective before each; no number if Python must make
        the next step.
        """
        if not self.makes_steps_of(model) or self._task is None:
            return model, [], []
        runner, algebra, rows = self._task
        left = self.stopping.max_steps - n_steps
        control = self._control(left if most is None else min(left, most), previous)
        if model.noise is not None:
            control = control._replace(log_volume=model.noise.log_volume)
        start = model.all_weights, model.means, model.covariances.array
        course = runner.run_em(*rows, start, algebra, control)
        if course is None or not course.log_likelihood:
            return model, [], []
        return model_of(course, self.family, model.noise), course.log_likelihood, course.objective

    def makes_steps_of(self, model: Model) -> bool:
        """Whether the engine makes the usual steps from a model."""
        has_background = model.noise is not None
        return self._task is not None and self._task[0].makes_steps(self._terms[1], has_background=has_background)

    def begin(self, start: Array | NDArray[np.int32]) -> Model | None:
        """Make an M-step with each row in the component of its nearest centre, or in a given one.

        `start` are the centres (n_components, n_features), or the components (n_rows,). Returns None if Python must
        make the step.
        """
        if self._task is None or self._terms[1] is not None:
            return None
        runner, algebra, (block, _) = self._task
        if not start.flags.c_contiguous:
            return self.begin(start.copy())
        recipe = Recipe(algebra, self.n_components, start, self._control(0))
        fits = runner.fit_many(Groups.of_one(block, 1.0), recipe)
        course = None if fits is None else fits.course
        return None if course is None else model_of(course, self.family)

    def _control(self, max_steps: int, previous: float = float("-inf")) -> Control:
        ridge, belief = self._terms
        return Control(ridge, self.stopping.tolerance, max_steps, previous, belief)

    @cached_property
    def _terms(self) -> tuple[Array | None, Belief | None]:
        """The ridge and the prior of the objective; None if the core does not support them or the rule."""
        if type(self.stopping) is not Stopping:
            return None, None
        return self.objective.as_belief(self.n_components) or (self.objective.as_ridge(), None)

    @cached_property
    def _task(self) -> tuple[Engine[Any], Algebra, tuple[Block, Any]] | None:
        """The engine, the algebra of the family, and all rows with the engine's facts about them.

        None for a family without an algebra, if there are many rows, or if rows have known labels.
        """
        engine, algebra, block = self.engine, self.family.algebra, self.source.whole
        if algebra is None or self._terms[0] is None:
            return None
        if block is None or block.n_rows > LEAF_ROWS or block.log_prior is not None:
            return None
        return engine, algebra, (block, look(self.source, self.engine, self.family.need(None)))


def model_of(course: Course, family: Family, noise: Background | None = None) -> Model:
    """The model at the end of a course, beside noise if it began so."""
    shape = course.means.shape
    found = family.covariances(course.covariances.reshape(family.shape(*shape)), *shape)
    if course.whitening is not None:
        vars(found)["whitening"] = course.whitening  # so that these covariances are not factored again
    if noise is None:
        return Model(course.weights, course.means, found, family)
    return Model(course.weights[:-1], course.means, found, family, noise.weighing(float(course.weights[-1])))


def cost_of_step(model: Model) -> float:
    """The multiply-adds of a step of EM for each row, as measured."""
    (K, d), is_shared = model.means.shape, model.covariances.is_shared
    of_matrix = (0.3 if is_shared else 0.75) * d * (d + 1)
    return float(K * (20 + (of_matrix if model.covariances.second is Second.FULL else 2 * d)))
