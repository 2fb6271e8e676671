"""Fit all candidates of a model selection; evaluate the fits on the same rows, by cross-validation or by repeats."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from threading import Event
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.em.initialisation.base import AUTO, SCALED_KMEANS
from gaussmix._src.em.initialisation.initial import split_heaviest
from gaussmix._src.em.objective.trace import EMState, Trace
from gaussmix._src.em.step.best_of import is_higher
from gaussmix._src.engines import count_threads, make_engine
from gaussmix._src.errors import Failure, FailureKind, NonFiniteLikelihood, SingularCovarianceError, StopReason
from gaussmix._src.families.base import Family
from gaussmix._src.fit.after.stability import RepeatedFits, add_neighbours, compute_stability
from gaussmix._src.fit.candidates import Candidate, Folds, Result, fold_likelihoods, mean_and_error, select_lowest
from gaussmix._src.fit.criteria import CRITERIA, compute_inputs
from gaussmix._src.fit.fit import fit
from gaussmix._src.fit.options.base import FitOptions
from gaussmix._src.fit.parallel import map_parallel
from gaussmix._src.fit.plan import ModelStart, Plan, SharedStarts
from gaussmix._src.fit.problem import Problem
from gaussmix._src.interfaces.block import Block
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.threads import cached_property

MIN_THREADED_VALUES = 2**13  # below this product of the numbers of values in X and of candidates, threads save no time
SEARCH_MARGIN = 30.0  # how much more a search is expected to improve a criterion than all earlier searches at most
_SKIP_FAILURES = {StopReason.TIME_LIMIT: FailureKind.NO_TIME, StopReason.STOPPED: FailureKind.STOPPED}


@dataclass(eq=False)
class Selection:
    """A model selection, with its candidates and the settings of their fits.

    Parameters
    ----------
    candidates : candidates to fit.
    problem : problem with the rows and the objective; each candidate replaces the structure and number of components.
    plan : settings of each fit. The random generator has the same state at the beginning of the fits of all candidates.
    n_jobs : number of threads, with the same meaning as in scikit-learn.
    options : fit options, in the order in which they apply.
    """

    candidates: Sequence[Candidate]
    problem: Problem
    plan: Plan
    n_jobs: int | None
    options: FitOptions

    def __post_init__(self) -> None:
        at_a_time, threads = self._thread_counts
        rows = self.problem.data.raw_source
        self._engine = make_engine(threads, rows.is_incomplete, rows.is_on_device)
        self._generator_state = self.plan.rng.bit_generator.state
        self._idle_generators = [deepcopy(self.plan.rng) for _ in range(at_a_time)]  # creating a generator takes 40 µs
        self._shared_starts = {candidate.n_components: SharedStarts() for candidate in self.candidates}
        self._has_fit = Event()

    def candidate_problem(self, candidate: Candidate, **changes: Any) -> Problem:
        """Return the problem that the fit of a candidate solves."""
        return replace(self.problem, family=candidate.family, n_components=candidate.n_components, **changes)

    @cached_property
    def _thread_counts(self) -> tuple[int, int]:
        """Return the number of concurrent fits, and the number of threads per fit.

        If other processes store the rows, this process mostly waits, so that fits may outnumber the local processors.
        """
        threads, rows = count_threads(self.n_jobs), self.problem.data.raw_source
        is_small = rows.n_rows * rows.n_features * len(self.candidates) < MIN_THREADED_VALUES
        is_one_by_one = is_small or rows.is_read_again or any(each.is_sequential for each in self.options)
        max_fits = rows.max_fits if self.n_jobs is None and rows.whole is None else None
        at_a_time = 1 if is_one_by_one else min(max_fits or threads, len(self.candidates))
        return at_a_time, max(1, threads // at_a_time)

    def fit_candidates(self, criterion: str = "") -> Generator[Result, None, list[Result]]:
        """Fit every candidate, and yield each result as soon as it is available.

        With callbacks or `max_time`, the candidates with the fewest components come first. If `max_time` has passed
        before any candidate is fitted, the model selection continues until one candidate is fitted.

        Parameters
        ----------
        criterion : criterion that selects the best candidate, or "" for none. With an information criterion, "auto"
            runs a split-and-merge search only for candidates that could be the best; otherwise, "auto" runs the search
            for all candidates.

        Yields
        ------
        result : result of one candidate, as soon as it is available.

        Returns
        -------
        results : results of all candidates, in the order of `candidates`.
        """
        at_a_time, _ = self._thread_counts
        if at_a_time > 1:
            _ = self.problem.data.sample  # computed now, because otherwise several threads would compute it
        is_choice = criterion in CRITERIA and len(self.candidates) > 1
        plan = self.plan.replace_auto("hierarchical") if is_choice else self.plan
        fits = replace(self, plan=plan)
        results: dict[Candidate, Result] = {}
        with closing(map_parallel(fits._fit_candidate, self._order_candidates(), at_a_time)) as fitted:
            for result in fitted:
                results[result.candidate] = result
                yield result
        fits._make_monotone(results)
        if plan is not self.plan:
            self._search_winners(results, criterion)
        return [results[candidate] for candidate in self.candidates]

    def _order_candidates(self) -> list[Candidate]:
        """Sort candidates by size: largest first, so that no large fit begins last; smallest first with callbacks."""
        sign = 1 if self.plan.stopping.is_watched else -1
        return sorted(self.candidates, key=lambda candidate: sign * candidate.n_components)

    def _make_monotone(self, results: dict[Candidate, Result]) -> None:
        """Refit candidates whose likelihood is lower than in a fit of the same structure with fewer components."""
        by_family: dict[Family, list[Result]] = {}
        for result in sorted(results.values(), key=lambda result: result.candidate.n_components):
            by_family.setdefault(result.candidate.family, []).append(result)
        with closing(map_parallel(self._refit_in_order, list(by_family.values()), self._thread_counts[0])) as raised:
            for fits in raised:
                results |= {result.candidate: result for result in fits}

    def _search_winners(self, results: dict[Candidate, Result], criterion: str) -> None:
        """Run a split-and-merge search for every candidate that could be the best, until all such candidates are done.

        A candidate could be the best if it has the structure of the best candidate, or if an improvement by `max_gain`
        (the largest improvement by a search so far) plus `SEARCH_MARGIN` would make its criterion the best. If the time
        limit or a callback ends the searches, `plan.skip_reasons` stores the reason.
        """
        searched, max_gain, is_cut_short = set[Candidate](), 0.0, False
        searches = [start for start in self.plan.starts if start == AUTO]
        has_fit = any(result.criterion_inputs is not None for result in results.values())
        while not is_cut_short:
            can_win = self._possible_winners(results, criterion, max_gain) - searched
            key = f"{self.plan.checkpoint_key}search {len(searched)} "
            fits = replace(self, plan=replace(self.plan, starts=searches, checkpoint_key=key))
            if has_fit:
                fits._has_fit.set()
            worth = [each for each in self._order_candidates() if each in can_win and fits._uses_search(each)]
            if not worth:
                return
            searched |= can_win
            with closing(map_parallel(fits._fit_candidate, worth, self._thread_counts[0])) as higher_fits:
                for result in higher_fits:
                    is_cut_short |= _is_cut_short(result)
                    before = results[result.candidate]
                    higher = _higher_result(result, before, self.candidate_problem(result.candidate))
                    max_gain = max(max_gain, _criterion_value(before, criterion) - _criterion_value(higher, criterion))
                    results[result.candidate] = higher
            fits._make_monotone(results)
        why = self.plan.find_stop_reason() or StopReason.TIME_LIMIT
        self.plan.skip_reasons.update(dict.fromkeys(range(len(self.candidates)), why))

    def _possible_winners(self, results: dict[Candidate, Result], criterion: str, max_gain: float) -> set[Candidate]:
        """Return the candidates that could be the best, as `_search_winners` describes them."""
        values = [_criterion_value(results[candidate], criterion) for candidate in self.candidates]
        if not np.isfinite(values).any():
            return set(self.candidates)
        position = select_lowest([results[candidate] for candidate in self.candidates], np.array(values))
        best, limit = self.candidates[position], values[position] + max_gain + SEARCH_MARGIN
        valued = zip(self.candidates, values, strict=True)
        return {candidate for candidate, value in valued if candidate.family == best.family or value < limit}

    def cross_validate(
        self, results: Sequence[Result], n_folds: int
    ) -> Generator[Result, None, tuple[list[Result], Array, Array]]:
        """Fit every candidate to all rows except one fold, for each fold in turn, and evaluate the fit on this fold.

        Parameters
        ----------
        results : results of the fits of all candidates to all rows.
        n_folds : number of folds.

        Yields
        ------
        result : result of fitting one candidate without one fold, as soon as this result is available.

        Returns
        -------
        results : results of the fits to all rows. A result becomes a failure if a fit without one of the folds failed.
        mean : mean log-likelihood of held-out rows for each candidate, (n_candidates,), in nats per unit of weight; NaN
            after a failure.
        error : standard error of each candidate's `mean`, (n_candidates,).
        """
        data = self.problem.data
        n_rows = data.raw_source.row_totals.n_positive
        if n_rows < data.raw_source.n_rows:
            data = data.select_rows(_has_positive_weight, n_rows)
        folds, by_fold, validated = Folds(n_folds, int(self.plan.rng.integers(2**63))), [], list(results)
        for index in range(n_folds):
            size = folds.fold_size(index, n_rows)
            others = data.select_rows(partial(folds.is_in_fold, fold=index, complement=True), n_rows - size)
            problem, key = replace(self.problem, data=others), f"without fold {index} "
            plan = replace(self.plan, checkpoint_key=key)
            fitted = yield from replace(self, problem=problem, plan=plan).fit_candidates()
            fold = data.select_rows(partial(folds.is_in_fold, fold=index), size)
            by_fold.append(fold_likelihoods(fitted, fold.make_source(), self.problem.engine))
            for position, result in enumerate(fitted):
                if result.failure is not None and validated[position].failure is None:
                    why = Failure(FailureKind.WITHOUT_A_FOLD, cause=result.failure)
                    validated[position] = replace(validated[position], failure=why, criterion_inputs=None)
        mean, error = mean_and_error(np.array(by_fold))
        failed = np.array([result.failure is not None for result in validated])
        return validated, np.where(failed, np.nan, mean), np.where(failed, np.nan, error)

    def repeat_fits(self, n_repeats: int) -> Generator[Result, None, tuple[Array, Array]]:
        """Fit every candidate and its neighbours (one component less, one more) several times with new random draws.

        In the repeated fits, "auto" means k-means with random draws, because fits from other initialisations would be
        too similar to distinguish numbers of components.

        Yields
        ------
        result : result of one of the repeated fits of a candidate, as soon as this result is available.

        Returns
        -------
        mean, deviation : mean and standard deviation of the agreement of labels; see `compute_stability`.
        """
        with_labels = self.problem.data.labels is not None
        repeats: RepeatedFits = {candidate: [] for candidate in add_neighbours(self.candidates, has_labels=with_labels)}
        for index in range(n_repeats):
            rng = np.random.default_rng(int(self.plan.rng.integers(2**63)))
            plan = replace(self.plan.replace_auto(SCALED_KMEANS), rng=rng, checkpoint_key=f"repeat {index} ")
            for result in (yield from replace(self, candidates=[*repeats], plan=plan).fit_candidates()):
                run = result.final_state if result.failure is None else None
                repeats[result.candidate].append(None if run is None else run.model.parameters)
        return compute_stability(self.candidates, repeats, self.problem.data.raw_source, self.problem.engine)

    def _fit_candidate(self, candidate: Candidate, should_stop: Callable[[], bool]) -> Result:
        """Fit a candidate from every initialisation; if it can't be fitted, return a result with the reason."""
        began, problem = perf_counter(), self.candidate_problem(candidate, engine=self._engine)
        failure = candidate.family.unsupported_reason(problem.source.n_features)
        n_rows = problem.data.raw_source.row_totals.n_positive
        if failure is None and candidate.n_components > n_rows:
            failure = Failure(FailureKind.NOT_ENOUGH_ROWS, details=str(n_rows))
        stop_reason = self.plan.find_stop_reason()
        if stop_reason and failure is None and (stop_reason is StopReason.STOPPED or self._has_fit.is_set()):
            failure = Failure(_SKIP_FAILURES[stop_reason])
        if failure is not None:
            return Result(candidate, None, problem.n_parameters, None, failure, perf_counter() - began)
        shared, rng = self._shared_starts[candidate.n_components], self._idle_generators.pop()
        rng.bit_generator.state = self._generator_state
        try:
            plan = self._candidate_plan(candidate, should_stop, rng=rng, shared_starts=shared)
            result = self._run_plan(problem, plan, candidate, began)
        finally:
            self._idle_generators.append(rng)
        if result.criterion_inputs is not None:
            self._has_fit.set()
        return result

    def _refit_in_order(self, results: Sequence[Result], should_stop: Callable[[], bool]) -> list[Result]:
        """Refit candidates whose likelihood is lower than in a fit of the same structure with fewer components.

        The maximum of the likelihood never decreases with the number of components. If the likelihood of a fit is lower
        than in a fit with fewer components, the initialisation was poor, or EM stopped too early. A refit begins with
        the model with fewer components, after its heaviest components have been split in two.

        Parameters
        ----------
        results : results of one structure, sorted by the number of components.
        """
        highest: Result | None = None
        ends = []
        for result in results:
            is_below = highest is not None and _log_likelihood(result) < _log_likelihood(highest)
            if highest is not None and is_below and self.plan.find_stop_reason() is None:
                result = self._refit_from_fewer(result, highest, should_stop)
            if highest is None or _log_likelihood(result) > _log_likelihood(highest):
                highest = result
            ends.append(result)
        return ends

    def _refit_from_fewer(self, result: Result, smaller_result: Result, should_stop: Callable[[], bool]) -> Result:
        """Refit a candidate from the model of a smaller candidate; return `result` if the new fit is not better."""
        began, problem = perf_counter(), self.candidate_problem(result.candidate, engine=self._engine)
        assert smaller_result.final_state is not None, "a candidate with a likelihood has been fitted"
        start = ModelStart(split_heaviest(smaller_result.final_state.model, problem.n_components))
        plan = self._candidate_plan(result.candidate, should_stop, "from fewer ", starts=[start])
        again = self._run_plan(problem, plan, result.candidate, began)
        return _higher_result(again, result, problem)

    def _uses_search(self, candidate: Candidate) -> bool:
        """Return whether "auto" means a split-and-merge search for this candidate."""
        plan = self._candidate_plan(candidate, should_stop=lambda: False)
        return "search" in plan.resolve_auto(self.candidate_problem(candidate, engine=self._engine)).starts

    def _candidate_plan(
        self, candidate: Candidate, should_stop: Callable[[], bool], stage: str = "", **changes: Any
    ) -> Plan:
        index = self.candidates.index(candidate)
        key = f"{self.plan.checkpoint_key}{stage}{index}"
        return replace(self.plan, should_stop=should_stop, candidate=index, checkpoint_key=key, **changes)

    def _run_plan(self, problem: Problem, plan: Plan, candidate: Candidate, start_time: float) -> Result:
        """Run a plan. If a component of the best run collapsed, the candidate fails: its likelihood is misleading."""
        run: EMState | None = None
        ends: Sequence[Trace] = ()
        failure: Failure | None = None
        evidence, size = None, problem.n_parameters
        try:
            run, ends, *_ = fit(problem, plan, self.options)
        except SingularCovarianceError as error:
            failure = Failure(FailureKind.SINGULAR, error.components)
        except NonFiniteLikelihood:
            failure = Failure(FailureKind.NON_FINITE, details="rescale the columns of X")
        if run is not None and run.trace.collapsed_components:
            failure, run = Failure(FailureKind.COLLAPSED, tuple(run.trace.collapsed_components)), None
        if run is not None and not plan.should_stop():
            size -= problem.objective.n_fixed_parameters(run.model)
            evidence = compute_inputs(run.model, size, problem.source, problem.engine, problem.data.weight_unit)
        return Result(candidate, run, size, evidence, failure, perf_counter() - start_time, ends)


