"""In single precision, too, order and bounds change no bit; and bounds go from one precision to the other."""

import numpy as np
import pytest

SPHERICAL, DIAGONAL, TRIANGULAR = FACTOR_SHAPES = range(3)
LABELS = 3
LEAF_ROWS = 65_520
N_FEATURES = [1, 2, 4, 5, 8, 9, 16, 17, 33]


@pytest.fixture
def apart(make_problem, rng):
    """Clusters of float32 rows so far apart that most components are hopeless for most rows, sorted by cluster."""

    def make(n_rows, n_features, n_components, factor_shape=TRIANGULAR):
        problem = make_problem(n_rows, n_features, n_components, factor_shape)
        means = 12 * rng.normal(size=problem.means.shape)
        labels = np.sort(rng.integers(n_components, size=n_rows))
        rows = means[labels] + rng.normal(size=(n_rows, n_features))
        anchor = means.astype(np.float32).astype(float)
        return problem.but(rows=rows.astype(np.float32), origin=None, means=means, anchor=anchor)

    return make


@pytest.mark.parametrize("n_features", [3, 9])
def test_an_order_is_the_rows_in_that_order(target, apart, same_bits, rng, n_features):
    n_rows = LEAF_ROWS + 500
    problem = apart(n_rows, n_features, 2)
    order = np.concatenate([rng.permutation(LEAF_ROWS), rng.permutation(500)])
    rows = order + np.repeat([0, LEAF_ROWS], [LEAF_ROWS, 500])
    moved = problem.but(rows=problem.rows[rows], row_weight=problem.row_weight[rows])
    same_bits(
        problem.step(target, 2, order=order.astype(np.uint16), in_single=True), moved.step(target, in_single=True)
    )


@pytest.mark.pairwise
@pytest.mark.parametrize("n_features", N_FEATURES)
@pytest.mark.parametrize("factor_shape", FACTOR_SHAPES)
@pytest.mark.parametrize("n_rows", [501, 528, 24, 25])
def test_labels_and_bounds_change_no_bit(target, apart, no_bounds, same_bits, n_features, n_rows, factor_shape):
    problem = apart(n_rows, n_features, 11, factor_shape)
    problem.rows[200:210, 0] = 1e5  # a tile that is taken in double
    expected = problem.step(target, in_single=True)
    likeliest = problem.evaluate(target, LABELS)
    likeliest[200:210] = 0  # far rows have no label of their own: it must not depend on their tile
    labels, visit = np.empty(n_rows, np.uint16), no_bounds(problem)
    for _ in range(3):
        same_bits(problem.step(target, labels=labels, in_single=True, **visit), expected)
        np.testing.assert_array_equal(labels, likeliest)
        visit["motion"][0] = 1  # the parameters stay where they are


@pytest.mark.pairwise
@pytest.mark.parametrize("precisions", [[True], [True, False], [False, True, True]], ids=str)
@pytest.mark.parametrize("factor_shape", FACTOR_SHAPES)
@pytest.mark.parametrize("n_features", N_FEATURES)
def test_bounds_are_bounds_in_either_precision(
    target, apart, no_bounds, move, assert_bounds, same_bits, n_features, precisions, factor_shape
):
    """At most the distance of the nearest row of the group, step after step; and mostly of its order."""
    problem = apart(240, n_features, 7, factor_shape)
    visit = no_bounds(problem)
    for in_single in 3 * precisions:
        problem = move(problem, visit, target)
        same_bits(problem.step(target, in_single=in_single, **visit), problem.step(target, in_single=in_single))
        assert_bounds(visit["bounds"], problem, part=1 / 6)
