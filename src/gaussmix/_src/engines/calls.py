"""Arguments and results of calls to the C++ core that run several EM steps or complete fits.

On a small table, an EM step takes a few microseconds in the C++ core, but tens of microseconds in the Python loop
(`em/step/loop.py`). Because only the Python loop supports every kind of step, the core returns before each step that
the core does not support, and the Python loop runs that step.
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

MAX_STEPS_OF_CALL = 2**31  # stands for an unlimited number of steps


class PackedPrior(NamedTuple):
    """Prior of a mixture as plain values for the C++ core.

    The values describe a `ConjugatePrior` (em.priors) if `is_map` is true, and otherwise a `GaussWishartPrior`.

    Parameters
    ----------
    has_stick_breaking : whether the weights have a Dirichlet process prior.
    weight_concentration : concentration α of the prior on the weights; α − 1 if `is_map` is true.
    max_components : number of components if the weights have a Dirichlet prior; 0 for a Dirichlet process prior, or if
        `is_map` is true.
    mean, mean_precision, dof : prior mean m, (n_features,), in data units; precision β of the mean; degrees of freedom
        ν. If `is_map` is true, ν is the number that the prior adds to each component's degrees of freedom.
    scale : scale S of the prior on covariances, in the form of one covariance in `covariances_`, in data units².
    scale_roots : rows r with S = Σ r rᵀ, (n_features, n_features), if S is a matrix; otherwise None.
    log_normaliser : log normalising constant of the prior on a precision matrix, in nats, up to an additive constant.
    total_weight, weight_unit : total weight of all rows, and the number by which the row weights were divided.
    is_map : whether EM finds the maximum of the posterior density (MAP) instead of a variational posterior.
    has_fixed_weights : whether EM keeps the initial weights of all components; only if `is_map` is true.
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
    has_fixed_weights: bool = False


class EMSettings(NamedTuple):
    """Settings of an EM run in the C++ core. Steps that exceed `interfaces.parameters.LIMITS` are left to Python.

    Parameters
    ----------
    ridge : number that each step adds to the variances of each feature, (n_features,), in data units². If `ridge` is
        None, which only `Engine.fit_many` supports, the ridge of each group is computed from the group's rows.
    tolerance : EM has converged if a step changes the mean objective by less than this, in nats per unit of row weight.
    max_steps : maximum number of EM steps.
    previous_objective : last objective of an earlier call, for the first convergence test; −inf in the first call and
        in `Engine.fit_many`.
    prior : prior of the mixture; None without a prior. `Engine.fit_many` supports only priors whose `is_map` is true.
    log_noise_volume : log of the volume of a uniform noise component, in data units to the power of n_features;
        infinite without a noise component. The weight of the noise component comes last among the weights.
        `Engine.fit_many` supports a noise component only if the fit starts from `InitialMixtures`.
    """

    ridge: Array | None
    tolerance: float
    max_steps: int
    previous_objective: float = float("-inf")
    prior: PackedPrior | None = None
    log_noise_volume: float = float("inf")


class RunHistory(NamedTuple):
    """Mixture after several EM steps, with the log-likelihood before each step.

    Parameters
    ----------
    weights : weights after the last step, (n_components,), with the weight of a noise component as last entry.
    means : means after the last step, (n_components, n_features), in data units.
    covariances : covariances after the last step, in the form of `covariances_`, in data units².
    whitening : whitening factors of `covariances`, identical to `Covariances.whitening`; None if no step was run.
    log_likelihood : mean log-likelihood before each step, in nats per unit of row weight; empty if no step was run.
    objective : mean objective before each step: the mean log-likelihood, plus the log prior if there is a prior.
    """

    weights: Array
    means: Array
    covariances: Array
    whitening: Whitening | None
    log_likelihood: list[float]
    objective: list[float]


