"""Apply birth and merge moves of variational Bayes: on subsamples before the first EM step, and after convergence."""

from __future__ import annotations

from dataclasses import replace

from gaussmix._src.em.bayes.birth_merge_moves import MAX_BOUND_DIFFERENCE, BirthMergeMoves
from gaussmix._src.em.bayes.variational import VariationalObjective
from gaussmix._src.em.initialisation.base import load_start
from gaussmix._src.em.initialisation.initial import InitialMoments
from gaussmix._src.em.initialisation.sample import DistinctRows
from gaussmix._src.em.objective.trace import EMState
from gaussmix._src.em.step.best_of import is_higher
from gaussmix._src.fit.plan import Plan
from gaussmix._src.fit.problem import Problem
from gaussmix._src.model import Model

CONDENSED_STEP_FACTOR = 10  # factor on the step limit for condensed rows, because their steps are 20 times faster


class VariationalMoves:
    """Birth and merge moves, which change the number of components in one variational fit.

    Parameters
    ----------
    max_components : maximum number of components.
    problem, plan : problem and settings of the fit.
    """

    def __init__(self, max_components: int, problem: Problem, plan: Plan) -> None:
        assert isinstance(problem.objective, VariationalObjective), "made by `check_prior`"
        sample = problem.data.sample.without_negligible_rows
        of_fit = problem.source, problem.engine, problem.objective, sample, max_components, plan.rng
        self._problem, self._plan = problem, plan
        self._moves = BirthMergeMoves(*of_fit, plan.should_end_moves)

    def improve_first(self, initial: EMState, *, is_first: bool) -> EMState:
        """Make moves before the first EM step; return the new state. `is_first` is False if a fit is continued."""
        if is_first:
            initial = self._improve_on_subsamples(initial)
        if self._moves.bound_at_last_births == float("-inf"):
            initial = self.improve_converged(initial) or initial
        return initial

    def improve_converged(self, state: EMState) -> EMState | None:
        """Return the state after birth and merge moves, for EM to continue; None if no move raises the bound."""
        return _improve_state(self._moves, state)

    def _improve_on_subsamples(self, initial: EMState) -> EMState:
        """Return the state after moves on growing subsamples, then on all rows, or `initial` if there are no moves.

        With one feature, the moves use condensed rows (weighted values that represent all rows), and the C++ core runs
        EM on the condensed rows. Births that failed on condensed rows are not tried again on all rows. After
        convergence, the moves also use condensed rows to find merges that raise the bound.
        """
        data, plan, moves = self._problem.data, self._plan, self._moves
        condensed = data.condensed_rows
        if condensed is None:
            parts, marks = [moves.for_sample(rows) for rows in data.draw_subsamples(plan.rng)], None
            for each in (*parts, moves) if parts else ():
                each.split_marks = None if each is moves else marks
                initial, marks = _improve_state(each, initial, is_new=True) or initial, each.split_marks
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
