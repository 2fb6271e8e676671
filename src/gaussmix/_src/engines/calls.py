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

    It is an `em.bayes.approximation.GaussWishart` or an `em.priors.posterior.Conjugate`.

    Parameters
    ----------
    has_sticks : whether the weights are those of a Dirichlet process.
    alpha : α; for a point α − 1.
    max_components : the number of components of a Dirichlet distribution; otherwise 0.
    mean, precision, dof : m (n_features,), data units; β; ν. Of a point ν is what each component has of it.
    scale : S in compact form, data units².
    roots : (n_features, n_features), the rows r of S = Σ r rᵀ; None unless S is a matrix.
    log_normaliser : of the distribution of a precision, nats, up to a constant.
    row_weight, unit : of all rows, and what the weights of rows were divided by.
    is_of_point : whether EM looks for the mixture of highest density, and for no posterior.
    """

    has_sticks: bool
    alpha: float
    max_components: int
    mean: Array
    precision: float
    dof: float
    scale: Array
    roots: Array | None
    log_normaliser: float
    row_weight: float
    unit: float
    is_of_point: bool = False


class Control(NamedTuple):
    """When to stop. Steps beyond `LIMITS` of `interfaces.parameters` are left to the loop in Python.

    Parameters
    ----------
    ridge : (n_features,), added to every variance at each step, data units². None for the automatic one of each group,
        which only `Engine.fit_many` takes.
    tolerance : stop when the objective, a mean, changes by less, nats per unit of row weight.
    max_steps : limit on the number of steps.
    previous : the objective of the step that preceded this run (−inf if none); used for the first convergence test.
    packed_prior : the prior, if the objective has one; `Engine.fit_many` takes only that of a point.
    log_volume : log V of a uniform background, data units to the power of d; infinite for none. Its weight then comes
        after those of the components. `Engine.fit_many` takes it only where the mixtures are initialised.
    """

    ridge: Array | None
    tolerance: float
    max_steps: int
    previous: float = float("-inf")
    packed_prior: PackedPrior | None = None
    log_volume: float = float("inf")


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


class Groups(NamedTuple):
    """The rows of many tables, one after the other.

    Parameters
    ----------
    rows : (n_rows, n_features), of all groups, data units.
    row_weight : (n_rows,), below 1 and positive or 0; None if all are 1.
    first, size : (n_groups,), int64: where the rows of each group begin, and how many they are.
    total_weight : (n_groups,), sum of the row weights of each.
    unit : (n_groups,), what the weights of each group were divided by: a power of 2.
    first_weight : (n_groups,), int64: where the weights of each group begin, so that groups may share rows, each with
        weights of its own; None where they begin with the rows.
    error : as in `Block`, of all rows.
    """

    rows: Rows
    row_weight: Array | None
    first: NDArray[np.int64]
    size: NDArray[np.int64]
    total_weight: Array
    unit: Array
    first_weight: NDArray[np.int64] | None = None
    error: Array | None = None

    @classmethod
    def from_block(cls, block: Block, unit: float, n_copies: int = 1) -> Groups:
        """A block as the only group, its weights divided by `unit`; or so many times, for runs from several models."""
        first, totals = np.zeros(n_copies, np.int64), np.array([[block.total_weight] * n_copies, [unit] * n_copies])
        return cls(block.rows, block.row_weight, first, first + block.n_rows, totals[0], totals[1], first, block.error)


class Seeds(NamedTuple):
    """How to find the centres of a table: greedy k-means++ (Arthur & Vassilvitskii 2007), then k-means (Lloyd 1982).

    Parameters
    ----------
    n_candidates : rows drawn for each centre but the first; the best is chosen.
    uniform : (n_starts, 1 + (n_components − 1) n_candidates), drawn from [0, 1); the same in every group. EM runs from
        each start, and the highest run is the result, the first of runs that `best_of.ROUNDING_OF_RUNS` calls equal.
    max_passes, tolerance : of k-means; it stops when centres move by less than this part of the mean variance.
    """

    n_candidates: int
    uniform: Array | None
    max_passes: int
    tolerance: float


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

    def select(self, chosen: Any) -> tuple[Array, Array, Array]:
        """Those of some groups, as the core reads them."""
        weights, means, covariances = (np.ascontiguousarray(each[chosen]) for each in self)
        return weights, means, covariances.reshape(len(weights), math.prod(covariances.shape[1:]))


Steps = tuple[float, int]  # of EM: tolerance, nats per unit of row weight, and limit on their number


class AcceptanceSettings(NamedTuple):
    """When moves of a search are accepted; `em.search.split_and_merge` says what each number does."""

    first: Steps
    longer: Steps
    after_move: Steps
    after_more: Steps
    gain: float
    promising_factor: float
    quick_factor: float
    min_promise: float
    max_work: float
    max_moves: int
    patience: int
    less_patience: int
    first_moves: int
    min_rows: float
    min_rows_if_flat: float
    flat: float


class SearchSettings(NamedTuple):
    """A search from each start of a fit; see `em.search.split_and_merge`.

    Parameters
    ----------
    least_weight : of a group that is searched, as its weights were given; others end with EM alone.
    draws : (n_starts, n_draws), taken one after the other, and again from the first.
    seeds : candidates, passes and tolerance of k-means, from which a further ascent begins.
    start, refinement, close : EM before an ascent on few rows, before one on more rows, and after the last one.
    acceptance : when moves are accepted; what is left of `work` replaces its `max_work`.
    patience_of_swaps, patience_of_refinement : for structures with one covariance; on more rows.
    n_rows : with fewer, all are taken; of the first ascents; of the next; of k-means, and its least number of rows.
    work, closing : limits on the search and on EM after it, in steps of EM on all rows: for each step that EM made from
        the start, and for `more_steps` others.
    work_of_crossing : times as much work is left when crossings begin.
    misfit : crossings begin where the best split gains more, nats for each row divided by the number of rows.
    n_ascents, slow_steps : that are crossed; of EM, the least number before.
    """

    least_weight: float
    draws: Array
    seeds: tuple[int, int, float]
    start: Steps
    refinement: Steps
    close: Steps
    acceptance: AcceptanceSettings
    patience_of_swaps: int
    patience_of_refinement: int
    n_rows: tuple[int, int, int, int, int]
    work: float
    closing: float
    more_steps: int
    work_of_crossing: float
    misfit: float
    n_ascents: int
    slow_steps: int


class FitSettings(NamedTuple):
    """How to fit a mixture to a table, or to each of many: what a default fit does, as plain values.

    Parameters
    ----------
    algebra : which covariances the family makes.
    n_components : K.
    start : how to find centres, or centres (n_components, n_features), data units: rows begin at the nearest. Or the
        component of each row of a single group, (n_rows,), int32, or the mixtures at which EM begins. With all but
        seeds rows are taken as they are, and `control` has a ridge.
    control : when EM ends. Without steps there is the first M-step alone.
    ridge_fraction, trimmed : of the automatic ridge; see `em.initialisation.sample`.
    smallest_spread : a group in which a column varies by less is unusual, data units.
    search : between the start and EM; None if there is none.
    """

    algebra: Algebra
    n_components: int
    start: Seeds | Array | NDArray[np.int32] | InitialMixtures
    control: Control
    ridge_fraction: float = 0.0
    trimmed: float = 0.0
    smallest_spread: float = 0.0
    search: SearchSettings | None = None


class Fits(NamedTuple):
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

    def among(self, indices: Indices, n_groups: int) -> Fits:
        """These among more groups; Python fits the others."""
        if len(indices) == n_groups:
            return self
        n_all: list[Any] = [np.zeros((n_groups, *some.shape[1:]), some.dtype) for some in self[:6]]
        n_all[self._fields.index("n_steps")][:] = -1
        for whole, some in zip(n_all, self[:6], strict=True):
            whole[indices] = some
        return Fits(*[*n_all, self.log_likelihood, self.objective])

    def run_history(self, index: int = 0) -> RunHistory | None:
        """The history of a group; None if Python must fit it."""
        if self.n_steps[index] < 0:
            return None
        first = int(np.maximum(self.n_steps[:index], 0).sum()) if index else 0
        steps = slice(first, first + self.n_steps[index])
        log_likelihood, objective = self.log_likelihood[steps].tolist(), self.objective[steps].tolist()
        mixture = self.weights[index], self.means[index], self.covariances[index]
        return RunHistory(*mixture, self.whitening, log_likelihood, objective)
