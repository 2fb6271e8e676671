"""The one way to run a fit: EM from each start of a plan, and the highest run is the result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gaussmix._src import validation
from gaussmix._src.em import curvature, initialisation
from gaussmix._src.em.collapse.remedies import Remedy, run_with
from gaussmix._src.em.curvature.certificate import OptimalityCertificate, is_cheap
from gaussmix._src.em.initialisation.base import DETERMINISTIC, Partition, nearest_centre, start_named
from gaussmix._src.em.initialisation.initial import InitialMoments
from gaussmix._src.em.initialisation.sample import MIN_ROWS_OF_PARTS
from gaussmix._src.em.objective.objective import Objective
from gaussmix._src.em.objective.stopping import Stopping, after_last_step
from gaussmix._src.em.objective.trace import Frozen, State, Trace, final
from gaussmix._src.em.search.split_and_merge import USUAL_STEPS, silent, split_and_merge
from gaussmix._src.em.step.best_of import Run, best_run, is_higher
from gaussmix._src.em.step.fast_path import final_model
from gaussmix._src.em.step.loop import run_em, sound_end
from gaussmix._src.em.step.one_call import MAX_ROWS_OF_ONE_CALL
from gaussmix._src.engines.calls import Groups
from gaussmix._src.errors import NonFiniteLikelihood, Outcome, SingularCovariance
from gaussmix._src.fit.plan import Draw, ModelStart, Plan, Start, close_after_search, fit_settings, label_settings
from gaussmix._src.fit.problem import Problem
from gaussmix._src.interfaces.leaves import LEAF_ROWS
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Rows
from gaussmix._src.sources.array import ArraySource
from gaussmix._src.sources.base import Source

if TYPE_CHECKING:
    from gaussmix._src.fit.features.base import Features

MIN_PREFIT_ROWS = 4 * LEAF_ROWS  # rows: with more, EM converges on the sample of the starts first


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
    ValueError : the fit is to end at a maximum, but could not certify one.
    """
    plan, ends = plan.named(problem), list[Trace]()
    runs: Iterable[Run] = [partial(_run_from, problem, plan, index) for index in range(len(plan.starts))]
    for feature in features:
        runs = feature.runs(runs, problem, plan)
    if len(plan.starts) == 1 and not features:  # nothing to compare
        end = final(_run_from(problem, plan, 0, None))
        if end.outcome is Outcome.NON_FINITE:
            raise NonFiniteLikelihood
        return Fit(end, (end.trace,))
    return Fit(best_run((run(None) for run in runs), ends), tuple(ends))


def _run_from(problem: Problem, plan: Plan, index: int, initial: State | None) -> Iterator[State]:
    """The states of the run from a start, or from the state of a checkpoint."""
    start, last_objective = plan.starts[index], float("-inf")
    if isinstance(start, ModelStart):
        last_objective = start.last_objective
    if initial is None:
        initial = _first_state(problem, plan, start, index)
    if initial.outcome is not None:
        yield initial
        return
    for state in _run_to_end(problem, plan, initial, last_objective):
        yield state
        if plan.should_stop() or (plan.ends_at_collapse and state.trace.collapsed):
            return


def _run_to_end(problem: Problem, plan: Plan, initial: State, last_objective: float) -> Iterator[State]:
    """The states of a run; one that seeks a maximum goes on with a lower tolerance where it has not reached one."""
    stopping: Stopping | None = plan.stopping
    moves = None if plan.moves is None or not plan.stopping.max_steps else plan.moves(problem, plan)
    if moves is not None:
        initial = moves.before(initial, is_first=not initial.trace.n_steps and last_objective == float("-inf"))
    if plan.stopping.seeks_maximum:
        stopping = plan.stopping.remaining_rule(initial.trace.objective)
    while stopping is not None:
        run = partial(run_em, problem.source, problem.engine, objective=problem.objective, stopping=stopping)
        run = partial(run, previous=last_objective, is_accelerated=plan.is_accelerated)
        stopping = None
        for state in run_with(problem.remedy, run, problem.objective, initial):
            initial = state
            if state.outcome is Outcome.CONVERGED and plan.stopping.seeks_maximum:
                stopping = plan.stopping.remaining_rule(state.trace.objective)
                if stopping is not None and not _is_at_maximum(problem, state, stopping.max_remaining_gain):
                    initial = state._replace(outcome=None)
                else:
                    stopping = None
            elif state.outcome is Outcome.CONVERGED and moves and (moves_end := moves.after(state)):
                initial, stopping = moves_end, plan.stopping
            yield initial


