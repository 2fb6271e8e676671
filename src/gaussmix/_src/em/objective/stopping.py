"""When EM ends, and what its last gains say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from time import monotonic
from typing import NamedTuple, Self

from gaussmix._src.errors import Outcome

MIN_RELATIVE_GAIN = 1e-14  # relative to the objective: smaller gains are rounding
FIRST_TOLERANCE, MIN_TOLERANCE = 1e-5, 1e-10  # the first and the last tolerance of runs that end at a maximum
MAX_REMAINING_GAIN = 1e-4  # nats per unit of row weight that such a run may leave to gain


@dataclass(frozen=True)
class StopRule:
    """End when a step changes the objective by less than a tolerance, after `max_steps`, or at a deadline.

    Parameters
    ----------
    tolerance : nats per unit of row weight, as scikit-learn's `tol`.
    max_steps : limit on the number of steps.
    deadline : time of `time.monotonic`, seconds, checked after each step, and before each move of a search. Sources in
        other processes also give a step up then.
    is_watched : whether a callback sees each step, so that an engine may not make several by itself.
    max_remaining_gain : what a run may leave to gain by Newton's decrement, nats per unit of row weight; a run that has
        met the tolerance continues with the next lower power of ten until then. Infinity asks for no more than the
        tolerance.
    """

    tolerance: float = 1e-3
    max_steps: int = 100
    deadline: float = math.inf
    is_watched: bool = False
    max_remaining_gain: float = math.inf

    @classmethod
    def at_maximum(cls, max_steps: int) -> Self:
        """End at a maximum, or where gains are rounding."""
        return cls(FIRST_TOLERANCE, max_steps, max_remaining_gain=MAX_REMAINING_GAIN)

    @property
    def seeks_maximum(self) -> bool:
        """Whether a run goes on until little is left to gain."""
        return self.max_remaining_gain < math.inf

    def stricter_rule(self, objective: Sequence[float]) -> Self | None:
        """The rule with the tolerance that no step of a run has met yet, by the values of its objective.

        None if that would be below `MIN_TOLERANCE`. The values alone decide, so a run from a checkpoint goes on alike.
        """
        least, tolerance = min((abs(b - a) for a, b in pairwise(objective)), default=math.inf), self.tolerance
        while least < tolerance:
            tolerance /= 10
        return replace(self, tolerance=tolerance) if tolerance >= MIN_TOLERANCE else None

    def outcome_of_run(self, objective: Sequence[float], previous_objective: float) -> Outcome | None:
        """Decide whether to end, from all values of the objective and the value before them; None to continue."""
        before = objective[-2] if len(objective) > 1 else previous_objective
        return self.outcome_of_step(len(objective), before, objective[-1])

    def outcome_of_step(self, n_steps: int, previous_objective: float, current_objective: float) -> Outcome | None:
        """Decide whether to end after `n_steps`, from the last two values of the objective; None to continue."""
        if not math.isfinite(current_objective):
            return Outcome.NON_FINITE
        if abs(current_objective - previous_objective) < self.tolerance:
            return Outcome.CONVERGED
        if n_steps >= self.max_steps:
            return Outcome.STEP_LIMIT
        return Outcome.TIME_LIMIT if self.is_past_deadline() else None

    @property
    def seconds_left(self) -> float:
        """Seconds until the deadline; infinity without one."""
        return max(0.0, self.deadline - monotonic())

    def is_past_deadline(self) -> bool:
        """Whether the deadline has passed."""
        return self.deadline < math.inf and monotonic() > self.deadline


def extrapolate_objective(objective: Sequence[float]) -> float:
    """What a run has reached, from the objective before each step, if its last step gained as much as the one before.

    It rarely gained more. The core computes it too, for searches of few rows.
    """
    return objective[-1] if len(objective) < 2 else 2 * objective[-1] - objective[-2]


class ConvergenceForecast(NamedTuple):
    """A prediction of the rest of a run.

    Parameters
    ----------
    remaining_gain : further gain of the objective, nats per unit of row weight; infinite if gains do not fall, NaN
        after fewer than three steps.
    gain_ratio : ratio of two consecutive gains, near 1 for slow runs; at least 1, or infinite, if gains do not fall;
        NaN for too few steps, or gains within rounding.
    """

    remaining_gain: float
    gain_ratio: float


def forecast_convergence(objective: Sequence[float]) -> ConvergenceForecast:
    """Extrapolate the objective before each step of a run: gains that fall by a constant rate a sum to g a / (1 − a).

    It tells runs of one maximum from others. It is not an estimate for users, because EM creeps along ridges.

    The larger of the last two rates counts: the first steps of EM gain much and say little about the rest.
    """
    if len(objective) < 3:
        return ConvergenceForecast(math.nan, math.nan)
    gains = [after - before for before, after in pairwise(objective[-4:])]
    rounding = MIN_RELATIVE_GAIN * max(1.0, abs(objective[-1]))
    if gains[-1] <= rounding:
        return ConvergenceForecast(0.0, math.nan)
    rate = max(after / before if before > rounding else math.inf for before, after in pairwise(gains))
    return ConvergenceForecast(gains[-1] * rate / (1 - rate) if rate < 1 else math.inf, rate)
