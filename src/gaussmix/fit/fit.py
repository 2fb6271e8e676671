"""The one way to run a fit: EM from each start of a plan, and the highest run is kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from gaussmix.door.initial import check_given
from gaussmix.em.bayes.bound_moves import BoundMoves, settled_column
from gaussmix.em.bayes.variational import Variational
from gaussmix.em.collapse.remedies import Remedy, run_with
from gaussmix.em.curvature.coordinates import refusal
from gaussmix.em.curvature.standing import Standing, is_cheap
from gaussmix.em.initialisation import STARTS, Partition
from gaussmix.em.initialisation.base import DETERMINISTIC, nearest_centre
from gaussmix.em.initialisation.guided import guided
from gaussmix.em.initialisation.initial import InitialMoments
from gaussmix.em.initialisation.sample import ROWS_OF_PARTS
from gaussmix.em.objective.objective import Objective
from gaussmix.em.objective.stopping import Stopping, after_last_step
from gaussmix.em.objective.trace import Frozen, State, Trace
from gaussmix.em.search.split_and_merge import USUAL_STEPS, split_and_merge
from gaussmix.em.step.best_of import best_run, is_higher
from gaussmix.em.step.fast_path import model_of
from gaussmix.em.step.loop import sound_end
from gaussmix.em.step.many import MAX_ROWS_OF_ONE_CALL
from gaussmix.em.trimming.trimming import nearest_trimmed, trimmed, trimmed_partition
from gaussmix.engines.calls import Groups
from gaussmix.errors import Outcome, SingularCovariance
from gaussmix.fit.plan import Drawn, Onward, Plan, Start, close_after_search, recipe_from, recipe_of
from gaussmix.fit.problem import Problem
from gaussmix.fit.watch import Watch
from gaussmix.model import Model
from gaussmix.numerics.arrays import Rows
from gaussmix.sources.array import ArraySource
from gaussmix.sources.base import Source
from gaussmix.waist.leaves import LEAF_ROWS

MANY = 4 * LEAF_ROWS  # rows: with more, EM settles on the sample of the starts first
STEPS_ON_FEW = 10  # times the limit on steps: on few rows that stand for all, steps take a twentieth of the time


class Fit(NamedTuple):
    """The result of the runs of a plan.

    Parameters
    ----------
    run : the end of the highest run.
    ends : the trace of each run that ended with a finite likelihood.
    """

    run: State
    ends: tuple[Trace, ...]


def fit(problem: Problem, plan: Plan, watch: Watch | None = None) -> Fit:
    """Run EM from every start, and keep the end of the highest run.

    Parameters
    ----------
    problem, plan : what is fitted, and how.
    watch : looks at each state, and may end the fit; it also begins the runs, or goes on with those of a checkpoint.

    Raises
    ------
    SingularCovariance, NonFiniteLikelihood : as `best_run`.
    DegenerateError : as `run_with`.
    ValueError : the fit is to end at a maximum, but could not tell one.
    """
    if plan.stopping.seeks_maximum:
        why = refusal(problem.family, problem.n_components, problem.source.n_features)
        _check_certifiable(why)
    watch = watch or Watch()
    plan, ends = replace(plan.named(problem), tell=watch.tell), list[Trace]()
    runs = [partial(_run_from, problem, plan, number) for number in range(len(plan.starts))]
    return Fit(best_run(watch.follow(runs, problem, plan), ends), tuple(ends))


def _run_from(problem: Problem, plan: Plan, number: int, begun: State | None) -> Iterator[State]:
    """The states of the run from a start, or from the state of a checkpoint."""
    start, reached = plan.starts[number], float("-inf")
    if isinstance(start, Onward):
        reached = start.reached
    if begun is None:
        begun = _begun(problem, plan, start, number)
    if begun.outcome is not None:
        yield begun
        return
    for state in _to_the_end(problem, plan, begun, reached):
        yield state
        if plan.is_unwanted() or (plan.ends_at_collapse and state.trace.collapsed):
            return


def _to_the_end(problem: Problem, plan: Plan, begun: State, reached: float) -> Iterator[State]:
    """The states of a run; one that seeks a maximum goes on with a lower tolerance where it has not reached one."""
    stopping: Stopping | None = plan.stopping
    moves = _moves_of_bound(problem, plan)
    if moves is not None and not begun.trace.n_steps and reached == float("-inf"):
        begun = _settled_on_few_rows(problem, plan, moves, begun)
    if moves is not None and moves.tried_at == float("-inf"):
        begun = _after(moves, begun) or begun
    if plan.stopping.seeks_maximum:
        stopping = plan.stopping.still_unmet(begun.trace.objective)
    while stopping is not None:
        of_run = problem.source, problem.engine, begun.model, problem.objective, stopping, reached, begun.trace
        stopping = None
        for state in run_with(problem.remedy, *of_run, is_accelerated=plan.is_accelerated):
            begun = state
            if state.outcome is Outcome.CONVERGED and plan.stopping.seeks_maximum:
                stopping = plan.stopping.still_unmet(state.trace.objective)
                if stopping is not None and not _is_at_maximum(problem, state, stopping.most_left):
                    begun = state._replace(outcome=None)
                else:
                    stopping = None
            elif state.outcome is Outcome.CONVERGED and (moved := _after(moves, state)) is not None:
                begun, stopping = moved, plan.stopping
            yield begun


def _moves_of_bound(problem: Problem, plan: Plan) -> BoundMoves | None:
    """The moves of variational Bayes; None where there are none."""
    objective = problem.objective
    if plan.most_components is None or not plan.stopping.max_steps or not isinstance(objective, Variational):
        return None
    sample = problem.data.sample.without_negligible
    of_fit = problem.source, problem.engine, objective, sample
    return BoundMoves(*of_fit, plan.most_components, plan.rng, partial(_is_unwanted, plan))


def _settled_on_few_rows(problem: Problem, plan: Plan, moves: BoundMoves, begun: State) -> State:
    """The state that moves reach on few rows, then on more, and then on all, which need few passes; else `begun`.

    Of one feature few rows stand for all, and the core makes steps of EM too: births that failed on them need no other
    try, and they tell which merges pay.
    """
    few = problem.data.condensed
    if few is None:
        parts = [moves.on(rows) for rows in problem.data.parts(plan.rng)]
        marks = None
        for each in (*parts, moves) if parts else ():
            each.marks = None if each is moves else marks
            begun = _after(each, begun, is_new=True) or begun
            marks = each.marks
        return begun
    stopping = replace(plan.stopping, max_steps=STEPS_ON_FEW * plan.stopping.max_steps)
    found = settled_column(begun.model, few, moves.objective, moves.most_components, stopping, plan.rng)
    if found is None:
        return begun
    model, bound = found
    if problem.data.sample.rank is not None:
        moves.sample, moves.tried_at, moves.settled_at = few, bound, bound
    return State(model, begun.trace)


def _after(moves: BoundMoves | None, state: State, *, is_new: bool = False) -> State | None:
    """The state after moves, to go on from; None if no move raises the bound."""
    if moves is None or (state.trace.n_steps and moves.have_settled(state.trace.last)):
        return None
    model = moves.raised(state.model, is_new=is_new)
    return None if model is None else State(model, state.trace)


def _is_at_maximum(problem: Problem, state: State, most_left: float) -> bool:
    """Whether little is left to gain; raises ValueError where that can't be known."""
    found = standing_of(problem, state, is_asked=True)
    _check_certifiable(found.why_not)
    return found.remaining_gain is not None and found.remaining_gain < most_left


