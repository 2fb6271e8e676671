"""Tests that a step equals its definition, for sizes on both sides of every boundary between kernels."""

import itertools

import numpy as np
import pytest

_, DIAGONAL, TRIANGULAR, SHARED, LOW_RANK = FACTOR_SHAPES = range(5)
SOFT, HARD, _ = RULES = range(3)
SECOND_MOMENTS = range(5)
N_FEATURES = [1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 33]
N_ROWS = [0, 1, 7, 8, 9, 23, 24, 25, 143, 144, 145, 4097]


@pytest.mark.pairwise
@pytest.mark.parametrize("second", SECOND_MOMENTS)
@pytest.mark.parametrize("factor_shape", FACTOR_SHAPES)
@pytest.mark.parametrize("n_features", N_FEATURES)
def test_step_equals_its_definition(target, make_problem, n_features, factor_shape, second):
    for rule in RULES:
        problem = make_problem(151, n_features, 5, factor_shape, rule, second)
        problem.check_step(problem.step(target))


@pytest.mark.pairwise
@pytest.mark.parametrize("second", SECOND_MOMENTS)
@pytest.mark.parametrize("n_features", [2, 5, 9])
@pytest.mark.parametrize("n_rows", N_ROWS)
def test_step_of_any_number_of_rows_equals_its_definition(target, make_problem, n_rows, n_features, second):
    for rule in RULES:
        problem = make_problem(n_rows, n_features, 3, TRIANGULAR, rule, second)
        for row_weight in (problem.row_weight, None):
            case = problem.replace(row_weight=row_weight)
            case.check_step(case.step(target))


@pytest.mark.pairwise
@pytest.mark.parametrize("n_features", [1, 2, 4, 5, 8, 9, 20])
@pytest.mark.parametrize("second", SECOND_MOMENTS)
@pytest.mark.parametrize("rule", [SOFT, HARD])
def test_a_distant_component_changes_no_bit_of_others(target, make_problem, same_bits, rule, second, n_features):
    """Check that elimination is exact: it does not change the sums of other components, in any order of components."""
    problem = make_problem(500, n_features, 4, TRIANGULAR, rule, second)
    for distance, index in itertools.product([40, 1e4, 1e160], [0, 2, 4]):
        with_distant = problem.with_component(index, np.full(n_features, float(distance)))
        log_likelihood, *sums = with_distant.step(target)
        assert sums[0][index] == 0
        others = [None if a is None else np.delete(a, index, axis=0) for a in sums]
        same_bits((log_likelihood, *others), problem.step(target))


def test_responsibilities_below_the_threshold_are_zero(target):
    """Check two components whose log densities differ by slightly more or less than 60 log 2."""
    rows, factors = np.zeros((1, 1)), np.ones((2, 1, 1))
    for gap, is_positive in [(60 * np.log(2) - 1e-12, True), (60 * np.log(2) + 1e-12, False)]:
        _, mass, *_ = target.step(
            rows, None, None, None, np.array([0, -gap]), np.zeros((2, 1)), 2, factors, np.zeros((2, 1)), 0, 3, 1
        )
        assert (mass[1] > 0) == is_positive


@pytest.mark.parametrize(
    ("factor_shape", "n_features"), [(TRIANGULAR, 2), (TRIANGULAR, 11), (SHARED, 6), (DIAGONAL, 5), (LOW_RANK, 7)]
)
def test_step_counts_rows_that_are_distant_from_every_mean(target, make_problem, factor_shape, n_features):
    """Check that rows with positive weight count if they are 1e4 deviations from the nearest mean."""
    problem = make_problem(300, n_features, factor_shape=factor_shape).replace(row_weight=np.ones(300))
    assert problem.full_step(target)[4] == 0
    rows, row_weight = np.array(problem.rows), np.ones(300)
    rows[[0, 77, 143, 144, 299]] += 1e6
    row_weight[77] = 0
    assert problem.replace(rows=rows, row_weight=row_weight).full_step(target, 2)[4] == 4
    assert problem.replace(rows=rows, row_weight=None, rule=HARD).full_step(target)[4] == 0


@pytest.mark.parametrize("second", range(4))
def test_step_ignores_rows_with_labels_out_of_range(target, make_problem, same_bits, second):
    problem = make_problem(200, 5, 3, rule=2, second=second)
    labels = np.arange(200, dtype=np.int32) % 3
    outside = np.resize(np.array([-1, 3, 1000, -(2**31), 2**31 - 1], np.int32), 200)
    is_outside = np.arange(200) % 7 == 0
    assignment = np.where(is_outside, outside, labels).astype(np.int32)
    weight = np.where(is_outside, 0, problem.row_weight)
    found = problem.replace(assignment=assignment).step(target)
    expected = problem.replace(assignment=labels, row_weight=weight).step(target)
    same_bits([value for value in found if value is not None], [value for value in expected if value is not None])


@pytest.mark.parametrize("factor_shape", range(4))
@pytest.mark.parametrize("rule", range(3))
def test_step_without_rows_returns_zeros(target, make_problem, factor_shape, rule):
    log_likelihood, mass, first, second = make_problem(0, 9, 3, factor_shape, rule).step(target, 4)
    assert log_likelihood == 0
    for sums in (mass, first, second):
        assert not sums.any()


@pytest.mark.heavy(n_default=2)
@pytest.mark.parametrize("factor_shape", range(4))
def test_step_supports_ten_thousand_components(target, make_problem, factor_shape):
    problem = make_problem(30, 9, 10_000, factor_shape, second=2)
    _, mass, _, _ = problem.step(target, 2)
    assert mass.sum() == pytest.approx(problem.row_weight.sum(), rel=1e-12)
    responsibilities = problem.evaluate(target, 1)
    assert responsibilities.shape == (30, 10_000)
    np.testing.assert_allclose(responsibilities.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_array_equal(problem.evaluate(target, 3), responsibilities.argmax(axis=1))
