"""`trim`: rows that are left out because they fit worst."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gaussmix.door.parameters import check_trim
from gaussmix.em.initialisation import STARTS, Partition
from gaussmix.em.initialisation.sample import Distinct
from gaussmix.em.objective.trace import State
from gaussmix.em.trimming.trimming import Trimmed, cutoff_of, nearest_trimmed, trimmed_partition
from gaussmix.engines.base import Engine
from gaussmix.families.base import Family
from gaussmix.fit.features.base import FitFeature
from gaussmix.fit.fitted import Fitted
from gaussmix.fit.plan import Plan
from gaussmix.fit.problem import Problem
from gaussmix.numerics.arrays import Array
from gaussmix.sources.base import Source


@dataclass(frozen=True)
class Trim:
    """How a fit leaves out a share of the row weight."""

    share: float

    def source(self, source: Source) -> Source:
        """The rows of a source; each pass with parameters leaves out the least likely."""
        return Trimmed(source, self.share)

    def nearest(self, means: Array, sample: Distinct) -> Partition:
        """How given means share the rows."""
        return nearest_trimmed(means, sample)

    def partition(
        self,
        name: str,
        sample: Distinct,
        engine: Engine[Any],
        n_components: int,
        ridge: Array,
        rng: Any,
    ) -> Partition:
        """How a named start shares the rows."""
        return trimmed_partition(STARTS[name], sample, engine, n_components, ridge, self.share, rng)


class Trimming(FitFeature):
    """Trimmed rows."""

    def __init__(self, estimator: Any, arguments: Mapping[str, Any]) -> None:
        self._share = check_trim(estimator.trim)
        self.uses = ("trim",) if self._share else ()

    def problem(self, problem: Problem, candidates: Sequence[tuple[Family, int]]) -> Problem:
        return replace(problem, data=replace(problem.data, trim=Trim(self._share)))

    def plan(self, plan: Plan, problem: Problem) -> Plan:
        return replace(plan, may_search=False, in_one_call=False)

    def fitted(self, fitted: Fitted, problem: Problem, run: State) -> Fitted:
        cutoff = cutoff_of(problem.source, problem.engine, run.model)
        return replace(fitted.without_likelihood(), cutoff=cutoff)
