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
from gaussmix._src.em.objective.stopping import StopRule
from gaussmix._src.em.step.fast_path import FastPath
from gaussmix._src.em.step.loop import em_step
from gaussmix._src.engines.base import Engine
from gaussmix._src.engines.calls import MAX_STEPS_OF_CALL
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.parameters import LIMITS
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array, Indices
from gaussmix._src.numerics.core import core, native_target
from gaussmix._src.numerics.threads import cached_property
from gaussmix._src.sources.array import ArraySource
from gaussmix._src.sources.base import Source

MIN_GAIN_OF_STEP = 1e-4  # nats per row: after a smaller gain no more steps follow a birth
MAX_GAP_OF_BOUNDS = 1e-6  # nats per row: so near are bounds of few rows and of all rows that they end alike
N_CUTS = 256  # random numbers that the core cuts components of a column by
SURVEY_ROWS = 2**14  # rows that stand for all where it is estimated which moves pay
# Marks of components: their halves were refused, or none were found; 0 where none were tried.
SPLIT_REFUSED, NO_SPLIT = 1, 2

Marks = NDArray[np.int8]


class EvaluatedModel(NamedTuple):
    """A model before its E-step, with its bound, nats, and the model after the next M-step."""

    model: Model
    bound: float
    following: Model


class Change(NamedTuple):
    """The model after merges or deletions, the indices of the components that are left, and the merged pairs."""

    model: Model
    retained: Indices
    pairs: list[tuple[int, int]]


