"""One pass over the rows: a task for the source, made of an engine's step."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any

from gaussmix.engines.base import Engine
from gaussmix.waist.arrays import Array
from gaussmix.waist.block import Block
from gaussmix.waist.moments import Moments
from gaussmix.waist.need import Need, Rule
from gaussmix.waist.parameters import Parameters


@dataclass(frozen=True)
class StepTask:
    """`Engine.step` with everything but the block.

    Parameters
    ----------
    share : makes `Block.given` where the rows are, a part of a block at a time; the rule is then `Rule.GIVEN`.
    """

    engine: Engine[Any]
    n_components: int
    parameters: Parameters | None
    need: Need
    rule: Rule = Rule.SOFT
    anchor: Array | None = None
    share: Callable[[Block], Array] | None = None

    @property
    def key(self) -> Hashable:
        return self.engine, self.need, self.n_components

    def open(self, block: Block) -> Any:
        return self.engine.open(block, self.need, self.n_components)

    def call(self, block: Block, state: Any) -> Moments:
        if self.share is None:
            return self._step(block, state)
        parts = (replace(part, given=self.share(part)) for part in block.cut())
        return reduce(add, (self._step(part, self.open(part)) for part in parts))

    def _step(self, block: Block, state: Any) -> Moments:
        return self.engine.step(block, state, self.parameters, self.need, self.rule, self.anchor)