def _check_certifiable(why_not: str) -> None:
    if why_not:
        raise ValueError(f'tol="auto" is not possible here: {why_not}. Set tol to a number.')


def standing_of(problem: Problem, run: State, ends: Sequence[Trace] = (), *, is_asked: bool | None) -> Standing:
    """How the end of a run stands to a maximum.

    Parameters
    ----------
    problem : what was fitted.
    run : its best run.
    ends : the traces of all runs, whose steps are the cost of the fit.
    is_asked : True to find it out, False not to; None to find it out where that costs at most a tenth of the fit.
    """
    if run.outcome in (Outcome.DEGENERATE, Outcome.NON_FINITE) or is_asked is False:
        return Standing()
    n_steps = sum(end.n_steps for end in ends)
    if is_asked is None and not is_cheap(run.model, problem.source, n_steps):
        return Standing()
    found = Standing.of(run.model, problem.objective, run.trace, problem.source, problem.engine)
    return found if is_asked else replace(found, why_not="")


def _begun(problem: Problem, plan: Plan, start: Start, number: int) -> State:
    """The first state of a run; or the last, if the engine makes the whole run."""
    if isinstance(start, Onward):
        is_carried = problem.objective.floor.all()
        trace = Trace(frozen={} if is_carried else dict.fromkeys(start.collapsed, Frozen.COLLAPSED))
        return State(problem.objective.feasible(start.model), trace)
    made = _made_by_engine(problem, plan, start, number) if plan.given.is_empty else None
    if made is not None:
        return made
    try:
        model = _initial_model(problem, plan, start, number)
    except SingularCovariance:
        if plan.instead is None or not (isinstance(start, str) and start == "search"):
            raise
        model = _initial_model(problem, plan, plan.instead, number)
    return State(problem.objective.feasible(model), Trace())


