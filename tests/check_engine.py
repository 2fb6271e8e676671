"""Checks of engines: results must agree with the reference engine, and must not depend on threads or memory layout."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import reduce
from itertools import pairwise, product
from operator import add
from typing import Any

import numpy as np
from check_moments import assert_same_moments
from common import LEAF_ROWS, AssignmentRule, Block, FactorShape, MomentSpec, Second
from numpy.typing import NDArray
from random_parameters import SPECS, random_parameters, random_spec
from reference_engine import ReferenceEngine

from gaussmix._src.engines.base import Engine
from gaussmix._src.interfaces.block import RowStatistics, nodes
from gaussmix._src.interfaces.leaves import Tree
from gaussmix._src.interfaces.moments import BlockMoments, Moments
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.interfaces.spread import Spread
from gaussmix._src.numerics.arrays import Array, Rows
from gaussmix._src.testing.closeness import EPS, assert_close, assert_same_bits

REFERENCE = ReferenceEngine()
# Allowed error relative to the sums of absolute values. Rounding is about √n ε in a sum, and d ε q in a row at squared
# distance q; the tolerance is a few hundred times larger.
TOLERANCE = 1e-12


def check_steps(engine: Engine[Any], rng: np.random.Generator) -> None:
    """Check the moments against the reference, for all factor shapes, moments, rules, block sizes and types."""
    for case in engine_cases(rng):
        actual, expected = _step(engine, case), _step(REFERENCE, case)
        assert_same_moments(actual, expected, _spread(case, expected.anchor), TOLERANCE, case.name)


def check_blocks(engine: Engine[Any], rng: np.random.Generator) -> None:
    """Check that the merged sums of blocks give the moments of all rows, however rows are divided into blocks."""
    for case in list(engine_cases(rng))[::3]:
        if case.block.n_rows == 0:
            continue
        expected = _step(REFERENCE, case)
        cut = 1 + case.block.n_rows // 3
        sums = [_sums(engine, replace(case, block=part), expected.anchor) for part in case.block.split(cut)]
        actual = engine.finish(reduce(add, sums), _step_parameters(case), case.spec)
        assert_same_moments(actual, expected, _spread(case, expected.anchor), TOLERANCE, f"{case.name}, in blocks")


def check_leaves(engine: Engine[Any], rng: np.random.Generator) -> None:
    """Check that rows cut at leaf boundaries give the same bits as uncut rows, even if a row is far away."""
    n_rows, has_far = 4 * LEAF_ROWS + 5_000, (False, True)
    for factor_shape, is_shared, is_far in product(FactorShape, (False, True), has_far):
        parameters = random_parameters(rng, 3, 2, factor_shape, is_shared)
        rows = np.array(random_block(rng, n_rows, parameters, AssignmentRule.SOFT).rows)
        if is_far:
            rows[LEAF_ROWS + 7] = 1e9
        block, second = Block(0, rows, rng.random(n_rows)), Second.FULL if factor_shape > 1 else Second.TRACE
        case = EngineCase(block, parameters, MomentSpec(second, is_shared), AssignmentRule.SOFT)
        expected, context = _step(engine, case), _begin_pass(engine, case)
        for cuts in ([1], [2, 3], [1, 2, 3, 4]):
            ends = [0, *(cut * LEAF_ROWS for cut in cuts), n_rows]
            tree = Tree[BlockMoments]()
            for node in nodes(block.row_range(first, end) for first, end in pairwise(ends)):
                tree.add(_sums(engine, replace(case, block=node), context=context), node.n_leaves)
            found = engine.finish(tree.total, parameters, case.spec, context)
            _assert_same_bits(found, expected, f"{case.name}, cut at leaves {cuts}, far rows: {is_far}")


def check_anchors(engine: Engine[Any], rng: np.random.Generator) -> None:
    """Check that sums about a given anchor lose no digits, as they would if they were moved from a distant anchor."""
    for case in list(engine_cases(rng))[::5]:
        if case.spec.second is Second.NONE:  # means alone are as accurate as rows for any anchor
            continue
        means = case.parameters.means
        far = means + 1e4 * rng.normal(size=means.shape)
        # Responsibilities of several components depend on the rounding of small densities; a single one is always 1.
        rows, distant = case.block.rows.astype(np.float64), replace(case.parameters, means=far)
        distant_case = replace(case, parameters=distant) if len(means) == 1 else case
        equal = np.full((len(rows), len(means)), 1.0 / len(means))
        shifted = replace(
            case, rule=AssignmentRule.ASSIGNMENT, block=replace(case.block, rows=rows + 1e4, assignment=equal)
        )
        for moved, anchor in ((case, far), (distant_case, means), (shifted, means + 1e4)):
            actual, expected = _step(engine, moved, anchor), _step(REFERENCE, moved, anchor)
            assert_same_bits(actual.anchor, anchor, f"anchor of {moved.name}")
            assert_same_moments(actual, expected, _spread(moved, anchor), TOLERANCE, f"{moved.name}, given anchor")


def check_distant_groups(engine: Engine[Any], rng: np.random.Generator) -> None:
    """Check that densities and sums about the means keep their digits if means are a million deviations apart."""
    for factor_shape, is_shared, n_features in product(FactorShape, (False, True), (1, 3, 6)):
        near = random_parameters(rng, 3, n_features, factor_shape, is_shared)
        parameters = replace(near, means=np.round(near.means) * 2.0**20)
        block = random_block(rng, 100, parameters, AssignmentRule.SOFT)
        case = EngineCase(block, parameters, MomentSpec(Second.FULL, is_shared), AssignmentRule.SOFT)
        expected, found = (e.log_density(block, parameters) for e in (REFERENCE, engine))
        assert_close(found, expected, TOLERANCE, 1 + np.abs(expected), f"log_density of far groups, {case.name}")
        actual, sums = (_step(e, case, parameters.means) for e in (engine, REFERENCE))
        assert_same_moments(actual, sums, _spread(case, parameters.means), TOLERANCE, f"far groups, {case.name}")


def _layout_cases(rng: np.random.Generator) -> Iterator[tuple[EngineCase, list[Rows]]]:
    """Yield cases of both floating-point types, with their rows in all memory layouts."""
    for factor_shape, n_features in (
        (FactorShape.TRIANGULAR, 3),
        (FactorShape.TRIANGULAR, 11),
        (FactorShape.DIAGONAL, 6),
        (FactorShape.LOW_RANK, 11),
    ):
        parameters = random_parameters(rng, 3, n_features, factor_shape)
        doubles = random_parameters(rng, 150, n_features, factor_shape).means
        for rows in (doubles, doubles.astype(np.float32)):
            case = EngineCase(Block(0, rows, rng.random(150)), parameters, MomentSpec(Second.FULL), AssignmentRule.SOFT)
            yield case, list(all_layouts(rows))


def check_ties(engine: Engine[Any], rng: np.random.Generator) -> None:
    """Check that labels and the hard rule choose the first of equally probable components."""
    for n_features, K in product((2, 7), (3, 13)):
        parameters = random_parameters(rng, 1, n_features, FactorShape.TRIANGULAR)
        means, log_scale = parameters.means.repeat(K, axis=0), parameters.log_scale.repeat(K)
        twins = replace(parameters, means=means, log_scale=log_scale)
        block = Block(0, rng.standard_normal((31, n_features)))
        assert_same_bits(engine.labels(block, twins), np.zeros(31), "labels of equal components")
        mass = _step(engine, EngineCase(block, twins, MomentSpec(Second.NONE), AssignmentRule.HARD)).mass
        assert_same_bits(mass, [31.0, *np.zeros(K - 1)], "mass of equal components under the hard rule")


def check_distant_rows(engine: Engine[Any], rng: np.random.Generator) -> None:
    """Check the moments if rows are about 1e4 deviations or more from every mean, near the limit for distant rows.

    Each case has two steps with the same state, which may remember distant rows, and a third step after a mean has
    moved to a distant row.
    """
    for factor_shape, is_shared in product(FactorShape, (False, True)):
        for distance in (1e4, 1e4 * (1 + 1e-9), 1e4 * (1 - 1e-9), 1e6, 1e12):
            near = random_parameters(rng, 3, 2, factor_shape, is_shared)
            log_scale = np.array([0.0, 0.0, -2.0])  # the nearest component need not have the largest scale
            far = replace(near, means=np.array([[0.0, 0.0], [1e-3, 0.0], [0.0, 1.0]]), log_scale=log_scale)
            rows = rng.standard_normal((60, 2))
            nearest = far.whitening.whiten_each(np.tile([1.0, 0.0], (3, 1)))
            rows[[7, 50], 0] = np.sqrt(distance**2 + rng.uniform(-4, 4)) / np.sqrt((nearest**2).sum(axis=1).min())
            rows[[7, 50], 1] = 0.0
            block, spec = Block(0, rows, rng.random(60)), MomentSpec(Second.FULL, is_shared)
            state = engine.make_state(block, 3)
            for parameters in (far, far, replace(far, means=np.array([[0.0, 0.0], rows[7], [0.0, 1.0]]))):
                case = EngineCase(block, parameters, spec, AssignmentRule.SOFT)
                anchor = parameters.means
                expected = _step(REFERENCE, case, anchor)
                sums = engine.step(block, state, parameters, spec, AssignmentRule.SOFT, anchor)
                moments = engine.finish(sums, parameters, spec)
                what = f"a row at {distance:g}, {case.name}"
                # Differences of squared distances are accurate to about 1e-8 nats at this distance.
                assert_same_moments(moments, expected, _spread(case, anchor), 1e-7, what)


def check_draws(engine: Engine[Any], rng: np.random.Generator) -> None:
    """Check that draws equal the reference's (rows up to rounding), and that large draws begin with the small ones."""
    for factor_shape, is_shared, n_features in product(FactorShape, (False, True), (1, 2, 3, 8, 9, 21)):
        parameters = random_parameters(rng, 5, n_features, factor_shape, is_shared)
        cumulative = np.cumsum([0.0, 0.3, 0.0, 0.7, 0.0])
        cumulative[3:] = np.inf
        key = int(rng.integers(2**64, dtype=np.uint64))
        drawn = cumulative, parameters.means, parameters.whitening, key
        what = f"of {n_features} features, {'shared ' if is_shared else ''}{factor_shape.name}"
        expected_rows, expected_labels = ReferenceEngine().draw(333, *drawn)
        rows, labels = engine.draw(333, *drawn)
        assert_same_bits(labels, expected_labels, f"labels {what}")
        # Two triangular solves differ by a few d ε times the condition of W, which is below 100 here, and two normal
        # numbers by 3 ε.
        allowed, scale = (400 * n_features + 8) * EPS, np.abs(expected_rows).max()
        assert_close(rows, expected_rows, allowed, scale, f"rows {what}")
        for n_rows in (0, 1, 100):
            first_rows, first_labels = engine.draw(n_rows, *drawn)
            assert_same_bits(first_labels, labels[:n_rows], f"the first {n_rows} labels {what}")
            assert_close(first_rows, rows[:n_rows], allowed, scale, f"the first {n_rows} rows {what}")


