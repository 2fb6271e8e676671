"""`labels`: what is known about the components of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gaussmix._src.em.objective.trace import State
from gaussmix._src.families.base import Family
from gaussmix._src.fit.features.base import FitFeature
from gaussmix._src.fit.fitted import Fitted
from gaussmix._src.fit.plan import Plan
from gaussmix._src.fit.problem import Problem
from gaussmix._src.validation.labels import check_labels


class Labels(FitFeature):
    """Known components of rows."""

    def used(self) -> Sequence[str]:
        self._labels, self._groups = self.arguments.get("labels"), getattr(self.estimator, "label_components", None)
        if self._labels is None:
            check_labels(None, self._groups, 0, 1)  # which says that there are no labels
        return ("labels",)

    def problem(self, problem: Problem, candidates: Sequence[tuple[Family, int]]) -> Problem:
        data, counts = problem.data, {count for _, count in candidates}
        labels = check_labels(self._labels, self._groups, data.original.n_rows, max(counts))
        assert labels is not None, "there are labels"
        for n_components in counts:
            labels.check_size(n_components, data.noise is not None)
        return problem if labels.is_empty else replace(problem, data=replace(data, labels=labels))

    def plan(self, plan: Plan, problem: Problem) -> Plan:
        labels = problem.data.labels
        if labels is None:
            return plan
        return replace(plan, may_search=plan.may_search and not labels.is_complete, in_one_call=False)

    def fitted(self, fitted: Fitted, problem: Problem, run: State) -> Fitted:
        return fitted if problem.data.labels is None else fitted.without_likelihood()
