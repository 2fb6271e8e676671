"""Implement `X_error` (measurement errors of X) and `weight_type` (meaning of `sample_weight`)."""

from __future__ import annotations

from collections.abc import Sequence

from gaussmix._src.fit.options.base import FitOption
from gaussmix._src.sources.base import Source
from gaussmix._src.validation.incomplete import with_errors
from gaussmix._src.validation.rows import check_empty_columns, check_weight_type, scale_precisions


class MeasurementErrors(FitOption):
    """Fit option for rows with measurement errors."""

    def check_parameters(self) -> Sequence[str]:
        return ("X_error",)

    def adapt_source(self, source: Source) -> Source:
        names = self.estimator._names
        source = with_errors(self.arguments["X"], source, self.arguments["X_error"], names)
        if source.may_miss:  # an infinite measurement error makes a value missing
            check_empty_columns(source, names)
        return source


class WeightType(FitOption):
    """Fit option for row weights that are precisions."""

    def check_parameters(self) -> Sequence[str]:
        is_precision = check_weight_type(self.estimator.weight_type) == "precision"
        return ("weight_type='precision'",) if is_precision else ()

    def adapt_source(self, source: Source) -> Source:
        return scale_precisions(source, self.estimator.weight_type)
