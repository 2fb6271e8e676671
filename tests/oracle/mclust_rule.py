"""Functions that run EM of gaussmix as mclust does, which `bench/parity.py` uses, too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from common import ArraySource, EMState, InitialMoments, Objective, StopReason, StopRule, final_state, run_em

from gaussmix._src.em.step.accumulate import StepTask
from gaussmix._src.sources.base import Task
from gaussmix.extend import Partition


@dataclass(frozen=True)
class MclustStopping(StopRule):
    """Stopping rule |ΔL| / (1 + |L|) < tolerance, where L is the total log-likelihood in nats."""

    max_steps: int = 10_000
    total: float = 1.0

    def reason_after_step(self, n_steps: int, previous_objective: float, current_objective: float) -> StopReason | None:
        change, size = abs(current_objective - previous_objective) * self.total, abs(current_objective) * self.total
        if change < self.tolerance * (1 + size):
            return StopReason.CONVERGED
        return StopReason.STEP_LIMIT if n_steps >= self.max_steps else None


class RecordingSource(ArraySource):
    """Source that stores the parameters of the last pass, to which the final log-likelihood belongs."""

    def map_merge(self, task: Task[Any]) -> Any:
        if isinstance(task, StepTask) and task.parameters is not None:
            self.parameters = task.parameters
        return super().map_merge(task)


def run_from_labels(
    source: ArraySource,
    engine: Any,
    n_components: int,
    family: Any,
    stopping: StopRule,
    objective: Any = None,
    **options: Any,
) -> EMState:
    """Run EM from the labels of a source; without a ridge if `objective` is None."""
    objective = Objective(np.zeros(source.whole.rows.shape[1])) if objective is None else objective
    start = InitialMoments(source, engine, n_components, Partition()).model(family, objective, **options)
    return final_state(run_em(source, engine, start, objective, stopping))
