"""A search for a higher maximum of the likelihood: the core tries moves and evaluates them (cpp/em/search.cpp).

It is made without priors, noise and missing cells, in the nearest structure that the core knows.

Ueda, Nakano, Ghahramani & Hinton (2000), Neural Computation 12.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gaussmix._src.covariances import Diagonal
from gaussmix._src.em.initialisation.base import Partition
from gaussmix._src.em.initialisation.initial import InitialMoments
from gaussmix._src.em.initialisation.kmeans import LLOYD_TOLERANCE, MAX_LLOYD_PASSES, count_candidates
from gaussmix._src.em.initialisation.sample import (
    KMEANS_ROWS_PER_COMPONENT,
    MIN_KMEANS_ROWS_PER_COMPONENT,
    MIN_ROWS_TO_SUBSAMPLE,
    DistinctRows,
)
from gaussmix._src.em.objective.objective import Objective
from gaussmix._src.em.objective.stopping import StopRule
from gaussmix._src.engines.base import Engine
from gaussmix._src.engines.calls import AcceptanceSettings, SearchSettings, StepLimits
from gaussmix._src.errors import SingularCovarianceError
from gaussmix._src.families.base import Family, without_constraints
from gaussmix._src.interfaces.algebra import Across
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.moment_spec import Second
from gaussmix._src.interfaces.parameters import LIMITS
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.core import core, native_target
from gaussmix._src.numerics.threads import allowed
from gaussmix._src.sources.array import ArraySource

# Rows per component on which moves are tried: for each parameter, and at least; the least where components share a
# covariance, since a move is evaluated on all rows there. And the same for the second search.
SEARCH_SAMPLE_SIZES, REFINE_SAMPLE_SIZES = (2, 225, 100), (40, 1_125, 400)
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
N_ASCENTS, MIN_SLOW_STEPS = 5, 20  # starts of a search where EM is slow, and the steps of EM that show it
# The work of a search, in steps of EM on all rows, for each step that EM made from k-means and for `MORE_STEPS` others.
# With more, fits would take longer than scikit-learn's, whose steps take several times as long as ours. For matrices
# and for variances it is divided by 2 more than the number of features; for one shared covariance it is not.
WORK, WORK_OF_VARIANCES, WORK_OF_SHARED, MORE_STEPS = 55, 20, 9, 3
CROSSING_WORK_FACTOR = 2  # times as much is left when crossings begin
MAX_CLOSING_STEPS = 8  # most steps of EM after a search, for each of the same steps
N_UNIFORM_DRAWS = 1021  # a prime, so that numbers that are taken again are used for something else
# Of the least variance that a bound allows, this part is the ridge of a search. All of it blurs the other components,
# and none of it ends lower, too.
RIDGE_BOUND_FRACTION = 0.1
DEFAULT_STEPS = 8  # EM makes about so many from k-means: used if their number is not known


def report_nothing(what: str) -> None:
    """Print nothing: the default of `report`."""


def ignore(n_tried: int, n_accepted: int) -> None:
    """Count no moves: the default of `count`."""


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

    The search begins from the model. With fewer than 10 components EM also begins from equal groups of rows, in the
    order of their distances from the centre of all and in that of the feature with the least kurtosis; with at most 3,
    which have few moves, from a core and its tails and from k-means, too. Where EM ends higher than the search so far,
    the search begins there again. With few rows and more components it begins from another k-means start instead,
    unless moves have no hope. The better end goes on with more rows and more patience, unless moves have no hope; with
    more patience alone if the part was all rows. A move is refused if it gains no more than chance, or adds a component
    with almost no distinct rows, or a nearly flat one with few: maxima of the likelihood there say nothing about the
    data. Components that have too few rows of a part may have enough of all: where moves were refused, the search goes
    on with the whole sample.

    Where a split still promises much, the model does not fit the rows, and searches from other starts end elsewhere.
    There the search begins from `N_ASCENTS` starts and crosses the ends, if that takes no longer than fits do: if EM
    made `MIN_SLOW_STEPS` steps before `model` (`n_steps`), and all these ascents read no more rows than the sample has.

    The search ends once its EM has visited as many pairs of a row and a component as `search_work_per_step` allows;
    crossings, once they begin, may visit `CROSSING_WORK_FACTOR` times as many. It stops if `should_stop` is true. Then
    it calls `report` with a description of each ascent, and `count` with the moves that were tried and kept. It returns
    the model after the last move that helped and EM, or `model` if EM from each start freezes a component.
    """
    settings = core_search_settings(model.family, model.n_components, model.n_features, SEARCH_START_STOPPING, [rng])
    assert model.family.algebra is not None, "made by `nearest_core_family`"
    weights, means, covariances = (each.copy() for each in (model.weights, model.means, model.covariances.array))
    is_usual, starts, n_tried, n_accepted = native_target().search(
        sample.rows, sample.weight, model.family.algebra, weights, means, covariances.reshape(-1), ridge, LIMITS,
        sample.unit, settings, n_steps, should_stop, allowed(engine.n_threads),
    )  # fmt: skip
    for n_rows, log_likelihood in starts.reshape(-1, 2):
        report(f"Search on {int(n_rows):,} rows from {log_likelihood:.5f}")
    count(int(n_tried), int(n_accepted))
    if not is_usual:
        return model
    return Model(weights, means, model.family.covariances(covariances, *means.shape), model.family)


