"""Tests of the results for each row, which have no threshold and are as accurate as exp and log."""

import mpmath
import numpy as np
import pytest

LOG_DENSITY, RESPONSIBILITIES, WEIGHTED, LABELS = range(4)


@pytest.mark.pairwise
@pytest.mark.parametrize("factor_shape", range(4))
@pytest.mark.parametrize("n_features", [1, 2, 4, 5, 8, 9, 17, 33])
def test_evaluate_equals_its_definition(target, make_problem, n_features, factor_shape):
    for n_rows, n_components in [(0, 2), (1, 1), (25, 3), (145, 9), (300, 17)]:
        problem = make_problem(n_rows, n_features, n_components, factor_shape)
        table = problem.exact_log_densities()
        largest = table.max(1, keepdims=True)
        log_density = largest[:, 0] + np.log(np.exp(table - largest).sum(1))
        scale = 4 * np.finfo(float).eps * (n_features + 8 + np.abs(table).max(initial=0))
        weighted = problem.evaluate(target, WEIGHTED)
        np.testing.assert_allclose(weighted, table.astype(float), rtol=0, atol=scale)
        np.testing.assert_allclose(problem.evaluate(target, LOG_DENSITY), log_density.astype(float), rtol=0, atol=scale)
        np.testing.assert_array_equal(problem.evaluate(target, LABELS), weighted.argmax(1))
        responsibilities = problem.evaluate(target, RESPONSIBILITIES)
        np.testing.assert_allclose(responsibilities, np.exp(table - log_density[:, None]).astype(float), rtol=2 * scale)
        np.testing.assert_allclose(responsibilities.sum(1), 1, rtol=0, atol=n_components * np.finfo(float).eps)


@pytest.mark.parametrize("n_features", [32, 33, 40])
def test_evaluate_has_the_same_bits_for_few_rows_and_for_many(target, make_problem, n_features):
    problem = make_problem(49, n_features, 3)
    for output in range(4):
        every = problem.evaluate(target, output)
        for n_rows in (1, 24, 25):
            few = problem.replace(rows=problem.rows[:n_rows]).evaluate(target, output)
            np.testing.assert_array_equal(few, every[:n_rows])


def two_components(target, gaps, output):
    """Evaluate components with log densities 0 and -gap at the row 0, with a call for each gap."""
    rows, means, factors = np.zeros((1, 1)), np.zeros((2, 1)), np.ones((2, 1, 1))
    return np.array([target.evaluate(rows, None, np.array([0, -g]), means, 2, factors, output, 1)[0] for g in gaps])


def test_responsibilities_have_a_relative_error_below_2_epsilon(target, rng):
    """Check the relative error of r = e / (1 + e): at most 0.7 ε from exp, and ε / 2 each from sum and quotient."""
    gaps = np.concatenate([rng.uniform(0, 1, 500), rng.uniform(0, 700, 1500)])
    found = two_components(target, gaps, RESPONSIBILITIES)[:, 1]
    with mpmath.workdps(40):
        exact = [1 / (1 + mpmath.exp(mpmath.mpf(g))) for g in gaps]
        assert max(abs(mpmath.mpf(g) / e - 1) for g, e in zip(found, exact, strict=True)) < 1.7 * np.finfo(float).eps


def test_log_densities_are_accurate_to_the_last_place(target, rng):
    """Check that log(1 + e) for sums in 1..2 loses less than 2^-53 to the sum, and at most one place to log."""
    gaps = rng.uniform(0, 40, 1000)
    found = two_components(target, gaps, LOG_DENSITY)
    with mpmath.workdps(40):
        exact = [mpmath.log1p(mpmath.exp(-mpmath.mpf(g))) for g in gaps]
        assert max(abs(mpmath.mpf(g) - e) for g, e in zip(found, exact, strict=True)) < 2.0**-52


def test_log_density_of_equal_components_is_accurate(target):
    for n_components in [1, 2, 3, 1000]:
        flat = np.zeros((n_components, 1))
        (log,) = target.evaluate(np.zeros((1, 1)), None, flat[:, 0].copy(), flat, 1, np.ones_like(flat), LOG_DENSITY, 1)
        assert abs(log - np.log(n_components)) <= np.spacing(np.log(n_components))


def test_evaluate_does_not_set_small_responsibilities_to_zero(target):
    gaps = np.array([41.0, 42.0, 100.0, 700.0, 720.0, 740.0])
    found = two_components(target, gaps, RESPONSIBILITIES)[:, 1]
    np.testing.assert_allclose(found, np.exp(-gaps), rtol=1e-13, atol=np.finfo(float).smallest_subnormal)
    np.testing.assert_array_equal(two_components(target, [800.0, 1e10, np.inf], RESPONSIBILITIES), [[1, 0]] * 3)
