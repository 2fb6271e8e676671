"""`warm_start`: a fit that continues from the one before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gaussmix.door.parameters import check_flag, seed_kept
from gaussmix.fit.features.base import FitFeature
from gaussmix.fit.plan import Plan
from gaussmix.fit.problem import Problem


class WarmStart(FitFeature):
    """A start from the mixture of the fit before, if it has the size and the structure of this one."""

    def __init__(self, estimator: Any, arguments: Mapping[str, Any]) -> None:
        self._estimator, self._put_back = estimator, seed_kept(estimator.random_state)
        self.uses = ("warm_start",) if check_flag("warm_start", estimator.warm_start) else ()

    def plan(self, plan: Plan, problem: Problem) -> Plan:
        start = self._estimator._onward(problem)
        if start is None:
            return plan
        self._put_back()
        return replace(plan, starts=[start])
