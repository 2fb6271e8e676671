"""Moves of a mixture: two components become one, and a third becomes two.

A move changes responsibilities, and an M-step makes the model. So moves do not depend on the covariance structure. They
are ranked by a lower bound on their gain, from Jensen's inequality (Ueda, Nakano, Ghahramani & Hinton 2000).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np

from gaussmix.em.halves import Halves, halved
from gaussmix.em.initial import InitialMoments
from gaussmix.em.loop import sound_end
from gaussmix.em.maximise import initial_models
from gaussmix.em.objective import Objective
from gaussmix.em.stopping import Stopping
from gaussmix.em.trace import State
from gaussmix.engines.base import Engine
from gaussmix.errors import SingularCovariance
from gaussmix.families.base import Family
from gaussmix.model import Model
from gaussmix.numerics.arrays import Array, Places
from gaussmix.numerics.contract import contract
from gaussmix.numerics.elementary import log, softmax_and_log_sum
from gaussmix.numerics.factorise import factorise
from gaussmix.numerics.threads import cached_property
from gaussmix.sources.array import ArraySource
from gaussmix.starts.base import Partition
from gaussmix.starts.sample import Distinct
from gaussmix.waist.algebra import Across
from gaussmix.waist.block import Block
from gaussmix.waist.need import Second
from gaussmix.waist.parameters import LOG_2PI

LOCAL_ROWS, LOCAL_ROWS_PER_FEATURE = 200, 12  # most rows for a split: the larger of the two
N_DRAWS = 4093  # a prime, so that what is drawn again falls to other uses
LEAST_SHARE = 0.01  # least responsibility of a component for its own rows
NEIGHBOURS, NEAR = 4, 0.02  # most components beside a move, and the least share of its rows that they take
TRIES = 2  # of each split and of each removal in a round
AT_A_TIME = 2**21  # limit on the numbers in rows that are split at a time, 16 MB
HOPELESS = 0.3  # nats for each row of its components: where the first move loses as much by its bound, no move helps
OVERFIT = 0.5  # nats that each further parameter of a split gains on the rows that it is fitted to
MOVED = 0.03  # standard deviations: a component that has moved less is not split again


class Removal(NamedTuple):
    """A component, `freed`, loses its rows to `heir`; to all others if that is None.

    `gain` is a lower bound on the gain, nats per row; an estimate if the structure ties covariances to each other.
    """

    gain: float
    freed: int
    heir: int | None


class Split(NamedTuple):
    """Two components, number `group` of `halves`, take the place of one; `gain` as for `Removal`."""

    gain: float
    component: int
    halves: Halves
    group: int


Move = TypeVar("Move", Removal, Split)


def silent(what: str) -> None:
    """Print nothing: the default of `tell`."""


@dataclass(eq=False)
class LocalEM:
    """EM on rows in memory, with the family, the engine and the objective of a fit, which `tell` follows.

    `left` counts down the pairs of a row and a component that a search may visit. It ends when none is left.
    """

    family: Family
    engine: Engine[Any]
    objective: Objective
    left: float = math.inf
    tell: Callable[[str], object] = silent

    def end(self, rows: Distinct, model: Model, stopping: Stopping) -> State | None:
        """Run EM; None if a component freezes or the likelihood is not finite."""
        end = sound_end(ArraySource(rows.rows, rows.weight), self.engine, model, self.objective, stopping)
        if end is not None:
            self.left -= end.trace.n_steps * len(rows.rows) * model.n_components
        return end

    def model_of(self, rows: Distinct, shares: Array, before: Model | None = None) -> Model | None:
        """Make an M-step from responsibilities; None if a component has too few rows for a covariance.

        Axes that components share are looked for near those of a model before the move, if it is given.
        """
        source = ArraySource(rows.rows, rows.weight, shares)
        first = InitialMoments(source, self.engine, shares.shape[1], Partition())
        try:
            if before is None or not self.family.has_alternatives:
                return first.model(self.family, self.objective)
            moments, means = first.about_means(self.family.need(before.covariances))
            of_mixture = moments, self.family, self.engine, self.objective, means, before.covariances
            return initial_models(*of_mixture)[0]
        except SingularCovariance:
            return None


class Draws:
    """Numbers from [0, 1): taken one after the other, and again from the first after the last; `place` is the next."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.numbers, self.place = rng.random(N_DRAWS), 0

    def take(self, count: int) -> Array:
        taken: Array = self.numbers[(self.place + np.arange(count)) % N_DRAWS]
        self.place = (self.place + count) % N_DRAWS
        return taken


