"""One pass over the rows: a task for the source, made of an engine's step."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any

from gaussmix.engines.base import Engine
from gaussmix.numerics.arrays import Array
from gaussmix.sources.base import Source
from gaussmix.waist.block import BLOCK_ROWS, Block
from gaussmix.waist.moments import Moments, Partial
from gaussmix.waist.need import Need, Rule
from gaussmix.waist.parameters import Parameters

SHARES = 2**22  # responsibilities made at a time, 32 MB
TILE_ROWS = 144  # the core's: parts end where tiles do


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

    def over(self, source: Source) -> Moments:
        """Make the pass: sums of every block, merged and finished."""
        return self.engine.finish(source.map_merge(self), self.parameters)

    def call(self, block: Block, state: Any) -> Partial:
        if self.share is None:
            return self._step(block, state)
        n_rows = max(1, SHARES // (TILE_ROWS * self.n_components)) * TILE_ROWS
        parts = (replace(part, given=self.share(part)) for part in block.cut(min(n_rows, BLOCK_ROWS)))
        return reduce(add, (self._step(part, self.open(part)) for part in parts))

    def _step(self, block: Block, state: Any) -> Partial:
        parameters = self.parameters
        if parameters is not None and block.log_prior is not None:
            assert block.log_prior.ndim == 1, "a source cuts rows of which unlike things are known apart"
            parameters = replace(parameters, log_scale=parameters.log_scale + block.log_prior)
        return self.engine.step(block, state, parameters, self.need, self.rule, self.anchor)
