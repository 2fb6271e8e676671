"""One pass over the rows: an engine's step on every block of a source."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.engines.base import Engine, Facts
from gaussmix._src.interfaces.block import Block, BlockState
from gaussmix._src.interfaces.leaves import TILE_ROWS
from gaussmix._src.interfaces.moments import Moments, Partial
from gaussmix._src.interfaces.need import Need, Rule
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.interfaces.spread import Spread
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.threads import at_most
from gaussmix._src.sources.base import Source

MAX_SHARES_HELD = 2**22  # responsibilities that `share` makes at a time, 32 MB


@dataclass(frozen=True)
class StepTask:
    """The arguments of `Engine.step` without the block; picklable where the engine and `share` are.

    Parameters
    ----------
    engine, parameters, need, rule, anchor : as for `Engine.step`.
    n_components : K.
    share : computes `Block.given` for a part of a block, in the process that has the rows; the rule is then
        `Rule.GIVEN`. Under this rule a single component gets every row that is not given to the noise.
    facts : as for `Engine.step`: the facts of the pass before; None in the first pass.
    """

    engine: Engine[Any]
    n_components: int
    parameters: Parameters | None
    need: Need
    rule: Rule = Rule.SOFT
    anchor: Array | None = None
    share: Callable[[Block], Array] | None = None
    facts: Facts | None = None

    def over(self, source: Source) -> Moments:
        """Make the pass: sums of every block, merged and finished."""
        facts = self.facts
        if facts is None and self.rule is not Rule.GIVEN:
            facts = look(source, self.engine, self.need)
        sums = source.map_merge(self if facts is self.facts else replace(self, facts=facts))
        return self.engine.finish(sums, self.parameters, self.need, facts)

    @property
    def key(self) -> Hashable:
        return self.engine, self.need, self.n_components

    def sizes(self, n_features: int) -> tuple[int, int, int]:
        """Return about how many bytes are sent for the task in a step of EM and for the sums of a node, and K."""
        n_second = self.need.n_numbers(self.n_components, n_features)
        is_known = self.rule is Rule.SOFT and self.facts is not None and self.facts.total is not None
        sums = self.n_components * (1 + 2 * n_features) + (0 if is_known else n_second)
        return 16 * (self.n_components * (2 + 2 * n_features) + 2 * n_second), 8 * sums, self.n_components

    def open(self, block: Block) -> BlockState:
        return self.engine.open(block, self.need, self.n_components)

    def call(self, block: Block, state: BlockState) -> Partial:
        if self.share is not None:
            return self._share_and_call(block, self.share)
        if self.rule is Rule.GIVEN and self.n_components == 1:
            block = replace(block, given=_of_one(block))
        return self.engine.step(block, state, self.parameters, self.need, self.rule, self.anchor, self.facts)

    def _share_and_call(self, block: Block, share: Callable[[Block], Array]) -> Partial:
        n_rows = max(1, MAX_SHARES_HELD // (TILE_ROWS * self.n_components)) * TILE_ROWS
        shared = replace(self, share=None)

        def of_leaf(leaf: Block) -> Partial:
            parts = (replace(part, given=share(part)) for part in leaf.cut(n_rows))
            return reduce(add, (shared.call(part, self.open(part)) for part in parts))

        return block.sum_of(of_leaf)


def _of_one(block: Block) -> Array | NDArray[np.int32]:
    """Responsibilities of a single component: 1 for each row that is not given to the noise."""
    given = block.given
    if given is not None and given.ndim == 2 and given.shape[1] == 1:
        return given
    if given is None or given.ndim == 2:
        return np.broadcast_to(np.int32(0), block.n_rows)
    return np.minimum(given, 0).astype(np.int32)


def look(source: Source, engine: Engine[Any], need: Need) -> Facts:
    """The engine's facts about all rows of a source, found once for each source and need."""

    def spread() -> Spread:
        with at_most(engine.n_threads):
            return source.of_all(Spread)

    return source.found((engine, need), lambda: engine.look(source.profile, need, spread))
