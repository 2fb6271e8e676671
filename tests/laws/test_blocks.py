"""Tests that results have the same bits for any division into blocks, any order of blocks, and if states are lost."""

from functools import reduce
from itertools import pairwise
from operator import add

import numpy as np
import pytest
from common import LEAF_ROWS, ArraySource, AssignmentRule, Block, Objective, StopRule, run_em
from every_engine import ENGINES
from many_blocks import labelled, separated_clusters

from gaussmix import FAMILIES
from gaussmix._src.interfaces.block import RowStatistics, nodes
from gaussmix._src.interfaces.leaves import Tree
from gaussmix.extend import Source

N_LEAVES, N_FEATURES, N_COMPONENTS = 6, 3, 4
N_ROWS = (N_LEAVES - 1) * LEAF_ROWS + 4_321


class Scattered(Source):
    """Source with given block boundaries that processes blocks in random order and sometimes drops their states."""

    whole = None

    def __init__(self, block, ends, rng):
        self.n_rows, self.n_features, self.dtype = *block.rows.shape, block.rows.dtype
        self._block, self._ends, self._rng = block, ends, rng
        self._states = {}

    def blocks(self):
        return (self._block.row_range(first, end) for first, end in pairwise([0, *self._ends, self.n_rows]))

    def map_merge(self, task):
        parts, done, tree = list(nodes(self.blocks())), {}, Tree()
        for number in self._rng.permutation(len(parts)):
            key = task.key, number
            if key not in self._states or self._rng.random() < 0.3:
                self._states[key] = task.open(parts[number])
            done[number] = task.call(parts[number], self._states[key])
        for number, part in enumerate(parts):
            tree.add(done[number], part.n_leaves)
        return tree.total


DIVISIONS = {
    "at leaves": [leaf * LEAF_ROWS for leaf in range(1, N_LEAVES)],
    "at some leaves": [LEAF_ROWS, 4 * LEAF_ROWS],
    "anywhere": [17, LEAF_ROWS - 1, LEAF_ROWS + 5, 200_000, 200_001, 300_000],
}


@pytest.fixture
def table(rng):
    """Return rows of overlapping clusters, and weights."""
    centres = 3 * rng.normal(size=(N_COMPONENTS, N_FEATURES))
    rows = centres[rng.integers(N_COMPONENTS, size=N_ROWS)] + rng.normal(size=(N_ROWS, N_FEATURES))
    return rows, rng.random(N_ROWS) * 3


