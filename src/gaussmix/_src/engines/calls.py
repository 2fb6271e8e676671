"""Arguments and results of the calls with which the C++ core makes several steps of EM, or whole fits.

On a small table the core makes a step in a few microseconds, while the loop in Python takes tens of microseconds. Only
the loop in Python (`em/step/loop.py`) supports every kind of step, so an engine stops before each unusual step and
leaves that step to the loop. docs/develop/architecture.md lists which file owns what.
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

MAX_STEPS_OF_CALL = 2**31  # the core counts steps in 64 bits, and Python without a limit


class PackedPrior(NamedTuple):
    """Prior of a mixture as plain values.

    The values describe a `GaussWishartPrior` (em.bayes), or a `ConjugatePrior` (em.priors) if `is_map` is true.

    Parameters
    ----------
    has_stick_breaking : whether the weights have a Dirichlet process prior.
    weight_concentration : α; with `is_map`, α − 1.
    max_components : number of components of a Dirichlet distribution; 0 for a Dirichlet process.
    mean, mean_precision, dof : m (n_features,), data units; β; ν (what the prior adds to each component if `is_map`).
    scale : S in compact form, data units².
    scale_roots : (n_features, n_features), the rows r of S = Σ r rᵀ; None unless S is a matrix.
    log_normaliser : log normaliser of the distribution of a precision, nats, up to a constant.
    total_weight, weight_unit : total weight of all rows, and the divisor of the row weights.
    is_map : whether EM finds the mixture of highest posterior density instead of a variational posterior.
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
    """Conditions for stopping EM. Steps beyond `interfaces.parameters.LIMITS` are left to the loop in Python.

    Parameters
    ----------
    ridge : (n_features,), added to every variance at each step, data units². None for the automatic ridge of each
        group, which only `Engine.fit_many` supports.
    tolerance : stop when the objective, a mean, changes by less than this, nats per unit of row weight.
    max_steps : largest number of steps.
    previous_objective : objective before this run, for the first convergence test; −inf if there was no earlier step.
    prior : the prior, if the objective has one; `Engine.fit_many` supports it only with `is_map`.
    log_background_volume : log V of a uniform background, data units to the power of d, or infinite. The background's
        weight comes last. `Engine.fit_many` supports a background only with `InitialMixtures`.
    """

    ridge: Array | None
    tolerance: float
    max_steps: int
    previous_objective: float = float("-inf")
    prior: PackedPrior | None = None
    log_background_volume: float = float("inf")


class RunHistory(NamedTuple):
    """Mixture that some steps of EM have reached, with the log-likelihood before each step.

    Parameters
    ----------
    weights : (n_components,), after the last step, followed by the weight of a background if there is one.
    means : (n_components, n_features), after the last step, data units.
    covariances : after the last step, in compact form, data units².
    whitening : factors of these covariances, bit-identical to the structure's own; None if no step was made.
    log_likelihood : mean before each step, nats per unit of row weight; empty if the first step is unusual.
    objective : mean objective before each step, which includes the log prior if there is one.
    """

    weights: Array
    means: Array
    covariances: Array
    whitening: Whitening | None
    log_likelihood: list[float]
    objective: list[float]


