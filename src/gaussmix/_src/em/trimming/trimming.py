"""Trimmed EM, in which each pass leaves out the rows that are least probable under the current mixture.

See Neykov, Filzmoser, Dimova & Neytchev (2007), Computational Statistics & Data Analysis 52, and García-Escudero,
Gordaliza, Matrán & Mayo-Iscar (2008), Annals of Statistics 36. A step increases the log-likelihood of the rows that it
keeps. The next pass keeps the rows that are most probable under the new mixture, which increases the log-likelihood
again.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf, isfinite
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.covariances import Diagonal
from gaussmix._src.em.initialisation.base import Partition, load_start, nearest_centre, sphere_parameters
from gaussmix._src.em.initialisation.initial import InitialMoments
from gaussmix._src.em.initialisation.sample import DistinctRows, robust_variances
from gaussmix._src.em.objective.objective import Objective
from gaussmix._src.em.objective.stopping import StopRule
from gaussmix._src.em.objective.trace import EMState, final_state
from gaussmix._src.em.step.accumulate import StepTask
from gaussmix._src.em.step.best_of import best_run, run_sort_key
from gaussmix._src.em.step.loop import run_em, run_to_sound_end
from gaussmix._src.em.trimming.log_density_bounds import bound_log_densities
from gaussmix._src.engines.base import Engine
from gaussmix._src.errors import SingularCovarianceError
from gaussmix._src.families.base import without_constraints
from gaussmix._src.interfaces.block import Block, BlockState
from gaussmix._src.interfaces.leaves import Sums
from gaussmix._src.interfaces.moment_spec import AssignmentRule
from gaussmix._src.interfaces.moments import BlockMoments
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.sources.array import ArraySource
from gaussmix._src.sources.base import F, S, Source, Task, in_leaves
from gaussmix._src.sources.quantile import ScoreReduction, find_neighbourhood
from gaussmix._src.sources.row_statistics import Cells

# A row is evaluated if the lower bound on its log density is below the previous cutoff plus this number of nats.
CUTOFF_MARGIN = 0.5
# If more than this fraction of the rows of a leaf (65,520 rows) must be evaluated, all rows of the leaf are evaluated.
MAX_EVALUATED_LEAF_FRACTION = 0.5
# Log densities within this relative distance of the cutoff count as equal to the cutoff, because of rounding errors.
CUTOFF_ROUNDING = 2.0**-40
N_RANDOM_STARTS = 20  # number of random initialisations, each from randomly drawn rows
# Stopping rules of EM from each initialisation, and of a longer EM run from the best initialisations.
START_STOPPING, BEST_STOPPING = StopRule(1e-3, 5), StopRule(1e-4, 50)
MAX_REFINED_STARTS = 3  # maximum number of best initialisations from which longer EM runs start


class TrimmingRule(NamedTuple):
    """Rule that determines which rows a pass keeps, and their weights in the pass.

    Parameters
    ----------
    cutoff : log density, in nats, below which rows are left out.
    tie_upper : upper limit of ties: rows with a log density from `cutoff` to `tie_upper` are tied.
    tie_fraction : fraction of its weight that each tied row keeps. All tied rows keep the same fraction, so that the
        order of the rows does not matter.
    """

    cutoff: float
    tie_upper: float
    tie_fraction: float

    def row_weights(self, log_density: Array, row_weight: Array | None) -> Array:
        """Return the weights of the rows in the pass, (n_rows,), given log densities and original weights."""
        weight = np.where(log_density > self.tie_upper, 1.0, self.tie_fraction)
        weight = np.where(log_density < self.cutoff, 0.0, weight)
        return weight if row_weight is None else weight * row_weight


def find_trimming_rule(
    source: Source, log_density: Task[Array], trimmed_weight: float, cutoff_range: tuple[float, float] = (-inf, inf)
) -> TrimmingRule | None:
    """Find the rule that leaves out the least probable rows with a total weight of `trimmed_weight`.

    The row at the cutoff keeps a part of its weight, so that exactly `trimmed_weight` is left out. The result is None
    if the cutoff is outside `cutoff_range` (two log densities), because `log_density` may return only lower bounds
    above this range.
    """
    tie = 2 * CUTOFF_ROUNDING
    nearby = find_neighbourhood(source, log_density, lambda _: trimmed_weight, between=cutoff_range, tie=tie)
    if nearby is None:
        return None
    cutoff = float(nearby.scores[nearby.position])
    slack = CUTOFF_ROUNDING * max(1.0, abs(cutoff)) if isfinite(cutoff) else 0.0
    if min(cutoff - cutoff_range[0], cutoff_range[1] - cutoff) <= 4 * slack:
        return None
    low, high = cutoff - slack, cutoff + slack
    # Without row weights, the sums are numbers of rows, which are exact.
    if source.row_totals.largest_weight is None or source.is_on_device:
        first, end = np.searchsorted(nearby.scores, low), np.searchsorted(nearby.scores, high, side="right")
        lost, tied = nearby.below + float(nearby.weights[:first].sum()), float(nearby.weights[first:end].sum())
    # With row weights, the sums are computed in one more pass, so that a resumed fit gets bit-identical results,
    # although the resumed fit finds the cutoff in other steps.
    else:
        lost, tied = source.map_merge(ScoreReduction(log_density, partial(_sum_trimmed_and_tied, low=low, high=high)))
    return TrimmingRule(low, high, min(max(1.0 - (trimmed_weight - lost) / tied, 0.0), 1.0))


def _sum_trimmed_and_tied(log_density: Array, row_weight: Array | None, low: float, high: float) -> Sums:
    """Sum the weights of rows with a log density below `low`, and of rows with a log density from `low` to `high`."""
    weight = np.ones(len(log_density)) if row_weight is None else row_weight
    is_tied = (log_density >= low) & (log_density <= high)
    return Sums(float(weight[mask].sum()) for mask in (log_density < low, is_tied))


class TrimmedSource(Source):
    """Source that wraps another source. Each pass with parameters of a mixture leaves out the least probable rows.

    The left-out rows have a weight of `fraction` times the total row weight. Passes without parameters, and all methods
    other than `map_merge`, use all rows.
    """

    def __init__(self, source: Source, fraction: float) -> None:
        self.n_rows, self.n_features, self.dtype = source.n_rows, source.n_features, source.dtype
        self._copy_flags(source)
        self.memory, self.is_read_again = source.memory, source.is_read_again
        self._source, self._fraction, self.is_on_device = source.without_states(), fraction, source.is_on_device
        self._last_pass: _TrimmingPass | None = None

    def blocks(self) -> Iterable[Block]:
        return self._source.blocks()

    @property
    def whole(self) -> None:
        """Return None, because a single block with all rows could not leave out rows."""
        return None

    def collect(self, kind: type[F]) -> F:
        return self._source.collect(kind)

    def map_merge(self, task: Task[S]) -> S:
        if not isinstance(task, StepTask) or task.parameters is None:
            return self._source.map_merge(task)
        # `anchor` is set, because engines would otherwise use the scatter of all rows, which includes the left-out
        # rows.
        if task.spec.is_pooled and task.anchor is None:
            task = replace(task, anchor=task.parameters.means)
        last = self._find_pass(task.engine, task.parameters)
        return self._source.map_merge(_TrimmedStep(task, last.log_density, last.rule))

    def rule_for(self, engine: Engine[Any], parameters: Parameters) -> TrimmingRule:
        """Return the trimming rule of a pass with `parameters`, which is cached until the parameters change."""
        return self._find_pass(engine, parameters).rule

    def retained_rows(self, engine: Engine[Any], parameters: Parameters) -> Source:
        """Return a source with all rows, in which the rows that a pass with `parameters` leaves out have weight 0."""
        task, rule = _LogDensityTask(engine, parameters), self.rule_for(engine, parameters)
        change = partial(_reweight_rows, log_density=task, rule=rule)
        return self._source.changed(change, self.n_rows)

    def _find_pass(self, engine: Engine[Any], parameters: Parameters) -> _TrimmingPass:
        """Find the trimming rule and log densities for a pass with `parameters`.

        If the log densities under the previous parameters are stored, only those rows are evaluated whose log density
        may now be below the cutoff (`em.trimming.log_density_bounds`). If rows have missing values or measurement
        errors, log densities have no bounds, and all rows are evaluated.
        """
        last = self._last_pass
        if last is not None and last.log_density.parameters is parameters:
            return last
        empty_weight = self._source.collect(Cells).empty_weight if self._source.may_miss else 0.0
        left_out = self._fraction * (self._source.row_totals.total_weight - empty_weight)
        log_density = _LogDensityTask(engine, parameters, 0 if last is None else last.log_density.step + 1)
        task, rule, bounds = log_density, None, None
        if last is not None and not (self.is_incomplete or self.is_on_device):
            bounds = bound_log_densities(last.log_density.parameters, parameters)
        if last is not None and bounds is not None:
            between = last.rule.cutoff - CUTOFF_MARGIN, last.rule.tie_upper + CUTOFF_MARGIN
            task = replace(log_density, exact_below=between[1], bound_function=bounds)
            rule = find_trimming_rule(self._source, task, left_out, between)
        if rule is None:
            task, rule = log_density, find_trimming_rule(self._source, log_density, left_out)
        assert rule is not None, "at least one row has positive weight"
        self._last_pass = _TrimmingPass(task, rule)
        return self._last_pass

    def without_states(self) -> Self:
        twin = super().without_states()
        twin._source, twin._last_pass = self._source.without_states(), None
        return twin


@dataclass(frozen=True, eq=False)
class _LogDensityTask:
    """Task that computes log densities for a leaf (65,520 rows); values above `exact_below` may be lower bounds.

    Parameters
    ----------
    engine, parameters : engine that computes log densities, and parameters of the mixture.
    step : index of the parameters, which increases by 1 with each new mixture. Bounds apply only to log densities that
        were stored for the previous index.
    exact_below : log density above which results may be lower bounds.
    bound_function : function that converts log densities (or lower bounds) under the previous parameters to lower
        bounds under `parameters`; None without bounds.
    """

    engine: Engine[Any]
    parameters: Parameters
    step: int = 0
    exact_below: float = inf
    bound_function: Callable[[Array], Array] | None = None

    key: ClassVar[str] = "trimmed rows"

    def open(self, block: Block) -> _TrimmingState:
        return _TrimmingState()

    def call(self, leaf: Block, state: _TrimmingState) -> Array:
        cached = state.densities_by_leaf.get(leaf.first_row)
        if cached is None or cached.step != self.step or cached.exact_below < self.exact_below:
            state.densities_by_leaf[leaf.first_row] = cached = self._evaluate(leaf, cached)
        return cached.log_density

    def _evaluate(self, leaf: Block, before: _LeafDensities | None) -> _LeafDensities:
        if before is not None and before.step == self.step - 1 and self.bound_function is not None:
            result = self.bound_function(before.log_density)
            indices = np.flatnonzero(result <= self.exact_below)
            if len(indices) <= MAX_EVALUATED_LEAF_FRACTION * leaf.n_rows:
                if len(indices):
                    result[indices] = _trimming_scores(leaf.take(indices, leaf.first_row), self.engine, self.parameters)
                return _LeafDensities(self.step, self.exact_below, result)
        return _LeafDensities(self.step, inf, _trimming_scores(leaf, self.engine, self.parameters))


class _LeafDensities(NamedTuple):
    """Log densities of the rows of a leaf, (n_rows,), in nats; values above `exact_below` may be lower bounds."""

    step: int  # index of the parameters under which the log densities were computed
    exact_below: float
    log_density: Array


@dataclass(eq=False)
class _TrimmingState(BlockState):
    """State stored with a block: a dict from the first row of each leaf to log densities, and a step task's state."""

    densities_by_leaf: dict[int, _LeafDensities] = field(default_factory=dict)
    task_key: Hashable = None
    task_state: BlockState = field(default_factory=BlockState)

    @property
    def n_bytes(self) -> int:
        return self.task_state.n_bytes + sum(entry.log_density.nbytes for entry in self.densities_by_leaf.values())


