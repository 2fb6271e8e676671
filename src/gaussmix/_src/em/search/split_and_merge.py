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
from gaussmix._src.em.initialisation.sample import MIN_ROWS_TO_SUBSAMPLE, DistinctRows
from gaussmix._src.em.objective.objective import Objective
from gaussmix._src.em.objective.stopping import StopRule
from gaussmix._src.em.objective.trace import EMState
from gaussmix._src.em.step.loop import run_to_sound_end
from gaussmix._src.engines.base import Engine
from gaussmix._src.engines.calls import AcceptanceSettings, SearchSettings, StepLimits
from gaussmix._src.errors import SingularCovarianceError
from gaussmix._src.families.base import Family, without_constraints
from gaussmix._src.interfaces.algebra import Across, Algebra
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.moment_spec import Second
from gaussmix._src.interfaces.parameters import LIMITS
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.core import core, native_target
from gaussmix._src.numerics.einsum import einsum
from gaussmix._src.numerics.threads import allowed, one_blas_thread
from gaussmix._src.sources.array import ArraySource

# Rows per component on which moves are tried: for each parameter, and at least; the least where components share a
# covariance, since a move is evaluated on all rows there. And the same for the second search.
SEARCH_SAMPLE_SIZES, REFINE_SAMPLE_SIZES = (2, 250, 100), (40, 1_250, 400)
SEARCH_START_STOPPING = StopRule(1e-4, 12)  # EM from the start
# EM after moves, and more EM if that is not enough.
AFTER_MOVE, AFTER_MOVE_LONGER = StopRule(1e-4, 15), StopRule(1e-5, 45)
REFINEMENT_STOPPING = StopRule(1e-4, 30)  # EM on the larger sample
# EM after a move, and more, as long as it is promising.
MOVE_TRIAL, LONGER_TRIAL = StopRule(1e-5, 4), StopRule(1e-5, 16)
PROMISING_FACTOR = 16  # a move is promising if so many more gains like the last suffice
# If components share a covariance, each move is evaluated on all rows. It is refused at a glance, one step earlier, if
# `QUICK_FACTOR` times `PROMISING_FACTOR` more gains like the last would not suffice. A round ends if its first
# `N_FIRST_MOVES` moves, the best by their bounds, are all refused at a glance.
QUICK_FACTOR, N_FIRST_MOVES = 3, 5
MIN_MOVE_GAIN = 2e-5  # least gain of a move, nats per row
MIN_PATIENCE = 4  # moves in a row that do not help end a search
MIN_SPLIT_GAIN_BOUND = 0.0025  # nats per row: if the best split gains less by its bound, half the patience is enough
MAX_MOVES_PER_COMPONENT = 5  # for each component
MIN_ROWS_PER_VALUE, MIN_ROWS_IF_FLAT = 2, 10  # distinct rows for each number in a mean and its variance
MAX_FLATNESS = 5e-6  # relative to the mean covariance of the components at the start
# Times what a split gains by chance: where the best one gains more by its bound, the model does not fit.
MISFIT_FACTOR = 4
MAX_CHANCE = 20.0  # times what the numbers of a component gain by chance where rows are many
# Nats in all that a search must gain where there is a row for each number in a mean and a full covariance; with more
# rows in proportion less. What is less says nothing about new rows.
LEAST_GAIN_OF_SEARCH = 30.0
N_ASCENTS, MIN_SLOW_STEPS = 5, 20  # starts of a search where EM is slow, and the steps of EM that show it
# The work of a search, in steps of EM on all rows, for each step that EM made from k-means and for `MORE_STEPS` others.
# With more, fits would take longer than scikit-learn's, whose steps take several times as long as ours. For matrices
# and for variances it is divided by 2 more than the number of features; for one shared covariance it is not.
WORK, WORK_OF_VARIANCES, WORK_OF_SHARED, MORE_STEPS = 55, 20, 9, 3
CROSSING_WORK_FACTOR = 2  # times as much is left when crossings begin
MAX_CLOSING_STEPS = 8  # most steps of EM after a search, for each of the same steps
N_UNIFORM_DRAWS = 4093  # a prime, so that numbers that are taken again are used for something else
# Of the least variance that a bound allows, this part is the ridge of a search. All of it blurs the other components,
# and none of it ends lower, too.
RIDGE_BOUND_FRACTION = 0.1
DEFAULT_STEPS = 8  # EM makes about so many from k-means: used if their number is not known


def report_nothing(what: str) -> None:
    """Print nothing: the default of `report`."""


