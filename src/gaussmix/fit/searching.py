"""From checked parameters and rows to what became of every candidate."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from gaussmix.em.objective import Objective
from gaussmix.em.remedies import Remedy
from gaussmix.em.restarts import Run, begin_each
from gaussmix.em.restrictions import Restrictions
from gaussmix.em.stopping import Stopping
from gaussmix.em.trace import State
from gaussmix.em.trimming import trimmed
from gaussmix.engines import engine_for, n_threads
from gaussmix.errors import Failure, FailureKind, Outcome
from gaussmix.fit.candidate import Candidate, Result
from gaussmix.fit.fitting import Data
from gaussmix.fit.held_out import folds, held_out, mean_and_error
from gaussmix.fit.search import Search
from gaussmix.fit.watch import Watch
from gaussmix.numerics.arrays import Array
from gaussmix.sources.base import Source

SMALL = 2**13  # numbers in X: fits of fewer spend their time in Python, where threads wait for each other


@dataclass(frozen=True, eq=False)
class Searching:
    """How candidates are fitted, whatever the rows.

    Parameters
    ----------
    candidates : what to try.
    starts : names, as often as each is to be made.
    stopping : when EM ends.
    ridge : added to each variance, data units²; None for the automatic one.
    rng : the state that every start begins with.
    n_jobs : threads, as scikit-learn counts them.
    trim : share of the row weight that each step leaves out.
    restrictions : priors, and what is fixed.
    begin : begins runs, or goes on with them.
    remedy : what to do with a component that gets stuck.
    watch : looks at the runs; None where nobody does.
    """

    candidates: Sequence[Candidate]
    starts: Sequence[str]
    stopping: Stopping
    ridge: float | None
    rng: np.random.Generator
    n_jobs: int | None
    trim: float = 0.0
    restrictions: Restrictions = field(default_factory=Restrictions)
    begin: Callable[[Sequence[Run]], Iterator[Iterator[State]]] = begin_each
    remedy: Remedy = Remedy.FREEZE
    watch: Watch | None = None

    def results(self, data: Data) -> Generator[Result, None, list[Result]]:
        """Fit every candidate to these rows; see `Search.results`."""
        threads = n_threads(self.n_jobs)
        is_one_by_one = data.original.n_rows * data.original.n_features < SMALL or data.original.is_read_again
        is_told = self.watch is not None and self.watch.is_told
        at_a_time = 1 if is_one_by_one or is_told else min(threads, len(self.candidates))
        search = Search(
            source=partial(self.source, data),
            n_rows=data.original.profile.n_positive,
            unit=data.unit,
            sample=data.sample,
            objective=partial(self._objective, data),
            of_starts=data.objective(self.ridge),
            engine=engine_for(data.original, threads // at_a_time),
            starts=self.starts,
            stopping=self.stopping,
            rng=self.rng,
            trim=self.trim,
            begin=self._begun,
            ended=self._ended,
            noise=data.noise,
            remedy=self.remedy,
            spare=data.objective(None) if self.remedy is Remedy.REPAIR else None,
        )
        return (yield from search.results(self.candidates, at_a_time))

    def _begun(self, candidate: Candidate, runs: Sequence[Run]) -> Iterator[Iterator[State]]:
        """The runs of a candidate, which are watched."""
        begun = self.begin(runs)
        return begun if self.watch is None else self.watch.over(begun, self.candidates.index(candidate))

    def _ended(self) -> Outcome | None:
        """Why no more candidates are to be begun; None as long as they are."""
        return None if self.watch is None else self.watch.ended()

    def source(self, data: Data, n_components: int) -> Source:
        """The rows, for one fit."""
        return trimmed(data.labelled(n_components), self.trim)

    def _objective(self, data: Data, candidate: Candidate) -> Objective:
        """What EM raises for a candidate."""
        engine = engine_for(data.original, n_threads(self.n_jobs))
        return data.restricted(self.restrictions, self.ridge, candidate.family, candidate.n_components, engine)

    def cross_validated(
        self, data: Data, results: Sequence[Result], n_folds: int
    ) -> Generator[Result, None, tuple[list[Result], Array, Array]]:
        """Fit every candidate without each fold in turn, and judge it by the rows of the fold.

        Parameters
        ----------
        data : the rows.
        results : of all rows.
        n_folds : number of folds.

        Yields
        ------
        result : of a candidate without a fold, as soon as it is known.

        Returns
        -------
        results : those of all rows, failures where a candidate failed without some fold.
        mean : (n_candidates,), mean log-likelihood of held-out rows, nats per unit of weight; NaN of what failed.
        error : (n_candidates,), its standard error.

        Raises
        ------
        ValueError : there are fewer rows of positive weight than folds.
        """
        weight = data.original.row_weight
        if weight is not None and not weight.all():
            data = data.part(weight > 0)
        n_rows = data.original.n_rows
        if n_rows < n_folds:
            raise ValueError(f"n_folds={n_folds}, but there are only {n_rows} rows (of positive weight).")
        fold, by_fold, judged = folds(n_rows, n_folds, self.rng), [], list(results)
        for number in range(n_folds):
            fitted = yield from self.results(data.part(fold != number))
            by_fold.append(
                held_out(fitted, data.part(fold == number).source(), engine_for(data.original, n_threads(self.n_jobs)))
            )
            for place, result in enumerate(fitted):
                if result.failure is not None and judged[place].failure is None:
                    why = Failure(FailureKind.WITHOUT_A_FOLD, cause=result.failure)
                    judged[place] = replace(judged[place], failure=why, evidence=None)
        mean, error = mean_and_error(np.array(by_fold))
        failed = np.array([result.failure is not None for result in judged])
        return judged, np.where(failed, np.nan, mean), np.where(failed, np.nan, error)
