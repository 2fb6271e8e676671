"""Tests of distant rows and of components of weight 0, which must give finite results."""

import numpy as np
import pytest

SOFT, HARD = 0, 1
LOG_DENSITY, RESPONSIBILITIES, WEIGHTED, LABELS = range(4)


@pytest.mark.pairwise
@pytest.mark.parametrize("factor_shape", range(4))
@pytest.mark.parametrize("n_features", [1, 3, 6, 12])
@pytest.mark.parametrize("distance", [1e4, 1e100, 1e200, 1e300])
@pytest.mark.parametrize("every", [1, 3])
def test_distant_rows_have_finite_results(target, make_problem, every, distance, n_features, factor_shape):
    """Check distant rows that fill whole groups, for which no component is near enough to eliminate another."""
    problem = make_problem(30, n_features, 3, factor_shape, SOFT, 0)
    problem.rows[::every] *= distance
    problem = problem.replace(row_weight=None)
    for rule in (SOFT, HARD):
        log_likelihood, mass, _, _ = problem.replace(rule=rule).step(target)
        assert log_likelihood < -(distance**1.0 if distance < 1e154 else 1e300)
        np.testing.assert_allclose(mass.sum(), 30, rtol=1e-14)
    for output in range(4):
        assert np.isfinite(problem.evaluate(target, output)).all()
    np.testing.assert_allclose(problem.evaluate(target, RESPONSIBILITIES).sum(1), 1, rtol=1e-15)


@pytest.mark.parametrize("n_features", [2, 12])
def test_a_distance_of_nan_counts_as_the_largest_distance(target, n_features):
    """Check a difference that overflows and is multiplied by 0 in W (x - mean)."""
    edge = np.full((1, n_features), 0.9 * np.finfo(float).max)
    factors = np.stack([np.eye(n_features)] * 2)
    table = target.evaluate(edge, None, np.zeros(2), np.repeat(-edge, 2, 0), 2, factors, WEIGHTED, 1)
    np.testing.assert_array_equal(table, np.full((1, 2), -np.finfo(float).max / 2))


@pytest.mark.parametrize("rule", [SOFT, HARD])
@pytest.mark.parametrize("n_features", [2, 7, 12])
def test_a_component_of_weight_zero_gets_no_rows(target, make_problem, same_bits, n_features, rule):
    problem = make_problem(200, n_features, 4, rule=rule)
    problem.log_scale[1] = -np.inf
    log_likelihood, mass, first, second = problem.step(target)
    assert mass[1] == 0
    assert not first[1].any()
    assert not second[1].any()
    assert np.isfinite(log_likelihood)
    assert (problem.evaluate(target, RESPONSIBILITIES)[:, 1] == 0).all()
    assert (problem.evaluate(target, WEIGHTED)[:, 1] == -np.inf).all()
    without = problem.replace(
        log_scale=np.delete(problem.log_scale, 1),
        means=np.delete(problem.means, 1, 0),
        factors=np.delete(problem.factors, 1, 0),
        anchor=np.delete(problem.anchor, 1, 0),
    )
    same_bits([log_likelihood], without.step(target)[:1])


def test_step_without_positive_weights_returns_minus_infinity_and_zeros(target, make_problem):
    problem = make_problem(50, 3)
    problem.log_scale[:] = -np.inf
    log_likelihood, mass, first, second = problem.step(target)
    assert log_likelihood == -np.inf
    for sums in (mass, first, second):
        assert not sums.any()
    assert (problem.evaluate(target, LOG_DENSITY) == -np.inf).all()