class _TrimmingPass(NamedTuple):
    """Log densities and trimming rule of the most recent pass."""

    log_density: _LogDensityTask
    rule: TrimmingRule


@dataclass(frozen=True, eq=False)
class _TrimmedStep:
    """Task that makes a step on the rows that the trimming rule keeps."""

    task: StepTask
    log_density: _LogDensityTask
    rule: TrimmingRule

    @property
    def key(self) -> Hashable:
        return self.log_density.key

    def open(self, block: Block) -> _TrimmingState:
        return _TrimmingState()

    def sizes(self, n_features: int) -> tuple[int, int, int]:
        """Return the sizes of the step task, with the bytes doubled, because the parameters are sent twice."""
        task, node, n_components = self.task.sizes(n_features)
        return 2 * task, node, n_components

    def call(self, block: Block, state: _TrimmingState) -> BlockMoments:
        (part,) = _reweight_rows(block, self.log_density, self.rule, state)
        if state.task_key != self.task.key:  # the stored state is from another task
            state.task_key, state.task_state = self.task.key, self.task.open(block)
        return self.task.call(part, state.task_state)


def _reweight_rows(
    block: Block, log_density: _LogDensityTask, rule: TrimmingRule, state: _TrimmingState | None = None
) -> list[Block]:
    """Return a list with the block, in which rows have their weights in a pass; `Source.changed` requires a list."""
    state = state or _TrimmingState()
    weights = [rule.row_weights(log_density.call(leaf, state), leaf.row_weight) for leaf in block.split()]
    return [replace(block, row_weight=np.concatenate(weights))]


