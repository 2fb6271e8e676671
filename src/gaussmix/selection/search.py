"""Fit every candidate to the same rows from the same starts."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

from gaussmix.em.initial import InitialMoments, split
from gaussmix.em.loop import run_em
from gaussmix.em.objective import Objective
from gaussmix.em.restarts import Run, begin_each, best_run
from gaussmix.em.split_and_merge import first_model
from gaussmix.em.stopping import Stopping
from gaussmix.em.trace import State, Trace, final
from gaussmix.engines.base import Engine
from gaussmix.errors import Failure, FailureKind, NonFiniteLikelihood, Outcome, SingularCovariance
from gaussmix.families.base import Family
from gaussmix.model import Model, free_parameters
from gaussmix.selection.candidate import Candidate, Result
from gaussmix.selection.criteria import Evidence, evidence_of
from gaussmix.selection.parallel import mapped
from gaussmix.sources.base import Source
from gaussmix.starts import STARTS
from gaussmix.starts.sample import Distinct


@dataclass(frozen=True, eq=False)
class Search:
    """Rows, and how each candidate is fitted to them.

    Parameters
    ----------
    source : opens the rows for one fit, which may keep something beside them.
    n_rows : number of rows of positive weight.
    unit : what their weights were divided by.
    sample : some of the rows, for starts.
    objective : what EM raises.
    engine : sums over the rows; several candidates use it at a time.
    starts : names, as often as each is to be made.
    stopping : when EM ends.
    rng : its state now is where the starts for each number of components begin, whatever else is tried.
    begin : begins the runs of a candidate, or goes on with them.
    """

    source: Callable[[], Source]
    n_rows: int
    unit: float
    sample: Distinct
    objective: Objective
    engine: Engine[Any]
    starts: Sequence[str]
    stopping: Stopping
    rng: np.random.Generator
    begin: Callable[[Sequence[Run]], Iterator[Iterator[State]]] = begin_each

    def results(self, candidates: Sequence[Candidate], n_threads: int) -> Generator[Result, None, list[Result]]:
        """Fit every candidate, `n_threads` at a time.

        Yields
        ------
        result : of a candidate, as soon as it is known.

        Returns
        -------
        results : of all candidates, in their order.
        """
        possible = sorted({c.n_components for c in candidates if c.n_components <= self.n_rows}, reverse=True)
        with closing(mapped(self._initial_moments, possible, n_threads)) as made:
            moments = {possible[place]: found for place, found in made}
        # The largest first, so that no thread is left alone with one at the end.
        order = sorted(range(len(candidates)), key=lambda place: -candidates[place].n_components)
        results: dict[int, Result] = {}
        fit = partial(self._fit, moments=moments)
        with closing(mapped(fit, [candidates[place] for place in order], n_threads)) as fitted:
            for turn, result in fitted:
                results[order[turn]] = result
                yield result
        by_family: dict[Family, list[Result]] = {}
        for place in sorted(results, key=lambda place: candidates[place].n_components):
            by_family.setdefault(candidates[place].family, []).append(results[place])
        again: dict[Candidate, Result] = {}
        with closing(mapped(self._in_order, list(by_family.values()), n_threads)) as raised:
            for _, found in raised:
                again |= {result.candidate: result for result in found}
        return [again[candidate] for candidate in candidates]

    def _in_order(self, results: Sequence[Result], is_unwanted: Callable[[], bool]) -> list[Result]:
        """Let more components fit no worse than fewer.

        The greatest likelihood never falls with the number of components. Where a candidate ends below one with fewer,
        its start was poor, or its last steps gained less than the tolerance. EM then starts once more, from the better
        one with its heaviest component split.

        Parameters
        ----------
        results : of one structure, fewest components first.
        """
        highest: Result | None = None
        found = []
        for result in results:
            if highest is not None and _log_likelihood(result) < _log_likelihood(highest):
                result = self._from_fewer(result, highest, is_unwanted)
            if highest is None or _log_likelihood(result) > _log_likelihood(highest):
                highest = result
            found.append(result)
        return found

    def _from_fewer(self, result: Result, fewer: Result, is_unwanted: Callable[[], bool]) -> Result:
        """Fit a candidate from one with fewer components; the result that it has where that ends no higher."""
        began, source, candidate = perf_counter(), self.source(), result.candidate
        assert fewer.run is not None, "what has a likelihood has a run"
        start = split(fewer.run.model, candidate.n_components)
        run = final(self._states(start, source, is_unwanted))
        if not run.trace.collapsed and run.outcome is not Outcome.NON_FINITE and not is_unwanted():
            evidence = evidence_of(run.model, source, self.engine, self.unit)
            if evidence.log_likelihood > _log_likelihood(result):
                result = replace(result, run=run, evidence=evidence)
        return replace(result, seconds=result.seconds + perf_counter() - began)

    def _initial_moments(self, n_components: int, is_unwanted: Callable[[], bool]) -> list[InitialMoments]:
        """The starts for a number of components, which are the same for all structures."""
        rng = deepcopy(self.rng)
        names = () if is_unwanted() else self.starts
        partitions = (STARTS[name](self.sample, self.engine, n_components, rng) for name in names)
        return [InitialMoments(self.source(), self.engine, n_components, partition) for partition in partitions]

    def _fit(
        self,
        candidate: Candidate,
        is_unwanted: Callable[[], bool],
        moments: Mapping[int, Sequence[InitialMoments]],
    ) -> Result:
        """Fit a candidate from every start, or say why it has no fit."""
        began, source = perf_counter(), self.source()
        run: State | None = None
        evidence: Evidence | None = None
        failure = candidate.family.refusal(source.n_features)
        if failure is None and candidate.n_components > self.n_rows:
            failure = Failure(FailureKind.TOO_FEW_ROWS, details=str(self.n_rows))
        if failure is None:
            starts = moments[candidate.n_components]
            try:
                runs = [partial(self._run_from, candidate.family, source, first, is_unwanted) for first in starts]
                run = best_run(self.begin(runs))
            except SingularCovariance as error:
                failure = Failure(FailureKind.SINGULAR, error.components)
            except NonFiniteLikelihood:
                failure = Failure(FailureKind.NON_FINITE, details="rescale the columns of X")
        collapsed = () if run is None else tuple(run.trace.collapsed)
        if collapsed:  # its likelihood can't be compared with that of others
            run, failure = None, Failure(FailureKind.COLLAPSED, collapsed)
        if run is not None and not is_unwanted():
            evidence = evidence_of(run.model, source, self.engine, self.unit)
        size = free_parameters(candidate.family, candidate.n_components, source.n_features)
        return Result(candidate, run, size, evidence, failure, perf_counter() - began)

    def _run_from(
        self,
        family: Family,
        source: Source,
        first: InitialMoments,
        is_unwanted: Callable[[], bool],
        begun: State | None,
    ) -> Iterator[State]:
        model = first_model(first, family, self.objective, source, is_unwanted) if begun is None else begun.model
        yield from self._states(model, source, is_unwanted, None if begun is None else begun.trace)

    def _states(
        self, model: Model, source: Source, is_unwanted: Callable[[], bool], trace: Trace | None = None
    ) -> Iterator[State]:
        """EM from a model, until it ends, a component collapses or the result is no longer wanted."""
        for state in run_em(source, self.engine, model, self.objective, self.stopping, trace=trace):
            yield state
            if state.trace.collapsed or is_unwanted():
                return


def _log_likelihood(result: Result) -> float:
    """Of all rows, nats; NaN where there is none, which is neither above nor below another."""
    return math.nan if result.evidence is None else result.evidence.log_likelihood
