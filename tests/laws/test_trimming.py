"""Tests of trimming: the remaining rows, the ascent of EM, and independence of row order and blocks."""

import math

import numpy as np
import pytest
from common import ArraySource, InitialMoments, Objective, StopRule, em_step, families, final_state, run_em
from many_blocks import ManyBlocks
from reference_engine import ReferenceEngine
from sklearn.exceptions import ConvergenceWarning

from gaussmix import FAMILIES, GaussianMixture, Mixture
from gaussmix._src.em.trimming.log_density_bounds import bound_log_densities
from gaussmix._src.em.trimming.trimming import (
    N_RANDOM_STARTS,
    RowTrimming,
    TrimmedSource,
    find_trimming_rule,
    run_to_sound_end,
)
from gaussmix._src.engines.complete.engine import CompleteEngine
from gaussmix._src.interfaces.block import BlockState
from gaussmix.extend import DistinctRows, Partition, nearest_centre

CENTRES = np.array([[0.0, 0.0], [6.0, 6.0]])
NO_RIDGE = Objective(np.zeros(2))


@pytest.fixture
def rows(rng):
    """Return rows of two groups, and a fifth as many rows anywhere."""
    groups = [centre + rng.normal(size=(120, 2)) @ np.array([[1.0, 0.5], [0.0, 0.7]]) for centre in CENTRES]
    return np.concatenate([*groups, rng.uniform(-30, 30, size=(50, 2))])


class ColumnTask:
    """Task that reads the log densities of rows from their only column."""

    key = "column"

    def open(self, block):
        return BlockState()

    def call(self, block, state):
        return block.rows[:, 0]


def remaining_weight(density, weight, left_out):
    """Return the weights that trimming leaves, and check that they do not depend on blocks."""
    found = find_trimming_rule(ArraySource(density[:, None], weight), ColumnTask(), left_out)
    assert found == find_trimming_rule(ManyBlocks(density[:, None], weight), ColumnTask(), left_out)
    return found.row_weights(density, weight)


def first_model(source, engine, family):
    return InitialMoments(source, engine, 2, nearest_centre(CENTRES)).model(family, NO_RIDGE)


@pytest.mark.parametrize("left_out", [0.0, 1.0, 2.5, 10.0, 29.3])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_trimming_leaves_out_the_weight_of_the_least_likely_rows(left_out, is_weighted, rng):
    """Compare with a sort of all rows, in which the last trimmed row keeps a part of its weight."""
    density = rng.normal(size=60)
    weight = rng.uniform(0.0, 2.0, size=60) * (rng.random(60) < 0.8) if is_weighted else None
    weights = np.ones(60) if weight is None else weight
    found = remaining_weight(density, weight, left_out)
    expected, rest = weights.copy(), left_out
    for index in np.argsort(density):
        taken = min(rest, expected[index])
        expected[index], rest = expected[index] - taken, rest - taken
    np.testing.assert_allclose(found, expected, atol=1e-13)
    assert found.sum() == pytest.approx(weights.sum() - left_out, abs=1e-12)


def test_rows_of_equal_density_at_the_cutoff_keep_equal_weights(rng):
    """If two of four rows with equal densities must be left out, each row keeps half of its weight, in any order."""
    density = np.array([-1.0, -5.0, -5.0 + 1e-14, -9.0, -5.0, -2.0, -5.0 - 1e-14])
    for _ in range(5):
        order = rng.permutation(7)
        found = remaining_weight(density[order], None, 3.0)
        np.testing.assert_allclose(found[np.argsort(order)], [1, 0.5, 0.5, 0, 0.5, 1, 0.5], rtol=1e-15)