def _trimming_scores(block: Block, engine: Engine[Any], parameters: Parameters) -> Array:
    """Return log p(x) of each row, in nats, but infinity for rows without observed values, which are never left out."""
    log_density = engine.log_density(block, parameters)
    return np.where(block.are_empty, inf, log_density) if engine.is_incomplete else log_density


def trimming_cutoff(source: Source, engine: Engine[Any], model: Model) -> float | None:
    """Return the log density, in nats, below which a pass leaves rows out, or None without trimming."""
    return source.rule_for(engine, model.parameters).cutoff if isinstance(source, TrimmedSource) else None


def are_above_cutoff(block: Block, parameters: Parameters, engine: Engine[Any], cutoff: float) -> NDArray[np.bool_]:
    """Return whether each row has a log density of at least `cutoff`, or no observed value, (n_rows,)."""
    return in_leaves(block, partial(_trimming_scores, engine=engine, parameters=parameters)) >= cutoff


def _feature_widths(sample: DistinctRows) -> Array:
    """Return the width of the middle three quarters of each feature, (n_features,); 0 for constant features.

    If the middle three quarters of a feature are a single number, the width is the standard deviation.
    """
    low, high = sample.central_range
    return np.where(high > low, high - low, np.sqrt(robust_variances(sample.rows, sample.weight)))


