"""Tests of predictions and scores, which equal results of scikit-learn from the same parameters."""

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture as SklearnMixture
from sklearn.mixture._gaussian_mixture import _compute_precision_cholesky

from gaussmix import GaussianMixture, Mixture

# scikit-learn subtracts sums of d = 3 products of up to 10 σ² from each other; log densities are −5 to −60.
ROUNDING = 1000 * np.finfo(np.float64).eps


def sklearn_estimator(mixture):
    """Return scikit-learn's estimator with the same parameters."""
    theirs = SklearnMixture(mixture.n_components, covariance_type=mixture.covariance_type)
    theirs.weights_, theirs.means_, theirs.covariances_ = mixture.weights_, mixture.means_, mixture.covariances_
    theirs.precisions_cholesky_ = _compute_precision_cholesky(mixture.covariances_, mixture.covariance_type)
    return theirs


@pytest.mark.parametrize("n_features", [1, 3, 6])
def test_predictions_and_scores_equal_those_of_scikit_learn(rng, covariance_type, n_features):
    X = rng.normal(size=(200, n_features)) + 3 * rng.integers(3, size=(200, 1))
    mixture = GaussianMixture(3, covariance_type=covariance_type, random_state=0, tol=1e-2).fit(X)
    theirs, other_rows = sklearn_estimator(mixture), 2 * rng.normal(size=(77, n_features))
    tolerance = {"rtol": ROUNDING, "atol": ROUNDING}
    for rows in X, other_rows:
        np.testing.assert_allclose(mixture.score_samples(rows), theirs.score_samples(rows), **tolerance)
        np.testing.assert_allclose(mixture.predict_proba(rows), theirs.predict_proba(rows), **tolerance)
        np.testing.assert_allclose(mixture.predict_proba(rows).sum(axis=1), 1, rtol=4 * np.finfo(np.float64).eps)
        assert (mixture.predict(rows) == theirs.predict(rows)).all()
        for score in ("score", "bic", "aic"):
            assert getattr(mixture, score)(rows) == pytest.approx(getattr(theirs, score)(rows), rel=ROUNDING)
    np.testing.assert_allclose(mixture.precisions_cholesky_, theirs.precisions_cholesky_, **tolerance)
    assert mixture._n_parameters() == theirs._n_parameters()


def test_results_have_the_types_and_shapes_of_scikit_learn(X):
    for dtype in (np.float32, np.float64):
        ours = GaussianMixture(3, random_state=0).fit(X.astype(dtype))
        theirs = SklearnMixture(3, random_state=0).fit(X.astype(dtype))
        for method in ("predict", "predict_proba", "score_samples"):
            result, expected = (getattr(estimator, method)(X.astype(dtype)) for estimator in (ours, theirs))
            assert (result.dtype, result.shape) == (expected.dtype, expected.shape)
        for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
            result, expected = getattr(ours, name), getattr(theirs, name)
            assert (result.dtype, result.shape) == (expected.dtype, expected.shape)
        for name in ("converged_", "n_iter_", "lower_bound_", "n_features_in_"):
            assert isinstance(getattr(ours, name), (bool, int, float))
        rows, labels = ours.sample(5)
        np.testing.assert_array_equal(ours.sample(5)[0], rows)  # random_state=0 draws the same rows again
        assert (rows.shape, labels.shape, labels.dtype.kind) == ((5, 3), (5,), "i")
        assert isinstance(ours.mixture_, Mixture)


def test_predict_returns_the_first_of_equal_components():
    X = np.array([[-1.0], [0.0], [1.0], [2.0]])
    means = np.array([[1.0], [-1.0], [1.0]])  # the first and the third are equal, and 0 is midway
    initial = {"weights_init": np.full(3, 1 / 3), "means_init": means, "covariances_init": np.ones((3, 1, 1))}
    mixture = GaussianMixture(3, max_iter=0, **initial).fit(X)
    assert mixture.predict(X).tolist() == [1, 0, 0, 0]
    assert mixture.predict_proba([[0.0]]) == pytest.approx(np.full((1, 3), 1 / 3), rel=4 * np.finfo(np.float64).eps)


def test_scores_with_integer_weights_equal_those_of_repeated_rows(X):
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
