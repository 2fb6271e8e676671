"""Split-and-merge search for a higher maximum of the likelihood; the C++ core tries the moves (cpp/em/search.cpp).

The search ignores priors, the background and incomplete rows, and uses the nearest structure that the core supports.

See Ueda, Nakano, Ghahramani & Hinton (2000), Neural Computation 12.
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

# Sizes of the samples of the first and second ascents: rows per parameter, minimum rows per component, and the minimum
# if components share a covariance, because each move is then evaluated on all rows.
SEARCH_SAMPLE_SIZES, REFINE_SAMPLE_SIZES = (2, 225, 100), (40, 1_125, 400)
SEARCH_START_STOPPING = StopRule(1e-4, 12)  # limits of EM from the start
# Limits of EM after an accepted move, and of longer EM if that is not enough.
AFTER_MOVE, AFTER_MOVE_LONGER = StopRule(1e-4, 15), StopRule(1e-5, 45)
REFINEMENT_STOPPING = StopRule(1e-4, 30)  # limits of EM on the larger sample
# Limits of EM that tries a move, and of longer EM while the move is promising.
MOVE_TRIAL, LONGER_TRIAL = StopRule(1e-5, 4), StopRule(1e-5, 16)
PROMISING_FACTOR = 16  # a move is promising if this many further gains like the last would suffice
# If components share a covariance, each move is evaluated on all rows. A move is then rejected one step earlier if
# `QUICK_FACTOR` times `PROMISING_FACTOR` further gains like the last would not suffice. A round ends if its first
# `N_FIRST_MOVES` moves, which have the highest bounds, are all rejected in this way.
QUICK_FACTOR, N_FIRST_MOVES = 3, 5
MIN_MOVE_GAIN = 2e-5  # least gain of an accepted move, nats per row
MIN_PATIENCE = 4  # least number of consecutive moves without success that ends a search
MIN_SPLIT_GAIN_BOUND = 0.0025  # nats per row; half the patience is enough if the bound on every split is lower
MAX_MOVES_PER_COMPONENT = 5  # largest number of moves per component
MIN_ROWS_PER_VALUE, MIN_ROWS_IF_FLAT = 2, 10  # minimum of distinct rows per value of a mean and a variance
MAX_FLATNESS = 5e-6  # largest variance of a nearly flat component, relative to the mean covariance at the start
# If the bound on the gain of the best split is more than this multiple of the gain by chance, the model does not fit.
MISFIT_FACTOR = 4
N_ASCENTS, MIN_SLOW_STEPS = 5, 20  # number of starts if EM is slow, and number of steps from which EM counts as slow
# Work of a search in steps of EM on all rows, for each step that EM made from k-means and for `MORE_STEPS` further
# steps. With more work, fits would take longer than in scikit-learn, whose steps take several times as long. For
# matrices and for variances the work is divided by the number of features plus 2; for one shared covariance it is not.
WORK, WORK_OF_VARIANCES, WORK_OF_SHARED, MORE_STEPS = 55, 20, 9, 3
CROSSING_WORK_FACTOR = 2  # factor on the remaining work when crossings begin
MAX_CLOSING_STEPS = 8  # largest number of EM steps after a search, for each step of EM from k-means
N_UNIFORM_DRAWS = 1021  # prime number, so that numbers that are used again serve another purpose
# The ridge of a search is this fraction of the least variance that a bound allows. The whole variance would blur other
# components, and without a ridge the search would end lower, too.
RIDGE_BOUND_FRACTION = 0.1
DEFAULT_STEPS = 8  # assumed number of EM steps from k-means if the actual number is not given


def report_nothing(what: str) -> None:
    """Ignore a message; this is the default of `report`."""


def ignore(n_tried: int, n_accepted: int) -> None:
    """Ignore numbers of moves; this is the default of `count`."""


def nearest_core_family(family: Family, n_components: int, rows: Array) -> Family:
    """Return the structure if the core supports it, and otherwise one with as many covariances of the same form.

    For factor analysers the covariances are matrices. They are variances if there are too few rows per component for
    the core to split matrices, because the covariances of the halves would be nearly singular.
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
    """Convert a model to another structure by an M-step from its responsibilities; None if a covariance is singular."""
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
    """Search without the structures and objective terms that the core does not support, and convert the result back.

    If ratios of variances are bounded, `RIDGE_BOUND_FRACTION` of the least variance that the bound allows at the start
    serves as a ridge, because the search would otherwise find narrow components that the bound excludes.
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
    """Merge and split components until no move has helped for some time, on a sufficient part of the sample.

    The search begins from the model. With fewer than 10 components, EM also begins from equal groups of rows, ordered
    by their distance from the overall centre and by the feature with the least kurtosis. With at most 3 components,
    which have few moves, EM also begins from a core and its tails, and from k-means. If EM ends higher than the search
    so far, the search begins again there. With few rows and more components, the search begins from another k-means
    start instead. The better result continues with more patience and, if there are more, with more rows. Without hope
    of a gain by moves, the second start and the continuation are left out.

    A move is rejected if it gains no more than chance, or adds a component with almost no distinct rows, or a nearly
    flat component with few distinct rows, because the data do not support such maxima. If moves were rejected, the
    search continues on the whole sample, in which a component may have enough rows.

    If a split still promises a large gain, the model does not fit the rows, and searches from other starts end
    elsewhere. The search then begins from `N_ASCENTS` starts and crosses their results, if that takes no longer than
    fits do: EM made `MIN_SLOW_STEPS` steps before `model` (`n_steps`), and all ascents together read no more rows than
    the sample has.

    The search ends when its EM has visited as many pairs of a row and a component as `search_work_per_step` allows;
    crossings may visit `CROSSING_WORK_FACTOR` times as many. The search stops early if `should_stop` returns true. At
    the end `report` is called with a description of each ascent, and `count` with the moves tried and accepted. Return
    the model after the last successful move and EM, or `model` if EM from each start freezes a component.
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
    """Return the work of a search, in steps of EM on all rows, for each step that EM made from its start."""
    if family.is_shared:
        return WORK_OF_SHARED
    return (WORK if family.kind.second is Second.FULL else WORK_OF_VARIANCES) / (n_features + 2)


def gained_by_chance(model: Model, n_rows: int) -> float:
    """Return the gain of means and covariances by chance on distinct rows, nats per row; see cpp/em/ascent.hpp."""
    algebra, d = model.family.algebra, model.n_features
    return 0.0 if algebra is None else native_target().gained_by_chance(algebra, d, model.weights, n_rows)


def least_gain(searched: Model, end: Model, n_rows: int) -> float:
    """Return the gain over EM, nats per row, up to which the result of a search on distinct rows may be chance."""
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
    """Convert the settings of `search_from_model`, and draws of each generator, to plain values."""
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
    # If covariances depend on each other, or may depend on each other, the bounds on the gains of splits do not hold.
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
    """Return the conditions under which the core accepts moves."""
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