def search_work_per_step(family: Family, n_features: int) -> float:
    """The work of a search, in steps of EM on all rows, for each step that EM made from its start."""
    if family.is_shared:
        return WORK_OF_SHARED
    return (WORK if family.kind.second is Second.FULL else WORK_OF_VARIANCES) / (n_features + 2)


def gained_by_chance(model: Model, n_rows: int) -> float:
    """What means and covariances gain by chance on distinct rows, nats per row: cpp/em/ascent.hpp."""
    algebra, d = model.family.algebra, model.n_features
    return 0.0 if algebra is None else native_target().gained_by_chance(algebra, d, model.weights, n_rows)


def least_gain(searched: Model, end: Model, n_rows: int) -> float:
    """What a search must gain over EM from its start on distinct rows, nats per row, or it is chance."""
    n_values = searched.n_features * (searched.n_features + 3) / 2
    by_chance = gained_by_chance(searched, n_rows) - gained_by_chance(end, n_rows)
    return max(0.0, by_chance) + core.LEAST_GAIN_OF_SEARCH * n_values / n_rows / n_rows


def core_search_settings(
    family: Family,
    n_components: int,
    n_features: int,
    final_stopping: StopRule,
    rngs: Sequence[np.random.Generator],
) -> SearchSettings:
    """`search_from_model` as plain values, and what each generator draws; `final_stopping` ends EM after it."""
    draws = np.empty((len(rngs), N_UNIFORM_DRAWS))
    for row, rng in zip(draws, rngs, strict=True):
        rng.random(out=row)
    assert family.algebra is not None, "made by `nearest_core_family`"
    n_parameters = family.algebra.n_parameters(n_components, n_features) + n_components * (n_features + 1) - 1
    first_rows, second_rows = (
        n_components * max(shared if family.is_shared else least, each * n_parameters // n_components)
        for each, least, shared in (SEARCH_SAMPLE_SIZES, REFINE_SAMPLE_SIZES)
    )
    kmeans_rows, by_chance = KMEANS_ROWS_PER_COMPONENT * n_components, core.OVERFIT * n_parameters / n_components
    # Where covariances depend on each other, or may do so, bounds on the gains of splits do not hold.
    is_bounded = Across.EQUAL not in family.algebra
    return SearchSettings(
        draws, (count_candidates(n_components), MAX_LLOYD_PASSES, LLOYD_TOLERANCE), _steps_of(SEARCH_START_STOPPING),
        _steps_of(REFINEMENT_STOPPING), _steps_of(final_stopping), acceptance_settings(n_components),
        max(20, 2 * n_components), max(MIN_PATIENCE, n_components),
        (MIN_ROWS_TO_SUBSAMPLE, first_rows, second_rows, kmeans_rows, MIN_KMEANS_ROWS_PER_COMPONENT * n_components),
        search_work_per_step(family, n_features), MAX_CLOSING_STEPS, MORE_STEPS, CROSSING_WORK_FACTOR,
        MISFIT_FACTOR * by_chance if is_bounded else math.inf, N_ASCENTS, MIN_SLOW_STEPS,
    )  # fmt: skip


def acceptance_settings(n_components: int) -> AcceptanceSettings:
    """When the core accepts moves."""
    patience = max(MIN_PATIENCE, n_components // 4)
    return AcceptanceSettings(
        trial_limits=_steps_of(MOVE_TRIAL), long_trial_limits=_steps_of(LONGER_TRIAL),
        limits_after_move=_steps_of(AFTER_MOVE), long_limits_after_move=_steps_of(AFTER_MOVE_LONGER),
        min_gain=MIN_MOVE_GAIN, promising_factor=PROMISING_FACTOR, quick_rejection_factor=QUICK_FACTOR,
        min_promised_gain=MIN_SPLIT_GAIN_BOUND, max_work=math.inf, max_moves=MAX_MOVES_PER_COMPONENT * n_components,
        patience=patience, reduced_patience=max(MIN_PATIENCE, patience // 2), n_first_moves=N_FIRST_MOVES,
        min_rows_per_value=MIN_ROWS_PER_VALUE, min_rows_per_flat_value=MIN_ROWS_IF_FLAT, max_flatness=MAX_FLATNESS,
    )  # fmt: skip


def _steps_of(stopping: StopRule) -> StepLimits:
    return stopping.tolerance, stopping.max_steps
