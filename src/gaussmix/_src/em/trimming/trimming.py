"""Trimming: each pass of EM leaves out the rows that are least likely under the mixture that it starts from.

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
from gaussmix._src.em.initialisation.base import Partition, centre_parameters, nearest_centre, start_named
from gaussmix._src.em.initialisation.initial import InitialMoments
from gaussmix._src.em.initialisation.sample import Distinct, robust_variances
from gaussmix._src.em.objective.objective import Objective
from gaussmix._src.em.objective.stopping import Stopping
from gaussmix._src.em.objective.trace import State, final
from gaussmix._src.em.step.accumulate import StepTask
from gaussmix._src.em.step.best_of import best_run, rank
from gaussmix._src.em.step.loop import run_em, sound_end
from gaussmix._src.em.trimming.fall import fall
from gaussmix._src.engines.base import Engine
from gaussmix._src.errors import SingularCovariance
from gaussmix._src.families.base import without_constraints
from gaussmix._src.interfaces.block import Block, BlockState
from gaussmix._src.interfaces.leaves import Sums
from gaussmix._src.interfaces.moment_spec import Rule
from gaussmix._src.interfaces.moments import BlockMoments
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.sources.array import ArraySource
from gaussmix._src.sources.base import F, S, Source, Task
from gaussmix._src.sources.quantile import ScoreReduction, find_neighbourhood

CUTOFF_MARGIN = 0.5  # nats above the last cutoff: rows that may be below that are looked at
MAX_FRACTION_OF_LEAF = 0.5  # of the rows of a leaf: with more to look at, all are
ROUNDING_OF_CUTOFF = 2.0**-40  # relative: log densities so near to the cutoff are equal to it, whatever rounding says
N_TRIES = 20  # starts from random rows
START_STOPPING, BEST_STOPPING = Stopping(1e-3, 5), Stopping(1e-4, 50)  # EM from each start, and from the best
MAX_REFINED_STARTS = 3  # starts that get the longer EM


class TrimmingRule(NamedTuple):
    """Which rows a pass keeps.

    Parameters
    ----------
    cutoff : rows with a lower log density, nats, are left out.
    highest : rows with a log density from the cutoff to this one are tied.
    fraction : the part of its weight that each tied row keeps, equal for all so that their order does not matter.
    """

    cutoff: float
    highest: float
    fraction: float

    def weight(self, log_density: Array, row_weight: Array | None) -> Array:
        """The row weights in the pass, (n_rows,), of rows with these log densities and weights."""
        weight = np.where(log_density < self.cutoff, 0.0, np.where(log_density > self.highest, 1.0, self.fraction))
        return weight if row_weight is None else weight * row_weight


def leave_out(
    source: Source, log_density: Task[Array], left_out: float, between: tuple[float, float] = (-inf, inf)
) -> TrimmingRule | None:
    """Leave out the least likely rows, up to a weight of `left_out`, which is less than the sum of the weights.

    The row at the cutoff keeps the part of its weight that is needed. None if the cutoff is not `between` these log
    densities; higher ones may be too low.
    """
    nearby = find_neighbourhood(source, log_density, lambda _: left_out, between=between, tie=2 * ROUNDING_OF_CUTOFF)
    if nearby is None:
        return None
    cutoff = float(nearby.scores[nearby.position])
    slack = ROUNDING_OF_CUTOFF * max(1.0, abs(cutoff)) if isfinite(cutoff) else 0.0
    if min(cutoff - between[0], between[1] - cutoff) <= 4 * slack:
        return None
    low, high = cutoff - slack, cutoff + slack
    if source.profile.largest_weight is None:  # counts have no rounding
        first, end = np.searchsorted(nearby.scores, low), np.searchsorted(nearby.scores, high, side="right")
        lost, tied = nearby.below + float(nearby.weights[:first].sum()), float(nearby.weights[first:end].sum())
    else:  # the bits of these sums must not depend on how the cutoff was found: a resumed fit finds it otherwise
        lost, tied = source.map_merge(ScoreReduction(log_density, partial(_weights_up_to, low=low, high=high)))
    return TrimmingRule(low, high, min(max(1.0 - (left_out - lost) / tied, 0.0), 1.0))


def _weights_up_to(log_density: Array, row_weight: Array | None, low: float, high: float) -> Sums:
    """The weights of rows below a log density, and of those from there to another."""
    weight = np.ones(len(log_density)) if row_weight is None else row_weight
    is_tied = (log_density >= low) & (log_density <= high)
    return Sums(float(weight[some].sum()) for some in (log_density < low, is_tied))


class Trimmed(Source):
    """The rows of another source; each pass with parameters leaves out the least likely, a fraction of the row weight.

    Passes without parameters, and methods other than `map_merge`, see all rows.
    """

    def __init__(self, source: Source, fraction: float) -> None:
        self.n_rows, self.n_features, self.dtype = source.n_rows, source.n_features, source.dtype
        self.memory, self.is_read_again = source.memory, source.is_read_again
        self.may_miss, self.has_errors, self.has_log_prior = source.may_miss, source.has_errors, source.has_log_prior
        self._source, self._fraction = source.fresh(), fraction
        self._last: _LastPass | None = None

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
        if task.spec.pooled and task.anchor is None:  # about an anchor, an engine reads no totals of all rows
            task = replace(task, anchor=task.parameters.means)
        last = self._at(task.engine, task.parameters)
        return self._source.map_merge(_TrimmedStep(task, last.log_density, last.rule))

    def rule(self, engine: Engine[Any], parameters: Parameters) -> TrimmingRule:
        """Which rows a pass with these parameters keeps; remembered for the next pass with them."""
        return self._at(engine, parameters).rule

    def without(self, engine: Engine[Any], parameters: Parameters) -> Source:
        """The rows that a pass with these parameters keeps, in any pass; the others have the weight 0."""
        change = partial(_reweighted, log_density=_LogDensity(engine, parameters), rule=self.rule(engine, parameters))
        return self._source.changed(change, self.n_rows)

    def _at(self, engine: Engine[Any], parameters: Parameters) -> _LastPass:
        """What a pass with these parameters finds.

        Where log densities of the last parameters are kept with blocks, only rows whose log density may have fallen
        below the cutoff since then are evaluated (`em.trimming.fall`). The other rows stay. Rows with missing cells
        or with errors have no bounds.
        """
        last = self._last
        if last is not None and last.log_density.parameters is parameters:
            return last
        left_out = self._fraction * self._source.profile.total_weight
        log_density = _LogDensity(engine, parameters, 0 if last is None else last.log_density.step + 1)
        bounds = None if last is None or self.is_incomplete else fall(last.log_density.parameters, parameters)
        task, rule = log_density, None
        if last is not None and bounds is not None:
            between = last.rule.cutoff - CUTOFF_MARGIN, last.rule.highest + CUTOFF_MARGIN
            task = replace(log_density, top=between[1], bounds=bounds)
            rule = leave_out(self._source, task, left_out, between)
        if rule is None:
            task, rule = log_density, leave_out(self._source, log_density, left_out)
        assert rule is not None, "some row has weight"
        self._last = _LastPass(task, rule)
        return self._last

    def fresh(self) -> Self:
        twin = super().fresh()
        twin._source, twin._last = self._source.fresh(), None
        return twin


@dataclass(frozen=True, eq=False)
class _LogDensity:
    """The task that returns the log densities of the rows of a leaf, nats, or lower bounds on them above `top`.

    Parameters
    ----------
    engine, parameters : of the log densities.
    step : of the parameters; the one before is that of the parameters from which bounds lead to these.
    top : log densities above may be bounds.
    bounds : makes bounds of log densities before, or of bounds on them.
    """

    engine: Engine[Any]
    parameters: Parameters
    step: int = 0
    top: float = inf
    bounds: Callable[[Array], Array] | None = None

    key: ClassVar[str] = "trimmed rows"

    def open(self, block: Block) -> _TrimmingState:
        return _TrimmingState()

    def call(self, leaf: Block, state: _TrimmingState) -> Array:
        cached = state.by_leaf.get(leaf.first_row)
        if cached is None or cached.step != self.step or cached.top < self.top:
            state.by_leaf[leaf.first_row] = cached = self._evaluate(leaf, cached)
        return cached.log_density

    def _evaluate(self, leaf: Block, before: _LeafDensities | None) -> _LeafDensities:
        if before is not None and before.step == self.step - 1 and self.bounds is not None:
            result = self.bounds(before.log_density)
            indices = np.flatnonzero(result <= self.top)
            if len(indices) <= MAX_FRACTION_OF_LEAF * leaf.n_rows:
                if len(indices):
                    result[indices] = self.engine.log_density(leaf.take(indices, leaf.first_row), self.parameters)
                return _LeafDensities(self.step, self.top, result)
        return _LeafDensities(self.step, inf, self.engine.log_density(leaf, self.parameters))


class _LeafDensities(NamedTuple):
    """The log densities of a leaf, (n_rows,), nats; above `top` they may be lower bounds."""

    step: int
    top: float
    log_density: Array


@dataclass(eq=False)
class _TrimmingState(BlockState):
    """What is stored with a block: log densities by the first row of their leaf, and the state of a task."""

    by_leaf: dict[int, _LeafDensities] = field(default_factory=dict)
    key: Hashable = None
    state: BlockState = field(default_factory=BlockState)

    @property
    def n_bytes(self) -> int:
        return self.state.n_bytes + sum(entry.log_density.nbytes for entry in self.by_leaf.values())

    def state_of(self, task: Task[Any], block: Block) -> Any:
        """The state of a task."""
        if self.key != task.key:
            self.key, self.state = task.key, task.open(block)
        return self.state


class _LastPass(NamedTuple):
    """The log densities of the last pass, and its rule."""

    log_density: _LogDensity
    rule: TrimmingRule


@dataclass(frozen=True, eq=False)
class _TrimmedStep:
    """A step for the retained rows."""

    task: StepTask
    log_density: _LogDensity
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
        (part,) = _reweighted(block, self.log_density, self.rule, state)
        return self.task.call(part, state.state_of(self.task, block))


def _reweighted(
    block: Block, log_density: _LogDensity, rule: TrimmingRule, state: _TrimmingState | None = None
) -> list[Block]:
    state = state or _TrimmingState()
    weights = [rule.weight(log_density.call(leaf, state), leaf.row_weight) for leaf in block.cut()]
    return [replace(block, row_weight=np.concatenate(weights))]


def trimming_cutoff(source: Source, engine: Engine[Any], model: Model) -> float | None:
    """The log density, nats, below which a pass leaves rows out; None if it keeps all."""
    return source.rule(engine, model.parameters).cutoff if isinstance(source, Trimmed) else None


def _widths(sample: Distinct) -> Array:
    """Widths of the middle three quarters of each feature, (n_features,), data units; 0 for a constant feature.

    Where the middle is one number, the standard deviation.
    """
    low, high = sample.middle
    return np.where(high > low, high - low, np.sqrt(robust_variances(sample.rows, sample.weight)))


@dataclass(frozen=True)
class Trim:
    """Leaves out a fraction of the row weight."""

    fraction: float

    def source(self, source: Source) -> Source:
        """The rows of a source; each pass with parameters leaves out the least likely."""
        return Trimmed(source, self.fraction)

    def retained(self, sample: Distinct, model: Model, engine: Engine[Any]) -> Distinct:
        """The rows of a sample that a pass with a model keeps."""
        rule = Trimmed(ArraySource(sample.rows, sample.weight), self.fraction).rule(engine, model.parameters)
        weight = rule.weight(engine.log_density(Block(0, sample.rows), model.parameters), sample.weight)
        return replace(sample, rows=sample.rows[weight > 0], weight=weight[weight > 0], rank=None)

    def nearest(self, means: Array, sample: Distinct) -> Partition:
        """Assign rows as `nearest_centre` does, by spheres as wide as the rows, so that units decide nothing."""
        return Partition(centre_parameters(means, float(_widths(sample).max()) or 1.0), Rule.HARD)

    def partition(
        self,
        name: str,
        sample: Distinct,
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
        start, widths = start_named(name), _widths(sample)
        widths = np.where(widths > 0, widths, 1.0)
        rows = replace(sample, rows=sample.rows / widths)
        of_sample = ArraySource(rows.rows, rows.weight)
        of_sample.may_miss = bool(np.isnan(rows.rows).any())
        source, objective = Trimmed(of_sample, self.fraction), Objective(ridge / widths**2)
        n_features = len(widths)
        family = without_constraints(Diagonal, is_shared=True)
        partitions = [start(rows, engine, n_components, rng).scaled]
        partitions += [nearest_centre(rows.filled[rows.draw(rng.random(n_components))]) for _ in range(N_TRIES)]
        runs = list[State]()
        for partition in partitions:
            with suppress(SingularCovariance):
                model = InitialMoments(source, engine, n_components, partition).model(family, objective)
                if (run := sound_end(source, engine, model, objective, START_STOPPING)) is not None:
                    runs.append(run)
        if not runs:
            return start(sample, engine, n_components, rng)
        runs.sort(key=rank)
        ends = (final(run_em(source, engine, run.model, objective, BEST_STOPPING)) for run in runs[:MAX_REFINED_STARTS])
        model = best_run([end] for end in ends).model
        whitening = Diagonal.from_array(model.covariances.array * widths**2, n_components, n_features, True).whitening
        # All log densities differ by a constant from those in data units, which would change their last digits.
        return Partition(Parameters(model.parameters.log_scale, model.means * widths, whitening), Rule.SOFT)
