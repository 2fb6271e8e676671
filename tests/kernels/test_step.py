"""One pass of E and M equals its definition, on both sides of every boundary between kernels."""

import itertools

import numpy as np
import pytest

SPHERICAL, DIAGONAL, TRIANGULAR, SHARED, LOW_RANK = FACTOR_SHAPES = range(5)
SOFT, HARD, GIVEN = RULES = range(3)
NONE, TRACE, DIAGONAL_SECOND, FULL, PROJECTED = SECONDS = range(5)
N_FEATURES = [1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 33]
N_ROWS = [0, 1, 7, 8, 9, 23, 24, 25, 143, 144, 145, 4097]


@pytest.mark.pairwise
@pytest.mark.parametrize("second", SECONDS)
@pytest.mark.parametrize("factor_shape", FACTOR_SHAPES)
@pytest.mark.parametrize("n_features", N_FEATURES)
def test_step_is_its_definition(target, make_problem, agrees_with_definition, n_features, factor_shape, second):
    for rule in RULES:
        problem = make_problem(151, n_features, 5, factor_shape, rule, second)
        agrees_with_definition(problem, problem.step(target))


@pytest.mark.pairwise
@pytest.mark.parametrize("second", SECONDS)
@pytest.mark.parametrize("n_features", [2, 5, 9])
@pytest.mark.parametrize("n_rows", N_ROWS)
def test_any_number_of_rows(target, make_problem, agrees_with_definition, n_rows, n_features, second):
    for rule in RULES:
        problem = make_problem(n_rows, n_features, 3, TRIANGULAR, rule, second)
        for row_weight in (problem.row_weight, None):
            case = problem.but(row_weight=row_weight)
            agrees_with_definition(case, case.step(target))


@pytest.mark.parametrize("n_components", [1, 2, 4, 5, 8, 9, 17])
def test_any_number_of_components(target, make_problem, agrees_with_definition, n_components):
    for factor_shape, second, n_features in itertools.product(FACTOR_SHAPES, SECONDS, [3, 10]):
        problem = make_problem(100, n_features, n_components, factor_shape, SOFT, second)
        agrees_with_definition(problem, problem.step(target))


@pytest.mark.parametrize("second", SECONDS)
def test_labels_are_responsibilities_of_one(target, make_problem, same_bits, rng, second):
    problem = make_problem(300, 6, 4, TRIANGULAR, GIVEN, second)
    labels = rng.integers(0, 4, 300).astype(np.int32)
    one_hot = np.eye(4)[labels]
    same_bits(problem.but(given=labels).step(target), problem.but(given=one_hot).step(target))


def test_given_ignores_the_densities(target, make_problem, same_bits):
    problem = make_problem(50, 3, 2, TRIANGULAR, GIVEN, FULL)
    same_bits(problem.step(target), problem.but(log_scale=None, means=None, factors=None).step(target))


def test_hard_takes_the_first_of_equals(target, make_problem):
    problem = make_problem(60, 4, 3, TRIANGULAR, HARD, FULL)
    twins = problem.but(means=problem.means[[0] * 3], factors=problem.factors[[0] * 3], log_scale=np.zeros(3))
    _, mass, _, _ = twins.step(target)
    np.testing.assert_array_equal(mass, [problem.row_weight.sum(), 0, 0])


def test_weight_two_is_the_row_twice(target, make_problem, agrees_with_definition, rng):
    problem = make_problem(200, 5, 3)
    times = rng.integers(0, 3, 200)
    repeated = problem.but(rows=np.repeat(problem.rows, times, axis=0), row_weight=None)
    agrees_with_definition(repeated, problem.but(row_weight=times.astype(float)).step(target))


@pytest.mark.parametrize("n_features", [2, 12])
def test_no_weight_is_weight_one(target, make_problem, same_bits, n_features):
    problem = make_problem(200, n_features)
    weighted = problem.but(row_weight=np.ones(200)).step(target)
    unweighted = problem.but(row_weight=None).step(target)
    same_bits(weighted[1:], unweighted[1:])
    np.testing.assert_allclose(weighted[0], unweighted[0], rtol=1e-15 * 200**0.5)  # its logarithms are taken together


@pytest.mark.pairwise
@pytest.mark.parametrize("n_features", [1, 2, 4, 5, 8, 9, 20])
@pytest.mark.parametrize("second", SECONDS)
@pytest.mark.parametrize("rule", [SOFT, HARD])
def test_a_hopeless_component_changes_no_bit(target, make_problem, same_bits, rule, second, n_features):
    """Elimination and skipping are exact: the others' sums are what they are without it, wherever it stands."""
    problem = make_problem(500, n_features, 4, TRIANGULAR, rule, second)
    for far, place in itertools.product([40, 1e4, 1e160], [0, 2, 4]):
        crowd = problem.with_component(place, np.full(n_features, float(far)))
        log_likelihood, *sums = crowd.step(target)
        assert sums[0][place] == 0
        others = [None if a is None else np.delete(a, place, axis=0) for a in sums]
        same_bits((log_likelihood, *others), problem.step(target))


def test_responsibilities_below_the_threshold_are_zero(target):
    """Two components, the gap of their log densities on either side of 60 log 2."""
    rows, factors = np.zeros((1, 1)), np.ones((2, 1, 1))
    for gap, survives in [(60 * np.log(2) - 1e-12, True), (60 * np.log(2) + 1e-12, False)]:
        _, mass, *_ = target.step(
            rows, None, None, None, np.array([0, -gap]), np.zeros((2, 1)), 2, factors, np.zeros((2, 1)), 0, 3, 1
        )
        assert (mass[1] > 0) == survives


@pytest.mark.parametrize(
    ("factor_shape", "n_features"), [(TRIANGULAR, 2), (TRIANGULAR, 11), (SHARED, 6), (DIAGONAL, 5), (LOW_RANK, 7)]
)
def test_counts_the_rows_that_are_far_from_every_mean(target, make_problem, factor_shape, n_features):
    """1e4 deviations from the nearest, in rows that count."""
    problem = make_problem(300, n_features, factor_shape=factor_shape).but(row_weight=np.ones(300))
    assert problem.full_step(target)[4] == 0
    rows, row_weight = np.array(problem.rows), np.ones(300)
    rows[[0, 77, 143, 144, 299]] += 1e6
    row_weight[77] = 0
    assert problem.but(rows=rows, row_weight=row_weight).full_step(target, 2)[4] == 4
    assert problem.but(rows=rows, row_weight=None, rule=HARD).full_step(target)[4] == 0