def _is_at_maximum(problem: Problem, state: State, max_remaining_gain: float) -> bool:
    """Whether little is left to gain; raises ValueError where that can't be known."""
    result = find_certificate(problem, state, is_requested=True)
    check_certifiable(result.why_not)
    return result.remaining_gain is not None and result.remaining_gain < max_remaining_gain


def check_certifiable(why_not: str) -> None:
    """Raise ValueError if a fit that is to end at a maximum can't certify one."""
    if why_not:
        raise ValueError(f'tol="auto" is not possible here: {why_not}. Set tol to a number.')


def find_certificate(
    problem: Problem, run: State, ends: Sequence[Trace] = (), *, is_requested: bool | None
) -> OptimalityCertificate:
    """How the end of a run stands to a maximum.

    Parameters
    ----------
    problem : what was fitted.
    run : its best run.
    ends : the traces of all runs, whose steps are the cost of the fit.
    is_requested : True to find it out, False not to; None to find it out where that costs at most a tenth of the fit.
    """
    if run.outcome in (Outcome.DEGENERATE, Outcome.NON_FINITE) or is_requested is False:
        return OptimalityCertificate()
    n_steps = sum(end.n_steps for end in ends)
    if is_requested is None and not is_cheap(run.model, problem.source, n_steps):
        return OptimalityCertificate()
    result = curvature.certify.find_certificate(run.model, problem.objective, run.trace, problem.source, problem.engine)
    return result if is_requested else replace(result, why_not="")


def _first_state(problem: Problem, plan: Plan, start: Start, index: int) -> State:
    """The first state of a run; or the last, if the engine makes the whole run."""
    if isinstance(start, ModelStart):
        is_carried = problem.objective.floor.all()
        trace = Trace(frozen={} if is_carried else dict.fromkeys(start.collapsed, Frozen.COLLAPSED))
        return State(problem.objective.feasible(start.model), trace)
    made = _run_in_engine(problem, plan, start, index) if plan.in_one_call else None
    if made is not None:
        return made
    try:
        model = _initial_model(problem, plan, start, index)
    except SingularCovariance:
        if plan.fallback is None or not (isinstance(start, str) and start == "search"):
            raise
        model = _initial_model(problem, plan, plan.fallback, index)
    return State(problem.objective.feasible(model), Trace())


def _run_in_engine(problem: Problem, plan: Plan, start: Start, index: int) -> State | None:
    """The state that one call of the engine reaches from the start; None if Python has to begin.

    The bits are those of the usual way, and the generator ends in the same state.
    """
    data, block, engine = problem.data, problem.source.whole, problem.engine
    is_searched = isinstance(start, str) and start == "search"
    # A search reads no more than the sample; where ascents are reported, Python begins.
    max_rows = MAX_ROWS_OF_ONE_CALL if not is_searched else LEAF_ROWS if plan.report is silent else MIN_ROWS_OF_PARTS
    if block is None or block.n_rows > max_rows:
        return None
    before = plan.rng.bit_generator.state
    of_mixture = problem.family, problem.n_components
    if isinstance(start, str) and start in DETERMINISTIC:
        sharp = _draw_start(problem, plan, start, index).moments.partition.sharp(block)
        settings = label_settings(sharp, *of_mixture, problem.objective.ridge, plan.stopping)
    else:
        settings = fit_settings(start, *of_mixture, problem.source.n_features, problem.ridge, plan.stopping, plan.rng)
    fits = None if settings is None else engine.fit_many(Groups.from_block(block, data.unit), settings)
    history = None if fits is None else fits.run_history()
    if fits is None or history is None:
        plan.rng.bit_generator.state = before
        return None
    if problem.ridge is None:
        vars(data)["ridge"] = fits.ridge[0]  # so that nobody sorts the columns again
    steps = history.log_likelihood
    outcome = plan.stopping.after(steps, float("-inf")) if steps else None
    return State(final_model(history, problem.family), Trace(tuple(steps), tuple(steps)), outcome)