def ignore(n_tried: int, n_accepted: int) -> None:
    """Count no moves: the default of `count`."""


@dataclass(eq=False)
class SearchEM:
    """EM of a search on complete rows in memory, as the core makes it; `report` and `count` follow.

    `work_left` counts down the pairs of a row and a component that a search may visit. It ends when none is left.
    """

    family: Family
    engine: Engine[Any]
    ridge: Array
    rng: np.random.Generator
    should_stop: Callable[[], bool]
    work_left: float
    report: Callable[[str], object]
    count: Callable[[int, int], object]

    @property
    def is_exhausted(self) -> bool:
        return self.work_left <= 0 or self.should_stop()

    @property
    def algebra(self) -> Algebra:
        assert self.family.algebra is not None, "made by `nearest_core_family`"
        return self.family.algebra

    @property
    def n_threads(self) -> int:
        return allowed(self.engine.n_threads)

    def run_to_sound_end(self, rows: DistinctRows, model: Model, stopping: StopRule) -> EMState | None:
        """Run EM; None if a component freezes or the likelihood is not finite."""
        end = run_to_sound_end(ArraySource(rows.rows, rows.weight), self.engine, model, Objective(self.ridge), stopping)
        if end is not None:
            self.work_left -= end.trace.n_steps * len(rows.rows) * model.n_components
        return end


def nearest_core_family(family: Family, n_components: int, rows: Array) -> Family:
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


def _convert_to_family(
    family: Family, model: Model, rows: DistinctRows, engine: Engine[Any], ridge: Array
) -> Model | None:
    """The model in another structure: an M-step of it from the responsibilities; None if it finds no covariance."""
    if model.family == family:
        return model
    source = ArraySource(rows.rows, rows.weight, engine.responsibilities(Block(0, rows.rows), model.parameters))
    first = InitialMoments(source, engine, model.n_components, Partition())
    try:
        return first.model(family, Objective(ridge))
    except SingularCovarianceError:
        return None


def split_and_merge(
    model: Model,
    sample: DistinctRows,
    engine: Engine[Any],
    objective: Objective,
    rng: np.random.Generator,
    **options: Any,
) -> Model:
    """The model of `search_from_model` without what the core does not know: terms of the objective, and the structure.

    Where variances have a bound on their ratios, `RIDGE_BOUND_FRACTION` of the least that it allows at the start is a
    ridge, or the search would find narrow components that the bound forbids.
    """
    if model.n_components == 1:
        return model
    engine = engine.complete_engine
    ridge = np.maximum(objective.variance_floor, RIDGE_BOUND_FRACTION * model.family.least_variance(model.covariances))
    family = nearest_core_family(model.family, model.n_components, sample.rows)
    start = _convert_to_family(family, model, sample, engine, ridge)
    if start is None:
        return model
    result = search_from_model(start, sample, engine, ridge, rng, **options)
    return model if result is start else _convert_to_family(model.family, result, sample, engine, ridge) or model


