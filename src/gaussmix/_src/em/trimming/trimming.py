"""RowTrimming: each pass of EM leaves out the rows that are least likely under the mixture that it starts from.

Neykov, Filzmoser, Dimova & Neytchev (2007), Computational Statistics & Data Analysis 52; García-Escudero, Gordaliza,
Matrán & Mayo-Iscar (2008), Annals of Statistics 36. A step then raises the log-likelihood of the rows it keeps, and to
keep the likeliest rows of the next mixture raises it again.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf, isfinite
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

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
from gaussmix._src.sources.base import F, S, Source, Task
from gaussmix._src.sources.quantile import ScoreReduction, find_neighbourhood

CUTOFF_MARGIN = 0.5  # nats above the last cutoff: rows that may be below that are looked at
MAX_EVALUATED_LEAF_FRACTION = 0.5  # of the rows of a leaf: with more to look at, all are
# Log densities so near to the cutoff, relatively, are equal to it, whatever rounding says.
CUTOFF_ROUNDING = 2.0**-40
N_RANDOM_STARTS = 20  # starts from random rows
START_STOPPING, BEST_STOPPING = StopRule(1e-3, 5), StopRule(1e-4, 50)  # EM from each start, and from the best
MAX_REFINED_STARTS = 3  # starts that get the longer EM


class TrimmingRule(NamedTuple):
    """Which rows a pass keeps.

    Parameters
    ----------
    cutoff : rows with a lower log density, nats, are left out.
    tie_upper : rows with a log density from the cutoff to this one are tied.
    tie_fraction : the part of its weight that each tied row keeps, equal for all so that their order does not matter.
    """

    cutoff: float
    tie_upper: float
    tie_fraction: float

    def row_weights(self, log_density: Array, row_weight: Array | None) -> Array:
        """The row weights in the pass, (n_rows,), of rows with these log densities and weights."""
        weight = np.where(log_density > self.tie_upper, 1.0, self.tie_fraction)
        weight = np.where(log_density < self.cutoff, 0.0, weight)
        return weight if row_weight is None else weight * row_weight


def find_trimming_rule(
    source: Source, log_density: Task[Array], trimmed_weight: float, cutoff_range: tuple[float, float] = (-inf, inf)
) -> TrimmingRule | None:
    """Leave out the least likely rows, up to a weight of `trimmed_weight`, which is less than the sum of the weights.

    The row at the cutoff keeps the part of its weight that is needed. None if the cutoff is not in `cutoff_range`, log
    densities; higher ones may be too low.
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
    if source.row_totals.largest_weight is None or source.is_on_device:  # counts have no rounding
        first, end = np.searchsorted(nearby.scores, low), np.searchsorted(nearby.scores, high, side="right")
        lost, tied = nearby.below + float(nearby.weights[:first].sum()), float(nearby.weights[first:end].sum())
    else:  # the bits of these sums must not depend on how the cutoff was found: a resumed fit finds it otherwise
        lost, tied = source.map_merge(ScoreReduction(log_density, partial(_sum_trimmed_and_tied, low=low, high=high)))
    return TrimmingRule(low, high, min(max(1.0 - (trimmed_weight - lost) / tied, 0.0), 1.0))


def _sum_trimmed_and_tied(log_density: Array, row_weight: Array | None, low: float, high: float) -> Sums:
    """The weights of rows below a log density, and of those from there to another."""
    weight = np.ones(len(log_density)) if row_weight is None else row_weight
    is_tied = (log_density >= low) & (log_density <= high)
    return Sums(float(weight[some].sum()) for some in (log_density < low, is_tied))


