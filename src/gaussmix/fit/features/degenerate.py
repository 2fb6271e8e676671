"""`degenerate`: what becomes of a component that collapses or loses its rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from gaussmix.door.parameters import check_remedy
from gaussmix.em.collapse.remedies import Remedy
from gaussmix.em.objective.trace import State
from gaussmix.em.step.best_of import Run
from gaussmix.errors import DegenerateError
from gaussmix.families.base import Family
from gaussmix.fit.after.diagnostics import named
from gaussmix.fit.features.base import FitFeature
from gaussmix.fit.plan import Plan
from gaussmix.fit.problem import Problem


class Degenerate(FitFeature):
    """Another remedy than to freeze the component."""

    def used(self) -> Sequence[str]:
        self._remedy = check_remedy(self.estimator.degenerate)
        return () if self._remedy is Remedy.FREEZE else (f"degenerate={self._remedy.value!r}",)

    def problem(self, problem: Problem, candidates: Sequence[tuple[Family, int]]) -> Problem:
        return replace(problem, remedy=self._remedy)

    def runs(self, runs: Iterable[Run], problem: Problem, plan: Plan) -> Iterable[Run]:
        return [partial(self._run, run, problem) for run in runs]

    def _run(self, run: Run, problem: Problem, begun: State | None) -> Iterator[State]:
        """The states of a run, whose error has the name of the feature."""
        try:
            yield from run(begun)
        except DegenerateError as error:
            raise named(error, problem.data.original, self.estimator._names) from None
