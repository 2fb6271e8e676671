"""Tests that fits do not depend on the size of the pieces in which arrays are processed, or on the dtype of rows."""

import numpy as np
import pytest
from common import STARTS

from gaussmix import FAMILIES, BayesianGaussianMixture, GaussianMixture
from gaussmix._src.numerics import arrays
from gaussmix._src.numerics.rows import extreme_rows, extremes

ATTRIBUTES = ["weights_", "means_", "covariances_", "precisions_", "lower_bound_", "n_iter_"]
FORMS = {
    "float64": lambda rows: rows,
    "integers": lambda rows: np.round(8 * rows).astype(np.int16),
    "big-endian": lambda rows: rows.astype(">f8"),
    "columns": np.asfortranarray,
}


@pytest.fixture(params=[1, 7, 50])
def use_small_pieces(request, monkeypatch):
    """Return a function that sets a small maximum size of pieces."""
    return lambda: monkeypatch.setattr(arrays, "PIECE_VALUES", request.param)


@pytest.mark.heavy(n_default=38)
@pytest.mark.pairwise
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_fit_does_not_depend_on_piece_size_dtype_or_layout(family, start, form, use_small_pieces, rng):
    """Compare with a fit of float64 rows in one piece, including outliers, equal rows and weights."""
    rows = np.vstack([rng.normal(size=(60, 3)) + 4 * rng.integers(3, size=(60, 1)), [[1e6, 0, 0]], np.ones((3, 3))])
    rows, weight = FORMS[form](rows), rng.integers(0, 3, size=64)
    fits = []
    for form_of_rows in (np.array(rows, dtype=np.float64, order="C"), rows):
        model = GaussianMixture(4, covariance_type=family, init_params=start, random_state=0, max_iter=5, tol=0)
        with pytest.warns(UserWarning, match="max_iter"):
            fits.append(model.fit(form_of_rows, sample_weight=weight))
        use_small_pieces()
    for name in ATTRIBUTES:
        # NumPy may add the terms of products of pairs, of which there are at most 4, in a different order.
        np.testing.assert_allclose(getattr(fits[1], name), getattr(fits[0], name), rtol=1e-11, atol=1e-11, err_msg=name)


@pytest.mark.parametrize("weighted", [False, True])
def test_extreme_rows_returns_the_first_of_equal_rows(weighted, use_small_pieces, rng):
    use_small_pieces()
    rows = rng.integers(0, 6, size=(40, 3)).astype(np.float64)
    weight = rng.choice([0.0, 2.0], size=40) if weighted else np.ones(40)
    present = np.flatnonzero(weight)
    found = extreme_rows(rows, weight if weighted else None)
    assert found[0].tolist() == present[rows[present].argmin(axis=0)].tolist()
    assert found[1].tolist() == present[rows[present].argmax(axis=0)].tolist()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("missing", [None, (3, 0), (slice(None), 0)])
@pytest.mark.parametrize("n_features", [1, 3, 1023, 1024, 1025, 3000])
def test_extremes_has_the_same_bits_as_the_values_at_extreme_rows(n_features, missing, dtype, rng):
    values = np.array([-1.0, -0.0, 0.0, 0.5, np.inf], dtype=dtype)
    rows = rng.choice(values, size=(20_000 // n_features + 5, n_features))
    rows[:, 1:2] = np.copysign(0.0, rows[:, 1:2])
    if missing is not None:
        rows[missing] = np.nan
    found = extremes(rows)
    one_by_one = rows[extreme_rows(rows), np.arange(n_features)] + 0.0
    assert found.dtype == dtype
    assert found.tobytes() == one_by_one.tobytes()


def clustered(rng, n_rows, n_features):
    """Draw rows of three clusters with correlated features."""
    means = 3 * rng.normal(size=(3, n_features))
    factors = np.eye(n_features) + 0.4 * np.tril(rng.normal(size=(3, n_features, n_features)))
    labels = rng.integers(3, size=n_rows)
    return means[labels] + np.einsum("nij,nj->ni", factors[labels], rng.normal(size=(n_rows, n_features)))


def assert_same_fits(single, double, rows):
    assert single.n_iter_ == double.n_iter_
    assert single.lower_bound_ == double.lower_bound_
    for name in "weights", "means", "covariances":
        np.testing.assert_array_equal(getattr(single.mixture_, name), getattr(double.mixture_, name))
    for method in "log_density", "responsibilities":
        float32_result, float64_result = (getattr(single.mixture_, method)(X) for X in (rows, rows.astype(float)))
        np.testing.assert_array_equal(float32_result, float64_result)


@pytest.mark.heavy(n_default=3)
@pytest.mark.filterwarnings("ignore:Best performing initialization did not converge")
@pytest.mark.parametrize("is_weighted", [False, True], ids=["rows", "weighted"])
@pytest.mark.parametrize("n_rows", [4_000, 70_000])
@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_a_fit_of_float32_rows_equals_the_fit_of_equal_float64_rows(rng, covariance_type, n_rows, is_weighted):
    """Check rows with outliers, in the core and in the Python loop, which is used if passes are long."""
    rows = clustered(rng, n_rows, 4).astype(np.float32)
    rows[::100] *= 20
    weight = rng.uniform(0, 2e50, len(rows)) if is_weighted else None
    fits = [
        GaussianMixture(3, covariance_type=covariance_type, random_state=0, max_iter=20, tol=1e-5).fit(
            X, sample_weight=weight
        )
        for X in (rows, rows.astype(float))
    ]
    assert_same_fits(*fits, rows)


def test_a_bayesian_fit_of_float32_rows_equals_the_fit_of_equal_float64_rows(rng):
    rows = clustered(rng, 3_000, 3).astype(np.float32)
    fits = [BayesianGaussianMixture(6, random_state=0).fit(X) for X in (rows, rows.astype(float))]
    assert_same_fits(*fits, rows)