@pytest.mark.pairwise
@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("fraction", [0.05, 0.3])
@families
def test_a_trimmed_step_never_lowers_the_trimmed_likelihood(family, fraction, is_weighted, rows, engine, rng):
    weight = rng.uniform(0.1, 2.0, size=len(rows)) if is_weighted else None
    source = TrimmedSource(ArraySource(rows, weight), fraction)
    end = final_state(run_em(source, engine, first_model(source, engine, family), NO_RIDGE, StopRule(1e-9, 30)))
    objectives = np.array(end.trace.objective)
    assert len(objectives) > 1
    assert (np.diff(objectives) >= -1e-12 * np.abs(objectives[1:])).all()


@families
def test_a_trimmed_step_equals_a_step_on_the_remaining_rows(family, rows, engine, rng):
    weight, fraction = rng.uniform(0.1, 2.0, size=len(rows)), 0.13
    source = TrimmedSource(ArraySource(rows, weight), fraction)
    model = first_model(source, engine, family)
    density = np.array([Mixture._from_model(model).log_density(row[None])[0] for row in rows])
    remaining = remaining_weight(density, weight, fraction * weight.sum())
    assert remaining.sum() == pytest.approx((1 - fraction) * weight.sum())
    moments, after, _ = em_step(source, engine, model, NO_RIDGE, {})
    expected, following, _ = em_step(ArraySource(rows, remaining), engine, model, NO_RIDGE, {})
    assert moments.row_weight == pytest.approx(remaining.sum(), rel=1e-14)
    assert moments.log_likelihood == pytest.approx((remaining * density).sum(), rel=1e-12)
    np.testing.assert_allclose(moments.mass, expected.mass, rtol=1e-12)
    np.testing.assert_allclose(after.means, following.means, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(after.covariances.each, following.covariances.each, rtol=1e-9, atol=1e-9)


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("name", ["full", "tied", "EII"])
def test_trimmed_fits_do_not_depend_on_blocks_or_row_order(name, rng, engine):
    """Blocks must not change any bit, even if no states are kept; the order of rows may only change the rounding."""
    family = FAMILIES[name]
    groups = [centre + rng.normal(size=(40_000, 2)) for centre in CENTRES]
    rows = np.concatenate([*groups, rng.uniform(-30, 30, size=(5_000, 2))])
    without_states, ends = ManyBlocks(rows), []
    without_states.memory = 0
    for source in ArraySource(rows), ManyBlocks(rows), without_states, ArraySource(rng.permutation(rows)):
        trimmed = TrimmedSource(source, 0.1)
        model = first_model(trimmed, engine, family)
        ends.append(final_state(run_em(trimmed, engine, model, NO_RIDGE, StopRule(0.0, 4))))
    one, *others, shuffled = ends
    for other in others:
        assert one.trace.objective == other.trace.objective
        assert one.model.covariances.array.tobytes() == other.model.covariances.array.tobytes()
    np.testing.assert_allclose(shuffled.model.means, one.model.means, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(shuffled.trace.objective, one.trace.objective, rtol=1e-10)


@pytest.mark.parametrize("size", [1e8, 1e150, 1e300])
def test_trimmed_outliers_do_not_affect_a_fit(size, rows, engine):
    """The fit must equal a fit without the outliers if the trimmed fraction covers them and the rows trimmed before."""
    with_outliers = np.concatenate([rows, np.array([[size, -size], [-size, 0.3 * size], [size, size]])])
    counts = 40, 43
    ends = []
    for each, count in zip((rows, with_outliers), counts, strict=True):
        source = TrimmedSource(ArraySource(each), count / len(each))
        model = first_model(TrimmedSource(ArraySource(rows), 40 / len(rows)), engine, FAMILIES["full"])
        ends.append(final_state(run_em(source, engine, model, NO_RIDGE, StopRule(1e-9, 50))))
    expected, found = ends
    np.testing.assert_allclose(found.model.means, expected.model.means, rtol=1e-7)
    np.testing.assert_allclose(found.model.covariances.array, expected.model.covariances.array, rtol=1e-6, atol=1e-9)
    assert found.trace.last_objective == pytest.approx(expected.trace.last_objective, rel=1e-9)


@families
def test_log_densities_are_above_their_bounds(family, rng):
    """Check the bound between mixtures that are similar or different, for near and distant rows."""
    rows = np.concatenate([scale * rng.normal(size=(60, 3)) for scale in (1.0, 5.0, 100.0)])
    for distance in (1e-6, 1e-3, 0.1, 1.0):
        labels = rng.integers(0, 2, size=len(rows)).astype(np.int32)
        moved = rows + distance * rng.normal(size=rows.shape)
        before, after = (
            InitialMoments(ArraySource(each, None, labels), ReferenceEngine(), 2, Partition()).model(
                family, Objective(np.full(3, 1e-3))
            )
            for each in (rows, moved)
        )
        old, new = (Mixture._from_model(model).log_density(rows) for model in (before, after))
        bounds = bound_log_densities(before.parameters, after.parameters)
        if bounds is None:
            assert family.kind.__name__ == "LowRank"
            continue
        assert (bounds(old - 0.1) <= new + 1e-9 * np.abs(new)).all()
        if distance == 1e-6:
            assert (bounds(old) > old - 0.1 - 1e-3 * np.abs(old)).all()


def test_log_densities_have_no_bounds_after_a_step_that_shrinks_variances_extremely():
    """The ratio of the variances, 1e310, overflows without a warning."""
    before, after = (Mixture.from_parameters([1.0], [[0.0]], [[[variance]]]) for variance in (1e10, 1e-300))
    assert bound_log_densities(before.parameters, after.parameters) is None


@pytest.mark.parametrize("is_weighted", [False, True])
def test_the_trimming_rule_is_the_same_if_only_some_rows_are_evaluated(is_weighted, rows, engine, rng):
    """Compare with a new source, which evaluates all rows because it has no bounds from an earlier step."""
    weight = rng.uniform(0.1, 2.0, size=len(rows)) if is_weighted else None
    source = TrimmedSource(ArraySource(rows, weight), 0.15)
    for state in run_em(source, engine, first_model(source, engine, FAMILIES["full"]), NO_RIDGE, StopRule(1e-13, 40)):
        found = source.rule_for(engine, state.model.parameters)
        assert found == TrimmedSource(ArraySource(rows, weight), 0.15).rule_for(engine, state.model.parameters)


class CountingEngine(CompleteEngine):
    """An engine that counts the passes for moments."""

    n_passes = 0

    def step(self, *arguments, **options):
        CountingEngine.n_passes += 1
        return super().step(*arguments, **options)


def test_trimming_tries_no_further_initialisation_after_the_deadline(rows):
    counts = []
    for deadline in (0.0, math.inf):
        CountingEngine.n_passes = 0
        sample = DistinctRows(rows, np.ones(len(rows)))
        RowTrimming(0.1).start_partition(
            "kmeans", sample, CountingEngine(), 2, np.full(2, 1e-6), np.random.default_rng(0), deadline
        )
        counts.append(CountingEngine.n_passes)
    assert counts[0] < 5
    assert counts[1] > 2 * N_RANDOM_STARTS


def test_a_trimmed_fit_tries_no_further_initialisation_after_max_time(rows, monkeypatch):
    runs = []

    def counted(*arguments):
        runs.append(arguments)
        return run_to_sound_end(*arguments)

    monkeypatch.setattr("gaussmix._src.em.trimming.trimming.run_to_sound_end", counted)
    GaussianMixture(2, trim=0.1, init_params="kmeans", random_state=0, max_time=1e6).fit(rows)
    assert len(runs) == 1 + N_RANDOM_STARTS
    runs.clear()
    with pytest.warns(ConvergenceWarning, match="max_time was reached"):
        GaussianMixture(2, trim=0.1, init_params="kmeans", random_state=0, max_time=0).fit(rows)
    assert len(runs) == 1
