"""Truncated EM: each row has responsibilities only for a few candidate components, so that steps stay fast.

If row i has only the candidate components K_i, EM maximises a lower bound on the log-likelihood, the free energy Σ_i
s_i log Σ_{k ∈ K_i} p(x_i, k). See Lücke & Forster (2019), "k-means as a variational EM approximation of Gaussian
mixture models", Pattern Recognition Letters 125, eq. 9. For each row, a step evaluates the current candidate
components, some neighbours of these components, and random components. The most probable of these components become the
new candidate components, so that the free energy never decreases (`cpp/kernels/truncated/step.hpp`).
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
from gaussmix._src.numerics.core import LABELS, native_target
from gaussmix._src.numerics.einsum import einsum

Components = NDArray[np.int32]  # indices of components, where −1 marks an empty entry

DEFAULT_CANDIDATES = 8
N_NEAR, N_OVERLAPPING = 16, 64  # maximum numbers of neighbours with the nearest means, and with the most shared rows
# Each step tries only some neighbours of a row's best candidate component, because a step that tries all neighbours
# would evaluate several times as many components. If rows miss good candidates, steps also try neighbours of randomly
# drawn candidates. These steps take 1.1 to 1.9 times as long.
N_TRIED, N_DRAWN = 8, 2
MAX_NEIGHBOURS = 256  # maximum number of components that one call tries for each row
# When a run resumes, each row is compared with all components if there are at most this many pairs of a row and a
# component. The comparison takes up to half a minute.
MAX_COMPARED_PAIRS = 2**33
N_TREES, TREE_REACH = 3, 3  # number of rankings in the first search; maximum distance of neighbours in a ranking
# To find neighbours, means are projected on at most this many directions. With all 784 directions of an example, the
# search took 3.6 times as long and found no more neighbours.
MAX_DIRECTIONS = 32
# Number of passes of the first search for neighbours; later searches make one pass. In tests, three passes found all
# neighbours of components in 3 features, and 98 % of the neighbours in 8 features.
N_ROUNDS = 3
# Numbers of passes of the search for the first candidate components. The first passes try only neighbours of the best
# candidate component of each row, in a quarter to two fifths of the time of the last passes, which try neighbours of
# all candidate components. Eight of the last passes found at most 1 % more of the nearest components in 3 and 8
# features, and 4 % more in 64 features.
N_GREEDY_ROUNDS, N_FULL_ROUNDS = 4, 3
MAX_SAMPLED_ROWS = 16  # maximum number of rows per component in the sample that shows overlapping components
_NO_SECOND_MOMENTS = MomentSpec(Second.NONE)


@dataclass(frozen=True)
class ComponentMap:
    """Neighbours of each component, which truncated EM tries for the component's rows.

    Parameters
    ----------
    rank : position of each component in a ranking, (n_components,). Components with near means are mostly next to each
        other in the ranking.
    neighbours : components that are tried for the rows of each component, (n_components, n_neighbours).
    """

    rank: Components
    neighbours: Components


@dataclass(frozen=True)
class TruncatedContext(PassContext):
    """Statistics of all rows, the neighbours of each component, and candidate components found by the last pass.

    Parameters
    ----------
    component_map : neighbours of each component, which are computed again after passes 1, 2, 4, 8 …
    n_passes : number of finished passes.
    sampled : candidate components of some rows after the last pass, (n_sampled, n_candidates).
    """

    component_map: ComponentMap | None = None
    n_passes: int = 0
    sampled: Components | None = None


@dataclass(eq=False)
class TruncatedState(CompleteState):
    """Candidate components of each row of a block, (n_rows, n_candidates), best first; None at first."""

    candidates: Components | None = None
    affects_results: ClassVar[bool] = True

    @property
    def n_bytes(self) -> int:
        # A size of 0 prevents sources from dropping the state to free memory, because finding candidate components
        # again is slow.
        return 0


@dataclass(frozen=True, eq=False)
class SampledCandidates:
    """Candidate components of some rows, in data order. The operator `+` concatenates two of these objects."""

    candidates: Components

    def __add__(self, other: SampledCandidates) -> SampledCandidates:
        return SampledCandidates(np.concatenate((self.candidates, other.candidates)))


@dataclass(frozen=True)
class TruncatedEngine(CompleteEngine):
    """Engine whose steps sum only over each row's candidate components. Densities and labels are exact.

    Parameters
    ----------
    n_candidates : number of candidate components of each row. Engines that differ only in `n_candidates` compare equal,
        because stored candidate components stay valid.
    n_drawn : number of neighbours of randomly drawn candidate components that a step tries for each row. They help
        rows whose best candidate component has a large variance, because it overlaps more components than its list of
        neighbours contains. Engines that differ only in `n_drawn` also compare equal.
    start_index : index of the run. Engines of different runs compare unequal, because each run has its own candidate
        components.
    continues_below : if there are fewer components than this number, the run continues an earlier run: from a
        checkpoint, or after a component was dropped. If a run continues, the first candidate components must be nearly
        the best, because otherwise the free energy would decrease.
    """

    is_truncated: ClassVar[bool] = True
    n_candidates: int = field(default=DEFAULT_CANDIDATES, compare=False)
    n_drawn: int = field(default=0, compare=False)
    start_index: int = 0
    continues_below: int = field(default=0, compare=False)

    def prepare(self, statistics: RowStatistics, spec: MomentSpec, find_spread: Callable[[], Spread]) -> Any:
        return TruncatedContext(statistics.n_rows)

    def begin_pass(self, context: Any, parameters: Parameters | None) -> Any:
        if parameters is None:
            return context
        component_map = context.component_map
        if component_map is None or context.n_passes & (context.n_passes - 1) == 0:
            component_map = map_components(parameters, context.sampled, self._n_threads, component_map)
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
        if self.n_candidates >= K or state.candidates is None:
            state.candidates = self._first_candidates(block, parameters, context)
        n_missing = min(self.n_candidates, K) - state.candidates.shape[1]
        if n_missing > 0:  # an engine with a smaller `n_candidates` stored the candidates
            state.candidates = np.pad(state.candidates, ((0, 0), (0, n_missing)), constant_values=-1)
        # Second moments are always requested, because with `Second.NONE` the core would not even sum responsibilities.
        summed = replace(spec, second=Second.DIAGONAL) if spec.second in (Second.NONE, Second.TRACE) else spec
        about = parameters.means if anchor is None else anchor
        log_likelihood, mass, first, squares, noise_mass = _call_core(
            block, pack_parameters(parameters), state.candidates, context.component_map, self._n_threads, rule, summed,
            np.ascontiguousarray(about), parameters.log_noise_density, n_expanded=1, n_tried=N_TRIED,
            n_drawn=self.n_drawn, key=context.n_passes,
        )  # fmt: skip
        spec, squares = (spec, None) if spec.second is Second.NONE else (summed, squares)
        # Rows at multiples of `interval` in the source are sampled, so that the sample does not depend on the blocks.
        interval = max(1, context.n_rows // (MAX_SAMPLED_ROWS * K))
        sampled: Any = SampledCandidates(state.candidates[-block.first_row % interval :: interval])
        totals = log_likelihood, block.total_weight
        return BlockMoments(mass, first, squares, about, *totals, spec, noise_mass=noise_mass, pass_counts=sampled)

    def finish(
        self, sums: BlockMoments, parameters: Parameters | None, spec: MomentSpec, context: Any = None
    ) -> Moments:
        sampled: Any = sums.pass_counts
        moments = super().finish(replace(sums, pass_counts=None), parameters, spec)
        if sampled is None or context is None:
            return replace(moments, context=context)
        context = replace(context, n_passes=context.n_passes + 1, sampled=sampled.candidates)
        return replace(moments, context=context)

    def find_candidates(self, rows: Block, parameters: Parameters) -> Components:
        """Find nearly the best candidate components of rows for which no candidates are stored."""
        context = self.begin_pass(TruncatedContext(rows.n_rows), parameters)
        return self._first_candidates(rows, parameters, replace(context, n_passes=1))

    def _first_candidates(self, block: Block, parameters: Parameters, context: TruncatedContext) -> Components:
        """Find the first candidate components of each row, or nearly the best components if a run continues."""
        K = len(parameters.means)
        if self.n_candidates >= K:  # all components, because a search could miss some
            return np.tile(np.arange(K, dtype=np.int32), (block.n_rows, 1))
        is_continued = self.continues_below > K or context.n_passes > 0
        assert context.component_map is not None, "`begin_pass` makes the component map"
        if is_continued and context.n_rows * K <= MAX_COMPARED_PAIRS:
            return self._compare_with_all(block, parameters)
        neighbours = np.ascontiguousarray(context.component_map.neighbours[:, :N_NEAR])
        candidates = self._find_candidates(block, parameters, replace(context.component_map, neighbours=neighbours))
        if is_continued:  # the search found near means, but a continued run needs the most probable components
            mixture = pack_parameters(parameters)
            for key in range(N_ROUNDS):
                _call_core(block, mixture, candidates, context.component_map, self._n_threads, n_expanded=1, key=key)
        return candidates

    def _find_candidates(self, block: Block, parameters: Parameters, component_map: ComponentMap) -> Components:
        """Find components with near means for each row, (n_rows, n_candidates), searching from neighbour to neighbour.

        For each row, the search starts from the component of a subset that is nearest to the row. If the label of a row
        excludes components, at least one component that the label allows becomes a candidate component.
        """
        means, K = parameters.means, len(parameters.means)
        near = PackedMixture(np.zeros(K), means, int(FactorShape.DIAGONAL), np.tile(1 / _units(means), (K, 1)))
        order = np.argsort(component_map.rank)
        subset = order[:: max(1, round(K**0.5 / 2))]
        candidates = np.full((block.n_rows, min(self.n_candidates, K)), -1, np.int32)
        subset_mixture = PackedMixture(near.log_scale[subset], means[subset], near.factor_shape, near.factors[subset])
        labels = native_target().evaluate(block.rows, None, *subset_mixture, LABELS, self._n_threads)
        candidates[:, 0] = subset[labels]
        bare = replace(block, log_prior=None, prior_indices=None)
        for key, n_expanded in enumerate([1] * N_GREEDY_ROUNDS + [None] * N_FULL_ROUNDS):
            _call_core(bare, near, candidates, component_map, self._n_threads, n_expanded=n_expanded, key=key)
        if block.log_prior is not None:
            table = block.log_prior[:, :K]
            possible = np.append(np.where(table.min(axis=1) < 0, table.argmax(axis=1), -1), -1)
            possible = possible[:-1] if block.prior_indices is None else possible[block.prior_indices]
            rows = np.flatnonzero(possible >= 0)
            # The core reads the candidate components of a row only up to the first −1.
            n_complete = (candidates[rows] >= 0).sum(axis=1)
            candidates[rows, np.minimum(n_complete, candidates.shape[1] - 1)] = possible[rows]
        return candidates

    def _compare_with_all(self, block: Block, parameters: Parameters) -> Components:
        """Compare each row with all components, and return the most probable components, (n_rows, n_candidates)."""
        mixture, K = pack_parameters(parameters), len(parameters.means)
        candidates = np.tile(np.arange(self.n_candidates, dtype=np.int32), (block.n_rows, 1))
        for first in range(0, K, MAX_NEIGHBOURS):
            components = np.arange(first, min(first + MAX_NEIGHBOURS, K), dtype=np.int32)
            component_map = ComponentMap(np.zeros(K, np.int32), np.tile(components, (K, 1)))
            _call_core(block, mixture, candidates, component_map, self._n_threads, n_expanded=1, key=0)
        return candidates

    def supports_core_steps(
        self, block: Block, n_components: int, structure: Algebra, prior: PackedPrior | None, has_noise: bool
    ) -> bool:
        return False

    def fit_many(self, groups: RowGroups, settings: FitSettings) -> GroupFits | None:
        return None


def map_components(
    parameters: Parameters, sampled: Components | None, n_threads: int, earlier: ComponentMap | None
) -> ComponentMap:
    """Find the neighbours of each component, which truncated EM tries for the component's rows.

    A tree that repeatedly divides the set of means in two gives a ranking of the components. Possible neighbours are
    components that are near each other in one of several rankings, and neighbours of neighbours. See Dong, Moses & Li
    (2011), "Efficient k-nearest neighbor graph construction for generic similarity measures", WWW, section 2.1.
    `sampled` adds components that overlap although their means are far apart. An `earlier` map shortens the search.
    """
    means = parameters.means / _units(parameters.means)
    K, d = means.shape
    directions, orders = np.random.default_rng(0), []
    for tree in range(N_TREES if earlier is None else 1):
        points = einsum("ki,ij->kj", means, directions.uniform(-1, 1, (d, min(d, MAX_DIRECTIONS)))) if tree else means
        cells = native_target().partition_cells(np.ascontiguousarray(points), np.ones(K), K)
        orders.append(np.argsort(cells, kind="stable").astype(np.int32))
    ranks = [np.argsort(order).astype(np.int32) for order in orders]
    steps = sorted(range(-TREE_REACH, TREE_REACH + 1), key=abs)
    columns = [order[(rank + step) % K] for step in steps for order, rank in zip(orders, ranks, strict=True)]
    neighbours = np.stack(columns, axis=1)
    if earlier is not None:
        neighbours = np.concatenate((earlier.neighbours[:, :N_NEAR], neighbours), axis=1)
    near = PackedMixture(np.zeros(K), means, int(FactorShape.SPHERICAL), np.ones(K))
    for key in range(N_ROUNDS if earlier is None else 1):
        candidates = np.full((K, min(N_NEAR, K)), -1, np.int32)
        candidates[:, : neighbours.shape[1]] = neighbours[:, : candidates.shape[1]]
        _call_core(Block(0, means), near, candidates, ComponentMap(ranks[0], neighbours), n_threads, key=key)
        neighbours = candidates
    if sampled is not None:
        overlapping = sampled[:, :DEFAULT_CANDIDATES]  # limits the memory for overlapping components
        n_listed = neighbours.shape[1] + N_OVERLAPPING
        neighbours = native_target().list_neighbours(neighbours, overlapping, n_listed, n_threads)
    return ComponentMap(ranks[0], neighbours)


def _units(means: Array) -> Array:
    """Return the largest distance from the first mean in each feature, (n_features,), rounded up to a power of 2."""
    spread = np.abs(means - means[0]).max(axis=0)
    return np.where(spread > 0, 2.0 ** np.frexp(spread)[1], 1.0)


def _call_core(
    block: Block,
    mixture: PackedMixture,
    candidates: Components,
    component_map: ComponentMap,
    n_threads: int,
    rule: AssignmentRule = AssignmentRule.SOFT,
    spec: MomentSpec = _NO_SECOND_MOMENTS,
    anchor: Array | None = None,
    log_noise_density: float = -np.inf,
    *,
    n_expanded: int | None = None,
    n_tried: int | None = None,
    n_drawn: int = 0,
    key: int,
) -> tuple[float, Array, Array, Array | None, float]:
    """Update candidate components in place, and sum moments unless `spec.second` is `Second.NONE`.

    For each row, the core tries `n_tried` neighbours of each of the first `n_expanded` candidate components, and
    `n_drawn` neighbours of random candidate components. By default, it tries all neighbours of all candidates.
    """
    n_expanded = candidates.shape[1] if n_expanded is None else n_expanded
    neighbours, n_neighbours = component_map.neighbours, component_map.neighbours.shape[1]
    n_tried = min(n_tried or n_neighbours, n_neighbours)
    if n_drawn == 0 and n_tried < n_neighbours:  # pass only the tried columns, so that they stay in the cache
        neighbours = neighbours.take((key * n_tried + np.arange(n_tried)) % n_neighbours, axis=1)
    return native_target().step_truncated(
        block.rows, block.row_weight, *mixture, anchor, rule, spec.second, repeat_projection(spec, len(mixture.means)),
        block.log_prior, block.prior_indices, log_noise_density, candidates, neighbours, component_map.rank,
        n_expanded, n_tried, n_drawn, block.first_row, key, n_threads,
    )  # fmt: skip
