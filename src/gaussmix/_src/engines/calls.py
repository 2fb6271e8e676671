"""What one call of an engine takes and returns if it makes several steps of EM, or whole fits: plain values.

On a small table a step takes the core a few microseconds, but the loop in Python tens of them. Only the loop in Python
(`em/step/loop.py`) makes every kind of step: an engine stops before each unusual step, and the loop makes it.
docs/develop/architecture.md says which file owns what.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.interfaces.algebra import Algebra
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.whitening.base import Whitening
from gaussmix._src.numerics.arrays import Array, Indices, Rows

MAX_STEPS_OF_CALL = 2**31  # the core counts in 64 bits, Python without a limit


class PackedPrior(NamedTuple):
    """The prior of a mixture as plain values in rows.

    It is an `em.bayes.variational_posterior.GaussWishartPrior` or an `em.priors.posterior.ConjugatePrior`.

    Parameters
    ----------
    has_stick_breaking : whether the weights are those of a Dirichlet process.
    weight_concentration : α; for a point α − 1.
    max_components : the number of components of a Dirichlet distribution; otherwise 0.
    mean, mean_precision, dof : m (n_features,), data units; β; ν. Of a point ν is what each component has of it.
    scale : S in compact form, data units².
    scale_roots : (n_features, n_features), the rows r of S = Σ r rᵀ; None unless S is a matrix.
    log_normaliser : of the distribution of a precision, nats, up to a constant.
    total_weight, weight_unit : of all rows, and what the weights of rows were divided by.
    is_map : whether EM looks for the mixture of highest density, and for no posterior.
    """

    has_stick_breaking: bool
    weight_concentration: float
    max_components: int
    mean: Array
    mean_precision: float
    dof: float
    scale: Array
    scale_roots: Array | None
    log_normaliser: float
    total_weight: float
    weight_unit: float
    is_map: bool = False


class EMSettings(NamedTuple):
    """When to stop. Steps beyond `LIMITS` of `interfaces.parameters` are left to the loop in Python.

    Parameters
    ----------
    ridge : (n_features,), added to every variance at each step, data units². None for the automatic one of each group,
        which only `Engine.fit_many` takes.
    tolerance : stop when the objective, a mean, changes by less, nats per unit of row weight.
    max_steps : limit on the number of steps.
    previous_objective : that of the step that preceded this run (−inf if none), for the first convergence test.
    prior : the prior, if the objective has one; `Engine.fit_many` takes only that of a point.
    log_background_volume : log V of a uniform background, data units to the power of d; infinite for none. Its weight
        then comes after those of the components. `Engine.fit_many` takes it only where the mixtures are initialised.
    """

    ridge: Array | None
    tolerance: float
    max_steps: int
    previous_objective: float = float("-inf")
    prior: PackedPrior | None = None
    log_background_volume: float = float("inf")


class RunHistory(NamedTuple):
    """The mixture that some steps of EM reached, and the log-likelihoods on the way.

    Parameters
    ----------
    weights : (n_components,), after the last step, and that of a background.
    means : (n_components, n_features), after the last step, data units.
    covariances : after the last step, in compact form, data units².
    whitening : factors of these covariances, with the bits of the family's own; None if no M-step was made.
    log_likelihood : mean before each step, nats per unit of row weight; empty if the first step is unusual.
    objective : the same with the log prior, if there is one.
    """

    weights: Array
    means: Array
    covariances: Array
    whitening: Whitening | None
    log_likelihood: list[float]
    objective: list[float]


class RowGroups(NamedTuple):
    """The rows of many tables, one after the other.

    Parameters
    ----------
    rows : (n_rows, n_features), of all groups, data units.
    row_weight : (n_rows,), below 1 and positive or 0; None if all are 1.
    first_row, n_rows : (n_groups,), int64: where the rows of each group begin, and how many they are.
    total_weight : (n_groups,), sum of the row weights of each.
    weight_unit : (n_groups,), what the weights of each group were divided by: a power of 2.
    first_weight_index : (n_groups,), int64: where the weights of each group begin, so that groups may share rows, each
        with weights of its own; None where they begin with the rows.
    row_errors : as in `Block`, of all rows.
    """

    rows: Rows
    row_weight: Array | None
    first_row: NDArray[np.int64]
    n_rows: NDArray[np.int64]
    total_weight: Array
    weight_unit: Array
    first_weight_index: NDArray[np.int64] | None = None
    row_errors: Array | None = None

    @classmethod
    def from_block(cls, block: Block, weight_unit: float, n_copies: int = 1) -> RowGroups:
        """A block as the only group, its weights divided by `weight_unit`; or copies, for runs from several models."""
        first, totals = np.zeros(n_copies, np.int64), np.repeat([[block.total_weight], [weight_unit]], n_copies, axis=1)
        return cls(block.rows, block.row_weight, first, first + block.n_rows, totals[0], totals[1], first, block.error)


class KMeansSettings(NamedTuple):
    """How to find the centres of a table: greedy k-means++ (Arthur & Vassilvitskii 2007), then k-means (Lloyd 1982).

    Parameters
    ----------
    n_candidates : rows drawn for each centre but the first; the best is chosen.
    uniform_draws : (n_starts, 1 + (n_components − 1) n_candidates), from [0, 1); the same in every group. EM runs from
        each start, and the highest run is the result, the first of runs that `best_of.OBJECTIVE_ROUNDING` calls equal.
    max_passes, tolerance : of k-means; it stops when centres move by less than this part of the mean variance.
    is_scaled : whether distances are taken in `em.initialisation.sample.column_units`.
    """

    n_candidates: int
    uniform_draws: Array | None
    max_passes: int
    tolerance: float
    is_scaled: bool = False


class InitialMixtures(NamedTuple):
    """The mixture of each group at which EM begins.

    Parameters
    ----------
    weights : (n_groups, n_components), or with a column for a background.
    means : (n_groups, n_components, n_features), data units.
    covariances : (n_groups, …), each in compact form, data units².
    """

    weights: Array
    means: Array
    covariances: Array

    def select(self, groups: Any) -> tuple[Array, Array, Array]:
        """Those of some groups, as the core reads them."""
        weights, means, covariances = (np.ascontiguousarray(each[groups]) for each in self)
        return weights, means, covariances.reshape(len(weights), math.prod(covariances.shape[1:]))


StepLimits = tuple[float, int]  # of EM: tolerance, nats per unit of row weight, and limit on their number


class AcceptanceSettings(NamedTuple):
    """When moves of a search are accepted; `em.search.split_and_merge` says what each number does."""

    trial_limits: StepLimits
    long_trial_limits: StepLimits
    limits_after_move: StepLimits
    long_limits_after_move: StepLimits
    min_gain: float
    promising_factor: float
    quick_rejection_factor: float
    min_promised_gain: float
    max_work: float
    max_moves: int
    patience: int
    reduced_patience: int
    n_first_moves: int
    min_rows_per_value: float
    min_rows_per_flat_value: float
    max_flatness: float


class SearchSettings(NamedTuple):
    """A search from each start of a fit; see `em.search.split_and_merge`.

    Parameters
    ----------
    uniform_draws : (n_starts, n_draws), taken one after the other, and again from the first.
    kmeans : candidates, passes and tolerance of k-means, from which a further ascent begins.
    initial_limits, refinement_limits, final_limits : EM before an ascent on few rows, before one on more rows, and
        after the last one.
    acceptance : when moves are accepted; what is left of `search_steps_factor` replaces its `max_work`.
    swap_patience, refinement_patience : for structures with one covariance; on more rows.
    n_rows : with fewer, all are taken; of the first ascents; of the next; of k-means, and its least number of rows.
    search_steps_factor, final_steps_factor : limits on the search and on EM after it, in steps of EM on all rows: for
        each step that EM made from the start, and for `n_extra_em_steps` others.
    crossing_work_factor : times as much work is left when crossings begin.
    misfit_gain : crossings begin where the best split gains more, nats for each row divided by the number of rows.
    n_ascents, min_slow_steps : ascents that are crossed; least number of steps of EM before.
    """

    uniform_draws: Array
    kmeans: tuple[int, int, float]
    initial_limits: StepLimits
    refinement_limits: StepLimits
    final_limits: StepLimits
    acceptance: AcceptanceSettings
    swap_patience: int
    refinement_patience: int
    n_rows: tuple[int, int, int, int, int]
    search_steps_factor: float
    final_steps_factor: float
    n_extra_em_steps: int
    crossing_work_factor: float
    misfit_gain: float
    n_ascents: int
    min_slow_steps: int


class FitSettings(NamedTuple):
    """How to fit a mixture to a table, or to each of many: what a default fit does, as plain values.

    Parameters
    ----------
    structure : which covariances the family makes.
    n_components : K.
    start : how to find centres, or centres (n_components, n_features), data units: rows begin at the nearest. Or the
        component of each row of a single group, (n_rows,), int32, or the mixtures at which EM begins. With all but
        seeds rows are taken as they are, and `em_settings` has a ridge.
    em_settings : when EM ends. Without steps there is the first M-step alone.
    ridge_fraction, ridge_trim_fraction : of the automatic ridge; see `em.initialisation.sample`.
    min_column_spread : a group in which a column varies by less is unusual, data units.
    search : between the start and EM; None if there is none.
    unit : (n_features,), of distances from given centres, data units; None for 1.
    """

    structure: Algebra
    n_components: int
    start: KMeansSettings | Array | NDArray[np.int32] | InitialMixtures
    em_settings: EMSettings
    ridge_fraction: float = 0.0
    ridge_trim_fraction: float = 0.0
    min_column_spread: float = 0.0
    search: SearchSettings | None = None
    unit: Array | None = None


class GroupFits(NamedTuple):
    """The fits of many groups.

    Parameters
    ----------
    weights : (n_groups, n_components), or with a column for a background.
    means : (n_groups, n_components, n_features), data units.
    covariances : (n_groups, …), each in compact form, data units².
    ridge : (n_groups, n_features), data units².
    n_steps : (n_groups,), of the highest run; −1 for a group that is unusual, or does not suit the fast path: Python
        must fit it, and its numbers in the other arrays mean nothing. With several starts, a group with a run that ends
        before EM does is unusual.
    has_converged : (n_groups,), whether the last step changed the log-likelihood by less than the tolerance.
    log_likelihood : mean before each step, nats per unit of row weight, one group after the other.
    objective : the same with the log prior; without one the log-likelihoods.
    whitening : factors of the covariances of a single group, with the bits of the family's own; None for several.
    search : (n_groups, 3), moves that a search tried and kept, and its gain as in `SearchReport`; NaN without a search.
    """

    weights: Array
    means: Array
    covariances: Array
    ridge: Array
    n_steps: NDArray[np.int64]
    has_converged: NDArray[np.bool_]
    log_likelihood: Array
    objective: Array
    whitening: Whitening | None = None
    search: Array | None = None

    def expand_to_groups(self, indices: Indices, n_groups: int) -> GroupFits:
        """These among more groups; Python fits the others."""
        if len(indices) == n_groups:
            return self
        n_all: list[Any] = [np.zeros((n_groups, *some.shape[1:]), some.dtype) for some in self[:6]]
        n_all[self._fields.index("n_steps")][:] = -1
        for whole, some in zip(n_all, self[:6], strict=True):
            whole[indices] = some
        return GroupFits(*[*n_all, self.log_likelihood, self.objective])

    def run_history(self, group: int = 0) -> RunHistory | None:
        """The history of a group; None if Python must fit it."""
        if self.n_steps[group] < 0:
            return None
        first = int(np.maximum(self.n_steps[:group], 0).sum()) if group else 0
        steps = slice(first, first + self.n_steps[group])
        log_likelihood, objective = self.log_likelihood[steps].tolist(), self.objective[steps].tolist()
        mixture = self.weights[group], self.means[group], self.covariances[group]
        return RunHistory(*mixture, self.whitening, log_likelihood, objective)
