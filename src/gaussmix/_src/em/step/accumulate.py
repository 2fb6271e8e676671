"""One pass over the rows, which calls `Engine.step` for every block of a source and adds the results."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.engines.base import Engine, PassContext
from gaussmix._src.interfaces.block import Block, BlockState
from gaussmix._src.interfaces.moment_spec import AssignmentRule, MomentSpec
from gaussmix._src.interfaces.moments import BlockMoments, Moments
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.interfaces.spread import Spread
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.threads import limit_threads
from gaussmix._src.sources.base import Source

MAX_RESPONSIBILITIES = 2**22  # maximum number of responsibilities in memory at a time (32 MB)


@dataclass(frozen=True)
class StepTask:
    """Task with all arguments of `Engine.step` except the block; picklable if all fields are picklable.

    Parameters
    ----------
    engine, parameters, spec, rule, anchor : engine, and arguments of its method `step`.
    n_components : number of components.
    responsibilities : function that computes `Block.assignment` for some rows of a block, in the process that holds the
        rows, if `rule` is `AssignmentRule.ASSIGNMENT`; None if blocks have assignments or need no assignments.
    context : context of the previous pass (`Moments.context`); None in the first pass.
    """

    engine: Engine[Any]
    n_components: int
    parameters: Parameters | None
    spec: MomentSpec
    rule: AssignmentRule = AssignmentRule.SOFT
    anchor: Array | None = None
    responsibilities: Callable[[Block], Array] | None = None
    context: PassContext | None = None

    def sum_moments(self, source: Source) -> Moments:
        """Run a pass over the source, and return the moments of all rows."""
        context = self.context
        if context is None and self.rule is not AssignmentRule.ASSIGNMENT:
            context = prepare_context(source, self.engine, self.spec)
        context = self.engine.begin_pass(context, self.parameters)
        sums = source.map_merge(self if context is self.context else replace(self, context=context))
        return self.engine.finish(sums, self.parameters, self.spec, context)

    @property
    def key(self) -> Hashable:
        return self.engine, self.n_components

    def sizes(self, n_features: int) -> tuple[int, int, int]:
        """Return the approximate sizes in bytes of the task and of its result, and the number of components."""
        n_second = self.spec.n_values(self.n_components, n_features)
        # A shared covariance follows from the scatter matrix of all rows, so that a step sums no second moments.
        has_total = self.context is not None and self.context.total_spread is not None
        n_summed = 0 if has_total and self.rule is AssignmentRule.SOFT else n_second
        sums = self.n_components * (1 + 2 * n_features) + n_summed
        return 16 * (self.n_components * (2 + 2 * n_features) + 2 * n_second), 8 * sums, self.n_components

    def open(self, block: Block) -> BlockState:
        return self.engine.make_state(block, self.n_components)

    def call(self, block: Block, state: BlockState) -> BlockMoments:
        if self.responsibilities is not None:
            return self._call_in_parts(block, self.responsibilities)
        if self.rule is AssignmentRule.ASSIGNMENT and self.n_components == 1:
            block = replace(block, assignment=_single_component_labels(block))
        return self.engine.step(block, state, self.parameters, self.spec, self.rule, self.anchor, self.context)

    def _call_in_parts(self, block: Block, responsibilities: Callable[[Block], Array]) -> BlockMoments:
        task = replace(self, responsibilities=None)

        def sum_leaf(leaf: Block) -> BlockMoments:
            parts = leaf.split_by_values(self.n_components, MAX_RESPONSIBILITIES)
            assigned = (replace(part, assignment=responsibilities(part)) for part in parts)
            return reduce(add, (task.call(part, self.open(part)) for part in assigned))

        return block.sum_of(sum_leaf)


def _single_component_labels(block: Block) -> Array | NDArray[np.int32]:
    """Return the assignment for a single component: all rows except noise rows belong to this component."""
    labels = block.assignment
    if labels is not None and labels.ndim == 2 and labels.shape[1] == 1:
        return labels
    if labels is None or labels.ndim == 2:
        return np.broadcast_to(np.int32(0), block.n_rows)
    return np.minimum(labels, 0).astype(np.int32)


def prepare_context(source: Source, engine: Engine[Any], spec: MomentSpec) -> PassContext:
    """Return the statistics of all rows that the engine needs (`Engine.prepare`), cached for the source and `spec`."""

    def spread() -> Spread:
        with limit_threads(engine.n_threads):
            return source.collect(Spread)

    return source.cached((engine, spec), lambda: engine.prepare(source.row_totals, spec, spread))
