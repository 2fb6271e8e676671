"""Tests of steps with rows in another order, which changes sums by rounding, and of bounds, which change no bit."""

import numpy as np
import pytest

*_, TRIANGULAR = FACTOR_SHAPES = range(3)
LEAF_ROWS = 65_520
LABELS = 3
N_FEATURES = [1, 2, 4, 5, 8, 9, 16, 17, 33]


@pytest.mark.parametrize("layout", [np.asarray, np.asfortranarray, lambda a: np.repeat(a, 2, axis=1)[:, ::2]])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n_features", [3, 9])
def test_step_with_an_order_equals_sorted_rows(target, make_problem, same_bits, rng, n_features, layout, dtype):
    n_rows = LEAF_ROWS + 500
    problem = make_problem(n_rows, n_features, 2)
    problem = problem.replace(rows=problem.rows.astype(dtype))
    order = np.concatenate([rng.permutation(LEAF_ROWS), rng.permutation(500)])
    rows = order + np.repeat([0, LEAF_ROWS], [LEAF_ROWS, 500])
    moved = problem.replace(rows=problem.rows[rows], row_weight=problem.row_weight[rows])
    stored, order = problem.replace(rows=layout(problem.rows)), order.astype(np.uint16)
    same_bits(stored.step(target, 2, order=order), moved.step(target))


@pytest.mark.pairwise
@pytest.mark.parametrize("n_rows", [501, 528, 24, 25])
@pytest.mark.parametrize("factor_shape", FACTOR_SHAPES)
@pytest.mark.parametrize("n_features", N_FEATURES)
def test_labels_and_bounds_change_no_bit(target, make_clusters, same_bits, n_features, factor_shape, n_rows):
    for is_sorted in (True, False):
        problem = make_clusters(n_rows, n_features, 11, factor_shape, is_sorted)
        expected = problem.step(target)
        likeliest = problem.evaluate(target, LABELS)
        labels, visit = np.empty(n_rows, np.uint16), problem.trivial_bounds()
        for _ in range(3):
            same_bits(problem.step(target, labels=labels, **visit), expected)
            np.testing.assert_array_equal(labels, likeliest)
            visit["motion"][0] = 1  # the parameters do not move


@pytest.mark.parametrize("factor_shape", FACTOR_SHAPES)
@pytest.mark.parametrize("n_features", N_FEATURES)
def test_bounds_stay_below_the_distances_while_components_move(
    target, make_clusters, move, same_bits, n_features, factor_shape
):
    """Check that bounds never exceed the distance of a group's nearest row, and mostly have its order of magnitude."""
    problem = make_clusters(240, n_features, 7, factor_shape)
    visit = problem.trivial_bounds()
    for _ in range(6):
        problem = move(problem, visit, target)
        same_bits(problem.step(target, **visit), problem.step(target))
        problem.check_bounds(visit["bounds"], part=1 / 4)


def test_motion_that_overflows_resets_a_bound_to_zero(target):
    """Check that a motion that overflows changes any bound to 0."""
    means, factors = np.zeros((3, 1)), np.array([[[1.0]], [[1e300]], [[1.0]]])
    distant, inverse = np.array([[1e300], [1e300], [0.0]]), np.array([[[1.0]], [[1e-300]], [[np.nan]]])
    ratio, shift = target.measure_motion(TRIANGULAR, means, factors, distant, inverse)
    with np.errstate(invalid="ignore"):
        assert not (ratio * (np.float32(1e30) - shift) > 0)[[0, 1]].any()
    assert ratio[2] == 0


def test_step_rejects_invalid_orders_labels_and_bounds(target, make_problem):
    problem, hard = make_problem(30, 3, 2), make_problem(30, 3, 2, rule=1)
    order, labels = np.zeros(30, np.uint16), np.zeros(30, np.uint16)
    visit = problem.trivial_bounds()
    wrong = [
        (problem, {"order": order[1:]}, "order"),
        (problem, {"order": order + np.uint16(30)}, "beyond"),
        (hard, {"order": order}, "rule 0"),
        (hard, {"labels": labels}, "rule 0"),
        (hard, visit, "rule 0"),
        (problem, {"labels": labels[1:]}, "labels"),
        (problem, {"bounds": visit["bounds"]}, "together"),
        (problem, visit | {"bounds": visit["bounds"][1:]}, "bounds"),
        (problem, visit | {"motion": visit["motion"][:, 1:]}, "motion"),
        (make_problem(30, 3, 2, 3), visit, "one factor for each"),
    ]
    for case, arguments, message in wrong:
        with pytest.raises(ValueError, match=message):
            case.step(target, **{name: np.ascontiguousarray(value) for name, value in arguments.items()})
    with pytest.raises(TypeError):
        problem.step(target, order=order.astype(np.int64))
