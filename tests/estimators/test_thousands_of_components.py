"""Tests of mixtures of thousands of components: memory, comparisons of components, and lengths of texts."""

import re
import warnings

import numpy as np
import pytest
from scipy.sparse import issparse
from scipy.special import logsumexp
from scipy.stats import chi2

from gaussmix import FAMILIES, GaussianMixture, Mixture

TOO_LARGE = r"An array of 250,000 × 2,500 numbers would take 5\.0 GB, but the limit is 4 GB: .*"


def line(n_components, spacing=1.0, n_features=1):
    """Return components of equal weight and standard deviation 1, whose means lie on a line."""
    means = np.zeros((n_components, n_features))
    means[:, 0] = spacing * np.arange(n_components)
    weights = np.full(n_components, 1 / n_components)
    return Mixture(weights, means, np.ones(n_components), FAMILIES["spherical"])


def lattice(n_rows, spread):
    """Return `n_rows` rows around each point of a lattice of 126 × 127, and the mixture from which they were drawn."""
    means = np.stack(np.meshgrid(np.arange(126.0), np.arange(127.0)), axis=2).reshape(-1, 2)
    X = (means[:, None] + np.random.default_rng(0).normal(0, spread, (len(means), n_rows, 2))).reshape(-1, 2)
    covariances = np.tile(spread**2 * np.eye(2), (len(means), 1, 1))
    initial = {"weights_init": np.full(len(means), 1 / len(means)), "means_init": means}
    return X, GaussianMixture(len(means), max_iter=1, random_state=0, **initial, covariances_init=covariances)


@pytest.mark.heavy
@pytest.mark.parametrize("has_noise", [True, False])
def test_sparse_responsibilities_omit_only_negligible_values(has_noise):
    mixture = line(3000)
    if has_noise:
        noise = GaussianMixture(2, noise=True, random_state=0).fit(np.linspace(0, 3000, 99)[:, None]).mixture_.noise
        mixture = Mixture(
            (1 - noise.weight) * mixture.weights, mixture.means, np.ones(3000), mixture.family, None, noise
        )
    X = np.random.default_rng(0).uniform(0, 3000, (8000, 1))  # more rows than are processed at once
    X[0] = 1e6  # distant from each mean
    sparse, dense = mixture.responsibilities(X, sparse=True), mixture.responsibilities(X)
    assert issparse(sparse)
    assert (sparse.format, sparse.shape) == ("csr", dense.shape)
    assert sparse.indices.dtype == sparse.indptr.dtype == np.int32
    expected = np.where(dense > 2.0**-60 * dense.max(axis=1, keepdims=True), dense, 0.0)
    np.testing.assert_array_equal(sparse.toarray(), expected)


def test_arrays_of_rows_by_components_above_4_gb_are_rejected():
    mixture, X = line(2500), np.zeros((250_000, 1))
    estimator = GaussianMixture.from_sklearn(mixture.to_sklearn())
    for method in (mixture.responsibilities, mixture.component_log_density, estimator.predict_proba, estimator.explain):
        with pytest.raises(ValueError, match=TOO_LARGE):
            method(X)
    assert (estimator.predict(X) == 0).all()
    array = pytest.importorskip("dask.array")
    assert estimator.predict_proba(array.zeros((250_000, 1), chunks=1000)).shape == (250_000, 2500)
    with pytest.raises(ValueError, match=r"40,000 × 40,000 .* because all pairs are compared"):
        line(40_000).kl_bounds(line(40_000))
    with pytest.raises(ValueError, match="merge supports at most 5,000 components, but the mixture has 40,000"):
        GaussianMixture.from_sklearn(line(40_000).to_sklearn()).merge(X[:9])


def test_tidy_omits_the_nearest_component_if_there_are_40_000_components():
    of_three, of_40_000 = (GaussianMixture.from_sklearn(line(n).to_sklearn()).tidy() for n in (3, 40_000))
    assert of_three["nearest"].tolist() == [1, 0, 1]
    assert (of_40_000["nearest"] == -1).sum() == of_40_000["overlap"].isna().sum() == 40_000


@pytest.mark.heavy
def test_warnings_and_summaries_of_thousands_of_components_are_short():
    X, estimator = lattice(1, 0.1)
    X, K = X[:4000], 4000
    initial = {"means_init": estimator.means_init[:K], "covariances_init": estimator.covariances_init[:K]}
    initial["means_init"] = initial["means_init"] + 1e3 * (np.arange(K) % 2)[:, None]
    estimator.set_params(n_components=K, weights_init=np.full(K, 1 / K), **initial)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator.fit(X)
    messages = [str(each.message) for each in caught]
    assert max(map(len, messages)) < 700
    assert messages[0].startswith("components 1, 3, 5, 7, 9, 11, 13, 15, 17, 19 and 1,990 more became empty: ")
    assert len(estimator.outcome_.diagnostics) >= 2000
    assert repr(estimator.outcome_).count("Diagnosis(") == 20
    assert len(str(estimator.summary()).splitlines()) < 240
    assert re.search(r"\n… 3800 more\n(.|\n)* more: see outcome_\.diagnostics\.", str(estimator.summary()))


@pytest.mark.heavy
@pytest.mark.filterwarnings("error:.*reg_covar")
@pytest.mark.filterwarnings("ignore:Best performing initialization did not converge")
def test_components_with_few_rows_in_a_sample_are_not_reported():
    X, estimator = lattice(10, 0.1)  # a sample of 65,520 rows has 4 rows per component on average, but fewer of many
    assert estimator.set_params(posterior="exact").fit(X).outcome_.diagnostics == []


@pytest.mark.heavy
def test_log_density_p_value_is_accurate_with_thousands_of_components():
    weights = np.random.default_rng(0).dirichlet(np.full(2000, 1.0))
    mixture = Mixture(weights, line(2000, spacing=100.0, n_features=2).means, np.ones(2000), FAMILIES["spherical"])
    rows = np.column_stack([np.full(3, 5000.0), [20.0, 30.0, 36.0]])
    log_ratios = np.maximum(mixture.parameters.log_scale[:, None] - mixture.log_density(rows), 0.0)
    exact = logsumexp(np.log(weights)[:, None] + chi2.logsf(2 * log_ratios, 2), axis=0)
    np.testing.assert_allclose(mixture.log_density_p_value(rows), exact, rtol=1e-3)


def test_save_rejects_millions_of_initial_values(tmp_path):
    estimator = GaussianMixture(1).fit([[0.0], [1.0]])
    for values in np.zeros((3_000_001, 1)), [[0.0] * 1_000_000] * 3 + [[0.0]]:
        with pytest.raises(
            ValueError, match="GaussianMixture: means_init has 3,000,001 numbers, too many for a file: set this"
        ):
            estimator.set_params(means_init=values).save(tmp_path / "model.gmm")
    estimator.set_params(means_init=None).save(tmp_path / "model.gmm")
