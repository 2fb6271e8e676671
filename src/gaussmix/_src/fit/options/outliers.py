"""Implement `noise`, a uniform noise component, and `trim`, which leaves out outliers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gaussmix._src.em.objective.trace import EMState
from gaussmix._src.em.trimming.trimming import RowTrimming, trimming_cutoff
from gaussmix._src.families.base import Family
from gaussmix._src.fit.fitted import FitResult
from gaussmix._src.fit.options.base import FitOption
from gaussmix._src.fit.problem import Problem
from gaussmix._src.validation.parameters import check_column_names, check_trim
from gaussmix._src.validation.restrictions import check_noise, noise_of


class UniformNoise(FitOption):
    """Fit option that adds a uniform noise component."""

    can_run_in_core = False

    def check_parameters(self) -> Sequence[str]:
        self._noise = noise_of(self.estimator.noise)
        return () if self._noise is None else ("noise",)

    def adapt_problem(self, problem: Problem, candidates: Sequence[tuple[Family, int]]) -> Problem:
        if self._noise is not None:
            check_column_names("the noise's volume", self._noise.volume, self.estimator._names)
        noise = check_noise(self._noise, problem.data.raw_source)
        return replace(problem, data=replace(problem.data, noise=noise))


class Trimming(FitOption):
    """Fit option that leaves out the rows with the lowest density."""

    can_run_in_core = False

    def check_parameters(self) -> Sequence[str]:
        self._fraction = check_trim(self.estimator.trim)
        return ("trim",) if self._fraction else ()

    def adapt_problem(self, problem: Problem, candidates: Sequence[tuple[Family, int]]) -> Problem:
        return replace(problem, data=replace(problem.data, trimming=RowTrimming(self._fraction)))

    def adapt_result(self, fitted: FitResult, problem: Problem, run: EMState) -> FitResult:
        cutoff = trimming_cutoff(problem.source, problem.engine, run.model)
        return replace(fitted.without_likelihood(), cutoff=cutoff)
