"""Implement `partial_fit` (the first fit to a stream) and `forgetting` (how fast earlier rows lose weight)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gaussmix._src.checks import check_nonnegative
from gaussmix._src.em.step.online import STEP_ROWS
from gaussmix._src.fit.options.base import FitOption
from gaussmix._src.fit.plan import Plan
from gaussmix._src.fit.problem import Problem
from gaussmix._src.forgetting import ForgettingRate
from gaussmix._src.validation.parameters import seed_restorer


class StreamFit(FitOption):
    """Fit option for the first fit to a stream, with a seed that was drawn when the stream began."""

    def check_parameters(self) -> Sequence[str]:
        check_forgetting(self.estimator.forgetting)
        self._restore_seed = seed_restorer(self.estimator.random_state)
        return ("partial_fit",) if "partial_fit" in self.arguments else ()

    def adapt_plan(self, plan: Plan, problem: Problem) -> Plan:
        self._restore_seed()
        return replace(plan, rng=np.random.default_rng(self.estimator._stream.seed))


def check_forgetting(forgetting: Any) -> ForgettingRate:
    """Check the parameter `forgetting`, and return its value as a `ForgettingRate`."""
    if isinstance(forgetting, ForgettingRate):
        return forgetting
    if forgetting is None:
        return ForgettingRate()
    half_life = check_nonnegative("forgetting", forgetting, " (rows), None or a ForgettingRate")
    if half_life < STEP_ROWS:
        raise ValueError(
            f"forgetting={forgetting!r} must be None, a ForgettingRate, or a number of rows of at least {STEP_ROWS}."
        )
    return ForgettingRate(half_life=half_life)