def _initial_model(problem: Problem, plan: Plan, start: Start, index: int) -> Model:
    """The model that EM starts from: given parameters, and the rest from an M-step on shared rows.

    With more than `MIN_PREFIT_ROWS` rows and no initial parameters, EM first runs on the sample of the starts, which
    leaves few passes over all rows.
    """
    user_init, family = plan.user_init, problem.family
    if user_init is None:
        return _model_from_start(problem, plan, start, index)
    if user_init.weights is not None and user_init.means is not None and user_init.covariances is not None:
        return Model(user_init.weights, user_init.means, user_init.covariances, family).beside(problem.data.noise)
    result = _model_from_start(problem, plan, start, index)
    return Model(
        result.without_noise.weights if user_init.weights is None else user_init.weights,
        result.means if user_init.means is None else user_init.means,
        result.covariances if user_init.covariances is None else user_init.covariances,
        family,
    ).beside(result.noise)


def _model_from_start(problem: Problem, plan: Plan, start: Start, index: int) -> Model:
    """The model of an M-step on the rows as a start assigns them, or of EM on the sample from there."""
    data, user_init = problem.data, plan.user_init
    # Covariances that are given need not be found, so they can't be singular either.
    has_covariances = user_init is not None and user_init.covariances is not None
    objective = (replace(problem, ridge=None) if has_covariances else problem).objective.without_component_terms
    if isinstance(start, str) and user_init is not None and user_init.means is not None:
        # Weights and covariances are to fit the given means.
        of_fit = problem.source, problem.engine, problem.n_components
        means = user_init.means
        nearest = nearest_centre(means) if data.trim is None else data.trim.nearest(means, data.sample)
        first = _first_moments(problem, problem.source, initialisation.guided.guided(nearest, *of_fit, is_matched=True))
    else:
        draw = _draw_start(problem, plan, start, index)
        sample_fit = _fit_sample(problem, plan, draw, objective)
        if sample_fit is not None:
            return sample_fit
        first = draw.moments
    how = problem.source, plan.stopping.tolerance
    try:
        return _search_from(problem, plan, first.model(problem.family, objective, *how), first.partition, objective)
    except SingularCovariance:
        if problem.remedy is Remedy.FREEZE:
            raise
    return first.model(problem.family, data.objective(None), *how)  # the first step finds what collapses


def _search_from(
    problem: Problem, plan: Plan, model: Model, partition: Partition, objective: Objective, n_steps: int = USUAL_STEPS
) -> Model:
    """The model after the moves of a search, if the start asks for one; EM made `n_steps` before `model`."""
    if partition.searched is None:
        return model
    of_search = partition.searched, problem.engine, objective, np.random.default_rng(partition.seed)
    how: dict[str, Any] = {"should_stop": plan.is_over, "n_steps": n_steps, "report": plan.report}
    alone = split_and_merge(model.without_noise, *of_search, **how)
    return alone.beside(model.noise)


def _first_moments(problem: Problem, source: Source, partition: Partition) -> InitialMoments:
    return InitialMoments(source, problem.engine, problem.n_components, partition, problem.data.noise)


def _draw_start(problem: Problem, plan: Plan, start: Any, index: int) -> Draw:
    """What a start draws, or drew for another structure of the same size; the generator ends alike."""
    if plan.shared is None:
        return _new_draw(problem, plan, start, problem.source)
    with plan.shared.one_at_a_time:
        made, key = plan.shared.made, (index, start if isinstance(start, str) else "")
        if key not in made:
            source = problem.data.trimmed(problem.data.labelled(problem.n_components))
            made[key] = _new_draw(problem, plan, start, source)
        plan.rng.bit_generator.state = made[key].after
        return made[key]


def _new_draw(problem: Problem, plan: Plan, start: Any, source: Source) -> Draw:
    data, sample_moments = problem.data, None
    some = data.condensed if plan.moves is not None and problem.n_components == 1 else None
    if isinstance(start, str) and some is not None:  # births are found on these rows first, and need only their moments
        partition, source = start_named(start)(some, problem.engine, 1, plan.rng), ArraySource(some.rows, some.weight)
    elif isinstance(start, str):
        of_fit = source, problem.engine, problem.n_components
        partition = initialisation.guided.guided(_partition(problem, plan, start), *of_fit)
        rows = ArraySource(data.sample.rows, data.sample.weight)
        rows.may_miss = source.may_miss
        sample_moments = _first_moments(problem, data.trimmed(rows), partition)
    elif isinstance(start, Partition):
        partition = start
    else:
        partition, source = Partition(), _source_from_user(problem, plan, start)
    return Draw(_first_moments(problem, source, partition), sample_moments, plan.rng.bit_generator.state)