def _made_by_engine(problem: Problem, plan: Plan, start: Start, number: int) -> State | None:
    """The state that one call of the engine reaches from the start; None if Python has to begin.

    The bits are those of the usual way, and the generator ends in the same state.
    """
    data, block, engine = problem.data, problem.source.whole, problem.engine
    is_usual = problem.is_plain and data.noise is None and not plan.is_accelerated
    is_searched = isinstance(start, str) and start == "search"  # a larger search draws parts
    most = ROWS_OF_PARTS - 1 if is_searched else MAX_ROWS_OF_ONE_CALL
    if not is_usual or block is None or block.n_rows > most:
        return None
    before = plan.rng.bit_generator.state
    of_mixture = problem.family, problem.n_components
    if isinstance(start, str) and start in DETERMINISTIC:
        sharp = _drawn(problem, plan, start, number).moments.partition.sharp(block)
        recipe = recipe_from(sharp, *of_mixture, problem.objective.ridge, plan.stopping)
    else:
        recipe = recipe_of(start, *of_mixture, problem.source.n_features, problem.ridge, plan.stopping, plan.rng)
    fits = None if recipe is None else engine.fit_many(Groups.of_one(block, data.unit), recipe)
    course = None if fits is None else fits.course
    if fits is None or course is None:
        plan.rng.bit_generator.state = before
        return None
    if problem.ridge is None:
        vars(data)["ridge"] = fits.ridge[0]  # so that nobody sorts the columns again
    steps = course.log_likelihood
    outcome = plan.stopping.after(steps, float("-inf")) if steps else None
    return State(model_of(course, problem.family), Trace(tuple(steps), tuple(steps)), outcome)


def _initial_model(problem: Problem, plan: Plan, start: Start, number: int) -> Model:
    """The model that EM starts from: given parameters, and the rest from an M-step on shared rows.

    With more than `MANY` rows and nothing given, EM first runs on the sample of the starts: few passes over all rows
    are left then.
    """
    given, family = plan.given, problem.family
    if given.weights is not None and given.means is not None and given.covariances is not None:
        return Model(given.weights, given.means, given.covariances, family).beside(problem.data.noise)
    found = _found(problem, plan, start, number)
    if given.is_empty:
        return found
    return Model(
        found.without_noise.weights if given.weights is None else given.weights,
        found.means if given.means is None else given.means,
        found.covariances if given.covariances is None else given.covariances,
        family,
    ).beside(found.noise)


def _found(problem: Problem, plan: Plan, start: Start, number: int) -> Model:
    """The model of an M-step on the rows as a start shares them, or of EM on the sample from there."""
    data, given = problem.data, plan.given
    # Covariances that are given need not be found, so they can't be singular either.
    objective = (problem.objective if given.covariances is None else problem.objective_with(None)).for_any
    if isinstance(start, str) and given.means is not None:  # so that weights and covariances fit the given means
        of_fit = problem.source, problem.engine, problem.n_components
        nearest = nearest_trimmed(given.means, data.sample) if data.trim else nearest_centre(given.means)
        first = _first_moments(problem, problem.source, guided(nearest, *of_fit, is_matched=True))
    else:
        drawn = _drawn(problem, plan, start, number)
        settled = _settled_on_the_sample(problem, plan, drawn, objective)
        if settled is not None:
            return settled
        first = drawn.moments
    how = problem.source, plan.stopping.tolerance
    try:
        return _moved(problem, plan, first.model(problem.family, objective, *how), first.partition, objective)
    except SingularCovariance:
        if problem.remedy is Remedy.FREEZE:
            raise
    return first.model(problem.family, data.objective(None), *how)  # the first step finds what collapses


def _moved(
    problem: Problem, plan: Plan, model: Model, partition: Partition, objective: Objective, n_steps: int = USUAL_STEPS
) -> Model:
    """The model after the moves of a search, if the start asks for one; EM made `n_steps` before `model`."""
    if partition.searched is None:
        return model
    of_search = partition.searched, problem.engine, objective, np.random.default_rng(partition.seed)
    how: dict[str, Any] = {"is_unwanted": partial(_is_unwanted, plan), "n_steps": n_steps, "tell": plan.tell}
    alone = split_and_merge(model.without_noise, *of_search, **how)
    return alone.beside(model.noise)


def _is_unwanted(plan: Plan) -> bool:
    """Whether moves are to end."""
    return plan.is_unwanted() or plan.stopping.is_over()


def _first_moments(problem: Problem, source: Source, partition: Partition) -> InitialMoments:
    return InitialMoments(source, problem.engine, problem.n_components, partition, problem.data.noise)


def _drawn(problem: Problem, plan: Plan, start: Any, number: int) -> Drawn:
    """What a start draws, or drew for another structure of the same size; the generator ends alike."""
    if plan.shared is None:
        return _newly_drawn(problem, plan, start, problem.source)
    with plan.shared.one_at_a_time:
        made, key = plan.shared.made, (number, start if isinstance(start, str) else "")
        if key not in made:
            source = trimmed(problem.data.labelled(problem.n_components), problem.data.trim)
            made[key] = _newly_drawn(problem, plan, start, source)
        plan.rng.bit_generator.state = made[key].after
        return made[key]


