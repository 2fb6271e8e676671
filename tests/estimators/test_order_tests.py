"""Tests of the number of components: their level, their power, and their errors."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
from scipy.stats import chi2

from gaussmix import GaussianMixture, em_test, likelihood_ratio_test, n_components_test
from gaussmix._src.fit.after import em_test as em_module


def rows(*places, n=60, seed=0, d=1):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n * len(places), d)) + np.repeat(places, n)[:, None]


@pytest.mark.parametrize("family", ["full", "tied", "VEI"])
def test_statistics_are_not_negative_and_have_the_same_bits_on_threads(family):
    X = rows(0.0, 1.0, d=2)
    how = {"n_resamples": 5, "random_state": 3, "covariance_type": family}
    test = likelihood_ratio_test(X, 1, 3, n_jobs=1, **how)
    assert (test.null_statistics >= 0).all()
    assert (test.statistic >= 0).all()
    again = likelihood_ratio_test(X, 1, 3, n_jobs=2, **how)
    np.testing.assert_array_equal(again.null_statistics, test.null_statistics)
    np.testing.assert_array_equal(again.statistic, test.statistic)


def test_the_statistic_is_that_of_the_best_fits():
    X = rows(0.0, 3.0, 9.0, d=2)
    log_likelihoods = [
        GaussianMixture(k, random_state=0, init_params="search", tol=1e-7, max_iter=5000).fit(X).score(X) * len(X)
        for k in (2, 3)
    ]
    found = likelihood_ratio_test(X, 2, n_resamples=1, random_state=0)
    assert found.statistic[0] == pytest.approx(2 * (log_likelihoods[1] - log_likelihoods[0]), abs=0.02)


@pytest.mark.parametrize("reg_covar", ["auto", 1.0])
def test_a_component_that_only_the_ridge_holds_up_is_no_evidence(reg_covar):
    """Check that splits into components without variance raise an error, because p would be 1 for any rows."""
    X, rng = rows(0.0, 9.0), np.random.default_rng(0)
    ones, halves = np.ones(len(X)), np.where(np.arange(len(X)) < 60, 0.0, rng.normal(size=len(X)))
    for column, k in ((ones, 1), (halves, 2)):
        warned = pytest.warns() if k == 1 and reg_covar == "auto" else nullcontext()
        words = rf"with n_components={k}, a component has only reg_covar as its variance in column 'x1'\. Leave out"
        with warned, pytest.raises(ValueError, match=words):
            likelihood_ratio_test(np.column_stack([X, column]), k, n_resamples=3, reg_covar=reg_covar, random_state=0)
    lines = np.column_stack([X[:, 0], X[:, 0] + halves])
    with pytest.raises(
        ValueError, match="with n_components=2, a component has only reg_covar as its variance in some direction"
    ):
        likelihood_ratio_test(lines, 2, n_resamples=3, reg_covar=reg_covar, random_state=0)
    # a single component has a variance, but neither half of it has one
    tail = np.array([0.0] * 40 + [1e-3, 1.0])[:, None]
    with pytest.raises(ValueError, match="with n_components=2, a component"):
        likelihood_ratio_test(tail, 1, n_resamples=3, reg_covar=1e-6, random_state=0)


@pytest.mark.heavy
def test_the_level_of_the_likelihood_ratio_test():
    """Check that p-values of rows from the smaller mixture are uniform: mean ½ ± 0.029, and 5 % below 0.05."""
    p = np.array(
        [
            likelihood_ratio_test(rows(0.0, seed=seed), 1, n_resamples=99, random_state=seed).p_value[0]
            for seed in range(100)
        ]
    )
    assert abs(p.mean() - 0.5) < 4 * 0.029
    assert (p <= 0.05).mean() < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 100)


def test_order_tests_find_three_groups():
    X = rows(0.0, 6.0, 14.0)
    drawn = likelihood_ratio_test(X, 1, 4, n_resamples=39, random_state=0)
    np.testing.assert_array_equal(drawn.n_components, [1, 2, 3])
    assert drawn.p_value[:2].tolist() == [1 / 40, 1 / 40]
    assert drawn.min_components() == 3
    halves = n_components_test(X, 5, random_state=0)
    assert halves.min_components() == 3
    np.testing.assert_allclose(halves.p_value, np.minimum(1, 1 / halves.statistic), rtol=1e-12)
    assert n_components_test(X, 2, random_state=0).min_components() == 3  # the result is beyond the tested numbers


def test_values_that_repeat_are_no_evidence_of_components():
    """Check normal rows rounded to integers, at which the density could be as high as the ridge allows."""
    rounded = rows(0.0, n=600).round()
    with pytest.raises(ValueError, match="n_components_test needs rows that vary in each component"):
        n_components_test(rounded, 4, random_state=0)
    constant = np.pad(rows(0.0), ((0, 0), (0, 1)))
    with (
        pytest.warns(match="constant"),
        pytest.raises(ValueError, match="only reg_covar as its variance in column 'x1'"),
    ):
        n_components_test(constant, 1, random_state=0)
    assert n_components_test(rounded, 4, reg_covar=1 / 12, random_state=0).min_components() == 1


def test_files_are_read_for_the_likelihood_ratio(tmp_path):
    np.save(tmp_path / "x.npy", rows(0.0))
    how = {"n_resamples": 3, "random_state": 0}
    found, same = (likelihood_ratio_test(x, 1, **how) for x in (tmp_path / "x.npy", rows(0.0)))
    np.testing.assert_array_equal(found.null_statistics, same.null_statistics)


def test_halves_keep_the_level():
    """Check that the mean ratio is at most 1 under the smaller mixture, so that few ratios are above 1 / α."""
    tests = [n_components_test(rows(0.0, n=60, seed=seed), 1, random_state=seed) for seed in range(40)]
    assert np.mean([test.statistic[0] > 5 for test in tests]) <= 0.2 + 2 * np.sqrt(0.2 * 0.8 / 40)
    assert np.mean([test.statistic[0] for test in tests]) < 1.5


def test_ratios_beyond_any_number_have_p_values():
    plain = n_components_test(np.random.default_rng(0).normal(size=(120, 30)), 1, random_state=0)
    assert plain.statistic.tolist() == [0.0]  # the exact statistic is about exp(-1000)
    assert plain.p_value.tolist() == [1.0]
    apart = n_components_test(rows(0.0, 1000.0, n=300, d=4), 1, random_state=0)
    assert apart.statistic.tolist() == [np.inf]
    assert apart.p_value.tolist() == [0.0]


@pytest.mark.heavy
def test_the_level_of_the_em_test():
    """Check that the statistic is χ² with two degrees of freedom: mean 2, and 5 % above the 95 % quantile."""
    found = np.array([em_test(rows(0.0, n=100, seed=seed)).statistic[0] for seed in range(200)])
    assert abs(found.mean() - 2) < 4 * 2 / np.sqrt(200)
    assert abs((chi2.sf(found, 2) < 0.05).mean() - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 200)


@pytest.mark.heavy
def test_the_em_test():
    X = rows(0.0, 3.0)
    found = em_test(X)
    assert found.p_value[0] == pytest.approx(chi2.sf(found.statistic[0], 2))
    assert found.min_components() == 2
    assert em_test(rows(0.0)).min_components() == 1
    assert em_test(1e6 * X[:, 0] - 5e5).statistic == pytest.approx(found.statistic)  # the unit does not matter
    for unit in (1e-310, 1e-200, 1e200, 1e305):
        assert em_test(unit * X).statistic == pytest.approx(found.statistic, rel=1e-9)
    # The statistic is the likelihood gain of two components minus a penalty, which is small.
    maxima = [GaussianMixture(k, random_state=0, tol=1e-8, max_iter=2000).fit(X).score(X) * len(X) for k in (1, 2)]
    assert found.statistic[0] == pytest.approx(2 * (maxima[1] - maxima[0]), abs=3)
    for x, words in [(np.zeros(50), "not all equal"), (X[:9], "at least 10"), (np.hstack([X, X]), "one feature")]:
        with pytest.raises(ValueError, match=words):
            em_test(x)


def test_steps_of_the_em_test_never_lower_what_it_raises():
    x = rows(0.0, 2.0)[:, 0]
    x = (x - x.mean()) / x.std()
    shares, means, variances = em_module._initial_parameters(x)
    log_likelihoods = [em_module._penalised_log_likelihood(x, shares, means, variances)]
    for _ in range(30):
        means, variances = em_module._m_step(x, em_module._second_responsibilities(x, shares, means, variances))
        log_likelihoods.append(em_module._penalised_log_likelihood(x, shares, means, variances))
    assert (np.diff(log_likelihoods, axis=0) >= -1e-10).all()


def test_text_and_table_of_order_tests():
    found = likelihood_ratio_test(rows(0.0, 6.0), 1, n_resamples=19, random_state=0)
    assert "At least 2 at a level of 0.05." in str(found)
    assert list(found.tidy().columns) == ["n_components", "statistic", "p_value"]
    assert "by halves of the rows" in str(n_components_test(rows(0.0, 6.0), random_state=0))


def test_order_tests_refuse_invalid_arguments():
    X = rows(0.0)
    holes = X.copy()
    holes[3] = np.nan
    for call, error, words in [
        (lambda: likelihood_ratio_test(X, 2, 2), ValueError, "n_components_alternative=2"),
        (lambda: likelihood_ratio_test(X, 0), ValueError, "n_components"),
        (lambda: likelihood_ratio_test(X, 1, n_resamples=0), ValueError, "n_resamples=0"),
        (lambda: likelihood_ratio_test(X, 1, noise=True), TypeError, "not 'noise'"),
        (lambda: likelihood_ratio_test(np.column_stack([X, holes]), 1), ValueError, r"missing values \(NaN\)"),
        (lambda: likelihood_ratio_test(X, 1, tol="auto"), ValueError, "a number for tol"),
        (lambda: likelihood_ratio_test(X, 1, tol="small"), TypeError, "tol"),
        (lambda: n_components_test(X[:20], 9), ValueError, "four rows per component"),
        (lambda: n_components_test(X, alpha=0), ValueError, "alpha"),
        (lambda: n_components_test(X).min_components(2), ValueError, "alpha"),
        (lambda: em_test(3.0), ValueError, "at least 10 numbers"),
    ]:
        with pytest.raises(error, match=words):
            call()
