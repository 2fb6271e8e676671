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

from gaussmix.em.accumulate import StepTask
from gaussmix.em.fall import fall
from gaussmix.engines.base import Engine
from gaussmix.model import Model
from gaussmix.numerics.arrays import Array, Places
from gaussmix.sources.base import F, S, Source, Task, in_leaves
from gaussmix.waist.block import Block
from gaussmix.waist.parameters import Parameters

AHEAD = 0.5  # nats above the last cutoff: rows that may be below that are looked at
FEW = 0.5  # of all rows: with more to look at, all are
TIE = 2.0**-40  # relative: log densities so near to the cutoff are equal to it, whatever rounding says


class Kept(NamedTuple):
    """Which rows a pass keeps.

    Parameters
    ----------
    cutoff : the log density, nats, below which rows are left out; that of rows at the cutoff is a little above.
    below : (n_below,), the numbers of the rows that are left out, rising.
    tied : (n_tied,), the numbers of the rows at the cutoff, rising.
    share : the part of their weight that these keep, each the same, so that their order does not matter.
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
    """Keep the likeliest rows, without a weight of `left_out`.

    Parameters
    ----------
    log_density : (n_rows,), nats.
    row_weight : (n_rows,); None where all are 1.
    left_out : less than the sum of the weights. The row at the cutoff keeps the part of its weight that is needed.
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
    """The source itself where nothing is to be left out."""
    return Trimmed(source, share) if share else source


class Trimmed(Source):
    """Another source's rows; each pass with parameters leaves the least likely out.

    Passes without parameters, and methods other than `map_merge`, see all rows.

    Parameters
    ----------
    source : the rows.
    share : of the row weight, left out.
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
        """Blocks of rows do not tell which are left out."""
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

        Only rows are looked at whose log densities may have fallen below the cutoff since the last pass (`em.fall`).
        Those that have not are kept, whatever their log densities are.
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
        """The same by a look at few rows; None where these are too many, or not enough.

        Of rows with missing cells or with errors nothing is bounded.
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

    @cached_property
    def _row_weight(self) -> Array | None:
        return self._source.row_weight

    def fresh(self) -> Self:
        twin = super().fresh()
        twin._source, twin._last = self._source.fresh(), None
        return twin


class _Last(NamedTuple):
    """What a pass knows for the next one.

    Parameters
    ----------
    parameters : of the pass.
    bounds : (n_rows,), nats: the log density of each row is no less.
    kept : which rows it kept.
    """

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
        return self.task.call(replace(block, row_weight=self.kept.weight(block)), state)


def _log_density(block: Block, engine: Engine[Any], parameters: Parameters) -> Array:
    return in_leaves(block, partial(engine.log_density, parameters=parameters))


def _of_some(block: Block, look: Callable[[Block], Array], places: Places) -> Array:
    """The log densities of the rows of a block that are at some places, which rise and count over all rows."""
    first, end = np.searchsorted(places, [block.places.start, block.places.stop])
    if first == end:
        return np.empty(0)
    return look(block.taken(places[first:end] - block.first_row, block.first_row))


def cutoff_of(source: Source, engine: Engine[Any], model: Model) -> float | None:
    """The log density, nats, below which a pass leaves rows out; None where it keeps all."""
    return source.kept(engine, model.parameters).cutoff if isinstance(source, Trimmed) else None
