"""Float32 rows are read as double: the same bits as of the same numbers in float64."""

import numpy as np
import pytest

from gaussmix import BayesianGaussianMixture, GaussianMixture


def mixed(rng, n_rows, n_features):
    """Rows of three correlated clusters."""
    means = 3 * rng.normal(size=(3, n_features))
    factors = np.eye(n_features) + 0.4 * np.tril(rng.normal(size=(3, n_features, n_features)))
    labels = rng.integers(3, size=n_rows)
    return means[labels] + np.einsum("nij,nj->ni", factors[labels], rng.normal(size=(n_rows, n_features)))


def assert_same_fits(single, double, rows):
    assert single.n_iter_ == double.n_iter_
    assert single.lower_bound_ == double.lower_bound_
    for name in "weights", "means", "covariances":
        np.testing.assert_array_equal(getattr(single.mixture_, name), getattr(double.mixture_, name))
    for ask in "log_density", "responsibilities":
        of_rows, of_doubles = (getattr(single.mixture_, ask)(X) for X in (rows, rows.astype(float)))
        np.testing.assert_array_equal(of_rows, of_doubles)


@pytest.mark.parametrize("is_weighted", [False, True], ids=["rows", "weighted"])
@pytest.mark.parametrize("n_rows", [4_000, 70_000])
@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_a_fit_of_float32_rows_is_that_of_their_doubles(rng, covariance_type, n_rows, is_weighted):
    """In the core, and in the Python loop where passes are long; with outliers."""
    rows = mixed(rng, n_rows, 4).astype(np.float32)
    rows[::100] *= 20
    weight = rng.uniform(0, 2e50, len(rows)) if is_weighted else None
    fits = [
        GaussianMixture(3, covariance_type=covariance_type, random_state=0, max_iter=20, tol=1e-5).fit(
            X, sample_weight=weight
        )
        for X in (rows, rows.astype(float))
    ]
    assert_same_fits(*fits, rows)


def test_a_bayesian_fit_of_float32_rows_is_that_of_their_doubles(rng):
    rows = mixed(rng, 3_000, 3).astype(np.float32)
    fits = [BayesianGaussianMixture(6, random_state=0).fit(X) for X in (rows, rows.astype(float))]
    assert_same_fits(*fits, rows)
