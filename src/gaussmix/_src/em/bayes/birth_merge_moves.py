"""Births, merges and deletions of components in variational Bayes.

A move (a birth, a merge or a deletion) is accepted if it raises the lower bound on the log evidence. A deletion that
lowers the bound by a negligible amount is also accepted, because the rows then hardly support the deleted component.
See Hughes & Sudderth (2013), NIPS 26. `em.bayes.births` and `em.bayes.merges` propose moves; this module computes the
bound from all rows, and accepts or rejects the moves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.em.bayes.births import BirthProposals
from gaussmix._src.em.bayes.merges import apply_merges, deletion_gains, find_merges, merge_sums
from gaussmix._src.em.bayes.variational import VariationalObjective
from gaussmix._src.em.bayes.variational_posterior import VariationalPosterior
from gaussmix._src.em.initialisation.sample import DistinctRows
from gaussmix._src.em.objective.stopping import StopRule
from gaussmix._src.em.step.core_steps import CoreSteps
from gaussmix._src.em.step.loop import em_step
from gaussmix._src.engines.base import Engine
from gaussmix._src.engines.calls import MAX_STEPS_OF_CALL
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.parameters import LIMITS
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array, Indices
from gaussmix._src.numerics.core import core, native_target
from gaussmix._src.numerics.threads import cached_property
from gaussmix._src.sources.base import Source

# After births, EM stops when a step raises the bound by less than this number of nats per row.
MIN_STEP_GAIN = 1e-4
# Two fits count as the same solution if their bounds differ by less than this number of nats per row.
MAX_BOUND_DIFFERENCE = 1e-6
N_RANDOM_CUTS = 256  # number of random numbers that the C++ core uses to split components
MAX_ESTIMATION_ROWS = 2**14  # maximum number of rows from which the gains of moves are estimated

Marks = NDArray[np.bool_]  # for each component, whether its split was already tried


class EvaluatedModel(NamedTuple):
    """A model, its lower bound on the log evidence in nats, and the model after one more EM step."""

    model: Model
    bound: float
    next_model: Model


class PrunedModel(NamedTuple):
    """Model after merges or deletions, indices of the remaining components, and the merged pairs of components."""

    model: Model
    retained_components: Indices
    merged_pairs: list[tuple[int, int]]


@dataclass(eq=False)
class BirthMergeMoves:
    """Search for births, merges and deletions that improve a variational posterior.

    Parameters
    ----------
    source, engine, objective : source of the rows, engine, and objective of the fit, as in `run_em`.
    sample : sampled rows from which the splits of components are computed.
    max_components : maximum number of components after births.
    rng : random generator for the splits of components.
    should_stop : function that is called before each move. If `should_stop` returns true, no more moves are made.
    """

    source: Source
    engine: Engine[Any]
    objective: VariationalObjective
    sample: DistinctRows
    max_components: int
    rng: np.random.Generator
    should_stop: Callable[[], bool]
    bound_at_last_births: float = field(default=-np.inf, init=False)  # lower bound when births were last tried
    # Lower bound of the converged fit to the rows that `condense_rows` returns.
    sample_bound: float = field(default=-np.inf, init=False)
    _context: Any = field(default=None, init=False)  # context from the engine's previous pass

    def for_sample(self, sample: DistinctRows) -> BirthMergeMoves:
        """Return an object that makes moves on the given sample of rows instead of on all rows."""
        objective = replace(self.objective, total_weight=self.objective.weight_unit * float(sample.weight.sum()))
        return replace(self, source=sample.as_source(self.source), objective=objective, sample=sample)

    @cached_property
    def _birth_proposals(self) -> BirthProposals:
        return BirthProposals(self.sample, self.rng)

    @cached_property
    def _core_steps(self) -> CoreSteps:
        """Return the object that runs EM steps in the C++ core, without a Python loop."""
        prior, stopping = self.objective.gauss_wishart, StopRule(MIN_STEP_GAIN, core.STEPS_AFTER_BIRTHS - 1)
        return CoreSteps(self.source, self.engine, prior.family, self.max_components, self.objective, stopping)

    def apply_moves(self, model: Model, *, has_new_rows: bool = False) -> Model | None:
        """Return the model after moves that raise the bound and one more EM step, or None if no such move exists.

        If `has_new_rows` is true, EM on the new rows improves the model first, and the result is never None.
        """
        state = first = self._run_steps(model) if has_new_rows else self.evaluate(model)
        was_tried = state.bound - self.bound_at_last_births < MIN_STEP_GAIN * self.objective.total_weight
        marks = np.full(model.n_components, was_tried)
        state, marks = self._prune(state, marks, np.full(len(marks), -1))
        while not self.should_stop():
            indices = np.flatnonzero(~marks)
            room = self.max_components - state.model.n_components
            chosen = indices[np.argsort(-state.model.weights[indices], kind="stable")][:room]
            if not chosen.size or room <= 0:
                break
            state, marks = self._try_births(state, chosen, marks)
        order = np.argsort(-state.model.weights, kind="stable")  # stick-breaking order: the heaviest component first
        if (np.diff(order) < 0).any():
            ordered = self.evaluate(state.model.take(order))
            state, marks = (ordered, marks[order]) if ordered.bound >= state.bound else (state, marks)
        self.bound_at_last_births = state.bound
        return None if state is first and not has_new_rows else state.next_model

    def evaluate(self, model: Model) -> EvaluatedModel:
        following, _, bounds = self._core_steps.run_steps(model, 0, -np.inf, 1)
        if bounds:
            return EvaluatedModel(model, self.objective.total_weight * bounds[0], following)
        moments, following, _ = em_step(self.source, self.engine, model, self.objective, {}, context=self._context)
        self._context = moments.context
        bound = self.objective.weight_unit * (moments.log_likelihood + self.objective.log_prior(model))
        return EvaluatedModel(model, bound, following)

    def _run_steps(self, model: Model) -> EvaluatedModel:
        """Make at most `STEPS_AFTER_BIRTHS` EM steps from a model, and return the last model with its lower bound."""
        bounds, last, stop_reason = list[float](), -np.inf, None
        while stop_reason is None and not self.should_stop():
            model, _, more = self._core_steps.run_steps(model, len(bounds), last)
            if not more:
                break
            bounds, last = bounds + more, more[-1]
            stop_reason = self._core_steps.stopping.reason_after_run(bounds)
        state = self.evaluate(model)
        for _ in range(len(bounds) + 1, core.STEPS_AFTER_BIRTHS):
            bound = state.bound / self.objective.total_weight
            if bound - last < MIN_STEP_GAIN or self.should_stop():
                break
            state, last = self.evaluate(state.next_model), bound
        return state

    def _has_higher_bound(self, one: EvaluatedModel, other: EvaluatedModel, min_gain: float = 0.0) -> bool:
        return one.bound > other.bound + max(min_gain, core.ROUNDING_OF_BOUND * max(1.0, abs(other.bound)))

    def _try_births(self, state: EvaluatedModel, components: Indices, marks: Marks) -> tuple[EvaluatedModel, Marks]:
        """Split the given components, run EM steps, and merge or delete components.

        Return the resulting state and marks or, if the bound does not rise, the old state with new marks.
        """
        posterior = self.objective.variational_posterior(state.next_model)
        labels = self.engine.labels(Block(0, self.sample.imputed), posterior.e_step_parameters)
        split = self._birth_proposals.split_components(posterior, labels, components)
        tried = np.array(marks)
        tried[components] = True
        if split is None:
            return state, tried
        posterior, parents = split
        now = self._run_steps(self.objective.to_model(posterior))
        # A component for which no split was found keeps its old mark, because other random cuts may split it later. The
        # two halves of a split are not marked, unless they are merged again.
        following, unsplit = np.zeros(len(parents), dtype=np.bool_), np.flatnonzero(parents < 0)
        following[unsplit] = marks[unsplit]
        now, following = self._prune(now, following, parents)
        return (now, following) if self._has_higher_bound(now, state) else (state, tried)

    def _prune(self, state: EvaluatedModel, marks: Marks, parents: Indices) -> tuple[EvaluatedModel, Marks]:
        """Merge components as long as the bound rises, and delete components that hardly raise the bound.

        Return the resulting state, and the marks that show which components need not be split again.
        """
        while state.model.n_components > 1 and not self.should_stop():
            tried = ((change, self.evaluate(change.model)) for change in self.propose_pruned_models(state))
            # A merge is accepted if it lowers the bound by no more than rounding errors, and a deletion if it lowers
            # the bound by at most `LOSS_OF_DELETION`.
            accepted = (
                (change, each)
                for change, each in tried
                if not self._has_higher_bound(state, each, 0.0 if change.merged_pairs else core.LOSS_OF_DELETION)
            )
            change, evaluated = next(accepted, (None, None))
            if change is None or evaluated is None:
                break
            marks = np.array(marks)
            for one, other in change.merged_pairs:
                marks[one] = parents[one] >= 0 and parents[one] == parents[other]
            state, marks, parents = evaluated, marks[change.retained_components], parents[change.retained_components]
        return state, marks

    def propose_pruned_models(self, state: EvaluatedModel) -> Iterator[PrunedModel]:
        """Yield models after promising merges or deletions: first after all moves, then after the best move alone.

        The gains of moves are first estimated from a sample of the rows. If no model proposed from the estimated gains
        is accepted, gains are computed from all rows.
        """
        after = self.objective.variational_posterior(state.next_model)
        merges = find_merges(after)
        before = self.objective.variational_posterior(state.model)
        prior = self.objective.gauss_wishart
        n_own = prior.family.n_parameters(1, prior.n_features) + prior.n_features + 1  # parameters of one component
        small = np.flatnonzero(before.counts < core.ROWS_PER_PARAMETER * n_own)
        if not (len(merges.pairs) or small.size):
            return
        for rows in dict.fromkeys((self._estimation_source, self.source)):
            entropy, left = self.merge_sums(rows, before, merges.pairs, small)
            chosen = _disjoint_pairs(merges.pairs, merges.gains - entropy)
            for subset in _candidate_subsets(chosen):
                posterior, retained = apply_merges(after, merges.take(subset))
                both = [(one, other) for one, other in merges.pairs[subset].tolist()]
                yield PrunedModel(self.objective.to_model(posterior), retained, both)
            if chosen:
                continue
            allowed = max(core.LOSS_OF_DELETION, core.ROUNDING_OF_BOUND * max(1.0, abs(state.bound)))
            gains_of_deletions = deletion_gains(before, after.counts, small, left) + allowed
            order = np.argsort(-gains_of_deletions, kind="stable")
            wanted = order[gains_of_deletions[order] > 0]
            for subset in _candidate_subsets(wanted.tolist()):
                retained = np.setdiff1d(np.arange(len(before.counts)), small[subset])
                if retained.size:
                    yield PrunedModel(self.objective.to_model(before.take(retained)), retained, [])
            if not wanted.size:
                return

    @cached_property
    def _estimation_source(self) -> Source:
        """Return a source of sampled rows that represent all rows, or the source of all rows if there are few rows."""
        if self.source.n_rows <= MAX_ESTIMATION_ROWS:
            return self.source
        sample = self.sample.subsample(MAX_ESTIMATION_ROWS, self.rng)
        return sample.with_total_weight(self.source.row_totals.total_weight).as_source(self.source)

    def merge_sums(
        self, source: Source, posterior: VariationalPosterior, pairs: Indices, candidates: Indices
    ) -> tuple[Array, Array]:
        """Compute `merges.merge_sums` over all rows of a source, in nats."""
        engine, parameters, unit = self.engine, posterior.e_step_parameters, self.objective.weight_unit
        of_leaf = partial(merge_sums, engine=engine, parameters=parameters, pairs=pairs, candidates=candidates)
        entropy, left = source.sum_of(of_leaf)
        return unit * entropy, unit * left

    def improve_column(self, model: Model, sample: DistinctRows, stopping: StopRule) -> tuple[Model, float]:
        """Run moves and EM steps on rows with one feature in the C++ core; return the model and its bound in nats.

        Components must not share a variance. A deadline in `stopping` may end the call early. The bound is −inf, and
        the model is unchanged, if the core finds no finite bound.
        """
        target, family = native_target(), self.objective.gauss_wishart.family
        assert family.algebra is not None, "structures with a conjugate prior have an algebra"
        ridge, packed_prior = self.objective.pack_for_core(model.n_components)
        covariances = np.ascontiguousarray(model.covariances.array).ravel()
        stop = stopping.tolerance, min(stopping.max_steps, MAX_STEPS_OF_CALL), stopping.seconds_left
        bound, weights, means, covariances = target.improve_column(
            sample.rows, sample.weight, family.algebra, model.weights, model.means, covariances, ridge, LIMITS, *stop,
            MIN_STEP_GAIN, self.max_components, self.rng.random(N_RANDOM_CUTS), packed_prior,
        )  # fmt: skip
        if not np.isfinite(bound):
            return model, -np.inf
        return Model.from_arrays(weights, means, covariances, family), bound * self.objective.total_weight


def _disjoint_pairs(pairs: NDArray[np.int64], gains: Array) -> list[int]:
    """Return indices of pairs with positive gain, best first; skip pairs that share a component with a chosen pair."""
    chosen, used = list[int](), set[int]()
    for index in np.argsort(-gains, kind="stable").tolist():
        one, other = pairs[index].tolist()
        if gains[index] > 0 and not used & {one, other}:
            chosen.append(index)
            used |= {one, other}
    return chosen


def _candidate_subsets(indices: list[int]) -> list[list[int]]:
    """Return the sets of moves to try: all moves and, if there are several, only the first move."""
    return [indices, indices[:1]][: len(indices)]
