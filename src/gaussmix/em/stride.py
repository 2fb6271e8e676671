"""Several steps at a time, where an engine makes them by itself."""

from __future__ import annotations

from typing import Any

from gaussmix.em.maximise import LOST_SHARE, MAX_LOSS, NOISE
from gaussmix.em.stopping import Stopping
from gaussmix.engines.base import Engine, Runner
from gaussmix.mixture.mixture import Mixture
from gaussmix.sources.base import Source
from gaussmix.waist.arrays import Array
from gaussmix.waist.block import BLOCK_ROWS
from gaussmix.waist.course import Control


def stride(
    source: Source,
    engine: Engine[Any],
    mixture: Mixture,
    ridge: Array,
    stopping: Stopping,
    n_steps: int,
    previous: float,
) -> tuple[Mixture, list[float]]:
    """Go on as far as the engine does by itself.

    Parameters
    ----------
    source, engine, mixture, ridge, stopping : as of `run_em`.
    n_steps : made before.
    previous : mean log-likelihood before the step before.

    Returns
    -------
    mixture : after the last step.
    log_likelihood : mean before each step; none where the next one is for Python.
    """
    algebra = mixture.family.algebra
    is_plain = type(stopping) is Stopping  # another rule says itself when to end
    if algebra is None or not is_plain or source.n_rows > BLOCK_ROWS or not isinstance(engine, Runner):
        return mixture, []
    left = stopping.max_steps - n_steps
    control = Control(ridge, stopping.tolerance, left, previous, LOST_SHARE, NOISE, MAX_LOSS)
    course = engine.run(source.sample(BLOCK_ROWS), mixture, algebra, control)
    if course is None or not course.log_likelihood:
        return mixture, []
    weights, means, covariances, log_likelihood = course
    return Mixture._trusted(weights, means, covariances, mixture.family), log_likelihood
