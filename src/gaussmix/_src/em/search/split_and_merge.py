"""A search for a higher maximum of the likelihood: the core tries moves and judges them (cpp/em/climb.cpp).

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
from gaussmix._src.em.initialisation.sample import ROWS_OF_PARTS, Distinct
from gaussmix._src.em.objective.objective import Objective
from gaussmix._src.em.objective.stopping import Stopping
from gaussmix._src.em.objective.trace import State
from gaussmix._src.em.step.loop import sound_end
from gaussmix._src.engines.base import Engine
from gaussmix._src.engines.calls import Judgement, SearchRecipe, Steps
from gaussmix._src.errors import SingularCovariance
from gaussmix._src.families.base import Family, without_constraints
from gaussmix._src.interfaces.algebra import Across, Algebra
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.need import Second
from gaussmix._src.interfaces.parameters import LIMITS
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.contract import contract
from gaussmix._src.numerics.core import core, native_target
from gaussmix._src.numerics.threads import allowed, one_blas_thread
from gaussmix._src.sources.array import ArraySource

# Rows per component on which moves are tried: for each parameter, and at least; the least where components share a
# covariance, since a move is judged on all rows there. And the same for the second search.
SEARCHED, POLISHED = (2, 250, 100), (40, 1_250, 400)
FIRST_EM = Stopping(1e-4, 12)  # EM from the start
SETTLING, SETTLING_LONGER = Stopping(1e-4, 15), Stopping(1e-5, 45)  # EM after moves, and more EM if that is not enough
LAST = Stopping(1e-4, 30)  # EM on the larger sample
JUDGING, LONGER = Stopping(1e-5, 4), Stopping(1e-5, 16)  # EM after a move, and more, as long as it is promising
LOOK_AHEAD = 16  # a move is promising if so many more gains like the last suffice
# If components share a covariance, each move is judged on all rows. It is refused at a glance, one step earlier, if
# `AT_GLANCE` times `LOOK_AHEAD` more gains like the last would not suffice. A round ends if its first `FIRST_MOVES`
# moves, the best by their bounds, are all refused at a glance.
AT_GLANCE, FIRST_MOVES = 3, 5
MIN_GAIN_OF_MOVE = 2e-5  # least gain of a move, nats per row
LEAST_PATIENCE = 4  # moves in a row that do not help end a search
LITTLE = 0.0025  # nats per row: if the best split gains less by its bound, half the patience is enough
MOST_MOVES = 5  # for each component
FEW_ROWS, SOME_ROWS = 2, 10  # distinct rows for each number in a mean and its variance
FLAT = 5e-6  # relative to the mean covariance of the components at the start
MISFIT = 4  # times what a split gains by chance: where the best one gains more by its bound, the model does not fit
CLIMBS, SLOW = 5, 20  # starts of a search where EM is slow, and the steps of EM that show it
# The work of a search, in steps of EM on all rows, for each step that EM made from k-means and for `MORE_STEPS` others.
# With more, fits would take longer than scikit-learn's, whose steps take several times as long as ours. For matrices
# and for variances it is divided by 2 more than the number of features; for one shared covariance it is not.
WORK, WORK_OF_VARIANCES, WORK_OF_SHARED, MORE_STEPS = 55, 20, 9, 3
WORK_OF_CROSSING = 2  # times as much is left when crossings begin
CLOSING = 8  # most steps of EM after a search, for each of the same steps
N_DRAWS = 4093  # a prime, so that numbers that are taken again are used for something else
# Of the least variance that a bound allows, this part is the ridge of a search. All of it blurs the other components,
# and none of it ends lower, too.
BOUND_SHARE = 0.1
USUAL_STEPS = 8  # EM makes about so many from k-means: used if their number is not known


def silent(what: str) -> None:
    """Print nothing: the default of `tell`."""


@dataclass(eq=False)
class LocalEM:
    """EM of a search on complete rows in memory, as the core makes it; `tell` follows.

    `left` counts down the pairs of a row and a component that a search may visit. It ends when none is left.
    """

    family: Family
    engine: Engine[Any]
    ridge: Array
    rng: np.random.Generator
    is_unwanted: Callable[[], bool]
    left: float
    tell: Callable[[str], object]

    @property
    def is_over(self) -> bool:
        return self.left <= 0 or self.is_unwanted()

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
    found = without_constraints(family.kind, family.is_shared)
    if found.kind is family.kind or len(rows) >= core.SPLIT_ROWS * n_components * (rows.shape[1] + 1):
        return found
    return without_constraints(Diagonal, family.is_shared)


def _as_in(family: Family, model: Model, rows: Distinct, engine: Engine[Any], ridge: Array) -> Model | None:
    """The model in another structure: an M-step of it from the responsibilities; None if it finds no covariance."""
    if model.family == family:
        return model
    shares = engine.responsibilities(Block(0, rows.rows), model.parameters)
    first = InitialMoments(ArraySource(rows.rows, rows.weight, shares), engine, model.n_components, Partition())
    try:
        return first.model(family, Objective(ridge))
    except SingularCovariance:
        return None


def split_and_merge(
    model: Model, sample: Distinct, engine: Engine[Any], objective: Objective, rng: np.random.Generator, **how: Any
) -> Model:
    """The model after `searched` without what the core does not know: the terms of the objective, and the structure.

    Where variances have a bound on their ratios, `BOUND_SHARE` of the least that it allows at the start is a ridge, or
    the search would find narrow components that the bound forbids.
    """
    if model.n_components == 1:
        return model
    engine = engine.complete
    ridge = np.maximum(objective.floor, BOUND_SHARE * model.family.least_variance(model.covariances))
    start = _as_in(nearest(model.family, model.n_components, sample.rows), model, sample, engine, ridge)
    if start is None:
        return model
    found = searched(start, sample, engine, ridge, rng, **how)
    return model if found is start else _as_in(model.family, found, sample, engine, ridge) or model


@one_blas_thread()
def searched(
    model: Model,
    sample: Distinct,
    engine: Engine[Any],
    ridge: Array,
    rng: np.random.Generator,
    is_unwanted: Callable[[], bool] = lambda: False,
    n_steps: int = USUAL_STEPS,
    tell: Callable[[str], object] = silent,
) -> Model:
    """Move components until no move has helped for some time, on a part of a sample that suffices.

    The search begins from the model. Where rows are few, or EM from there freezes a component, it begins from another
    k-means start too. The better one goes on with more rows and more patience, unless moves have no hope; with more
    patience alone if the part was all rows. A move is refused if it adds a component with almost no distinct rows, or a
    nearly flat one with few: maxima of the likelihood there say nothing about the data. Components that have too few
    rows of a part may have enough of all: where moves were refused, the search goes on with the whole sample.

    Where a split still promises much, the model does not fit the rows, and searches from other starts end elsewhere.
    There the search begins from `CLIMBS` starts and crosses the ends, if that takes no longer than fits do: if EM made
    `SLOW` steps before `model` (`n_steps`), and all these climbs read no more rows than the sample has.

    The search ends once its EM has visited as many pairs of a row and a component as `work_of` allows; crossings, once
    they begin, may visit `WORK_OF_CROSSING` times as many.
    Before each move, the search calls `is_unwanted` and stops if it is true. Before each climb, it calls `tell` with a
    description. It returns the model after the last move that helped and EM, or `model` if EM from each start freezes
    a component.
    """
    n_pairs = len(sample.rows) * model.n_components
    work = work_of(model.family, model.n_features) * (n_steps + MORE_STEPS) * n_pairs  # to the bit as in the core
    em = LocalEM(model.family, engine, ridge, rng, is_unwanted, work, tell)
    rows, more = (_part(sample, em, model, wanted) for wanted in (SEARCHED, POLISHED))
    found: _Climb | None = None
    for number in range(2):
        if found is not None and (len(sample.rows) >= ROWS_OF_PARTS or em.is_over):
            break
        start = model if number == 0 else _another_start(rows, em, model.n_components)
        settled = None if start is None or em.is_over else em.end(rows, start, FIRST_EM)
        if settled is None:
            continue
        climb = _Climb(rows, em, settled).go(_patience(model.n_components))
        if found is None or climb.is_better(found):
            found = climb
    if found is None:
        return model
    found.swap()
    has_refused = found.has_refused
    is_affordable = n_steps >= SLOW and CLIMBS * len(rows.rows) <= len(sample.rows)
    if is_affordable and found.is_misfit and not em.is_over:
        em.left = WORK_OF_CROSSING * work
        few = (_part(sample, em, model, SEARCHED) for _ in range(1, CLIMBS))
        found = _crossing(found, few, more, em)
    if len(sample.rows) < ROWS_OF_PARTS:  # cpp/em/fit_many.cpp makes the same search up to here
        return found.model
    patience = max(LEAST_PATIENCE, model.n_components)
    for larger in more, sample:
        has_refused |= found.has_refused
        is_done = found.is_done if larger is more else not has_refused
        most_steps = min(LAST.max_steps, int(em.left / (len(larger.rows) * model.n_components)))
        is_known = len(larger.rows) == len(found.rows.rows) and found.patience == patience
        if is_done or is_known or em.is_over or most_steps < 1:
            continue
        if (polished := em.end(larger, found.model, replace(LAST, max_steps=most_steps))) is None:
            break
        found = _Climb(larger, em, polished).go(patience)
    return found.model


def _crossing(found: _Climb, parts: Iterable[Distinct], more: Distinct, em: LocalEM) -> _Climb:
    """Climb from another start on each of some parts; cross the best end with each other one, and climb from there.

    A higher end replaces the best one. Last comes the one that was best at first; if it still is, it is crossed with
    itself, which only tries its moves again.
    """
    n_components, climbs = found.model.n_components, [found]
    for rows in parts:
        start = None if em.is_over else _another_start(rows, em, n_components)
        settled = None if start is None else em.end(rows, start, FIRST_EM)
        if settled is not None:
            climbs.append(_Climb(rows, em, settled).go(_patience(n_components)))

    def on_more(model: Model | None) -> Iterator[_Climb]:
        if model is not None and (settled := em.end(more, model, LAST)) is not None:
            yield _Climb(more, em, settled)

    ends = sorted((end for climb in climbs for end in on_more(climb.model)), key=lambda end: end.rank)
    if not ends:
        return found
    best = ends[0]
    for other in ends[1:] + ends[:1]:
        for child in on_more(None if em.is_over else _crossed(found.rows, em, best.model, other.model)):
            best = child if child.go(_patience(n_components)).is_better(best) else best
    last = next(on_more(best.model), best)
    return last.go(max(LEAST_PATIENCE, n_components))


def work_of(family: Family, n_features: int) -> float:
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
) -> SearchRecipe:
    """`split_and_merge` as plain values, with what it draws from each generator, for tables whose rows it uses all.

    `n_uniform` is how many numbers a k-means start draws, `close` EM after the search. Groups with less than
    `least_weight` are not searched.
    """
    n_starts = 2
    draws, uniform = np.empty((len(rngs), n_starts, N_DRAWS)), np.empty((len(rngs), n_starts - 1, n_uniform))
    for fit, rng in enumerate(rngs):
        for number in range(n_starts):
            if number:
                rng.random(out=uniform[fit, number - 1])
            rng.random(out=draws[fit, number])
    return SearchRecipe(
        least_weight, ROWS_OF_PARTS - 1, uniform, draws, _steps(FIRST_EM), _steps(close),
        judgement_of(n_components, _patience(n_components)), _patience_of_swaps(n_components),
        work_of(family, n_features), CLOSING, MORE_STEPS,
    )  # fmt: skip


def judgement_of(
    n_components: int, patience: int, most_moves: int | None = None, most_work: float = math.inf
) -> Judgement:
    """When the core accepts moves: in all at most `most_moves`, or `MOST_MOVES` for each component."""
    return Judgement(
        judging=_steps(JUDGING), longer=_steps(LONGER),
        settling=_steps(SETTLING), settling_longer=_steps(SETTLING_LONGER),
        gain=MIN_GAIN_OF_MOVE, look_ahead=LOOK_AHEAD, at_glance=AT_GLANCE, little=LITTLE, most_work=most_work,
        most_moves=MOST_MOVES * n_components if most_moves is None else most_moves,
        patience=patience, less_patience=max(LEAST_PATIENCE, patience // 2), first_moves=FIRST_MOVES,
        few_rows=FEW_ROWS, some_rows=SOME_ROWS, flat=FLAT,
    )  # fmt: skip


def _steps(stopping: Stopping) -> Steps:
    return stopping.tolerance, stopping.max_steps


def _patience(n_components: int) -> int:
    return max(LEAST_PATIENCE, n_components // 4)


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
    is_found = native_target().cross(rows.rows, rows.weight, em.algebra, *of_core)
    return _of_arrays(one, *arrays) if is_found else None


def _arrays(model: Model) -> tuple[Array, Array, Array]:
    """Copies of weights, means and all numbers of covariances, which the core may write over."""
    weights, means, covariances = (
        np.array(each, order="C") for each in (model.weights, model.means, model.covariances.array)
    )
    return weights, means, covariances.reshape(-1)


def _of_arrays(like: Model, weights: Array, means: Array, covariances: Array) -> Model:
    covariances = covariances.reshape(like.covariances.array.shape)
    return Model(weights, means, like.family.covariances(covariances, *means.shape), like.family)


def _part(sample: Distinct, em: LocalEM, model: Model, wanted: tuple[int, int, int]) -> Distinct:
    """Draw rows, as many as `wanted` says; all if they are few."""
    if len(sample.rows) < ROWS_OF_PARTS:
        return sample
    n_components = model.n_components
    least = wanted[2] if model.family.is_shared else wanted[1]
    return sample.part(n_components * max(least, wanted[0] * model.n_parameters // n_components), em.rng)


class _Climb:
    """Tries moves of a settled state; parameters as in `searched`."""

    def __init__(self, rows: Distinct, em: LocalEM, settled: State) -> None:
        self.rows, self._em = rows, em
        self.model, self._height = settled.model, settled.trace.last
        self._start, self._within = settled.trace.last, _within(settled.model)
        self._draws, self._place = em.rng.random(N_DRAWS), 0
        self._left = MOST_MOVES * settled.model.n_components
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
        """Whether a split promises `MISFIT` times what the parameters of a component gain on these rows by chance.

        Not where covariances depend on each other, or may do so: bounds on the gains of splits do not hold there.
        """
        if Across.EQUAL in self._em.algebra or self.is_done:
            return False
        by_chance = core.OVERFIT * self.model.n_parameters / self.model.n_components / len(self.rows.rows)
        return self._best_split > MISFIT * by_chance

    @property
    def rank(self) -> tuple[int, float]:
        """The number of unsound components, and less the likelihood: the best climb has the least."""
        return self._n_unsound, -self._height

    def is_better(self, other: _Climb) -> bool:
        """Whether this climb has fewer unsound components and is not below the other's start, or is just higher."""
        if self._n_unsound < other._n_unsound:
            return self._height > other._start
        return self._n_unsound == other._n_unsound and self._height > other._height

    def go(self, patience: int) -> _Climb:
        """Try moves until `patience` in a row have not helped."""
        self.patience = patience
        self._em.tell(f"Search on {len(self.rows.rows):,} rows from {self._height:.5f}")
        self._tried(patience, self._left, swaps=False)
        return self

    def swap(self) -> _Climb:
        """Try random moves, if covariances depend on each other: bounds on the gains of splits do not hold there.

        Where even the best move loses much by its bound, no swap is tried.
        """
        if self._em.family.is_shared and not self.is_done:
            n_components = self.model.n_components
            self._tried(_patience_of_swaps(n_components), MOST_MOVES * n_components, swaps=True)
        return self

    def _tried(self, patience: int, most_moves: int, *, swaps: bool) -> None:
        """Let the core try moves (cpp/em/climb.cpp). It tries none where EM of the rows is not as usual."""
        rows, em, model, arrays = self.rows, self._em, self.model, _arrays(self.model)
        judgement = judgement_of(model.n_components, patience, most_moves, em.left)
        n_moves, reached, work, n_unsound, place, is_hopeless, has_refused, best_split = native_target().climb(
            rows.rows, rows.weight, em.algebra, *arrays, em.ridge, LIMITS, self._height, self._within.reshape(-1),
            judgement, swaps, self._draws, self._place, lambda: em.is_over, em.n_threads,
        )  # fmt: skip
        em.left -= work
        if n_moves < 0:
            return
        if n_moves > 0:
            self.model, self._height = _of_arrays(model, *arrays), reached
        self._n_unsound, self._place = n_unsound, place
        self.has_refused |= has_refused
        if not swaps:  # which rank no splits
            self._is_hopeless, self._best_split = is_hopeless, best_split


def _within(model: Model) -> Array:
    """The mean covariance of the components: a matrix if the structure has matrices, else variances."""
    if model.family.kind.second is Second.FULL:
        return contract("k,kij->ij", model.weights, model.covariances.dense())
    return contract("k,kj->j", model.weights, model.covariances.variances())
