"""Run EM from every initialisation of a plan, and select the best run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gaussmix._src import fit as fitting
from gaussmix._src import validation
from gaussmix._src.em import curvature, initialisation
from gaussmix._src.em.collapse.remedies import Remedy, run_with_remedy
from gaussmix._src.em.curvature.certificate import OptimalityCertificate, is_certificate_cheap
from gaussmix._src.em.initialisation.base import DETERMINISTIC_STARTS, Partition, load_start, nearest_centre
from gaussmix._src.em.initialisation.initial import InitialMoments
from gaussmix._src.em.initialisation.kmeans import MIN_COMPLETE_FRACTION
from gaussmix._src.em.initialisation.sample import MIN_ROWS_TO_SUBSAMPLE
from gaussmix._src.em.objective.objective import Objective
from gaussmix._src.em.objective.stopping import StopRule, extrapolate_objective
from gaussmix._src.em.objective.trace import EMState, FreezeReason, SearchReport, Trace, final_state
from gaussmix._src.em.search.split_and_merge import DEFAULT_STEPS, least_gain, report_nothing, split_and_merge
from gaussmix._src.em.step.best_of import EMRun, best_run, is_higher
from gaussmix._src.em.step.fast_path import model_from_history
from gaussmix._src.em.step.loop import run_em, run_to_sound_end
from gaussmix._src.em.step.one_call import MAX_ROWS_OF_ONE_CALL
from gaussmix._src.engines.calls import RowGroups
from gaussmix._src.errors import NonFiniteLikelihood, Outcome, SingularCovarianceError
from gaussmix._src.fit.plan import (
    MIN_RIDGE_FRACTION,
    ModelStart,
    Plan,
    SizedStart,
    Start,
    StartDraw,
    fit_settings,
    is_scaled,
    label_settings,
    search_stopping,
)
from gaussmix._src.fit.problem import Problem
from gaussmix._src.interfaces.leaves import LEAF_ROWS
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Rows
from gaussmix._src.sources.array import ArraySource
from gaussmix._src.sources.base import Source

if TYPE_CHECKING:
    from gaussmix._src.fit.options.base import FitOptions

SAMPLED_ROWS_PER_CELL = 32  # number of sampled rows per component, used by the initialisation "tree"
MIN_PREFIT_ROWS = 4 * LEAF_ROWS  # with more rows than this, EM first runs on the sample used for initialisation


class BestRun(NamedTuple):
    """The best of the EM runs from all initialisations of a plan.

    Parameters
    ----------
    final_state : final state of the run with the highest objective.
    run_traces : trace of each EM run that ended with a finite likelihood.
    problem : problem that the best run solved; without the automatic ridge, if EM continued without the ridge.
    """

    final_state: EMState
    run_traces: tuple[Trace, ...]
    problem: Problem


def fit(problem: Problem, plan: Plan, options: FitOptions = ()) -> BestRun:
    """Run EM from every initialisation, and return the run with the highest objective.

    Parameters
    ----------
    problem, plan : problem and settings of the fit.
    options : options of the fit, in the order in which they apply.

    Raises
    ------
    SingularCovarianceError, NonFiniteLikelihood : see `best_run`, which raises these errors.
    DegenerateError : see `run_with_remedy`, which raises this error.
    ValueError : ``tol="auto"`` requires a fit at a maximum, but it can't be checked that the fit is at a maximum.
    """
    plan, ends = plan.resolve_auto(problem), list[Trace]()
    if len(plan.starts) == 1 and not options:  # there are no runs to compare
        end = final_state(_run_from_start(problem, plan, 0, None))
        if end.outcome is Outcome.NON_FINITE:
            raise NonFiniteLikelihood
        ends.append(end.trace)
    else:
        runs: Iterable[EMRun] = [partial(_run_from_start, problem, plan, index) for index in range(len(plan.starts))]
        for option in options:
            runs = option.adapt_runs(runs, problem, plan)
        end = best_run((run(None) for run in runs), ends)
    is_automatic = problem.ridge is None and plan.candidate is None
    if is_automatic and end.model.covariances.ridge_fractions(problem.objective.ridge).max() > MIN_RIDGE_FRACTION:
        end, problem = fitting.ridge.end_without_ridge(problem, plan, end)
    return BestRun(end, tuple(ends), problem)


def _run_from_start(problem: Problem, plan: Plan, start_index: int, initial: EMState | None) -> Iterator[EMState]:
    """Yield the states of one run, from its initialisation or from the state in a checkpoint."""
    start, last_objective = plan.starts[start_index], float("-inf")
    if isinstance(start, ModelStart):
        last_objective = start.last_objective
    if isinstance(start, SizedStart):
        problem, start = replace(problem, n_components=start.n_components), start.name
    if initial is None:
        initial = _make_first_state(problem, plan, start, start_index)
    if initial.outcome is not None:
        yield initial
        return
    search = initial.trace.search
    for state in _run_to_end(problem, plan, initial, last_objective):
        yield state if search is None else state._replace(trace=replace(state.trace, search=search))
        if plan.should_stop() or (plan.ends_at_collapse and state.trace.collapsed_components):
            return


def _run_to_end(problem: Problem, plan: Plan, initial: EMState, last_objective: float) -> Iterator[EMState]:
    """Yield the states of a run; if the plan seeks a maximum, continue with lower tolerances until one is reached."""
    stopping: StopRule | None = plan.stopping
    moves = None if plan.make_moves is None or not plan.stopping.max_steps else plan.make_moves(problem, plan)
    if moves is not None:
        initial = moves.improve_first(initial, is_first=not initial.trace.n_steps and last_objective == float("-inf"))
    if plan.stopping.seeks_maximum:
        stopping = plan.stopping.stricter_rule(initial.trace.objective)
    while stopping is not None:
        run = partial(run_em, problem.source, problem.engine, objective=problem.objective, stopping=stopping)
        run, stopping = partial(run, previous_objective=last_objective, is_accelerated=plan.is_accelerated), None
        for state in run_with_remedy(problem.remedy, run, problem.objective, initial):
            initial = state
            if state.outcome is Outcome.CONVERGED and plan.stopping.seeks_maximum:
                stopping = plan.stopping.stricter_rule(state.trace.objective)
                if stopping is not None and not _is_at_maximum(problem, state, stopping.max_remaining_gain):
                    initial = state._replace(outcome=None)
                else:
                    stopping = None
            elif state.outcome is Outcome.CONVERGED and moves and (moves_end := moves.improve_converged(state)):
                initial, stopping = moves_end, plan.stopping
            yield initial


def _is_at_maximum(problem: Problem, state: EMState, max_remaining_gain: float) -> bool:
    """Return whether EM's remaining gain is below `max_remaining_gain`; raise ValueError if the check is impossible."""
    result = find_certificate(problem, state, is_requested=True)
    check_certifiable(result.why_not)
    return result.remaining_gain is not None and result.remaining_gain < max_remaining_gain


