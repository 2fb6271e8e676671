"""The engine for complete rows, which prepares the arguments of each step and calls the C++ core."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.engines.base import PassContext
from gaussmix._src.engines.complete import row_order
from gaussmix._src.engines.complete.core_runs import CoreRuns
from gaussmix._src.engines.complete.packed_mixture import (
    PackedMixture,
    common_origin,
    pack_parameters,
    placeholder_parameters,
    repeat_factors,
    repeat_projection,
)
from gaussmix._src.engines.complete.row_order import Labels, PassCounts, RowOrderCache, RowOrdering, RowPass
from gaussmix._src.engines.joint import joint_labels, joint_log_density, joint_responsibilities
from gaussmix._src.interfaces.block import Block, BlockState, RowStatistics
from gaussmix._src.interfaces.leaves import Tree, leaves_of
from gaussmix._src.interfaces.moment_spec import AssignmentRule, MomentSpec, Second
from gaussmix._src.interfaces.moments import BlockMoments, Moments
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.interfaces.spread import Spread
from gaussmix._src.interfaces.whitening.base import FactorShape, Whitening
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.core import COMPONENTS, LABELS, LOG_DENSITY, RESPONSIBILITIES, native_target

PANEL_SIZE = 4  # the core pads arrays to a multiple of this number of values
_JOINT_FUNCTIONS = {LOG_DENSITY: joint_log_density, RESPONSIBILITIES: joint_responsibilities, LABELS: joint_labels}


@dataclass(frozen=True)
class OrderedContext(PassContext):
    """Statistics of all rows that a step needs, and the order in which the next pass visits rows (`ordering`)."""

    ordering: RowOrdering = field(default_factory=RowOrdering)


@dataclass(eq=False)
class CompleteState(BlockState):
    """State that the engine stores with a block.

    Parameters
    ----------
    order_cache : cache of the order in which passes visit the rows of the block.
    """

    order_cache: RowOrderCache = field(kw_only=True)

    @property
    def n_bytes(self) -> int:
        return self.order_cache.n_bytes


class StepPlan(NamedTuple):
    """Arguments for the C++ core in one step.

    Parameters
    ----------
    mixture : parameters of the mixture, in the form that the C++ core expects.
    anchor : reference points about which moments are summed, (n_components, n_features).
    spec : specification of the second moments that the core sums.
    rule : rule that assigns rows to components.
    origin : point that the core subtracts from every row, (n_features,), or None.
    is_ordered : whether the pass may visit the rows in an order other than the order of the data.
    log_noise_density : log of the noise component's weight times its density, as in `Parameters`.
    """

    mixture: PackedMixture
    anchor: Array
    spec: MomentSpec
    rule: AssignmentRule
    origin: Array | None = None
    is_ordered: bool = False
    log_noise_density: float = -np.inf


@dataclass(frozen=True)
class CompleteEngine(CoreRuns):
    """Engine for complete rows. The C++ core computes E-step and sums in one pass (docs/develop/performance.md)."""

    n_threads: int = 1

    @property
    def complete_engine(self) -> CompleteEngine:
        return CompleteEngine(self.n_threads)

    def prepare(self, statistics: RowStatistics, spec: MomentSpec, find_spread: Callable[[], Spread]) -> OrderedContext:
        is_pooled = spec == MomentSpec(Second.FULL, is_pooled=True)
        return OrderedContext(statistics.n_rows, find_spread() if is_pooled else None)

    def begin_pass(self, context: Any, parameters: Parameters | None) -> Any:
        if parameters is None or context is None or context.ordering.n_passes > 0:
            return context
        return replace(context, ordering=RowOrdering.of_first_pass(parameters, context.n_rows))

    def make_state(self, block: Block, n_components: int) -> CompleteState:
        return CompleteState(n_components, order_cache=RowOrderCache(block.n_rows, n_components, block.rows.shape[1]))

    def step(
        self,
        block: Block,
        state: CompleteState,
        parameters: Parameters | None,
        spec: MomentSpec,
        rule: AssignmentRule = AssignmentRule.SOFT,
        anchor: Array | None = None,
        context: OrderedContext | None = None,
    ) -> BlockMoments:
        context = context or OrderedContext(block.n_rows)
        plan = _plan_step(block, state.n_components, parameters, spec, rule, anchor, context)
        row_pass = RowPass()
        if plan.is_ordered:
            row_pass = state.order_cache.begin_pass(plan.mixture, context.ordering, partial(self._label_rows, block))
        sums, n_distant, n_active = self._sum_block(block, plan, row_pass)
        if n_distant and parameters is not None and rule is AssignmentRule.SOFT:
            row_pass = row_pass.for_leaves(slice(None))
            sums, n_active = self._sum_leaves(block, parameters, plan, row_pass)
        if plan.is_ordered:
            counts = state.order_cache.end_pass(row_pass, plan.mixture, context.ordering, n_active)
            sums = replace(sums, pass_counts=np.array(counts))
        return sums

    def finish(
        self, sums: BlockMoments, parameters: Parameters | None, spec: MomentSpec, context: OrderedContext | None = None
    ) -> Moments:
        second = sums.second
        if second is None and spec.second is not Second.NONE:
            total = None if context is None else context.total_spread
            assert total is not None, "`prepare` makes the total for pooled moments"
            second = total.scatter
        elif second is not None:
            with np.errstate(over="ignore", invalid="ignore"):
                if spec.second is Second.TRACE:
                    # `sum` could add the features in a different order, which would change rounding errors.
                    second = np.add.accumulate(second, axis=1)[:, -1]
                second = np.asarray(second.sum(axis=0)) if spec.is_pooled else second
        if context is not None and parameters is not None and sums.pass_counts is not None:
            counts = PassCounts(*sums.pass_counts.tolist())
            ordering = context.ordering.next_ordering(pack_parameters(parameters), counts, context.n_rows)
            context = replace(context, ordering=ordering)
        return replace(Moments.from_sums(sums), second=second, spec=spec, pass_counts=None, context=context)

    def _sum_block(self, block: Block, plan: StepPlan, row_pass: RowPass) -> tuple[BlockMoments, int, float]:
        """Return the sums, the number of far rows, and the approximate number of responsibilities above 0."""
        spec = plan.spec
        log_likelihood, mass, first, second, n_distant, n_active, noise_mass = native_target().step(
            block.rows, block.row_weight, block.assignment if plan.rule is AssignmentRule.ASSIGNMENT else None,
            plan.origin, *plan.mixture, None if spec.second is Second.NONE else plan.anchor, plan.rule, spec.second,
            self._n_threads, *row_pass, repeat_projection(spec, len(plan.anchor)),
            *((None, None) if plan.rule is AssignmentRule.ASSIGNMENT else (block.log_prior, block.prior_indices)),
            plan.log_noise_density,
        )  # fmt: skip
        totals = log_likelihood, block.total_weight
        sums = BlockMoments(mass, first, second, plan.anchor, *totals, spec, noise_mass=noise_mass)
        return sums, n_distant, n_active

    def _sum_leaves(
        self, block: Block, parameters: Parameters, plan: StepPlan, row_pass: RowPass
    ) -> tuple[BlockMoments, float]:
        """Sum moments leaf by leaf and correct far rows, so that a far row does not change the sums of other leaves."""
        from gaussmix._src.engines.complete import distant  # imported here, because few fits need it

        tree, n_active = Tree[BlockMoments](), 0.0
        for leaf, rows in zip(block.split(), leaves_of(block.n_rows), strict=True):
            part = row_pass.for_leaves(rows)
            sums, n_distant, active_in_leaf = self._sum_block(leaf, plan, part)
            indices = distant.distant_rows(leaf, parameters, self.log_density) if n_distant else np.empty(0, np.intp)
            indices = indices[leaf.weight[indices] > 0]
            if len(indices):
                nearby, others = distant.split_block(leaf, indices)
                sums, _, active_in_leaf = self._sum_block(nearby, plan, part)
                sums += distant.sum_distant_rows(others, self, parameters, plan.spec, sums.anchor)
            tree.add(sums)
            n_active += active_in_leaf
        return tree.total, n_active

    def _label_rows(self, block: Block, mixture: PackedMixture) -> Labels:
        """Return the most probable component of each row, exactly as `step` computes it with these parameters."""
        labels = np.empty(block.n_rows, np.uint16)
        row_weight = assignment = origin = projection = None
        native_target().step(
            block.rows, row_weight, assignment, origin, *mixture, mixture.means, AssignmentRule.SOFT, Second.TRACE,
            self._n_threads, *RowPass(labels=labels), projection, block.log_prior, block.prior_indices,
        )  # fmt: skip
        return labels

    def score_products(
        self, block: Block, parameters: Parameters, whitening: Array, score_form: Second
    ) -> tuple[Array, Array]:
        likeliest = self._evaluate(replace(block, log_prior=None, prior_indices=None), parameters, LABELS)
        # If rows of the same component are visited together, the core can skip more components.
        order = likeliest.astype(np.uint16).argsort(kind="stable").astype(np.uint16)
        between, within = native_target().score_products(
            block.rows, block.row_weight, *pack_parameters(parameters), block.log_prior, block.prior_indices,
            parameters.log_noise_density, np.ascontiguousarray(whitening), score_form, order, self._n_threads,
        )  # fmt: skip
        # The C++ core returns scores in padded groups: z and the products of each component (or, if W is shared, z of
        # all components, then all products), and then the responsibilities.
        (K, d), is_shared = parameters.means.shape, len(whitening) == 1
        n_products = score_form.n_values(d)
        n_own = d if is_shared else d + n_products
        first = -(-n_own // PANEL_SIZE) * PANEL_SIZE * np.arange(K + 1)[:, None]
        responsibilities = len(between) - -(-K // PANEL_SIZE) * PANEL_SIZE + np.arange(K)
        z, products = first[:-1] + np.arange(d), (first[-1:] if is_shared else first[:-1] + d) + np.arange(n_products)
        indices = np.concatenate((responsibilities, z.ravel(), products.ravel()))
        own = np.append(within.shape[1] - PANEL_SIZE, np.arange(d + n_products))
        return between[indices[:, None], indices], within[:, own[:, None], own]

    def log_density(self, block: Block, parameters: Parameters) -> Array:
        return self._evaluate(block, parameters, LOG_DENSITY)

    def component_log_density(self, block: Block, parameters: Parameters) -> Array:
        return self._evaluate(block, parameters, COMPONENTS)

    def responsibilities(self, block: Block, parameters: Parameters) -> Array:
        from gaussmix._src.engines.complete.distant import correct_distant_rows

        resp = self._evaluate(block, parameters, RESPONSIBILITIES)
        return correct_distant_rows(resp, block, parameters, self.log_density)

    def labels(self, block: Block, parameters: Parameters) -> NDArray[np.int64]:
        from gaussmix._src.engines.complete.distant import MAX_ROWS_COMPARED_SINGLY, correct_distant_rows

        if 0 < block.n_rows <= MAX_ROWS_COMPARED_SINGLY:  # one call computes labels and shows whether a row is far
            joint = self._evaluate(block, parameters, COMPONENTS)
            if joint.max(axis=1).min() >= parameters.distant_limit:
                return joint_labels(joint, block, parameters)
        best: NDArray[np.int64] = self._evaluate(block, parameters, LABELS)
        best = best.view(np.int64)  # from C++'s `long long`, which NumPy may not print as int64
        return correct_distant_rows(best, block, parameters, self.log_density)

    def draw(
        self, n_rows: int, cumulative_weights: Array, means: Array, whitening: Whitening, random_key: int
    ) -> tuple[Array, NDArray[np.int64]]:
        rows, labels = np.empty((n_rows, means.shape[1])), np.empty(n_rows, np.int64)
        is_triangular = whitening.factor_shape is FactorShape.TRIANGULAR
        factors = np.ascontiguousarray(whitening.factors) if is_triangular else repeat_factors(whitening, len(means))
        native_target().draw(
            np.ascontiguousarray(cumulative_weights), np.ascontiguousarray(means), int(whitening.factor_shape), factors,
            random_key, rows, labels, self._n_threads,
        )  # fmt: skip
        return rows, labels

    def _evaluate(self, block: Block, parameters: Parameters, output: int) -> NDArray[Any]:
        prior = block.row_log_prior(len(parameters.means))
        if prior is not None:  # priors of rows are rare, so speed does not matter
            unknown = replace(block, log_prior=None, prior_indices=None)
            joint = self._evaluate(unknown, parameters, COMPONENTS) + prior
            return joint if output == COMPONENTS else _JOINT_FUNCTIONS[output](joint, block, parameters)
        origin = common_origin(parameters)
        if origin is not None:
            parameters = replace(parameters, means=parameters.means - origin)
        arguments = pack_parameters(parameters, whiten_once=origin is not None)
        n_threads, log_noise = self._n_threads, parameters.log_noise_density
        return native_target().evaluate(block.rows, origin, *arguments, output, n_threads, log_noise)


def _plan_step(
    block: Block,
    n_components: int,
    parameters: Parameters | None,
    spec: MomentSpec,
    rule: AssignmentRule,
    anchor: Array | None,
    context: OrderedContext,
) -> StepPlan:
    """Choose the origin and the reference points (anchor) of a step, independently of the values in the block."""
    shape = n_components, block.rows.shape[1]
    second = Second.DIAGONAL if spec.second is Second.TRACE else spec.second  # `finish` sums over the features
    if second is Second.NONE:  # first moments are equally accurate about every anchor
        about = np.zeros(shape)
    elif anchor is not None:
        about = np.ascontiguousarray(anchor)
    else:
        about = np.zeros(shape) if parameters is None else np.ascontiguousarray(parameters.means)
    core_spec = replace(spec, second=second, is_pooled=False)  # `finish` pools the moments
    if parameters is None:
        return StepPlan(placeholder_parameters(about), about, core_spec, rule)
    has_noise = parameters.log_noise_density > -np.inf  # noise is not part of the scatter of components
    if anchor is None and context.total_spread is not None and not has_noise:
        centre = context.total_spread.mean
        if common_origin(parameters, centre) is not None:
            # Pooled moments about a common point equal the scatter of all rows, because Σ_k Σ_i γ_ik uuᵀ = Σ_i uuᵀ.
            centred = replace(parameters, means=parameters.means - centre)
            mixture, about = pack_parameters(centred, whiten_once=True), np.broadcast_to(centre, shape)
            return StepPlan(mixture, about, MomentSpec(Second.NONE), rule, centre)
    is_shared, factor_shape = parameters.whitening.is_shared, parameters.whitening.factor_shape
    # The core can skip components only if whitening factors are neither shared nor of low rank.
    can_skip = rule is AssignmentRule.SOFT and not is_shared and factor_shape is not FactorShape.LOW_RANK
    is_ordered = can_skip and row_order.can_ordering_pay(context.n_rows, factor_shape, *shape)
    mixture, log_noise = pack_parameters(parameters), parameters.log_noise_density
    return StepPlan(mixture, about, core_spec, rule, is_ordered=is_ordered, log_noise_density=log_noise)