class View:
    """Rows under a model: responsibilities and log densities."""

    def __init__(self, rows: Distinct, em: LocalEM, model: Model) -> None:
        self.rows, self.em, self.model = rows, em, model
        joint = em.engine.component_log_density(Block(0, rows.rows), model.parameters)
        self.shares, self.log_density = softmax_and_log_sum(np.ascontiguousarray(joint.T), axis=0)
        self.row_share = rows.weight / rows.weight.sum()
        self.places = [np.flatnonzero(share > LEAST_SHARE) for share in self.shares]  # of each component's own rows

    @cached_property
    def overlap(self) -> Array:
        """Share of each component's rows that each other component takes, (n_components, n_components)."""
        mass = np.maximum(contract("kn,n->k", self.shares, self.row_share), np.finfo(np.float64).tiny)
        own = np.where(self.shares > LEAST_SHARE, self.shares, 0.0)
        return contract("kn,jn->kj", own * self.row_share, own) / mass[:, None]

    def part(self, components: Places) -> tuple[Part, Array]:
        """Restrict the model to some components and their rows; also gives responsibilities (n_rows, n_components)."""
        places = np.arange(len(self.row_share))
        if len(components) < self.model.n_components:
            places = np.flatnonzero(self.shares[components].max(axis=0) > LEAST_SHARE)
        shares = self.shares[np.ix_(components, places)]
        total = shares.sum(axis=0)
        weight = self.row_share[places] * total
        share, model = float(weight.sum()), self.model.take(components)
        weight_of_components = model.weights.sum()
        own = float((weight * (self.log_density[places] + log(total))).sum()) / share
        own -= float(log(np.array([weight_of_components]))[0])
        model = replace(model, weights=model.weights / weight_of_components)
        rows = Distinct(self.rows.rows[places], self.rows.weight[places] * total)
        return Part(components, rows, model, share, own), (shares / total).T


class Part(NamedTuple):
    """Some components of a model, by their indices, and the rows that they share, weighted by responsibility.

    `model` is that of these rows, `share` their part of all row weight, and `log_likelihood` their mean, nats. By
    Jensen's inequality, the gain of these rows times `share` is a lower bound on the gain of all rows.
    """

    components: Places
    rows: Distinct
    model: Model
    share: float
    log_likelihood: float

    def within(self, whole: Model, model: Model) -> Model:
        """Replace these components of `whole` by those of `model`."""
        if len(self.components) == whole.n_components:
            return model
        weights, means = np.array(whole.weights), np.array(whole.means)
        weights[self.components] = weights[self.components].sum() * model.weights
        means[self.components] = model.means
        return Model(weights, means, whole.covariances.put(self.components, model.covariances), whole.family)


class Moved(NamedTuple):
    """A part of a model, the model of its rows after a move, and the components that the move splits or merges.

    A move is vain, and is not judged, if a component stays among its own rows.
    """

    part: Part
    model: Model
    touched: tuple[int, ...] = ()
    is_vain: bool = False