CHECKS = (  # a default run uses the first check, or the first and the fifth: see `heavy(n_default=…)`
    check_steps,
    check_ties,
    check_anchors,
    check_draws,
    check_blocks,
    check_distant_groups,
    check_distant_rows,
    check_leaves,
)


def check_reproducible(make_engine: Callable[[int], Engine[Any]], rng: np.random.Generator) -> None:
    """Check that results have the same bits for 1, 2, 3 and 8 threads, and for any memory layout of the rows.

    Parameters
    ----------
    make_engine : function that creates an engine with a given number of threads.
    rng : random generator for rows and parameters.

    Raises
    ------
    AssertionError : a result depends on the number of threads or on the layout.
    """
    one = make_engine(1)
    for n_features, is_shared in ((2, False), (6, False), (5, True)):
        parameters = random_parameters(rng, 3, n_features, FactorShape.TRIANGULAR, is_shared)
        rows = random_block(rng, 2 * LEAF_ROWS + 1_234, parameters, AssignmentRule.SOFT).rows
        case = EngineCase(Block(0, rows), parameters, MomentSpec(Second.FULL, is_shared), AssignmentRule.SOFT)
        expected, density = _step(one, case), one.log_density(case.block, parameters)
        for n_threads in (2, 3, 8):
            engine = make_engine(n_threads)
            _assert_same_bits(_step(engine, case), expected, f"{case.name}, {n_threads} threads")
            assert_same_bits(engine.log_density(case.block, parameters), density, f"log_density, {n_threads} threads")
    for case, layouts in _layout_cases(rng):
        expected = _step(one, case)
        for layout in layouts:
            moved = replace(case, block=replace(case.block, rows=layout))
            _assert_same_bits(_step(one, moved), expected, f"{case.name}, strides {layout.strides}")


