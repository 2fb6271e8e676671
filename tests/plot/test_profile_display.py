"""Tests that profiles of components agree with direct computations, also for pipelines that reduce curves."""

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, PowerTransformer, StandardScaler

from gaussmix import FAMILIES, GaussianMixture, GaussianMixtureIC, Mixture
from gaussmix.plot import ProfileDisplay

NAMES = ["length", "width", "mass"]
MEANS, VARIANCES = [[0.0, 5.0, -3.0], [3.0, 6.0, 0.0]], [[1.0, 4.0, 9.0], [1.0, 1.0, 1.0]]
MIXTURE = Mixture([0.25, 0.75], MEANS, VARIANCES, FAMILIES["diag"], NAMES)


@pytest.fixture
def curves(rng):
    """Return two groups of curves with 20 points, computed from three scores and noise."""
    scores = rng.normal(size=(600, 3)) * [3.0, 2.0, 1.0] + np.repeat([[0.0], [9.0]], 300, axis=0)
    return 50 + scores @ rng.normal(size=(3, 20)) + rng.normal(0, 0.5, (600, 20))


def test_profile_lines_are_means_and_bands_are_standard_deviations():
    display = ProfileDisplay.from_estimator(MIXTURE, MIXTURE.means, standardize=False, level=2)
    for k, (line, band) in enumerate(zip(display.lines_, display.bands_, strict=True)):
        np.testing.assert_array_equal(line.get_ydata(), MIXTURE.means[k])
        corners = band.get_paths()[0].vertices
        assert corners[corners[:, 0] == 2, 1].max() == MIXTURE.means[k, 2] + 2 * VARIANCES[k][2] ** 0.5
        np.testing.assert_array_equal(display.rows_[k].get_ydata(), [*MIXTURE.means[k], np.nan])
    named = ["component 0 (25%)", "component 1 (75%)", "95.4% within 2 σ"]
    assert [text.get_text() for text in display.legend_.get_texts()] == named


def test_standardised_profiles_have_mean_0_and_deviation_1():
    display = ProfileDisplay.from_estimator(MIXTURE, features=["mass", 0])
    assert display.feature_names == ["mass", "length"]
    assert display.legend_.get_title().get_text() == "2 of 3 features"
    offsets = display.means - MIXTURE.weights @ display.means
    heights = offsets / np.sqrt(MIXTURE.weights @ (display.deviations**2 + offsets**2))
    np.testing.assert_allclose([line.get_ydata() for line in display.lines_], heights)


def test_profiles_of_a_pca_pipeline_are_transformed_back_to_curves(curves):
    """Check that bands contain the expected fraction of the points of X within 2 %, even after a scaler."""
    frame = pd.DataFrame(curves, columns=[f"{hour} h" for hour in range(20)])
    selection = GaussianMixtureIC(range(1, 4), random_state=0)
    pipe = make_pipeline(StandardScaler(), PCA(3, whiten=True), selection).fit(frame)
    display = ProfileDisplay.from_estimator(pipe, standardize=False)
    assert display.feature_names == list(frame.columns)
    axes = pipe[1].components_ * np.sqrt(pipe[1].explained_variance_)[:, None] * pipe[0].scale_
    np.testing.assert_allclose(display.means, selection.means_ @ axes + pipe[0].mean_)
    dense = selection.mixture_._model.covariances.dense()
    np.testing.assert_allclose(display.deviations**2, [np.diag(axes.T @ each @ axes) for each in dense])
    display = ProfileDisplay.from_estimator(pipe, frame, standardize=False)
    np.testing.assert_array_equal(display.labels, pipe.predict(frame))
    offsets = abs(curves - display.means[display.labels]) / display.deviations[display.labels]
    assert (offsets < 1).mean() == pytest.approx(0.683, abs=0.02)
    assert sum(len(line.get_xdata()) for line in display.rows_) == 300 * 21  # each line is followed by a gap
    assert [label.get_text() for label in display.ax_.get_xticklabels()] == [f"{hour} h" for hour in range(0, 20, 3)]


def test_profile_display_rejects_pipelines_without_an_affine_inverse(curves):
    for step in PowerTransformer(), FunctionTransformer(np.log, np.exp), FunctionTransformer(np.log), Normalizer():
        pipe = make_pipeline(step, GaussianMixture(1)).fit(curves[:, :2] + 1000)
        with pytest.raises(ValueError, match="has no affine inverse_transform"):
            ProfileDisplay.from_estimator(pipe)


def test_the_profile_of_a_one_step_pipeline_is_that_of_its_step(curves):
    pipe = make_pipeline(GaussianMixture(2, random_state=0)).fit(curves)
    np.testing.assert_array_equal(ProfileDisplay.from_estimator(pipe, curves).means, pipe[-1].means_)


def test_profile_display_rejects_one_feature():
    with pytest.raises(ValueError, match="two or more features, but 'mass' is the only one: draw it with Component"):
        ProfileDisplay.from_estimator(MIXTURE, features="mass")


@pytest.mark.parametrize(("level", "error"), [(0, ValueError), (np.inf, ValueError), ([1, 2], TypeError)])
def test_profile_display_names_an_invalid_level(level, error):
    with pytest.raises(error, match=r"^level\b.* must be a finite number above 0"):
        ProfileDisplay.from_estimator(MIXTURE, level=level)


def test_profile_display_shows_noise_and_wraps_long_names(rng):
    X = np.concatenate([rng.normal(size=(100, 2)), [[30.0, 40.0]]])
    gm = GaussianMixture(1, noise=True, random_state=0).fit(X)
    display = ProfileDisplay.from_estimator(gm, X, feature_names=["a" * 70, "b"])
    assert display.legend_.get_texts()[1].get_text() == "noise"
    assert len(display.rows_[-1].get_xdata()) == 3 * (gm.predict(X) == -1).sum()
    assert display.ax_.get_xticklabels()[0].get_text().count("\n") == 2


def test_profile_display_labels_all_features(rng):
    gm, names = GaussianMixture(1).fit(rng.normal(size=(50, 14))), list("abcdefghijklmn")
    labels = ProfileDisplay.from_estimator(gm, feature_names=names).ax_.get_xticklabels()
    assert [label.get_text() for label in labels] == names
