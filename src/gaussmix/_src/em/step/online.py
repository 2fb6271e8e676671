"""Online EM, which performs an M-step after every few thousand rows of a stream, and gradually forgets earlier rows."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, expm1
from typing import Any

from gaussmix._src.em.objective.objective import Objective
from gaussmix._src.em.objective.trace import FreezeReason
from gaussmix._src.em.step.accumulate import StepTask
from gaussmix._src.em.step.maximise import next_model
from gaussmix._src.engines.base import Engine
from gaussmix._src.interfaces.moments import Moments
from gaussmix._src.model import Model
from gaussmix._src.sources.base import Source

# A step of online EM reads 35 tiles (groups of 144 rows that the C++ core processes together). A block of 65,520 rows,
# which is called a leaf, is read in 13 steps.
STEP_ROWS = 5_040


def moments_per_weight(source: Source, engine: Engine[Any], model: Model) -> Moments:
    """Compute the moments of all rows about the model's means, divided by the total row weight."""
    spec = model.family.moment_spec(model.covariances)
    task = StepTask(engine, model.n_components, model.parameters, spec, anchor=model.means)
    moments = task.sum_moments(source)
    return moments.scaled(1 / moments.row_weight)


def online_step(
    source: Source, engine: Engine[Any], model: Model, sums: Moments, objective: Objective, log_decay_factor: float
) -> tuple[Moments, Model, Mapping[int, FreezeReason]]:
    """Update `sums` with new rows, and perform an M-step. All sums are per unit of row weight.

    The new sums are (1 − γ) S + γ s, with earlier sums S and sums s of the new rows; `log_decay_factor` is log(1 − γ),
    from `ForgettingRate.log_decay_factor`. See Cappé & Moulines (2009), JRSS B 71, eq. 9 and 10. The covariance
    structure must need the same moments in every step, whatever the current covariances. A component that degenerates
    keeps its mean and covariance in this step, but is not frozen, because later rows may belong to it.
    """
    new = moments_per_weight(source, engine, model)
    sums = new.scaled(-expm1(log_decay_factor)) + sums.scaled(exp(log_decay_factor))
    following, frozen = next_model(sums, model, objective, {})
    return sums, following, frozen