def _step(engine: Engine[Any], case: EngineCase, anchor: Array | None = None) -> Moments:
    context = _begin_pass(engine, case)
    return engine.finish(_sums(engine, case, anchor, context), _step_parameters(case), case.spec, context)


def _sums(engine: Engine[Any], case: EngineCase, anchor: Array | None = None, context: Any = None) -> BlockMoments:
    state = engine.make_state(case.block, len(case.parameters.means))
    return engine.step(case.block, state, _step_parameters(case), case.spec, case.rule, anchor, context)


def _begin_pass(engine: Engine[Any], case: EngineCase) -> Any:
    context = engine.prepare(RowStatistics.from_block(case.block), case.spec, lambda: Spread.from_block(case.block))
    return engine.begin_pass(context, _step_parameters(case))


def _step_parameters(case: EngineCase) -> Parameters | None:
    return None if case.rule is AssignmentRule.ASSIGNMENT else case.parameters


def _spread(case: EngineCase, anchor: Array) -> Array:
    """Compute Σ s γ (x − a)², (n_components, n_features)."""
    second = _step(REFERENCE, replace(case, spec=MomentSpec(Second.DIAGONAL)), anchor).second
    assert second is not None
    return second


def _assert_same_bits(actual: Moments, expected: Moments, what: str) -> None:
    for name in ("mass", "first", "second", "anchor", "log_likelihood", "row_weight"):
        assert_same_bits(getattr(actual, name), getattr(expected, name), f"{name} of {what}")


