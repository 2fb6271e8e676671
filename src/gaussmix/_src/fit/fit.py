"""The one way to run a fit: EM from each start of a plan, and the highest run is kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gaussmix._src import validation
from gaussmix._src.em import curvature, initialisation
from gaussmix._src.em.collapse.remedies import Remedy, run_with
from gaussmix._src.em.curvature.standing import Standing, is_cheap
from gaussmix._src.em.initialisation.base import DETERMINISTIC, Partition, nearest_centre, start_named
from gaussmix._src.em.initialisation.initial import InitialMoments
from gaussmix._src.em.initialisation.sample import ROWS_OF_PARTS
from gaussmix._src.em.objective.objective import Objective
from gaussmix._src.em.objective.stopping import Stopping, after_last_step
from gaussmix._src.em.objective.trace import Frozen, State, Trace, final
from gaussmix._src.em.search.split_and_merge import USUAL_STEPS, split_and_merge
from gaussmix._src.em.step.best_of import Run, best_run, is_higher
from gaussmix._src.em.step.fast_path import model_of
from gaussmix._src.em.step.loop import run_em, sound_end
from gaussmix._src.em.step.many import MAX_ROWS_OF_ONE_CALL
from gaussmix._src.engines.calls import Groups
from gaussmix._src.errors import NonFiniteLikelihood, Outcome, SingularCovariance
from gaussmix._src.fit.plan import Drawn, Onward, Plan, Start, close_after_search, recipe_from, recipe_of
from gaussmix._src.fit.problem import Problem
from gaussmix._src.interfaces.leaves import LEAF_ROWS
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Rows
from gaussmix._src.sources.array import ArraySource
from gaussmix._src.sources.base import Source

if TYPE_CHECKING:
    from gaussmix._src.fit.features.base import Features

MANY = 4 * LEAF_ROWS  # rows: with more, EM settles on the sample of the starts first


class Fit(NamedTuple):
    """The result of the runs of a plan.

    Parameters
    ----------
    run : the end of the highest run.
    ends : the trace of each run that ended with a finite likelihood.
    """

    run: State
    ends: tuple[Trace, ...]


def fit(problem: Problem, plan: Plan, features: Features = ()) -> Fit:
    """Run EM from every start, and keep the end of the highest run.

    Parameters
    ----------
    problem, plan : what is fitted, and how.
    features : what the fit uses besides, in the order in which they apply.

    Raises
    ------
    SingularCovariance, NonFiniteLikelihood : as `best_run`.
    DegenerateError : as `run_with`.
    ValueError : the fit is to end at a maximum, but could not tell one.
    """
    plan, ends = plan.named(problem), list[Trace]()
    runs: Iterable[Run] = [partial(_run_from, problem, plan, number) for number in range(len(plan.starts))]
    for feature in features:
        runs = feature.runs(runs, problem, plan)
    if len(plan.starts) == 1 and not features:  # nothing to compare
        end = final(_run_from(problem, plan, 0, None))
        if end.outcome is Outcome.NON_FINITE:
            raise NonFiniteLikelihood
        return Fit(end, (end.trace,))
    return Fit(best_run((run(None) for run in runs), ends), tuple(ends))


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
    moves = None if plan.moves is None or not plan.stopping.max_steps else plan.moves(problem, plan)
    if moves is not None:
        begun = moves.before(begun, is_first=not begun.trace.n_steps and reached == float("-inf"))
    if plan.stopping.seeks_maximum:
        stopping = plan.stopping.still_unmet(begun.trace.objective)
    while stopping is not None:
        run = partial(run_em, problem.source, problem.engine, objective=problem.objective, stopping=stopping)
        run = partial(run, previous=reached, is_accelerated=plan.is_accelerated)
        stopping = None
        for state in run_with(problem.remedy, run, problem.objective, begun):
            begun = state
            if state.outcome is Outcome.CONVERGED and plan.stopping.seeks_maximum:
                stopping = plan.stopping.still_unmet(state.trace.objective)
                if stopping is not None and not _is_at_maximum(problem, state, stopping.most_left):
                    begun = state._replace(outcome=None)
                else:
                    stopping = None
            elif state.outcome is Outcome.CONVERGED and moves and (moved := moves.after(state)):
                begun, stopping = moved, plan.stopping
            yield begun


def _is_at_maximum(problem: Problem, state: State, most_left: float) -> bool:
    """Whether little is left to gain; raises ValueError where that can't be known."""
    found = standing_of(problem, state, is_asked=True)
    check_certifiable(found.why_not)
    return found.remaining_gain is not None and found.remaining_gain < most_left


def check_certifiable(why_not: str) -> None:
    """Raise ValueError if a fit that is to end at a maximum can't tell one."""
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
    found = curvature.certify.standing_of(run.model, problem.objective, run.trace, problem.source, problem.engine)
    return found if is_asked else replace(found, why_not="")