def check_certifiable(obstacle: str) -> None:
    """Raise ValueError if `obstacle` is a reason why it can't be checked that a fit is at a maximum."""
    if obstacle:
        raise ValueError(f'tol="auto" is not possible here: {obstacle}. Set tol to a number.')


def find_certificate(
    problem: Problem, final_state: EMState, run_traces: Sequence[Trace] = (), *, is_requested: bool | None
) -> OptimalityCertificate:
    """Check whether the final state of a run is near a maximum of the objective.

    Parameters
    ----------
    problem : problem that the run solved.
    final_state : final state of the best run.
    run_traces : traces of all runs; their total number of steps measures the cost of the fit.
    is_requested : whether to make the check; None to make it only if it costs at most a tenth of the fit's cost.
    """
    if final_state.outcome in (Outcome.DEGENERATE, Outcome.NON_FINITE) or is_requested is False:
        return OptimalityCertificate()
    n_steps = sum(end.n_steps for end in run_traces)
    is_remote = problem.data.raw_source.is_on_device  # the check would copy all rows from the device
    if is_requested is None and (is_remote or not is_certificate_cheap(final_state.model, problem.source, n_steps)):
        return OptimalityCertificate()
    model, trace, rows = final_state.model, final_state.trace, (problem.source, problem.engine)
    result = curvature.certify.find_certificate(model, problem.objective, trace, *rows)
    return result if is_requested else replace(result, why_not="")