# No rows, and row counts just below, at and above a lane, a group and a tile of the C++ core.
N_ROWS = [0, 1, 2, 7, 8, 9, 23, 24, 25, 47, 143, 144, 145, 289]
# Feature counts just below, at and above the largest dimension with separate code, one panel and two panels.
N_FEATURES = [1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 17, 33]
N_COMPONENTS = [1, 2, 3, 5, 9]

Kind = tuple[FactorShape, bool, MomentSpec, AssignmentRule]  # the second entry is True for a shared whitening


@dataclass(frozen=True, eq=False)
class EngineCase:
    """Arguments of a call to `Engine.step`."""

    block: Block
    parameters: Parameters
    spec: MomentSpec
    rule: AssignmentRule

    @property
    def name(self) -> str:
        whitening, n_features = self.parameters.whitening, self.block.rows.shape[1]
        shared = "shared " if whitening.is_shared else ""
        pooled = "pooled " if self.spec.is_pooled else ""
        sizes = f"{self.block.n_rows} rows × {n_features} ({self.block.rows.dtype}), K = {len(self.parameters.means)}"
        return f"{sizes}, {shared}{whitening.factor_shape.name}, {pooled}{self.spec.second.name}, {self.rule.name}"


def engine_cases(rng: np.random.Generator) -> Iterator[EngineCase]:
    """Yield each combination of factor shape, moments and rule with random sizes, then each size once."""
    kinds: list[Kind] = list(product(FactorShape, (False, True), SPECS, AssignmentRule))
    shapes = list(product(N_ROWS, N_FEATURES))
    for kind in kinds:
        for i in rng.choice(len(shapes), 3):
            n_rows, n_features = shapes[int(i)]
            yield random_case(rng, n_rows, n_features, kind)
    for n_rows, n_features in shapes:
        yield random_case(rng, n_rows, n_features, kinds[int(rng.integers(len(kinds)))])


def random_case(rng: np.random.Generator, n_rows: int, n_features: int, kind: Kind) -> EngineCase:
    """Draw a case whose rows are near the means of random parameters, with random layout, type and weights."""
    factor_shape, is_shared, spec, rule = kind
    n_components = int(rng.choice(N_COMPONENTS))
    parameters = random_parameters(rng, n_components, n_features, factor_shape, is_shared)
    block = random_block(rng, n_rows, parameters, rule)
    return EngineCase(block, parameters, random_spec(rng, spec, n_components, n_features), rule)


def random_block(rng: np.random.Generator, n_rows: int, parameters: Parameters, rule: AssignmentRule) -> Block:
    """Draw a block of rows around the means, with an assignment if the rule needs one, and a random layout and type."""
    n_components, n_features = parameters.means.shape
    rows = parameters.means[rng.integers(n_components, size=n_rows)] + rng.standard_normal((n_rows, n_features))
    weight = rng.choice([0.0, 0.5, 1.0, 3.0], size=n_rows) if rng.random() < 0.5 else None
    given: Array | NDArray[np.int32] | None = None
    if rule is AssignmentRule.ASSIGNMENT and rng.random() < 0.5:
        given = rng.integers(n_components, size=n_rows).astype(np.int32)
    elif rule is AssignmentRule.ASSIGNMENT:
        given = rng.dirichlet(np.ones(n_components), size=n_rows)
    layouts = list(all_layouts(rows.astype(np.float32) if rng.random() < 0.25 else rows))
    return Block(0, layouts[int(rng.integers(len(layouts)))], weight, given)


def all_layouts(rows: Rows) -> Iterator[Rows]:
    """Yield rows in C order, in Fortran order, with gaps between rows and columns, reversed, and read-only."""
    yield np.ascontiguousarray(rows)
    yield np.asfortranarray(rows)
    spaced = np.full((2 * rows.shape[0], 3 * rows.shape[1]), np.nan, dtype=rows.dtype)
    spaced[::2, 1::3] = rows
    yield spaced[::2, 1::3]
    yield np.ascontiguousarray(rows[::-1, ::-1])[::-1, ::-1]
    locked = rows.copy()
    locked.flags.writeable = False
    yield locked
