"""Implement `posterior`: truncated EM, which divides each row among only a few of many components."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from math import isnan, nan

from gaussmix._src.em.objective.trace import EMState, PosteriorGap
from gaussmix._src.em.search.split_and_merge import report_nothing
from gaussmix._src.em.step.best_of import EMRun
from gaussmix._src.em.truncation.gap import estimate_gap
from gaussmix._src.engines.truncated import DEFAULT_CANDIDATES, N_DRAWN, TruncatedEngine
from gaussmix._src.errors import StopReason, warn
from gaussmix._src.families.base import Family
from gaussmix._src.fit.first_state import SAMPLED_ROWS_PER_CELL
from gaussmix._src.fit.fit import run_from_start
from gaussmix._src.fit.fitted import FitResult
from gaussmix._src.fit.options.base import FitOption
from gaussmix._src.fit.options.table import MIN_TRUNCATED_COMPONENTS
from gaussmix._src.fit.plan import ModelStart, Plan
from gaussmix._src.fit.problem import Problem
from gaussmix._src.interfaces.leaves import LEAF_ROWS
from gaussmix._src.sources.traffic import physical_memory
from gaussmix._src.validation.parameters import check_posterior

MIN_PAIRS = 2**27  # if n_rows · n_components is below this, a fit by exact EM takes only seconds
# If the bound is below the log-likelihood by more than this (nats per row) plus two standard errors, steps also try
# neighbours of randomly drawn candidate components. If the bound stays so low, the number of candidates is doubled.
MAX_GAP = 2e-3
# The gap is first checked after this number of steps. After fewer steps, it is wide because good candidate components
# have not been found yet. If it is still wide, it is also checked after each later number of steps that is a power of
# two. It is always checked at the end.
FIRST_CHECK = 8
# Maximum number of candidate components per row, because an outlier far from all components would require ever more
# candidate components.
MAX_AUTO_CANDIDATES = 64


class TruncatedPosterior(FitOption):
    """Fit option for truncated EM; it also estimates how far the bound of truncated EM is below the log-likelihood."""

    _engine: TruncatedEngine | None = None

    def check_parameters(self) -> Sequence[str]:
        self._n_candidates = check_posterior(self.estimator.posterior)
        if self._n_candidates is not None:
            return ("posterior",)
        return () if self.estimator.posterior == "exact" or "partial_fit" in self.arguments else ("many components",)

    def adapt_problem(self, problem: Problem, candidates: Sequence[tuple[Family, int]]) -> Problem:
        n_rows, K, wanted = problem.data.raw_source.n_rows, problem.n_components, self._n_candidates
        if wanted is None and (K < MIN_TRUNCATED_COMPONENTS or n_rows * K < MIN_PAIRS):
            return problem
        obstacle = 'tol="auto"' if self.estimator.tol == "auto" else _why_exact(problem)
        if wanted is not None:
            self._check(wanted, problem, obstacle)
            if problem.family.is_shared:
                warn(
                    f"posterior={wanted} has no effect, because all components have one covariance, so that the fit is "
                    'exact. Set posterior="exact".'
                )
        if obstacle or problem.family.is_shared:
            return problem
        self._engine = TruncatedEngine(problem.engine.n_threads, wanted or min(DEFAULT_CANDIDATES, K))
        return replace(problem, engine=self._engine)

    def adapt_plan(self, plan: Plan, problem: Problem) -> Plan:
        if self._engine is None:
            return plan
        plan = plan.replace_auto("tree")
        plan = replace(plan, has_sample_fit=problem.n_components * SAMPLED_ROWS_PER_CELL <= LEAF_ROWS)
        return replace(plan, may_search=False, can_run_in_core=False, check_maximum=plan.check_maximum or False)

    def adapt_runs(self, runs: Iterable[EMRun], problem: Problem, plan: Plan) -> Iterable[EMRun]:
        if self._engine is None:
            return runs
        return [partial(self._run, problem, plan, index) for index, _ in enumerate(runs)]

    def _run(self, problem: Problem, plan: Plan, start_index: int, initial: EMState | None) -> Iterator[EMState]:
        """Yield the states of a run; improve the candidate components until the bound is close enough."""
        assert self._engine is not None
        is_continued = initial is not None or isinstance(plan.starts[start_index], ModelStart)
        engine = replace(self._engine, start_index=start_index, continues_below=problem.n_components + is_continued)
        if initial is not None and (gap := initial.trace.posterior_gap) is not None:  # `initial` is from a checkpoint
            engine = replace(engine, n_candidates=gap.n_candidates, n_drawn=gap.n_drawn)
        # A checkpoint of a finished run does not store candidate components, so the gap can't be estimated again.
        if initial is not None and initial.stop_reason is not None:
            yield initial
            return
        while True:
            problem, source = replace(problem, engine=engine), problem.source
            vars(problem)["source"] = source  # keeps the source that stores each row's candidate components
            state, is_too_wide = yield from self._run_with_candidates(problem, engine, plan, start_index, initial)
            if not is_too_wide:
                yield state
                return
            n_components, factor = problem.n_components, 1 if engine.n_drawn == 0 else 2
            n_candidates = min(factor * engine.n_candidates, n_components)
            engine = replace(engine, n_candidates=n_candidates, n_drawn=N_DRAWN, continues_below=n_components + 1)
            initial = state._replace(stop_reason=None)

    def _run_with_candidates(
        self, problem: Problem, engine: TruncatedEngine, plan: Plan, start_index: int, initial: EMState | None
    ) -> Generator[EMState, None, tuple[EMState, bool]]:
        """Yield the states of EM before its last state; return the last state, and whether its gap is too wide.

        EM ends early if the gap is too wide and the number of candidate components may be doubled.
        """
        may_double = self._n_candidates is None and engine.n_candidates < min(MAX_AUTO_CANDIDATES, problem.n_components)
        unknown = PosteriorGap(engine.n_candidates, engine.n_drawn, nan, nan)  # NaN: the gap is not yet estimated
        first_step = 0 if initial is None else initial.trace.n_steps
        for state in run_from_start(problem, plan, start_index, initial):
            if state.stop_reason is not None:
                break
            gap, n_steps = unknown, state.trace.n_steps
            is_power = n_steps > FIRST_CHECK and n_steps.bit_count() == 1
            is_check = may_double and (n_steps == FIRST_CHECK or (engine.n_drawn > 0 and is_power))
            is_report = plan.report_progress is not report_nothing and n_steps % self.estimator.verbose_interval == 0
            if n_steps > first_step and (is_check or is_report):
                gap = _measure_gap(problem, plan, state)
                if is_check and _is_wide(gap):
                    return _with_gap(state, gap), True
            yield _with_gap(state, gap)
        gap = _measure_gap(problem, plan, state)
        return _with_gap(state, gap), may_double and _is_wide(gap) and state.stop_reason is StopReason.CONVERGED

    def adapt_result(self, fitted: FitResult, problem: Problem, run: EMState) -> FitResult:
        if self._engine is None:
            return fitted
        gap = run.trace.posterior_gap
        if gap is not None and isnan(gap.gap):  # a callback ended the run
            engine = replace(self._engine, n_candidates=gap.n_candidates, n_drawn=gap.n_drawn)
            gap = estimate_gap(problem.source, engine, problem.objective.parameters(run.model))
            assert fitted.outcome is not None, "the fit has ended"
            outcome = replace(fitted.outcome, posterior_gap=gap.gap, posterior_gap_error=gap.standard_error)
            fitted = replace(fitted, outcome=outcome)
        return fitted.without_likelihood()

    def _check(self, n_candidates: int, problem: Problem, obstacle: str) -> None:
        """Raise ValueError if the fit can't use `n_candidates` candidate components per row."""
        source, n_components = problem.data.raw_source, problem.n_components
        if n_candidates > n_components:
            raise ValueError(
                f"posterior={n_candidates} must be at most n_components={n_components}, because a row can't have more "
                'candidate components. Set posterior="exact".'
            )
        n_bytes = 4 * n_candidates * source.n_rows
        if not source.is_remote and n_bytes > physical_memory():
            raise ValueError(
                f"posterior={n_candidates} needs {n_bytes / 2**30:,.0f} GB for the candidate components of "
                f"{source.n_rows:,} rows. Lower posterior, or fit fewer rows."
            )
        if obstacle:
            raise ValueError(f'posterior={n_candidates} does not support {obstacle}. Set posterior="exact".')


def _measure_gap(problem: Problem, plan: Plan, state: EMState) -> PosteriorGap:
    """Estimate how far the bound of a state is below the log-likelihood, and report this gap to the user."""
    gap = estimate_gap(problem.source, problem.engine, problem.objective.parameters(state.model))
    amount = f"{gap.gap:.5f} ± {gap.standard_error:.5f} nats per row"
    plan.report_progress(f"With {gap.n_candidates} candidates, the bound is {amount} below the log-likelihood")
    return gap


def _with_gap(state: EMState, gap: PosteriorGap) -> EMState:
    return state._replace(trace=replace(state.trace, posterior_gap=gap))


def _is_wide(gap: PosteriorGap) -> bool:
    """Return whether the gap exceeds `MAX_GAP` by more than two standard errors."""
    return gap.gap - 2 * gap.standard_error > MAX_GAP


def _why_exact(problem: Problem) -> str:
    """Return a setting of the fit that truncated EM does not support; "" if truncated EM supports all settings."""
    source = problem.data.raw_source
    if source.has_errors:
        return "X_error"
    if source.may_miss and source.is_incomplete:
        return "missing values"
    if source.is_on_device:
        return "rows on a device: copy them to NumPy"
    return "" if problem.data.trimming is None else "trim"