@one_blas_thread()
def search_from_model(
    model: Model,
    sample: DistinctRows,
    engine: Engine[Any],
    ridge: Array,
    rng: np.random.Generator,
    should_stop: Callable[[], bool] = lambda: False,
    n_steps: int = DEFAULT_STEPS,
    report: Callable[[str], object] = report_nothing,
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

    The search ends once its EM has visited as many pairs of a row and a component as `search_work_per_step` allows;
    crossings, once they begin, may visit `CROSSING_WORK_FACTOR` times as many. Before each move, it calls `should_stop`
    and stops if that is true. Before each ascent, it calls `report` with a description, and after it
    `count` with the moves that were tried and kept. It returns the model after the
    last move that helped and EM, or `model` if EM from each start freezes a component.
    """
    n_pairs = len(sample.rows) * model.n_components
    # To the bit as in the core.
    work = search_work_per_step(model.family, model.n_features) * (n_steps + MORE_STEPS) * n_pairs
    em = SearchEM(model.family, engine, ridge, rng, should_stop, work, report, count)
    rows, more = (_subsample(sample, em, model, wanted) for wanted in (SEARCH_SAMPLE_SIZES, REFINE_SAMPLE_SIZES))
    best: _Ascent | None = None
    for index in range(2):
        if best is not None and (len(sample.rows) >= MIN_ROWS_TO_SUBSAMPLE or em.is_exhausted):
            break
        start = model if index == 0 else _kmeans_model(rows, em, model.n_components)
        state = None if start is None or em.is_exhausted else em.run_to_sound_end(rows, start, SEARCH_START_STOPPING)
        if state is None:
            continue
        ascent = _Ascent(rows, em, state).try_moves(_move_patience(model.n_components))
        if best is None or ascent.is_better(best):
            best = ascent
    if best is None:
        return model
    best.try_swaps()
    has_refused = best.has_refused
    is_affordable = n_steps >= MIN_SLOW_STEPS and N_ASCENTS * len(rows.rows) <= len(sample.rows)
    if is_affordable and best.is_misfit and not em.is_exhausted:
        em.work_left = CROSSING_WORK_FACTOR * work
        subset = (_subsample(sample, em, model, SEARCH_SAMPLE_SIZES) for _ in range(1, N_ASCENTS))
        best = _cross_ascents(best, subset, more, em)
    if len(sample.rows) < MIN_ROWS_TO_SUBSAMPLE:  # cpp/em/fit_many.cpp makes the same search up to here
        return best.model
    patience = max(MIN_PATIENCE, model.n_components)
    for larger in more, sample:
        has_refused |= best.has_refused
        is_done = best.is_done if larger is more else not has_refused
        max_steps = min(REFINEMENT_STOPPING.max_steps, int(em.work_left / (len(larger.rows) * model.n_components)))
        is_repeated = len(larger.rows) == len(best.rows.rows) and best.patience == patience
        if is_done or is_repeated or em.is_exhausted or max_steps < 1:
            continue
        stopping = replace(REFINEMENT_STOPPING, max_steps=max_steps)
        if (polished := em.run_to_sound_end(larger, best.model, stopping)) is None:
            break
        best = _Ascent(larger, em, polished).try_moves(patience)
    return best.model


def _cross_ascents(
    first: _Ascent, subsamples: Iterable[DistinctRows], larger_sample: DistinctRows, em: SearchEM
) -> _Ascent:
    """Ascend from another start on each of some parts; cross the best end with each other one, and ascend from there.

    A higher end replaces the best one. Last comes the one that was best at first; if it still is, it is crossed with
    itself, which only tries its moves again.
    """
    n_components, ascents = first.model.n_components, [first]
    for rows in subsamples:
        start = None if em.is_exhausted else _kmeans_model(rows, em, n_components)
        state = None if start is None else em.run_to_sound_end(rows, start, SEARCH_START_STOPPING)
        if state is not None:
            ascents.append(_Ascent(rows, em, state).try_moves(_move_patience(n_components)))

    def ascend_on_larger_sample(model: Model | None) -> Iterator[_Ascent]:
        if model is not None and (state := em.run_to_sound_end(larger_sample, model, REFINEMENT_STOPPING)) is not None:
            yield _Ascent(larger_sample, em, state)

    ends = [end for ascent in ascents for end in ascend_on_larger_sample(ascent.model)]
    ends.sort(key=lambda end: end.sort_key)
    if not ends:
        return first
    best = ends[0]
    for other in ends[1:] + ends[:1]:
        crossed = None if em.is_exhausted else _cross_models(first.rows, em, best.model, other.model)
        for child in ascend_on_larger_sample(crossed):
            best = child if child.try_moves(_move_patience(n_components)).is_better(best) else best
    last = next(ascend_on_larger_sample(best.model), best)
    return last.try_moves(max(MIN_PATIENCE, n_components))


def search_work_per_step(family: Family, n_features: int) -> float:
    """The work of a search, in steps of EM on all rows, for each step that EM made from its start."""
    if family.is_shared:
        return WORK_OF_SHARED
    return (WORK if family.kind.second is Second.FULL else WORK_OF_VARIANCES) / (n_features + 2)


def gained_by_chance(model: Model, n_rows: int) -> float:
    """What means and covariances gain by chance on distinct rows, nats per row: cpp/em/ascent.hpp."""
    algebra, d = model.family.algebra, model.n_features
    if algebra is None or Across.EQUAL in algebra:
        return 0.0
    is_full, is_sphere = algebra.orientation is Across.OWN, algebra.shape is Across.NOTHING
    lost = d + 2 if is_full else 1 + 2 / d if is_sphere else 3
    count = d * (d + 3) / 2 if is_full else d + 1 if is_sphere else 2 * d
    left = [weight * n_rows - lost for weight in model.weights.tolist()]
    return count * sum(min(MAX_CHANCE, 1 + lost / rows) if rows > 0 else MAX_CHANCE for rows in left) / n_rows


def least_gain(searched: Model, end: Model, n_rows: int) -> float:
    """What a search must gain over EM from its start on distinct rows, nats per row, or it is chance."""
    n_values = searched.n_features * (searched.n_features + 3) / 2
    by_chance = gained_by_chance(searched, n_rows) - gained_by_chance(end, n_rows)
    return max(0.0, by_chance) + LEAST_GAIN_OF_SEARCH * n_values / n_rows / n_rows


def core_search_settings(
    family: Family,
    n_components: int,
    n_features: int,
    n_uniform: int,
    final_stopping: StopRule,
    rngs: Sequence[np.random.Generator],
) -> SearchSettings:
    """`split_and_merge` as plain values, with what it draws from each generator, for tables whose rows it uses all.

    `n_uniform` is how many numbers a k-means start draws, `final_stopping` ends EM after the search.
    """
    n_starts = 2
    draws, uniform = np.empty((len(rngs), n_starts, N_UNIFORM_DRAWS)), np.empty((len(rngs), n_starts - 1, n_uniform))
    for fit, rng in enumerate(rngs):
        for index in range(n_starts):
            if index:
                rng.random(out=uniform[fit, index - 1])
            rng.random(out=draws[fit, index])
    return SearchSettings(
        MIN_ROWS_TO_SUBSAMPLE - 1, uniform, draws, _steps_of(SEARCH_START_STOPPING),
        _steps_of(final_stopping), acceptance_settings(n_components, _move_patience(n_components)),
        _swap_patience(n_components), search_work_per_step(family, n_features), MAX_CLOSING_STEPS, MORE_STEPS,
    )  # fmt: skip


def acceptance_settings(
    n_components: int, patience: int, max_moves: int | None = None, max_work: float = math.inf
) -> AcceptanceSettings:
    """When the core accepts moves: in all at most `max_moves`, or `MAX_MOVES_PER_COMPONENT` for each component."""
    return AcceptanceSettings(
        trial_limits=_steps_of(MOVE_TRIAL), long_trial_limits=_steps_of(LONGER_TRIAL),
        limits_after_move=_steps_of(AFTER_MOVE), long_limits_after_move=_steps_of(AFTER_MOVE_LONGER),
        min_gain=MIN_MOVE_GAIN, promising_factor=PROMISING_FACTOR, quick_rejection_factor=QUICK_FACTOR,
        min_promised_gain=MIN_SPLIT_GAIN_BOUND, max_work=max_work,
        max_moves=MAX_MOVES_PER_COMPONENT * n_components if max_moves is None else max_moves,
        patience=patience, reduced_patience=max(MIN_PATIENCE, patience // 2), n_first_moves=N_FIRST_MOVES,
        min_rows_per_value=MIN_ROWS_PER_VALUE, min_rows_per_flat_value=MIN_ROWS_IF_FLAT, max_flatness=MAX_FLATNESS,
    )  # fmt: skip


def _steps_of(stopping: StopRule) -> StepLimits:
    return stopping.tolerance, stopping.max_steps


def _move_patience(n_components: int) -> int:
    return max(MIN_PATIENCE, n_components // 4)


def _swap_patience(n_components: int) -> int:
    return max(20, 2 * n_components)


def _kmeans_model(rows: DistinctRows, em: SearchEM, n_components: int) -> Model | None:
    """The model of an M-step from k-means on some rows; None if a component has too few rows for a covariance."""
    partition = kmeans(rows.subsample_for_kmeans(n_components, em.rng), em.engine, n_components, em.rng)
    source = ArraySource(rows.rows, rows.weight)
    try:
        return InitialMoments(source, em.engine, n_components, partition).model(em.family, Objective(em.ridge))
    except SingularCovarianceError:
        return None


def _cross_models(rows: DistinctRows, em: SearchEM, one: Model, other: Model) -> Model | None:
    """A model of the best components of two models with as many each; None if an M-step finds no covariance."""
    arrays = _copy_arrays(one)
    of_core = *arrays, *_copy_arrays(other), em.ridge, LIMITS, em.n_threads
    has_model = native_target().cross(rows.rows, rows.weight, em.algebra, *of_core)
    return _model_from_arrays(one, *arrays) if has_model else None


def _copy_arrays(model: Model) -> tuple[Array, Array, Array]:
    """Copies of weights, means and all numbers of covariances, which the core may write over."""
    weights, means, covariances = (each.copy() for each in (model.weights, model.means, model.covariances.array))
    return weights, means, covariances.reshape(-1)


def _model_from_arrays(template: Model, weights: Array, means: Array, covariances: Array) -> Model:
    covariances = covariances.reshape(template.covariances.array.shape)
    return Model(weights, means, template.family.covariances(covariances, *means.shape), template.family)


def _subsample(sample: DistinctRows, em: SearchEM, model: Model, sample_sizes: tuple[int, int, int]) -> DistinctRows:
    """Draw rows, as many as `sample_sizes` says; all if they are few."""
    if len(sample.rows) < MIN_ROWS_TO_SUBSAMPLE:
        return sample
    n_components = model.n_components
    least = sample_sizes[2] if model.family.is_shared else sample_sizes[1]
    return sample.subsample(n_components * max(least, sample_sizes[0] * model.n_parameters // n_components), em.rng)


class _Ascent:
    """Tries moves of a converged state; parameters as in `search_from_model`."""

    def __init__(self, rows: DistinctRows, em: SearchEM, state: EMState) -> None:
        self.rows, self._em = rows, em
        self.model, self._log_likelihood = state.model, state.trace.last_objective
        self._initial_log_likelihood, self._mean_covariance = state.trace.last_objective, _mean_covariance(state.model)
        self._draws, self._cursor = em.rng.random(N_UNIFORM_DRAWS), 0
        self._n_moves_left = MAX_MOVES_PER_COMPONENT * state.model.n_components
        self.patience = 0  # of the last moves
        self.has_refused = False  # a move that raises the likelihood, because it adds an unsound component
        self._is_hopeless, self._best_split = False, 0.0  # of the last ranking of moves
        self._n_unsound = 0
        self._run_core_moves(0, 0, swaps=True)  # counts unsound components

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
    def sort_key(self) -> tuple[int, float]:
        """The number of unsound components, and less the likelihood: the best ascent has the least."""
        return self._n_unsound, -self._log_likelihood

    def is_better(self, other: _Ascent) -> bool:
        """Whether this ascent has fewer unsound components and is not below the other's start, or is just higher."""
        if self._n_unsound < other._n_unsound:
            return self._log_likelihood > other._initial_log_likelihood
        return self._n_unsound == other._n_unsound and self._log_likelihood > other._log_likelihood

    def try_moves(self, patience: int) -> _Ascent:
        """Try moves until `patience` in a row have not helped."""
        self.patience = patience
        self._em.report(f"Search on {len(self.rows.rows):,} rows from {self._log_likelihood:.5f}")
        self._run_core_moves(patience, self._n_moves_left, swaps=False)
        return self

    def try_swaps(self) -> _Ascent:
        """Try random moves, if covariances depend on each other: bounds on the gains of splits do not hold there.

        Where even the best move loses much by its bound, no swap is tried.
        """
        if self._em.family.is_shared and not self.is_done:
            n_components = self.model.n_components
            self._run_core_moves(_swap_patience(n_components), MAX_MOVES_PER_COMPONENT * n_components, swaps=True)
        return self

    def _run_core_moves(self, patience: int, max_moves: int, *, swaps: bool) -> None:
        """Let the core try moves (cpp/em/ascent.cpp). It tries none where EM of the rows is not as usual."""
        rows, em, model, arrays = self.rows, self._em, self.model, _copy_arrays(self.model)
        acceptance = acceptance_settings(model.n_components, patience, max_moves, em.work_left)
        n_moves, reached, work, n_unsound, index, is_hopeless, has_refused, best_split, *moves = native_target().ascend(
            rows.rows, rows.weight, em.algebra, *arrays, em.ridge, LIMITS, self._log_likelihood,
            self._mean_covariance.reshape(-1), acceptance, swaps, self._draws, self._cursor,
            lambda: em.is_exhausted, em.n_threads,
        )  # fmt: skip
        em.work_left -= work
        em.count(*moves)
        if n_moves < 0:
            return
        if n_moves > 0:
            self.model, self._log_likelihood = _model_from_arrays(model, *arrays), reached
        self._n_unsound, self._cursor = n_unsound, index
        self.has_refused |= has_refused
        if not swaps:  # which rank no splits
            self._is_hopeless, self._best_split = is_hopeless, best_split


def _mean_covariance(model: Model) -> Array:
    """The mean covariance of the components: a matrix if the structure has matrices, else variances."""
    if model.family.kind.second is Second.FULL:
        return einsum("k,kij->ij", model.weights, model.covariances.dense())
    return einsum("k,kj->j", model.weights, model.covariances.variances())