@dataclass(eq=False)
class BoundMoves:
    """Moves of a posterior.

    Parameters
    ----------
    source, engine, objective : as for `run_em`.
    sample : rows that proposals are made from.
    max_components : no birth makes more.
    rng : cuts of components into halves.
    should_stop : asked before each move whether to stop.
    """

    source: Source
    engine: Engine[Any]
    objective: Variational
    sample: Distinct
    max_components: int
    rng: np.random.Generator
    should_stop: Callable[[], bool]
    tried_at: float = field(default=-np.inf, init=False)  # the bound when births of all components were last tried
    converged_bound: float = field(default=-np.inf, init=False)  # the bound where rows that stand for all converged
    marks: Marks | None = field(default=None, init=False)  # of the components, after births from fewer rows
    _facts: Any = field(default=None, init=False)  # of the engine, from the last pass

    def for_rows(self, rows: Distinct) -> BoundMoves:
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
        packed_prior, stopping = self.objective.packed_prior, StopRule(MIN_GAIN_OF_STEP, core.STEPS_AFTER_BIRTHS - 1)
        return FastPath(self.source, self.engine, packed_prior.family, self.max_components, self.objective, stopping)

    @property
    def n_parameters(self) -> int:
        """Parameters of one component."""
        packed_prior = self.objective.packed_prior
        return packed_prior.family.n_parameters(1, packed_prior.n_features) + packed_prior.n_features + 1

    def have_converged(self, bound: float) -> bool:
        """Whether all rows, with this bound per row, end where no move paid on few rows."""
        return abs(bound - self.converged_bound / self.objective.row_weight) < MAX_GAP_OF_BOUNDS

    def improve(self, model: Model, *, is_new: bool = False) -> Model | None:
        """The model a step after the moves that raise the bound; None if none does.

        A new model is of other rows: EM comes first, and there is always one after it. Components that fewer rows had
        no halves for are then not tried again.
        """
        state = first = self._after_steps(model) if is_new else self.evaluate(model)
        was_tried = state.bound - self.tried_at < MIN_GAIN_OF_STEP * self.objective.row_weight
        marks = np.full(model.n_components, SPLIT_REFUSED if was_tried else 0, dtype=np.int8)
        if self.marks is not None and is_new:
            marks[self.marks == NO_SPLIT] = NO_SPLIT
        state, marks = self._prune(state, marks, np.full(len(marks), -1))
        while not self.should_stop():
            indices = np.flatnonzero(marks == 0)
            room = self.max_components - state.model.n_components
            chosen = indices[np.argsort(-state.model.weights[indices], kind="stable")][:room]
            if not chosen.size or room <= 0:
                break
            state, marks = self._after_births(state, chosen, marks)
        order = np.argsort(-state.model.weights, kind="stable")  # the longest sticks are the first
        if (np.diff(order) < 0).any():
            ordered = self.evaluate(state.model.take(order))
            state, marks = (ordered, marks[order]) if ordered.bound >= state.bound else (state, marks)
        self.tried_at, self.marks = state.bound, marks
        return None if state is first and not is_new else state.following

    def evaluate(self, model: Model) -> EvaluatedModel:
        following, _, bounds = self._fast.run_steps(model, 0, -np.inf, 1)
        if bounds:
            return EvaluatedModel(model, self.objective.row_weight * bounds[0], following)
        moments, following, _ = em_step(self.source, self.engine, model, self.objective, {}, facts=self._facts)
        self._facts = moments.facts
        bound = self.objective.unit * (moments.log_likelihood + self.objective.log_prior(model))
        return EvaluatedModel(model, bound, following)

    def _after_steps(self, model: Model) -> EvaluatedModel:
        """The last of at most `STEPS_AFTER_BIRTHS` steps from a model, however often the engine comes back between."""
        bounds, last, outcome = list[float](), -np.inf, None
        while outcome is None and not self.should_stop():
            model, _, more = self._fast.run_steps(model, len(bounds), last)
            if not more:
                break
            bounds, last = bounds + more, more[-1]
            outcome = self._fast.stopping.outcome_of_run(bounds, -np.inf)
        state = self.evaluate(model)
        for _ in range(len(bounds) + 1, core.STEPS_AFTER_BIRTHS):
            bound = state.bound / self.objective.row_weight
            if bound - last < MIN_GAIN_OF_STEP or self.should_stop():
                break
            state, last = self.evaluate(state.following), bound
        return state

    def _is_higher(self, one: EvaluatedModel, other: EvaluatedModel, by: float = 0.0) -> bool:
        return one.bound > other.bound + max(by, core.ROUNDING_OF_BOUND * max(1.0, abs(other.bound)))

    def _after_births(self, state: EvaluatedModel, chosen: Indices, marks: Marks) -> tuple[EvaluatedModel, Marks]:
        """Split components, make steps, and merge again what need not be apart; the same if the bound does not rise."""
        q = self.objective.approximation(state.following)
        labels = self.engine.labels(Block(0, self.sample.filled_rows), q.parameters)
        split = self._births.split(q, labels, chosen)
        tried = np.array(marks)
        tried[chosen] = NO_SPLIT
        if split is None:
            return state, tried
        q, parents = split
        tried[parents[parents >= 0]] = SPLIT_REFUSED
        now = self._after_steps(self.objective.model(q))
        # A component that was not split keeps its mark: without halves it is tried again, from other cuts.
        # Halves have no mark, unless they merge again.
        following, unsplit = np.zeros(len(parents), dtype=np.int8), np.flatnonzero(parents < 0)
        following[unsplit] = marks[unsplit]
        now, following = self._prune(now, following, parents)
        return (now, following) if self._is_higher(now, state) else (state, tried)

    def _prune(self, state: EvaluatedModel, marks: Marks, parents: Indices) -> tuple[EvaluatedModel, Marks]:
        """Merge components while the bound rises, and delete those that it hardly needs.

        Also gives which components need not be split again.
        """
        while state.model.n_components > 1 and not self.should_stop():
            tried = ((change, self.evaluate(change.model)) for change in self.changes(state))
            # Rounding is not a reason to keep more components.
            retained = (
                (change, each)
                for change, each in tried
                if not self._is_higher(state, each, 0.0 if change.pairs else core.LOSS_OF_DELETION)
            )
            change, evaluated = next(retained, (None, None))
            if change is None or evaluated is None:
                break
            marks = np.array(marks)
            for one, other in change.pairs:
                marks[one] = SPLIT_REFUSED if parents[one] >= 0 and parents[one] == parents[other] else 0
            state, marks, parents = evaluated, marks[change.retained], parents[change.retained]
        return state, marks

    def changes(self, state: EvaluatedModel) -> Iterator[Change]:
        """Sets of merges, or of deletions, that should raise the bound: the largest first, then the best alone.

        Few rows show which; where they promise too much, all rows are asked.
        """
        after = self.objective.approximation(state.following)
        pairs, gains, scales = merges(after)
        before = self.objective.approximation(state.model)
        small = np.flatnonzero(before.mass < core.ROWS_PER_PARAMETER * self.n_parameters)
        if not (len(pairs) or small.size):
            return
        for rows in dict.fromkeys((self._survey_rows, self.source)):
            entropy, left = self.survey(rows, before, pairs, small)
            chosen = _disjoint_pairs(pairs, gains - entropy)
            for some in _sets(chosen):
                both = [(int(one), int(other)) for one, other in pairs[some]]
                q, retained = merged(after, pairs[some], scales[some])
                yield Change(self.objective.model(q), retained, both)
            if chosen:
                continue
            allowed = max(core.LOSS_OF_DELETION, core.ROUNDING_OF_BOUND * max(1.0, abs(state.bound)))
            of_deletions = deletions(before, after.mass, small, left) + allowed
            order = np.argsort(-of_deletions, kind="stable")
            wanted = order[of_deletions[order] > 0]
            for some in _sets(wanted.tolist()):
                retained = np.setdiff1d(np.arange(len(before.mass)), small[some])
                if retained.size:
                    yield Change(self.objective.model(before.take(retained)), retained, [])
            if not wanted.size:
                return

    @cached_property
    def _survey_rows(self) -> Source:
        """Rows of the sample that stand for all; all themselves if they are few."""
        if self.source.n_rows <= SURVEY_ROWS:
            return self.source
        sample = self.sample.subsample(SURVEY_ROWS, self.rng)
        source = ArraySource(sample.rows, sample.weight * (self.source.profile.total_weight / sample.weight.sum()))
        source.may_miss = self.source.may_miss
        return source

    def survey(self, rows: Source, q: Approximation, pairs: NDArray[np.intp], some: Indices) -> tuple[Array, Array]:
        """What `survey` sums, nats."""
        of_leaf = partial(survey, engine=self.engine, parameters=q.parameters, pairs=pairs, some=some)
        entropy, left = rows.sum_of(of_leaf)
        return self.objective.unit * entropy, self.objective.unit * left

    def improve_column(self, model: Model, sample: Distinct, stopping: StopRule) -> tuple[Model, float] | None:
        """Moves and EM on few rows of one feature, in one call of the core: the model, and its bound, nats.

        It ends early at the deadline. None if components share a variance.
        """
        target, family = native_target(), self.objective.packed_prior.family
        if family.algebra is None or family.is_shared:
            return None
        ridge, packed_prior = self.objective.pack_for_core(model.n_components)
        covariances = np.ascontiguousarray(model.covariances.array).ravel()
        how = stopping.tolerance, min(stopping.max_steps, MAX_STEPS_OF_CALL), stopping.seconds_left
        bound, weights, means, covariances = target.improve_column(
            sample.rows, sample.weight, family.algebra, model.weights, model.means, covariances, ridge, LIMITS, *how,
            MIN_GAIN_OF_STEP, self.max_components, self.rng.random(N_CUTS), packed_prior, 1,
        )  # fmt: skip
        if not np.isfinite(bound):
            return None
        shape = means.shape
        result = family.covariances(covariances.reshape(family.shape(*shape)), *shape)
        return Model(weights, means, result, family), bound * self.objective.row_weight


def _disjoint_pairs(pairs: NDArray[np.intp], gains: Array) -> list[int]:
    """Indices of pairs that gain, the best first, no component twice."""
    chosen, used = list[int](), set[int]()
    for index in np.argsort(-gains, kind="stable").tolist():
        one, other = pairs[index].tolist()
        if gains[index] > 0 and not used & {one, other}:
            chosen.append(index)
            used |= {one, other}
    return chosen


def _sets(chosen: list[int]) -> list[list[int]]:
    """All of them, and the first alone."""
    return [chosen, chosen[:1]][: min(2, len(chosen))]
