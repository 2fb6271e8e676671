"""`warm_start`: a fit that continues from the one before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from gaussmix.door.parameters import check_flag
from gaussmix.fit.features.base import FitFeature
from gaussmix.fit.plan import Plan
from gaussmix.fit.problem import Problem


class WarmStart(FitFeature):
    """A start from the mixture of the fit before, if it has the size and the structure of this one."""

    def __init__(self, estimator: Any, arguments: Mapping[str, Any]) -> None:
        self._estimator, seed = estimator, estimator.random_state
        self._generator = None
        if seed is None or isinstance(seed, np.random.RandomState):
            self._generator = check_random_state(seed)
            self._state = self._generator.get_state()
        self.uses = ("warm_start",) if check_flag("warm_start", estimator.warm_start) else ()

    def plan(self, plan: Plan, problem: Problem) -> Plan:
        start = self._estimator._onward(problem)
        if start is None:
            return plan
        if self._generator is not None:  # nothing is drawn from it
            self._generator.set_state(self._state)
        return replace(plan, starts=[start])
