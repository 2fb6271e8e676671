"""A search for a higher maximum of the likelihood: the core tries moves and evaluates them (cpp/em/ascent.cpp).

It is made without priors, noise and missing cells, in the nearest structure that the core knows.

Ueda, Nakano, Ghahramani & Hinton (2000), Neural Computation 12.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gaussmix._src.covariances import Diagonal
from gaussmix._src.em.initialisation.base import Partition
from gaussmix._src.em.initialisation.initial import InitialMoments
from gaussmix._src.em.initialisation.kmeans import kmeans
from gaussmix._src.em.initialisation.sample import MIN_ROWS_OF_PARTS, Distinct
from gaussmix._src.em.objective.objective import Objective
from gaussmix._src.em.objective.stopping import Stopping
from gaussmix._src.em.objective.trace import State
from gaussmix._src.em.step.loop import sound_end
from gaussmix._src.engines.base import Engine
from gaussmix._src.engines.calls import AcceptanceSettings, SearchSettings, Steps
from gaussmix._src.errors import SingularCovariance
from gaussmix._src.families.base import Family, without_constraints
from gaussmix._src.interfaces.algebra import Across, Algebra
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.moment_spec import Second
from gaussmix._src.interfaces.parameters import LIMITS
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.contract import contract
from gaussmix._src.numerics.core import core, native_target
from gaussmix._src.numerics.threads import allowed, one_blas_thread
from gaussmix._src.sources.array import ArraySource

# Rows per component on which moves are tried: for each parameter, and at least; the least where components share a
# covariance, since a move is evaluated on all rows there. And the same for the second search.
SEARCH_SAMPLE_SIZES, REFINE_SAMPLE_SIZES = (2, 250, 100), (40, 1_250, 400)
SEARCH_START = Stopping(1e-4, 12)  # EM from the start
# EM after moves, and more EM if that is not enough.
AFTER_MOVE, AFTER_MOVE_LONGER = Stopping(1e-4, 15), Stopping(1e-5, 45)
REFINEMENT = Stopping(1e-4, 30)  # EM on the larger sample
# EM after a move, and more, as long as it is promising.
MOVE_TRIAL, LONGER_TRIAL = Stopping(1e-5, 4), Stopping(1e-5, 16)
PROMISING_FACTOR = 16  # a move is promising if so many more gains like the last suffice
# If components share a covariance, each move is evaluated on all rows. It is refused at a glance, one step earlier, if
# `QUICK_FACTOR` times `PROMISING_FACTOR` more gains like the last would not suffice. A round ends if its first
# `N_FIRST_MOVES` moves, the best by their bounds, are all refused at a glance.
QUICK_FACTOR, N_FIRST_MOVES = 3, 5
MIN_GAIN_OF_MOVE = 2e-5  # least gain of a move, nats per row
MIN_PATIENCE = 4  # moves in a row that do not help end a search
MIN_PROMISE = 0.0025  # nats per row: if the best split gains less by its bound, half the patience is enough
MAX_MOVES = 5  # for each component
MIN_ROWS_PER_VALUE, MIN_ROWS_IF_FLAT = 2, 10  # distinct rows for each number in a mean and its variance
MAX_FLATNESS = 5e-6  # relative to the mean covariance of the components at the start
# Times what a split gains by chance: where the best one gains more by its bound, the model does not fit.
MISFIT_FACTOR = 4
N_ASCENTS, MIN_SLOW_STEPS = 5, 20  # starts of a search where EM is slow, and the steps of EM that show it
# The work of a search, in steps of EM on all rows, for each step that EM made from k-means and for `MORE_STEPS` others.
# With more, fits would take longer than scikit-learn's, whose steps take several times as long as ours. For matrices
# and for variances it is divided by 2 more than the number of features; for one shared covariance it is not.
WORK, WORK_OF_VARIANCES, WORK_OF_SHARED, MORE_STEPS = 55, 20, 9, 3
WORK_OF_CROSSING = 2  # times as much is left when crossings begin
MAX_CLOSING_STEPS = 8  # most steps of EM after a search, for each of the same steps
N_DRAWS = 4093  # a prime, so that numbers that are taken again are used for something else
# Of the least variance that a bound allows, this part is the ridge of a search. All of it blurs the other components,
# and none of it ends lower, too.
BOUND_RATIO = 0.1
USUAL_STEPS = 8  # EM makes about so many from k-means: used if their number is not known


def silent(what: str) -> None:
    """Print nothing: the default of `report`."""


def ignore(n_tried: int, n_accepted: int) -> None:
    """Count no moves: the default of `count`."""


@dataclass(eq=False)
class LocalEM:
    """EM of a search on complete rows in memory, as the core makes it; `report` and `count` follow.

    `left` counts down the pairs of a row and a component that a search may visit. It ends when none is left.
    """

    family: Family
    engine: Engine[Any]
    ridge: Array
    rng: np.random.Generator
    should_stop: Callable[[], bool]
    left: float
    report: Callable[[str], object]
    count: Callable[[int, int], object]

    @property
    def is_over(self) -> bool:
        return self.left <= 0 or self.should_stop()

    @property
    def algebra(self) -> Algebra:
        assert self.family.algebra is not None, "made by `nearest`"
        return self.family.algebra

    @property
    def n_threads(self) -> int:
        return allowed(self.engine.n_threads)

    def end(self, rows: Distinct, model: Model, stopping: Stopping) -> State | None:
        """Run EM; None if a component freezes or the likelihood is not finite."""
        end = sound_end(ArraySource(rows.rows, rows.weight), self.engine, model, Objective(self.ridge), stopping)
        if end is not None:
            self.left -= end.trace.n_steps * len(rows.rows) * model.n_components
        return end


def nearest(family: Family, n_components: int, rows: Array) -> Family:
    """The structure itself if the core knows it; else that with as many covariances of the same form.

    For factor analysers these are matrices, or variances if there are so few rows for each component that the core
    splits none with a matrix: those of the halves would be nearly singular.
    """
    if family.algebra is not None:
        return family
    family_in_core = without_constraints(family.kind, family.is_shared)
    if family_in_core.kind is family.kind or len(rows) >= core.SPLIT_ROWS * n_components * (rows.shape[1] + 1):
        return family_in_core
    return without_constraints(Diagonal, family.is_shared)


def _as_in(family: Family, model: Model, rows: Distinct, engine: Engine[Any], ridge: Array) -> Model | None:
    """The model in another structure: an M-step of it from the responsibilities; None if it finds no covariance."""
    if model.family == family:
        return model
    source = ArraySource(rows.rows, rows.weight, engine.responsibilities(Block(0, rows.rows), model.parameters))
    first = InitialMoments(source, engine, model.n_components, Partition())
    try:
        return first.model(family, Objective(ridge))
    except SingularCovariance:
        return None


def split_and_merge(
    model: Model, sample: Distinct, engine: Engine[Any], objective: Objective, rng: np.random.Generator, **how: Any
) -> Model:
    """The model after `searched` without what the core does not know: the terms of the objective, and the structure.

    Where variances have a bound on their ratios, `BOUND_RATIO` of the least that it allows at the start is a ridge, or
    the search would find narrow components that the bound forbids.
    """
    if model.n_components == 1:
        return model
    engine = engine.complete
    ridge = np.maximum(objective.floor, BOUND_RATIO * model.family.least_variance(model.covariances))
    start = _as_in(nearest(model.family, model.n_components, sample.rows), model, sample, engine, ridge)
    if start is None:
        return model
    result = searched(start, sample, engine, ridge, rng, **how)
    return model if result is start else _as_in(model.family, result, sample, engine, ridge) or model


@one_blas_thread()
def searched(
    model: Model,
    sample: Distinct,
    engine: Engine[Any],
    ridge: Array,
    rng: np.random.Generator,
    should_stop: Callable[[], bool] = lambda: False,
    n_steps: int = USUAL_STEPS,
    report: Callable[[str], object] = silent,
    count: Callable[[int, int], object] = ignore,
) -> Model:
    """Move components until no move has helped for some time, on a part of a sample that suffices.

    The search begins from the model. Where rows are few, or EM from there freezes a component, it begins from another
    k-means start too. The better one goes on with more rows and more patience, unless moves have no hope; with more
    patience alone if the part was all rows. A move is refused if it adds a component with almost no distinct rows, or a
    nearly flat one with few: maxima of the likelihood there say nothing about the data. Components that have too few
    rows of a part may have enough of all: where moves were refused, the search goes on with the whole sample.

    Where a split still promises much, the model does not fit the rows, and searches from other starts end elsewhere.
    There the search begins from `N_ASCENTS` starts and crosses the ends, if that takes no longer than fits do: if EM
    made `MIN_SLOW_STEPS` steps before `model` (`n_steps`), and all these ascents read no more rows than the sample has.

    The search ends once its EM has visited as many pairs of a row and a component as `search_work` allows; crossings,
    once they begin, may visit `WORK_OF_CROSSING` times as many. Before each move, it calls `should_stop` and stops if
    that is true. Before each ascent, it calls `report` with a description, and after it
    `count` with the moves that were tried and kept. It returns the model after the last move
    that helped and EM, or `model` if EM from each start freezes a component.
    """
    n_pairs = len(sample.rows) * model.n_components
    work = search_work(model.family, model.n_features) * (n_steps + MORE_STEPS) * n_pairs  # to the bit as in the core
    em = LocalEM(model.family, engine, ridge, rng, should_stop, work, report, count)
    rows, more = (_part(sample, em, model, wanted) for wanted in (SEARCH_SAMPLE_SIZES, REFINE_SAMPLE_SIZES))
    best: _Ascent | None = None
    for index in range(2):
        if best is not None and (len(sample.rows) >= MIN_ROWS_OF_PARTS or em.is_over):
            break
        start = model if index == 0 else _another_start(rows, em, model.n_components)
        state = None if start is None or em.is_over else em.end(rows, start, SEARCH_START)
        if state is None:
            continue
        ascent = _Ascent(rows, em, state).go(_patience(model.n_components))
        if best is None or ascent.is_better(best):
            best = ascent
    if best is None:
        return model
    best.swap()
    has_refused = best.has_refused
    is_affordable = n_steps >= MIN_SLOW_STEPS and N_ASCENTS * len(rows.rows) <= len(sample.rows)
    if is_affordable and best.is_misfit and not em.is_over:
        em.left = WORK_OF_CROSSING * work
        subset = (_part(sample, em, model, SEARCH_SAMPLE_SIZES) for _ in range(1, N_ASCENTS))
        best = _crossing(best, subset, more, em)
    if len(sample.rows) < MIN_ROWS_OF_PARTS:  # cpp/em/fit_many.cpp makes the same search up to here
        return best.model
    patience = max(MIN_PATIENCE, model.n_components)
    for larger in more, sample:
        has_refused |= best.has_refused
        is_done = best.is_done if larger is more else not has_refused
        max_steps = min(REFINEMENT.max_steps, int(em.left / (len(larger.rows) * model.n_components)))
        is_repeated = len(larger.rows) == len(best.rows.rows) and best.patience == patience
        if is_done or is_repeated or em.is_over or max_steps < 1:
            continue
        if (polished := em.end(larger, best.model, replace(REFINEMENT, max_steps=max_steps))) is None:
            break
        best = _Ascent(larger, em, polished).go(patience)
    return best.model


def _crossing(first: _Ascent, parts: Iterable[Distinct], more: Distinct, em: LocalEM) -> _Ascent:
    """Ascend from another start on each of some parts; cross the best end with each other one, and ascend from there.

    A higher end replaces the best one. Last comes the one that was best at first; if it still is, it is crossed with
    itself, which only tries its moves again.
    """
    n_components, ascents = first.model.n_components, [first]
    for rows in parts:
        start = None if em.is_over else _another_start(rows, em, n_components)
        state = None if start is None else em.end(rows, start, SEARCH_START)
        if state is not None:
            ascents.append(_Ascent(rows, em, state).go(_patience(n_components)))

    def on_more(model: Model | None) -> Iterator[_Ascent]:
        if model is not None and (state := em.end(more, model, REFINEMENT)) is not None:
            yield _Ascent(more, em, state)

    ends = sorted((end for ascent in ascents for end in on_more(ascent.model)), key=lambda end: end.rank)
    if not ends:
        return first
    best = ends[0]
    for other in ends[1:] + ends[:1]:
        for child in on_more(None if em.is_over else _crossed(first.rows, em, best.model, other.model)):
            best = child if child.go(_patience(n_components)).is_better(best) else best
    last = next(on_more(best.model), best)
    return last.go(max(MIN_PATIENCE, n_components))


def search_work(family: Family, n_features: int) -> float:
    """The work of a search, in steps of EM on all rows, for each step that EM made from its start."""
    if family.is_shared:
        return WORK_OF_SHARED
    return (WORK if family.kind.second is Second.FULL else WORK_OF_VARIANCES) / (n_features + 2)


def search_by_core(
    family: Family,
    n_components: int,
    n_features: int,
    n_uniform: int,
    close: Stopping,
    rngs: Sequence[np.random.Generator],
    least_weight: float,
) -> SearchSettings:
    """`split_and_merge` as plain values, with what it draws from each generator, for tables whose rows it uses all.

    `n_uniform` is how many numbers a k-means start draws, `close` EM after the search. Groups with less than
    `least_weight` are not searched.
    """
    n_starts = 2
    draws, uniform = np.empty((len(rngs), n_starts, N_DRAWS)), np.empty((len(rngs), n_starts - 1, n_uniform))
    for fit, rng in enumerate(rngs):
        for index in range(n_starts):
            if index:
                rng.random(out=uniform[fit, index - 1])
            rng.random(out=draws[fit, index])
    return SearchSettings(
        least_weight, MIN_ROWS_OF_PARTS - 1, uniform, draws, _steps(SEARCH_START), _steps(close),
        acceptance_settings(n_components, _patience(n_components)), _patience_of_swaps(n_components),
        search_work(family, n_features), MAX_CLOSING_STEPS, MORE_STEPS,
    )  # fmt: skip


def acceptance_settings(
    n_components: int, patience: int, max_moves: int | None = None, max_work: float = math.inf
) -> AcceptanceSettings:
    """When the core accepts moves: in all at most `max_moves`, or `MAX_MOVES` for each component."""
    return AcceptanceSettings(
        first=_steps(MOVE_TRIAL), longer=_steps(LONGER_TRIAL),
        after_move=_steps(AFTER_MOVE), after_more=_steps(AFTER_MOVE_LONGER),
        gain=MIN_GAIN_OF_MOVE, promising_factor=PROMISING_FACTOR, quick_factor=QUICK_FACTOR, min_promise=MIN_PROMISE,
        max_work=max_work, max_moves=MAX_MOVES * n_components if max_moves is None else max_moves,
        patience=patience, less_patience=max(MIN_PATIENCE, patience // 2), first_moves=N_FIRST_MOVES,
        min_rows=MIN_ROWS_PER_VALUE, min_rows_if_flat=MIN_ROWS_IF_FLAT, flat=MAX_FLATNESS,
    )  # fmt: skip


def _steps(stopping: Stopping) -> Steps:
    return stopping.tolerance, stopping.max_steps


def _patience(n_components: int) -> int:
    return max(MIN_PATIENCE, n_components // 4)


def _patience_of_swaps(n_components: int) -> int:
    return max(20, 2 * n_components)


def _another_start(rows: Distinct, em: LocalEM, n_components: int) -> Model | None:
    """The model of an M-step from k-means on some rows; None if a component has too few rows for a covariance."""
    partition = kmeans(rows.for_search(n_components, em.rng), em.engine, n_components, em.rng)
    source = ArraySource(rows.rows, rows.weight)
    try:
        return InitialMoments(source, em.engine, n_components, partition).model(em.family, Objective(em.ridge))
    except SingularCovariance:
        return None


def _crossed(rows: Distinct, em: LocalEM, one: Model, other: Model) -> Model | None:
    """A model of the best components of two models with as many each; None if an M-step finds no covariance."""
    arrays = _arrays(one)
    of_core = *arrays, *_arrays(other), em.ridge, LIMITS, em.n_threads
    has_model = native_target().cross(rows.rows, rows.weight, em.algebra, *of_core)
    return _of_arrays(one, *arrays) if has_model else None


def _arrays(model: Model) -> tuple[Array, Array, Array]:
    """Copies of weights, means and all numbers of covariances, which the core may write over."""
    weights, means, covariances = (each.copy() for each in (model.weights, model.means, model.covariances.array))
    return weights, means, covariances.reshape(-1)


def _of_arrays(like: Model, weights: Array, means: Array, covariances: Array) -> Model:
    covariances = covariances.reshape(like.covariances.array.shape)
    return Model(weights, means, like.family.covariances(covariances, *means.shape), like.family)


def _part(sample: Distinct, em: LocalEM, model: Model, wanted: tuple[int, int, int]) -> Distinct:
    """Draw rows, as many as `wanted` says; all if they are few."""
    if len(sample.rows) < MIN_ROWS_OF_PARTS:
        return sample
    n_components = model.n_components
    least = wanted[2] if model.family.is_shared else wanted[1]
    return sample.part(n_components * max(least, wanted[0] * model.n_parameters // n_components), em.rng)


class _Ascent:
    """Tries moves of a converged state; parameters as in `searched`."""

    def __init__(self, rows: Distinct, em: LocalEM, state: State) -> None:
        self.rows, self._em = rows, em
        self.model, self._height = state.model, state.trace.last
        self._start, self._within = state.trace.last, _within(state.model)
        self._draws, self._cursor = em.rng.random(N_DRAWS), 0
        self._left = MAX_MOVES * state.model.n_components
        self.patience = 0  # of the last moves
        self.has_refused = False  # a move that raises the likelihood, because it adds an unsound component
        self._is_hopeless, self._best_split = False, 0.0  # of the last ranking of moves
        self._n_unsound = 0
        self._tried(0, 0, swaps=True)  # counts unsound components

    @property
    def is_done(self) -> bool:
        """Whether all components are sound, and the best move that is left loses much by its bound."""
        return self._is_hopeless and self._n_unsound == 0

    @property
    def is_misfit(self) -> bool:
        """Whether a split promises `MISFIT_FACTOR` times what the parameters of a component gain on these rows by
        chance.

        Not where covariances depend on each other, or may do so: bounds on the gains of splits do not hold there.
        """
        if Across.EQUAL in self._em.algebra or self.is_done:
            return False
        by_chance = core.OVERFIT * self.model.n_parameters / self.model.n_components / len(self.rows.rows)
        return self._best_split > MISFIT_FACTOR * by_chance

    @property
    def rank(self) -> tuple[int, float]:
        """The number of unsound components, and less the likelihood: the best ascent has the least."""
        return self._n_unsound, -self._height

    def is_better(self, other: _Ascent) -> bool:
        """Whether this ascent has fewer unsound components and is not below the other's start, or is just higher."""
        if self._n_unsound < other._n_unsound:
            return self._height > other._start
        return self._n_unsound == other._n_unsound and self._height > other._height

    def go(self, patience: int) -> _Ascent:
        """Try moves until `patience` in a row have not helped."""
        self.patience = patience
        self._em.report(f"Search on {len(self.rows.rows):,} rows from {self._height:.5f}")
        self._tried(patience, self._left, swaps=False)
        return self

    def swap(self) -> _Ascent:
        """Try random moves, if covariances depend on each other: bounds on the gains of splits do not hold there.

        Where even the best move loses much by its bound, no swap is tried.
        """
        if self._em.family.is_shared and not self.is_done:
            n_components = self.model.n_components
            self._tried(_patience_of_swaps(n_components), MAX_MOVES * n_components, swaps=True)
        return self

    def _tried(self, patience: int, max_moves: int, *, swaps: bool) -> None:
        """Let the core try moves (cpp/em/ascent.cpp). It tries none where EM of the rows is not as usual."""
        rows, em, model, arrays = self.rows, self._em, self.model, _arrays(self.model)
        acceptance = acceptance_settings(model.n_components, patience, max_moves, em.left)
        n_moves, reached, work, n_unsound, index, is_hopeless, has_refused, best_split, *moves = native_target().ascend(
            rows.rows, rows.weight, em.algebra, *arrays, em.ridge, LIMITS, self._height, self._within.reshape(-1),
            acceptance, swaps, self._draws, self._cursor, lambda: em.is_over, em.n_threads,
        )  # fmt: skip
        em.left -= work
        em.count(*moves)
        if n_moves < 0:
            return
        if n_moves > 0:
            self.model, self._height = _of_arrays(model, *arrays), reached
        self._n_unsound, self._cursor = n_unsound, index
        self.has_refused |= has_refused
        if not swaps:  # which rank no splits
            self._is_hopeless, self._best_split = is_hopeless, best_split


def _within(model: Model) -> Array:
    """The mean covariance of the components: a matrix if the structure has matrices, else variances."""
    if model.family.kind.second is Second.FULL:
        return contract("k,kij->ij", model.weights, model.covariances.dense())
    return contract("k,kj->j", model.weights, model.covariances.variances())
