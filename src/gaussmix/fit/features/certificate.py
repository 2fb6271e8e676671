"""`certify` and ``tol="auto"``: whether the end of a fit is a maximum."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from gaussmix.door.parameters import check_certify, check_tol
from gaussmix.em.curvature.coordinates import refusal
from gaussmix.em.step.best_of import Run
from gaussmix.fit.features.base import FitFeature
from gaussmix.fit.fit import check_certifiable
from gaussmix.fit.plan import Plan
from gaussmix.fit.problem import Problem


class Certificate(FitFeature):
    """A fit that goes on to a maximum, or that finds out in any case, or in none, whether it is at one."""

    def used(self) -> Sequence[str]:
        self._is_asked = check_certify(getattr(self.estimator, "certify", "auto"))
        self._seeks_maximum = check_tol(self.estimator.tol) is None
        asked = [] if self._is_asked is None else [f"certify={self._is_asked}"]
        return ["tol='auto'", *asked] if self._seeks_maximum else asked

    def plan(self, plan: Plan, problem: Problem) -> Plan:
        stopping = plan.stopping.at_maximum(plan.stopping.max_steps) if self._seeks_maximum else plan.stopping
        return replace(plan, stopping=stopping, certify=self._seeks_maximum or self._is_asked)

    def runs(self, runs: Iterable[Run], problem: Problem, plan: Plan) -> Iterable[Run]:
        if self._seeks_maximum:
            check_certifiable(refusal(problem.family, problem.n_components, problem.source.n_features))
        return runs
