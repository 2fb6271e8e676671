"""Fit every candidate to the same rows from the same starts."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from threading import Event
from time import perf_counter
from typing import Any

import numpy as np

from gaussmix.em.criteria import Evidence, evidence_of
from gaussmix.em.guided import guided
from gaussmix.em.initial import InitialMoments, split
from gaussmix.em.objective import Objective
from gaussmix.em.remedies import Remedy, run_with
from gaussmix.em.restarts import Run, best_run
from gaussmix.em.split_and_merge import first_model
from gaussmix.em.stopping import Stopping
from gaussmix.em.trace import State, Trace, final
from gaussmix.em.trimmed_start import trimmed_partition
from gaussmix.engines.base import Engine
from gaussmix.errors import Failure, FailureKind, NonFiniteLikelihood, Outcome, SingularCovariance
from gaussmix.families.base import Family
from gaussmix.fit.candidate import Candidate, Result
from gaussmix.fit.parallel import mapped
from gaussmix.model import Model, free_parameters
from gaussmix.noise import Noise
from gaussmix.sources.base import Source
from gaussmix.starts import STARTS, Partition
from gaussmix.starts.sample import Distinct

_NOT_BEGUN = {Outcome.TIME_LIMIT: FailureKind.NO_TIME, Outcome.STOPPED: FailureKind.STOPPED}


@dataclass(frozen=True, eq=False)
class Search:
    """Rows, and how each candidate is fitted to them.

    Parameters
    ----------
    source : opens the rows for one fit of so many components, which may keep something beside them.
    n_rows : number of rows of positive weight.
    unit : what their weights were divided by.
    sample : some of the rows, for starts.
    objective : what EM raises for a candidate.
    of_starts : what it raises where a start is sought, which has another structure.
    engine : sums over the rows; several candidates use it at a time.
    starts : names, as often as each is to be made.
    stopping : when EM ends.
    rng : its state now is where the starts for each number of components begin, whatever else is tried.
    begin : begins the runs of a candidate, or goes on with them.
    ended : says why no more candidates are to be begun; None as long as they are.
    trim : share of the row weight that each step leaves out; `source` does that.
    noise : a background, with the weight to begin with; None for none.
    remedy : what to do with a component that gets stuck.
    spare : the objective of a start without covariances; None where that is a failure.
    """

    source: Callable[[int], Source]
    n_rows: int
    unit: float
    sample: Distinct
    objective: Callable[[Candidate], Objective]
    of_starts: Objective
    engine: Engine[Any]
    starts: Sequence[str]
    stopping: Stopping
    rng: np.random.Generator
    begin: Callable[[Candidate, Sequence[Run]], Iterator[Iterator[State]]]
    ended: Callable[[], Outcome | None]
    trim: float = 0.0
    noise: Noise | None = None
    remedy: Remedy = Remedy.FREEZE
    spare: Objective | None = None

    def results(self, candidates: Sequence[Candidate], n_threads: int) -> Generator[Result, None, list[Result]]:
        """Fit every candidate, `n_threads` at a time.

        Where somebody watches the runs, or the clock, those with the fewest components come first. When time is up
        before one could be fitted, the search goes on until one is.

        Yields
        ------
        result : of a candidate, as soon as it is known.

        Returns
        -------
        results : of all candidates, in their order.
        """
        is_rising = self.stopping.is_watched  # else the largest first, so that no thread is left alone with one
        sizes = {c.n_components for c in candidates if c.n_components <= self.n_rows}
        possible = sorted(sizes, reverse=not is_rising)
        with closing(mapped(self._starts_in_time, possible, n_threads)) as made:
            moments = {possible[place]: found for place, found in made}
        sign = 1 if is_rising else -1
        order = sorted(range(len(candidates)), key=lambda place: sign * candidates[place].n_components)
        results: dict[int, Result] = {}
        has_fit = Event()
        fit = partial(self._fit, moments=moments, has_fit=has_fit)
        with closing(mapped(fit, [candidates[place] for place in order], n_threads)) as fitted:
            for turn, result in fitted:
                results[order[turn]] = result
                if result.evidence is not None:
                    has_fit.set()
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
            is_below = highest is not None and _log_likelihood(result) < _log_likelihood(highest)
            if highest is not None and is_below and self.ended() is None:
                result = self._from_fewer(result, highest, is_unwanted)
            if highest is None or _log_likelihood(result) > _log_likelihood(highest):
                highest = result
            found.append(result)
        return found

    def _from_fewer(self, result: Result, fewer: Result, is_unwanted: Callable[[], bool]) -> Result:
        """Fit a candidate from one with fewer components; the result that it has where that ends no higher."""
        began, candidate = perf_counter(), result.candidate
        source = self.source(candidate.n_components)
        assert fewer.run is not None, "what has a likelihood has a run"
        objective = self.objective(candidate)
        start = objective.feasible(split(fewer.run.model, candidate.n_components))
        of_run = start, objective, source, is_unwanted
        (run,) = map(final, self.begin(candidate, [lambda begun: self._states(*of_run)]))
        if not run.trace.collapsed and run.outcome is not Outcome.NON_FINITE and not is_unwanted():
            evidence = evidence_of(run.model, result.n_parameters, source, self.engine, self.unit)
            if evidence.log_likelihood + self._log_prior(run, objective) > _log_likelihood(result) + self._log_prior(
                result.run, objective
            ):
                result = replace(result, run=run, evidence=evidence, ends=(*result.ends, run.trace))
        return replace(result, seconds=result.seconds + perf_counter() - began)

    def _log_prior(self, run: State | None, objective: Objective) -> float:
        """What a prior adds to the log-likelihood of a run, nats; a prior may prefer another mixture than rows do."""
        return 0.0 if run is None else objective.log_prior(run.model) * self.unit

    def _starts_in_time(self, n_components: int, is_unwanted: Callable[[], bool]) -> list[InitialMoments]:
        """The starts for a number of components; none where time is up, as they may not be used."""
        return [] if self.ended() is not None else self._initial_moments(n_components, is_unwanted)

    def _initial_moments(self, n_components: int, is_unwanted: Callable[[], bool]) -> list[InitialMoments]:
        """The starts for a number of components, which are the same for all structures."""
        rng = deepcopy(self.rng)
        names = () if is_unwanted() else self.starts
        partitions = (self._partition(name, n_components, rng) for name in names)
        found = []
        for partition in partitions:
            of_fit = self.source(n_components), self.engine, n_components
            found.append(InitialMoments(*of_fit, guided(partition, *of_fit), self.noise))
        return found

    def _partition(self, name: str, n_components: int, rng: np.random.Generator) -> Partition:
        about = self.sample, self.engine, n_components
        partition = STARTS[name](*about, rng)
        return trimmed_partition(partition, *about, self.of_starts, self.trim, rng) if self.trim else partition

    def _fit(
        self,
        candidate: Candidate,
        is_unwanted: Callable[[], bool],
        moments: Mapping[int, Sequence[InitialMoments]],
        has_fit: Event,
    ) -> Result:
        """Fit a candidate from every start, or say why it has no fit."""
        began, source = perf_counter(), self.source(candidate.n_components)
        run: State | None = None
        evidence: Evidence | None = None
        of_size = candidate.family, candidate.n_components, source.n_features
        size = free_parameters(*of_size, has_noise=self.noise is not None)
        failure = candidate.family.refusal(source.n_features)
        if failure is None and candidate.n_components > self.n_rows:
            failure = Failure(FailureKind.TOO_FEW_ROWS, details=str(self.n_rows))
        ended, ends = self.ended(), list[Trace]()
        if failure is None and (ended is Outcome.STOPPED or (ended is not None and has_fit.is_set())):
            failure = Failure(_NOT_BEGUN[ended])
        if failure is None:
            starts, objective = moments[candidate.n_components], self.objective(candidate)
            starts = starts or self._initial_moments(candidate.n_components, is_unwanted)
            try:
                of_candidate = candidate.family, objective, source
                runs = [partial(self._run_from, *of_candidate, first, is_unwanted) for first in starts]
                run = best_run(self.begin(candidate, runs), ends)
            except SingularCovariance as error:
                failure = Failure(FailureKind.SINGULAR, error.components)
            except NonFiniteLikelihood:
                failure = Failure(FailureKind.NON_FINITE, details="rescale the columns of X")
        collapsed = () if run is None else tuple(run.trace.collapsed)
        if collapsed:  # its likelihood can't be compared with that of others
            run, failure = None, Failure(FailureKind.COLLAPSED, collapsed)
        if run is not None and not is_unwanted():
            size -= objective.n_fixed(run.model)
            evidence = evidence_of(run.model, size, source, self.engine, self.unit)
        return Result(candidate, run, size, evidence, failure, perf_counter() - began, ends)

    def _run_from(
        self,
        family: Family,
        objective: Objective,
        source: Source,
        first: InitialMoments,
        is_unwanted: Callable[[], bool],
        begun: State | None,
    ) -> Iterator[State]:
        how = family, objective, source, first, is_unwanted
        model = self._first_model(*how) if begun is None else begun.model
        yield from self._states(model, objective, source, is_unwanted, None if begun is None else begun.trace)

    def _first_model(
        self,
        family: Family,
        objective: Objective,
        source: Source,
        first: InitialMoments,
        is_unwanted: Callable[[], bool],
    ) -> Model:
        tolerance = self.stopping.tolerance
        try:
            return first_model(first, family, objective, source, is_unwanted, tolerance)
        except SingularCovariance:
            if self.spare is None:
                raise
        # The first step finds what collapses.
        return first_model(first, family, self.spare, source, is_unwanted, tolerance)

    def _states(
        self,
        model: Model,
        objective: Objective,
        source: Source,
        is_unwanted: Callable[[], bool],
        trace: Trace | None = None,
    ) -> Iterator[State]:
        """EM from a model, until it ends, a component collapses or the result is no longer wanted."""
        of_run = source, self.engine, model, objective, self.stopping
        for state in run_with(self.remedy, *of_run, trace=trace):
            yield state
            if state.trace.collapsed or is_unwanted():
                return


def _log_likelihood(result: Result) -> float:
    """Of all rows, nats; NaN where there is none, which is neither above nor below another."""
    return math.nan if result.evidence is None else result.evidence.log_likelihood
