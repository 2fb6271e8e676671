"""Split-and-merge search for a higher maximum of the likelihood. The C++ core tries the moves (cpp/em/search.cpp).

The search ignores priors and noise, needs complete rows, and uses the nearest covariance structure of the C++ core.

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
from gaussmix._src.em.objective.trace import SearchReport
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
from gaussmix._src.numerics.threads import allowed_threads
from gaussmix._src.sources.array import ArraySource

# Sample sizes of the first search run and of later search runs: rows per parameter, minimum rows per component, and
# minimum rows per component if components share a covariance. The minimum is smaller if components share a covariance,
# because moves are then evaluated on all sampled rows.
SEARCH_SAMPLE_SIZES, REFINE_SAMPLE_SIZES = (2, 225, 100), (40, 1_125, 400)
INITIAL_LIMITS: StepLimits = (1e-4, 12)  # limits of EM before the first split-and-merge move
REFINEMENT_LIMITS: StepLimits = (1e-4, 30)  # limits of EM before split-and-merge moves on the larger sample
# Conditions under which the C++ core accepts split-and-merge moves
ACCEPTANCE = AcceptanceSettings(
    # limits of the EM run that tries a move on the affected rows, and of a longer run if the move is promising
    trial_limits=(1e-5, 4),
    long_trial_limits=(1e-5, 16),
    # limits of EM on all rows after a successful trial of a move, and of a longer EM run if EM gains too little
    limits_after_move=(1e-4, 15),
    long_limits_after_move=(1e-5, 45),
    min_move_gain=2e-5,  # minimum gain of an accepted move, in nats per row
    promising_factor=16,  # number of further EM steps for which the gain of a move is forecast
    min_promised_gain=0.0025,  # if no split can gain more nats per row than this, `patience` is halved
    # minimum number of distinct rows of a component, and of a nearly flat component, divided by the number of features
    # plus 1 (for unshared covariance matrices) or by 2 (for other covariances)
    min_rows_per_value=2,
    min_rows_per_flat_value=10,
    max_flatness=5e-6,  # a component with a variance below this fraction of the initial mean variance is nearly flat
)
MAX_MOVES_PER_COMPONENT = 5  # maximum number of tried moves per component
# The model does not fit the rows if the best split may gain more than this multiple of the gain expected by chance.
MISFIT_FACTOR = 4
N_ASCENTS, MIN_SLOW_STEPS = 5, 20  # number of search runs if EM is slow; minimum number of steps of slow EM
# A search may do as much work as `WORK` × (number of EM steps after k-means + `N_EXTRA_EM_STEPS`) EM steps on all rows.
# With more work, fits would take longer than in scikit-learn, where an EM step takes several times as long. `WORK` (for
# covariance matrices) and `WORK_OF_VARIANCES` (for variances) are divided by the number of features plus 2, but
# `WORK_OF_SHARED` (for one shared covariance) is not divided.
WORK, WORK_OF_VARIANCES, WORK_OF_SHARED, N_EXTRA_EM_STEPS = 55, 20, 9, 3
COMBINATION_WORK_FACTOR = 2  # limit on the work of combining results of search runs, relative to earlier work
FINAL_STEPS_FACTOR = 8  # maximum ratio of EM steps after a search to (EM steps after k-means + `N_EXTRA_EM_STEPS`)
N_UNIFORM_DRAWS = 1021  # number of random numbers of a search; prime, so that reused numbers serve other purposes
# If variances are bounded, the ridge of a search is this fraction of the smallest allowed variance. With a ridge as
# large as the smallest allowed variance, or without a ridge, the search would find a lower maximum.
RIDGE_BOUND_FRACTION = 0.1
DEFAULT_STEPS = 8  # assumed number of EM steps after k-means if `n_steps` is not given


def report_nothing(what: str) -> None:
    """Ignore a progress message. This function is the default of arguments that report the progress of a search."""


def nearest_core_family(family: Family, n_components: int, rows: Array) -> Family:
    """Return the covariance structure if the C++ core supports it, and otherwise the nearest supported structure.

    Components share a covariance in the nearest structure if they share a covariance in the given structure. For factor
    analysers, the nearest structure has covariance matrices. With few rows per component, the nearest structure has
    variances, because a component's own covariance matrix would be singular after a split.
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
    """Convert a model to another covariance structure by an M-step; return None if a covariance is singular."""
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
    search: SearchReport,
    should_stop: Callable[[], bool] = lambda: False,
    n_steps: int = DEFAULT_STEPS,
    report: Callable[[str], object] = report_nothing,
) -> Model:
    """Merge and split components on a subset of the sample, until many successive moves have been rejected.

    The search starts from `model`, with a structure and an objective that the C++ core supports, and its result is
    converted to the model's structure. If ratios of variances are bounded, the ridge is at least
    `RIDGE_BOUND_FRACTION` times the smallest variance that the bound allows for the initial model. Without a ridge, the
    search would find components that violate the bound. If there is only one component, the result is `model`.

    With more than 3 components and few rows, a second search starts from a second result of k-means. If there is no
    second search, and there are fewer than 10 components, EM also runs from two partitions into equal groups of rows.
    One partition orders the rows by distance from the overall centre, the other by the feature with the smallest
    kurtosis. With at most 3 components, for which there are few moves, EM also runs from a partition into central and
    outer rows, and from k-means. If EM from one of the partitions or from k-means reaches a higher likelihood than the
    search so far, the search starts again from the result of EM. Unless rows are few, the search then continues from
    the best result with more rows (if available) and a higher limit on the number of successive rejections. If no
    move promises a gain, the second search and the continuation are omitted. The partitions are also omitted if, in
    addition, there are more than 2 components, and no split gains much more than it gains by chance.

    A move is rejected if its gain is no larger than expected by chance. A move is also rejected if it adds a component
    with almost no distinct rows, or a nearly flat component with few distinct rows, because the data do not support
    such a component. If moves were rejected because of too few distinct rows, the search continues on the whole sample.

    If a split still promises a large gain, the model does not fit the rows, and search runs from other initialisations
    may find higher maxima. Therefore, the results of `N_ASCENTS` search runs are combined in pairs: the components of
    both results are pooled, and the least useful components are removed. To ensure that combining takes no longer than
    a fit, results are combined only if EM made `MIN_SLOW_STEPS` or more steps before the search (`n_steps`), and the
    runs together read no more rows than the sample has. If components share a covariance, results are not combined,
    because combining hardly raises the likelihood.

    The search ends when its EM steps have visited as many pairs of a row and a component as `search_steps_factor`
    allows. When results are combined, the count of pairs restarts, with a limit of `COMBINATION_WORK_FACTOR` times the
    first limit. The search stops early if `should_stop` returns true. At the end, `report` is called with a description
    of each search run, and the numbers of tried and accepted moves are added to `search`. The result is the model after
    the last accepted move and more EM steps. It is `model` if EM from every initialisation freezes a component, or if a
    covariance becomes singular when the structure is converted.
    """
    if model.n_components == 1:
        return model
    engine = engine.complete_engine
    ridge = np.maximum(objective.variance_floor, RIDGE_BOUND_FRACTION * model.family.least_variance(model.covariances))
    family = nearest_core_family(model.family, model.n_components, sample.rows)
    start = _convert_to_family(family, model, sample, engine, ridge)
    if start is None:
        return model
    settings = core_search_settings(family, start.n_components, start.n_features, INITIAL_LIMITS, [rng])
    assert family.algebra is not None, "`nearest_core_family` returns structures with an algebra"
    weights, means, covariances = (each.copy() for each in (start.weights, start.means, start.covariances.array))
    has_result, starts, n_tried, n_accepted = native_target().search(
        sample.rows, sample.weight, family.algebra, weights, means, covariances.reshape(-1), ridge, LIMITS,
        sample.unit, settings, n_steps, should_stop, allowed_threads(engine.n_threads),
    )  # fmt: skip
    for n_rows, log_likelihood in starts.reshape(-1, 2):
        report(f"Search on {int(n_rows):,} rows from {log_likelihood:.5f}")
    search.n_moves_tried += int(n_tried)
    search.n_moves_accepted += int(n_accepted)
    if not has_result:
        return model
    result = Model.from_arrays(weights, means, covariances, family)
    return _convert_to_family(model.family, result, sample, engine, ridge) or model


