"""Conditions for stopping EM, and forecasts from the last gains of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from time import monotonic
from typing import NamedTuple, Self

from gaussmix._src.errors import Outcome

MIN_RELATIVE_GAIN = 1e-14  # smallest gain, relative to the objective, that is not rounding error
FIRST_TOLERANCE, MIN_TOLERANCE = 1e-5, 1e-10  # the first and the last tolerance of runs that end at a maximum
MAX_REMAINING_GAIN = 1e-4  # largest gain that all further steps of such a run may have, nats per unit of row weight


@dataclass(frozen=True)
class StopRule:
    """Conditions for stopping: a step that changes the objective by less than a tolerance, `max_steps`, or a deadline.

    Parameters
    ----------
    tolerance : convergence threshold, nats per unit of row weight, as scikit-learn's `tol`.
    max_steps : largest number of steps.
    deadline : time of `time.monotonic`, seconds, checked after each step and before each move of a search. Sources in
        other processes also interrupt a step at the deadline.
    is_watched : whether a callback receives each step, so that an engine may not make several steps on its own.
    max_remaining_gain : largest gain by Newton's decrement that a run may leave, nats per unit of row weight. A
        converged run with a larger one continues with the next lower power of ten as tolerance. With infinity, only the
        tolerance counts.
    """

    tolerance: float = 1e-3
    max_steps: int = 100
    deadline: float = math.inf
    is_watched: bool = False
    max_remaining_gain: float = math.inf

    @classmethod
    def at_maximum(cls, max_steps: int) -> Self:
        """Return a rule that ends runs at a maximum, or if gains are rounding errors."""
        return cls(FIRST_TOLERANCE, max_steps, max_remaining_gain=MAX_REMAINING_GAIN)

    @property
    def seeks_maximum(self) -> bool:
        """Return whether a run continues until little is left to gain."""
        return self.max_remaining_gain < math.inf

    def stricter_rule(self, objective: Sequence[float]) -> Self | None:
        """Return the rule with the largest tolerance, by powers of ten, that no step of a run has met yet.

        None if this tolerance is below `MIN_TOLERANCE`. Only values of the objective decide, so that a run from a
        checkpoint continues in the same way.
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
        """Return the seconds until the deadline; infinity without a deadline."""
        return max(0.0, self.deadline - monotonic())

    def is_past_deadline(self) -> bool:
        """Return whether the deadline has passed."""
        return self.deadline < math.inf and monotonic() > self.deadline


def extrapolate_objective(objective: Sequence[float]) -> float:
    """Extrapolate the objective by one step that gains as much as the last step, from the values before each step.

    A step rarely gains more than the step before. The core uses the same formula in searches on few rows.
    """
    return objective[-1] if len(objective) < 2 else 2 * objective[-1] - objective[-2]


class ConvergenceForecast(NamedTuple):
    """Forecast of the rest of a run.

    Parameters
    ----------
    remaining_gain : further gain of the objective, nats per unit of row weight; infinite if gains do not fall, NaN
        after fewer than three steps.
    gain_ratio : ratio of two consecutive gains, near 1 for slow runs. It is at least 1, or infinite, if gains do not
        fall, and NaN for too few steps or gains within rounding.
    """

    remaining_gain: float
    gain_ratio: float


def forecast_convergence(objective: Sequence[float]) -> ConvergenceForecast:
    """Extrapolate the objective before each step: gains that fall by a constant ratio a sum to g a / (1 − a).

    The forecast shows whether runs lead to the same maximum, but is too rough for users, because EM is slow along
    ridges. The larger of the last two ratios is used, because the first gains are large and do not predict later ones.
    """
    if len(objective) < 3:
        return ConvergenceForecast(math.nan, math.nan)
    gains = [after - before for before, after in pairwise(objective[-4:])]
    rounding = MIN_RELATIVE_GAIN * max(1.0, abs(objective[-1]))
    if gains[-1] <= rounding:
        return ConvergenceForecast(0.0, math.nan)
    rate = max(after / before if before > rounding else math.inf for before, after in pairwise(gains))
    return ConvergenceForecast(gains[-1] * rate / (1 - rate) if rate < 1 else math.inf, rate)
