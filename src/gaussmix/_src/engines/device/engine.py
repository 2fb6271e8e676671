"""The engine for rows on a device, which computes sums and densities as matrix products in an array library.

With features φ = (y_i y_j, y, 1) of standardised rows y and natural parameters θ_k, log p(x, k) = φ · θ_k, and the sums
of a step are γᵀ φ. Therefore, a pass consists of two matrix products, and reads n (D + K) values instead of n K d, for
n rows, K components, d features and D values in φ. `triton_kernels` computes the sums for PyTorch on Hopper GPUs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.engines.base import NOISE_LABEL
from gaussmix._src.engines.calls import PackedPrior
from gaussmix._src.engines.complete.distant import split_block, sum_distant_rows
from gaussmix._src.engines.complete.engine import CompleteEngine, OrderedContext
from gaussmix._src.engines.device.passes import Pass
from gaussmix._src.engines.device.standardisation import MeasuredRows
from gaussmix._src.interfaces.algebra import Algebra
from gaussmix._src.interfaces.block import Block, BlockState
from gaussmix._src.interfaces.moment_spec import AssignmentRule, MomentSpec, Second
from gaussmix._src.interfaces.moments import BlockMoments
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.device_array import DeviceArray, concatenated


class DeviceEngine(CompleteEngine):
    """Engine for rows in a `DeviceArray`. The C++ core evaluates rows in NumPy arrays, such as samples.

    A step is one pass over all rows, which adds the sums over parts of the rows in pairs. A part is large on a GPU, so
    that the GPU executes few operations, and small on a processor, so that the processor's cache holds the part. Unlike
    in the C++ core, the last bits of sums depend on the array library, on the device, and on the size of the parts.
    """

    def make_state(self, block: Block, n_components: int) -> Any:
        return BlockState(n_components) if _is_on_device(block) else super().make_state(block, n_components)

    def step(
        self,
        block: Block,
        state: Any,
        parameters: Parameters | None,
        spec: MomentSpec,
        rule: AssignmentRule = AssignmentRule.SOFT,
        anchor: Array | None = None,
        context: OrderedContext | None = None,
    ) -> BlockMoments:
        if not _is_on_device(block):
            return super().step(block, state, parameters, spec, rule, anchor, context)
        total = None if context is None else context.total_spread
        shape = state.n_components, block.rows.shape[1]
        if anchor is None and total is not None and parameters is not None and parameters.log_noise_density == -np.inf:
            # Pooled moments about a common point equal the scatter of all rows; `finish` reads it from the context.
            spec, anchor = MomentSpec(Second.NONE), np.broadcast_to(total.mean, shape)
        elif anchor is None:
            rows: Any = block.rows
            centre = MeasuredRows.of_array(rows).standardisation.centre
            anchor = np.broadcast_to(centre, shape) if parameters is None else parameters.means
        assigned_by = None if rule is AssignmentRule.ASSIGNMENT else parameters
        sums, n_distant = Pass(block, assigned_by, state.n_components, rule).sum_moments(spec, anchor)
        if not n_distant or parameters is None or rule is not AssignmentRule.SOFT:
            return sums
        _, distant = Pass(block, parameters, state.n_components).evaluate(_log_density)
        nearby, others = split_block(block, distant)
        sums, _ = Pass(nearby, parameters, state.n_components).sum_moments(spec, anchor)
        return sums + sum_distant_rows(others.on_host(), self, parameters, sums.spec, anchor)

    def log_density(self, block: Block, parameters: Parameters) -> Array:
        return self._evaluate_rows(super().log_density, _log_density, block, parameters)

    def component_log_density(self, block: Block, parameters: Parameters) -> Array:
        K = len(parameters.means)
        return self._evaluate_rows(super().component_log_density, lambda xp, joint: joint[:, :K], block, parameters)

    def responsibilities(self, block: Block, parameters: Parameters) -> Array:
        function = partial(_responsibilities, n_components=len(parameters.means))
        return self._evaluate_rows(super().responsibilities, function, block, parameters, corrects_distant=True)

    def labels(self, block: Block, parameters: Parameters) -> NDArray[np.int64]:
        if not _is_on_device(block):
            return super().labels(block, parameters)
        rows: Any = block.rows
        function = partial(_labels, column_labels=rows.send(_column_labels(parameters)))
        on_host = super().labels
        labels: NDArray[np.int64] = self._evaluate_rows(on_host, function, block, parameters, corrects_distant=True)
        return labels

    def supports_core_steps(
        self, block: Block, n_components: int, structure: Algebra, prior: PackedPrior | None, has_noise: bool
    ) -> bool:
        mixture_arguments = n_components, structure, prior, has_noise
        return not _is_on_device(block) and super().supports_core_steps(block, *mixture_arguments)

    def score_products(
        self, block: Block, parameters: Parameters, whitening: Array, score_form: Second
    ) -> tuple[Array, Array]:
        return super().score_products(block.on_host(), parameters, whitening, score_form)

    def _evaluate_rows(
        self,
        on_host: Callable[..., Any],
        function: Callable[..., Any],
        block: Block,
        parameters: Parameters,
        *,
        corrects_distant: bool = False,
    ) -> Any:
        """Compute `function` of log p(x, k) for rows on a device, or call `on_host` for rows in a NumPy array.

        If `corrects_distant`, rows that are far from every mean are copied, and `on_host` computes their results.
        """
        if not _is_on_device(block):
            return on_host(block, parameters)
        result, distant = Pass(block, parameters, len(parameters.means)).evaluate(function)
        if not corrects_distant or not distant.size:
            return result
        corrected = DeviceArray(result.send(on_host(block.take(distant, 0).on_host(), parameters)))
        order = np.arange(len(result))
        order[distant] = len(result) + np.arange(len(distant))
        return concatenated([result, corrected]).take(order)


def _is_on_device(block: Block) -> bool:
    return isinstance(block.rows, DeviceArray)


def _log_density(xp: Any, joint: Any) -> Any:
    """Return log p(x) of each row, in nats."""
    highest = xp.max(joint, axis=1, keepdims=True)
    return highest[:, 0] + xp.log(xp.sum(xp.exp(joint - highest), axis=1))


def _responsibilities(xp: Any, joint: Any, n_components: int) -> Any:
    """Return p(k | x) of each row and component."""
    likelihoods = xp.exp(joint - xp.max(joint, axis=1, keepdims=True))
    return (likelihoods / xp.sum(likelihoods, axis=1, keepdims=True))[:, :n_components]


def _labels(xp: Any, joint: Any, column_labels: Any) -> Any:
    """Return the label of each row's most probable column."""
    return xp.take(column_labels, xp.argmax(joint, axis=1))


def _column_labels(parameters: Parameters) -> NDArray[np.int64]:
    """Return, for each component, the first component with equal parameters, and `NOISE_LABEL` for the noise component.

    A library may round the densities of equal components differently, and then the first is not the most probable.
    """
    whitening, first = parameters.whitening, dict[Any, int]()
    labels = [
        first.setdefault((mean.tobytes(), scale, whitening.factor(k).tobytes()), k)
        for k, (mean, scale) in enumerate(zip(parameters.means, parameters.log_scale.tolist(), strict=True))
    ]
    return np.array([*labels, NOISE_LABEL])