class RowGroups(NamedTuple):
    """Rows of many tables, called groups, which are stored one after the other.

    Parameters
    ----------
    rows : rows of all groups, (n_rows, n_features), in data units.
    row_weight : row weights divided by `weight_unit`, (n_rows,), in [0, 1); None if all weights are 1.
    first_row, n_rows : index of the first row and number of rows of each group, (n_groups,), int64.
    total_weight : sum of the row weights of each group, (n_groups,).
    weight_unit : power of 2 by which the weights of each group were divided, (n_groups,).
    first_weight_index : index of each group's first weight in `row_weight`, (n_groups,), int64, so that groups can
        share rows but have different weights; None if these indices equal `first_row`.
    row_errors : measurement errors of all rows, in the form of `Block.error`.
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
        """Make `n_copies` groups that share all rows of a block; the block's weights were divided by `weight_unit`."""
        first, totals = np.zeros(n_copies, np.int64), np.repeat([[block.total_weight], [weight_unit]], n_copies, axis=1)
        return cls(block.rows, block.row_weight, first, first + block.n_rows, totals[0], totals[1], first, block.error)


class KMeansSettings(NamedTuple):
    """Settings of an initialisation by greedy k-means++ (Arthur & Vassilvitskii 2007) and k-means (Lloyd 1982).

    Parameters
    ----------
    n_candidates : number of rows that k-means++ draws for each centre after the first; the best of these rows is used.
    uniform_draws : random numbers in [0, 1), (n_starts, 1 + (n_components − 1) n_candidates), used for every group. EM
        runs from each of the n_starts initialisations, and the best run is kept. Runs whose objectives differ by at
        most `best_of.OBJECTIVE_ROUNDING` count as equal, and the first of these runs is kept.
    max_passes, tolerance : maximum number of passes of k-means, and its tolerance as a fraction of the mean variance.
    is_scaled : whether columns are divided by `em.initialisation.sample.column_units` to compute distances.
    """

    n_candidates: int
    uniform_draws: Array
    max_passes: int
    tolerance: float
    is_scaled: bool = False


class InitialMixtures(NamedTuple):
    """Initial mixtures, one for each group.

    Parameters
    ----------
    weights : weights of the components, (n_groups, n_components), with one more column for a noise component.
    means : means of the components, (n_groups, n_components, n_features), in data units.
    covariances : covariances of each group, (n_groups, …), in the form of `covariances_`, in data units².
    """

    weights: Array
    means: Array
    covariances: Array

    def select(self, groups: Any) -> InitialMixtures:
        """Return the initial mixtures of some groups, as contiguous arrays for the C++ core."""
        weights, means, covariances = (np.ascontiguousarray(each[groups]) for each in self)
        return InitialMixtures(weights, means, covariances.reshape(len(weights), math.prod(covariances.shape[1:])))


StepLimits = tuple[float, int]  # tolerance of EM in nats per unit of row weight, and maximum number of steps


class AcceptanceSettings(NamedTuple):
    """Conditions for accepting split-and-merge moves; `em.search.split_and_merge` explains every value."""

    trial_limits: StepLimits
    long_trial_limits: StepLimits
    limits_after_move: StepLimits
    long_limits_after_move: StepLimits
    min_move_gain: float
    promising_factor: float
    min_promised_gain: float
    min_rows_per_value: float
    min_rows_per_flat_value: float
    max_flatness: float


class SearchSettings(NamedTuple):
    """Settings of the split-and-merge search from each start of a fit; see `em.search.split_and_merge`.

    Parameters
    ----------
    uniform_draws : random numbers in [0, 1), (n_starts, n_draws). The search uses the numbers in order; after the last
        number, it uses the first number again, and so on.
    kmeans : the fields `n_candidates`, `max_passes` and `tolerance` of `KMeansSettings`, for a further initialisation.
    initial_limits, refinement_limits, final_limits : limits of the EM runs before a search run on few rows, before a
        search run on more rows, and after the last search run.
    acceptance : conditions for accepting split-and-merge moves.
    max_moves, patience : maximum numbers of tried moves and of consecutive rejected moves in a search run.
    refinement_patience : value that replaces `patience` in search runs on more rows.
    min_rows_to_subsample : a search uses all rows if the data have fewer rows than this.
    first_rows, second_rows : sample sizes of the first and of later search runs, in rows.
    kmeans_rows, min_kmeans_rows : sample size of k-means, which uses all rows if the sample has fewer distinct rows
        than `min_kmeans_rows`.
    search_steps_factor, final_steps_factor : limits on the work of the search, and of EM after the search. Each limit
        is a number of EM steps on all rows: factor × (EM steps before the search + `n_extra_em_steps`).
    combination_work_factor : limit on the work of combining search results, divided by the limit on search work.
    misfit_gain : the results of several search runs are combined if the best split may gain more than `misfit_gain` /
        n_rows nats per row.
    n_ascents, min_slow_steps : number of results to combine, and minimum number of EM steps before such a search.
    """

    uniform_draws: Array
    kmeans: tuple[int, int, float]
    initial_limits: StepLimits
    refinement_limits: StepLimits
    final_limits: StepLimits
    acceptance: AcceptanceSettings
    max_moves: int
    patience: int
    refinement_patience: int
    min_rows_to_subsample: int
    first_rows: int
    second_rows: int
    kmeans_rows: int
    min_kmeans_rows: int
    search_steps_factor: float
    final_steps_factor: float
    n_extra_em_steps: int
    combination_work_factor: float
    misfit_gain: float
    n_ascents: int
    min_slow_steps: int


