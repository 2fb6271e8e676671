"""What the rows of a fit mean: `X_error`, measurement errors of X, and `weight_meaning`, what `sample_weight` says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gaussmix._src.fit.features.base import FitFeature
from gaussmix._src.fit.plan import Plan
from gaussmix._src.fit.problem import Problem
from gaussmix._src.sources.base import Source
from gaussmix._src.validation.incomplete import with_errors
from gaussmix._src.validation.rows import as_meant, check_columns, check_meaning


class MeasurementErrors(FitFeature):
    """Rows with measurement errors."""

    def used(self) -> Sequence[str]:
        return ("X_error",)

    def rows(self, source: Source) -> Source:
        names = self.estimator._names
        source = with_errors(self.arguments["X"], source, self.arguments["X_error"], names)
        if source.may_miss:  # an infinite error makes a cell missing
            check_columns(source, names)
        return source

    def plan(self, plan: Plan, problem: Problem) -> Plan:
        return replace(plan, may_search=False) if problem.source.has_errors else plan


class WeightMeaning(FitFeature):
    """Weights that are precisions."""

    def used(self) -> Sequence[str]:
        is_precision = check_meaning(self.estimator.weight_meaning) == "precision"
        return ("weight_meaning='precision'",) if is_precision else ()

    def rows(self, source: Source) -> Source:
        return as_meant(source, self.estimator.weight_meaning)
