"""Implement the options of EM runs `acceleration`, `degenerate`, `check_maximum` and ``tol="auto"``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from gaussmix._src.em.collapse.remedies import Remedy
from gaussmix._src.em.curvature.coordinates import unsupported_reason
from gaussmix._src.em.objective.trace import EMState
from gaussmix._src.em.step.best_of import EMRun
from gaussmix._src.errors import DegenerateError
from gaussmix._src.families.base import Family
from gaussmix._src.fit.after.diagnostics import add_feature_name
from gaussmix._src.fit.fit import check_certifiable
from gaussmix._src.fit.options.base import FitOption
from gaussmix._src.fit.plan import Plan
from gaussmix._src.fit.problem import Problem
from gaussmix._src.validation.parameters import check_acceleration, check_maximum_option, check_remedy, check_tol


class DegenerateRemedy(FitOption):
    """Fit option for components that collapse or become empty, if these components are not to be frozen."""

    def check_parameters(self) -> Sequence[str]:
        self._remedy = check_remedy(self.estimator.degenerate)
        return () if self._remedy is Remedy.FREEZE else (f"degenerate={self._remedy.value!r}",)

    def adapt_problem(self, problem: Problem, candidates: Sequence[tuple[Family, int]]) -> Problem:
        return replace(problem, remedy=self._remedy)

    def adapt_runs(self, runs: Iterable[EMRun], problem: Problem, plan: Plan) -> Iterable[EMRun]:
        return [partial(self._run, run, problem) for run in runs]

    def _run(self, run: EMRun, problem: Problem, initial: EMState | None) -> Iterator[EMState]:
        """Yield the states of a run; if the run raises DegenerateError, add the feature name to the error."""
        try:
            yield from run(initial)
        except DegenerateError as error:
            raise add_feature_name(error, problem.data.raw_source, self.estimator._names) from None


class AcceleratedRuns(FitOption):
    """Fit option for acceleration; truncated EM ignores it, because candidates found by rejected steps would remain."""

    def check_parameters(self) -> Sequence[str]:
        check_acceleration(self.estimator.acceleration)
        return () if self.estimator.acceleration is None else ("acceleration",)

    def adapt_plan(self, plan: Plan, problem: Problem) -> Plan:
        return replace(plan, is_accelerated=not problem.engine.is_truncated, can_run_in_core=False)


class CertifiedMaximum(FitOption):
    """Fit option for `check_maximum` and for ``tol="auto"``, which continues EM until the fit is at a maximum."""

    def check_parameters(self) -> Sequence[str]:
        self._is_requested = check_maximum_option(getattr(self.estimator, "check_maximum", "auto"))
        self._seeks_maximum = check_tol(self.estimator.tol) is None
        requested = [] if self._is_requested is None else [f"check_maximum={self._is_requested}"]
        return ["tol='auto'", *requested] if self._seeks_maximum else requested

    def adapt_plan(self, plan: Plan, problem: Problem) -> Plan:
        stopping = plan.stopping.at_maximum(plan.stopping.max_steps) if self._seeks_maximum else plan.stopping
        return replace(plan, stopping=stopping, check_maximum=self._seeks_maximum or self._is_requested)

    def adapt_runs(self, runs: Iterable[EMRun], problem: Problem, plan: Plan) -> Iterable[EMRun]:
        if self._seeks_maximum:
            check_certifiable(unsupported_reason(problem.family, problem.n_components, problem.source.n_features))
        return runs