def least_gain(searched: Model, end: Model, n_rows: int) -> float:
    """Return the gain over EM without a search, in nats per row, above which the gain is probably not due to chance."""
    # If the core does not support the structure, nothing counts as gained by chance, as for one shared covariance.
    algebra = searched.family.algebra or Algebra(Across.EQUAL)
    return native_target().least_gain(algebra, searched.n_features, searched.weights, end.weights, n_rows)


def core_search_settings(
    family: Family, n_components: int, n_features: int, final_limits: StepLimits, rngs: Sequence[np.random.Generator]
) -> SearchSettings:
    """Return the settings of `split_and_merge` as plain values, including random numbers drawn from `rngs`."""
    draws = np.empty((len(rngs), N_UNIFORM_DRAWS))
    for row, rng in zip(draws, rngs, strict=True):
        rng.random(out=row)
    assert family.algebra is not None, "`nearest_core_family` returns structures with an algebra"
    n_parameters = family.algebra.n_parameters(n_components, n_features) + n_components * (n_features + 1) - 1
    first_rows, second_rows = (
        n_components * max(min_if_shared if family.is_shared else minimum, n_each * n_parameters // n_components)
        for n_each, minimum, min_if_shared in (SEARCH_SAMPLE_SIZES, REFINE_SAMPLE_SIZES)
    )
    # A split adds a mean and a weight, and a covariance unless all components share one.
    n_added = n_features + 1 if family.is_shared else n_parameters / n_components
    # If components share only a part of their covariances, bounds on gains of splits are not used.
    is_bounded = family.is_shared or Across.EQUAL not in family.algebra
    work = (WORK if family.kind.second is Second.FULL else WORK_OF_VARIANCES) / (n_features + 2)
    return SearchSettings(
        uniform_draws=draws,
        kmeans=(count_candidates(n_components), MAX_LLOYD_PASSES, LLOYD_TOLERANCE),
        initial_limits=INITIAL_LIMITS,
        refinement_limits=REFINEMENT_LIMITS,
        final_limits=final_limits,
        acceptance=ACCEPTANCE,
        max_moves=MAX_MOVES_PER_COMPONENT * n_components,
        patience=max(core.MIN_PATIENCE, n_components // 4),
        # If components share a covariance, each move is tried on all sampled rows, so fewer failed moves are allowed.
        refinement_patience=max(core.MIN_PATIENCE, n_components // 2 if family.is_shared else n_components),
        min_rows_to_subsample=MIN_ROWS_TO_SUBSAMPLE,
        first_rows=first_rows,
        second_rows=second_rows,
        kmeans_rows=KMEANS_ROWS_PER_COMPONENT * n_components,
        min_kmeans_rows=MIN_KMEANS_ROWS_PER_COMPONENT * n_components,
        search_steps_factor=WORK_OF_SHARED if family.is_shared else work,
        final_steps_factor=FINAL_STEPS_FACTOR,
        n_extra_em_steps=N_EXTRA_EM_STEPS,
        combination_work_factor=COMBINATION_WORK_FACTOR,
        misfit_gain=MISFIT_FACTOR * core.OVERFIT * n_added if is_bounded else math.inf,
        n_ascents=N_ASCENTS,
        min_slow_steps=MIN_SLOW_STEPS,
    )