class FitSettings(NamedTuple):
    """Settings of a default fit to one table, or of fits to many tables.

    Parameters
    ----------
    structure : covariance structure.
    n_components : number of components.
    start : one of four initialisations: `KMeansSettings`; `InitialMixtures`; labels (n_rows,), int32, for a single
        group; or centres (n_components, n_features), in data units, where each row is assigned to the nearest centre.
        The C++ core rescales columns and computes a ridge only for `KMeansSettings`. For the other three
        initialisations, `em_settings` must have a ridge.
    em_settings : settings of EM. If `em_settings.max_steps` is 0, only the first M-step is run.
    ridge_fraction, ridge_trim_fraction : parameters of the automatic ridge, explained in `em.initialisation.sample`.
    min_column_spread : minimum spread of a column in a group, in data units; Python fits groups with a smaller spread.
    search : settings of a split-and-merge search; None without a search.
    unit : scales by which features are divided for distances from centres, (n_features,), in data units; None for 1.
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
    """Fitted mixtures of many groups.

    Parameters
    ----------
    weights : weights of the components, (n_groups, n_components), with one more column for a noise component.
    means : means of the components, (n_groups, n_components, n_features), in data units.
    covariances : covariances of each group, (n_groups, …), in the form of `covariances_`, in data units².
    ridge : ridge that was added to the variances of each group, (n_groups, n_features), in data units².
    n_steps : number of EM steps of the best run of each group, (n_groups,). The value −1 marks a group that Python must
        fit, because the core does not support the group or a step, or because one of several runs ended early. For such
        a group, all other fields are meaningless.
    has_converged : whether the last step of each group changed the objective by less than the tolerance, (n_groups,).
    log_likelihood : mean log-likelihood before each step, in nats per unit of row weight, group by group.
    objective : mean objective before each step, including a log prior, group by group.
    whitening : whitening factors of a single group, bit-identical to `Covariances.whitening`; None if there are
        several groups.
    search : number of tried moves, number of accepted moves and `SearchReport.gain`, (n_groups, 3); NaN if no search.
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
        """Return fits of `n_groups` groups: these fits at `indices`; all other groups are marked for Python to fit."""
        if len(indices) == n_groups:
            return self
        whole: list[Any] = [np.zeros((n_groups, *result.shape[1:]), result.dtype) for result in self[:6]]
        whole[self._fields.index("n_steps")][:] = -1
        for array, result in zip(whole, self[:6], strict=True):
            array[indices] = result
        return GroupFits(*[*whole, self.log_likelihood, self.objective])

    def run_history(self, group: int = 0) -> RunHistory | None:
        """Return the history of one group, or None if Python must fit this group."""
        if self.n_steps[group] < 0:
            return None
        first = int(np.maximum(self.n_steps[:group], 0).sum()) if group else 0
        steps = slice(first, first + self.n_steps[group])
        log_likelihood, objective = self.log_likelihood[steps].tolist(), self.objective[steps].tolist()
        mixture = self.weights[group], self.means[group], self.covariances[group]
        return RunHistory(*mixture, self.whitening, log_likelihood, objective)
