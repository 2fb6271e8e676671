"""Births, merges and deletions of components in variational Bayes, accepted only if the bound rises.

Hughes & Sudderth (2013), NIPS 26. A birth puts two halves in the place of a component. A merge is judged without EM: by
the normalisers of the posterior and Σ r log r of the pair, which one pass collects for the pairs that may pay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix.em.approximation import Approximation
from gaussmix.em.fast_path import FastPath
from gaussmix.em.halves import halved
from gaussmix.em.loop import em_step
from gaussmix.em.maximise import LOST_SHARE, MAX_LOSS, MEAN_ROUNDING
from gaussmix.em.stopping import Stopping
from gaussmix.em.variational import Variational
from gaussmix.engines.base import Engine
from gaussmix.errors import SingularCovariance
from gaussmix.model import Model
from gaussmix.numerics.arrays import Array, Places
from gaussmix.numerics.core import native_target
from gaussmix.numerics.elementary import log
from gaussmix.sources.base import Source
from gaussmix.starts.sample import Distinct
from gaussmix.waist.block import Block
from gaussmix.waist.leaves import Sums, Tree
from gaussmix.waist.need import Need, Second
from gaussmix.waist.parameters import FARTHEST_MEAN, Parameters

STEPS = 6  # of EM after births
SETTLED = 1e-4  # nats per row: after a smaller gain no more steps follow a birth
SAME = 1e-6  # nats per row: so near are bounds of few rows and of all rows that they end alike
GAIN = 1e-9  # relative to the bound: a smaller gain is rounding
NEIGHBOURS = 6  # of each component, that it may merge with
PAIRS = 2  # of each component, that are looked at in a pass
HALF_ROWS = 100, 20  # most rows that halves are found from: the first number, or for each feature the second
FEWEST = 2  # distinct rows in the sample of a component that is split
FEW = 8  # with fewer distinct rows, all make halves and none judges
HEAVY = 5.0  # the same where a row has so many times the mean weight
SMALL = 3.0  # rows for each parameter of a component: one with more is merged, never deleted
SHARED = 1e-10  # smaller responsibilities have no part in Σ r log r
N_CUTS = 256  # random numbers that the core cuts components of a column by
MOST_STEPS = 2**31  # the core counts in 64 bits, Python without a limit
AT_A_TIME = 2**21  # limit on the numbers in rows that are split at a time


class Judged(NamedTuple):
    """A model before its E-step, with its bound, nats, and the model after the next M-step."""

    model: Model
    bound: float
    following: Model


class Change(NamedTuple):
    """The model after merges or deletions, the places of the components that are left, and the merged pairs."""

    model: Model
    kept: Places
    pairs: list[tuple[int, int]]


@dataclass(eq=False)
class BoundMoves:
    """Moves of a posterior.

    Parameters
    ----------
    source, engine, objective : as for `run_em`.
    sample : rows that proposals are made from.
    surveyed : the rows that Σ r log r is summed over.
    most_components : no birth makes more.
    rng : cuts of components into halves.
    is_unwanted : asked before each move whether to stop.
    """

    source: Source
    engine: Engine[Any]
    objective: Variational
    sample: Distinct
    surveyed: Source
    most_components: int
    rng: np.random.Generator
    is_unwanted: Callable[[], bool]
    tried_at: float = field(default=-np.inf, init=False)  # the bound when births of all components were last tried
    settled_at: float = field(default=-np.inf, init=False)  # the bound where few rows settled that stand for all

    @cached_property
    def _scale(self) -> Array:
        """Standard deviations of the sample, (n_features,), data units; not 0."""
        scale: Array = np.sqrt(np.maximum(self.sample.filled.var(axis=0), np.finfo(np.float64).tiny))
        return scale

    @cached_property
    def _fast(self) -> FastPath:
        """Steps that the engine makes by itself."""
        belief, stopping = self.objective.belief, Stopping(SETTLED, STEPS - 1)
        return FastPath(self.source, self.engine, belief.family, self.most_components, self.objective, stopping)

    @property
    def n_parameters(self) -> int:
        """Parameters of one component."""
        belief = self.objective.belief
        return belief.family.n_parameters(1, belief.n_features) + belief.n_features + 1

    def have_settled(self, bound: float) -> bool:
        """Whether all rows, with this bound per row, end where no move paid on few rows."""
        return abs(bound - self.settled_at / self.objective.row_weight) < SAME

    def raised(self, model: Model) -> Model | None:
        """The model after the moves that raise the bound; None if none does."""
        state = first = self.judged(model)
        is_known = state.bound - self.tried_at < SETTLED * self.objective.row_weight
        state, is_tried = self._pruned(state, np.full(model.n_components, is_known))
        while not self.is_unwanted():
            places = np.flatnonzero(~is_tried)
            room = self.most_components - state.model.n_components
            chosen = places[np.argsort(-state.model.weights[places], kind="stable")][:room]
            if not chosen.size or room <= 0:
                break
            found = self._after_births(state, chosen, is_tried)
            is_tried[chosen] = True
            if found is not None:
                state, is_tried = found
        order = np.argsort(-state.model.weights, kind="stable")  # the longest sticks are the first
        if (np.diff(order) < 0).any():
            ordered = self.judged(state.model.take(order))
            state = ordered if ordered.bound >= state.bound else state
        self.tried_at = state.bound
        return None if state is first else state.model

    def judged(self, model: Model) -> Judged:
        following, _, bounds = self._fast.run(model, 0, -np.inf, 1)
        if bounds:
            return Judged(model, self.objective.row_weight * bounds[0], following)
        moments, following, _ = em_step(self.source, self.engine, model, self.objective, {})
        bound = self.objective.unit * (moments.log_likelihood + self.objective.log_prior(model))
        return Judged(model, bound, following)

    def _after_steps(self, model: Model) -> Judged:
        """The last of at most `STEPS` steps from a model."""
        n_steps, last = 0, -np.inf
        while n_steps < STEPS - 1:
            reached, _, bounds = self._fast.run(model, n_steps, last)
            if not bounds:
                state = self.judged(model)
                reached, bounds = state.following, [state.bound / self.objective.row_weight]
            model, n_steps = reached, n_steps + len(bounds)
            before, last = [last, *bounds][-2:]
            if last - before < SETTLED:
                break
        return self.judged(model)

    def _is_higher(self, one: Judged, other: Judged) -> bool:
        return one.bound > other.bound + GAIN * max(1.0, abs(other.bound))

    # --- births

    def _after_births(
        self, state: Judged, chosen: Places, is_tried: NDArray[np.bool_]
    ) -> tuple[Judged, NDArray[np.bool_]] | None:
        """Split components, make steps, and merge again what need not be apart; None if the bound does not rise."""
        born = self._born(state.following, chosen)
        if born is None:
            return None
        model, parents = born
        now = self._after_steps(model)
        # A component that was not split keeps its mark; halves have none, unless they merge again.
        marks = np.array([parent < 0 and bool(is_tried[k]) for k, parent in enumerate(parents[: len(is_tried)])])
        marks = np.append(marks, np.zeros(len(parents) - len(marks), dtype=bool))
        now, marks = self._pruned(now, marks, parents)
        return (now, marks) if self._is_higher(now, state) else None

    def _born(self, model: Model, chosen: Places) -> tuple[Model, Array] | None:
        """The model with two halves for each chosen component, and the component that each was a half of, or −1."""
        q, rows = self.objective.approximation(model), self.sample.filled
        labels = self.engine.labels(Block(0, rows), q.parameters)
        groups = [np.flatnonzero(labels == k) for k in chosen]
        usable = [i for i, group in enumerate(groups) if len(group) >= FEWEST]
        if not usable:
            return None
        chosen, groups = chosen[usable], [groups[i] for i in usable]
        mass, means, each = np.array(q.mass), np.array(q.means), np.array(q.covariances.each)
        is_shared, of = q.covariances.is_shared, list[int]()
        within = np.repeat(each, len(mass), axis=0) if is_shared else each  # of the rows of each component
        added_mass, added_means, added_each = list[float](), list[Array](), list[Array]()
        for k, weights, places, spreads in self._halves(chosen, groups, rows):
            halves, forms = mass[k] * weights, self._in_form(spreads)
            found = self._as_posterior(forms, halves)
            within[k] = (weights.reshape(-1, *[1] * (forms.ndim - 1)) * forms).sum(axis=0) if is_shared else found[0]
            added_mass.append(float(halves[1]))
            added_means.append(places[1])
            added_each.append(found[1])
            of.append(k)
            mass[k], means[k] = halves[0], places[0]
        if not of:
            return None
        n_before = len(mass)
        if is_shared:
            each = (q.prior.scale + (q.mass.reshape(-1, *[1] * (within.ndim - 1)) * within).sum(axis=0))[None] / q.dof[
                0
            ]
        else:
            each = np.concatenate((within, added_each))
        covariances = replace(q.covariances, each=each, n_components=n_before + len(of))
        parents = np.full(n_before + len(of), -1)
        parents[of], parents[n_before:] = of, of
        mass, means = np.append(mass, added_mass), np.concatenate((means, added_means))
        return self.objective.model(Approximation(q.prior, mass, means, covariances)), parents

    def _halves(self, chosen: Places, groups: list[Places], rows: Array) -> Iterator[tuple[int, Array, Array, Array]]:
        """The component, and the weights, means and covariances (2, n_features, n_features) of its halves.

        Halves are found from every other row, and those that lower the density of the rows between are left out. Of few
        rows, and where one has the weight of many, all are needed to find halves.
        """
        n_features, is_full = rows.shape[1], self.objective.belief.form is Second.FULL
        wanted = max(HALF_ROWS[0], HALF_ROWS[1] * n_features)
        groups = [_evenly(group, 2 * wanted) for group in groups]
        is_judged = [len(group) >= FEW and self._has_even_weights(group) for group in groups]
        within = [group[:: 2 if judged else 1] for group, judged in zip(groups, is_judged, strict=True)]
        longest = max(map(len, within))
        at_a_time = max(1, AT_A_TIME // (longest * n_features))
        for first in range(0, len(groups), at_a_time):
            some = within[first : first + at_a_time]
            filled = np.array([np.resize(group, longest) for group in some])
            is_own = np.arange(longest) < np.array([[len(group)] for group in some])
            weight = np.where(is_own, self.sample.weight[filled], 0.0)
            weight /= weight.sum(axis=1, keepdims=True)
            cuts = self.rng.random((len(some), 1 + n_features))
            has_heavy = not all(is_judged[first : first + at_a_time])
            halves = halved(rows[filled], weight, self._scale, cuts, is_full=is_full, has_heavy=has_heavy)
            for i in np.flatnonzero(np.isfinite(halves.gain)).tolist():
                others = groups[first + i][1::2]
                gain = self.sample.weight[others] @ halves.gains(i, rows[others])
                if is_judged[first + i] and len(others) > 4 * n_features and gain <= 0:
                    continue
                back = np.linalg.inv(halves.whitening[i])
                roots = back @ np.linalg.inv(halves.factors[i])
                weights = halves.weights[i] / halves.weights[i].sum()
                means = halves.middle[i] + halves.means[i] @ back.T
                yield int(chosen[first + i]), weights, means, roots @ roots.swapaxes(-1, -2)

    def _has_even_weights(self, group: Places) -> bool:
        """Whether no complete row has the weight of many; rows without a single cell are alike and say nothing."""
        weight = np.where(np.isnan(self.sample.rows[group]).any(axis=1), 0.0, self.sample.weight[group])
        return bool(weight.max() <= HEAVY * self.sample.weight[group].mean())

    def _in_form(self, covariances: Array) -> Array:
        """Covariances (2, n_features, n_features) in the form of the structure."""
        form = self.objective.belief.form
        if form is Second.FULL:
            return covariances
        variances = np.diagonal(covariances, axis1=1, axis2=2)
        return np.asarray(variances.mean(axis=1)) if form is Second.TRACE else variances

    def _as_posterior(self, forms: Array, mass: Array) -> Array:
        """S / ν of two halves whose rows have these covariances."""
        belief, mass = self.objective.belief, mass.reshape(-1, *[1] * (forms.ndim - 1))
        posterior: Array = (belief.scale + mass * forms) / (belief.dof + mass)
        return posterior

    # --- merges and deletions

    def _pruned(
        self, state: Judged, marks: NDArray[np.bool_], parents: Array | None = None
    ) -> tuple[Judged, NDArray[np.bool_]]:
        """Merge and delete components while the bound rises; also gives which components need not be split again."""
        parents = np.full(len(marks), -1) if parents is None else parents
        while state.model.n_components > 1 and not self.is_unwanted():
            tried = ((change, self.judged(change.model)) for change in self.changes(state))
            # By however little it rises: there are fewer components.
            change, found = next(((change, each) for change, each in tried if each.bound > state.bound), (None, None))
            if change is None or found is None:
                break
            marks = np.array(marks)
            for one, other in change.pairs:
                marks[one] = parents[one] >= 0 and parents[one] == parents[other]
            state, marks, parents = found, marks[change.kept], parents[change.kept]
        return state, marks

    def changes(self, state: Judged) -> list[Change]:
        """Sets of merges, or of deletions, that should raise the bound: the largest first, then the best alone."""
        after = self.objective.approximation(state.following)
        pairs, gains, merged = merges(after)
        before = self.objective.approximation(state.model)
        small = np.flatnonzero(before.mass < SMALL * self.n_parameters)
        if not (len(pairs) or small.size):
            return []
        entropy, left = self.survey(before, pairs, small)
        gains = gains - entropy
        chosen, used = [], set[int]()
        for place in np.argsort(-gains, kind="stable"):
            one, other = pairs[place].tolist()
            if gains[place] > 0 and not used & {one, other}:
                chosen.append(int(place))
                used |= {one, other}
        found = []
        for some in (chosen, chosen[:1])[: min(2, len(chosen))]:
            both = [(int(one), int(other)) for one, other in pairs[some]]
            found.append(Change(*self._merged(after, pairs[some], merged[some]), both))
        if not chosen:
            gains = self.deletions(before, after.mass, small, left)
            wanted = small[gains > 0]
            best = small[gains == gains.max()][:1] if small.size and gains.max() > 0 else wanted
            for without in (wanted, best)[: min(2, len(wanted))]:
                kept = np.setdiff1d(np.arange(len(before.mass)), without)
                if kept.size:
                    found.append(Change(self.objective.model(before.take(kept)), kept, []))
        return found

    def survey(self, q: Approximation, pairs: NDArray[np.intp], some: Places) -> tuple[Array, Array]:
        """What `Survey` sums, nats."""
        entropy, left = self.surveyed.map_merge(Survey(self.engine, q.parameters, pairs, some))
        return self.objective.unit * entropy, self.objective.unit * left

    def _merged(self, q: Approximation, pairs: NDArray[np.intp], merged: Array) -> tuple[Model, Places]:
        """The model with pairs of components merged, and the places that are left; `merged` are S of the pairs."""
        prior = q.prior
        mass, means = np.array(q.mass), np.array(q.means)
        one, other = pairs.T
        both = mass[one] + mass[other]
        means[one] = _mean_of_both(q, one, other)
        mass[one] = both
        kept = np.setdiff1d(np.arange(len(mass)), other)
        if q.covariances.is_shared:
            covariances = q.covariances.take(kept)
        else:
            each = np.array(q.covariances.each)
            each[one] = _as_covariances(merged, prior.dof + both, prior)
            covariances = replace(q.covariances, each=each).take(kept)
        found = Approximation(prior, mass[kept], means[kept], covariances)
        return self.objective.model(found), kept

    def deletions(self, q: Approximation, mass: Array, small: Places, left: Array) -> Array:
        """What the bound gains without each of the small components, nats; `left` are their Σ log (1 − r).

        It is a lower bound, for the rows shared among the others; an estimate where components share a covariance.
        """
        own = q.divergences_of_means() if q.covariances.is_shared else q.divergences()
        gains, every = np.array(left), np.arange(len(q.mass))
        logs = q.expected_logs
        for i, k in enumerate(small):
            without = q.take(every[every != k])
            gains[i] += own[k] + q.divergence_of_weights - without.divergence_of_weights
            gains[i] += float((np.delete(mass, k) * (without.expected_logs - np.delete(logs, k))).sum())
        return gains


def settled_column(
    model: Model,
    few: Distinct,
    objective: Variational,
    most_components: int,
    stopping: Stopping,
    rng: np.random.Generator,
) -> tuple[Model, float] | None:
    """Moves and EM on few rows of one feature, in one call of the core: the model, and its bound, nats.

    It ends early at the deadline. None if the core can't run, or components share a variance.
    """
    target, family = native_target(), objective.belief.family
    if target is None or family.algebra is None or family.is_shared:
        return None
    ridge, belief = objective.as_belief()
    covariances = np.ascontiguousarray(model.covariances.array).ravel()
    limits = LOST_SHARE, MEAN_ROUNDING, MAX_LOSS, FARTHEST_MEAN
    how = stopping.tolerance, min(stopping.max_steps, MOST_STEPS), stopping.seconds_left
    bound, weights, means, covariances = target.settle_column(
        few.rows, few.weight, family.algebra, model.weights, model.means, covariances, ridge, limits, *how,
        SETTLED, most_components, rng.random(N_CUTS), belief, 1,
    )  # fmt: skip
    if not np.isfinite(bound):
        return None
    shape = means.shape
    found = family.covariances(covariances.reshape(family.shape(*shape)), *shape)
    return Model(weights, means, found, family), bound * objective.row_weight


def _evenly(places: Places, most: int) -> Places:
    """At most so many of the places, at equal distances."""
    if len(places) <= most:
        return places
    chosen: Places = places[(2 * np.arange(most) + 1) * len(places) // (2 * most)]
    return chosen


def _near(q: Approximation) -> NDArray[np.intp]:
    """Pairs of components that may merge, (n_pairs, 2): each with its nearest by both of their covariances."""
    n_components = len(q.mass)
    if n_components - 1 <= NEIGHBOURS:
        return np.column_stack(np.triu_indices(n_components, 1))
    whitening, distances = q.covariances.whitening, np.zeros((n_components, n_components))
    for k in range(n_components):
        distances[k] = (whitening.whiten(k, q.means - q.means[k]) ** 2).sum(axis=1)
    distances = np.minimum(distances, distances.T)
    np.fill_diagonal(distances, np.inf)
    near = np.argsort(distances, axis=1, kind="stable")[:, :NEIGHBOURS]
    pairs = np.column_stack((np.repeat(np.arange(n_components), NEIGHBOURS), near.ravel()))
    pairs.sort(axis=1)
    return np.unique(pairs, axis=0)


def merges(q: Approximation) -> tuple[NDArray[np.intp], Array, Array]:
    """Pairs whose merge may raise the bound, by how much at most, nats, and S of each as `Conjugate` has it.

    Right after an M-step, the bound is a sum of log normalisers, and of −Σ r log r. That of both together is larger, so
    this is a bound on the gain.
    """
    pairs, prior = _near(q), q.prior
    one, other = pairs.T
    second, d = _merged_scales(q, one, other), prior.n_features
    is_shared, both = q.covariances.is_shared, q.mass[one] + q.mass[other]
    dof = np.broadcast_to(q.dof, len(one)) if is_shared else prior.dof + both
    log_dets, is_usable = _log_dets(second, dof, q)
    of_means = 0.5 * d * (log(q.precisions[one]) + log(q.precisions[other]))
    of_means -= 0.5 * d * (log(prior.precision + both) + log(np.array([prior.precision])))
    gains, before = of_means + prior.moments(dof, log_dets)[1], q.log_normalisers
    gains = gains - before if is_shared else gains + prior.log_normaliser - before[one] - before[other]
    gains = gains + _of_weights(q, one, other)
    chosen, n_pairs = list[int](), np.zeros(len(q.mass), dtype=np.intp)
    for place in np.argsort(-gains, kind="stable").tolist():
        if is_usable[place] and gains[place] > 0 and n_pairs[pairs[place]].max() < PAIRS:
            chosen.append(place)
            n_pairs[pairs[place]] += 1
    return pairs[chosen], gains[chosen], second[chosen]


def _of_weights(q: Approximation, one: Places, other: Places) -> Array:
    """What merges change in the log normaliser of the weights, nats."""
    mass = np.repeat(q.mass[None], len(one), axis=0)
    rows = np.arange(len(one))
    mass[rows, one] += mass[rows, other]
    mass[rows, other] = 0.0
    mass = np.sort(mass, axis=1)[:, ::-1]
    concentration = q.prior.concentration
    found: Array = concentration.moments(mass)[1] - concentration.moments(q.mass)[1]
    return found


def _mean_of_both(q: Approximation, one: Places, other: Places) -> Array:
    """The posterior means of pairs of components together."""
    prior, beta = q.prior, q.precisions[:, None]
    both = beta[one] + beta[other] - prior.precision
    shift = beta[other] * (q.means[other] - q.means[one]) - prior.precision * (prior.mean - q.means[one])
    found: Array = q.means[one] + shift / both
    return found


def _merged_scales(q: Approximation, one: Places, other: Places) -> Array:
    """S of pairs of components together, as sums: of one variance the sum over features."""
    prior, need = q.prior, Need(q.prior.form)
    middle = _mean_of_both(q, one, other)
    between = need.squares(np.sqrt(q.precisions[one])[:, None] * (q.means[one] - middle))
    between = between + need.squares(np.sqrt(q.precisions[other])[:, None] * (q.means[other] - middle))
    between = between - need.squares(np.sqrt(prior.precision) * (prior.mean - middle))
    times = prior.times
    if q.covariances.is_shared:
        return np.asarray(times * q.dof[0] * q.covariances.each + between)
    shape = (-1,) + (1,) * (q.covariances.each.ndim - 1)
    second = times * q.dof.reshape(shape) * q.covariances.each
    return np.asarray(second[one] + second[other] - prior.as_sums.scale + between)


def _as_covariances(second: Array, dof: Array, prior: Any) -> Array:
    """S / ν of sums."""
    shape = (-1,) + (1,) * (second.ndim - 1)
    found: Array = second / (prior.times * dof).reshape(shape)
    return found


def _log_dets(second: Array, dof: Array, q: Approximation) -> tuple[Array, NDArray[np.bool_]]:
    """log |S / ν| of sums, and which of them are positive definite; others are rounding."""
    prior, is_usable = q.prior, np.ones(len(dof), dtype=bool)
    each = _as_covariances(second, dof, prior)
    for _ in range(2):
        try:
            found = prior.family.kind.of(each, len(dof), prior.n_features, False).whitening.log_abs_det
            return -2.0 * found, is_usable
        except SingularCovariance as error:
            is_usable[list(error.components)] = False
            each = np.array(each)
            each[list(error.components)] = prior.covariance.each[0]
    return np.zeros(len(dof)), np.zeros(len(dof), dtype=bool)


@dataclass(frozen=True, eq=False)
class Survey:
    """A task: for pairs (n_pairs, 2) Σ s [(r + r') log (r + r') − r log r − r' log r']; for some Σ s log (1 − r)."""

    engine: Engine[Any]
    parameters: Parameters
    pairs: NDArray[np.intp]
    some: Places
    key: str = "survey"

    def open(self, block: Block) -> None:
        """Nothing is kept."""

    def call(self, block: Block, state: None) -> Sums:
        tree = Tree[Sums]()
        for leaf in block.cut():
            tree.add(self._of_leaf(leaf))
        return tree.total

    def _of_leaf(self, leaf: Block) -> Sums:
        shares = np.ascontiguousarray(self.engine.responsibilities(leaf, self.parameters).T)
        weight, entropy, left = leaf.row_weight, np.zeros(len(self.pairs)), np.zeros(len(self.some))
        is_there = shares > SHARED
        for i, (one, other) in enumerate(self.pairs):
            places = np.flatnonzero(is_there[one] & is_there[other])
            if places.size:
                a, b = shares[one, places], shares[other, places]
                terms = _x_log_x(a + b) - _x_log_x(a) - _x_log_x(b)
                entropy[i] = (terms if weight is None else weight[places] * terms).sum()
        for i, k in enumerate(self.some):
            places = np.flatnonzero(is_there[k])
            if places.size:
                terms = log(1.0 - shares[k, places])
                left[i] = (terms if weight is None else weight[places] * terms).sum()
        return Sums([entropy, left])


def _x_log_x(numbers: Array) -> Array:
    found: Array = numbers * log(numbers)
    return found
