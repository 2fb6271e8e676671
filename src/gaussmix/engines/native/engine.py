"""The C++ core as an engine: chooses origin and anchor, lays arrays out, and calls it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gaussmix.engines.base import Runner
from gaussmix.engines.native.arguments import (
    arguments_of,
    common_origin,
    is_near,
    no_arguments,
    one_each,
    projection_of,
)
from gaussmix.engines.native.far import Apart, far_places, far_responsibilities
from gaussmix.engines.native.run import goes_alone, run, shares_matrix
from gaussmix.engines.native.single import rounded, scaled_for_single, steps_in_single
from gaussmix.engines.native.visits import Visit, Visits, may_be_ordered
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.core import native_target
from gaussmix.numerics.pieces import pieces
from gaussmix.waist.algebra import Algebra
from gaussmix.waist.block import Block
from gaussmix.waist.course import Control, Course, Gaussians
from gaussmix.waist.moments import Moments, Scatter
from gaussmix.waist.need import Need, Rule, Second
from gaussmix.waist.parameters import Parameters
from gaussmix.waist.whitening.base import Structure, Whitening

if TYPE_CHECKING:
    from gaussmix._core import Target

LOG_DENSITY, RESPONSIBILITIES, COMPONENTS, LABELS = range(4)  # outputs of `Target.evaluate`


@dataclass(eq=False)
class State:
    """Kept beside a block.

    Parameters
    ----------
    n_components : K.
    row_weight : total weight of the block.
    total : moments of the whole block as one component about its mean, which no E-step changes; None until a
        step with pooled second moments asks for it.
    visits : in which order to visit the rows.
    apart : rows that were far in the last soft step, and the state of the others.
    """

    n_components: int
    row_weight: float
    visits: Visits
    total: Moments | None = None
    apart: tuple[Apart, State] | None = None


@dataclass(frozen=True)
class NativeEngine(Runner):
    """Fused E- and M-step in C++ (DESIGN section 3), on `n_threads` threads for the length of a call."""

    n_threads: int = 1

    @property
    def _target(self) -> Target:
        target = native_target()
        assert target is not None, "choose an engine with gaussmix.engines.choose"
        return target

    def open(self, block: Block, need: Need, n_components: int) -> State:
        return State(n_components, block.total_weight, Visits(block.n_rows, n_components, block.rows.shape[1]))

    def _total(self, block: Block) -> Moments:
        """Moments of the block as one component: the mean first, then the scatter about it."""
        zero = np.zeros((1, block.rows.shape[1]))
        everything = replace(block, given=np.broadcast_to(np.int32(0), block.n_rows))
        for need in Need(Second.NONE), Need(Second.FULL):
            moments, _ = self._sums(everything, self.open(everything, need, 1), None, need, Rule.GIVEN, zero)
            zero = moments.means(zero)
        return moments

    def step(
        self,
        block: Block,
        state: State,
        parameters: Parameters | None,
        need: Need,
        rule: Rule = Rule.SOFT,
        anchor: Array | None = None,
    ) -> Moments:
        if parameters is None or rule is not Rule.SOFT:
            return self._step(block, state, parameters, need, rule, anchor)[0]
        if state.apart is None:
            moments, n_far = self._step(block, state, parameters, need, rule, anchor)
            if not n_far:
                return moments
        else:
            moments, n_far = self._step(state.apart[0].near, state.apart[1], parameters, need, rule, anchor)
        if n_far or state.apart is None:
            state.apart = _take_apart(block, state, far_places(block, parameters, self.log_density))
            moments, _ = self._step(state.apart[0].near, state.apart[1], parameters, need, rule, anchor)
        apart = state.apart[0]
        moments += apart.moments(self, parameters, need, moments.anchor)
        still = far_places(apart.far, parameters, self.log_density)
        if len(still) < len(apart.places):
            state.apart = _take_apart(block, state, apart.places[still]) if still.size else None
        return moments

    def _step(
        self,
        block: Block,
        state: State,
        parameters: Parameters | None,
        need: Need,
        rule: Rule,
        anchor: Array | None,
    ) -> tuple[Moments, int]:
        """A step, and how many rows are too far for what it says of them."""
        if parameters is not None and anchor is None and need == Need(Second.FULL, pooled=True):
            state.total = state.total or self._total(block)
            if is_near(parameters, state.total.anchor[0]):
                return self._step_about_centre(block, state.total, parameters, need, rule)
        about = anchor
        if about is None:
            shape = state.n_components, block.rows.shape[1]
            about = np.zeros(shape) if parameters is None or need.second is Second.NONE else parameters.means
        in_single = anchor is None and steps_in_single(block, parameters, need, rule)
        moments, n_far = self._sums(block, state, parameters, need, rule, about, in_single)
        if need.pooled and moments.second is not None:
            moments = replace(moments, second=_pooled(moments.second))
        return moments, n_far

    def _step_about_centre(
        self, block: Block, total: Moments, parameters: Parameters, need: Need, rule: Rule
    ) -> tuple[Moments, int]:
        """Pooled moments about one common point: Σ_k Σ_i γ_ik uuᵀ = Σ_i uuᵀ is the block's own scatter."""
        centre = total.anchor[0]
        centred = replace(parameters, means=parameters.means - centre)
        log_likelihood, mass, first, _, n_far, _ = self._target.step(
            block.rows, block.row_weight, None, centre, *arguments_of(centred, whiten_once=True),
            None, rule, Second.NONE, self.n_threads,
        )  # fmt: skip
        anchor = np.broadcast_to(centre, first.shape)
        second = None if total.second is None else total.second[0]
        return Moments(mass, first, second, anchor, log_likelihood, total.row_weight, need), n_far

    def _sums(
        self,
        block: Block,
        state: State,
        parameters: Parameters | None,
        need: Need,
        rule: Rule,
        anchor: Array,
        in_single: bool = False,
    ) -> tuple[Moments, int]:
        """Moments per component about the anchor, and the number of far rows."""
        offset = 0.0
        if in_single and parameters is not None:
            anchor = rounded(anchor)
            parameters, offset = scaled_for_single(parameters)
        arguments = arguments_of(parameters) if parameters is not None else no_arguments(anchor)
        sums_about = None if need.second is Second.NONE else np.ascontiguousarray(anchor)
        is_soft = parameters is not None and rule is Rule.SOFT and may_be_ordered(parameters.whitening)
        visit = state.visits.begin(self._target, arguments) if is_soft else Visit()
        log_likelihood, mass, first, second, n_far, n_near = self._target.step(
            block.rows, block.row_weight, block.given if rule is Rule.GIVEN else None, None, *arguments,
            sums_about, rule, need.second, self.n_threads, *visit, in_single, projection_of(need, state.n_components),
        )  # fmt: skip
        if is_soft:
            state.visits.end(visit, arguments, n_near)
        log_likelihood += offset * state.row_weight
        moments = Moments(mass, first, second, anchor, log_likelihood, state.row_weight, need, in_single)
        if sums_about is None and anchor.any():  # without second moments the core sums about 0
            moments = replace(moments, anchor=np.zeros(anchor.shape)).about(anchor)
        return moments, n_far

    def update(self, algebra: Algebra, scatter: Scatter, current: Array | None) -> Array:
        last = None if current is None else current.reshape(-1)
        found = self._target.update(algebra, scatter.mass, scatter.second.reshape(-1), scatter.n_features, last)
        covariances: Array = found.reshape(scatter.second.shape)
        return covariances

    def run(self, block: Block, state: State, mixture: Gaussians, algebra: Algebra, control: Control) -> Course | None:
        if block.log_prior is not None or not goes_alone(block, len(mixture.weights), algebra):
            return None
        if shares_matrix(algebra):
            state.total = state.total or self._total(block)
        return run(self._target, self.n_threads, block, state.total, mixture, algebra, control)

    def log_density(self, block: Block, parameters: Parameters) -> Array:
        density: Array = self._evaluate(block, parameters, LOG_DENSITY)
        return density

    def component_log_density(self, block: Block, parameters: Parameters) -> Array:
        log_joint: Array = self._evaluate(block, parameters, COMPONENTS)
        return log_joint

    def responsibilities(self, block: Block, parameters: Parameters) -> Array:
        shared: Array = self._evaluate(block, parameters, RESPONSIBILITIES)
        far, far_shared = far_responsibilities(block, parameters, self.log_density)
        shared[far] = far_shared
        return shared

    def labels(self, block: Block, parameters: Parameters) -> NDArray[np.int64]:
        best: NDArray[np.int64] = self._evaluate(block, parameters, LABELS)
        best = best.view(np.int64)  # the core's is C++'s long long, which prints as another type than NumPy's
        far, far_shared = far_responsibilities(block, parameters, self.log_density)
        best[far] = far_shared.argmax(axis=1)
        return best

    def draw(
        self, n_rows: int, cumulative: Array, means: Array, whitening: Whitening, key: int
    ) -> tuple[Array, NDArray[np.int64]]:
        rows, labels = np.empty((n_rows, means.shape[1])), np.empty(n_rows, np.int64)
        is_triangular = whitening.structure is Structure.TRIANGULAR
        factors = np.ascontiguousarray(whitening.factors) if is_triangular else one_each(whitening, len(means))
        self._target.draw(
            np.ascontiguousarray(cumulative), np.ascontiguousarray(means), int(whitening.structure), factors, key,
            rows, labels, self.n_threads,
        )  # fmt: skip
        return rows, labels

    def _evaluate(self, block: Block, parameters: Parameters, output: int) -> Any:
        origin = common_origin(parameters)
        if origin is not None:
            parameters = replace(parameters, means=parameters.means - origin)
        arguments = arguments_of(parameters, whiten_once=origin is not None)
        return self._target.evaluate(block.rows, origin, *arguments, output, self.n_threads)


def _take_apart(block: Block, state: State, places: NDArray[np.intp]) -> tuple[Apart, State]:
    """Far rows, and the state of the others: they are visited in the order of all."""
    apart = Apart.of(block, places)
    return apart, State(state.n_components, apart.near.total_weight, state.visits)


def _pooled(second: Array) -> Array:
    """The sum over components."""
    if second.ndim == 1:
        return np.asarray(second.sum())
    total = np.empty(second.shape[1:])
    for part in pieces((*total.shape, len(second))):
        total[part] = second[:, part].sum(axis=0)
    return total