def _make_first_state(problem: Problem, plan: Plan, start: Start, start_index: int) -> EMState:
    """Return the first state of a run, or its final state if the engine runs all EM steps in one call."""
    if isinstance(start, ModelStart):
        is_carried = problem.objective.variance_floor.all()
        trace = Trace(frozen_components={} if is_carried else dict.fromkeys(start.collapsed, FreezeReason.COLLAPSED))
        return EMState(problem.objective.nearest_feasible(start.model), trace)
    made = _run_in_engine(problem, plan, start, start_index) if plan.can_run_in_engine else None
    if made is not None:
        return made
    if isinstance(start, str) and start == "search":
        plan = replace(plan, search=SearchReport())
    try:
        model = _initial_model(problem, plan, start, start_index)
    except SingularCovarianceError:
        if plan.fallback_start is None or not (isinstance(start, str) and start == "search"):
            raise
        model = _initial_model(problem, replace(plan, search=None), plan.fallback_start, start_index)
    if plan.search is not None:
        plan.report_progress(f"Search: {plan.search}")
    return EMState(problem.objective.nearest_feasible(model), Trace(search=plan.search))


def _run_in_engine(problem: Problem, plan: Plan, start: Start, start_index: int) -> EMState | None:
    """Run EM in one call of the engine, and return the final state; None if the run must begin in Python.

    A run that begins in Python returns a bit-identical state and leaves the random generator in the same state.
    """
    data, block, engine = problem.data, problem.source.whole, problem.engine
    is_searched, is_silent = isinstance(start, str) and start == "search", plan.report_progress is report_nothing
    # A search reads at most a sample. Python runs searches of over MIN_ROWS_TO_SUBSAMPLE rows if progress is reported.
    max_rows = (LEAF_ROWS if is_silent else MIN_ROWS_TO_SUBSAMPLE) if is_searched else MAX_ROWS_OF_ONE_CALL
    if block is None or block.n_rows > max_rows:
        return None
    before = plan.rng.bit_generator.state
    of_mixture = problem.family, problem.n_components
    if isinstance(start, str) and start in DETERMINISTIC_STARTS:
        partition = _draw_start(problem, plan, start, start_index).moments.partition
        sharp = partition.hard_assignment(block)
        settings = label_settings(sharp, *of_mixture, problem.objective.ridge, plan.stopping)
        settings = None if settings is None else settings._replace(unit=partition.unit)
    else:
        settings = fit_settings(start, *of_mixture, problem.source.n_features, problem.ridge, plan.stopping, plan.rng)
    fits = None if settings is None else engine.fit_many(RowGroups.from_block(block, data.weight_unit), settings)
    history = None if fits is None else fits.run_history()
    if fits is None or history is None:
        plan.rng.bit_generator.state = before
        return None
    if problem.ridge is None:
        vars(data)["default_ridge"] = fits.ridge[0]  # otherwise the columns would be sorted again for the ridge
    steps = history.log_likelihood
    outcome = plan.stopping.outcome_of_run(steps, float("-inf")) if steps else None
    search = None
    if is_searched and fits.search is not None and fits.search[0, 0] >= 0:
        n_tried, n_accepted, gain = fits.search[0].tolist()
        search = SearchReport(int(n_tried), int(n_accepted), gain)
        if plan.report_progress is not report_nothing:
            plan.report_progress(f"Search: {search}")
    return EMState(
        model_from_history(history, problem.family), Trace(tuple(steps), tuple(steps), search=search), outcome
    )


def _initial_model(problem: Problem, plan: Plan, start: Start, start_index: int) -> Model:
    """Return the initial model from the user's parameters and, for missing parameters, from initial responsibilities.

    With more than `MIN_PREFIT_ROWS` rows and no initial parameters, EM first runs on the sample used for
    initialisation, so that EM on all rows needs few passes.
    """
    user_init, family = plan.user_init, problem.family
    if user_init is None:
        return _model_from_start(problem, plan, start, start_index)
    if user_init.weights is not None and user_init.means is not None and user_init.covariances is not None:
        return Model(user_init.weights, user_init.means, user_init.covariances, family).with_noise(problem.data.noise)
    result = _model_from_start(problem, plan, start, start_index)
    return Model(
        result.without_noise.weights if user_init.weights is None else user_init.weights,
        result.means if user_init.means is None else user_init.means,
        result.covariances if user_init.covariances is None else user_init.covariances,
        family,
    ).with_noise(result.noise)


