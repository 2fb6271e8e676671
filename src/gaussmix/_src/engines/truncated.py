"""Truncated EM: each row is shared by its few candidates, so that a step takes no longer with more components.

If a row i belongs to its candidates K_i alone, EM maximises a lower bound of the log-likelihood, the free energy
Σ_i s_i log Σ_{k ∈ K_i} p(x_i, k); Lücke & Forster (2019), "k-means as a variational EM approximation of Gaussian
mixture models", Pattern Recognition Letters 125, eq. 9. A step keeps the best of a row's candidates, of their
neighbours and of components that are tried by chance, so the free energy never falls (`cpp/kernels/truncated.hpp`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.engines.base import PassContext
from gaussmix._src.engines.calls import FitSettings, GroupFits, PackedPrior, RowGroups
from gaussmix._src.engines.complete.engine import CompleteEngine, CompleteState
from gaussmix._src.engines.complete.packed_mixture import PackedMixture, pack_parameters, repeat_projection
from gaussmix._src.interfaces.algebra import Algebra
from gaussmix._src.interfaces.block import Block, RowStatistics
from gaussmix._src.interfaces.moment_spec import AssignmentRule, MomentSpec, Second
from gaussmix._src.interfaces.moments import BlockMoments, Moments
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.interfaces.spread import Spread
from gaussmix._src.interfaces.whitening.base import FactorShape
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.core import native_target
from gaussmix._src.numerics.einsum import einsum

Components = NDArray[np.int32]  # their indices; -1 for none

DEFAULT_CANDIDATES = 8
N_NEAR, N_OVERLAPPING = 16, 8  # neighbours of a component: by the distance of means, and by the candidates of rows
N_TRIED = 8  # neighbours that a step tries: a third of them each time, since all would take up to 1.6 times as long
MAX_NEIGHBOURS = 256  # that are tried at a time, if all are
MAX_COMPARED_PAIRS = 2**33  # pairs of rows and components that are compared where a run goes on: half a minute
N_TREES, TREE_REACH = 3, 3  # rankings, and the components before and after one that are near by them
MAX_DIRECTIONS = 32  # along which means are cut: 784 took 3.6 times as long and found as many neighbours
N_ROUNDS = 3  # passes of a search for neighbours: after three, 98 % are found in 8 features, and all in 3
N_FIRST_ROUNDS = 8  # passes of the search for first candidates: after four, 15 % of 65,536 components had no row
MAX_SAMPLED_ROWS = 16  # per component, whose candidates say which components overlap


@dataclass(frozen=True)
class ComponentMap:
    """Which components are near each other.

    Parameters
    ----------
    rank : (n_components,), an order in which components near each other mostly follow each other.
    neighbours : (n_components, n_neighbours), the components that are tried for rows of each component.
    """

    rank: Components
    neighbours: Components


@dataclass(frozen=True)
class TruncatedContext(PassContext):
    """Facts about all rows, which components are near each other, and what passes found out.

    Parameters
    ----------
    component_map : which components are near each other; made again after passes 1, 2, 4, 8 …
    n_passes : the number of passes before.
    sampled : candidates (n_sampled, n_candidates) of some rows after the last pass.
    """

    component_map: ComponentMap | None = None
    n_passes: int = 0
    sampled: Components | None = None


@dataclass(eq=False)
class TruncatedState(CompleteState):
    """The candidates of the rows of a block, (n_rows, n_candidates), the likeliest first; None before a first pass."""

    candidates: Components | None = None

    @property
    def n_bytes(self) -> int:
        return 0  # never dropped for lack of memory: rows without candidates have to look for them again


@dataclass(frozen=True, eq=False)
class SampledCandidates:
    """The candidates of some rows, in the order of the rows; `+` joins those of consecutive blocks."""

    candidates: Components

    def __add__(self, other: SampledCandidates) -> SampledCandidates:
        return SampledCandidates(np.concatenate((self.candidates, other.candidates)))


@dataclass(frozen=True)
class TruncatedEngine(CompleteEngine):
    """Sums over the candidates of each row. All else is exact: densities, responsibilities and labels.

    Parameters
    ----------
    n_candidates : of each row. Engines with other numbers are equal: rows keep the candidates that they have.
    start_index : of the run. Another run finds its own candidates.
    goes_on_below : with fewer components a run goes on from an earlier one, whose free energy worse candidates would
        lower: from a checkpoint, or because a component was dropped.
    """

    is_truncated: ClassVar[bool] = True
    n_candidates: int = field(default=DEFAULT_CANDIDATES, compare=False)
    start_index: int = 0
    goes_on_below: int = field(default=0, compare=False)

    @property
    def complete_engine(self) -> CompleteEngine:
        return CompleteEngine(self.n_threads)

    def prepare(self, statistics: RowStatistics, spec: MomentSpec, find_spread: Callable[[], Spread]) -> Any:
        return TruncatedContext(statistics.n_rows)

    def begin_pass(self, context: Any, parameters: Parameters | None) -> Any:
        if parameters is None:
            return context
        component_map = context.component_map
        if component_map is None or context.n_passes & (context.n_passes - 1) == 0:
            component_map = map_components(parameters, context.sampled, self._n_threads)
        return replace(context, component_map=component_map, sampled=None)

    def make_state(self, block: Block, n_components: int) -> TruncatedState:
        return TruncatedState(**vars(super().make_state(block, n_components)))

    def step(
        self,
        block: Block,
        state: Any,
        parameters: Parameters | None,
        spec: MomentSpec,
        rule: AssignmentRule = AssignmentRule.SOFT,
        anchor: Array | None = None,
        context: Any = None,
    ) -> BlockMoments:
        if parameters is None or rule is AssignmentRule.ASSIGNMENT:
            return super().step(block, state, parameters, spec, rule, anchor)
        if context is None:
            context = self.begin_pass(TruncatedContext(block.n_rows), parameters)
        K = len(parameters.means)
        if self.n_candidates >= K:  # a search would miss some
            state.candidates = np.tile(np.arange(K, dtype=np.int32), (block.n_rows, 1))
        elif state.candidates is None:
            state.candidates = self._first_candidates(block, parameters, context)
        n_missing = min(self.n_candidates, K) - state.candidates.shape[1]
        if n_missing > 0:
            state.candidates = np.pad(state.candidates, ((0, 0), (0, n_missing)), constant_values=-1)
        second = Second.DIAGONAL if spec.second in (Second.NONE, Second.TRACE) else spec.second  # none: not even masses
        about = parameters.means if anchor is None else anchor
        log_likelihood, mass, first, squares, background = _call_core(
            block, pack_parameters(parameters), state.candidates, context.component_map, self._n_threads, rule, second,
            np.ascontiguousarray(about), spec, parameters.log_background, n_expanded=1, n_tried=N_TRIED,
            key=context.n_passes,
        )  # fmt: skip
        spec, squares = (spec, None) if spec.second is Second.NONE else (replace(spec, second=second), squares)
        interval = max(1, context.n_rows // (MAX_SAMPLED_ROWS * len(mass)))
        sampled: Any = SampledCandidates(state.candidates[-block.first_row % interval :: interval])
        return BlockMoments(
            mass, first, squares, about, log_likelihood, block.total_weight, spec,
            background=background, pass_counts=sampled,
        )  # fmt: skip

    def finish(
        self, sums: BlockMoments, parameters: Parameters | None, spec: MomentSpec, context: Any = None
    ) -> Moments:
        sampled: Any = sums.pass_counts
        moments = super().finish(replace(sums, pass_counts=None), parameters, spec)
        if sampled is None or context is None:
            return replace(moments, context=context)
        context = replace(context, n_passes=context.n_passes + 1, sampled=sampled.candidates)
        return replace(moments, context=context)

    def _first_candidates(self, block: Block, parameters: Parameters, context: TruncatedContext) -> Components:
        """Find candidates of rows that have none; if a run goes on, the likeliest, or nearly so if pairs are many."""
        is_late = self.goes_on_below > len(parameters.means) or context.n_passes > 0
        assert context.component_map is not None, "begin_pass made it"
        if is_late and context.n_rows * len(parameters.means) <= MAX_COMPARED_PAIRS:
            return self._likeliest(block, parameters)
        candidates = self._find_candidates(block, parameters, context.component_map)
        if is_late:
            for key in range(N_ROUNDS):
                mixture = pack_parameters(parameters)
                _call_core(block, mixture, candidates, context.component_map, self._n_threads, n_expanded=1, key=key)
        return candidates

    def _find_candidates(self, block: Block, parameters: Parameters, component_map: ComponentMap) -> Components:
        """The components with the nearest means, (n_rows, n_candidates): first of some, and on from neighbours.

        If only some components are possible for a row, one of them is a candidate.
        """
        means, K = parameters.means, len(parameters.means)
        near = PackedMixture(np.zeros(K), means, int(FactorShape.DIAGONAL), np.tile(1 / _units(means), (K, 1)))
        order = np.argsort(component_map.rank)
        subset = order[:: max(1, round(K**0.5 / 2))]
        candidates = np.full((block.n_rows, min(self.n_candidates, K)), -1, np.int32)
        subset_mixture = PackedMixture(near.log_scale[subset], means[subset], near.factor_shape, near.factors[subset])
        labels = native_target().evaluate(block.rows, None, *subset_mixture, 3, self._n_threads)
        candidates[:, 0] = subset[labels]
        bare = replace(block, log_prior=None, prior_indices=None)
        for key in range(N_FIRST_ROUNDS):
            _call_core(bare, near, candidates, component_map, self._n_threads, key=key)
        if block.log_prior is not None:
            table = block.log_prior[:, :K]
            possible = np.append(np.where(table.min(axis=1) < 0, table.argmax(axis=1), -1), -1)
            possible = possible[:-1] if block.prior_indices is None else possible[block.prior_indices]
            rows = np.flatnonzero(possible >= 0)
            n_complete = (candidates[rows] >= 0).sum(axis=1)  # the core reads up to the first -1
            candidates[rows, np.minimum(n_complete, candidates.shape[1] - 1)] = possible[rows]
        return candidates

    def _likeliest(self, block: Block, parameters: Parameters) -> Components:
        """The likeliest components of each row, (n_rows, n_candidates), found among all, some at a time."""
        mixture, K = pack_parameters(parameters), len(parameters.means)
        candidates = np.tile(np.arange(self.n_candidates, dtype=np.int32), (block.n_rows, 1))
        for first in range(0, K, MAX_NEIGHBOURS):
            some = np.arange(first, min(first + MAX_NEIGHBOURS, K), dtype=np.int32)
            component_map = ComponentMap(np.zeros(K, np.int32), np.tile(some, (K, 1)))
            _call_core(block, mixture, candidates, component_map, self._n_threads, n_expanded=1, key=0)
        return candidates

    def supports_core_steps(
        self, block: Block, n_components: int, structure: Algebra, prior: PackedPrior | None, has_background: bool
    ) -> bool:
        return False

    def fit_many(self, groups: RowGroups, settings: FitSettings) -> GroupFits | None:
        return None


def map_components(parameters: Parameters, sampled: Components | None, n_threads: int) -> ComponentMap:
    """Find the components near each component.

    The means are ranked along trees that cut them in two again and again. Neighbours in a few such rankings, and
    neighbours of neighbours, are near; Dong, Moses & Li (2011), "Efficient k-nearest neighbor graph construction for
    generic similarity measures", WWW, section 2.1. Components that overlap without being near are found by `sampled`.
    """
    means = parameters.means / _units(parameters.means)
    K, d = means.shape
    directions, orders = np.random.default_rng(0), []
    for tree in range(N_TREES):
        turned = einsum("ki,ij->kj", means, directions.uniform(-1, 1, (d, min(d, MAX_DIRECTIONS)))) if tree else means
        cells = native_target().partition_cells(np.ascontiguousarray(turned), np.ones(K), K)
        orders.append(np.argsort(cells, kind="stable").astype(np.int32))
    ranks = [np.argsort(order).astype(np.int32) for order in orders]
    steps = [0, *range(-TREE_REACH, 0), *range(1, TREE_REACH + 1)]
    columns = [order[(rank + step) % K] for step in steps for order, rank in zip(orders, ranks, strict=True)]
    neighbours = np.stack(columns, axis=1)
    near = PackedMixture(np.zeros(K), means, int(FactorShape.SPHERICAL), np.ones(K))
    for key in range(N_ROUNDS):
        candidates = np.full((K, min(N_NEAR, K)), -1, np.int32)
        candidates[:, : neighbours.shape[1]] = neighbours[:, : candidates.shape[1]]
        _call_core(Block(0, means), near, candidates, ComponentMap(ranks[0], neighbours), n_threads, key=key)
        neighbours = candidates
    if sampled is not None:
        neighbours = np.concatenate((neighbours, _overlapping(sampled, K)), axis=1)
    return ComponentMap(ranks[0], np.ascontiguousarray(neighbours))


def _overlapping(sampled: Components, n_components: int) -> Components:
    """The components that most often are candidates of the rows of each component, (n_components, `N_OVERLAPPING`)."""
    best, others = np.repeat(sampled[:, :1], sampled.shape[1] - 1, axis=1), sampled[:, 1:]
    is_there = (others >= 0) & (best >= 0)
    pairs, counts = np.unique(best[is_there].astype(np.int64) * n_components + others[is_there], return_counts=True)
    order = np.lexsort((-counts, pairs // n_components))
    component, other = np.divmod(pairs[order], n_components)
    position = np.arange(len(order)) - np.searchsorted(component, component)
    result = np.full((n_components, N_OVERLAPPING), -1, np.int32)
    is_among_best = position < N_OVERLAPPING
    result[component[is_among_best], position[is_among_best]] = other[is_among_best]
    return result


def _units(means: Array) -> Array:
    """The spread of the means in each feature, (n_features,), a power of 2."""
    spread = np.abs(means - means[0]).max(axis=0)
    return np.where(spread > 0, 2.0 ** np.frexp(spread)[1], 1.0)


def _call_core(
    block: Block,
    mixture: PackedMixture,
    candidates: Components,
    component_map: ComponentMap,
    n_threads: int,
    rule: AssignmentRule = AssignmentRule.SOFT,
    second: Second = Second.NONE,
    anchor: Array | None = None,
    spec: MomentSpec | None = None,
    log_background: float = -np.inf,
    *,
    n_expanded: int | None = None,
    n_tried: int | None = None,
    key: int,
) -> tuple[float, Array, Array, Array | None, float]:
    """Renew candidates, and sum moments unless `second` is none.

    Of each row, `n_tried` neighbours of each of the first `n_expanded` candidates are tried; by default all of all.
    """
    projection = None if spec is None else repeat_projection(spec, len(mixture.means))
    n_expanded = candidates.shape[1] if n_expanded is None else n_expanded
    n_neighbours, rows = component_map.neighbours.shape[1], block.rows
    return native_target().step_truncated(
        rows, block.row_weight, *mixture, None if second is Second.NONE else anchor, rule, second, projection,
        block.log_prior, block.prior_indices, log_background, candidates, component_map.neighbours, component_map.rank,
        n_expanded, min(n_tried or n_neighbours, n_neighbours), block.first_row, key, n_threads,
    )  # fmt: skip
