"""Apply birth and merge moves of variational Bayes, and compare fits by births with fits from k-means."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import partial

from gaussmix._src.em.bayes.birth_merge_moves import MAX_BOUND_DIFFERENCE, BirthMergeMoves
from gaussmix._src.em.bayes.variational import VariationalObjective
from gaussmix._src.em.initialisation.base import load_start
from gaussmix._src.em.initialisation.initial import InitialMoments
from gaussmix._src.em.initialisation.sample import DistinctRows
from gaussmix._src.em.objective.trace import EMState
from gaussmix._src.em.step.best_of import is_higher
from gaussmix._src.fit.fit import fit
from gaussmix._src.fit.plan import ModelStart, Plan, Start
from gaussmix._src.fit.problem import Problem, TrainingData
from gaussmix._src.interfaces.leaves import LEAF_ROWS
from gaussmix._src.model import Model

# Fits from k-means that are compared with births begin with at least `MIN_KMEANS_COMPONENTS` components, and with more
# if the number of components times the number of rows is below `MIN_KMEANS_PRODUCT`.
MIN_KMEANS_COMPONENTS, MIN_KMEANS_PRODUCT = 10, 50_000
CONDENSED_STEP_FACTOR = 10  # factor on the step limit for condensed rows, because their steps are 20 times faster
FitEnd = tuple[Model, float]  # model at the end of a fit, and its lower bound on the log evidence in nats


class VariationalMoves:
    """Birth and merge moves, which change the number of components in one variational fit.

    Parameters
    ----------
    max_components : maximum number of components.
    problem, plan : problem and settings of the fit.
    compares_starts : whether a run that begins with one component is compared with fits from k-means.
    """

    def __init__(self, max_components: int, problem: Problem, plan: Plan, *, compares_starts: bool = True) -> None:
        assert isinstance(problem.objective, VariationalObjective), "`check_prior` makes this objective"
        sample = problem.data.sample.without_negligible_rows
        fit_arguments = problem.source, problem.engine, problem.objective, sample, max_components, plan.rng
        self._problem, self._plan, self._compares_starts = problem, plan, compares_starts
        self._moves = BirthMergeMoves(*fit_arguments, plan.should_end_moves)

    def improve_first(self, initial: EMState, *, is_first: bool) -> EMState:
        """Make moves before the first EM step; return the new state. `is_first` is False if a fit is continued."""
        if is_first:
            initial = self._improve_on_fewer_rows(initial)
        if self._moves.bound_at_last_births == float("-inf"):
            initial = self.improve_converged(initial) or initial
        return initial

    def improve_converged(self, state: EMState) -> EMState | None:
        """Return the state after birth and merge moves, for EM to continue; None if no move raises the bound."""
        return _improve_state(self._moves, state)

    def _improve_on_fewer_rows(self, initial: EMState) -> EMState:
        """Return the state after moves on condensed rows, on a sample or on subsamples.

        If the first model has one component, the state is the best result of births and of fits from k-means.
        With one feature, the moves use condensed rows (weighted values that represent all rows), and the C++ core runs
        EM on the condensed rows. Births that failed on condensed rows are not tried again on all rows. After
        convergence, the moves also use condensed rows to find merges that raise the bound.
        """
        data, moves = self._problem.data, self._moves
        condensed = data.condensed_rows
        if condensed is not None and not self._problem.family.is_shared:
            model, bound = self._improve_column(initial.model, condensed)
            if data.sample.distinct_index is not None:
                moves.sample, moves.bound_at_last_births, moves.sample_bound = condensed, bound, bound
            return EMState(model, initial.trace)
        if self._compares_starts and self._can_compare_starts(initial.model, data.sample):
            return self._fit_best_start(initial)
        subsamples = [moves.for_sample(rows) for rows in data.draw_subsamples(self._plan.rng)]
        for each in (*subsamples, moves) if subsamples else ():
            initial = _improve_state(each, initial, is_new=True) or initial
        return initial

    @property
    def _negligible_gain(self) -> float:
        return MAX_BOUND_DIFFERENCE * self._moves.objective.total_weight

    def _can_compare_starts(self, model: Model, rows: DistinctRows) -> bool:
        """Return whether a fit by births from the first model can be compared with fits from k-means."""
        return model.n_components == 1 < min(self._moves.max_components, len(rows.rows))

    def _compare_with_kmeans(self, births: FitEnd, fit_from_kmeans: Callable[[int], FitEnd], n_rows: int) -> FitEnd:
        """Return the best of a fit by births and of fits from k-means with different numbers of components.

        Fits from k-means may find clusters that only several splits together separate. The first of these fits begins
        with as many components as births found, or with more if births found few, or if there are few distinct rows
        (`n_rows`). As long as the bound rises by more than a negligible amount, another fit begins with twice as many
        components. Therefore, a limit on the number of components that is far too high takes hardly any time.
        """
        (best, bound), limit = births, min(self._moves.max_components, n_rows)
        n_components = max(best.n_components, MIN_KMEANS_COMPONENTS, MIN_KMEANS_PRODUCT // n_rows)
        while not self._plan.should_end_moves():
            before = bound
            n_components = min(n_components, limit)
            other, bound_of_other = fit_from_kmeans(n_components)
            if is_higher(bound_of_other, bound):
                best, bound = other, bound_of_other
            if bound < before + self._negligible_gain or n_components == limit:
                break
            n_components *= 2
        return best, bound

    def _fit_best_start(self, initial: EMState) -> EMState:
        """Return the state after the best of several fits to the sample of rows, which may contain all rows."""
        moves, (problem, fraction) = self._moves, _sample_problem(self._problem)
        # The first fit from k-means draws the same numbers as with `init_params="kmeans"`, so that it is the same fit.
        plan, rng_of_kmeans = self._plan, deepcopy(self._plan.rng)
        plan = replace(
            plan,
            stopping=replace(plan.stopping, tolerance=plan.stopping.tolerance / fraction, is_watched=False),
            make_moves=partial(VariationalMoves, moves.max_components, compares_starts=False),
        )

        def run(start: Start, n_components: int) -> FitEnd:
            method = "births" if n_components == 1 else f"k-means with {n_components} components"
            plan.report_progress(f"Fit to {problem.source.n_rows:,} rows from {method}")
            run_plan = replace(plan, starts=[start], rng=rng_of_kmeans if start == "kmeans" else plan.rng)
            end = fit(replace(problem, n_components=n_components), run_plan).final_state
            return end.model, end.trace.last_objective * moves.objective.total_weight

        n_rows = len(self._problem.data.sample.rows)
        model, bound = self._compare_with_kmeans(run(ModelStart(initial.model), 1), partial(run, "kmeans"), n_rows)
        best = EMState(model, initial.trace)
        if problem is not self._problem:
            return _improve_state(moves, best, is_new=True) or best
        moves.bound_at_last_births = bound
        return best

    def _improve_column(self, model: Model, rows: DistinctRows) -> FitEnd:
        """Improve a one-feature model by births and merges in the C++ core; return the model and its bound in nats.

        If the model has one component, the result is compared with fits from k-means. Births are tried in such a fit
        only if its bound differs from the bound of the first result.
        """
        problem, moves, stopping = self._problem, self._moves, self._plan.stopping
        stopping = replace(stopping, max_steps=CONDENSED_STEP_FACTOR * stopping.max_steps)
        births = moves.improve_column(model, rows, stopping)

        def fit_from_kmeans(n_components: int) -> FitEnd:
            partition = load_start("kmeans")(rows, problem.engine, n_components, self._plan.rng)
            first = InitialMoments(rows.as_source(problem.source), problem.engine, n_components, partition)
            start = first.model(problem.family, problem.objective)
            merged, bound = replace(moves, max_components=1).improve_column(start, rows, stopping)
            if abs(bound - births[1]) <= self._negligible_gain:
                return merged, bound
            return moves.improve_column(merged, rows, stopping)

        if not self._can_compare_starts(model, rows):
            return births
        return self._compare_with_kmeans(births, fit_from_kmeans, len(rows.rows))


def _improve_state(moves: BirthMergeMoves, state: EMState, *, is_new: bool = False) -> EMState | None:
    """Return the state after birth and merge moves, for EM to continue; None if no move raises the bound."""
    bound_per_row = moves.sample_bound / moves.objective.total_weight  # bound of the converged fit to condensed rows
    if state.trace.n_steps and abs(state.trace.last_objective - bound_per_row) < MAX_BOUND_DIFFERENCE:
        return None
    model = moves.apply_moves(state.model, has_new_rows=is_new)
    return None if model is None else EMState(model, state.trace)


def _sample_problem(problem: Problem) -> tuple[Problem, float]:
    """Return the problem with the sample of rows instead of all rows, and the fraction of the rows that it represents.

    The problem is returned unchanged if the sample contains all rows, unless rows have measurement errors. A sample has
    no measurement errors, which would make the fits slow.
    """
    data, source = problem.data, problem.data.raw_source
    if data.sample.distinct_index is not None and not source.has_errors:
        return problem, 1.0
    fraction = data.fraction_of_rows(LEAF_ROWS)
    rows = data.sample.with_total_weight(fraction * source.row_totals.total_weight).as_source(source)
    return replace(problem, data=TrainingData(rows)), fraction
