"""`acceleration`: steps of EM that go further where the likelihood allows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gaussmix.door.parameters import check_acceleration
from gaussmix.fit.features.base import FitFeature
from gaussmix.fit.plan import Plan
from gaussmix.fit.problem import Problem


class Acceleration(FitFeature):
    """Accelerated EM."""

    def used(self) -> Sequence[str]:
        check_acceleration(self.estimator.acceleration)
        return () if self.estimator.acceleration is None else ("acceleration",)

    def plan(self, plan: Plan, problem: Problem) -> Plan:
        return replace(plan, is_accelerated=True, in_one_call=False)
