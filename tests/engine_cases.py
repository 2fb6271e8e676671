"""Random blocks and parameters on which engines are compared: every factor shape, need, rule and tail length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from random_parameters import NEEDS, random_need, random_parameters

from gaussmix.numerics.arrays import Array, Rows
from gaussmix.waist.block import Block
from gaussmix.waist.need import Need, Rule
from gaussmix.waist.parameters import Parameters
from gaussmix.waist.whitening.base import FactorShape

# Both sides of a lane, a group and a tile of the C++ core, and nothing at all.
N_ROWS = [0, 1, 2, 7, 8, 9, 23, 24, 25, 47, 143, 144, 145, 289]
# Both sides of the kernels' own dimensions, of a panel and of two.
N_FEATURES = [1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 17, 33]
N_COMPONENTS = [1, 2, 3, 5, 9]

Kind = tuple[FactorShape, bool, Need, Rule]  # with or without one whitening for all


@dataclass(frozen=True, eq=False)
class EngineCase:
    """A step to be made: what goes into `Engine.step`."""

    block: Block
    parameters: Parameters
    need: Need
    rule: Rule

    @property
    def name(self) -> str:
        whitening, n_features = self.parameters.whitening, self.block.rows.shape[1]
        shared = "shared " if whitening.is_shared else ""
        pooled = "pooled " if self.need.pooled else ""
        sizes = f"{self.block.n_rows} rows × {n_features} ({self.block.rows.dtype}), K = {len(self.parameters.means)}"
        return f"{sizes}, {shared}{whitening.factor_shape.name}, {pooled}{self.need.second.name}, {self.rule.name}"


def engine_cases(rng: np.random.Generator) -> Iterator[EngineCase]:
    """Each factor shape × need × rule on some random sizes, then each size with random ones."""
    kinds: list[Kind] = list(product(FactorShape, (False, True), NEEDS, Rule))
    shapes = list(product(N_ROWS, N_FEATURES))
    for kind in kinds:
        for i in rng.choice(len(shapes), 3):
            n_rows, n_features = shapes[int(i)]
            yield random_case(rng, n_rows, n_features, kind)
    for n_rows, n_features in shapes:
        yield random_case(rng, n_rows, n_features, kinds[int(rng.integers(len(kinds)))])


def random_case(rng: np.random.Generator, n_rows: int, n_features: int, kind: Kind) -> EngineCase:
    """Rows near the means of random parameters, in any layout and either type, with weights or without."""
    factor_shape, is_shared, need, rule = kind
    n_components = int(rng.choice(N_COMPONENTS))
    parameters = random_parameters(rng, n_components, n_features, factor_shape, is_shared)
    block = random_block(rng, n_rows, parameters, rule)
    return EngineCase(block, parameters, random_need(rng, need, n_components, n_features), rule)


def random_block(rng: np.random.Generator, n_rows: int, parameters: Parameters, rule: Rule) -> Block:
    """Rows about the means, shared as the rule wants them, of either type and in one of the layouts of arrays."""
    n_components, n_features = parameters.means.shape
    rows = parameters.means[rng.integers(n_components, size=n_rows)] + rng.standard_normal((n_rows, n_features))
    weight = rng.choice([0.0, 0.5, 1.0, 3.0], size=n_rows) if rng.random() < 0.5 else None
    given: Array | NDArray[np.int32] | None = None
    if rule is Rule.GIVEN and rng.random() < 0.5:
        given = rng.integers(n_components, size=n_rows).astype(np.int32)
    elif rule is Rule.GIVEN:
        given = rng.dirichlet(np.ones(n_components), size=n_rows)
    layouts = list(all_layouts(rows.astype(np.float32) if rng.random() < 0.25 else rows))
    return Block(0, layouts[int(rng.integers(len(layouts)))], weight, given)


def all_layouts(rows: Rows) -> Iterator[Rows]:
    """C order, Fortran order, every other row and third column, backwards, read-only."""
    yield np.ascontiguousarray(rows)
    yield np.asfortranarray(rows)
    spaced = np.full((2 * rows.shape[0], 3 * rows.shape[1]), np.nan, dtype=rows.dtype)
    spaced[::2, 1::3] = rows
    yield spaced[::2, 1::3]
    yield np.ascontiguousarray(rows[::-1, ::-1])[::-1, ::-1]
    locked = rows.copy()
    locked.flags.writeable = False
    yield locked
