"""Conditions for stopping EM, and predictions of further gains from the last gains of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from time import monotonic
from typing import NamedTuple, Self

from gaussmix._src.errors import StopReason

MIN_RELATIVE_GAIN = 1e-14  # gains below this fraction of the objective are rounding errors
FIRST_TOLERANCE, MIN_TOLERANCE = 1e-5, 1e-10  # first and smallest tolerance of runs that seek a maximum
MAX_REMAINING_GAIN = 1e-4  # limit on the predicted further gain of a run that seeks a maximum, in nats per weight


@dataclass(frozen=True)
class StopRule:
    """Conditions for stopping EM: a small change of the objective, `max_steps` steps, or a deadline.

    Parameters
    ----------
    tolerance : threshold on the objective's change per step, in nats per unit of row weight, like scikit-learn's `tol`.
    max_steps : maximum number of steps.
    deadline : value of `time.monotonic()` in seconds at which the run stops. The time is checked after each step, move
        and initialisation of a trimmed fit. Sources in other processes also interrupt a step at the deadline.
    is_watched : whether a callback is called after each step, so that the C++ core must run single steps.
    seeks_maximum : whether a converged run continues with a tenth of the tolerance if Newton's decrement predicts a
        further gain of at least `MAX_REMAINING_GAIN`.
    previous_objective : last objective of an earlier fit, if the run continues this fit; otherwise −∞.
    """

    tolerance: float = 1e-3
    max_steps: int = 100
    deadline: float = math.inf
    is_watched: bool = False
    seeks_maximum: bool = False
    previous_objective: float = -math.inf

    @classmethod
    def at_maximum(cls, max_steps: int) -> Self:
        """Return a rule that ends a run only at a maximum, or when gains are rounding errors."""
        return cls(FIRST_TOLERANCE, max_steps, seeks_maximum=True)

    def stricter_rule(self, objective: Sequence[float]) -> Self | None:
        """Return the rule with its tolerance divided by 10 until it is at most the smallest change of the objective.

        The result is None if the divided tolerance is below `MIN_TOLERANCE`. The rule depends only on the values of the
        objective, so that a run that continues from a checkpoint gets the same rule.
        """
        least, tolerance = min((abs(b - a) for a, b in pairwise(objective)), default=math.inf), self.tolerance
        while least < tolerance:
            tolerance /= 10
        return replace(self, tolerance=tolerance) if tolerance >= MIN_TOLERANCE else None

    def reason_after_run(self, objective: Sequence[float]) -> StopReason | None:
        """Return why a run ends, given its objective before each step; None if the run continues."""
        before = objective[-2] if len(objective) > 1 else self.previous_objective
        return self.reason_after_step(len(objective), before, objective[-1])

    def reason_after_step(self, n_steps: int, previous_objective: float, current_objective: float) -> StopReason | None:
        """Return why a run ends after `n_steps` steps, given the last two objectives; None if the run continues."""
        if not math.isfinite(current_objective):
            return StopReason.NON_FINITE
        if abs(current_objective - previous_objective) < self.tolerance:
            return StopReason.CONVERGED
        if n_steps >= self.max_steps:
            return StopReason.STEP_LIMIT
        return StopReason.TIME_LIMIT if self.is_past_deadline() else None

    @property
    def seconds_left(self) -> float:
        """Return the seconds until the deadline, or infinity if there is no deadline."""
        return max(0.0, self.deadline - monotonic())

    def is_past_deadline(self) -> bool:
        """Return whether the deadline has passed."""
        return monotonic() > self.deadline


def extrapolate_objective(objective: Sequence[float]) -> float:
    """Return the last objective plus the last gain, as an estimate of the objective after the last step.

    `objective` contains the values before each step. A step rarely gains more than the previous step. The C++ core uses
    the same formula in split-and-merge searches on few rows.
    """
    return objective[-1] if len(objective) < 2 else 2 * objective[-1] - objective[-2]


class ConvergenceForecast(NamedTuple):
    """Prediction of the further gain of a run.

    Parameters
    ----------
    remaining_gain : predicted further gain of the objective, in nats per unit of row weight. The value is infinite if
        gains do not decrease, and NaN after fewer than three steps.
    gain_ratio : ratio of two consecutive gains, near 1 for slow runs. If gains do not decrease, the ratio is at least 1
        or infinite. After too few steps, or if gains are rounding errors, the ratio is NaN.
    """

    remaining_gain: float
    gain_ratio: float


def forecast_convergence(objective: Sequence[float]) -> ConvergenceForecast:
    """Predict the further gain g a / (1 − a), where g is the last gain, and a is the ratio of consecutive gains.

    `objective` contains the values before each step. The prediction shows whether runs lead to the same maximum, but it
    is too rough to report to users, because EM is slow along ridges of the likelihood. The larger of the last two
    ratios of gains is used, because the earlier, larger gains do not predict later gains.
    """
    if len(objective) < 3:
        return ConvergenceForecast(math.nan, math.nan)
    gains = [after - before for before, after in pairwise(objective[-4:])]
    rounding = MIN_RELATIVE_GAIN * max(1.0, abs(objective[-1]))
    if gains[-1] <= rounding:
        return ConvergenceForecast(0.0, math.nan)
    rate = max(after / before if before > rounding else math.inf for before, after in pairwise(gains))
    return ConvergenceForecast(gains[-1] * rate / (1 - rate) if rate < 1 else math.inf, rate)
