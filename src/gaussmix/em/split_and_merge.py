"""A search for a higher maximum of the likelihood than the one that EM finds: merge two components, split a third.

Ueda, Nakano, Ghahramani & Hinton (2000), Neural Computation 12. A move says how rows are shared, an M-step makes the
model. So moves know nothing of covariance structures. They are ranked by lower bounds on what they gain, from Jensen's
inequality, and a few steps of EM judge them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np

from gaussmix.em.initial import InitialMoments
from gaussmix.em.loop import run_em
from gaussmix.em.objective import Objective
from gaussmix.em.ridge import SHARE, automatic_ridge
from gaussmix.em.stopping import Stopping
from gaussmix.em.trace import State, final
from gaussmix.engines.base import Engine
from gaussmix.errors import Outcome, SingularCovariance
from gaussmix.families.base import Family
from gaussmix.model import Model
from gaussmix.numerics.arrays import Array
from gaussmix.sources.array import ArraySource
from gaussmix.sources.base import Source
from gaussmix.starts.base import Partition
from gaussmix.starts.sample import Distinct
from gaussmix.waist.block import Block
from gaussmix.waist.need import Second

ROWS_PER_PARAMETER, LEAST_ROWS = 20, 500  # of each component, for EM to judge a move
RANKING_ROWS, RANKING_ROWS_PER_FEATURE = 8_000, 20  # at least, and of each component, to rank moves
FIRST = Stopping(1e-4, 100)  # EM from the start
JUDGING, HOPEFUL = Stopping(1e-5, 4), Stopping(1e-5, 16)  # EM after a move; the second only where there is hope
LOOK_AHEAD = 16  # steps that gain as much as the last one did: the hope
LOCAL = Stopping(1e-4, 8)  # EM on the rows of a component that is split
LOCAL_ROWS, LOCAL_SHARE = 1_000, 0.02  # of these rows, at most; responsibility for a row that is one of them
MIXED = 0.05  # the part of each row that a half gets from beyond its side of the cut
GAIN = 2e-5  # nats per row: what a move has to gain
TRIES = 2  # of each split and of each removal, until moves are ranked again
MOVED = 0.03  # standard deviations: a component that has moved less since is not split again
FLAT = 5e-6  # of the variance of all rows


class Removal(NamedTuple):
    """One component takes the rows of another, or all others do.

    Parameters
    ----------
    gain : a bound on what that gains, hardly ever positive, nats per row.
    freed : the component that has no rows then.
    heir : the one that takes them; None for all.
    """

    gain: float
    freed: int
    heir: int | None


class Split(NamedTuple):
    """Two components in place of one.

    Parameters
    ----------
    gain : a bound on what that gains, nats per row. Where all components share a covariance, an estimate.
    component : the one.
    halves : the two, which share its rows.
    """

    gain: float
    component: int
    halves: Model


Move = TypeVar("Move", Removal, Split)


def first_model(first: InitialMoments, family: Family, objective: Objective, source: Source | None = None) -> Model:
    """The model that EM starts from: that of the M-step, or of a search from it where the partition asks for one.

    Parameters
    ----------
    first, family, objective, source : see `InitialMoments.model`.

    Raises
    ------
    SingularCovariance : a component has too few distinct rows for a covariance; the message names it.
    """
    model, partition = first.model(family, objective, source), first.partition
    if partition.searched is None:
        return model
    return split_and_merge(model, partition.searched, first.engine, objective, np.random.default_rng(partition.seed))


def split_and_merge(
    model: Model, sample: Distinct, engine: Engine[Any], objective: Objective, rng: np.random.Generator
) -> Model:
    """Move components until no move has helped for some time.

    A mixture that a move leads to is refused where a component has nearly no rows, or few rows and is nearly flat:
    there the likelihood has maxima that say nothing of the data.

    Parameters
    ----------
    model : where to begin.
    sample : the rows, or a part of them; a part of that is taken where it is enough.
    engine, objective : of the fit.
    rng : draws that part, and directions in which to split.

    Returns
    -------
    model : with a higher objective than EM from `model` reaches on these rows; `model` where there is none.
    """
    n_components, n_features = model.means.shape
    if n_components == 1:
        return model
    wanted = max(LEAST_ROWS, ROWS_PER_PARAMETER * model.n_parameters // n_components)
    rows = _part(sample, n_components * wanted, rng)
    wanted = max(RANKING_ROWS, RANKING_ROWS_PER_FEATURE * n_components * (n_features + 1))
    found = _Search(rows, _part(rows, wanted, rng), model.family, engine, objective, rng).best(model)
    return model if found is None else found


@dataclass(frozen=True, eq=False)
class _Search:
    """Rows on which EM judges moves, and some of them on which moves are ranked; the rest as in `split_and_merge`."""

    rows: Distinct
    ranking: Distinct
    family: Family
    engine: Engine[Any]
    objective: Objective
    rng: np.random.Generator
    _splits: dict[int, tuple[Array, Split | None]] = field(default_factory=dict)  # where a component was, and its split

    def best(self, start: Model) -> Model | None:
        """The model that no move makes better; None where the start has nowhere to go."""
        state = self._end(self.rows, start, FIRST)
        if state is None:
            return None
        patience, failures = max(4, start.n_components // 2), 0
        moves = self._moves(state.model)
        while failures < patience and (moved := next(moves, None)) is not None:
            after = self._better(state, moved)
            if after is None:
                failures += 1
            else:
                state, failures, moves = after, 0, self._moves(after.model)
        return self._swapped(state).model if self.family.is_shared else state.model

    def _swapped(self, state: State) -> State:
        """After components were put on rows drawn at random, which replaces bounds where a covariance is shared."""
        n_components, failures = state.model.n_components, 0
        while failures < max(20, 2 * n_components):
            means = np.array(state.model.means)
            means[self.rng.integers(n_components)] = self.ranking.rows[self.ranking.draw(self.rng)]
            moved = Model(np.full(n_components, 1 / n_components), means, state.model.covariances, self.family)
            after = self._better(state, moved)
            state, failures = (state, failures + 1) if after is None else (after, 0)
        return state

    def _better(self, state: State, moved: Model) -> State | None:
        """Where EM leads from a moved model; None where that is no better, or there is no hope of it."""
        aim = state.trace.last + GAIN
        after = self._end(self.rows, moved, JUDGING)
        if after is not None and after.trace.last <= aim:
            gains = np.diff(after.trace.objective[-2:])
            is_hopeful = after.trace.last + LOOK_AHEAD * gains.sum() > aim
            after = self._end(self.rows, after.model, HOPEFUL) if is_hopeful else None
        return after if after is not None and after.trace.last > aim and self._is_sound(after.model) else None

    def _end(self, rows: Distinct, model: Model, stopping: Stopping) -> State | None:
        """Where EM ends; None where a component freezes."""
        try:
            end = final(run_em(_source(rows), self.engine, model, self.objective, stopping))
        except SingularCovariance:
            return None
        return None if end.trace.frozen or end.outcome is Outcome.NON_FINITE else end

    def _m_step(self, rows: Distinct, shares: Array) -> Model | None:
        """The model of rows that are shared so; None where a component has too few."""
        first = InitialMoments(_source(rows).with_given(shares), self.engine, shares.shape[1], Partition())
        try:
            return first.model(self.family, self.objective)
        except SingularCovariance:
            return None

    def _shares(self, rows: Array, model: Model) -> tuple[Array, Array]:
        """Responsibilities (n_rows, n_components) and log densities (n_rows,)."""
        joint = self.engine.component_log_density(Block(0, rows), model.parameters)
        top = joint.max(axis=1, keepdims=True)
        each = np.exp(joint - top)
        total = each.sum(axis=1, keepdims=True)
        return each / total, (top + np.log(total))[:, 0]

    def _moves(self, model: Model) -> Iterator[Model]:
        """Moved models, the one with the largest bound first; a split or removal that failed often has to wait."""
        shares, log_density = self._shares(self.ranking.rows, model)
        for s in range(model.n_components):
            self._split_again(model, s, shares[:, s])
        splits = _best_first(split for _, split in self._splits.values() if split is not None)
        splits = splits[: max(8, model.n_components // 2)]
        removals = self._removals(model, shares, log_density)[: max(16, model.n_components)]
        pairs = [(removal, split) for removal in removals for split in splits if split.component not in removal[1:]]
        pairs.sort(key=lambda pair: -(pair[0].gain + pair[1].gain))
        while pairs:
            uses, later = Counter[tuple[Any, ...]](), []
            for removal, split in pairs:
                parts = (split.component,), (removal.freed, removal.heir)
                if max(uses[part] for part in parts) >= TRIES:
                    later.append((removal, split))
                    continue
                uses.update(parts)
                moved = self._moved(shares, removal, split)
                if moved is not None:
                    yield moved
            pairs = later

    def _moved(self, shares: Array, removal: Removal, split: Split) -> Model | None:
        """The M-step on the ranking rows as a move shares them."""
        shares, s = np.array(shares), split.component
        left, shares[:, removal.freed] = shares[:, removal.freed].copy(), 0.0
        if removal.heir is not None:
            shares[:, removal.heir] += left
        else:
            rest = shares.sum(axis=1)
            shares[rest <= 0, s], rest[rest <= 0] = 1.0, 1.0
            shares /= rest[:, None]
        halves, _ = self._shares(self.ranking.rows, split.halves)
        shares[:, [s, removal.freed]] = shares[:, [s]] * halves
        return self._m_step(self.ranking, shares)

    def _split_again(self, model: Model, component: int, share: Array) -> None:
        """Find the split of a component, unless it is nearly where it was."""
        spread = np.sqrt(model.covariances.take([component]).variances()[0])
        here = np.concatenate((model.means[component], spread, model.weights[component : component + 1]))
        if component in self._splits:
            moved = np.abs(self._splits[component][0] - here) / np.concatenate((spread, spread, here[-1:]))
            if moved.max() < MOVED:
                return
        self._splits[component] = here, self._split(component, share)

    def _split(self, component: int, share: Array) -> Split | None:
        """The better of two splits of a component on its own rows: across its longest axis or any direction."""
        n_features, weight = self.ranking.rows.shape[1], self.ranking.weight * share
        places = np.flatnonzero(share > LOCAL_SHARE)
        if len(places) < 4 * (n_features + 1):
            return None
        part = weight.sum() / self.ranking.weight.sum()
        rows = Distinct(self.ranking.rows[places], weight[places])
        most = max(LOCAL_ROWS, RANKING_ROWS_PER_FEATURE * (n_features + 1))
        if len(places) > most:
            chosen = np.sort(self.rng.choice(len(places), most, replace=False))
            rows = Distinct(rows.rows[chosen], rows.weight[chosen])
        whole = self._m_step(rows, np.ones((len(rows.weight), 1)))
        if whole is None:
            return None
        row_share = rows.weight / rows.weight.sum()
        before = float(row_share @ self._shares(rows.rows, whole)[1])
        best: Split | None = None
        for is_behind in self._cuts(rows.rows - row_share @ rows.rows, row_share):
            side = np.where(is_behind, MIXED, 1 - MIXED)
            halves = self._m_step(rows, np.column_stack((side, 1 - side)))
            end = None if halves is None else self._end(rows, halves, LOCAL)
            if end is None or end.model.weights.min() * part * len(self.ranking.weight) < 1.5 * (n_features + 1):
                continue
            gain = part * (end.trace.last - before)
            if best is None or gain > best.gain:
                best = Split(gain, component, end.model)
        return best

    def _cuts(self, offset: Array, row_share: Array) -> Iterator[Array]:
        """Which rows are on one side of a cut: at the mean of the longest axis; anywhere along a random direction."""
        values, axes = np.linalg.eigh((offset * row_share[:, None]).T @ offset + np.diag(self._ridge))
        direction = axes / np.sqrt(values) @ self.rng.normal(size=len(values))
        place = self.rng.uniform(0.2, 0.8)
        yield offset @ axes[:, -1] > 0
        along = offset @ direction
        yield along > np.quantile(along, place)

    def _removals(self, model: Model, shares: Array, log_density: Array) -> list[Removal]:
        """Ways to free a component, the cheapest first. Two that are merged have the moments of their rows."""
        fitted = self._m_step(self.ranking, shares) or model
        row_share = self.ranking.weight / self.ranking.weight.sum()
        own = row_share @ (shares * log_density[:, None])
        heirs, freed = np.triu_indices(model.n_components, 1)
        merged = _merged(fitted) - own[heirs] - own[freed]
        apart = row_share @ _times_log(shares)
        nearest = np.argsort(-(merged - apart[heirs] - apart[freed]), kind="stable")[: 2 * model.n_components]
        heirs, freed = heirs[nearest], freed[nearest]
        gains = merged[nearest] - row_share @ _times_log(shares[:, heirs] + shares[:, freed])
        others = np.log(np.maximum(1 - shares, 1e-30))  # what the density keeps without a component
        without = row_share @ others - np.log1p(-np.minimum(model.weights, 1 - 1e-9))
        found = [Removal(*each) for each in zip(gains.tolist(), freed.tolist(), heirs.tolist(), strict=True)]
        found += [Removal(gain, k, None) for k, gain in enumerate(without.tolist())]
        return _best_first(found)

    def _is_sound(self, model: Model) -> bool:
        """Whether each component has rows enough, and twice: those with few are not nearly flat."""
        n_rows, least = model.weights * len(self.rows.weight), model.n_features + 1
        is_free = self.family.kind.second is Second.FULL and not self.family.is_shared
        if n_rows.min() < (2 * least if is_free else 4):
            return False
        few = np.flatnonzero(n_rows < 10 * least)
        scale = np.sqrt(self._ridge / SHARE)
        relative = model.covariances.take(few).dense() / scale[:, None] / scale
        return bool((np.linalg.eigvalsh(relative) >= FLAT).all())

    @cached_property
    def _ridge(self) -> Array:
        return automatic_ridge(self.rows)


def _merged(model: Model) -> Array:
    """Σ r log π N(x | μ, Σ) of each pair of components in one, whose moments π, μ, Σ are those of their rows, nats."""
    weights, means, dense = model.weights, model.means, model.covariances.dense()
    found = []
    for k in range(model.n_components - 1):
        total = weights[k] + weights[k + 1 :]
        share = (weights[k] / total)[:, None, None]
        between = means[k] - means[k + 1 :]
        pooled = share * dense[k] + (1 - share) * dense[k + 1 :]
        pooled += share * (1 - share) * between[:, :, None] * between[:, None, :]
        if model.family.kind.second in (Second.TRACE, Second.DIAGONAL):
            log_det = np.log(np.diagonal(pooled, axis1=1, axis2=2)).sum(axis=1)
        else:
            log_det = np.linalg.slogdet(pooled)[1]
        found.append(total * (np.log(total) - 0.5 * (model.n_features * (np.log(2 * np.pi) + 1) + log_det)))
    return np.concatenate(found)


def _times_log(shares: Array) -> Array:
    """r log r, and 0 where r is 0."""
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    return shares * logs


def _best_first(moves: Iterable[Move]) -> list[Move]:
    return sorted(moves, key=lambda move: -move.gain)


def _part(rows: Distinct, wanted: int, rng: np.random.Generator) -> Distinct:
    """About so many of the rows, drawn by their weight; all where that is nearly all."""
    if len(rows.weight) <= 1.3 * wanted:
        return rows
    places, times = np.unique(rows.draw_many(rng, wanted), return_counts=True)
    return Distinct(rows.rows[places], times.astype(np.float64))


def _source(rows: Distinct) -> Source:
    return ArraySource(rows.rows, rows.weight)