@dataclass(frozen=True)
class RowTrimming:
    """Settings of a trimmed fit, which leaves out a fraction of the row weight in each pass."""

    fraction: float

    def trim_source(self, source: Source) -> Source:
        """Wrap a source so that each pass with parameters leaves out the least probable rows."""
        return TrimmedSource(source, self.fraction)

    def retained_sample(self, sample: DistinctRows, model: Model, engine: Engine[Any]) -> DistinctRows:
        """Return the rows of a sample that a pass with the given model keeps."""
        source = ArraySource(sample.rows, sample.weight)
        source.may_miss = engine.is_incomplete
        rule = TrimmedSource(source, self.fraction).rule_for(engine, model.parameters)
        weight = rule.row_weights(_trimming_scores(Block(0, sample.rows), engine, model.parameters), sample.weight)
        return replace(sample, rows=sample.rows[weight > 0], weight=weight[weight > 0], distinct_index=None)

    def partition_by_means(self, means: Array, sample: DistinctRows, unit: Array | None) -> Partition:
        """Assign each row to the nearest mean, with spherical components as wide as the sample's widest feature.

        If `unit` (n_features,), in data units, is given, features are divided by it before widths and distances are
        computed.
        """
        widths = _feature_widths(sample) / (1.0 if unit is None else unit)
        return Partition(sphere_parameters(means, float(widths.max()) or 1.0, unit), AssignmentRule.HARD, unit=unit)

    def start_partition(
        self,
        name: str,
        sample: DistinctRows,
        engine: Engine[Any],
        n_components: int,
        ridge: Array,
        rng: np.random.Generator,
        deadline: float,
    ) -> Partition:
        """Choose the initial partition of a trimmed fit from the initialisation `name` and random initialisations.

        Because outliers may spoil a single initialisation, the results of EM from many initialisations are compared. As
        in R's tclust, EM makes few steps from each initialisation, and many steps from the best initialisations. In the
        EM runs that are compared, all components share one variance per feature, because the likelihood would otherwise
        be unbounded at single rows. For example, with 10 % outliers and 4 components, two thirds of the random
        initialisations contain no outlier. Features are divided by their widths, so that units do not matter. After the
        deadline (a value of `time.monotonic()`), EM from one initialisation suffices.
        """
        start_stopping, best_stopping = (replace(rule, deadline=deadline) for rule in (START_STOPPING, BEST_STOPPING))
        start, widths = load_start(name), _feature_widths(sample)
        widths = np.where(widths > 0, widths, 1.0)
        rows = replace(sample, rows=sample.rows / widths)
        sample_source = ArraySource(rows.rows, rows.weight)
        sample_source.may_miss = bool(np.isnan(rows.rows).any())
        source, objective = TrimmedSource(sample_source, self.fraction), Objective(ridge / widths**2)
        n_features = len(widths)
        family = without_constraints(Diagonal, is_shared=True)
        partitions = [start(rows, engine, n_components, rng).with_scaled_spheres]
        drawn = (rows.draw_indices(rng.random(n_components)) for _ in range(N_RANDOM_STARTS))
        partitions += [nearest_centre(rows.imputed[indices]) for indices in drawn]
        runs = list[EMState]()
        for partition in partitions:
            if runs and start_stopping.is_past_deadline():
                break
            with suppress(SingularCovarianceError):
                model = InitialMoments(source, engine, n_components, partition).model(family, objective)
                if (run := run_to_sound_end(source, engine, model, objective, start_stopping)) is not None:
                    runs.append(run)
        if not runs:
            return start(sample, engine, n_components, rng)
        runs.sort(key=run_sort_key)
        starts = (run.model for run in runs[:MAX_REFINED_STARTS])
        ends = (final_state(run_em(source, engine, start, objective, best_stopping)) for start in starts)
        model = best_run([end] for end in ends).model
        whitening = Diagonal.from_array(model.covariances.array * widths**2, n_components, n_features, True).whitening
        # The log scale is not converted to data units, because the conversion would only add a constant to all log
        # densities and change the last digits.
        return Partition(Parameters(model.parameters.log_scale, model.means * widths, whitening), AssignmentRule.SOFT)
