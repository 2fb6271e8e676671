"""Trimming: each pass of EM leaves out the rows that are least likely under the mixture that it starts from.

Neykov, Filzmoser, Dimova & Neytchev (2007), Computational Statistics & Data Analysis 52; García-Escudero, Gordaliza,
Matrán & Mayo-Iscar (2008), Annals of Statistics 36. A step then raises the log-likelihood of the rows it keeps, and to
keep the likeliest rows of the next mixture raises it again.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Generic, NamedTuple, Self

import numpy as np

from gaussmix.covariances import Diagonal
from gaussmix.em.accumulate import StepTask
from gaussmix.em.best_of import best_run, rank
from gaussmix.em.fall import fall
from gaussmix.em.initial import InitialMoments
from gaussmix.em.loop import run_em
from gaussmix.em.objective import Ridge
from gaussmix.em.stopping import Stopping
from gaussmix.em.trace import State, final
from gaussmix.engines.base import Engine
from gaussmix.errors import Outcome, SingularCovariance
from gaussmix.families.base import unconstrained
from gaussmix.model import Model
from gaussmix.numerics.arrays import Array, Places
from gaussmix.sources.array import ArraySource
from gaussmix.sources.base import F, S, Source, Task, in_leaves
from gaussmix.starts.base import Partition, Start, nearest_centre
from gaussmix.starts.sample import Distinct, variances_of
from gaussmix.waist.block import Block
from gaussmix.waist.need import Rule
from gaussmix.waist.parameters import Parameters

AHEAD = 0.5  # nats above the last cutoff: rows that may be below that are looked at
FEW = 0.5  # of all rows: with more to look at, all are
TIE = 2.0**-40  # relative: log densities so near to the cutoff are equal to it, whatever rounding says
N_TRIES = 20  # starts from random rows
FIRST, SETTLING = Stopping(1e-3, 5), Stopping(1e-4, 50)  # EM from each start, and from the best
MOST_SETTLED = 3  # starts that get the longer EM


class Kept(NamedTuple):
    """Which rows a pass keeps.

    Parameters
    ----------
    cutoff : rows with a lower log density, nats, are left out; rows at the cutoff are slightly above.
    below : (n_below,), indices of the rows that are left out, rising.
    tied : (n_tied,), indices of the rows at the cutoff, rising.
    share : the share of its weight that each row at the cutoff keeps, equal for all so that their order does not
        matter.
    """

    cutoff: float
    below: Places
    tied: Places
    share: float

    def weight(self, block: Block) -> Array:
        """The row weights of a block in the pass, (n_rows,)."""
        weight = np.ones(block.n_rows) if block.row_weight is None else np.array(block.row_weight)
        for places, factor in ((self.below, 0.0), (self.tied, self.share)):
            first, end = np.searchsorted(places, [block.places.start, block.places.stop])
            weight[places[first:end] - block.first_row] *= factor
        return weight


def kept(log_density: Array, row_weight: Array | None, left_out: float) -> Kept:
    """Leave out the least likely rows, by their log densities (n_rows,), nats, up to a weight of `left_out`.

    That is less than the sum of the weights. The row at the cutoff keeps the part of its weight that is needed.
    """
    cutoff = _cutoff(log_density, row_weight, left_out)
    slack = TIE * max(1.0, abs(cutoff))
    cutoff -= slack
    is_below = log_density < cutoff
    below, tied = np.flatnonzero(is_below), np.flatnonzero(~is_below & (log_density <= cutoff + 2 * slack))
    lost, shared = (
        float(len(places)) if row_weight is None else float(row_weight[places].sum()) for places in (below, tied)
    )
    return Kept(cutoff, below, tied, min(max(1.0 - (left_out - lost) / shared, 0.0), 1.0))


def _cutoff(log_density: Array, row_weight: Array | None, left_out: float) -> float:
    """Weighted quantile: the log density at which the least likely rows reach a total weight of `left_out`."""
    if row_weight is None:
        place = min(int(left_out), len(log_density) - 1)
        return float(np.partition(log_density, place)[place])
    present = np.flatnonzero(row_weight > 0)
    order = present[np.argsort(log_density[present], kind="stable")]
    reached = np.cumsum(row_weight[order])
    place = int(np.searchsorted(reached, left_out, side="right"))
    return float(log_density[order[min(place, len(order) - 1)]])


def trimmed(source: Source, share: float) -> Source:
    """Trim a source; a share of 0 gives the source itself."""
    return Trimmed(source, share) if share else source


class Trimmed(Source):
    """The rows of another source; each pass with parameters leaves out the least likely, a share of the row weight.

    Passes without parameters, and methods other than `map_merge`, see all rows.
    """

    def __init__(self, source: Source, share: float) -> None:
        self.n_rows, self.n_features, self.dtype = source.n_rows, source.n_features, source.dtype
        self.memory, self.is_read_again = source.memory, source.is_read_again
        self.may_miss, self.has_errors, self.has_log_prior = source.may_miss, source.has_errors, source.has_log_prior
        self._source, self._share = source.fresh(), share
        self._last: _Last | None = None

    def blocks(self) -> Iterable[Block]:
        return self._source.blocks()

    @property
    def whole(self) -> None:
        """None: a block does not say which rows are left out."""
        return None

    def of_all(self, kind: type[F]) -> F:
        return self._source.of_all(kind)

    def map_merge(self, task: Task[S]) -> S:
        if not isinstance(task, StepTask) or task.parameters is None:
            return self._source.map_merge(task)
        if task.need.pooled and task.anchor is None:  # about an anchor, an engine reads no totals of all rows
            task = replace(task, anchor=task.parameters.means)
        return self._source.map_merge(_Without(task, self.kept(task.engine, task.parameters)))

    def kept(self, engine: Engine[Any], parameters: Parameters) -> Kept:
        """Which rows a pass with these parameters keeps; remembered for the next pass with them.

        Only rows whose log density may have fallen below the cutoff since the last pass are evaluated (`em.fall`). The
        other rows are kept.
        """
        last = self._last
        if last is None or last.parameters is not parameters:
            left_out = self._share * self._source.profile.total_weight
            look = partial(_log_density, engine=engine, parameters=parameters)
            last = None if last is None else self._among_few(last, look, parameters, left_out)
            if last is None:
                bounds = self._source.each_row(look)
                last = _Last(parameters, bounds, kept(bounds, self._row_weight, left_out))
            self._last = last
        return last.kept

    def _among_few(
        self, last: _Last, look: Callable[..., Array], parameters: Parameters, left_out: float
    ) -> _Last | None:
        """The same from an evaluation of few rows; None if few rows do not suffice.

        Rows with missing cells or with errors have no bounds.
        """
        if self.is_incomplete:
            return None
        bounds_after, limit = fall(last.parameters, parameters), last.kept.cutoff + AHEAD
        if bounds_after is None:
            return None
        bounds = bounds_after(last.bounds)
        chosen = np.flatnonzero(bounds < limit)
        if len(chosen) > FEW * self.n_rows:
            return None
        found = np.concatenate(list(self._source.map_rows(partial(_of_some, look=look, places=chosen))))
        weight = None if self._row_weight is None else self._row_weight[chosen]
        is_sure = found < limit - 4 * TIE * max(1.0, abs(limit))  # so that all rows at the cutoff are among them
        reached = np.count_nonzero(is_sure) if weight is None else float(weight[is_sure].sum())
        if reached <= left_out:
            return None
        bounds[chosen] = found
        among = kept(found, weight, left_out)
        return _Last(parameters, bounds, among._replace(below=chosen[among.below], tied=chosen[among.tied]))

    def without(self, engine: Engine[Any], parameters: Parameters) -> Source:
        """The rows that a pass with these parameters keeps, in any pass; the others have the weight 0."""
        return self._source.changed(partial(_reweighted, kept=self.kept(engine, parameters)), self.n_rows)

    @cached_property
    def _row_weight(self) -> Array | None:
        return self._source.row_weight

    def fresh(self) -> Self:
        twin = super().fresh()
        twin._source, twin._last = self._source.fresh(), None
        return twin


class _Last(NamedTuple):
    """What a pass leaves: its parameters, lower bounds on log densities (n_rows,), nats, and the rows it kept."""

    parameters: Parameters
    bounds: Array
    kept: Kept


@dataclass(frozen=True, eq=False)
class _Without(Generic[S]):
    """A task for the rows that are kept."""

    task: Task[S]
    kept: Kept

    @property
    def key(self) -> Hashable:
        return self.task.key

    def open(self, block: Block) -> Any:
        return self.task.open(block)

    def call(self, block: Block, state: Any) -> S:
        (part,) = _reweighted(block, self.kept)
        return self.task.call(part, state)


def _reweighted(block: Block, kept: Kept) -> list[Block]:
    return [replace(block, row_weight=kept.weight(block))]


def _log_density(block: Block, engine: Engine[Any], parameters: Parameters) -> Array:
    return in_leaves(block, partial(engine.log_density, parameters=parameters))


def _of_some(block: Block, look: Callable[[Block], Array], places: Places) -> Array:
    """Log densities of the rows of a block at `places`, which are rising indices over all rows."""
    first, end = np.searchsorted(places, [block.places.start, block.places.stop])
    if first == end:
        return np.empty(0)
    return look(block.taken(places[first:end] - block.first_row, block.first_row))


def cutoff_of(source: Source, engine: Engine[Any], model: Model) -> float | None:
    """The log density, nats, below which a pass leaves rows out; None if it keeps all."""
    return source.kept(engine, model.parameters).cutoff if isinstance(source, Trimmed) else None


def trimmed_partition(
    start: Start,
    sample: Distinct,
    engine: Engine[Any],
    n_components: int,
    ridge: Array,
    share: float,
    rng: np.random.Generator,
) -> Partition:
    """The start of a trimmed fit: the best of the user's and of several others, with one shared variance per feature.

    Outliers may spoil a single start. Without variances of single components the likelihood has no peaks at single
    rows, so the best of many starts is sound. As in R's tclust, EM makes few steps from each start and many from the
    best. With 10 % outliers and 4 components, two of three starts from random rows begin without an outlier. All this
    happens in units of the widths of the features, so their own units don't matter.
    """
    widths = _widths(sample)
    rows = replace(sample, rows=sample.rows / widths)
    of_sample = ArraySource(rows.rows, rows.weight)
    of_sample.may_miss = bool(np.isnan(rows.rows).any())
    source, objective = Trimmed(of_sample, share), Ridge(ridge / widths**2)
    n_features = len(widths)
    family = unconstrained(Diagonal.of(np.ones(n_features), n_components, n_features, True))
    partitions = [start(rows, engine, n_components, rng).scaled]
    partitions += [nearest_centre(rows.filled[rows.draw_many(rng, n_components)]) for _ in range(N_TRIES)]
    runs = list[State]()
    for partition in partitions:
        try:
            model = InitialMoments(source, engine, n_components, partition).model(family, objective)
        except SingularCovariance:
            continue
        runs.append(final(run_em(source, engine, model, objective, FIRST)))
    runs = [run for run in runs if not run.trace.frozen and run.outcome is not Outcome.NON_FINITE]
    if not runs:
        return start(sample, engine, n_components, rng)
    runs.sort(key=rank)
    settled = best_run([final(run_em(source, engine, run.model, objective, SETTLING))] for run in runs[:MOST_SETTLED])
    model = settled.model
    whitening = Diagonal.of(model.covariances.array * widths**2, n_components, n_features, True).whitening
    # All log densities differ by a constant from those in data units, which would change their last digits.
    return Partition(Parameters(model.parameters.log_scale, model.means * widths, whitening), Rule.SOFT)


def _widths(sample: Distinct) -> Array:
    """Widths of the middle three quarters of each feature, (n_features,), data units.

    Where the middle is one number, the standard deviation; 1 for a constant feature.
    """
    low, high = sample.middle
    deviations = np.sqrt(variances_of(sample.rows, sample.weight))
    return np.where(high > low, high - low, np.where(deviations > 0, deviations, 1.0))
