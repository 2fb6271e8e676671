"""The moves of variational Bayes in a fit: on few rows before the first step, and where steps have converged."""

from __future__ import annotations

from dataclasses import replace

from gaussmix._src.em.bayes.bound_moves import BoundMoves
from gaussmix._src.em.bayes.variational import Variational
from gaussmix._src.em.objective.trace import State
from gaussmix._src.fit.plan import Plan
from gaussmix._src.fit.problem import Problem

STEPS_ON_FEW = 10  # times the limit on steps: on few rows that stand for all, steps take a twentieth of the time


class MovesOfFit:
    """The moves of a fit.

    Parameters
    ----------
    most_components : the limit on them.
    problem, plan : what is fitted, and how.
    """

    def __init__(self, most_components: int, problem: Problem, plan: Plan) -> None:
        assert isinstance(problem.objective, Variational), "made by `check_prior`"
        sample = problem.data.sample.without_negligible
        of_fit = problem.source, problem.engine, problem.objective, sample, most_components, plan.rng
        self._problem, self._plan = problem, plan
        self._moves = BoundMoves(*of_fit, plan.is_over)

    def before(self, begun: State, *, is_first: bool) -> State:
        """The state to begin with. `is_first` says that no fit has come to it."""
        if is_first:
            begun = self._settled_on_few_rows(begun)
        if self._moves.tried_at == float("-inf"):
            begun = self.after(begun) or begun
        return begun

    def after(self, state: State) -> State | None:
        """The state after moves, to go on from; None if no move raises the bound."""
        return _after(self._moves, state)

    def _settled_on_few_rows(self, begun: State) -> State:
        """The state that moves reach on few rows, then on more, and then on all, which need few passes; else `begun`.

        Of one feature few rows stand for all, and the core makes steps of EM too: births that failed on them need no
        other try, and they tell which merges pay.
        """
        data, plan, moves = self._problem.data, self._plan, self._moves
        few = data.condensed
        if few is None:
            parts = [moves.on(rows) for rows in data.parts(plan.rng)]
            marks = None
            for each in (*parts, moves) if parts else ():
                each.marks = None if each is moves else marks
                begun = _after(each, begun, is_new=True) or begun
                marks = each.marks
            return begun
        stopping = replace(plan.stopping, max_steps=STEPS_ON_FEW * plan.stopping.max_steps)
        found = moves.settled_column(begun.model, few, stopping)
        if found is None:
            return begun
        model, bound = found
        if data.sample.rank is not None:
            moves.sample, moves.tried_at, moves.settled_at = few, bound, bound
        return State(model, begun.trace)


def _after(moves: BoundMoves, state: State, *, is_new: bool = False) -> State | None:
    """The state after moves, to go on from; None if no move raises the bound."""
    if state.trace.n_steps and moves.have_settled(state.trace.last):
        return None
    model = moves.raised(state.model, is_new=is_new)
    return None if model is None else State(model, state.trace)