def _partition(problem: Problem, plan: Plan, name: str) -> Partition:
    """How a named start assigns the rows, regardless of labels."""
    data, of_sample = problem.data, (problem.data.sample, problem.engine, problem.n_components)
    if data.trim is None:
        return start_named(name)(*of_sample, plan.rng)
    has_covariances = plan.user_init is not None and plan.user_init.covariances is not None
    plain = data.objective(None if has_covariances else problem.ridge)  # a prior needs a structure
    return data.trim.partition(name, *of_sample, plain.ridge, plan.rng)


def _source_from_user(problem: Problem, plan: Plan, start: Any) -> Source:
    """The rows with the labels or responsibilities that the user or the user's function gives."""
    data = problem.data
    shared = start(_rows_for_a_callable(data.source()), problem.n_components, plan.rng) if callable(start) else start
    shape = problem.source.n_rows, problem.n_components
    has_noise = data.noise is not None
    how = {"returned": callable(start), "has_noise": has_noise}
    responsibilities = validation.initial.check_assignment(shared, problem.source.row_weight, shape, **how)
    return data.trimmed(data.source(responsibilities))


def _fit_sample(problem: Problem, plan: Plan, draw: Draw, objective: Objective) -> Model | None:
    """The model that EM reaches on the sample of the starts, or a search from there; None if a component freezes.

    After a search it is the higher of two ends of EM on the sample: from where the search ended, and from its start.
    Also None if rows are few and the start asks for no search.
    """
    data, partition = problem.data, draw.moments.partition
    has_positions = partition.parameters is not None and (data.trim is not None or partition.centres is not None)
    is_plain = data.labels is None and not problem.source.has_errors and plan.user_init is None
    pays = partition.searched is not None or problem.source.n_rows > MIN_PREFIT_ROWS
    if draw.sample_moments is None or not (is_plain and has_positions and pays and plan.stopping.max_steps > 0):
        return None
    rows = ArraySource(data.sample.rows, data.sample.weight)
    rows.may_miss = problem.source.may_miss
    sample = data.trimmed(rows)
    try:
        start = draw.sample_moments.model(problem.family, objective, sample, plan.stopping.tolerance)
    except SingularCovariance:
        return None
    end = _end(problem, plan, sample, start, objective, plan.stopping)
    if partition.searched is None:
        return None if end is None else end.model
    initial, n_steps = (start, USUAL_STEPS) if end is None else (end.model, end.trace.n_steps)
    result = _search_from(problem, plan, initial, partition, objective, n_steps)
    searched = _end(problem, plan, sample, result, objective, close_after_search(plan.stopping, n_steps))
    if end is None or searched is None:
        return next((state.model for state in (end, searched) if state is not None), None)
    if not is_higher(searched.trace.last, after_last_step(end.trace.objective)):
        # Another step tells what EM has reached.
        end = _end(problem, plan, sample, end.model, objective, replace(plan.stopping, max_steps=1)) or end
    # Compared exactly: a tolerance relative to the log-likelihood would let the unit of the rows choose.
    return (searched if searched.trace.last > end.trace.last else end).model


def _end(problem: Problem, plan: Plan, rows: Source, start: Model, objective: Objective, how: Stopping) -> State | None:
    """The end of EM from a model; None if a component freezes."""
    plan.report(f"EM on {rows.n_rows:,} rows")
    return sound_end(rows, problem.engine, start, objective, how, is_accelerated=plan.is_accelerated)


def _rows_for_a_callable(source: Source) -> Rows:
    """All rows as a read-only view, so that a callable can't change the user's data."""
    block = source.whole
    if block is None:
        raise ValueError("A callable init_params needs X to be one array in memory. Name a start instead.")
    view = block.rows.view()
    view.flags.writeable = False
    return view
