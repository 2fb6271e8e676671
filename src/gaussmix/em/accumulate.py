"""One pass over the rows: an engine's step on every block of a source."""

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
    """The arguments of `Engine.step` without the block; picklable where the engine and `share` are.

    Parameters
    ----------
    engine, parameters, need, rule, anchor : as for `Engine.step`.
    n_components : K.
    share : makes `Block.given` where the rows are, for a part of a block at a time; the rule is then `Rule.GIVEN`.
    """

    engine: Engine[Any]
    n_components: int
    parameters: Parameters | None
    need: Need
    rule: Rule = Rule.SOFT
    anchor: Array | None = None
    share: Callable[[Block], Array] | None = None

    def over(self, source: Source) -> Moments:
        """Make the pass: sums of every block, merged and finished."""
        return self.engine.finish(source.map_merge(self), self.parameters)

    @property
    def key(self) -> Hashable:
        return self.engine, self.need, self.n_components

    def open(self, block: Block) -> Any:
        return self.engine.open(block, self.need, self.n_components)

    def call(self, block: Block, state: Any) -> Partial:
        if self.share is not None:
            return self._share_and_call(block, self.share)
        parameters = self.parameters
        if parameters is not None and block.log_prior is not None:
            parameters = replace(parameters, log_scale=parameters.log_scale + block.log_prior)
        return self.engine.step(block, state, parameters, self.need, self.rule, self.anchor)

    def _share_and_call(self, block: Block, share: Callable[[Block], Array]) -> Partial:
        assert block.log_prior is None, "rows with labels are not consecutive: `share` would read another row's rank"
        shared, n_rows = replace(self, share=None), max(1, SHARES // (TILE_ROWS * self.n_components)) * TILE_ROWS
        parts = (replace(part, given=share(part)) for part in block.cut(min(n_rows, BLOCK_ROWS)))
        return reduce(add, (shared.call(part, self.open(part)) for part in parts))
