"""Rows that belong to no component: `noise`, a uniform background, and `trim`, rows that are left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gaussmix._src.em.objective.trace import State
from gaussmix._src.em.trimming.trimming import Trim, trimming_cutoff
from gaussmix._src.families.base import Family
from gaussmix._src.fit.features.base import FitFeature
from gaussmix._src.fit.fitted import Fitted
from gaussmix._src.fit.plan import Plan
from gaussmix._src.fit.problem import Problem
from gaussmix._src.validation.parameters import check_trim
from gaussmix._src.validation.restrictions import check_background, noise_of


class NoiseBackground(FitFeature):
    """A background of noise."""

    def used(self) -> Sequence[str]:
        self._noise = noise_of(self.estimator.noise)
        return () if self._noise is None else ("noise",)

    def problem(self, problem: Problem, candidates: Sequence[tuple[Family, int]]) -> Problem:
        noise = check_background(self._noise, problem.data.original)
        return replace(problem, data=replace(problem.data, noise=noise))

    def plan(self, plan: Plan, problem: Problem) -> Plan:
        return replace(plan, in_one_call=False)


class Trimming(FitFeature):
    """Trimmed rows, which fit worst."""

    def used(self) -> Sequence[str]:
        self._fraction = check_trim(self.estimator.trim)
        return ("trim",) if self._fraction else ()

    def problem(self, problem: Problem, candidates: Sequence[tuple[Family, int]]) -> Problem:
        return replace(problem, data=replace(problem.data, trim=Trim(self._fraction)))

    def plan(self, plan: Plan, problem: Problem) -> Plan:
        return replace(plan, in_one_call=False)

    def fitted(self, fitted: Fitted, problem: Problem, run: State) -> Fitted:
        cutoff = trimming_cutoff(problem.source, problem.engine, run.model)
        return replace(fitted.without_likelihood(), cutoff=cutoff)