def _newly_drawn(problem: Problem, plan: Plan, start: Any, source: Source) -> Drawn:
    data, on_sample = problem.data, None
    few = data.condensed if plan.most_components is not None and problem.n_components == 1 else None
    if isinstance(start, str) and few is not None:  # births are found on these rows first, and need only their moments
        partition, source = STARTS[start](few, problem.engine, 1, plan.rng), ArraySource(few.rows, few.weight)
    elif isinstance(start, str):
        partition = guided(_partition(problem, plan, start), source, problem.engine, problem.n_components)
        rows = ArraySource(data.sample.rows, data.sample.weight)
        rows.may_miss = source.may_miss
        on_sample = _first_moments(problem, trimmed(rows, data.trim), partition)
    elif isinstance(start, Partition):
        partition = start
    else:
        partition, source = Partition(), _shared_by_user(problem, plan, start)
    return Drawn(_first_moments(problem, source, partition), on_sample, plan.rng.bit_generator.state)


def _partition(problem: Problem, plan: Plan, name: str) -> Partition:
    """How a named start shares the rows, regardless of labels."""
    data, of_sample = problem.data, (problem.data.sample, problem.engine, problem.n_components)
    if not data.trim:
        return STARTS[name](*of_sample, plan.rng)
    plain = data.objective(problem.ridge if plan.given.covariances is None else None)  # a prior needs a structure
    return trimmed_partition(STARTS[name], *of_sample, plain.ridge, data.trim, plan.rng)


def _shared_by_user(problem: Problem, plan: Plan, start: Any) -> Source:
    """The rows with the labels or responsibilities that the user or the user's function gives."""
    data = problem.data
    shared = start(_rows_for_a_callable(data.source()), problem.n_components, plan.rng) if callable(start) else start
    shape = problem.source.n_rows, problem.n_components
    has_noise = data.noise is not None
    shares = check_given(shared, problem.source.row_weight, shape, returned=callable(start), has_noise=has_noise)
    return trimmed(data.source(shares), data.trim)


def _settled_on_the_sample(problem: Problem, plan: Plan, drawn: Drawn, objective: Objective) -> Model | None:
    """The model that EM reaches on the sample of the starts, or a search from there; None if a component freezes.

    After a search it is the higher of two ends of EM on the sample: from where the search ended, and from its start.
    Also None if rows are few and the start asks for no search.
    """
    data, partition = problem.data, drawn.moments.partition
    has_places = partition.parameters is not None and (data.trim > 0 or partition.centres is not None)
    is_plain = data.known is None and not problem.source.has_errors and plan.given.is_empty
    pays = partition.searched is not None or problem.source.n_rows > MANY
    if drawn.on_sample is None or not (is_plain and has_places and pays and plan.stopping.max_steps > 0):
        return None
    rows = ArraySource(data.sample.rows, data.sample.weight)
    rows.may_miss = problem.source.may_miss
    sample = trimmed(rows, data.trim)
    try:
        start = drawn.on_sample.model(problem.family, objective, sample, plan.stopping.tolerance)
    except SingularCovariance:
        return None
    end = _end(problem, plan, sample, start, objective, plan.stopping)
    if partition.searched is None:
        return None if end is None else end.model
    begun, n_steps = (start, USUAL_STEPS) if end is None else (end.model, end.trace.n_steps)
    found = _moved(problem, plan, begun, partition, objective, n_steps)
    searched = _end(problem, plan, sample, found, objective, close_after_search(plan.stopping, n_steps))
    if end is None or searched is None:
        return next((state.model for state in (end, searched) if state is not None), None)
    if not is_higher(searched.trace.last, after_last_step(end.trace.objective)):
        # Another step tells what EM has reached.
        end = _end(problem, plan, sample, end.model, objective, replace(plan.stopping, max_steps=1)) or end
    # Compared exactly: a tolerance relative to the log-likelihood would let the unit of the rows choose.
    return (searched if searched.trace.last > end.trace.last else end).model


def _end(problem: Problem, plan: Plan, rows: Source, start: Model, objective: Objective, how: Stopping) -> State | None:
    """The end of EM from a model; None if a component freezes."""
    plan.tell(f"EM on {rows.n_rows:,} rows")
    return sound_end(rows, problem.engine, start, objective, how, is_accelerated=plan.is_accelerated)


def _rows_for_a_callable(source: Source) -> Rows:
    """All rows as a read-only view, so that a callable can't change the user's data."""
    block = source.whole
    if block is None:
        raise ValueError("A callable init_params needs X to be one array in memory. Name a start instead.")
    view = block.rows.view()
    view.flags.writeable = False
    return view
