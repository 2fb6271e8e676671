"""Moves of a mixture: two components become one, and a third becomes two.

A move says how rows are shared, and an M-step makes the model of it. So moves know nothing of covariance structures.
They are ranked by what they gain at least, by Jensen's inequality (Ueda, Nakano, Ghahramani & Hinton 2000).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from gaussmix.em.initial import InitialMoments
from gaussmix.em.loop import run_em
from gaussmix.em.objective import Objective
from gaussmix.em.stopping import Stopping
from gaussmix.em.trace import State, final
from gaussmix.engines.base import Engine
from gaussmix.errors import Outcome, SingularCovariance
from gaussmix.families.base import Family
from gaussmix.model import Model
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.elementary import log_sum
from gaussmix.sources.array import ArraySource
from gaussmix.starts.base import Partition
from gaussmix.starts.sample import Distinct
from gaussmix.waist.block import Block
from gaussmix.waist.need import Second

LOCAL_EM = Stopping(1e-4, 8)  # on the rows of a component that is split
LOCAL_ROWS, LOCAL_SHARE = 1_000, 0.02  # of these rows, at most; responsibility for a row that is one of them
ROWS_PER_FEATURE = 20  # of each component, at least, where a part of the rows stands for all
MIXED = 0.05  # the part of each row that a half gets from beyond its side of the cut
TRIES = 2  # of each split and of each removal, before those that have had none
MOVED = 0.03  # standard deviations: a component that has moved less is not split again
FLATTEST = 1e-12  # relative, of the variances along the axes of a component


class Removal(NamedTuple):
    """One component is left without rows.

    Parameters
    ----------
    gain : a bound on what that gains, nats per row; an estimate where a structure ties covariances to each other.
    freed : the component.
    heir : the one that takes its rows; None where all others do.
    """

    gain: float
    freed: int
    heir: int | None


class Split(NamedTuple):
    """Two components take the place of one.

    Parameters
    ----------
    gain : as for `Removal`.
    component : the one.
    halves : the two, which share its rows.
    """

    gain: float
    component: int
    halves: Model


Move = TypeVar("Move", Removal, Split)


@dataclass(frozen=True, eq=False)
class Fits:
    """EM on rows in memory.

    Parameters
    ----------
    family, engine, objective : of the fit.
    """

    family: Family
    engine: Engine[Any]
    objective: Objective

    def end(self, rows: Distinct, model: Model, stopping: Stopping) -> State | None:
        """Where EM ends; None where a component freezes or the likelihood is not finite."""
        source = ArraySource(rows.rows, rows.weight)
        try:
            end = final(run_em(source, self.engine, model, self.objective, stopping))
        except SingularCovariance:
            return None
        return None if end.trace.frozen or end.outcome is Outcome.NON_FINITE else end

    def model_of(self, rows: Distinct, shares: Array) -> Model | None:
        """The M-step on rows that are shared so; None where a component has too few for a covariance."""
        source = ArraySource(rows.rows, rows.weight, shares)
        try:
            return InitialMoments(source, self.engine, shares.shape[1], Partition()).model(self.family, self.objective)
        except SingularCovariance:
            return None

    def log_shares(self, rows: Array, model: Model) -> tuple[Array, Array]:
        """Logarithms of responsibilities (n_rows, n_components), and log densities (n_rows,)."""
        joint = self.engine.component_log_density(Block(0, rows), model.parameters)
        log_density = log_sum(joint)
        return joint - log_density[:, None], log_density


class Moves:
    """Ranks moves on some rows.

    Parameters
    ----------
    rows : some of all rows.
    fits : EM.
    rng : draws rows and directions of splits.
    scale : (n_features,), data units: a usual standard deviation within a component.
    """

    def __init__(self, rows: Distinct, fits: Fits, rng: np.random.Generator, scale: Array) -> None:
        self._rows, self._fits, self._rng, self._scale = rows, fits, rng, scale
        self._row_share = rows.weight / rows.weight.sum()
        self._splits: dict[int, tuple[Array, Split | None]] = {}  # where a component was, and its split

    def ranked(self, model: Model) -> Iterator[Model]:
        """Moved models, the one with the largest bound first; a split or removal that had its tries has to wait."""
        logs, log_density = self._fits.log_shares(self._rows.rows, model)
        shares = np.exp(logs)
        for component in range(model.n_components):
            self._split_again(model, component, shares[:, component])
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
                moved = self._moved(logs, removal, split)
                if moved is not None:
                    yield moved
            pairs = later

    def swapped(self, model: Model) -> Model:
        """The model with a component put on a row, both drawn at random."""
        means = np.array(model.means)
        means[self._rng.integers(model.n_components)] = self._rows.rows[self._rows.draw(self._rng)]
        weights = np.full(model.n_components, 1 / model.n_components)
        return Model(weights, means, model.covariances, model.family)

    def _moved(self, logs: Array, removal: Removal, split: Split) -> Model | None:
        """The M-step on the rows as a move shares them."""
        freed = removal.freed
        if removal.heir is None:
            others = np.delete(logs, freed, axis=1)
            shares = np.insert(np.exp(others - log_sum(others)[:, None]), freed, 0.0, axis=1)
        else:
            shares = np.exp(logs)
            shares[:, removal.heir] += shares[:, freed]
        halves, _ = self._fits.log_shares(self._rows.rows, split.halves)
        shares[:, [split.component, freed]] = shares[:, [split.component]] * np.exp(halves)
        return self._fits.model_of(self._rows, shares)

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
        n_features, weight = self._rows.rows.shape[1], self._rows.weight * share
        places = np.flatnonzero(share > LOCAL_SHARE)
        if len(places) < 4 * (n_features + 1):
            return None
        part = float(self._row_share @ share)
        most = max(LOCAL_ROWS, ROWS_PER_FEATURE * (n_features + 1))
        if len(places) > most:
            places = np.sort(self._rng.choice(places, most, replace=False))
        rows = Distinct(self._rows.rows[places], weight[places])
        whole = self._fits.model_of(rows, np.ones((len(places), 1)))
        if whole is None:
            return None
        row_share = rows.weight / rows.weight.sum()
        before = float(row_share @ self._fits.log_shares(rows.rows, whole)[1])
        best: Split | None = None
        for is_behind in self._cuts(rows.rows - row_share @ rows.rows, row_share):
            side = np.where(is_behind, MIXED, 1 - MIXED)
            halves = self._fits.model_of(rows, np.column_stack((side, 1 - side)))
            end = None if halves is None else self._fits.end(rows, halves, LOCAL_EM)
            gain = -np.inf if end is None else part * (end.trace.last - before)
            if end is not None and (best is None or gain > best.gain):
                best = Split(gain, component, end.model)
        return best

    def _cuts(self, offset: Array, row_share: Array) -> Iterator[NDArray[np.bool_]]:
        """Which rows are on one side of a cut: at the mean across the longest axis; anywhere across some direction."""
        scaled = offset / self._scale
        direction, place = self._rng.normal(size=scaled.shape[1]), self._rng.uniform(0.2, 0.8)
        if self._fits.family.kind.second is Second.FULL:
            values, axes = np.linalg.eigh((scaled * row_share[:, None]).T @ scaled)
            longest = axes[:, -1]
            direction = axes / np.sqrt(np.maximum(values, max(FLATTEST * values[-1], FLATTEST))) @ direction
        else:
            longest = np.eye(scaled.shape[1])[np.argmax(row_share @ scaled**2)]
        yield scaled @ longest > 0
        along: Array = scaled @ direction
        yield along > np.quantile(along, place)

    def _removals(self, model: Model, shares: Array, log_density: Array) -> list[Removal]:
        """Ways to free a component, the cheapest first. Two that are merged have the moments of their rows."""
        fitted = self._fits.model_of(self._rows, shares) or model
        own = self._row_share @ (shares * log_density[:, None])
        heirs, freed = np.triu_indices(model.n_components, 1)
        merged = _merged(fitted) - own[heirs] - own[freed]
        apart = self._row_share @ _times_log(shares)
        nearest = np.argsort(-(merged - apart[heirs] - apart[freed]), kind="stable")[: 2 * model.n_components]
        found = []
        for pair in nearest:
            heir, k = int(heirs[pair]), int(freed[pair])
            mixed = float(self._row_share @ _times_log(shares[:, heir] + shares[:, k]))
            found.append(Removal(float(merged[pair]) - mixed, k, heir))
        for k, weight in enumerate(model.weights.tolist()):  # what the density of all loses with the component
            rest = self._row_share @ np.log(np.maximum(1 - shares[:, k], 1e-30))
            found.append(Removal(float(rest - np.log1p(-min(weight, 1 - 1e-9))), k, None))
        return _best_first(found)


def _merged(model: Model) -> Array:
    """Σ r log π N(x | μ, Σ) of each pair of components in one, whose moments π, μ, Σ are those of their rows, nats."""
    weights, means = model.weights, model.means
    is_dense = model.family.kind.second is Second.FULL
    spread = model.covariances.dense() if is_dense else model.covariances.variances()
    found = []
    for k in range(model.n_components - 1):
        total = weights[k] + weights[k + 1 :]
        share = (weights[k] / total)[(...,) + (None,) * (spread.ndim - 1)]
        between = means[k] - means[k + 1 :]
        squares = between[:, :, None] * between[:, None, :] if is_dense else between**2
        pooled = share * spread[k] + (1 - share) * spread[k + 1 :] + share * (1 - share) * squares
        if is_dense:
            log_det = np.linalg.slogdet(pooled)[1]
        elif model.family.kind.second is Second.TRACE:
            log_det = model.n_features * np.log(pooled.mean(axis=1))
        else:
            log_det = np.log(pooled).sum(axis=1)
        found.append(total * (np.log(total) - 0.5 * (model.n_features * (np.log(2 * np.pi) + 1) + log_det)))
    return np.concatenate(found)


def _times_log(shares: Array) -> Array:
    """r log r, and 0 where r is 0."""
    return shares * np.log(shares, out=np.zeros_like(shares), where=shares > 0)


def _best_first(moves: Iterable[Move]) -> list[Move]:
    return sorted(moves, key=lambda move: -move.gain)