def _model_from_start(problem: Problem, plan: Plan, start: Start, start_index: int) -> Model:
    """Return the model after an M-step on the initial partition, or after EM on the sample of rows."""
    data, user_init = problem.data, plan.user_init
    # Covariances that the user passed are not estimated, so these covariances can't become singular.
    has_covariances = user_init is not None and user_init.covariances is not None
    objective = (replace(problem, ridge=None) if has_covariances else problem).objective.without_component_terms
    if isinstance(start, str) and user_init is not None and user_init.means is not None:
        # Weights and covariances are estimated after each row is assigned to the nearest mean that the user passed.
        of_fit = problem.source, problem.engine, problem.n_components
        means = user_init.means
        unit = data.scaled_sample.unit if is_scaled(start, problem.family) else None
        nearest = (
            nearest_centre(means, unit)
            if data.trimming is None
            else data.trimming.partition_by_means(means, data.sample)
        )
        first = _start_moments(
            problem, problem.source, initialisation.label_matching.match_labels(nearest, *of_fit, is_matched=True)
        )
    else:
        draw = _draw_start(problem, plan, start, start_index)
        sample_fit = _fit_sample(problem, plan, draw, objective)
        if sample_fit is not None:
            return sample_fit
        first = draw.moments
    how = problem.source, plan.stopping.tolerance
    try:
        return _split_and_merge(problem, plan, first.model(problem.family, objective, *how), first.partition, objective)
    except SingularCovarianceError:
        if problem.remedy is Remedy.FREEZE:
            raise
    return first.model(problem.family, data.likelihood_objective(None), *how)  # EM applies the remedy to this model


def _split_and_merge(
    problem: Problem, plan: Plan, model: Model, partition: Partition, objective: Objective, n_steps: int = DEFAULT_STEPS
) -> Model:
    """Return the model after a split-and-merge search, if requested; `n_steps` EM steps led to the initial `model`."""
    if partition.search_rows is None:
        return model
    rows, trim, engine = partition.search_rows, problem.data.trimming, problem.engine
    if trim is not None:
        rows = trim.retained_sample(rows, model, engine.complete_engine)
    how: dict[str, Any] = {"should_stop": plan.should_end_moves, "n_steps": n_steps, "report": plan.report_progress}
    if plan.search is not None:
        how["count"] = plan.search.count
    rng = np.random.default_rng(partition.search_seed)
    alone = split_and_merge(model.without_noise, rows, engine, objective, rng, **how)
    return initialisation.label_matching.match_model(alone, problem.source, engine).with_noise(model.noise)


def _start_moments(problem: Problem, source: Source, partition: Partition) -> InitialMoments:
    return InitialMoments(source, problem.engine, problem.n_components, partition, problem.data.noise)


def _draw_start(problem: Problem, plan: Plan, start: Any, start_index: int) -> StartDraw:
    """Draw an initialisation, or reuse the draw and generator state of another structure with this many components."""
    if plan.shared_starts is None:
        return _make_draw(problem, plan, start, problem.source)
    with plan.shared_starts.lock:
        made = plan.shared_starts.draws
        key = start_index, start if isinstance(start, str) else "", is_scaled(start, problem.family)
        if key not in made:
            source = problem.data.trim_source(problem.data.labelled_source(problem.n_components))
            made[key] = _make_draw(problem, plan, start, source)
        plan.rng.bit_generator.state = made[key].generator_state
        return made[key]


def _make_draw(problem: Problem, plan: Plan, start: Any, source: Source) -> StartDraw:
    data, sample_moments = problem.data, None
    some = data.condensed_rows if plan.make_moves is not None and problem.n_components == 1 else None
    if isinstance(start, str) and some is not None:  # birth moves read only condensed rows
        partition, source = load_start(start)(some, problem.engine, 1, plan.rng), ArraySource(some.rows, some.weight)
    elif isinstance(start, str):
        of_fit = source, problem.engine, problem.n_components
        partition = initialisation.label_matching.match_labels(_make_partition(problem, plan, start), *of_fit)
        rows = ArraySource(data.sample.rows, data.sample.weight)
        rows.may_miss = source.may_miss
        sample_moments = _start_moments(problem, data.trim_source(rows), partition)
    elif isinstance(start, Partition):
        partition = start
    else:
        partition, source = Partition(), _source_from_user(problem, plan, start)
    return StartDraw(_start_moments(problem, source, partition), sample_moments, plan.rng.bit_generator.state)


def _make_partition(problem: Problem, plan: Plan, start_name: str) -> Partition:
    """Return the partition of the rows by the initialisation `start_name`, without regard to known labels."""
    data, of_fit = problem.data, (problem.engine, problem.n_components)
    if data.trimming is None:
        sample = data.scaled_sample if is_scaled(start_name, problem.family) else data.sample
        if start_name == "tree":
            sample = replace(data.larger_sample(SAMPLED_ROWS_PER_CELL * problem.n_components), unit=sample.unit)
        return load_start(start_name)(sample, *of_fit, plan.rng)
    has_covariances = plan.user_init is not None and plan.user_init.covariances is not None
    plain = data.likelihood_objective(None if has_covariances else problem.ridge)  # priors would depend on a structure
    partition = data.trimming.start_partition(start_name, data.sample, *of_fit, plain.ridge, plan.rng)
    complete = data.scaled_sample.complete_rows
    if start_name != "search" or complete.weight.sum() <= MIN_COMPLETE_FRACTION * data.sample.weight.sum():
        return partition
    return replace(partition, search_rows=complete, search_seed=int(plan.rng.integers(2**63)))


