"""`outcome_`: why a fit ended, and how far that was from the end of all steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gaussmix.em.best_of import ROUNDING
from gaussmix.em.stopping import Aitken, Stopping, outlook
from gaussmix.em.trace import State, Trace
from gaussmix.errors import Outcome

_NO_STEP = "max_iter=0 allows no step; raise max_iter."
_SETTLED = "All further steps together would raise the mean log-likelihood by less than tol, by Aitken's estimate."


@dataclass(frozen=True)
class Ending:
    """How a fit ended.

    Parameters
    ----------
    reason : a sentence.
    remaining_gain : estimate of what all further steps would add to `lower_bound_`, nats per row, by Aitken's
        extrapolation; infinite where gains did not fall, NaN after fewer than three steps.
    rate : of convergence, the part of its gain that each step leaves for the next; 1 or more, also infinite, where
        gains did not fall, NaN where that is not known.
    n_starts : starts that were run.
    n_agreed : those that may lead to the same maximum, the best one among them: the last values of such a start and
        of the best differ by at most `tol` and the larger of their remaining gains, and no component collapsed.
        Where it is 1 of many, more starts may find a better fit.
    """

    reason: str
    remaining_gain: float
    rate: float
    n_starts: int
    n_agreed: int

    @classmethod
    def of(cls, run: State, ends: Sequence[Trace], stopping: Stopping, left_out: Outcome | None) -> Ending:
        """How the fit ended whose best run, and the ends of all runs, these are, and why it has no more runs."""
        assert run.outcome is not None, "the run has ended"
        is_settled = run.outcome is Outcome.CONVERGED and isinstance(stopping, Aitken)
        reason = _SETTLED if is_settled else run.outcome.value
        if run.outcome is Outcome.STEP_LIMIT and not run.trace.n_steps:
            reason = _NO_STEP
        if left_out is not None:
            reason += f" {LEFT_OUT[left_out]}"
        remaining, rate = outlook(run.trace.objective)
        n_agreed = 1
        if len(ends) > 1:
            least = max(stopping.tolerance, ROUNDING * max(1.0, abs(run.trace.last)))
            n_agreed = max(1, sum(_agree(run.trace, end, least) for end in ends if not end.collapsed))
        return cls(reason, remaining, rate, max(1, len(ends)), n_agreed)

    def table(self) -> dict[str, list[Any]]:
        """As a model file holds it."""
        return {name: [value] for name, value in asdict(self).items()}

    @classmethod
    def of_table(cls, table: Any) -> Ending:
        """From a model file; raises TypeError or ValueError where the table is another."""
        if not isinstance(table, dict):
            raise TypeError
        found = cls(**{name: value for name, (value,) in table.items()})
        kinds = {"reason": str, "remaining_gain": float, "rate": float, "n_starts": int, "n_agreed": int}
        if any(type(getattr(found, name)) is not kind for name, kind in kinds.items()):
            raise TypeError
        return found


def _agree(one: Trace, other: Trace, least: float) -> bool:
    """Whether two runs may lead to one maximum, as far as their gains tell."""
    left = [outlook(trace.objective).remaining for trace in (one, other)]
    return abs(one.last - other.last) <= least + max((gain for gain in left if math.isfinite(gain)), default=0.0)


# By why a fit has made no more starts.
LEFT_OUT = {
    Outcome.STOPPED: "A callback ended the fit before the other starts were done.",
    Outcome.TIME_LIMIT: "max_time seconds were over before the other starts were made; raise max_time or lower n_init.",
}
