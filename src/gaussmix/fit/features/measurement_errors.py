"""`X_error`: rows with measurement errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gaussmix.door.incomplete import with_errors
from gaussmix.door.rows import check_columns
from gaussmix.fit.features.base import FitFeature
from gaussmix.fit.plan import Plan
from gaussmix.fit.problem import Problem
from gaussmix.sources.base import Source


class MeasurementErrors(FitFeature):
    """Rows with measurement errors."""

    uses = ("X_error",)

    def __init__(self, estimator: Any, arguments: Mapping[str, Any]) -> None:
        self._estimator, self._X, self._error = estimator, arguments["X"], arguments["X_error"]

    def rows(self, source: Source) -> Source:
        names = self._estimator._names
        source = with_errors(self._X, source, self._error, names)
        if source.may_miss:  # an infinite error makes a cell missing
            check_columns(source, names)
        return source

    def plan(self, plan: Plan, problem: Problem) -> Plan:
        return replace(plan, may_search=False) if problem.source.has_errors else plan