class RowGroups(NamedTuple):
    """Rows of many tables (groups), one table after the other.

    Parameters
    ----------
    rows : (n_rows, n_features), of all groups, data units.
    row_weight : (n_rows,), each at least 0 and below 1; None if all weights are 1.
    first_row, n_rows : (n_groups,), int64, index of the first row of each group, and number of its rows.
    total_weight : (n_groups,), sum of the row weights of each group.
    weight_unit : (n_groups,), power of 2 by which the weights of each group were divided.
    first_weight_index : (n_groups,), int64, index of the first weight of each group, so that groups can share rows with
        different weights; None if it equals `first_row`.
    row_errors : measurement errors of all rows, as `Block.error`.
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
        """Make `n_copies` groups that share the rows of a block; `weight_unit` is the divisor of its weights."""
        first, totals = np.zeros(n_copies, np.int64), np.repeat([[block.total_weight], [weight_unit]], n_copies, axis=1)
        return cls(block.rows, block.row_weight, first, first + block.n_rows, totals[0], totals[1], first, block.error)


class KMeansSettings(NamedTuple):
    """Settings for finding centres: greedy k-means++ (Arthur & Vassilvitskii 2007), then k-means (Lloyd 1982).

    Parameters
    ----------
    n_candidates : number of rows drawn for each centre but the first; the best of them becomes the centre.
    uniform_draws : (n_starts, 1 + (n_components − 1) n_candidates), in [0, 1), the same in every group. EM runs from
        each start, and the best run is kept, the first of runs that differ by at most `best_of.OBJECTIVE_ROUNDING`.
    max_passes, tolerance : limits of k-means; the tolerance is a fraction of the mean variance of the features.
    is_scaled : whether distances are measured in `em.initialisation.sample.column_units`.
    """

    n_candidates: int
    uniform_draws: Array | None
    max_passes: int
    tolerance: float
    is_scaled: bool = False


class InitialMixtures(NamedTuple):
    """Mixture from which EM begins, for each group.

    Parameters
    ----------
    weights : (n_groups, n_components), with a further column if there is a background.
    means : (n_groups, n_components, n_features), data units.
    covariances : (n_groups, …), data units², each in compact form.
    """

    weights: Array
    means: Array
    covariances: Array

    def select(self, groups: Any) -> tuple[Array, Array, Array]:
        """Return the mixtures of some groups in the form that the core reads."""
        weights, means, covariances = (np.ascontiguousarray(each[groups]) for each in self)
        return weights, means, covariances.reshape(len(weights), math.prod(covariances.shape[1:]))


StepLimits = tuple[float, int]  # tolerance of EM, nats per unit of row weight, and limit on the number of steps


class AcceptanceSettings(NamedTuple):
    """Conditions for accepting split-and-merge moves; `em.search.split_and_merge` explains each value."""

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
    """Settings of a split-and-merge search from each start of a fit; see `em.search.split_and_merge`.

    Parameters
    ----------
    uniform_draws : (n_starts, n_draws), used one after the other, and then again from the first.
    kmeans : number of candidates, number of passes and tolerance of the k-means from which a further ascent begins.
    initial_limits, refinement_limits, final_limits : limits of EM before an ascent on few rows, before an ascent on
        more rows, and after the last ascent.
    acceptance : conditions for accepting moves; the rest of `search_steps_factor` replaces `max_work`.
    swap_patience, refinement_patience : patience for structures with one shared covariance, and on more rows.
    n_rows : five numbers of rows: below the first all rows are used; then for the first ascents, for the next ascents,
        for k-means, and the minimum for k-means.
    search_steps_factor, final_steps_factor : limits on the search and on EM after it, in steps of EM on all rows, per
        step that EM made from the start plus `n_extra_em_steps`.
    crossing_work_factor : factor on the remaining work when crossings begin.
    misfit_gain : crossings begin if the best split gains more than `misfit_gain` / n_rows nats per row.
    n_ascents, min_slow_steps : number of ascents that are crossed, and minimum number of EM steps before crossings.
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
    """Settings of a default fit to one table, or of fits to many tables.

    Parameters
    ----------
    structure : covariance structure.
    n_components : number of components.
    start : `KMeansSettings`, or centres (n_components, n_features), data units, to the nearest of which each row is
        assigned, or labels (n_rows,), int32, of a single group, or `InitialMixtures`. Unless centres are found by
        k-means, rows are not rescaled and `em_settings` has a ridge.
    em_settings : conditions for stopping EM. With `max_steps` 0 only the first M-step is made.
    ridge_fraction, ridge_trim_fraction : parameters of the automatic ridge; see `em.initialisation.sample`.
    min_column_spread : a group is unusual if a column varies by less than this, data units.
    search : settings of the search between the start and EM; None without a search.
    unit : (n_features,), units of the distances from given centres, data units; None for 1.
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
    """Fits of many groups.

    Parameters
    ----------
    weights : (n_groups, n_components), with a further column if there is a background.
    means : (n_groups, n_components, n_features), data units.
    covariances : (n_groups, …), data units², each in compact form.
    ridge : (n_groups, n_features), data units².
    n_steps : (n_groups,), number of steps of the highest run. −1 marks a group that Python must fit, because it is
        unusual, not supported, or has several starts of which one stopped early; its other values have no meaning.
    has_converged : (n_groups,), whether the last step changed the objective by less than the tolerance.
    log_likelihood : mean log-likelihood before each step, nats per unit of row weight, one group after the other.
    objective : mean objective before each step, with the log prior if there is one.
    whitening : factors of the covariances of a single group, bit-identical to the structure's own; None for several.
    search : (n_groups, 3), moves tried, moves accepted, and gain as in `SearchReport`; NaN without a search.
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
        """Return fits of `n_groups` groups, with these fits at `indices`; Python must fit all other groups."""
        if len(indices) == n_groups:
            return self
        n_all: list[Any] = [np.zeros((n_groups, *some.shape[1:]), some.dtype) for some in self[:6]]
        n_all[self._fields.index("n_steps")][:] = -1
        for whole, some in zip(n_all, self[:6], strict=True):
            whole[indices] = some
        return GroupFits(*[*n_all, self.log_likelihood, self.objective])

    def run_history(self, group: int = 0) -> RunHistory | None:
        """Return the history of a group; None if Python must fit the group."""
        if self.n_steps[group] < 0:
            return None
        first = int(np.maximum(self.n_steps[:group], 0).sum()) if group else 0
        steps = slice(first, first + self.n_steps[group])
        log_likelihood, objective = self.log_likelihood[steps].tolist(), self.objective[steps].tolist()
        mixture = self.weights[group], self.means[group], self.covariances[group]
        return RunHistory(*mixture, self.whitening, log_likelihood, objective)
