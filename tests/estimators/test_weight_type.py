"""The meaning of weights: frequencies count rows, precisions measure the reliability of each row."""

import numpy as np
import pytest

import gaussmix
from gaussmix import GaussianMixture, GaussianMixtureClassifier, GaussianMixtureDetector, GaussianMixtureRegressor

PRECISE = {"weight_type": "precision"}


def table():
    """Return 120 rows in two groups, and precisions with mean 1 over the rows of positive weight."""
    rng = np.random.default_rng(7)
    X = np.concatenate([rng.normal(0, 1, (70, 2)), rng.normal(7, 1, (50, 2))])
    weight = rng.gamma(2.0, size=120)
    weight[[3, 80]] = 0.0
    return X, weight * (118 / weight.sum())


@pytest.mark.parametrize("factor", [1e-200, 1e-3, 40.0, 1e100])
@pytest.mark.parametrize("reg_covar", ["auto", 0.0])
def test_precisions_of_any_size_count_rows(factor, reg_covar):
    X, weight = table()
    wanted = GaussianMixture(2, reg_covar=reg_covar, random_state=0).fit(X, sample_weight=weight)
    found = GaussianMixture(2, reg_covar=reg_covar, random_state=0, **PRECISE).fit(X, sample_weight=factor * weight)
    np.testing.assert_allclose(found.means_, wanted.means_, rtol=1e-10)
    np.testing.assert_allclose(found.covariances_, wanted.covariances_, rtol=1e-9)
    for criterion in ("bic", "aic"):
        mine, theirs = getattr(found, criterion)(X, factor * weight), getattr(wanted, criterion)(X, weight)
        assert mine == pytest.approx(theirs, rel=1e-12)


def test_precisions_are_other_weights_than_frequencies():
    X, weight = table()
    plain, precise = (
        GaussianMixture(2, random_state=0, **how).fit(X, sample_weight=9 * weight) for how in ({}, PRECISE)
    )
    assert plain.bic(X, 9 * weight) > 5 * precise.bic(X, 9 * weight)


def test_predictors_count_rows():
    X, weight = table()
    y = np.repeat([0, 1], [70, 50])
    classifiers = [GaussianMixtureClassifier(**how).fit(X, y, w) for how, w in (({}, weight), (PRECISE, 1e-4 * weight))]
    assert classifiers[0].bic_ == pytest.approx(classifiers[1].bic_, rel=1e-12)
    for cls in (GaussianMixtureDetector, gaussmix.GaussianMixtureImputer, GaussianMixtureRegressor):
        arguments = (X[:, :1], X[:, 1]) if cls is GaussianMixtureRegressor else (X,)
        wanted = cls(2, random_state=0).fit(*arguments, sample_weight=weight)
        # With frequencies, the ridge would differ.
        found = cls(2, random_state=0, **PRECISE).fit(*arguments, sample_weight=1e-4 * weight)
        np.testing.assert_allclose(found.mixture_.covariances, wanted.mixture_.covariances, rtol=1e-9)


@pytest.mark.parametrize("smallest", [5e-324, 1e-310, 1e-290])
@pytest.mark.parametrize("how", [{}, PRECISE], ids=["frequency", "precision"])
def test_weights_near_the_smallest_number_are_weights(smallest, how):
    X, _ = table()
    weight, y = np.full(120, smallest), np.repeat([0, 1], [70, 50])
    plain = GaussianMixture(2, reg_covar=0, random_state=0).fit(X)
    found = GaussianMixture(2, reg_covar=0, random_state=0, **how).fit(X, sample_weight=weight)
    assert found.score(X, sample_weight=weight) == pytest.approx(plain.score(X), rel=1e-10)
    if how:
        assert found.bic(X, weight) == pytest.approx(plain.bic(X), rel=1e-10)
    else:
        with pytest.warns(RuntimeWarning, match="treated as proportions"):
            assert found.bic(X, weight) == pytest.approx(plain.bic(X), rel=1e-10)
    classifier = GaussianMixtureClassifier(**how).fit(X, y, weight)
    assert classifier.bic_ == pytest.approx(GaussianMixtureClassifier().fit(X, y).bic_, rel=1e-10)


@pytest.mark.parametrize("cls", [GaussianMixture, gaussmix.GaussianMixtureIC, GaussianMixtureDetector])
def test_another_meaning_is_refused_and_leaves_the_estimator_as_it_was(cls):
    X, weight = table()
    estimator = cls(weight_type="precisions")
    with pytest.raises(ValueError, match=r"weight_type='precisions' is not one of 'frequency', 'precision'"):
        estimator.fit(X, sample_weight=weight)
    assert vars(estimator) == vars(cls(weight_type="precisions"))


def test_many_fits_have_the_bits_of_one():
    X, weight = table()
    weight *= 30
    found = gaussmix.fit_many([X, X[::-1]], 2, sample_weight=[weight, weight[::-1]], random_state=0, **PRECISE)
    single = GaussianMixture(2, random_state=0, **PRECISE).fit(X, sample_weight=weight)
    assert found[0] == single.mixture_
