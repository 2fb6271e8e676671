"""`trim`: rows that are left out because they fit worst."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from gaussmix.door.parameters import check_trim
from gaussmix.em.objective.trace import State
from gaussmix.em.trimming.trimming import Trim, cutoff_of
from gaussmix.families.base import Family
from gaussmix.fit.features.base import FitFeature
from gaussmix.fit.fitted import Fitted
from gaussmix.fit.plan import Plan
from gaussmix.fit.problem import Problem


class Trimming(FitFeature):
    """Trimmed rows."""

    def __init__(self, estimator: Any, arguments: Mapping[str, Any]) -> None:
        self._share = check_trim(estimator.trim)
        self.uses = ("trim",) if self._share else ()

    def problem(self, problem: Problem, candidates: Sequence[tuple[Family, int]]) -> Problem:
        return replace(problem, data=replace(problem.data, trim=Trim(self._share)))

    def plan(self, plan: Plan, problem: Problem) -> Plan:
        return replace(plan, may_search=False, in_one_call=False)

    def fitted(self, fitted: Fitted, problem: Problem, run: State) -> Fitted:
        cutoff = cutoff_of(problem.source, problem.engine, run.model)
        return replace(fitted.without_likelihood(), cutoff=cutoff)
