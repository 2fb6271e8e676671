"""Tests of reading rows in sorted order, which happens only if it pays, for any number of threads."""

from functools import partial

import numpy as np
import pytest
from check_moments import assert_same_moments
from common import ArraySource, FactorShape, Model, MomentSpec, Objective, Second, em_step
from every_engine import ENGINES
from many_blocks import separated_clusters
from random_parameters import random_parameters

from gaussmix._src.engines.complete import row_order
from gaussmix._src.engines.complete.packed_mixture import pack_parameters

STRUCTURES = "full", "diag", "spherical"
N_FEATURES, N_COMPONENTS = 6, 60
N_STEPS = 7


@pytest.fixture
def clusters(rng):
    return partial(separated_clusters, rng=rng, n_rows=70_000)


def run_steps(source, mixture, n_threads=1, n_steps=N_STEPS):
    """Run some EM steps, and return the moments of the last step and the mixture before it."""
    before, engine, context = mixture, ENGINES["complete"](n_threads), None
    for _ in range(n_steps):
        before = mixture
        moments, mixture, _ = em_step(source, engine, mixture, Objective(np.zeros(N_FEATURES)), {}, context=context)
        context = moments.context
    return moments, before


def order_cache_of(source):
    """Return the cache of the row order, which is stored with the state of the rows."""
    (state,) = source._states[1].values()
    return state.order_cache


@pytest.mark.heavy(n_default=1)
@pytest.mark.one_block
@pytest.mark.parametrize("structure", STRUCTURES)
def test_rows_of_separate_clusters_are_read_in_sorted_order(clusters, structure):
    rows, mixture = clusters(structure)
    source = ArraySource(rows)
    moments, before = run_steps(source, mixture)
    assert moments.context.ordering.label_mixture is not None
    order_bytes, n_bounds = 2 * len(rows), -(-len(rows) // row_order.GROUP_ROWS) * N_COMPONENTS
    assert order_cache_of(source).n_bytes == order_bytes + 4 * n_bounds, "the cache must hold an order and bounds"
    fresh, _ = run_steps(ArraySource(rows), before, n_steps=1)
    spread = step_of_engine(rows, before, MomentSpec(Second.DIAGONAL)).second
    assert_same_moments(moments, fresh, spread, 1e-12, structure)


def step_of_engine(rows, mixture, spec):
    """Compute the moments about the means in a single step."""
    source, engine = ArraySource(rows), ENGINES["complete"](1)
    state = engine.make_state(source.whole, N_COMPONENTS)
    sums = engine.step(source.whole, state, mixture.parameters, spec, anchor=mixture.means)
    return engine.finish(sums, mixture.parameters, spec)


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_threads_change_no_bit_of_ordered_passes(clusters, structure):
    rows, mixture = clusters(structure)
    expected, _ = run_steps(ArraySource(rows), mixture)
    for n_threads in (2, 3):
        found, _ = run_steps(ArraySource(rows), mixture, n_threads)
        for name in ("mass", "first", "second", "log_likelihood"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_rows_of_overlapping_components_are_read_in_stored_order(clusters, structure):
    rows, mixture = clusters(structure, distance=0.1)
    source = ArraySource(rows)
    for n_steps in (1, 2, 5):
        moments, _ = run_steps(source, mixture, n_steps=n_steps)
        assert moments.context.ordering == row_order.RowOrdering(None, n_steps, writes_labels=False)
        assert order_cache_of(source)._order is None


@pytest.mark.one_block
@pytest.mark.parametrize(
    ("structure", "n_features", "is_ordered"),
    [("full", 60, True), ("full", 6, False), ("tied", 60, False), ("diag", 60, False)],
)
def test_the_first_pass_visits_rows_by_their_nearest_mean_only_if_rows_have_many_features(
    rng, structure, n_features, is_ordered
):
    rows, mixture = separated_clusters(structure, rng, 3_000, n_features=n_features)
    if is_ordered:  # the order ignores units: distances would depend on the first feature, which separates no clusters
        means, units = mixture.means.copy(), 10 ** rng.uniform(-3, 3, size=n_features)
        units[0], means[:, 0], rows[:, 0] = 1e6, rng.normal(size=N_COMPONENTS), rng.normal(size=len(rows))
        nearest = np.argmin([((rows - mean) ** 2).sum(axis=1) for mean in means], axis=0)
        covariances = np.broadcast_to(np.diag(units**2), (N_COMPONENTS, n_features, n_features))
        rows, mixture = rows * units, Model.from_arrays(mixture.weights, means * units, covariances, mixture.family)
    source, engine, spec = ArraySource(rows), ENGINES["complete"](1), MomentSpec(Second.DIAGONAL)
    state, other_state = (engine.make_state(source.whole, N_COMPONENTS) for _ in range(2))
    context = engine.begin_pass(engine.prepare(source.row_totals, spec, lambda: None), mixture.parameters)
    found = engine.step(source.whole, state, mixture.parameters, spec, anchor=mixture.means, context=context)
    order = state.order_cache._order
    assert (order is not None) == is_ordered
    if order is not None:
        np.testing.assert_array_equal(order[1], nearest.argsort(kind="stable"))
    in_data_order = engine.step(source.whole, other_state, mixture.parameters, spec, anchor=mixture.means)
    for name in ("mass", "log_likelihood"):
        np.testing.assert_allclose(getattr(found, name), getattr(in_data_order, name), rtol=1e-12)


@pytest.mark.parametrize(("n_moved", "keeps"), [(0, True), (5, True), (6, False)])
def test_a_row_order_is_kept_while_few_rows_change_their_component(n_moved, keeps):
    """Check 100 groups, of which ten more may be mixed than in a new order; each moved row mixes two groups."""
    n_rows = 100 * row_order.GROUP_ROWS
    assert row_order.MAX_MIXED_FRACTION == 0.1
    labels = (np.arange(n_rows) % 2).astype(np.uint16)
    rng = np.random.default_rng(0)
    old, new = (pack_parameters(random_parameters(rng, 2, 3, FactorShape.TRIANGULAR)) for _ in range(2))
    order = row_order._sort_by_label(labels)
    moved = order[7 : 7 + 20 * n_moved : 20]
    labels[moved] = 1 - labels[moved]
    fresh = row_order._sort_by_label(labels)
    assert (np.diff(labels[fresh].astype(int)) >= 0).all()
    changes = [row_order._count_label_changes(labels, each) for each in (order, fresh)]
    counts = row_order.PassCounts(float(n_rows), *changes)
    ordering = row_order.RowOrdering(old, 2, writes_labels=True).next_ordering(new, counts, n_rows)
    assert ordering.label_mixture is (old if keeps else new)
