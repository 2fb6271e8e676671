"""Make the first state of an EM run: an initial model, or the final state if the C++ core makes the whole run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gaussmix._src import validation
from gaussmix._src.em import initialisation
from gaussmix._src.em.collapse.remedies import Remedy
from gaussmix._src.em.initialisation.base import DETERMINISTIC_STARTS, SEARCHES, Partition, load_start, nearest_centre
from gaussmix._src.em.initialisation.initial import InitialMoments
from gaussmix._src.em.initialisation.kmeans import request_search
from gaussmix._src.em.initialisation.sample import MIN_ROWS_TO_SUBSAMPLE, column_units
from gaussmix._src.em.objective.objective import Objective
from gaussmix._src.em.objective.stopping import StopRule, extrapolate_objective
from gaussmix._src.em.objective.trace import EMState, FreezeReason, SearchReport, Trace
from gaussmix._src.em.search.split_and_merge import DEFAULT_STEPS, least_gain, report_nothing, split_and_merge
from gaussmix._src.em.step.best_of import is_higher
from gaussmix._src.em.step.core_steps import model_from_history
from gaussmix._src.em.step.loop import run_to_sound_end
from gaussmix._src.em.step.one_call import MAX_ROWS_OF_ONE_CALL
from gaussmix._src.engines.calls import RowGroups
from gaussmix._src.errors import SingularCovarianceError
from gaussmix._src.fit.plan import ModelStart, Plan, Start, StartDraw, is_scaled, label_settings, search_stopping
from gaussmix._src.fit.problem import Problem
from gaussmix._src.interfaces.leaves import LEAF_ROWS
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array, Rows
from gaussmix._src.sources.base import Source

SAMPLED_ROWS_PER_CELL = 32  # number of sampled rows per component, used by the initialisation "tree"
MIN_PREFIT_ROWS = 4 * LEAF_ROWS  # with more rows than this, EM first runs on the sample used for initialisation


@dataclass(frozen=True, eq=False)
class FirstState:
    """First state of one EM run, made from its initialisation.

    Parameters
    ----------
    problem, plan : problem and settings of the fit.
    start : initialisation of the run.
    start_index : index of the run.
    search : report on the split-and-merge search, which the search fills in.
    """

    problem: Problem
    plan: Plan
    start: Start
    start_index: int
    search: SearchReport = field(default_factory=SearchReport)

    def make(self) -> EMState:
        """Return the first state of the run, or its final state if the C++ core makes the whole run."""
        problem, plan, start = self.problem, self.plan, self.start
        if isinstance(start, ModelStart):
            has_ridge = problem.objective.variance_floor.all()  # a ridge keeps components from collapsing again
            frozen = {} if has_ridge else dict.fromkeys(start.collapsed, FreezeReason.COLLAPSED)
            return EMState(problem.objective.nearest_feasible(start.model), Trace(frozen_components=frozen))
        final_state = self._run_in_core() if plan.can_run_in_core else None
        if final_state is not None:
            return final_state
        try:
            model = self._make_model()
        except SingularCovarianceError:
            if plan.fallback_start is None or not self._is_searched:
                raise
            model = replace(self, start=plan.fallback_start)._make_model()
        trace = Trace(search=self.search if self._is_searched else None)
        if self._is_searched:
            plan.report_progress(f"Search: {self.search}")
        return EMState(problem.objective.nearest_feasible(model), trace)

    @property
    def _is_searched(self) -> bool:
        """Return whether a split-and-merge search finds the first model."""
        return isinstance(self.start, str) and self.start in SEARCHES

    def _run_in_core(self) -> EMState | None:
        """Run EM in one call of the C++ core, and return the final state; None if the run must begin in Python.

        A run that begins in Python returns a bit-identical state and leaves the random generator in the same state.
        """
        problem, plan, start, data = self.problem, self.plan, self.start, self.problem.data
        block, is_silent = problem.source.whole, plan.report_progress is report_nothing
        # A search reads at most a sample. Python runs searches of over MIN_ROWS_TO_SUBSAMPLE rows if progress is
        # reported.
        max_rows = MAX_ROWS_OF_ONE_CALL
        if self._is_searched:
            max_rows = LEAF_ROWS if is_silent else MIN_ROWS_TO_SUBSAMPLE
        if block is None or block.n_rows > max_rows:
            return None
        before = plan.rng.bit_generator.state
        family, n_components = problem.family, problem.n_components
        if isinstance(start, str) and start in DETERMINISTIC_STARTS:
            partition = self._draw().moments.partition
            labels = partition.hard_assignment(block)
            settings = label_settings(labels, family, n_components, problem.objective.ridge, plan.stopping)
            settings = None if settings is None else settings._replace(unit=partition.unit)
        else:
            n_features = problem.source.n_features
            settings = plan.core_settings(start, family, n_components, n_features, problem.ridge)
        groups = RowGroups.from_block(block, data.weight_unit)
        fits = None if settings is None else problem.engine.fit_many(groups, settings)
        history = None if fits is None else fits.run_history()
        if fits is None or history is None:
            plan.rng.bit_generator.state = before
            return None
        if problem.ridge is None:
            vars(data)["default_ridge"] = fits.ridge[0]  # fills the cached property, so that no column is sorted again
        objectives = tuple(history.log_likelihood)
        search = None
        if self._is_searched and fits.search is not None and fits.search[0, 0] >= 0:
            n_tried, n_accepted, gain = fits.search[0].tolist()
            search = SearchReport(int(n_tried), int(n_accepted), gain)
            if not is_silent:
                plan.report_progress(f"Search: {search}")
        stop_reason = plan.stopping.reason_after_run(objectives) if objectives else None
        return EMState(model_from_history(history, family), Trace(objectives, objectives, search=search), stop_reason)

    def _make_model(self) -> Model:
        """Return the initial model from the user's parameters and, for missing parameters, from the initialisation."""
        user_init, family = self.plan.user_init, self.problem.family
        if user_init is None:
            return self._model_from_start()
        if user_init.weights is not None and user_init.means is not None and user_init.covariances is not None:
            alone = Model(user_init.weights, user_init.means, user_init.covariances, family)
            return alone.with_noise(self.problem.data.noise)
        result = self._model_from_start()
        return Model(
            result.without_noise.weights if user_init.weights is None else user_init.weights,
            result.means if user_init.means is None else user_init.means,
            result.covariances if user_init.covariances is None else user_init.covariances,
            family,
        ).with_noise(result.noise)

    def _model_from_start(self) -> Model:
        """Return the model after an M-step on the initial partition, or after EM on the sample of rows.

        With more than `MIN_PREFIT_ROWS` rows and no initial parameters, EM first runs on the sample used for
        initialisation, so that EM on all rows needs few passes.
        """
        problem, user_init = self.problem, self.plan.user_init
        # Covariances that the user passed are not estimated, so these covariances can't become singular.
        has_covariances = user_init is not None and user_init.covariances is not None
        objective = (replace(problem, ridge=None) if has_covariances else problem).objective.without_component_terms
        if isinstance(self.start, str) and user_init is not None and user_init.means is not None:
            first = self._moments_about(user_init.means)
        else:
            draw = self._draw()
            sample_fit = self._fit_sample(draw, objective)
            if sample_fit is not None:
                return sample_fit
            first = draw.moments
        tolerance = self.plan.stopping.tolerance
        try:
            model = first.model(problem.family, objective, problem.source, tolerance)
            return self._split_and_merge(model, first.partition, objective)
        except SingularCovarianceError:
            if problem.remedy is Remedy.FREEZE:
                raise
        likelihood = problem.data.likelihood_objective(None)  # EM applies the remedy to the model of this objective
        return first.model(problem.family, likelihood, problem.source, tolerance)

    def _moments_about(self, means: Array) -> InitialMoments:
        """Return moments of all rows after each row is assigned to the nearest of the means that the user passed."""
        problem, data = self.problem, self.problem.data
        unit = column_units(data.default_ridge) if is_scaled(self.start, problem.family) else None
        if data.trimming is None:
            nearest = nearest_centre(means, unit)
        else:
            nearest = data.trimming.partition_by_means(means, data.sample, unit)
        return self._moments(problem.source, self._match_labels(nearest, problem.source, is_matched=True))

    def _match_labels(self, partition: Partition, source: Source, *, is_matched: bool = False) -> Partition:
        """Change a partition so that it agrees with known labels; see `match_labels`."""
        problem = self.problem
        return initialisation.label_matching.match_labels(
            partition, source, problem.engine, problem.n_components, is_matched=is_matched
        )

    def _split_and_merge(
        self, model: Model, partition: Partition, objective: Objective, n_steps: int = DEFAULT_STEPS
    ) -> Model:
        """Return the model after a split-and-merge search, if requested.

        `n_steps` EM steps led to the initial `model`.
        """
        if partition.search_rows is None:
            return model
        rows, plan, trimming = partition.search_rows, self.plan, self.problem.data.trimming
        engine: Any = self.problem.engine
        if np.isnan(rows.rows).any():
            rows = replace(rows, rows=engine.filled_rows(rows.rows, model.without_noise.parameters), estimates=None)
        if trimming is not None:
            rows = trimming.retained_sample(rows, model, engine.complete_engine)
        alone = split_and_merge(
            model.without_noise,
            rows,
            engine,
            objective,
            np.random.default_rng(partition.search_seed),
            self.search,
            should_stop=plan.should_end_moves,
            n_steps=n_steps,
            report=plan.report_progress,
        )
        return initialisation.label_matching.match_model(alone, self.problem.source, engine).with_noise(model.noise)

    def _moments(self, source: Source, partition: Partition) -> InitialMoments:
        """Return an object that sums the moments of a source under a partition when they are needed."""
        problem = self.problem
        return InitialMoments(source, problem.engine, problem.n_components, partition, problem.data.noise)

    def _draw(self) -> StartDraw:
        """Draw the initialisation, or reuse the draw of another structure with the same number of components.

        A reused draw also sets the random generator to its state after this draw.
        """
        plan, problem = self.plan, self.problem
        if plan.shared_starts is None:
            return self._make_draw(problem.source)
        with plan.shared_starts.lock:
            draws, start = plan.shared_starts.draws, self.start
            key = self.start_index, start if isinstance(start, str) else "", is_scaled(start, problem.family)
            if key not in draws:
                source = problem.data.trim_source(problem.data.labelled_source(problem.n_components))
                draws[key] = self._make_draw(source)
            plan.rng.bit_generator.state = draws[key].generator_state
            return draws[key]

    def _make_draw(self, source: Source) -> StartDraw:
        """Draw the initialisation for the rows of a source, or use the partition, labels or function of the user.

        If births follow in variational Bayes, the first model has one component, which contains all rows.
        """
        problem, plan, start, sample_moments = self.problem, self.plan, self.start, None
        data = problem.data
        has_births = plan.make_moves is not None and problem.n_components == 1
        condensed = data.condensed_rows if has_births else None
        if isinstance(start, str) and has_births:
            rows = data.sample if condensed is None else condensed
            # The centre of the only component is not drawn, so that a later fit from k-means draws the first numbers.
            partition = nearest_centre(np.average(rows.imputed, axis=0, weights=rows.weight)[None])
            # Birth moves read only condensed rows.
            source = source if condensed is None else condensed.as_source(source)
        elif isinstance(start, str):
            partition = self._match_labels(self._make_partition(start), source)
            sample_moments = self._moments(data.trim_source(data.sample.as_source(source)), partition)
        elif isinstance(start, Partition):
            partition = start
        else:
            partition, source = Partition(), self._source_from_user()
        return StartDraw(self._moments(source, partition), sample_moments, plan.rng.bit_generator.state)

    def _make_partition(self, start_name: str) -> Partition:
        """Return the partition of the rows by the initialisation `start_name`, without regard to known labels."""
        problem, plan, data = self.problem, self.plan, self.problem.data
        engine, n_components = problem.engine, problem.n_components
        unit = column_units(data.default_ridge) if is_scaled(start_name, problem.family) else None
        if data.trimming is None:
            sample = data.imputed_sample(SAMPLED_ROWS_PER_CELL * n_components if start_name == "tree" else 0)
            in_unit = sample if unit is None else replace(sample, unit=unit)  # a new object has no cached hierarchy
            return load_start(start_name)(in_unit, engine, n_components, plan.rng)
        has_covariances = plan.user_init is not None and plan.user_init.covariances is not None
        # A prior is left out, because it would depend on the structure.
        ridge = data.likelihood_objective(None if has_covariances else problem.ridge).ridge
        partition = data.trimming.start_partition(
            start_name, data.sample, engine, n_components, ridge, plan.rng, plan.stopping.deadline
        )
        rows = replace(data.sample, unit=unit)
        return request_search(partition, rows, plan.rng) if start_name == "search" else partition

    def _source_from_user(self) -> Source:
        """Return the rows with the labels or responsibilities that the user passed or the user's function returned."""
        problem, data, assignment = self.problem, self.problem.data, self.start
        if callable(assignment):
            assignment = assignment(_read_only_rows(data.make_source()), problem.n_components, self.plan.rng)
        responsibilities = validation.initial.check_assignment(
            assignment,
            problem.source.row_weight,
            (problem.source.n_rows, problem.n_components),
            returned=callable(self.start),
            has_noise=data.noise is not None,
        )
        return data.trim_source(data.make_source(responsibilities))

    def _fit_sample(self, draw: StartDraw, objective: Objective) -> Model | None:
        """Return the model after EM, and possibly a split-and-merge search, on the sample used for initialisation.

        With labels or measurement errors, EM runs on all rows instead, because the sample has neither. If a search is
        requested, the result is the better one of the EM run without the search and the EM run after the search.
        Returns None if a component must be frozen, or if there are too few rows and no search is requested.
        `Fit::search_from_centres` in cpp/em/fit_many.cpp does the same for fits in one call of the core.
        """
        problem, partition, stopping = self.problem, draw.moments.partition, self.plan.stopping
        uses_sample = problem.data.labels is None and not problem.source.has_errors
        if draw.sample_moments is None or not self._needs_sample_fit(partition, uses_sample=uses_sample):
            return None
        rows, moments = problem.source, draw.moments
        if uses_sample:
            sample = problem.data.sample.as_source(problem.source)
            rows, moments = problem.data.trim_source(sample), draw.sample_moments
        try:
            start = moments.model(problem.family, objective, rows, stopping.tolerance)
        except SingularCovarianceError:
            return None
        end = self._run_em(rows, start, objective, stopping)
        if partition.search_rows is None:
            return None if end is None else end.model
        initial, n_steps = (start, DEFAULT_STEPS) if end is None else (end.model, end.trace.n_steps)
        result = self._split_and_merge(initial, partition, objective, n_steps)
        last_rule = search_stopping(stopping, n_steps) if uses_sample else stopping
        searched = self._run_em(rows, result, objective, last_rule)
        if end is None or searched is None:
            return next((state.model for state in (end, searched) if state is not None), None)
        return self._choose_model(end, searched, rows, objective)

    def _needs_sample_fit(self, partition: Partition, *, uses_sample: bool) -> bool:
        """Return whether EM runs before the first step on all rows: for a search, or because there are many rows."""
        plan, trimming = self.plan, self.problem.data.trimming
        is_allowed = plan.user_init is None and plan.has_sample_fit and plan.stopping.max_steps > 0
        # With trimming, the first assignment is by the density of components instead of the distance from centres.
        has_components = (partition.centres if trimming is None else partition.parameters) is not None
        is_large = uses_sample and self.problem.source.n_rows > MIN_PREFIT_ROWS
        return is_allowed and has_components and (is_large or partition.search_rows is not None)

    def _choose_model(self, end: EMState, searched: EMState, rows: Source, objective: Objective) -> Model:
        """Return the model of the better of two EM runs, without and after a search; complete the report on the search.

        The comparison has no relative tolerance (a fraction of the log-likelihood), because the unit of the data would
        then decide which run is kept.
        """
        if not is_higher(searched.trace.last_objective, extrapolate_objective(end.trace.objective)):
            # One more EM step computes the objective of the model that EM has reached.
            end = self._run_em(rows, end.model, objective, replace(self.plan.stopping, max_steps=1)) or end
        gain = searched.trace.last_objective - end.trace.last_objective
        if gain > least_gain(searched.model, end.model, len(self.problem.data.sample.rows)):
            self.search.gain = gain
            return searched.model
        self.search.gain, self.search.n_moves_accepted = 0.0, 0
        return end.model

    def _run_em(self, source: Source, start: Model, objective: Objective, stopping: StopRule) -> EMState | None:
        """Run EM from a model and return its final state; None if a component must be frozen."""
        plan, engine = self.plan, self.problem.engine
        plan.report_progress(f"EM on {source.n_rows:,} rows")
        # A search ignores restrictions on the weights, and the core keeps the weights of the first model.
        first = objective.nearest_feasible(start)
        return run_to_sound_end(source, engine, first, objective, stopping, is_accelerated=plan.is_accelerated)


def _read_only_rows(source: Source) -> Rows:
    """Return all rows for a callable `init_params`; rows in memory are read-only, to protect the user's data."""
    if source.is_on_device:
        on_device: Any = next(iter(source.blocks())).rows
        return on_device.values
    block = source.whole
    if block is None:
        raise ValueError("A callable init_params needs X to be one array in memory. Pass a named initialisation.")
    view = block.rows.view()
    view.flags.writeable = False
    return view
