"""The C++ core as an engine: plan a step, lay out the arrays, call the core."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix.engines.far import Apart, correct_far_rows, far_places
from gaussmix.engines.native.arguments import (
    Arguments,
    arguments_of,
    common_origin,
    no_arguments,
    one_each,
    projection_of,
)
from gaussmix.engines.native.float32 import rounded, scaled_for_single, steps_in_single, suits_single
from gaussmix.engines.native.run import run_em, shares_matrix, suits_core
from gaussmix.engines.native.visits import Visit, Visits, may_be_ordered
from gaussmix.engines.runner import Control, Course, Runner
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.core import native_target
from gaussmix.numerics.pieces import pieces
from gaussmix.waist.algebra import Algebra
from gaussmix.waist.block import Block
from gaussmix.waist.moments import Moments, Partial, Scatter
from gaussmix.waist.need import Need, Rule, Second
from gaussmix.waist.parameters import Parameters
from gaussmix.waist.whitening.base import FactorShape, Whitening

if TYPE_CHECKING:
    from gaussmix._core import Target

LOG_DENSITY, RESPONSIBILITIES, COMPONENTS, LABELS = range(4)  # outputs of `Target.evaluate`


@dataclass(eq=False)
class State:
    """What the engine keeps beside a block.

    Parameters
    ----------
    n_components : K.
    row_weight : total weight of the block.
    visits : the order in which to visit the rows.
    total : moments of the whole block as one component about its mean, which no E-step changes; made by the first step
        that needs it.
    apart : the rows that were far in the last soft step, and the state of the others; None if no row was.
    """

    n_components: int
    row_weight: float
    visits: Visits
    total: Moments | None = None
    apart: tuple[Apart, State] | None = None


class StepPlan(NamedTuple):
    """How one step calls the core.

    Parameters
    ----------
    arguments : parameters as the core takes them.
    anchor : (n_components, n_features), the points the sums are about.
    second : the second moments that the core sums.
    origin : (n_features,), rows are read as their distance from it; None for 0.
    whole : second moments that need no summing, because they are those of the whole block; None where they do.
    in_single : the core works in float32.
    offset : log p(x) is larger by this than the core's, nats.
    is_ordered : the rows may be visited in another order.
    """

    arguments: Arguments
    anchor: Array
    second: Second
    origin: Array | None = None
    whole: Array | None = None
    in_single: bool = False
    offset: float = 0.0
    is_ordered: bool = False


@dataclass(frozen=True)
class NativeEngine(Runner):
    """Fused E- and M-step in C++ (docs/develop/performance.md), on `n_threads` threads for the length of a call."""

    n_threads: int = 1

    @property
    def _target(self) -> Target:
        target = native_target()
        assert target is not None, "choose an engine with gaussmix.engines.choose"
        return target

    def open(self, block: Block, need: Need, n_components: int) -> State:
        return State(n_components, block.total_weight, Visits(block.n_rows, n_components, block.rows.shape[1]))

    def step(
        self,
        block: Block,
        state: State,
        parameters: Parameters | None,
        need: Need,
        rule: Rule = Rule.SOFT,
        anchor: Array | None = None,
    ) -> Partial:
        if parameters is None or rule is not Rule.SOFT:
            return self._sum(block, state, parameters, need, rule, anchor)[0]
        near, near_state = (block, state) if state.apart is None else (state.apart[0].near, state.apart[1])
        sums, n_far = self._sum(near, near_state, parameters, need, rule, anchor)
        if n_far:
            near, near_state = _take_apart(block, state, far_places(block, parameters, self.log_density))
            sums, _ = self._sum(near, near_state, parameters, need, rule, anchor)
        if state.apart is None:
            return sums
        apart = state.apart[0]
        sums += apart.sums(self, parameters, need, sums.anchor)
        still = far_places(apart.far, parameters, self.log_density)
        if not still.size:
            state.apart = None
        elif len(still) < len(apart.places):
            _take_apart(block, state, apart.places[still])
        return sums

    def _sum(
        self,
        block: Block,
        state: State,
        parameters: Parameters | None,
        need: Need,
        rule: Rule,
        anchor: Array | None,
    ) -> tuple[Partial, int]:
        """The sums that the core makes, and the number of rows that are too far for it to share."""
        plan = self._plan(block, state, parameters, need, rule, anchor)
        visit = state.visits.begin(self._target, plan.arguments) if plan.is_ordered else Visit()
        log_likelihood, mass, first, second, n_far, n_near = self._target.step(
            block.rows, block.row_weight, block.given if rule is Rule.GIVEN else None, plan.origin, *plan.arguments,
            None if plan.second is Second.NONE else plan.anchor, rule, plan.second, self.n_threads, *visit,
            plan.in_single, projection_of(need, state.n_components),
        )  # fmt: skip
        if plan.is_ordered:
            state.visits.end(visit, plan.arguments, n_near)
        if plan.whole is not None:
            second = plan.whole
        elif need.pooled and second is not None:
            second = _pooled(second)
        log_likelihood += plan.offset * state.row_weight
        sums = Partial(mass, first, second, plan.anchor, log_likelihood, state.row_weight, need, plan.in_single)
        return sums, n_far

    def _plan(
        self,
        block: Block,
        state: State,
        parameters: Parameters | None,
        need: Need,
        rule: Rule,
        anchor: Array | None,
    ) -> StepPlan:
        """Decide about origin, anchor and precision; nothing but the arguments and the rows' moments decides."""
        shape = state.n_components, block.rows.shape[1]
        if need.second is Second.NONE:  # then any point is as good
            about = np.zeros(shape)
        elif anchor is not None:
            about = np.ascontiguousarray(anchor)
        else:
            about = np.zeros(shape) if parameters is None else np.ascontiguousarray(parameters.means)
        if parameters is None:
            return StepPlan(no_arguments(about), about, need.second)
        if anchor is None and need == Need(Second.FULL, pooled=True):
            state.total = state.total or self._total(block)
            centre = state.total.anchor[0]
            if state.total.second is not None and common_origin(parameters, centre) is not None:
                # Pooled moments about one common point: Σ_k Σ_i γ_ik uuᵀ = Σ_i uuᵀ is the block's own scatter.
                centred = replace(parameters, means=parameters.means - centre)
                arguments, about = arguments_of(centred, whiten_once=True), np.broadcast_to(centre, shape)
                return StepPlan(arguments, about, Second.NONE, centre, state.total.second[0])
        is_ordered = rule is Rule.SOFT and may_be_ordered(parameters.whitening)
        if anchor is None and steps_in_single(block, parameters, need, rule):
            scaled, offset = scaled_for_single(parameters)
            return StepPlan(
                arguments_of(scaled), rounded(about), need.second,
                in_single=True, offset=offset, is_ordered=is_ordered,
            )  # fmt: skip
        return StepPlan(arguments_of(parameters), about, need.second, is_ordered=is_ordered)

    def _total(self, block: Block) -> Moments:
        """Moments of the block as one component: the mean first, then the scatter about it."""
        zero = np.zeros((1, block.rows.shape[1]))
        everything = replace(block, given=np.broadcast_to(np.int32(0), block.n_rows))
        for need in Need(Second.NONE), Need(Second.FULL):
            moments = Moments.of(self.step(everything, self.open(everything, need, 1), None, need, Rule.GIVEN, zero))
            zero = moments.means(zero)
        return moments

    def update(self, algebra: Algebra, scatter: Scatter, current: Array | None) -> Array:
        last = None if current is None else current.reshape(-1)
        found = self._target.update(algebra, scatter.degrees, scatter.second.reshape(-1), scatter.n_features, last)
        covariances: Array = found.reshape(scatter.second.shape)
        return covariances

    def run_em(
        self, block: Block, state: State, start: tuple[Array, Array, Array], algebra: Algebra, control: Control
    ) -> Course | None:
        if block.log_prior is not None or not suits_core(block, state.n_components, algebra):
            return None
        if shares_matrix(algebra):
            state.total = state.total or self._total(block)
        return run_em(self._target, self.n_threads, block, state.total, start, algebra, control)

    def finish(self, partial: Partial, parameters: Parameters | None) -> Moments:
        return Moments.of(partial)

    def suits_single(self, parameters: Parameters) -> bool:
        return suits_single(parameters)

    def log_density(self, block: Block, parameters: Parameters) -> Array:
        density: Array = self._evaluate(block, parameters, LOG_DENSITY)
        return density

    def component_log_density(self, block: Block, parameters: Parameters) -> Array:
        log_joint: Array = self._evaluate(block, parameters, COMPONENTS)
        return log_joint

    def responsibilities(self, block: Block, parameters: Parameters) -> Array:
        shared: Array = self._evaluate(block, parameters, RESPONSIBILITIES)
        return correct_far_rows(shared, block, parameters, self.log_density)

    def labels(self, block: Block, parameters: Parameters) -> NDArray[np.int64]:
        best: NDArray[np.int64] = self._evaluate(block, parameters, LABELS)
        best = best.view(np.int64)  # the core's type is C++'s long long, which NumPy prints under another name
        return correct_far_rows(best, block, parameters, self.log_density)

    def draw(
        self, n_rows: int, cumulative: Array, means: Array, whitening: Whitening, key: int
    ) -> tuple[Array, NDArray[np.int64]]:
        rows, labels = np.empty((n_rows, means.shape[1])), np.empty(n_rows, np.int64)
        is_triangular = whitening.factor_shape is FactorShape.TRIANGULAR
        factors = np.ascontiguousarray(whitening.factors) if is_triangular else one_each(whitening, len(means))
        self._target.draw(
            np.ascontiguousarray(cumulative), np.ascontiguousarray(means), int(whitening.factor_shape), factors, key,
            rows, labels, self.n_threads,
        )  # fmt: skip
        return rows, labels

    def _evaluate(self, block: Block, parameters: Parameters, output: int) -> Any:
        origin = common_origin(parameters)
        if origin is not None:
            parameters = replace(parameters, means=parameters.means - origin)
        arguments = arguments_of(parameters, whiten_once=origin is not None)
        return self._target.evaluate(block.rows, origin, *arguments, output, self.n_threads)


def _take_apart(block: Block, state: State, places: NDArray[np.intp]) -> tuple[Block, State]:
    """Set far rows apart; returns the block of the others and its state, which visits rows in the order of all."""
    apart = Apart.of(block, places)
    near_state = State(state.n_components, apart.near.total_weight, state.visits)
    state.apart = apart, near_state
    return apart.near, near_state


def _pooled(second: Array) -> Array:
    """The sum over components."""
    if second.ndim == 1:
        return np.asarray(second.sum())
    total = np.empty(second.shape[1:])
    for part in pieces((*total.shape, len(second))):
        total[part] = second[:, part].sum(axis=0)
    return total
