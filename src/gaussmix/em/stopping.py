"""When EM ends, and what it would still gain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from time import monotonic
from typing import NamedTuple, Self

from gaussmix.errors import Outcome

EVERY = 5  # steps between two checks of `Aitken`; an engine may make the steps between by itself
ROUNDING = 1e-14  # relative to the objective: smaller gains are rounding


@dataclass(frozen=True)
class Stopping:
    """End when a step changes the objective by less than a tolerance, after `max_steps`, or at a deadline.

    Parameters
    ----------
    tolerance : nats per unit of row weight, as scikit-learn's `tol`.
    max_steps : limit on the number of steps.
    deadline : time of `time.monotonic`, seconds, checked after each step, and before each move of a search.
    is_watched : whether a callback sees each step, so that an engine may not make several by itself.
    """

    tolerance: float = 1e-3
    max_steps: int = 100
    deadline: float = math.inf
    is_watched: bool = False

    def until(self, deadline: float) -> Self:
        """The same rule with a deadline; infinity for none."""
        return replace(self, deadline=deadline, is_watched=True) if deadline < math.inf else self

    @property
    def least_gain(self) -> float:
        """A step that gains less ends the run."""
        return self.tolerance

    def most(self, n_steps: int) -> int | None:
        """How many steps an engine may make by itself after `n_steps`; None for any number."""
        return 1 if self.is_watched else None

    def after(self, objective: Sequence[float], previous: float) -> Outcome | None:
        """Decide whether to end, from all values of the objective and the value before them; None to continue."""
        before = objective[-2] if len(objective) > 1 else previous
        return self.outcome(len(objective), before, objective[-1])

    def outcome(self, n_steps: int, previous: float, current: float) -> Outcome | None:
        """Decide whether to end after `n_steps`, from the last two values of the objective; None to continue."""
        if not math.isfinite(current):
            return Outcome.NON_FINITE
        if abs(current - previous) < self.least_gain:
            return Outcome.CONVERGED
        if n_steps >= self.max_steps:
            return Outcome.STEP_LIMIT
        return Outcome.TIME_LIMIT if self.is_over() else None

    def is_over(self) -> bool:
        """Whether the deadline has passed."""
        return self.deadline < math.inf and monotonic() > self.deadline


@dataclass(frozen=True)
class Aitken(Stopping):
    """End when all further steps together would gain less than the tolerance, by Aitken's extrapolation.

    Böhning, Dietz, Schaub, Schlattmann & Lindsay (1994), Annals of the Institute of Statistical Mathematics 46;
    McNicholas, Murphy, McDaid & Frost (2010), Computational Statistics & Data Analysis 54.
    """

    @property
    def least_gain(self) -> float:
        return 0.0

    def most(self, n_steps: int) -> int | None:
        return 1 if self.is_watched else EVERY - n_steps % EVERY

    def after(self, objective: Sequence[float], previous: float) -> Outcome | None:
        outcome = super().after(objective, previous)
        is_last = outcome in (Outcome.STEP_LIMIT, Outcome.TIME_LIMIT)
        is_due = is_last or (outcome is None and len(objective) % EVERY == 0)
        return Outcome.CONVERGED if is_due and outlook(objective).remaining < self.tolerance else outcome


class Outlook(NamedTuple):
    """A prediction of the rest of a run.

    Parameters
    ----------
    remaining : further gain of the objective, nats per unit of row weight; infinite if gains do not fall, NaN after
        fewer than three steps.
    rate : ratio of two consecutive gains, near 1 for slow runs; at least 1, or infinite, if gains do not fall; NaN for
        too few steps, or gains within rounding.
    """

    remaining: float
    rate: float


def outlook(objective: Sequence[float]) -> Outlook:
    """Extrapolate the objective before each step of a run: gains that fall by a constant rate a sum to g a / (1 − a).

    The larger of the last two rates counts: the first steps of EM gain much and say little about the rest.
    """
    if len(objective) < 3:
        return Outlook(math.nan, math.nan)
    gains = [after - before for before, after in pairwise(objective[-4:])]
    rounding = ROUNDING * max(1.0, abs(objective[-1]))
    if gains[-1] <= rounding:
        return Outlook(0.0, math.nan)
    rate = max(after / before if before > rounding else math.inf for before, after in pairwise(gains))
    return Outlook(gains[-1] * rate / (1 - rate) if rate < 1 else math.inf, rate)


RULES = "gain", "aitken"
