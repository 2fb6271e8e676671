"""Births, merges and deletions of components in variational Bayes, accepted if the bound rises.

A deletion may also lower it, by next to nothing: then the rows say nothing of the component. Hughes & Sudderth (2013),
NIPS 26. `em.bayes.births` and `em.bayes.merges` propose; here the bound of all rows decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.em.bayes.approximation import Approximation
from gaussmix._src.em.bayes.births import Births
from gaussmix._src.em.bayes.merges import deletions, merged, merges, survey
from gaussmix._src.em.bayes.variational import Variational
from gaussmix._src.em.initialisation.sample import Distinct
from gaussmix._src.em.objective.stopping import Stopping
from gaussmix._src.em.step.fast_path import FastPath
from gaussmix._src.em.step.loop import em_step
from gaussmix._src.engines.base import Engine
from gaussmix._src.engines.calls import MAX_STEPS_OF_CALL
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.parameters import LIMITS
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array, Places
from gaussmix._src.numerics.core import core, native_target
from gaussmix._src.numerics.threads import cached_property
from gaussmix._src.sources.array import ArraySource
from gaussmix._src.sources.base import Source

MIN_GAIN_OF_STEP = 1e-4  # nats per row: after a smaller gain no more steps follow a birth
MAX_GAP_OF_BOUNDS = 1e-6  # nats per row: so near are bounds of few rows and of all rows that they end alike
N_CUTS = 256  # random numbers that the core cuts components of a column by
SURVEY_ROWS = 2**14  # rows that stand for all where it is estimated which moves pay
REFUSED, WHOLE = 1, 2  # marks of components: their halves were refused, or none were found; 0 where none were tried

Marks = NDArray[np.int8]


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
    most_components : no birth makes more.
    rng : cuts of components into halves.
    is_unwanted : asked before each move whether to stop.
    """

    source: Source
    engine: Engine[Any]
    objective: Variational
    sample: Distinct
    most_components: int
    rng: np.random.Generator
    is_unwanted: Callable[[], bool]
    tried_at: float = field(default=-np.inf, init=False)  # the bound when births of all components were last tried
    settled_at: float = field(default=-np.inf, init=False)  # the bound where few rows settled that stand for all
    marks: Marks | None = field(default=None, init=False)  # of the components, after births from fewer rows
    _facts: Any = field(default=None, init=False)  # of the engine, from the last pass

    def on(self, rows: Distinct) -> BoundMoves:
        """The moves of the posterior of some rows."""
        source = ArraySource(rows.rows, rows.weight)
        source.may_miss = self.source.may_miss
        objective = replace(self.objective, row_weight=self.objective.unit * float(rows.weight.sum()))
        return replace(self, source=source, objective=objective, sample=rows)

    @cached_property
    def _births(self) -> Births:
        return Births(self.sample, self.rng)

    @cached_property
    def _fast(self) -> FastPath:
        """Steps that the engine makes by itself."""
        belief, stopping = self.objective.belief, Stopping(MIN_GAIN_OF_STEP, core.STEPS_AFTER_BIRTHS - 1)
        return FastPath(self.source, self.engine, belief.family, self.most_components, self.objective, stopping)

    @property
    def n_parameters(self) -> int:
        """Parameters of one component."""
        belief = self.objective.belief
        return belief.family.n_parameters(1, belief.n_features) + belief.n_features + 1

    def have_settled(self, bound: float) -> bool:
        """Whether all rows, with this bound per row, end where no move paid on few rows."""
        return abs(bound - self.settled_at / self.objective.row_weight) < MAX_GAP_OF_BOUNDS

    def raised(self, model: Model, *, is_new: bool = False) -> Model | None:
        """The model a step after the moves that raise the bound; None if none does.

        A new model is of other rows: EM comes first, and there is always one after it. Components that fewer rows had
        no halves for are then not tried again.
        """
        state = first = self._after_steps(model) if is_new else self.judged(model)
        is_known = state.bound - self.tried_at < MIN_GAIN_OF_STEP * self.objective.row_weight
        marks = np.full(model.n_components, REFUSED if is_known else 0, dtype=np.int8)
        if self.marks is not None and is_new:
            marks[self.marks == WHOLE] = WHOLE
        state, marks = self._pruned(state, marks)
        while not self.is_unwanted():
            places = np.flatnonzero(marks == 0)
            room = self.most_components - state.model.n_components
            chosen = places[np.argsort(-state.model.weights[places], kind="stable")][:room]
            if not chosen.size or room <= 0:
                break
            state, marks = self._after_births(state, chosen, marks)
        order = np.argsort(-state.model.weights, kind="stable")  # the longest sticks are the first
        if (np.diff(order) < 0).any():
            ordered = self.judged(state.model.take(order))
            state, marks = (ordered, marks[order]) if ordered.bound >= state.bound else (state, marks)
        self.tried_at, self.marks = state.bound, marks
        return None if state is first and not is_new else state.following

    def judged(self, model: Model) -> Judged:
        following, _, bounds = self._fast.run(model, 0, -np.inf, 1)
        if bounds:
            return Judged(model, self.objective.row_weight * bounds[0], following)
        moments, following, _ = em_step(self.source, self.engine, model, self.objective, {}, facts=self._facts)
        self._facts = moments.facts
        bound = self.objective.unit * (moments.log_likelihood + self.objective.log_prior(model))
        return Judged(model, bound, following)

    def _after_steps(self, model: Model) -> Judged:
        """The last of at most `STEPS_AFTER_BIRTHS` steps from a model, however often the engine comes back between."""
        bounds, last, outcome = list[float](), -np.inf, None
        while outcome is None and not self.is_unwanted():
            model, _, more = self._fast.run(model, len(bounds), last)
            if not more:
                break
            bounds, last = bounds + more, more[-1]
            outcome = self._fast.stopping.after(bounds, -np.inf)
        state = self.judged(model)
        for _ in range(len(bounds) + 1, core.STEPS_AFTER_BIRTHS):
            bound = state.bound / self.objective.row_weight
            if bound - last < MIN_GAIN_OF_STEP or self.is_unwanted():
                break
            state, last = self.judged(state.following), bound
        return state

    def _is_higher(self, one: Judged, other: Judged, by: float = 0.0) -> bool:
        return one.bound > other.bound + max(by, core.ROUNDING_OF_BOUND * max(1.0, abs(other.bound)))

    def _after_births(self, state: Judged, chosen: Places, marks: Marks) -> tuple[Judged, Marks]:
        """Split components, make steps, and merge again what need not be apart; the same if the bound does not rise."""
        q = self.objective.approximation(state.following)
        labels = self.engine.labels(Block(0, self.sample.filled), q.parameters)
        born = self._births.born(q, labels, chosen)
        tried = np.array(marks)
        tried[chosen] = WHOLE
        if born is None:
            return state, tried
        q, parents = born
        tried[parents[parents >= 0]] = REFUSED
        now = self._after_steps(self.objective.model(q))
        # A component that was not split keeps its mark: without halves it is tried again, from other cuts.
        # Halves have no mark, unless they merge again.
        following, unsplit = np.zeros(len(parents), dtype=np.int8), np.flatnonzero(parents < 0)
        following[unsplit] = marks[unsplit]
        now, following = self._pruned(now, following, parents)
        return (now, following) if self._is_higher(now, state) else (state, tried)

    def _pruned(self, state: Judged, marks: Marks, parents: Places | None = None) -> tuple[Judged, Marks]:
        """Merge components while the bound rises, and delete those that it hardly needs.

        Also gives which components need not be split again.
        """
        parents = np.full(len(marks), -1) if parents is None else parents
        while state.model.n_components > 1 and not self.is_unwanted():
            tried = ((change, self.judged(change.model)) for change in self.changes(state))
            # Rounding is not a reason to keep more components.
            kept = (
                (change, each)
                for change, each in tried
                if not self._is_higher(state, each, 0.0 if change.pairs else core.LOSS_OF_DELETION)
            )
            change, found = next(kept, (None, None))
            if change is None or found is None:
                break
            marks = np.array(marks)
            for one, other in change.pairs:
                marks[one] = REFUSED if parents[one] >= 0 and parents[one] == parents[other] else 0
            state, marks, parents = found, marks[change.kept], parents[change.kept]
        return state, marks

    def changes(self, state: Judged) -> Iterator[Change]:
        """Sets of merges, or of deletions, that should raise the bound: the largest first, then the best alone.

        Few rows tell which; where they promise too much, all rows are asked.
        """
        after = self.objective.approximation(state.following)
        pairs, gains, scales = merges(after)
        before = self.objective.approximation(state.model)
        small = np.flatnonzero(before.mass < core.ROWS_PER_PARAMETER * self.n_parameters)
        if not (len(pairs) or small.size):
            return
        for rows in dict.fromkeys((self._few, self.source)):
            entropy, left = self.survey(rows, before, pairs, small)
            chosen = _apart(pairs, gains - entropy)
            for some in _sets(chosen):
                both = [(int(one), int(other)) for one, other in pairs[some]]
                q, kept = merged(after, pairs[some], scales[some])
                yield Change(self.objective.model(q), kept, both)
            if chosen:
                continue
            allowed = max(core.LOSS_OF_DELETION, core.ROUNDING_OF_BOUND * max(1.0, abs(state.bound)))
            of_deletions = deletions(before, after.mass, small, left) + allowed
            order = np.argsort(-of_deletions, kind="stable")
            wanted = order[of_deletions[order] > 0]
            for some in _sets(wanted.tolist()):
                kept = np.setdiff1d(np.arange(len(before.mass)), small[some])
                if kept.size:
                    yield Change(self.objective.model(before.take(kept)), kept, [])
            if not wanted.size:
                return

    @cached_property
    def _few(self) -> Source:
        """Rows of the sample that stand for all; all themselves if they are few."""
        if self.source.n_rows <= SURVEY_ROWS:
            return self.source
        few = self.sample.part(SURVEY_ROWS, self.rng)
        source = ArraySource(few.rows, few.weight * (self.source.profile.total_weight / few.weight.sum()))
        source.may_miss = self.source.may_miss
        return source

    def survey(self, rows: Source, q: Approximation, pairs: NDArray[np.intp], some: Places) -> tuple[Array, Array]:
        """What `survey` sums, nats."""
        of_leaf = partial(survey, engine=self.engine, parameters=q.parameters, pairs=pairs, some=some)
        entropy, left = rows.sum_of(of_leaf)
        return self.objective.unit * entropy, self.objective.unit * left

    def settled_column(self, model: Model, few: Distinct, stopping: Stopping) -> tuple[Model, float] | None:
        """Moves and EM on few rows of one feature, in one call of the core: the model, and its bound, nats.

        It ends early at the deadline. None if components share a variance.
        """
        target, family = native_target(), self.objective.belief.family
        if family.algebra is None or family.is_shared:
            return None
        ridge, belief = self.objective.plain_terms(model.n_components)
        covariances = np.ascontiguousarray(model.covariances.array).ravel()
        how = stopping.tolerance, min(stopping.max_steps, MAX_STEPS_OF_CALL), stopping.seconds_left
        bound, weights, means, covariances = target.settle_column(
            few.rows, few.weight, family.algebra, model.weights, model.means, covariances, ridge, LIMITS, *how,
            MIN_GAIN_OF_STEP, self.most_components, self.rng.random(N_CUTS), belief, 1,
        )  # fmt: skip
        if not np.isfinite(bound):
            return None
        shape = means.shape
        found = family.covariances(covariances.reshape(family.shape(*shape)), *shape)
        return Model(weights, means, found, family), bound * self.objective.row_weight


def _apart(pairs: NDArray[np.intp], gains: Array) -> list[int]:
    """Places of pairs that gain, the best first, no component twice."""
    chosen, used = list[int](), set[int]()
    for place in np.argsort(-gains, kind="stable").tolist():
        one, other = pairs[place].tolist()
        if gains[place] > 0 and not used & {one, other}:
            chosen.append(place)
            used |= {one, other}
    return chosen


def _sets(chosen: list[int]) -> list[list[int]]:
    """All of them, and the first alone."""
    return [chosen, chosen[:1]][: min(2, len(chosen))]