class TrimmedSource(Source):
    """The rows of another source; each pass with parameters leaves out the least likely, a fraction of the row weight.

    Passes without parameters, and methods other than `map_merge`, see all rows.
    """

    def __init__(self, source: Source, fraction: float) -> None:
        self.n_rows, self.n_features, self.dtype = source.n_rows, source.n_features, source.dtype
        self.memory, self.is_read_again = source.memory, source.is_read_again
        self.may_miss, self.has_errors, self.has_log_prior = source.may_miss, source.has_errors, source.has_log_prior
        self._source, self._fraction, self.is_on_device = source.without_states(), fraction, source.is_on_device
        self._last_pass: _TrimmingPass | None = None

    def blocks(self) -> Iterable[Block]:
        return self._source.blocks()

    @property
    def whole(self) -> None:
        """None: a block does not say which rows are left out."""
        return None

    def collect(self, kind: type[F]) -> F:
        return self._source.collect(kind)

    def map_merge(self, task: Task[S]) -> S:
        if not isinstance(task, StepTask) or task.parameters is None:
            return self._source.map_merge(task)
        if task.spec.is_pooled and task.anchor is None:  # about an anchor, an engine reads no totals of all rows
            task = replace(task, anchor=task.parameters.means)
        last = self._find_pass(task.engine, task.parameters)
        return self._source.map_merge(_TrimmedStep(task, last.log_density, last.rule))

    def rule_for(self, engine: Engine[Any], parameters: Parameters) -> TrimmingRule:
        """Which rows a pass with these parameters keeps; remembered for the next pass with them."""
        return self._find_pass(engine, parameters).rule

    def retained_rows(self, engine: Engine[Any], parameters: Parameters) -> Source:
        """The rows that a pass with these parameters keeps, in any pass; the others have the weight 0."""
        task, rule = _LogDensityTask(engine, parameters), self.rule_for(engine, parameters)
        change = partial(_reweight_rows, log_density=task, rule=rule)
        return self._source.changed(change, self.n_rows)

    def _find_pass(self, engine: Engine[Any], parameters: Parameters) -> _TrimmingPass:
        """What a pass with these parameters finds.

        Where log densities of the last parameters are kept with blocks, only rows whose log density may have fallen
        below the cutoff since then are evaluated (`em.trimming.log_density_bounds`). The other rows stay. Rows with
        missing cells or with errors have no bounds.
        """
        last = self._last_pass
        if last is not None and last.log_density.parameters is parameters:
            return last
        left_out = self._fraction * self._source.row_totals.total_weight
        log_density = _LogDensityTask(engine, parameters, 0 if last is None else last.log_density.step + 1)
        has_bounds = last is not None and not (self.is_incomplete or self.is_on_device)
        known = last.log_density.parameters if last is not None and has_bounds else None
        bounds = None if known is None else bound_log_densities(known, parameters)
        task, rule = log_density, None
        if last is not None and bounds is not None:
            between = last.rule.cutoff - CUTOFF_MARGIN, last.rule.tie_upper + CUTOFF_MARGIN
            task = replace(log_density, exact_below=between[1], bound_function=bounds)
            rule = find_trimming_rule(self._source, task, left_out, between)
        if rule is None:
            task, rule = log_density, find_trimming_rule(self._source, log_density, left_out)
        assert rule is not None, "some row has weight"
        self._last_pass = _TrimmingPass(task, rule)
        return self._last_pass

    def without_states(self) -> Self:
        twin = super().without_states()
        twin._source, twin._last_pass = self._source.without_states(), None
        return twin


