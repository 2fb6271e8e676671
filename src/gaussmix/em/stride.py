"""Several steps at a time, where an engine makes them by itself."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from gaussmix.em.maximise import LOST_SHARE, MAX_LOSS, NOISE
from gaussmix.em.stopping import Stopping
from gaussmix.engines.base import Engine
from gaussmix.engines.runner import Control, Runner
from gaussmix.families.base import Family
from gaussmix.model import Model
from gaussmix.numerics.arrays import Array
from gaussmix.sources.base import Source
from gaussmix.waist.block import BLOCK_ROWS, Block


class Strides:
    """Goes on from a mixture as far as the engine does by itself.

    Parameters
    ----------
    source, engine, ridge, stopping : as of `run_em`.
    family, n_components : of the mixtures.
    """

    def __init__(
        self, source: Source, engine: Engine[Any], family: Family, n_components: int, ridge: Array, stopping: Stopping
    ) -> None:
        self._source, self._engine, self._family, self._n_components = source, engine, family, n_components
        self._ridge, self._stopping = ridge, stopping

    def __call__(self, mixture: Model, n_steps: int, previous: float) -> tuple[Model, list[float]]:
        """Steps after the first `n_steps`, of which the last found a mean log-likelihood of `previous`.

        Returns
        -------
        mixture : after the last step.
        log_likelihood : mean before each step; none where the next one is for Python.
        """
        engine, algebra, stopping = self._engine, self._family.algebra, self._stopping
        is_plain = type(stopping) is Stopping  # another rule says itself when to end
        if algebra is None or not is_plain or self._opened is None or not isinstance(engine, Runner):
            return mixture, []
        left = stopping.max_steps - n_steps
        control = Control(self._ridge, stopping.tolerance, left, previous, LOST_SHARE, NOISE, MAX_LOSS)
        start = mixture.weights, mixture.means, mixture.covariances.array
        course = engine.run_em(*self._opened, start, algebra, control)
        if course is None or not course.log_likelihood:
            return mixture, []
        found = self._family.covariances(course.covariances, *course.means.shape)
        if course.whitening is not None:
            found = found.factored(course.whitening)  # so that nobody factors these covariances again
        return Model(course.weights, course.means, found, self._family), course.log_likelihood

    @cached_property
    def _opened(self) -> tuple[Block, Any] | None:
        """All rows and the engine's state; None where the source has them in several blocks, or they are many."""
        block = self._source.whole
        if block is None or block.n_rows > BLOCK_ROWS:
            return None
        return block, self._engine.open(block, self._family.need(None), self._n_components)
