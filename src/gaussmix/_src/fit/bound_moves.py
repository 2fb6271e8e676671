"""Apply birth and merge moves of variational Bayes: on subsamples before the first EM step, and after convergence."""

from __future__ import annotations

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
from gaussmix._src.fit.plan import ModelStart, Plan
from gaussmix._src.fit.problem import Problem, TrainingData
from gaussmix._src.interfaces.leaves import LEAF_ROWS
from gaussmix._src.model import Model

MIN_KMEANS_COMPONENTS = 10  # minimum number of components of a fit from k-means that is compared with births
CONDENSED_STEP_FACTOR = 10  # factor on the step limit for condensed rows, because their steps are 20 times faster


class VariationalMoves:
    """Birth and merge moves, which change the number of components in one variational fit.

    Parameters
    ----------
    max_components : maximum number of components.
    problem, plan : problem and settings of the fit.
    compares_starts : whether a run that begins with one component is compared with fits from k-means.
    """

    def __init__(self, max_components: int, problem: Problem, plan: Plan, *, compares_starts: bool = True) -> None:
        assert isinstance(problem.objective, VariationalObjective), "made by `check_prior`"
        sample = problem.data.sample.without_negligible_rows
        of_fit = problem.source, problem.engine, problem.objective, sample, max_components, plan.rng
        self._problem, self._plan, self._compares_starts = problem, plan, compares_starts
        self._moves = BirthMergeMoves(*of_fit, plan.should_end_moves)

    def improve_first(self, initial: EMState, *, is_first: bool) -> EMState:
        """Make moves before the first EM step; return the new state. `is_first` is False if a fit is continued."""
        if is_first and self._can_compare_starts(initial.model):
            initial = self._fit_from_births_and_kmeans(initial)
        elif is_first:
            initial = self._improve_on_subsamples(initial)
        if self._moves.bound_at_last_births == float("-inf"):
            initial = self.improve_converged(initial) or initial
        return initial

    def improve_converged(self, state: EMState) -> EMState | None:
        """Return the state after birth and merge moves, for EM to continue; None if no move raises the bound."""
        return _improve_state(self._moves, state)

    def _can_compare_starts(self, model: Model) -> bool:
        """Return whether `fit` compares births from this first model with fits from k-means.

        If the rows are condensed, `_improve_column` makes this comparison, unless components share a variance.
        """
        data, is_shared = self._problem.data, self._problem.family.is_shared
        has_births = model.n_components == 1 < self._moves.max_components <= len(data.sample.rows)
        return self._compares_starts and has_births and (is_shared or data.condensed_rows is None)

    def _fit_from_births_and_kmeans(self, initial: EMState) -> EMState:
        """Return the best of the fits to the sample of rows: one by births from the first model, and fits from k-means.

        Fits from k-means may find clusters that only several splits together separate. The first of these fits begins
        with as many components as births found, but at least `MIN_KMEANS_COMPONENTS`. Each time that a fit has a higher
        bound than the fits before, the next fit begins with twice as many components. Therefore, a limit on the number
        of components that is far too high takes hardly any time.
        """
        plan, moves, max_components = self._plan, self._moves, self._moves.max_components
        problem, fraction = _sample_problem(self._problem)
        plan = replace(
            plan,
            starts=[ModelStart(initial.model)],
            stopping=replace(plan.stopping, tolerance=plan.stopping.tolerance / fraction, is_watched=False),
            make_moves=partial(VariationalMoves, max_components, compares_starts=False),
        )
        plan.report_progress(f"Births on {problem.source.n_rows:,} rows")
        best = fit(problem, plan).final_state
        plan, n_components = replace(plan, starts=["kmeans"]), max(best.model.n_components, MIN_KMEANS_COMPONENTS)
        while not plan.should_end_moves():
            n_components = min(n_components, max_components)
            plan.report_progress(f"{n_components} components from k-means on {problem.source.n_rows:,} rows")
            other = fit(replace(problem, n_components=n_components), plan).final_state
            gain = other.trace.last_objective - best.trace.last_objective
            best = other if gain > 0 else best
            if gain < MAX_BOUND_DIFFERENCE or n_components == max_components:
                break
            n_components *= 2
        chosen = EMState(best.model, initial.trace)
        if problem is not self._problem:
            return _improve_state(moves, chosen, is_new=True) or chosen
        moves.bound_at_last_births = best.trace.last_objective * moves.objective.total_weight
        return chosen

    def _improve_on_subsamples(self, initial: EMState) -> EMState:
        """Return the state after moves on growing subsamples, then on all rows, or `initial` if there are no moves.

        With one feature, the moves use condensed rows (weighted values that represent all rows), and the C++ core runs
        EM on the condensed rows. Births that failed on condensed rows are not tried again on all rows. After
        convergence, the moves also use condensed rows to find merges that raise the bound.
        """
        data, plan, moves = self._problem.data, self._plan, self._moves
        condensed = data.condensed_rows
        if condensed is None:
            subsamples = [moves.for_sample(rows) for rows in data.draw_subsamples(plan.rng)]
            for each in (*subsamples, moves) if subsamples else ():
                initial = _improve_state(each, initial, is_new=True) or initial
            return initial
        result = self._improve_column(initial.model, condensed)
        if result is None:
            return initial
        model, bound = result
        if data.sample.distinct_index is not None:
            moves.sample, moves.bound_at_last_births, moves.sample_bound = condensed, bound, bound
        return EMState(model, initial.trace)

    def _improve_column(self, model: Model, rows: DistinctRows) -> tuple[Model, float] | None:
        """Improve a one-feature model by births and merges; return model and bound (nats), or None if C++ can't.

        If the model has one component, the moves also start from k-means, and the result with the higher bound is kept.
        Births are tried from the k-means result only if its bound differs from the bound of the first result.
        """
        problem, plan, moves = self._problem, self._plan, self._moves
        stopping = replace(plan.stopping, max_steps=CONDENSED_STEP_FACTOR * plan.stopping.max_steps)
        result, n_components = moves.improve_column(model, rows, stopping), moves.max_components
        if (
            result is None
            or model.n_components > 1
            or not 1 < n_components <= len(rows.rows)
            or plan.should_end_moves()
        ):
            return result
        partition = load_start("kmeans")(rows, problem.engine, n_components, plan.rng)
        first = InitialMoments(rows.as_source(problem.source), problem.engine, n_components, partition)
        start = first.model(problem.family, problem.objective)
        other = replace(moves, max_components=1).improve_column(start, rows, stopping)
        if other is not None and abs(other[1] - result[1]) > MAX_BOUND_DIFFERENCE * moves.objective.total_weight:
            other = moves.improve_column(other[0], rows, stopping)
        return result if other is None or not is_higher(other[1], result[1]) else other


def _improve_state(moves: BirthMergeMoves, state: EMState, *, is_new: bool = False) -> EMState | None:
    """Return the state after birth and merge moves, for EM to continue; None if no move raises the bound."""
    if state.trace.n_steps and moves.is_near_sample_bound(state.trace.last_objective):
        return None
    model = moves.apply_moves(state.model, has_new_rows=is_new)
    return None if model is None else EMState(model, state.trace)


def _sample_problem(problem: Problem) -> tuple[Problem, float]:
    """Return the problem with the sample of rows instead of all rows, and the sample's fraction of the weight.

    The problem is returned unchanged if the sample contains all rows, or if rows have measurement errors, because a
    sample has no measurement errors.
    """
    sample, source = problem.data.sample, problem.data.raw_source
    if sample.distinct_index is not None or source.has_errors:
        return problem, 1.0
    fraction = LEAF_ROWS / source.n_rows
    rows = sample.with_total_weight(fraction * source.row_totals.total_weight).as_source(source)
    return replace(problem, data=TrainingData(rows)), fraction
