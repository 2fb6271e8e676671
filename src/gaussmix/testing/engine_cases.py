"""Random blocks and parameters on which engines are compared: every factor shape, need, rule and tail length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from gaussmix.covariances import Covariances, Dense, Diagonal, Isotropic, LowRank
from gaussmix.numerics.arrays import Array, Rows
from gaussmix.waist.block import Block
from gaussmix.waist.need import Need, Rule, Second
from gaussmix.waist.parameters import Parameters
from gaussmix.waist.whitening.base import FactorShape

NEEDS = [Need(Second.NONE)]
NEEDS += [Need(s, pooled) for s in Second if s is not Second.NONE for pooled in (False, True)]
# Both sides of a lane, a group and a tile of the C++ core, and nothing at all.
N_ROWS = [0, 1, 2, 7, 8, 9, 23, 24, 25, 47, 143, 144, 145, 289]
# Both sides of the kernels' own dimensions, of a panel and of two.
N_FEATURES = [1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 17, 33]
N_COMPONENTS = [1, 2, 3, 5, 9]
N_FACTORS = [1, 2, 3, 4, 5, 9]
FORMS: dict[FactorShape, type[Covariances]] = {  # of the covariances whose whitening has such factors
    FactorShape.SPHERICAL: Isotropic,
    FactorShape.DIAGONAL: Diagonal,
    FactorShape.TRIANGULAR: Dense,
    FactorShape.LOW_RANK: LowRank,
}

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


def random_need(rng: np.random.Generator, need: Need, n_components: int, n_features: int) -> Need:
    """The need, with a random projection where it takes one: the same for all components where it is pooled."""
    if need.second is not Second.PROJECTED:
        return need
    shape = 1 if need.pooled else n_components, int(rng.choice(N_FACTORS)), n_features
    return replace(need, projection=rng.normal(size=shape))


def random_parameters(
    rng: np.random.Generator, n_components: int, n_features: int, factor_shape: FactorShape, is_shared: bool = False
) -> Parameters:
    """Means some deviations apart, covariances of condition number some tens."""
    means = rng.normal(0.0, 2.0, size=(n_components, n_features))
    each = random_covariances(rng, 1 if is_shared else n_components, n_features, factor_shape)
    covariances = FORMS[factor_shape](each, n_components, n_features, is_shared)
    return Parameters.of(rng.dirichlet(np.full(n_components, 3.0)), means, covariances.whitening)


def random_covariances(rng: np.random.Generator, count: int, n_features: int, factor_shape: FactorShape) -> Array:
    """In the form of `Covariances.each`."""
    if factor_shape is FactorShape.SPHERICAL:
        return rng.uniform(0.3, 3.0, size=count)
    if factor_shape is FactorShape.DIAGONAL:
        return rng.uniform(0.3, 3.0, size=(count, n_features))
    if factor_shape is FactorShape.LOW_RANK:  # [loadings | noise]
        loadings = rng.normal(size=(count, n_features, min(int(rng.choice(N_FACTORS)), n_features)))
        return np.concatenate((loadings, rng.uniform(0.3, 3.0, size=(count, n_features, 1))), axis=2)
    factors = rng.normal(size=(count, n_features, n_features)) / np.sqrt(n_features)
    return factors @ factors.transpose(0, 2, 1) + 0.3 * np.eye(n_features)


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
