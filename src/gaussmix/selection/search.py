"""Fit every candidate to the same rows from the same starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

from gaussmix.em.first_moments import FirstMoments
from gaussmix.em.loop import run_em
from gaussmix.em.restarts import Run, best_run
from gaussmix.em.start import begin
from gaussmix.em.stopping import Stopping
from gaussmix.em.trace import Trace
from gaussmix.engines.base import Engine
from gaussmix.errors import Failure, FailureKind, NonFiniteLikelihood, SingularCovariance
from gaussmix.model import free_parameters
from gaussmix.numerics.arrays import Array
from gaussmix.selection.candidate import Candidate, Result, refuse_collapsed, why_failed
from gaussmix.selection.criteria import evidence_of
from gaussmix.selection.parallel import mapped
from gaussmix.sources.base import Source
from gaussmix.starts import STARTS
from gaussmix.starts.sample import Distinct


@dataclass(frozen=True, eq=False)
class Search:
    """Rows, and how each candidate is fitted to them.

    Parameters
    ----------
    source : opens the rows; what a fit keeps beside them is its own.
    n_rows : of positive weight.
    unit : what their weights were divided by.
    sample : of them, for starts.
    ridge : (n_features,), added to every variance, data units².
    engine : sums over the rows; several candidates use it at a time.
    starts : names, as often as each is to be made.
    stopping : when EM ends.
    rng : each number of components starts from the state that it has now, whatever else is tried.
    """

    source: Callable[[], Source]
    n_rows: int
    unit: float
    sample: Distinct
    ridge: Array
    engine: Engine[Any]
    starts: Sequence[str]
    stopping: Stopping
    rng: np.random.Generator

    def results(
        self, candidates: Sequence[Candidate], n_threads: int, announce: Callable[[], None] = lambda: None
    ) -> list[Result]:
        """What becomes of each candidate, in their order; `announce` is called after each."""
        possible = sorted({c.n_components for c in candidates if c.n_components <= self.n_rows}, reverse=True)
        beginnings = dict(zip(possible, mapped(self._beginnings, possible, n_threads), strict=True))
        # The largest first, so that no thread is left alone with one at the end.
        order = sorted(range(len(candidates)), key=lambda place: -candidates[place].n_components)
        fit = partial(self._fit, beginnings=beginnings)
        found = mapped(fit, [candidates[place] for place in order], n_threads, announce)
        return [result for _, result in sorted(zip(order, found, strict=True), key=lambda pair: pair[0])]

    def _beginnings(self, n_components: int, check: Callable[[], None]) -> list[FirstMoments]:
        """The starts for a number of components: the same for all structures."""
        check()
        rng = deepcopy(self.rng)
        partitions = (STARTS[name](self.sample, self.engine, n_components, rng) for name in self.starts)
        return [FirstMoments(self.source(), self.engine, n_components, partition) for partition in partitions]

    def _fit(
        self, candidate: Candidate, check: Callable[[], None], beginnings: Mapping[int, Sequence[FirstMoments]]
    ) -> Result:
        """Fit a candidate from every start, or say why not."""
        began, run, evidence, failure = perf_counter(), None, None, None
        source, n_components = self.source(), candidate.n_components
        refusal = candidate.family.refusal(source.n_features)
        if refusal is not None:
            failure = refusal
        elif n_components > self.n_rows:
            failure = Failure(FailureKind.TOO_FEW_ROWS, details=str(self.n_rows))
        else:
            try:
                run = best_run(
                    partial(self._run, candidate, source, first, check) for first in beginnings[n_components]
                )
                evidence = evidence_of(run[0], source, self.engine, self.unit)
            except (SingularCovariance, NonFiniteLikelihood) as error:
                failure = why_failed(error)
        size = free_parameters(candidate.family, n_components, source.n_features)
        return Result(candidate, run, size, evidence, failure, perf_counter() - began)

    def _run(self, candidate: Candidate, source: Source, first: FirstMoments, check: Callable[[], None]) -> Run:
        """EM from one start, to where it ends or a component collapses."""

        def report(trace: Trace) -> None:
            check()
            refuse_collapsed(trace)

        start = begin(first, source, self.engine, candidate.family, self.ridge)
        return run_em(source, self.engine, start, ridge=self.ridge, stopping=self.stopping, report=report)