def _has_positive_weight(block: Block) -> NDArray[np.bool_]:
    assert block.row_weight is not None, "a row can have weight 0 only if the block has row weights"
    return block.row_weight > 0


def _is_cut_short(result: Result) -> bool:
    """Return whether the time limit or a callback prevented the fit or ended it early."""
    end = result.final_state
    return not result.was_started or (end is not None and end.stop_reason in _SKIP_FAILURES)


def _log_likelihood(result: Result) -> float:
    """Return the total log-likelihood in nats; NaN if the fit failed, so that comparisons with it are false."""
    return math.nan if result.criterion_inputs is None else result.criterion_inputs.log_likelihood


def _criterion_value(result: Result, criterion: str) -> float:
    """Return the criterion of a result; NaN if the fit failed, so that comparisons with it are false."""
    return math.nan if result.criterion_inputs is None else CRITERIA[criterion](result.criterion_inputs)


def _higher_result(refit: Result, first: Result, problem: Problem) -> Result:
    """Return the result with the higher objective, with the traces and total time of both fits.

    If the objectives are equal except for rounding errors, `first` is kept, so that the order of rows has no effect.
    """
    value, reference = _objective_value(refit, problem), _objective_value(first, problem)
    higher = refit if is_higher(value, reference) or reference == -math.inf < value else first
    return replace(higher, run_traces=(*first.run_traces, *refit.run_traces), seconds=first.seconds + refit.seconds)


def _objective_value(result: Result, problem: Problem) -> float:
    """Return the total log-likelihood plus the log prior, in nats; −inf if the fit failed."""
    if result.final_state is None or result.criterion_inputs is None:
        return -math.inf
    log_prior = problem.objective.log_prior(result.final_state.model)
    return result.criterion_inputs.log_likelihood + log_prior * problem.data.weight_unit
