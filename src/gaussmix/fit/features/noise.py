"""`noise`: a uniform background beside the components."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from gaussmix.door.restrictions import check_background, noise_of
from gaussmix.families.base import Family
from gaussmix.fit.features.base import FitFeature
from gaussmix.fit.plan import Plan
from gaussmix.fit.problem import Problem


class NoiseBackground(FitFeature):
    """A background of noise."""

    def __init__(self, estimator: Any, arguments: Mapping[str, Any]) -> None:
        self._noise = noise_of(estimator.noise)
        self.uses = () if self._noise is None else ("noise",)

    def problem(self, problem: Problem, candidates: Sequence[tuple[Family, int]]) -> Problem:
        noise = check_background(self._noise, problem.data.original)
        return replace(problem, data=replace(problem.data, noise=noise))

    def plan(self, plan: Plan, problem: Problem) -> Plan:
        return replace(plan, in_one_call=False)
