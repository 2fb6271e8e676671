"""Tests of `GaussianMixtureDimensionReducer`: its eigenproblem, and the directions that it returns."""

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline

from gaussmix import GaussianMixture, GaussianMixtureDimensionReducer
from gaussmix._src.mixture.directions import directions


@pytest.fixture
def X(rng):
    rows = rng.normal(size=(120, 4)) * [1.0, 10.0, 0.1, 1.0]
    return rows + np.repeat([[0, 0, 0, 0], [5, 0, 0, 0], [0, 0, 0.6, 0]], 40, axis=0)


@pytest.mark.parametrize("mean_fraction", [0.0, 0.3, 1.0])
def test_directions_solve_the_generalised_eigenproblem(X, mean_fraction):
    """Check M v = l Σ v, with M as defined by Scrucca (2014)."""
    reducer = GaussianMixtureDimensionReducer(3, mean_fraction=mean_fraction, random_state=0).fit(X)
    mixture = reducer.mixture_
    covariance = mixture.covariance
    inverse, within = np.linalg.inv(covariance), np.einsum("k,kij->ij", mixture.weights, mixture.covariances)
    offsets = mixture.means - mixture.mean
    between = np.einsum("k,ki,kj->ij", mixture.weights, offsets, offsets)
    differences = mixture.covariances - within
    covariance_part = np.einsum("k,kij,jl,klm->im", mixture.weights, differences, inverse, differences)
    matrix = mean_fraction * between @ inverse @ between + (1 - mean_fraction) * covariance_part
    for v, eigenvalue in zip(reducer.components_, reducer.eigenvalues_, strict=True):
        np.testing.assert_allclose(matrix @ v, eigenvalue * covariance @ v, atol=1e-9 * np.abs(matrix).max())
        assert np.linalg.norm(v) == pytest.approx(1)
    assert len(reducer.components_) == (2 if mean_fraction == 1 else 4)
    assert (np.diff(reducer.eigenvalues_) <= 0).all()


def test_directions_do_not_depend_on_the_units(X):
    units = np.array([1e6, 1e-6, 3.0, 0.1])
    mixture = GaussianMixture(3, random_state=0).fit(X).mixture_
    original, rescaled = directions(mixture._model, 0.5), directions(mixture.transform(np.diag(units))._model, 0.5)
    np.testing.assert_allclose(rescaled.values, original.values, rtol=1e-9)
    scaled = rescaled.axes * units
    scaled /= np.linalg.norm(scaled, axis=1, keepdims=True)
    np.testing.assert_allclose(np.einsum("ij,ij->i", scaled, original.axes), 1, rtol=1e-9)


def test_transformed_rows_have_the_moments_of_the_reduced_mixture(X):
    reducer = GaussianMixtureDimensionReducer(3, n_directions=1, random_state=0).fit(X)
    Z = reducer.transform(X)
    assert (Z.shape, reducer.eigenvalues_.shape) == ((120, 1), (1,))
    np.testing.assert_allclose(Z, (X - reducer.mean_) @ reducer.components_.T, atol=1e-12)
    reduced = reducer.reduced_mixture_
    np.testing.assert_allclose(reduced.mean, 0, atol=1e-9)
    np.testing.assert_allclose(reduced.covariance, np.cov(Z.T, bias=True), rtol=1e-3)
    assert reducer.get_feature_names_out().tolist() == ["gaussianmixturedimensionreducer0"]
    assert reducer.set_params(n_directions=3).fit_transform(X).shape == (120, 2)  # the means lie on a plane


def test_a_reducer_works_in_a_pipeline_and_after_save_and_load(X, tmp_path):
    pipeline = make_pipeline(
        GaussianMixtureDimensionReducer(3, random_state=0), GaussianMixture(3, random_state=0)
    ).fit(X)
    assert pipeline.predict(X).shape == (120,)
    reducer = pipeline[0]
    reducer.save(tmp_path / "r.gmm")
    np.testing.assert_array_equal(
        GaussianMixtureDimensionReducer.load(tmp_path / "r.gmm").transform(X), reducer.transform(X)
    )


def test_set_params_after_fit_does_not_change_the_directions(X):
    reducer = GaussianMixtureDimensionReducer(3, random_state=0).fit(X)
    before = reducer.transform(X)
    reducer.set_params(n_directions=0, mean_fraction=0.0)
    np.testing.assert_array_equal(reducer.transform(X), before)
    assert reducer.get_feature_names_out().shape == before.shape[1:]


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({}, "The mixture has one component"),
        ({"mean_fraction": 0.5}, "The mixture has one component"),
        ({"n_components": 3, "mean_fraction": 0, "covariance_type": "tied"}, "The covariances of .* are equal"),
    ],
)
def test_fit_warns_if_no_direction_separates_the_components(X, parameters, reason):
    with pytest.warns(RuntimeWarning, match=f"{reason}, so no direction separates components"):
        GaussianMixtureDimensionReducer(**parameters, random_state=0).fit(X)


def test_fit_warns_if_all_means_are_equal():
    X = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    reducer = GaussianMixtureDimensionReducer(2, init_params=np.repeat([0, 1], 4), random_state=0)
    with pytest.warns(RuntimeWarning, match="The means of the components are equal, so no direction"):
        reducer.fit(np.r_[X, 9 * X])


def test_an_unfitted_reducer_raises_an_attribute_error():
    with pytest.raises(AttributeError, match="This GaussianMixtureDimensionReducer instance is not fitted yet"):
        _ = GaussianMixtureDimensionReducer().components_


def test_transform_rejects_missing_values(X):
    reducer = GaussianMixtureDimensionReducer(2, random_state=0).fit(X)
    X[3, 1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        reducer.transform(X)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"mean_fraction": 2}, ValueError, "mean_fraction=2 must be a number from 0 to 1"),
        ({"mean_fraction": "all"}, TypeError, "mean_fraction must be a number from 0 to 1, not 'all'"),
        ({"n_directions": 0}, ValueError, "n_directions=0 must be an integer ≥ 1"),
    ],
)
def test_invalid_parameters_are_rejected(X, parameters, error, message):
    with pytest.raises(error, match=message):
        GaussianMixtureDimensionReducer(2, **parameters).fit(X)
