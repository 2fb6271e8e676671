"""When EM ends."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gaussmix.errors import Outcome


@dataclass(frozen=True)
class Stopping:
    """End when a step changes the objective by less than a tolerance, or after so many steps.

    Parameters
    ----------
    tolerance : nats per unit of row weight, as scikit-learn's `tol`.
    max_steps : limit on the number of steps.
    """

    tolerance: float = 1e-3
    max_steps: int = 100

    def outcome(self, n_steps: int, previous: float, current: float) -> Outcome | None:
        """Say whether to end after `n_steps`, from the last two values of the objective; None to go on."""
        if not math.isfinite(current):
            return Outcome.NON_FINITE
        if abs(current - previous) < self.tolerance:
            return Outcome.CONVERGED
        return Outcome.STEP_LIMIT if n_steps >= self.max_steps else None
