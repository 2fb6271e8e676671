"""Online EM: an M-step after every few rows of a stream, from sums in which earlier rows count less and less."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, expm1, log, log1p
from typing import Any

from gaussmix.em.accumulate import StepTask
from gaussmix.em.maximise import next_model
from gaussmix.em.objective import Objective
from gaussmix.em.trace import Frozen
from gaussmix.engines.base import Engine
from gaussmix.model import Model
from gaussmix.sources.base import Source
from gaussmix.waist.moments import Moments

STEP_ROWS = 5_040  # 35 of the core's tiles; 13 steps are a leaf


@dataclass(frozen=True)
class Rate:
    """How much of the sums a step keeps.

    Parameters
    ----------
    decay : a in γ = t^−a, t = 2, 3, … for steps of equal weight; above 0.5 and at most 1.
    half_life : rows after which a row counts half at most; None where only `decay` says.
    """

    decay: float
    half_life: float | None = None

    def log_kept(self, seen: float, share: float) -> float:
        """log of what a step keeps: 1 − γ, to the power of its share.

        Parameters
        ----------
        seen : t, row weight up to the end of the step, in units of that of a usual step; at least 1.
        share : row weight of the step, in the same units; 1 for a usual one.
        """
        kept = log1p(-(seen**-self.decay)) if seen > 1 else 0.0  # rows so light that they change no digit
        if self.half_life is not None:
            kept = min(kept, -log(2) * STEP_ROWS / self.half_life)
        return share * kept


def sums_per_weight(source: Source, engine: Engine[Any], model: Model) -> Moments:
    """Moments of some rows about the model's means, for a row weight of 1 in all."""
    need = model.family.need(model.covariances)
    task = StepTask(engine, model.n_components, model.parameters, need, anchor=model.means)
    moments = task.over(source)
    return moments.scaled(1 / moments.row_weight)


def online_step(
    source: Source, engine: Engine[Any], model: Model, sums: Moments, objective: Objective, log_kept: float
) -> tuple[Moments, Model, Mapping[int, Frozen]]:
    """Mix the sums of some rows into those of the rows before, and make the model of all.

    S ← (1 − γ) S + γ s, both for a row weight of 1; Cappé & Moulines (2009), JRSS B 71, eq. 9 and 10.

    Parameters
    ----------
    source : the rows of the step.
    engine, objective : as in `run_em`.
    model : before the step; its family's need must not depend on its covariances.
    sums : S, of the rows before, for a row weight of 1.
    log_kept : log(1 − γ), of `Rate.log_kept`.

    Returns
    -------
    sums : S after the step, for a row weight of 1.
    model : after the step.
    stuck : components that keep their mean and covariance in this step, and why. They are tried again in the next one,
        since new rows may find them.
    """
    new = sums_per_weight(source, engine, model)
    sums = new.scaled(-expm1(log_kept)) + sums.scaled(exp(log_kept))
    following, stuck = next_model(sums, model, engine, objective, {})
    return sums, following, stuck