def start(family, rows, n_components=N_COMPONENTS):
    """Return an initial mixture of a structure from the first rows, and the objective."""
    from gaussmix._src.em.initialisation.initial import InitialMoments
    from gaussmix.extend import Partition

    first_rows = rows[:2_000].astype(np.float64)
    labels = (first_rows[:, 0].argsort().argsort() * n_components // len(first_rows)).astype(np.int32)
    source = ArraySource(first_rows, None, labels)
    ridge = Objective(np.full(rows.shape[1], 1e-3))
    return InitialMoments(source, ENGINES["reference"](1), n_components, Partition()).model(family, ridge), ridge


def assert_same_run(source, other, engine, family, rows, n_steps=4, tolerance=0.0):
    model, ridge = start(family, rows)
    *_, expected = run_em(source, engine, model, ridge, StopRule(tolerance, n_steps))
    *_, found = run_em(other, engine, model, ridge, StopRule(tolerance, n_steps))
    assert found.trace.log_likelihood == expected.trace.log_likelihood
    for name in ("weights", "means"):
        np.testing.assert_array_equal(getattr(found.model, name), getattr(expected.model, name))
    np.testing.assert_array_equal(found.model.covariances.array, expected.model.covariances.array)


def forms(rows, dtype="f8", has_distant=True):
    """Convert rows to a type, and move some rows far away from every mean."""
    rows = np.array(rows, dtype=dtype)
    if has_distant:
        rows[[5, 2 * LEAF_ROWS, 2 * LEAF_ROWS + 1]] = [[1e6, 0, 0], [-1e9, 3e8, 0], [0, 0, 1e7]]
    return rows


@pytest.mark.heavy(n_default=2)
@pytest.mark.pairwise
@pytest.mark.parametrize("has_distant", [False, True])
@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("name", ["full", "tied", "diag", "spherical", "EII", "EEI", "VEV", "factor_analyzer"])
def test_a_fit_has_the_same_bits_for_any_division_into_blocks(name, is_weighted, dtype, has_distant, table, rng):
    rows, weights = forms(table[0], dtype, has_distant), table[1] if is_weighted else None
    whole = Block(0, rows, weights)
    for ends in DIVISIONS.values():
        engine = ENGINES["complete"](int(rng.integers(1, 4)))
        one = ArraySource(rows, weights)
        assert_same_run(one, Scattered(whole, ends, rng), engine, FAMILIES[name], rows, tolerance=1e-5)


@pytest.mark.parametrize("rule", [AssignmentRule.HARD, AssignmentRule.ASSIGNMENT])
def test_only_soft_steps_treat_distant_rows_separately(rule, table, rng):
    """Other steps must not treat distant rows separately, even if an earlier soft step with the same state did."""
    rows = forms(table[0])
    model, _ = start(FAMILIES["diag"], rows)
    engine, spec = ENGINES["complete"](1), model.family.moment_spec(None)
    labels = rng.integers(N_COMPONENTS, size=N_ROWS, dtype=np.int32)
    block = Block(0, rows, assignment=labels)
    state = engine.make_state(block, N_COMPONENTS)
    engine.step(block, state, model.parameters, spec, AssignmentRule.SOFT, model.means)
    parameters = model.parameters if rule is AssignmentRule.HARD else None
    found, expected = (
        engine.step(block, each, parameters, spec, rule, model.means)
        for each in (state, engine.make_state(block, N_COMPONENTS))
    )
    for name in ("mass", "first", "second"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.heavy(n_default=4)
@pytest.mark.parametrize("name", list(FAMILIES))
def test_every_structure_has_the_same_bits_for_two_blocks(name, table, rng):
    rows, _ = table
    cut = Scattered(Block(0, rows), [3 * LEAF_ROWS], rng)
    assert_same_run(ArraySource(rows), cut, ENGINES["complete"](2), FAMILIES[name], rows, n_steps=2)


@pytest.mark.heavy
@pytest.mark.pairwise
@pytest.mark.parametrize("has_distant", [False, True])
@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize("name", ["full", "diag", "spherical"])
def test_lost_row_orders_are_computed_again(name, dtype, has_distant, rng):
    """A block whose state was dropped must visit its rows in the same order, so that no bit of the fit changes."""
    rows, model = separated_clusters(name, rng, 3 * LEAF_ROWS + 100)
    rows = rows.astype(dtype)
    if has_distant:
        rows[[5, 2 * LEAF_ROWS]] = 1e9
    ridge, engine = Objective(np.full(6, 1e-3)), ENGINES["complete"](2)
    stopping = StopRule(1e-12 if dtype == "f8" else 2e-6, 7)
    *_, expected = run_em(ArraySource(rows), engine, model, ridge, stopping)
    for ends in ([LEAF_ROWS], [2 * LEAF_ROWS, 3 * LEAF_ROWS]):
        cut = Scattered(Block(0, rows), ends, rng)
        *_, found = run_em(cut, engine, model, ridge, stopping)
        assert found.trace.log_likelihood == expected.trace.log_likelihood
        np.testing.assert_array_equal(found.model.covariances.array, expected.model.covariances.array)
        caches = [getattr(state, "order_cache", None) for state in cut._states.values()]
        assert any(cache and cache._order for cache in caches), "no pass read the rows in order"


@pytest.mark.parametrize("name", ["full", "tied", "diag"])
def test_partly_labelled_rows_give_the_same_bits_for_any_division_into_blocks(name, table, rng):
    rows, weights = table
    labels, component_label = rng.integers(-1, 2, size=N_ROWS), np.arange(N_COMPONENTS) % 2
    one = labelled(ArraySource(rows, weights), labels, component_label)
    cut = labelled(Scattered(Block(0, rows, weights), DIVISIONS["anywhere"], rng), labels, component_label)
    assert_same_run(one, cut, ENGINES["complete"](1), FAMILIES[name], rows, n_steps=3)


def test_row_totals_do_not_depend_on_the_division_into_blocks(table, rng):
    rows, weights = table
    weights[::7] = 0.0
    expected = ArraySource(rows, weights).row_totals
    assert expected == RowStatistics(N_ROWS, expected.total_weight, int((weights > 0).sum()), float(weights.max()))
    for ends in DIVISIONS.values():
        assert Scattered(Block(0, rows, weights), ends, rng).row_totals == expected


def test_nodes_start_at_multiples_of_their_size_and_share_memory(table, rng):
    rows, _ = table
    block = Block(0, rows)
    assert [(part.first_row // LEAF_ROWS, part.n_leaves) for part in nodes([block])] == [(0, 4), (4, 1), (5, 1)]
    assert all(np.shares_memory(part.rows, rows) for part in nodes([block]))
    for ends in DIVISIONS.values():
        parts = list(nodes(Scattered(block, ends, rng).blocks()))
        np.testing.assert_array_equal(np.concatenate([part.rows for part in parts]), rows)
        for part in parts:
            leaf, n_leaves = divmod(part.first_row, LEAF_ROWS)[0], part.n_leaves
            assert part.first_row % LEAF_ROWS == 0
            assert leaf % n_leaves == 0
            assert n_leaves & (n_leaves - 1) == 0


def test_a_tree_merges_pairs_of_neighbours_and_then_the_rest_from_the_right():
    """The sums of five leaves are merged as (((01)(23))4), and the sums of seven leaves as (((01)(23))((45)6))."""

    class Shape(str):
        def __add__(self, other):
            return Shape(f"({self}{other})")

    for n_leaves, expected in ((1, "0"), (2, "(01)"), (3, "((01)2)"), (5, "(((01)(23))4)"), (7, "(((01)(23))((45)6))")):
        tree = Tree()
        for leaf in range(n_leaves):
            tree.add(Shape(leaf))
        assert tree.total == expected
    tree = Tree()
    for sums, size in (("a", 4), ("b", 2), ("c", 1)):
        tree.add(Shape(sums), size)
    assert tree.total == "(a(bc))"


@pytest.mark.parametrize("n_leaves", [1, 6, 23, 64])
def test_trees_merge_to_the_same_total_in_any_order(n_leaves, rng):
    """The total equals the total of the leaves in order; consecutive leaves need about 2 log2(n_leaves) nodes."""
    sums = rng.normal(size=n_leaves)
    expected = Tree()
    for each in sums:
        expected.add(each)
    trees = []
    for leaves in np.array_split(rng.permutation(n_leaves), min(n_leaves, 5)):
        tree = Tree()
        for leaf in leaves:
            tree.add(sums[leaf], 1, int(leaf))
        trees.append(tree)
    found = reduce(add, trees)
    assert found.total == expected.total
    assert len(found) == len(expected) == n_leaves.bit_count()
    assert (found.closed().total, len(found.closed())) == (expected.total, 1)
    run = Tree()
    for leaf in range(n_leaves // 3, n_leaves):
        run.add(sums[leaf], 1, leaf)
    assert len(run) <= 2 * np.log2(n_leaves) + 1
