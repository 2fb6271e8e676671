"""Tests of `weight_type`: frequencies count rows, precisions measure the reliability of each row."""

import numpy as np
import pytest

import gaussmix
from gaussmix import GaussianMixture, GaussianMixtureClassifier, GaussianMixtureDetector, GaussianMixtureRegressor

PRECISE = {"weight_type": "precision"}


def rows_and_precisions():
    """Return 120 rows in two groups, and precisions with mean 1 over the rows of positive weight."""
    rng = np.random.default_rng(7)
    X = np.concatenate([rng.normal(0, 1, (70, 2)), rng.normal(7, 1, (50, 2))])
    weight = rng.gamma(2.0, size=120)
    weight[[3, 80]] = 0.0
    return X, weight * (118 / weight.sum())


@pytest.mark.parametrize("factor", [1e-200, 1e-3, 40.0, 1e100])
@pytest.mark.parametrize("reg_covar", ["auto", 0.0])
def test_precisions_are_scaled_to_sum_to_the_number_of_rows(factor, reg_covar):
    X, weight = rows_and_precisions()
    expected = GaussianMixture(2, reg_covar=reg_covar, random_state=0).fit(X, sample_weight=weight)
    actual = GaussianMixture(2, reg_covar=reg_covar, random_state=0, **PRECISE).fit(X, sample_weight=factor * weight)
    np.testing.assert_allclose(actual.means_, expected.means_, rtol=1e-10)
    np.testing.assert_allclose(actual.covariances_, expected.covariances_, rtol=1e-9)
    for criterion in ("bic", "aic"):
        value = getattr(expected, criterion)(X, weight)
        assert getattr(actual, criterion)(X, factor * weight) == pytest.approx(value, rel=1e-12)


def test_bic_with_precisions_differs_from_bic_with_frequencies():
    X, weight = rows_and_precisions()
    by_frequency, by_precision = (
        GaussianMixture(2, random_state=0, **options).fit(X, sample_weight=9 * weight) for options in ({}, PRECISE)
    )
    # The log-likelihoods of frequencies are sums over nine times as many rows.
    assert by_frequency.bic(X, 9 * weight) > 5 * by_precision.bic(X, 9 * weight)


def test_precisions_are_scaled_in_all_estimators():
    X, weight = rows_and_precisions()
    y = np.repeat([0, 1], [70, 50])
    by_frequency = GaussianMixtureClassifier().fit(X, y, weight)
    by_precision = GaussianMixtureClassifier(**PRECISE).fit(X, y, 1e-4 * weight)
    assert by_frequency.bic_ == pytest.approx(by_precision.bic_, rel=1e-12)
    for cls in (GaussianMixtureDetector, gaussmix.GaussianMixtureImputer, GaussianMixtureRegressor):
        arguments = (X[:, :1], X[:, 1]) if cls is GaussianMixtureRegressor else (X,)
        expected = cls(2, random_state=0).fit(*arguments, sample_weight=weight)
        # With frequencies, the ridge would differ.
        actual = cls(2, random_state=0, **PRECISE).fit(*arguments, sample_weight=1e-4 * weight)
        np.testing.assert_allclose(actual.mixture_.covariances, expected.mixture_.covariances, rtol=1e-9)


@pytest.mark.parametrize("smallest", [5e-324, 1e-310, 1e-290])
@pytest.mark.parametrize("options", [{}, PRECISE], ids=["frequency", "precision"])
def test_tiny_equal_weights_give_the_fit_without_weights(smallest, options):
    X, _ = rows_and_precisions()
    weight, y = np.full(120, smallest), np.repeat([0, 1], [70, 50])
    unweighted = GaussianMixture(2, reg_covar=0, random_state=0).fit(X)
    actual = GaussianMixture(2, reg_covar=0, random_state=0, **options).fit(X, sample_weight=weight)
    assert actual.score(X, sample_weight=weight) == pytest.approx(unweighted.score(X), rel=1e-10)
    if options:
        assert actual.bic(X, weight) == pytest.approx(unweighted.bic(X), rel=1e-10)
    else:
        with pytest.warns(RuntimeWarning, match="treated as proportions"):
            assert actual.bic(X, weight) == pytest.approx(unweighted.bic(X), rel=1e-10)
    classifier = GaussianMixtureClassifier(**options).fit(X, y, weight)
    assert classifier.bic_ == pytest.approx(GaussianMixtureClassifier().fit(X, y).bic_, rel=1e-10)


@pytest.mark.parametrize("cls", [GaussianMixture, gaussmix.GaussianMixtureIC, GaussianMixtureDetector])
def test_an_invalid_weight_type_is_rejected_and_leaves_the_estimator_unchanged(cls):
    X, weight = rows_and_precisions()
    estimator = cls(weight_type="precisions")
    with pytest.raises(ValueError, match=r"weight_type='precisions' is not one of 'frequency', 'precision'"):
        estimator.fit(X, sample_weight=weight)
    assert vars(estimator) == vars(cls(weight_type="precisions"))


def test_fit_many_with_precisions_equals_a_single_fit():
    X, weight = rows_and_precisions()
    weight *= 30
    actual = gaussmix.fit_many([X, X[::-1]], 2, sample_weight=[weight, weight[::-1]], random_state=0, **PRECISE)
    single = GaussianMixture(2, random_state=0, **PRECISE).fit(X, sample_weight=weight)
    assert actual[0] == single.mixture_