def _begun(problem: Problem, plan: Plan, start: Start, number: int) -> State:
    """The first state of a run; or the last, if the engine makes the whole run."""
    if isinstance(start, Onward):
        is_carried = problem.objective.floor.all()
        trace = Trace(frozen={} if is_carried else dict.fromkeys(start.collapsed, Frozen.COLLAPSED))
        return State(problem.objective.feasible(start.model), trace)
    made = _made_by_engine(problem, plan, start, number) if plan.in_one_call else None
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
    is_searched = isinstance(start, str) and start == "search"  # a larger search draws parts
    if block is None or block.n_rows > (ROWS_OF_PARTS - 1 if is_searched else MAX_ROWS_OF_ONE_CALL):
        return None
    before = plan.rng.bit_generator.state
    of_mixture = problem.family, problem.n_components
    if isinstance(start, str) and start in DETERMINISTIC:
        sharp = _drawn(problem, plan, start, number).moments.partition.sharp(block)
        recipe = recipe_from(sharp, *of_mixture, problem.objective.ridge, plan.stopping)
    else:
        recipe = recipe_of(start, *of_mixture, problem.source.n_features, problem.ridge, plan.stopping, plan.rng)
    fits = None if recipe is None else engine.fit_many(Groups.of_one(block, data.unit), recipe)
    course = None if fits is None else fits.course()
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
    if given is None:
        return _found(problem, plan, start, number)
    if given.weights is not None and given.means is not None and given.covariances is not None:
        return Model(given.weights, given.means, given.covariances, family).beside(problem.data.noise)
    found = _found(problem, plan, start, number)
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
    has_covariances = given is not None and given.covariances is not None
    objective = (problem.objective_with(None) if has_covariances else problem.objective).for_any
    if (
        isinstance(start, str) and given is not None and given.means is not None
    ):  # so that weights and covariances fit the given means
        of_fit = problem.source, problem.engine, problem.n_components
        means = given.means
        nearest = nearest_centre(means) if data.trim is None else data.trim.nearest(means, data.sample)
        first = _first_moments(problem, problem.source, initialisation.guided.guided(nearest, *of_fit, is_matched=True))
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
    how: dict[str, Any] = {"is_unwanted": plan.is_over, "n_steps": n_steps, "tell": plan.tell}
    alone = split_and_merge(model.without_noise, *of_search, **how)
    return alone.beside(model.noise)


def _first_moments(problem: Problem, source: Source, partition: Partition) -> InitialMoments:
    return InitialMoments(source, problem.engine, problem.n_components, partition, problem.data.noise)


def _drawn(problem: Problem, plan: Plan, start: Any, number: int) -> Drawn:
    """What a start draws, or drew for another structure of the same size; the generator ends alike."""
    if plan.shared is None:
        return _newly_drawn(problem, plan, start, problem.source)
    with plan.shared.one_at_a_time:
        made, key = plan.shared.made, (number, start if isinstance(start, str) else "")
        if key not in made:
            source = problem.data.trimmed(problem.data.labelled(problem.n_components))
            made[key] = _newly_drawn(problem, plan, start, source)
        plan.rng.bit_generator.state = made[key].after
        return made[key]


def _newly_drawn(problem: Problem, plan: Plan, start: Any, source: Source) -> Drawn:
    data, on_sample = problem.data, None
    few = data.condensed if plan.moves is not None and problem.n_components == 1 else None
    if isinstance(start, str) and few is not None:  # births are found on these rows first, and need only their moments
        partition, source = start_named(start)(few, problem.engine, 1, plan.rng), ArraySource(few.rows, few.weight)
    elif isinstance(start, str):
        of_fit = source, problem.engine, problem.n_components
        partition = initialisation.guided.guided(_partition(problem, plan, start), *of_fit)
        rows = ArraySource(data.sample.rows, data.sample.weight)
        rows.may_miss = source.may_miss
        on_sample = _first_moments(problem, data.trimmed(rows), partition)
    elif isinstance(start, Partition):
        partition = start
    else:
        partition, source = Partition(), _shared_by_user(problem, plan, start)
    return Drawn(_first_moments(problem, source, partition), on_sample, plan.rng.bit_generator.state)


def _partition(problem: Problem, plan: Plan, name: str) -> Partition:
    """How a named start shares the rows, regardless of labels."""
    data, of_sample = problem.data, (problem.data.sample, problem.engine, problem.n_components)
    if data.trim is None:
        return start_named(name)(*of_sample, plan.rng)
    has_covariances = plan.given is not None and plan.given.covariances is not None
    plain = data.objective(None if has_covariances else problem.ridge)  # a prior needs a structure
    return data.trim.partition(name, *of_sample, plain.ridge, plan.rng)


def _shared_by_user(problem: Problem, plan: Plan, start: Any) -> Source:
    """The rows with the labels or responsibilities that the user or the user's function gives."""
    data = problem.data
    shared = start(_rows_for_a_callable(data.source()), problem.n_components, plan.rng) if callable(start) else start
    shape = problem.source.n_rows, problem.n_components
    has_noise = data.noise is not None
    shares = validation.initial.check_given(
        shared, problem.source.row_weight, shape, returned=callable(start), has_noise=has_noise
    )
    return data.trimmed(data.source(shares))


def _settled_on_the_sample(problem: Problem, plan: Plan, drawn: Drawn, objective: Objective) -> Model | None:
    """The model that EM reaches on the sample of the starts, or a search from there; None if a component freezes.

    After a search it is the higher of two ends of EM on the sample: from where the search ended, and from its start.
    Also None if rows are few and the start asks for no search.
    """
    data, partition = problem.data, drawn.moments.partition
    has_places = partition.parameters is not None and (data.trim is not None or partition.centres is not None)
    is_plain = data.known is None and not problem.source.has_errors and plan.given is None
    pays = partition.searched is not None or problem.source.n_rows > MANY
    if drawn.on_sample is None or not (is_plain and has_places and pays and plan.stopping.max_steps > 0):
        return None
    rows = ArraySource(data.sample.rows, data.sample.weight)
    rows.may_miss = problem.source.may_miss
    sample = data.trimmed(rows)
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