def _source_from_user(problem: Problem, plan: Plan, start: Any) -> Source:
    """Return the rows with the labels or responsibilities that the user passed or the user's function returned."""
    data = problem.data
    shared = start(_read_only_rows(data.make_source()), problem.n_components, plan.rng) if callable(start) else start
    shape = problem.source.n_rows, problem.n_components
    has_noise = data.noise is not None
    how = {"returned": callable(start), "has_noise": has_noise}
    responsibilities = validation.initial.check_assignment(shared, problem.source.row_weight, shape, **how)
    return data.trim_source(data.make_source(responsibilities))


def _fit_sample(problem: Problem, plan: Plan, draw: StartDraw, objective: Objective) -> Model | None:
    """Return the model after EM, and possibly a split-and-merge search, on the sample used for initialisation.

    If a search is requested, the result is the better one of the EM run without the search and the EM run after the
    search. Returns None if a component must be frozen, or if there are too few rows and no search is requested.
    """
    data, partition = problem.data, draw.moments.partition
    has_positions = partition.parameters is not None and (data.trimming is not None or partition.centres is not None)
    is_plain = data.labels is None and not problem.source.has_errors
    pays = partition.search_rows is not None or (problem.source.n_rows > MIN_PREFIT_ROWS and is_plain)
    if draw.sample_moments is None or plan.user_init is not None or not plan.has_sample_fit:
        return None
    if not (has_positions and pays and plan.stopping.max_steps > 0):
        return None
    rows = ArraySource(data.sample.rows, data.sample.weight)
    rows.may_miss = problem.source.may_miss
    sample, moments = (data.trim_source(rows), draw.sample_moments) if is_plain else (problem.source, draw.moments)
    try:
        start = moments.model(problem.family, objective, sample, plan.stopping.tolerance)
    except SingularCovarianceError:
        return None
    end = _run_em(problem, plan, sample, start, objective, plan.stopping)
    if partition.search_rows is None:
        return None if end is None else end.model
    initial, n_steps = (start, DEFAULT_STEPS) if end is None else (end.model, end.trace.n_steps)
    result = _split_and_merge(problem, plan, initial, partition, objective, n_steps)
    close = search_stopping(plan.stopping, n_steps) if is_plain else plan.stopping
    searched = _run_em(problem, plan, sample, result, objective, close)
    if end is None or searched is None:
        return next((state.model for state in (end, searched) if state is not None), None)
    if not is_higher(searched.trace.last_objective, extrapolate_objective(end.trace.objective)):
        # One more EM step computes the objective of the model that EM has reached.
        end = _run_em(problem, plan, sample, end.model, objective, replace(plan.stopping, max_steps=1)) or end
    # Compare the objectives of both runs exactly. With a relative tolerance (a fraction of the log-likelihood), the
    # unit of the data would decide which run is kept.
    gain = searched.trace.last_objective - end.trace.last_objective
    is_accepted = gain > least_gain(searched.model, end.model, rows.n_rows)
    if plan.search is not None:
        plan.search.gain = gain if is_accepted else 0.0
        plan.search.n_moves_accepted *= is_accepted
    return (searched if is_accepted else end).model


def _run_em(
    problem: Problem, plan: Plan, source: Source, start: Model, objective: Objective, stopping: StopRule
) -> EMState | None:
    """Run EM from a model and return its final state; None if a component must be frozen."""
    plan.report_progress(f"EM on {source.n_rows:,} rows")
    return run_to_sound_end(source, problem.engine, start, objective, stopping, is_accelerated=plan.is_accelerated)


def _read_only_rows(source: Source) -> Rows:
    """Return all rows as a read-only view, so that a callable `init_params` can't change the user's data."""
    if source.is_on_device:
        on_device: Any = next(iter(source.blocks())).rows
        return on_device.values
    block = source.whole
    if block is None:
        raise ValueError("A callable init_params needs X to be one array in memory. Pass a named initialisation.")
    view = block.rows.view()
    view.flags.writeable = False
    return view