class Moves:
    """Ranks moves on some rows.

    `scale` (n_features,), data units, are typical standard deviations within a component. Of the last ranking,
    `best_split` is the largest gain of a split, and `is_hopeless` says whether even the first move loses much.
    """

    best_split, is_hopeless = 0.0, False

    def __init__(self, em: LocalEM, draws: Draws, scale: Array) -> None:
        self._em, self._draws, self._scale = em, draws, scale
        self._splits: dict[int, tuple[Array, Split | None]] = {}  # where a component was, and its split
        algebra = em.family.algebra
        self.is_free = algebra is not None and Across.EQUAL not in algebra  # no covariance depends on another one

    def ranked(self, view: View, touched: set[int]) -> Iterator[Moved]:
        """Yield moves, the largest bound first. After `TRIES` tries a split or removal waits for the next round.

        Yields none if even the first loses `HOPELESS` nats for each row of its components by its bound.

        `touched` are components that need no other move, in the set's state when the next move is asked for.
        """
        n_components = view.model.n_components
        self._split_again(view)
        splits = _best_first(split for _, split in self._splits.values() if split is not None)
        splits = splits[: max(8, n_components // 2)]
        removals = _removals(view)[: max(16, n_components)]
        pairs = [(removal, split) for removal in removals for split in splits if split.component not in removal[1:]]
        pairs.sort(key=lambda pair: -(pair[0].gain + pair[1].gain))
        self.best_split = splits[0].gain if splits else 0.0
        self.is_hopeless = bool(pairs) and self._is_hopeless(view, *pairs[0])
        if self.is_hopeless:
            return
        while pairs:
            uses, later = Counter[tuple[Any, ...]](), []
            for removal, split in pairs:
                parts = (split.component,), (removal.freed, removal.heir)
                if max(uses[part] for part in parts) >= TRIES:
                    later.append((removal, split))
                    continue
                if not touched.isdisjoint(self._touched(removal, split)):
                    continue
                uses.update(parts)
                moved = self._moved(view, removal, split)
                if moved is not None:
                    yield moved
            pairs = later

    def _is_hopeless(self, view: View, removal: Removal, split: Split) -> bool:
        mass = float((view.shares[self._touched(removal, split)] * view.row_share).sum())
        return removal.gain + split.gain < -HOPELESS * mass

    def swapped(self, view: View) -> Moved:
        """Move a random component to a random row; among its own rows that is vain, since EM brings it back."""
        model, rows = view.model, view.rows
        means, (which, place) = np.array(model.means), self._draws.take(2)
        reached = np.cumsum(rows.weight)
        row = min(int(np.searchsorted(reached, place * reached[-1], side="right")), len(reached) - 1)
        k = int(which * model.n_components)
        means[k] = rows.rows[row]
        weights = np.full(model.n_components, 1 / model.n_components)
        part, _ = view.part(np.arange(model.n_components))
        moved = Model(weights, means, model.covariances, model.family)
        return Moved(part, moved, is_vain=bool(view.shares[k, row] > 0.5))

    def _moved(self, view: View, removal: Removal, split: Split) -> Moved | None:
        """Make the M-step of a move, on the rows of the components around it."""
        components = self._around(view, removal, split)
        part, shares = view.part(components)
        freed, halved = np.searchsorted(components, [removal.freed, split.component])
        if removal.heir is None:
            rest = 1 - shares[:, [freed]]
            others = len(components) - 1
            shares = np.where(rest > LEAST_SHARE, shares / np.maximum(rest, LEAST_SHARE), 1 / others)
        else:
            shares[:, np.searchsorted(components, removal.heir)] += shares[:, freed]
        first = split.halves.first_share(split.group, part.rows.rows)
        shares[:, freed] = shares[:, halved] * (1 - first)
        shares[:, halved] *= first
        model = self._em.model_of(part.rows, shares, part.model)
        return None if model is None else Moved(part, model, tuple(self._touched(removal, split)))

    @staticmethod
    def _touched(removal: Removal, split: Split) -> list[int]:
        return [k for k in (removal.freed, removal.heir, split.component) if k is not None]

    def _around(self, view: View, removal: Removal, split: Split) -> Places:
        """The components that a move touches and near ones, in order; all if covariances depend on each other."""
        if not self.is_free:
            return np.arange(view.model.n_components)
        touched = self._touched(removal, split)
        near = view.overlap[touched].max(axis=0)
        near[touched] = np.inf
        nearest = np.argsort(-near, kind="stable")[: len(touched) + NEIGHBOURS]
        return np.sort(nearest[near[nearest] > NEAR])

    def _split_again(self, view: View) -> None:
        """Find new splits of the components that have moved since their last split."""
        model = view.model
        spread, weights = np.sqrt(model.covariances.variances()), model.weights[:, None]
        here = np.concatenate((model.means, spread, weights), axis=1)
        unit = np.concatenate((spread, spread, weights), axis=1)
        known = self._splits
        stale = [
            k
            for k in range(model.n_components)
            if k not in known or (np.abs(known[k][0] - here[k]) >= MOVED * unit[k]).any()
        ]
        at_a_time = max(1, AT_A_TIME // (self._most_rows(model.n_features) * model.n_features))
        for first in range(0, len(stale), at_a_time):
            some = stale[first : first + at_a_time]
            for split, k in zip(self._split(view, some), some, strict=True):
                known[k] = here[k], split

    def _split(self, view: View, components: list[int]) -> list[Split | None]:
        """The split of each component on its own rows; None for too few rows.

        Its gain is that of all own rows: on a few of them its parameters gain more.
        """
        n_features = view.model.n_features
        shape = len(components), self._most_rows(n_features)
        weight, rows = np.zeros(shape), np.zeros((*shape, n_features))
        drawn = self._draws.take(shape[0] * (n_features + 2)).reshape(shape[0], n_features + 2)
        for group, k in enumerate(components):
            places = view.places[k]
            if len(places) > shape[1]:  # at even distances in the order of the rows
                at = (np.arange(shape[1]) + drawn[group, 0]) * (len(places) / shape[1])
                places = places[np.minimum(at.astype(np.intp), len(places) - 1)]
            own = view.row_share[places] * view.shares[k, places]
            weight[group, : len(places)] = own / own.sum()
            rows[group, : len(places)] = view.rows.rows[places]
        is_full = self._em.family.kind.second is Second.FULL
        halves = halved(rows, weight, self._scale, drawn[:, 1:], is_full=is_full)
        n_more = 1 + n_features + (n_features * (n_features + 1) // 2 if is_full else n_features)
        n_own = np.array([max(1, len(view.places[k])) for k in components])
        overfit = OVERFIT * n_more * (1 / np.minimum(n_own, shape[1]) - 1 / n_own)
        gains, mass = np.full(len(components), -np.inf), contract("kn,n->k", view.shares[components], view.row_share)
        many = (weight > 0).sum(axis=1) >= 4 * (n_features + 1)
        gains[many] = (halves.gain - overfit)[many] * mass[many]
        return [
            Split(gain, k, halves, group) if np.isfinite(gain) else None
            for group, (gain, k) in enumerate(zip(gains.tolist(), components, strict=True))
        ]

    @staticmethod
    def _most_rows(n_features: int) -> int:
        return max(LOCAL_ROWS, LOCAL_ROWS_PER_FEATURE * (n_features + 1))


def crossed(rows: Distinct, em: LocalEM, one: Model, other: Model) -> Model | None:
    """Make a model of the best components of two models with as many each; None if an M-step finds no covariance.

    All of them together describe the rows twice. The cheapest removals, some at a time, leave as many as each has. For
    structures in which no covariance depends on another.
    """
    covariances = np.concatenate((one.covariances.array, other.covariances.array))
    n_components, n_features = 2 * one.n_components, one.n_features
    weights, means = np.concatenate((one.weights, other.weights)) / 2, np.concatenate((one.means, other.means))
    pooled: Model | None = Model(
        weights, means, one.family.covariances(covariances, n_components, n_features), one.family
    )
    while pooled is not None and pooled.n_components > one.n_components:
        most = max(1, (pooled.n_components - one.n_components + 2) // 3)
        pooled = em.model_of(rows, _merged(View(rows, em, pooled), most).T)
    return pooled


def _merged(view: View, most: int) -> Array:
    """Responsibilities of the components that the cheapest removals leave, at most so many of them at once.

    None of them touches what another one touches.
    """
    shares, freed, taken = np.array(view.shares), list[int](), set[int]()
    for removal in _removals(view)[: max(16, view.model.n_components)]:
        k = removal.freed
        overlap = np.where(np.arange(len(shares)) == k, -1.0, view.overlap[k])
        other = int(overlap.argmax()) if removal.heir is None else removal.heir
        if len(freed) == most or not taken.isdisjoint((k, other)):
            continue
        taken.update((k, other))
        freed.append(k)
        if removal.heir is not None:
            shares[other] += shares[k]
    left = np.delete(shares, freed, axis=0)
    total = left.sum(axis=0)
    return np.where(total > LEAST_SHARE, left / np.maximum(total, LEAST_SHARE), 1 / len(left))


def _removals(view: View) -> list[Removal]:
    """Removals, the cheapest first. A merged pair has the moments of both."""
    model, shares, row_share = view.model, view.shares, view.row_share
    own = contract("kn,n->k", shares, row_share * view.log_density)
    apart = np.array([_entropy(shares[k, places], row_share[places]) for k, places in enumerate(view.places)])
    heirs, freed = np.triu_indices(model.n_components, 1)
    merged = _pooled(model, contract("kn,n->k", shares, row_share)) - (own + apart)[heirs] - (own + apart)[freed]
    found = []
    for pair in np.argsort(-merged, kind="stable")[: 2 * model.n_components]:
        heir, k = int(heirs[pair]), int(freed[pair])
        both = shares[heir] + shares[k]
        places = np.union1d(view.places[heir], view.places[k])
        mixed = _entropy(both[places], row_share[places]) - apart[heir] - apart[k]
        found.append(Removal(float(merged[pair]) - mixed, k, heir))
    for k, log_rest in enumerate(log(1 - np.minimum(model.weights, 1 - 1e-9)).tolist()):
        # what the density of all loses with the component
        rest = row_share[view.places[k]] * log(np.maximum(1 - shares[k, view.places[k]], 1e-30))
        found.append(Removal(float(rest.sum()) - log_rest, k, None))
    return _best_first(found)


def _pooled(model: Model, mass: Array) -> Array:
    """Σ r log π N(x | μ, Σ) of each pair of components, merged into one with the moments π, μ, Σ of both, nats.

    Σ r is that of the rows, `mass` (n_components,), and not the weight of the last step: or the unit would count in
    what a merger loses.
    """
    weights, means = model.weights, model.means
    is_dense = model.family.kind.second is Second.FULL
    spread = model.covariances.dense() if is_dense else model.covariances.variances()
    found = []
    for k in range(model.n_components - 1):
        total = np.maximum(weights[k] + weights[k + 1 :], np.finfo(np.float64).tiny)  # a prior may leave no weight
        share = (weights[k] / total)[(...,) + (None,) * (spread.ndim - 1)]
        between = means[k] - means[k + 1 :]
        squares = between[:, :, None] * between[:, None, :] if is_dense else between**2
        pooled = share * spread[k] + (1 - share) * spread[k + 1 :] + share * (1 - share) * squares
        if is_dense:
            log_abs_det, failed = factorise(pooled)[1:]
            log_det = np.where(failed, np.inf, -2 * log_abs_det)
        elif model.family.kind.second is Second.TRACE:
            log_det = model.n_features * log(pooled.mean(axis=1))
        else:
            log_det = log(pooled).sum(axis=1)
        found.append((mass[k] + mass[k + 1 :]) * (log(total) - 0.5 * (model.n_features * (LOG_2PI + 1) + log_det)))
    return np.concatenate(found)


def _entropy(shares: Array, row_share: Array) -> float:
    """Σ r log r."""
    return float((row_share * shares * log(shares)).sum())


def _best_first(moves: Iterable[Move]) -> list[Move]:
    return sorted(moves, key=lambda move: -move.gain)
