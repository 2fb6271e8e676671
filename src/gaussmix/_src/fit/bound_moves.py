"""The moves of variational Bayes in a fit: on few rows before the first step, and where steps have converged."""

from __future__ import annotations

from dataclasses import replace

from gaussmix._src.em.bayes.bound_moves import MAX_GAP_OF_BOUNDS, BoundMoves
from gaussmix._src.em.bayes.variational import Variational
from gaussmix._src.em.initialisation.base import start_named
from gaussmix._src.em.initialisation.initial import InitialMoments
from gaussmix._src.em.initialisation.sample import Distinct
from gaussmix._src.em.objective.trace import State
from gaussmix._src.em.step.best_of import is_higher
from gaussmix._src.fit.plan import Plan
from gaussmix._src.fit.problem import Problem
from gaussmix._src.model import Model
from gaussmix._src.sources.array import ArraySource

CONDENSED_STEP_FACTOR = 10  # times the limit on steps: on condensed rows, steps take a twentieth of the time


class FitMoves:
    """The moves of a fit.

    Parameters
    ----------
    max_components : the limit on them.
    problem, plan : what is fitted, and how.
    """

    def __init__(self, max_components: int, problem: Problem, plan: Plan) -> None:
        assert isinstance(problem.objective, Variational), "made by `check_prior`"
        sample = problem.data.sample.without_negligible
        of_fit = problem.source, problem.engine, problem.objective, sample, max_components, plan.rng
        self._problem, self._plan = problem, plan
        self._moves = BoundMoves(*of_fit, plan.is_over)

    def before(self, initial: State, *, is_first: bool) -> State:
        """The state to begin with. `is_first` says that no fit has come to it."""
        if is_first:
            initial = self._move_subsamples(initial)
        if self._moves.tried_at == float("-inf"):
            initial = self.after(initial) or initial
        return initial

    def after(self, state: State) -> State | None:
        """The state after moves, to go on from; None if no move raises the bound."""
        return _after(self._moves, state)

    def _move_subsamples(self, initial: State) -> State:
        """The state that moves reach on few rows, then on more, and then on all, which need few passes; else `initial`.

        Of one feature few rows stand for all, and the core makes steps of EM too: births that failed on them need no
        other try, and they show which merges pay.
        """
        data, plan, moves = self._problem.data, self._plan, self._moves
        condensed = data.condensed
        if condensed is None:
            parts = [moves.for_rows(rows) for rows in data.parts(plan.rng)]
            marks = None
            for each in (*parts, moves) if parts else ():
                each.marks = None if each is moves else marks
                initial = _after(each, initial, is_new=True) or initial
                marks = each.marks
            return initial
        result = self._improve_column(initial.model, condensed)
        if result is None:
            return initial
        model, bound = result
        if data.sample.rank is not None:
            moves.sample, moves.tried_at, moves.converged_bound = condensed, bound, bound
        return State(model, initial.trace)

    def _improve_column(self, model: Model, rows: Distinct) -> tuple[Model, float] | None:
        """As `BoundMoves.improve_column`; if the model has one component, the higher of the ends from it and k-means.

        Births from k-means are tried last, and only where both ends differ.
        """
        problem, plan, moves = self._problem, self._plan, self._moves
        stopping = replace(plan.stopping, max_steps=CONDENSED_STEP_FACTOR * plan.stopping.max_steps)
        result, n_components = moves.improve_column(model, rows, stopping), moves.max_components
        if result is None or model.n_components > 1 or not 1 < n_components <= len(rows.rows) or plan.is_over():
            return result
        partition = start_named("kmeans")(rows, problem.engine, n_components, plan.rng)
        first = InitialMoments(ArraySource(rows.rows, rows.weight), problem.engine, n_components, partition)
        start = first.model(problem.family, problem.objective)
        other = replace(moves, max_components=1).improve_column(start, rows, stopping)
        if other is not None and abs(other[1] - result[1]) > MAX_GAP_OF_BOUNDS * moves.objective.row_weight:
            other = moves.improve_column(other[0], rows, stopping)
        return result if other is None or not is_higher(other[1], result[1]) else other


def _after(moves: BoundMoves, state: State, *, is_new: bool = False) -> State | None:
    """The state after moves, to go on from; None if no move raises the bound."""
    if state.trace.n_steps and moves.have_converged(state.trace.last):
        return None
    model = moves.improve(state.model, is_new=is_new)
    return None if model is None else State(model, state.trace)