@dataclass(frozen=True, eq=False)
class _LogDensityTask:
    """The task that returns the log densities of the rows of a leaf, nats, or lower bounds on them above `exact_below`.

    Parameters
    ----------
    engine, parameters : of the log densities.
    step : of the parameters; the one before is that of the parameters from which bounds lead to these.
    exact_below : log densities above may be bounds.
    bound_function : makes bounds of log densities before, or of bounds on them.
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
                    result[indices] = self.engine.log_density(leaf.take(indices, leaf.first_row), self.parameters)
                return _LeafDensities(self.step, self.exact_below, result)
        return _LeafDensities(self.step, inf, self.engine.log_density(leaf, self.parameters))


class _LeafDensities(NamedTuple):
    """The log densities of a leaf, (n_rows,), nats; above `exact_below` they may be lower bounds."""

    step: int
    exact_below: float
    log_density: Array


@dataclass(eq=False)
class _TrimmingState(BlockState):
    """What is stored with a block: log densities by the first row of their leaf, and the state of a task."""

    densities_by_leaf: dict[int, _LeafDensities] = field(default_factory=dict)
    task_key: Hashable = None
    task_state: BlockState = field(default_factory=BlockState)

    @property
    def n_bytes(self) -> int:
        return self.task_state.n_bytes + sum(entry.log_density.nbytes for entry in self.densities_by_leaf.values())

    def get_task_state(self, task: Task[Any], block: Block) -> Any:
        """The state of a task."""
        if self.task_key != task.key:
            self.task_key, self.task_state = task.key, task.open(block)
        return self.task_state


class _TrimmingPass(NamedTuple):
    """The log densities of the last pass, and its rule."""

    log_density: _LogDensityTask
    rule: TrimmingRule


@dataclass(frozen=True, eq=False)
class _TrimmedStep:
    """A step for the retained rows."""

    task: StepTask
    log_density: _LogDensityTask
    rule: TrimmingRule

    @property
    def key(self) -> Hashable:
        return self.log_density.key

    def open(self, block: Block) -> _TrimmingState:
        return _TrimmingState()

    def sizes(self, n_features: int) -> tuple[int, int, int]:
        """As of the task, but it sends the parameters twice."""
        task, node, n_components = self.task.sizes(n_features)
        return 2 * task, node, n_components

    def call(self, block: Block, state: _TrimmingState) -> BlockMoments:
        (part,) = _reweight_rows(block, self.log_density, self.rule, state)
        return self.task.call(part, state.get_task_state(self.task, block))


def _reweight_rows(
    block: Block, log_density: _LogDensityTask, rule: TrimmingRule, state: _TrimmingState | None = None
) -> list[Block]:
    state = state or _TrimmingState()
    weights = [rule.row_weights(log_density.call(leaf, state), leaf.row_weight) for leaf in block.split()]
    return [replace(block, row_weight=np.concatenate(weights))]


def trimming_cutoff(source: Source, engine: Engine[Any], model: Model) -> float | None:
    """The log density, nats, below which a pass leaves rows out; None if it keeps all."""
    return source.rule_for(engine, model.parameters).cutoff if isinstance(source, TrimmedSource) else None


def _feature_widths(sample: DistinctRows) -> Array:
    """Widths of the middle three quarters of each feature, (n_features,), data units; 0 for a constant feature.

    Where the middle is one number, the standard deviation.
    """
    low, high = sample.central_range
    return np.where(high > low, high - low, np.sqrt(robust_variances(sample.rows, sample.weight)))


@dataclass(frozen=True)
class RowTrimming:
    """Leaves out a fraction of the row weight."""

    fraction: float

    def trim_source(self, source: Source) -> Source:
        """The rows of a source; each pass with parameters leaves out the least likely."""
        return TrimmedSource(source, self.fraction)

    def retained_sample(self, sample: DistinctRows, model: Model, engine: Engine[Any]) -> DistinctRows:
        """The rows of a sample that a pass with a model keeps."""
        rule = TrimmedSource(ArraySource(sample.rows, sample.weight), self.fraction).rule_for(engine, model.parameters)
        weight = rule.row_weights(engine.log_density(Block(0, sample.rows), model.parameters), sample.weight)
        return replace(sample, rows=sample.rows[weight > 0], weight=weight[weight > 0], distinct_index=None)

    def partition_by_means(self, means: Array, sample: DistinctRows) -> Partition:
        """Assign rows as `nearest_centre` does, by spheres as wide as the rows, so that units decide nothing."""
        return Partition(sphere_parameters(means, float(_feature_widths(sample).max()) or 1.0), AssignmentRule.HARD)

    def start_partition(
        self,
        name: str,
        sample: DistinctRows,
        engine: Engine[Any],
        n_components: int,
        ridge: Array,
        rng: np.random.Generator,
    ) -> Partition:
        """The start of a trimmed fit: the best of the named and several others, with one shared variance per feature.

        Outliers may spoil a single start. Without variances of single components the likelihood has no peaks at single
        rows, so the best of many starts is sound. As in R's tclust, EM makes few steps from each start and many from
        the best. With 10 % outliers and 4 components, two of three starts from random rows begin without an outlier.
        All this happens in units of the widths of the features, so their own units don't matter.
        """
        start, widths = load_start(name), _feature_widths(sample)
        widths = np.where(widths > 0, widths, 1.0)
        rows = replace(sample, rows=sample.rows / widths)
        of_sample = ArraySource(rows.rows, rows.weight)
        of_sample.may_miss = bool(np.isnan(rows.rows).any())
        source, objective = TrimmedSource(of_sample, self.fraction), Objective(ridge / widths**2)
        n_features = len(widths)
        family = without_constraints(Diagonal, is_shared=True)
        partitions = [start(rows, engine, n_components, rng).with_scaled_spheres]
        drawn = (rows.draw_indices(rng.random(n_components)) for _ in range(N_RANDOM_STARTS))
        partitions += [nearest_centre(rows.mean_imputed[indices]) for indices in drawn]
        runs = list[EMState]()
        for partition in partitions:
            with suppress(SingularCovarianceError):
                model = InitialMoments(source, engine, n_components, partition).model(family, objective)
                if (run := run_to_sound_end(source, engine, model, objective, START_STOPPING)) is not None:
                    runs.append(run)
        if not runs:
            return start(sample, engine, n_components, rng)
        runs.sort(key=run_sort_key)
        starts = (run.model for run in runs[:MAX_REFINED_STARTS])
        ends = (final_state(run_em(source, engine, start, objective, BEST_STOPPING)) for start in starts)
        model = best_run([end] for end in ends).model
        whitening = Diagonal.from_array(model.covariances.array * widths**2, n_components, n_features, True).whitening
        # All log densities differ by a constant from those in data units, which would change their last digits.
        return Partition(Parameters(model.parameters.log_scale, model.means * widths, whitening), AssignmentRule.SOFT)
