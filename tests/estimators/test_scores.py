"""Predictions of a fitted mixture agree with scikit-learn's from the same parameters; also edge cases."""

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture as SklearnMixture
from sklearn.mixture._gaussian_mixture import _compute_precision_cholesky

from gaussmix import GaussianMixture, Mixture

# scikit-learn sums d = 3 products of numbers up to 10 σ² and subtracts them: log densities are −5 to −60.
ROUNDING = 1000 * np.finfo(np.float64).eps


def of_parameters(mixture):
    """Return scikit-learn's estimator with the same parameters."""
    theirs = SklearnMixture(mixture.n_components, covariance_type=mixture.covariance_type)
    theirs.weights_, theirs.means_, theirs.covariances_ = mixture.weights_, mixture.means_, mixture.covariances_
    theirs.precisions_cholesky_ = _compute_precision_cholesky(mixture.covariances_, mixture.covariance_type)
    return theirs


@pytest.mark.parametrize("n_features", [1, 3, 6])
def test_answers_are_those_of_scikit_learn(rng, covariance_type, n_features):
    X = rng.normal(size=(200, n_features)) + 3 * rng.integers(3, size=(200, 1))
    mixture = GaussianMixture(3, covariance_type=covariance_type, random_state=0, tol=1e-2).fit(X)
    theirs, elsewhere = of_parameters(mixture), 2 * rng.normal(size=(77, n_features))
    near = {"rtol": ROUNDING, "atol": ROUNDING}
    for rows in X, elsewhere:
        np.testing.assert_allclose(mixture.score_samples(rows), theirs.score_samples(rows), **near)
        np.testing.assert_allclose(mixture.predict_proba(rows), theirs.predict_proba(rows), **near)
        np.testing.assert_allclose(mixture.predict_proba(rows).sum(axis=1), 1, rtol=4 * np.finfo(np.float64).eps)
        assert (mixture.predict(rows) == theirs.predict(rows)).all()
        for score in ("score", "bic", "aic"):
            assert getattr(mixture, score)(rows) == pytest.approx(getattr(theirs, score)(rows), rel=ROUNDING)
    np.testing.assert_allclose(mixture.precisions_cholesky_, theirs.precisions_cholesky_, **near)
    assert mixture._n_parameters() == theirs._n_parameters()


def test_answers_have_the_types_of_scikit_learn(X):
    for dtype in (np.float32, np.float64):
        ours = GaussianMixture(3, random_state=0).fit(X.astype(dtype))
        theirs = SklearnMixture(3, random_state=0).fit(X.astype(dtype))
        for method in ("predict", "predict_proba", "score_samples"):
            found, expected = (getattr(one, method)(X.astype(dtype)) for one in (ours, theirs))
            assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
            found, expected = getattr(ours, name), getattr(theirs, name)
            assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        for name in ("converged_", "n_iter_", "lower_bound_", "n_features_in_"):
            assert isinstance(getattr(ours, name), (bool, int, float))
        rows, labels = ours.sample(5)
        np.testing.assert_array_equal(ours.sample(5)[0], rows)  # both estimators have the same random_state
        assert (rows.shape, labels.shape, labels.dtype.kind) == ((5, 3), (5,), "i")
        assert isinstance(ours.mixture_, Mixture)


def test_of_equal_components_the_first_is_predicted():
    X = np.array([[-1.0], [0.0], [1.0], [2.0]])
    means = np.array([[1.0], [-1.0], [1.0]])  # the first and the third are equal, and 0 lies in the middle
    given = {"weights_init": np.full(3, 1 / 3), "means_init": means, "covariances_init": np.ones((3, 1, 1))}
    mixture = GaussianMixture(3, max_iter=0, **given).fit(X)
    assert mixture.predict(X).tolist() == [1, 0, 0, 0]
    assert mixture.predict_proba([[0.0]]) == pytest.approx(np.full((1, 3), 1 / 3), rel=4 * np.finfo(np.float64).eps)


def test_scores_with_weights_count_rows(X):
    mixture = GaussianMixture(3, random_state=0).fit(X)
    count = np.arange(len(X)) % 4
    repeated, density = X.repeat(count, axis=0), mixture.score_samples(X)
    assert mixture.score(X, sample_weight=count) == pytest.approx(count @ density / count.sum(), rel=1e-14)
    for score in ("score", "bic", "aic"):
        expected = getattr(mixture, score)(repeated)
        assert getattr(mixture, score)(X, sample_weight=count) == pytest.approx(expected, rel=1e-13)
    n_parameters = 2 + 9 + 3 * 6
    assert mixture.aic(X) == pytest.approx(-2 * density.sum() + 2 * n_parameters, rel=1e-14)
    assert mixture.bic(X) == pytest.approx(-2 * density.sum() + n_parameters * np.log(180), rel=1e-14)
