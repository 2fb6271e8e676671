"""Implement `labels` and `label_components`, which state the known components of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gaussmix._src.em.objective.trace import EMState
from gaussmix._src.families.base import Family
from gaussmix._src.fit.fitted import FitResult
from gaussmix._src.fit.options.base import FitOption
from gaussmix._src.fit.plan import Plan
from gaussmix._src.fit.problem import Problem
from gaussmix._src.validation.labels import check_labels


class KnownLabels(FitOption):
    """Fit option for rows whose components are known."""

    def check_parameters(self) -> Sequence[str]:
        self._labels, self._groups = self.arguments.get("labels"), getattr(self.estimator, "label_components", None)
        arguments = {"labels": self._labels, "label_components": self._groups}
        return [name for name, value in arguments.items() if value is not None]

    def adapt_problem(self, problem: Problem, candidates: Sequence[tuple[Family, int]]) -> Problem:
        data, counts = problem.data, {count for _, count in candidates}
        labels = check_labels(
            self._labels, self._groups, data.raw_source.n_rows, counts, has_noise=data.noise is not None
        )
        return replace(problem, data=replace(data, labels=labels))

    def adapt_plan(self, plan: Plan, problem: Problem) -> Plan:
        labels = problem.data.labels
        if labels is None:
            return plan
        return replace(plan, may_search=plan.may_search and not labels.is_complete, can_run_in_core=False)

    def adapt_result(self, fitted: FitResult, problem: Problem, run: EMState) -> FitResult:
        return fitted if problem.data.labels is None else fitted.without_likelihood()
