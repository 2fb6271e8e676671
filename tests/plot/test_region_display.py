"""Regions are what the estimator itself says at each place."""

import numpy as np
import pytest

from gaussmix import FAMILIES, GaussianMixture, GaussianMixtureClassifier, GaussianMixtureDetector, Mixture
from gaussmix.plot import RegionDisplay


@pytest.fixture
def data(rng):
    y = np.repeat(["a", "b", "c"], 40)
    return rng.normal(size=(120, 2)) + np.repeat([[0, 0], [5, 0], [2, 5]], 40, axis=0), y


def places(display):
    return np.stack(np.meshgrid(display.x, display.y), axis=-1).reshape(-1, 2)


def test_classes_are_those_that_predict_says(data):
    X, y = data
    classifier = GaussianMixtureClassifier([1, 2], random_state=0).fit(X, y)
    display = RegionDisplay.from_estimator(classifier, X)
    drawn = np.array(display.names)[np.asarray(display.regions_.get_array(), dtype=int).ravel()]
    np.testing.assert_array_equal(drawn, classifier.predict(places(display)))
    np.testing.assert_array_equal(np.array(display.names)[display.labels], classifier.predict(X))
    assert [len(points.get_offsets()) for points in display.rows_] == np.bincount(display.labels).tolist()


@pytest.mark.parametrize("contamination", ["auto", 0.2])
def test_outliers_are_those_that_predict_says(data, contamination):
    detector = GaussianMixtureDetector(3, contamination=contamination, random_state=0).fit(data[0])
    display = RegionDisplay.from_estimator(detector, data[0])
    drawn = 1 - 2 * np.asarray(display.regions_.get_array()).ravel()
    np.testing.assert_array_equal(drawn, detector.predict(places(display)))
    np.testing.assert_array_equal(1 - 2 * display.labels, detector.predict(data[0]))


def test_noise_is_a_decision_too(rng):
    X = np.concatenate([rng.normal(size=(100, 2)), [[30.0, 40.0]]])
    gm = GaussianMixture(1, noise=True, random_state=0).fit(X)
    display = RegionDisplay.from_estimator(gm, X)
    drawn = np.asarray(display.regions_.get_array(), dtype=int).ravel()
    np.testing.assert_array_equal(np.where(drawn == 1, -1, drawn), gm.predict(places(display)))
    assert display.names == ["component 0", "noise"]


def test_boundaries_are_where_two_are_equally_probable():
    mixture = Mixture([0.5, 0.5], [[0.0, 0.0], [4.0, 0.0]], [1.0, 1.0], FAMILIES["spherical"])
    (boundary,) = RegionDisplay.from_estimator(mixture).boundaries_
    np.testing.assert_allclose(boundary.get_paths()[0].vertices[:, 0], 2.0, atol=1e-2)


def test_one_feature_shows_probabilities():
    mixture = Mixture([0.5, 0.5], [[0.0, 0.0], [4.0, 0.0]], [1.0, 1.0], FAMILIES["spherical"])
    display = RegionDisplay.from_estimator(mixture, features=0)
    shares = mixture.marginal([0]).responsibilities(display.x[:, None])
    for line, share in zip(display.regions_, shares.T, strict=True):
        np.testing.assert_array_equal(line.get_xydata(), np.column_stack([display.x, share]))
    assert [line.get_xdata()[0] for line in display.boundaries_] == pytest.approx([2.0], abs=0.05)


def test_features_that_are_not_shown_are_integrated_out():
    """The marginal of a detector has the region of the same mass."""
    X = np.random.default_rng(0).normal(size=(200, 3))
    detector = GaussianMixtureDetector(mass=0.9).fit(X)
    display = RegionDisplay.from_estimator(detector, features=[0, 2])
    marginal = detector.mixture_.marginal([0, 2])
    inside = marginal.in_highest_density_region(places(display), 0.9)
    np.testing.assert_array_equal(np.asarray(display.regions_.get_array()).ravel() == 0, inside)
