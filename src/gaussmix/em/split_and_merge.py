"""A search for a higher maximum of the likelihood: it tries `moves`, and EM judges them.

Ueda, Nakano, Ghahramani & Hinton (2000), Neural Computation 12.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeGuard

import numpy as np

from gaussmix.em.initial import InitialMoments
from gaussmix.em.moves import N_DRAWS, OVERFIT, Draws, LocalEM, Moved, Moves, View, crossed, silent
from gaussmix.em.objective import Objective
from gaussmix.em.stopping import Stopping
from gaussmix.em.trace import State, Trace, joined
from gaussmix.engines.base import Engine
from gaussmix.engines.runner import Judged, Runner, Search, Steps
from gaussmix.errors import SingularCovariance
from gaussmix.families.base import Family
from gaussmix.model import Model
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.axes import principal_axes
from gaussmix.numerics.blas import one_blas_thread
from gaussmix.numerics.contract import contract
from gaussmix.numerics.core import native_target
from gaussmix.numerics.threads import allowed, cached_property
from gaussmix.sources.array import ArraySource
from gaussmix.starts.base import STARTS
from gaussmix.starts.sample import FEW, Distinct
from gaussmix.waist.algebra import Algebra
from gaussmix.waist.need import Second
from gaussmix.waist.parameters import LIMITS

# Rows per component on which moves are tried: for each parameter, and at least; the least where components share a
# covariance, since a move is judged on all rows there. And the same for the second search.
SEARCHED, POLISHED = (2, 250, 100), (40, 1_250, 400)
FIRST = Stopping(1e-4, 12)  # EM from the start
SETTLING, SETTLING_LONGER = Stopping(1e-4, 15), Stopping(1e-5, 45)  # EM after moves, and more EM if that is not enough
LAST = Stopping(1e-4, 30)  # EM on the larger sample
JUDGING, LONGER = Stopping(1e-5, 4), Stopping(1e-5, 16)  # EM after a move, and more, as long as it is promising
LOOK_AHEAD = 16  # a move is promising if so many more gains like the last suffice
# Where components share a covariance, each move is judged on all rows, and refused at a glance, a step earlier, if not
# even three times as many gains would suffice. Where the first five, by their bounds the best, all are, a round ends.
GLANCE, AT_GLANCE, FIRST_MOVES = replace(JUDGING, max_steps=JUDGING.max_steps - 1), 3, 5
GAIN = 2e-5  # least gain of a move, nats per row
LEAST_PATIENCE = 4  # moves in a row that do not help end a search
LITTLE = 0.0025  # nats per row: where the best split gains less by its bound, half the patience is enough
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
USUAL_STEPS = 8  # EM makes about so many from k-means: used if their number is not known


@one_blas_thread()
def split_and_merge(
    model: Model,
    sample: Distinct,
    engine: Engine[Any],
    objective: Objective,
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
    if model.n_components == 1:
        return model
    n_pairs = len(sample.rows) * model.n_components
    work = work_of(model.family, model.n_features) * (n_steps + MORE_STEPS) * n_pairs  # to the bit as in the core
    em = LocalEM(model.family, engine, objective, work, tell)

    def is_over() -> bool:
        return em.left <= 0 or is_unwanted()

    rows, more = (_part(sample, em, model, wanted, rng) for wanted in (SEARCHED, POLISHED))
    found: _Climb | None = None
    for number in range(2):
        if found is not None and (len(sample.rows) >= FEW or is_over()):
            break
        start = model if number == 0 else _another_start(rows, em, model.n_components, rng)
        settled = None if start is None or is_over() else em.end(rows, start, FIRST)
        if settled is None:
            continue
        climb = _Climb(rows, em, rng, settled, is_over).go(_patience(model.n_components))
        if found is None or climb.is_better(found):
            found = climb
    if found is None:
        return model
    found.swap()
    has_refused = found.has_refused
    is_affordable = n_steps >= SLOW and CLIMBS * len(rows.rows) <= len(sample.rows)
    if is_affordable and found.is_misfit and not is_over():
        em.left = WORK_OF_CROSSING * work
        few = (_part(sample, em, model, SEARCHED, rng) for _ in range(1, CLIMBS))
        found = _crossing(found, few, more, em, rng, is_over)
    if len(sample.rows) < FEW:  # the core searches these alike
        return found.model
    patience = max(LEAST_PATIENCE, model.n_components)
    for larger in more, sample:
        has_refused |= found.has_refused
        is_done = found.is_done if larger is more else not has_refused
        most_steps = min(LAST.max_steps, int(em.left / (len(larger.rows) * model.n_components)))
        is_known = len(larger.rows) == len(found.rows.rows) and found.patience == patience
        if is_done or is_known or is_over() or most_steps < 1:
            continue
        if (polished := em.end(larger, found.model, replace(LAST, max_steps=most_steps))) is None:
            break
        found = _Climb(larger, em, rng, polished, is_over).go(patience)
    return found.model


def _crossing(
    found: _Climb,
    parts: Iterable[Distinct],
    more: Distinct,
    em: LocalEM,
    rng: np.random.Generator,
    is_unwanted: Callable[[], bool],
) -> _Climb:
    """Climb from another start on each of some parts; cross the best end with each other one, and climb from there.

    A higher end replaces the best one. Last comes the one that was best at first; if it still is, it is crossed with
    itself, which only tries its moves again.
    """
    n_components, climbs = found.model.n_components, [found]
    for rows in parts:
        start = None if is_unwanted() else _another_start(rows, em, n_components, rng)
        settled = None if start is None else em.end(rows, start, FIRST)
        if settled is not None:
            climbs.append(_Climb(rows, em, rng, settled, is_unwanted).go(_patience(n_components)))

    def on_more(model: Model | None) -> Iterator[_Climb]:
        if model is not None and (settled := em.end(more, model, LAST)) is not None:
            yield _Climb(more, em, rng, settled, is_unwanted)

    ends = sorted((end for climb in climbs for end in on_more(climb.model)), key=lambda end: end.rank)
    if not ends:
        return found
    best = ends[0]
    for other in ends[1:] + ends[:1]:
        for child in on_more(None if is_unwanted() else _crossed(found.rows, em, best.model, other.model)):
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
    close: Steps,
    rngs: Sequence[np.random.Generator],
) -> Search:
    """`split_and_merge` as plain values, with what it draws from each generator, for tables whose rows it uses all.

    `n_uniform` is how many numbers a k-means start draws, `close` EM after the search.
    """
    n_starts = 2
    draws, uniform = np.empty((len(rngs), n_starts, N_DRAWS)), np.empty((len(rngs), n_starts - 1, n_uniform))
    for fit, rng in enumerate(rngs):
        for number in range(n_starts):
            if number:
                uniform[fit, number - 1] = rng.random(n_uniform)
            draws[fit, number] = Draws(rng).numbers
    judged = judged_by_core(n_components, _patience(n_components))
    work, patience = (work_of(family, n_features), CLOSING, MORE_STEPS), _patience_of_swaps(n_components)
    return Search(0.0, FEW - 1, uniform, draws, _steps(FIRST), close, judged, patience, work)


def judged_by_core(
    n_components: int, patience: int, most_moves: int | None = None, most_work: float = math.inf
) -> Judged:
    """When the core accepts moves: in all at most `most_moves`, or `MOST_MOVES` for each component."""
    steps = _steps(JUDGING), _steps(LONGER), _steps(SETTLING), _steps(SETTLING_LONGER)
    most = MOST_MOVES * n_components if most_moves is None else most_moves
    gains, limits = (GAIN, LOOK_AHEAD, AT_GLANCE, LITTLE, most_work), (most, patience, _less(patience), FIRST_MOVES)
    return Judged(*steps, gains, limits, (FEW_ROWS, SOME_ROWS, FLAT))


def _steps(stopping: Stopping) -> Steps:
    return stopping.tolerance, stopping.max_steps


def _patience(n_components: int) -> int:
    return max(LEAST_PATIENCE, n_components // 4)


def _less(patience: int) -> int:
    return max(LEAST_PATIENCE, patience // 2)


def _patience_of_swaps(n_components: int) -> int:
    return max(20, 2 * n_components)


def _another_start(rows: Distinct, em: LocalEM, n_components: int, rng: np.random.Generator) -> Model | None:
    """The model of an M-step from k-means on some rows; None if a component has too few rows for a covariance."""
    partition = STARTS["kmeans"](rows.for_search(n_components, rng), em.engine, n_components, rng)
    source = ArraySource(rows.rows, rows.weight)
    try:
        return InitialMoments(source, em.engine, n_components, partition).model(em.family, em.objective)
    except SingularCovariance:
        return None


def _crossed(rows: Distinct, em: LocalEM, one: Model, other: Model) -> Model | None:
    """`crossed` of em/moves.py, by the core if it can."""
    target, known = native_target(), _known_to_core(em)
    if target is None or known is None:
        return crossed(rows, em, one, other)
    algebra, ridge, n_threads = known
    arrays = _arrays(one)
    if not target.cross(rows.rows, rows.weight, algebra, *arrays, *_arrays(other), ridge, LIMITS, n_threads):
        return None
    return _of_arrays(one, *arrays)


def _known_to_core(em: LocalEM) -> tuple[Algebra, Array, int] | None:
    """Structure, ridge and number of threads, as the core takes them; None if Python must make the moves."""
    algebra, ridge = em.family.algebra, em.objective.as_ridge()
    if algebra is None or ridge is None or not isinstance(em.engine, Runner):
        return None
    return algebra, ridge, allowed(getattr(em.engine, "n_threads", 1))


def _arrays(model: Model) -> tuple[Array, Array, Array]:
    """Copies of weights, means and all numbers of covariances, which the core may write over."""
    weights, means, covariances = (
        np.array(each, order="C") for each in (model.weights, model.means, model.covariances.array)
    )
    return weights, means, covariances.reshape(-1)


def _of_arrays(like: Model, weights: Array, means: Array, covariances: Array) -> Model:
    covariances = covariances.reshape(like.covariances.array.shape)
    return Model(weights, means, like.family.covariances(covariances, *means.shape), like.family)


def _part(
    sample: Distinct, em: LocalEM, model: Model, wanted: tuple[int, int, int], rng: np.random.Generator
) -> Distinct:
    """Draw rows, as many as `wanted` says; all if they are few.

    Beside a prior, which counts rows, they have the weight of all.
    """
    if len(sample.rows) < FEW:
        return sample
    n_components = model.n_components
    least = wanted[2] if model.family.is_shared else wanted[1]
    found = sample.part(n_components * max(least, wanted[0] * model.n_parameters // n_components), rng)
    if em.objective.as_ridge() is None:
        found = replace(found, weight=found.weight * (sample.weight.sum() / found.weight.sum()))
    return found


class _Climb:
    """Tries moves of a settled state; parameters as in `split_and_merge`."""

    def __init__(
        self,
        rows: Distinct,
        em: LocalEM,
        rng: np.random.Generator,
        settled: State,
        is_unwanted: Callable[[], bool],
    ) -> None:
        self.rows, self._em, self._state, self._is_unwanted = rows, em, settled, is_unwanted
        self._start = settled.trace.last
        self._within = _within(settled.model)
        variances = np.diagonal(self._within) if self._within.ndim == 2 else self._within
        self._draws = Draws(rng)
        self._moves = Moves(em, self._draws, np.sqrt(np.maximum(variances, np.finfo(np.float64).tiny)))
        self._left = MOST_MOVES * settled.model.n_components
        self.patience = 0  # of the last moves
        self.has_refused = False  # a move that raises the likelihood, because it adds an unsound component

    @cached_property
    def _view(self) -> View:
        return View(self.rows, self._em, self._state.model)

    @cached_property
    def _n_unsound(self) -> int:
        return self._count_unsound(self._view)

    @property
    def model(self) -> Model:
        """The best model so far."""
        return self._state.model

    @property
    def is_done(self) -> bool:
        """Whether all components are sound, and the best move that is left loses much by its bound."""
        return self._moves.is_hopeless and self._n_unsound == 0

    @property
    def is_misfit(self) -> bool:
        """Whether a split promises `MISFIT` times what the parameters of a component gain on these rows by chance.

        Not where covariances depend on each other, or may do so: bounds on the gains of splits do not hold there.
        """
        if not self._moves.is_free or self.is_done:
            return False
        model = self.model
        by_chance = OVERFIT * model.n_parameters / model.n_components / len(self.rows.rows)
        return self._moves.best_split > MISFIT * by_chance

    @property
    def rank(self) -> tuple[int, float]:
        """The number of unsound components, and less the likelihood: the best climb has the least."""
        return self._n_unsound, -self._state.trace.last

    def is_better(self, other: _Climb) -> bool:
        """Whether this climb has fewer unsound components and is not below the other's start, or is just higher."""
        if self._n_unsound < other._n_unsound:
            return self._state.trace.last > other._start
        return self._n_unsound == other._n_unsound and self._state.trace.last > other._state.trace.last

    def go(self, patience: int) -> _Climb:
        """Try moves until `patience` in a row have not helped."""
        self.patience = patience
        self._em.tell(f"Search on {len(self.rows.rows):,} rows from {self._state.trace.last:.5f}")
        if not self._by_core(patience, swaps=False):
            self._try(self._moves.ranked, patience)
        return self

    def swap(self) -> _Climb:
        """Try random moves, if covariances depend on each other: bounds on the gains of splits do not hold there.

        Where even the best move loses much by its bound, no swap is tried.
        """
        if self._em.family.is_shared and not self.is_done:
            self._left, patience = MOST_MOVES * self.model.n_components, _patience_of_swaps(self.model.n_components)
            if not self._by_core(patience, swaps=True):
                self._try(self._swaps, patience)
        return self

    def _by_core(self, patience: int, *, swaps: bool) -> bool:
        """Let the core try the moves (cpp/em/climb.cpp), to rounding as `_try`; false if Python must try them."""
        rows, model = self.rows, self.model
        target, known = native_target(), _known_to_core(self._em)
        if target is None or known is None:
            return False
        algebra, ridge, n_threads = known
        arrays = _arrays(model)
        judged = judged_by_core(model.n_components, patience, self._left, self._em.left)
        n_moves, reached, work, n_unsound, place, is_hopeless, has_refused, best_split = target.climb(
            rows.rows, rows.weight, algebra, *arrays, ridge, LIMITS, self._state.trace.last, self._within.reshape(-1),
            judged, swaps, self._draws.numbers, self._draws.place, self._is_unwanted, n_threads,
        )  # fmt: skip
        self._em.left -= work
        if n_moves > 0:
            self._state = State(_of_arrays(model, *arrays), Trace((reached,), (reached,)))
            vars(self).pop("_view", None)
        if n_moves >= 0:
            self._n_unsound, self._draws.place = n_unsound, place
            self.has_refused |= has_refused
            if not swaps:  # which rank no splits
                self._moves.is_hopeless, self._moves.best_split = is_hopeless, best_split
        return n_moves >= 0

    def _swaps(self, view: View, _: set[int]) -> Iterator[Moved]:
        while True:
            yield self._moves.swapped(view)

    def _try(self, moves: Callable[[View, set[int]], Iterator[Moved]], patience: int) -> None:
        """Make rounds of moves until one does not help."""
        while self._left > 0 and not self._is_unwanted():
            found = self._judged(moves, patience)
            if not found:
                return
            if not (self._accept(found) or (len(found) > 1 and any(self._accept([moved]) for moved in found))):
                return

    def _judged(self, moves: Callable[[View, set[int]], Iterator[Moved]], patience: int) -> list[Moved]:
        """Moves that help on their own parts and touch different components, until `patience` in a row do not help.

        The one that gains most comes first.
        """
        n_failures, n_hopeless, touched, found = 0, 0, set[int](), list[tuple[float, Moved]]()
        is_ranked = moves == self._moves.ranked
        for number, moved in enumerate(moves(self._view, touched)):
            self._left -= 1
            gain, after = self._judge(moved)
            n_hopeless += gain == -np.inf and n_hopeless == number
            if after is None:
                n_failures += 1
            else:
                n_failures = 0
                touched.update(moved.touched)
                found.append((gain, moved._replace(model=after)))
            is_whole = len(moved.part.components) == self._state.model.n_components
            is_little = is_ranked and self._moves.best_split < LITTLE
            if (
                n_failures == (_less(patience) if is_little else patience)
                or (is_ranked and n_hopeless == FIRST_MOVES)
                or self._left <= 0
                or (found and is_whole)
                or self._is_unwanted()
            ):
                break
        return [moved for _, moved in sorted(found, key=lambda each: -each[0])]

    def _judge(self, moved: Moved) -> tuple[float, Model | None]:
        """The gain of a move, nats per row, and the model of its part, if EM ends higher with it than without it.

        The gain is −inf if the move is refused at a glance.
        """
        part = moved.part
        if moved.is_vain:
            return 0.0, None
        least = GAIN / part.share
        limit, n_steps = part.log_likelihood + least, JUDGING.max_steps
        if self._em.family.is_shared:
            glance = self._em.end(part.rows, moved.model, GLANCE)
            if not _is_promising(glance, limit, AT_GLANCE):
                return -np.inf, None
            after = self._em.end(part.rows, glance.model, replace(JUDGING, max_steps=1))
            after = None if after is None else joined(glance.trace, after)
        else:
            after = self._em.end(part.rows, moved.model, JUDGING)
        if not _is_promising(after, limit):
            return 0.0, None
        if after.trace.last <= limit or _last_gain(after) > least:
            n_steps += LONGER.max_steps
            for _ in range(0, LONGER.max_steps, JUDGING.max_steps):
                after = self._em.end(part.rows, after.model, JUDGING)
                if not _is_promising(after, limit):
                    return 0.0, None
                if _last_gain(after) < LONGER.tolerance:
                    break
            if after.trace.last <= limit:
                return 0.0, None
        unmoved = self._em.end(part.rows, part.model, Stopping(JUDGING.tolerance, n_steps))
        gain = after.trace.last - (part.log_likelihood if unmoved is None else unmoved.trace.last)
        return gain * part.share, after.model if gain > least else None

    def _accept(self, found: list[Moved]) -> bool:
        """Make moves together, if EM on all rows ends higher and no further component is unsound."""
        model = self._state.model
        for moved in found:
            model = moved.part.within(model, moved.model)
        aim = self._state.trace.last + GAIN
        settled = self._em.end(self.rows, model, SETTLING)
        if settled is not None and settled.trace.last <= aim:
            settled = self._em.end(self.rows, settled.model, SETTLING_LONGER)
        if settled is None or settled.trace.last <= aim:
            return False
        view = View(self.rows, self._em, settled.model)
        n_unsound = self._count_unsound(view)
        if n_unsound > self._n_unsound:
            self.has_refused = True
            return False
        self._state, self._view, self._n_unsound = settled, view, n_unsound
        return True

    def _count_unsound(self, view: View) -> int:
        """Number of components with too few distinct rows, or with few and nearly flat compared with the start."""
        model = view.model
        n_numbers = model.n_features + 1 if self._within.ndim == 2 and not model.covariances.is_shared else 2
        n_rows = view.shares.sum(axis=1)
        is_unsound = n_rows < FEW_ROWS * n_numbers
        few = np.flatnonzero(~is_unsound & (n_rows < SOME_ROWS * n_numbers))
        if self._within.ndim == 2 and few.size:
            scale = np.sqrt(np.diagonal(self._within))
            scales = scale[:, None] * scale  # features in units of their own, so that none is lost beside a large one
            values, axes = (found[0] for found in principal_axes((self._within / scales)[None]))
            axes = axes / np.sqrt(np.maximum(values, np.finfo(np.float64).eps))
            relative = contract("kij,jl->kil", model.covariances.take(few).dense() / scales, axes)
            is_unsound[few] = principal_axes(contract("im,kil->kml", axes, relative))[0][:, -1] < FLAT
        elif few.size:
            is_unsound[few] = (model.covariances.take(few).variances() < FLAT * self._within).any(axis=1)
        return int(is_unsound.sum())


def _within(model: Model) -> Array:
    """The mean covariance of the components: a matrix if the structure has matrices, else variances."""
    if model.family.kind.second is Second.FULL:
        return contract("k,kij->ij", model.weights, model.covariances.dense())
    return contract("k,kj->j", model.weights, model.covariances.variances())


def _is_promising(state: State | None, limit: float, times: float = 1) -> TypeGuard[State]:
    """Whether a state after a move may yet end above a limit, nats per row, in `times` as many steps as usual."""
    return state is not None and state.trace.last + times * LOOK_AHEAD * _last_gain(state) > limit


def _last_gain(state: State) -> float:
    """Gain of the last step, nats per row."""
    last = state.trace.objective[-2:]
    return max(0.0, last[-1] - last[0])
