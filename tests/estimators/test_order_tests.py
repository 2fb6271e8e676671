"""Tests of `likelihood_ratio_test`, `n_components_test` and `em_test`: their level, their power and their errors."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
from common import ArraySource, StopRule, final_state, make_engine, run_em
from scipy.stats import chi2

from gaussmix import GaussianMixture, em_test, likelihood_ratio_test, n_components_test
from gaussmix._src.fit.after import em_test as em_module


def rows(*centres, n=60, seed=0, d=1):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n * len(centres), d)) + np.repeat(centres, n)[:, None]


@pytest.mark.parametrize("family", ["full", "tied", "VEI"])
def test_likelihood_ratios_are_not_negative_and_do_not_depend_on_n_jobs(family):
    X = rows(0.0, 1.0, d=2)
    options = {"n_resamples": 5, "random_state": 3, "covariance_type": family}
    test = likelihood_ratio_test(X, 1, 3, n_jobs=1, **options)
    assert (test.null_statistics >= 0).all()
    assert (test.statistic >= 0).all()
    again = likelihood_ratio_test(X, 1, 3, n_jobs=2, **options)
    np.testing.assert_array_equal(again.null_statistics, test.null_statistics)
    np.testing.assert_array_equal(again.statistic, test.statistic)


def test_the_likelihood_ratio_is_that_of_the_best_fits():
    X = rows(0.0, 3.0, 9.0, d=2)
    options = {"random_state": 0, "init_params": "search", "tol": 1e-7, "max_iter": 5000}
    log_likelihoods = [GaussianMixture(k, **options).fit(X).score(X) * len(X) for k in (2, 3)]
    result = likelihood_ratio_test(X, 2, n_resamples=1, random_state=0)
    assert result.statistic[0] == pytest.approx(2 * (log_likelihoods[1] - log_likelihoods[0]), abs=0.02)


def test_likelihood_ratios_of_many_rows_are_exact_by_default():
    """Check that tol shrinks with the number of rows, so that EM does not end at the smaller mixture."""
    rng = np.random.default_rng(1)
    X = rng.normal(np.where(rng.random(20_000) < 0.1, -0.5, 0.5))[:, None]
    found, exact = (likelihood_ratio_test(X, 1, n_resamples=1, random_state=0, **how) for how in ({}, {"tol": 1e-9}))
    assert exact.statistic[0] > 5
    assert found.statistic[0] == pytest.approx(exact.statistic[0], abs=0.1)


def test_likelihood_ratio_test_uses_max_iter_for_all_fits():
    X = rows(0.0, 1.0)
    few, many = (
        likelihood_ratio_test(X, 1, n_resamples=1, random_state=0, tol=1e-10, max_iter=n).statistic[0]
        for n in (5, 5000)
    )
    assert 0 <= few < many


@pytest.mark.parametrize("reg_covar", ["auto", 1.0])
def test_likelihood_ratio_test_rejects_components_with_only_the_ridge_as_variance(reg_covar):
    """Check that components without variance raise an error, because the p-value would be 1 for any rows."""
    X, rng = rows(0.0, 9.0), np.random.default_rng(0)
    ones, half_constant = np.ones(len(X)), np.where(np.arange(len(X)) < 60, 0.0, rng.normal(size=len(X)))
    for column, k in ((ones, 1), (half_constant, 2)):
        warned = pytest.warns() if k == 1 and reg_covar == "auto" else nullcontext()
        message = rf"with n_components={k}, a component has only reg_covar as its variance in column 'x1'\. Leave out"
        with warned, pytest.raises(ValueError, match=message):
            likelihood_ratio_test(np.column_stack([X, column]), k, n_resamples=3, reg_covar=reg_covar, random_state=0)
    lines = np.column_stack([X[:, 0], X[:, 0] + half_constant])
    message = "with n_components=2, a component has only reg_covar as its variance in some direction"
    with pytest.raises(ValueError, match=message):
        likelihood_ratio_test(lines, 2, n_resamples=3, reg_covar=reg_covar, random_state=0)
    # A single component has a variance, but two components would separate rows that are nearly equal.
    tail = np.array([0.0] * 40 + [1e-3, 1.0])[:, None]
    with pytest.raises(ValueError, match="with n_components=2, a component"):
        likelihood_ratio_test(tail, 1, n_resamples=3, reg_covar=1e-6, random_state=0)


@pytest.mark.heavy
def test_p_values_of_likelihood_ratio_test_are_uniform_under_the_null():
    """Check that p-values of rows from the smaller mixture are uniform: mean ½ ± 0.029, and 5 % below 0.05."""
    tests = [likelihood_ratio_test(rows(0.0, seed=i), 1, n_resamples=99, random_state=i) for i in range(100)]
    p = np.array([test.p_value[0] for test in tests])
    assert abs(p.mean() - 0.5) < 4 * 0.029
    assert (p <= 0.05).mean() < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 100)


def test_likelihood_ratio_test_and_n_components_test_find_three_groups():
    X = rows(0.0, 6.0, 14.0)
    by_likelihood_ratio = likelihood_ratio_test(X, 1, 4, n_resamples=39, random_state=0)
    np.testing.assert_array_equal(by_likelihood_ratio.n_components, [1, 2, 3])
    assert by_likelihood_ratio.p_value[:2].tolist() == [1 / 40, 1 / 40]
    assert by_likelihood_ratio.min_components() == 3
    by_split = n_components_test(X, 5, random_state=0)
    assert by_split.min_components() == 3
    np.testing.assert_allclose(by_split.p_value, np.minimum(1, 1 / by_split.statistic), rtol=1e-12)
    assert n_components_test(X, 2, random_state=0).min_components() == 3  # the result is beyond the tested numbers


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # fits also warn about the ridge
@pytest.mark.parametrize("structure", ["tied", "EEI", "full"])
def test_tests_reject_components_that_are_separated_by_a_column_of_labels(structure):
    labels = np.arange(90) % 2
    X = np.column_stack([rows(0.0, n=90)[:, 0] + 1.5 * labels, labels])
    for run, options in (likelihood_ratio_test, {"n_resamples": 9}), (n_components_test, {}):
        with pytest.raises(ValueError, match="a component has only reg_covar as its variance in column 'x1'"):
            run(X, 1, covariance_type=structure, random_state=0, **options)
    X += np.outer(labels, [4.0, -1.0])  # the second column is now constant, so it does not separate the components
    for own in (X, X[:, [0, 0]]):
        assert likelihood_ratio_test(own, 1, n_resamples=9, covariance_type="tied", random_state=0).p_value[0] == 0.1


def test_n_components_test_rejects_rows_without_variance_in_a_component():
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


def test_likelihood_ratio_test_reads_files(tmp_path):
    np.save(tmp_path / "x.npy", rows(0.0))
    options = {"n_resamples": 3, "random_state": 0}
    result, expected = (likelihood_ratio_test(x, 1, **options) for x in (tmp_path / "x.npy", rows(0.0)))
    np.testing.assert_array_equal(result.null_statistics, expected.null_statistics)


def test_n_components_test_keeps_its_level():
    """Check that the mean ratio is at most 1 under the smaller mixture, so that few ratios are above 1 / α."""
    tests = [n_components_test(rows(0.0, n=60, seed=seed), 1, random_state=seed) for seed in range(40)]
    assert np.mean([test.statistic[0] > 5 for test in tests]) <= 0.2 + 2 * np.sqrt(0.2 * 0.8 / 40)
    assert np.mean([test.statistic[0] for test in tests]) < 1.5


def test_statistics_that_underflow_or_overflow_have_p_values():
    plain = n_components_test(np.random.default_rng(0).normal(size=(120, 30)), 1, random_state=0)
    assert plain.statistic.tolist() == [0.0]  # the exact statistic is about exp(-1000)
    assert plain.p_value.tolist() == [1.0]
    separated = n_components_test(rows(0.0, 1000.0, n=300, d=4), 1, random_state=0)
    assert separated.statistic.tolist() == [np.inf]
    assert separated.p_value.tolist() == [0.0]


@pytest.mark.heavy
def test_the_statistic_of_em_test_is_chi_squared_under_the_null():
    """Check that the statistic is χ² with two degrees of freedom: mean 2, and 5 % above the 95 % quantile."""
    result = np.array([em_test(rows(0.0, n=100, seed=seed)).statistic[0] for seed in range(200)])
    assert abs(result.mean() - 2) < 4 * 2 / np.sqrt(200)
    assert abs((chi2.sf(result, 2) < 0.05).mean() - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 200)


@pytest.mark.heavy
def test_em_test_finds_two_components_in_any_unit():
    X = rows(0.0, 3.0)
    result = em_test(X)
    assert result.p_value[0] == pytest.approx(chi2.sf(result.statistic[0], 2))
    assert result.min_components() == 2
    assert em_test(rows(0.0)).min_components() == 1
    assert em_test(1e6 * X[:, 0] - 5e5).statistic == pytest.approx(result.statistic)
    for unit in (1e-310, 1e-200, 1e200, 1e305):
        assert em_test(unit * X).statistic == pytest.approx(result.statistic, rel=1e-9)
    # The statistic is the likelihood gain of two components minus a penalty, which is small.
    maxima = [GaussianMixture(k, random_state=0, tol=1e-8, max_iter=2000).fit(X).score(X) * len(X) for k in (1, 2)]
    assert result.statistic[0] == pytest.approx(2 * (maxima[1] - maxima[0]), abs=3)


def test_steps_of_em_test_never_lower_the_penalised_likelihood():
    x = rows(0.0, 2.0)[:, 0]
    x = (x - x.mean()) / x.std()
    for start in em_module.initial_models(x, 0.3):
        objective = em_module.penalised_likelihood(0.3)
        end = final_state(run_em(ArraySource(x[:, None]), make_engine(1), start, objective, StopRule(0.0, 30)))
        assert (np.diff(end.trace.objective) >= -1e-14).all()
        np.testing.assert_array_equal(end.model.weights, [0.7, 0.3])


def test_em_test_does_not_depend_on_the_sign_of_the_values():
    """Check values of which a few are large: the best initial model has the few values in another component."""
    x = np.append(rows(0.0, n=100), 4 + rows(0.0, n=20, seed=1))
    assert em_test(-x).statistic == pytest.approx(em_test(x).statistic, rel=1e-6)


def test_em_test_accepts_distant_values_without_warnings():
    """Check that numbers which overflow on the way to the statistic raise no warning, which pytest treats as error."""
    x = rows(0.0, n=300)[:, 0]
    assert em_test(np.append(x, 1e6)).p_value[0] == 0
    assert em_test(np.append(x, [1e308, -1e308])).p_value[0] == 0


def test_results_of_order_tests_print_the_decision_and_convert_to_a_data_frame():
    result = likelihood_ratio_test(rows(0.0, 6.0), 1, n_resamples=19, random_state=0)
    assert "At least 2 at a level of 0.05." in str(result)
    assert list(result.tidy().columns) == ["n_components", "statistic", "p_value"]
    assert "by halves of the rows" in str(n_components_test(rows(0.0, 6.0), random_state=0))


def test_order_tests_reject_invalid_arguments():
    X = rows(0.0)
    with_missing = X.copy()
    with_missing[3] = np.nan
    for call, error, message in [
        (lambda: likelihood_ratio_test(X, 2, 2), ValueError, "n_components_alternative=2"),
        (lambda: likelihood_ratio_test(X, 0), ValueError, "n_components"),
        (lambda: likelihood_ratio_test(X, 1, n_resamples=0), ValueError, "n_resamples=0"),
        (lambda: likelihood_ratio_test(X, 1, noise=True), TypeError, "not 'noise'"),
        (lambda: likelihood_ratio_test(np.column_stack([X, with_missing]), 1), ValueError, r"missing values \(NaN\)"),
        (lambda: likelihood_ratio_test(X, 1, tol="auto"), ValueError, "a number for tol"),
        (lambda: likelihood_ratio_test(X, 1, tol="small"), TypeError, "tol"),
        (lambda: n_components_test(X[:20], 9), ValueError, "needs 4 \\(max_components \\+ n_extra\\) = 40 rows"),
        (lambda: n_components_test(X, alpha=0), ValueError, "alpha"),
        (lambda: n_components_test(X).min_components(2), ValueError, "alpha"),
        (lambda: em_test(3.0), ValueError, "at least 10 numbers"),
        (lambda: em_test(X[:9]), ValueError, "at least 10"),
        (lambda: em_test(np.zeros(50)), ValueError, "not all equal"),
        (lambda: em_test(np.hstack([X, X])), ValueError, "one feature"),
    ]:
        with pytest.raises(error, match=message):
            call()
