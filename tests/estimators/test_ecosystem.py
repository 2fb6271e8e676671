"""What scikit-learn's tools do with an estimator: copies, frames, routing, pipelines and searches."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gaussmix import GaussianMixture

NAMES = ["height", "width", "depth"]


def fitted(X, **parameters):
    return GaussianMixture(3, random_state=0, **parameters).fit(X)


def test_a_clone_has_the_parameters_and_nothing_fitted(X):
    parameters = {
        "means_init": X[:3],
        "weights_init": [0.2, 0.3, 0.5],
        "init_params": np.arange(len(X)) % 3,
        "tol": 1e-5,
    }
    copied = clone(fitted(X, **parameters))
    assert not hasattr(copied, "mixture_")
    assert not hasattr(copied, "weights_")
    for name, value in parameters.items():
        np.testing.assert_array_equal(copied.get_params()[name], value)


@pytest.mark.parametrize("frame", [lambda X: pd.DataFrame(X, columns=NAMES), lambda X: pl.DataFrame(X, schema=NAMES)])
def test_frames_give_what_their_array_gives(X, frame):
    of_frame, of_array = fitted(frame(X)), fitted(np.asarray(frame(X)))  # of one memory layout, so of the same bits
    assert list(of_frame.feature_names_in_) == NAMES
    assert not hasattr(of_array, "feature_names_in_")
    assert of_frame.lower_bounds_ == of_array.lower_bounds_
    np.testing.assert_array_equal(of_frame.predict_proba(frame(X)), of_array.predict_proba(X))
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        of_frame.predict(X)
    with pytest.raises(ValueError, match="feature names should match"):
        of_frame.predict(frame(X)[NAMES[::-1]])


def test_frames_of_integers_and_nullable_numbers_are_numbers():
    frame = pd.DataFrame({"n": [1, 2, 3, 9, 8, 7], "share": pd.array([0.5, 1, 2, 3, 5, 8], dtype="Float64")})
    expected = GaussianMixture(1).fit(frame.to_numpy(dtype=np.float64))
    assert GaussianMixture(1).fit(frame).lower_bounds_ == expected.lower_bounds_


def test_sample_weight_is_routed_to_fit_and_score(X):
    weight = np.r_[np.ones(90), np.zeros(90)]
    with sklearn.config_context(enable_metadata_routing=True):
        mixture = GaussianMixture(2, random_state=0).set_fit_request(sample_weight=True)
        mixture.set_score_request(sample_weight=True)
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), mixture)
        pipeline.fit(X, sample_weight=weight)
        score = pipeline.score(X, sample_weight=weight)
    scaled = StandardScaler().fit_transform(X)
    expected = GaussianMixture(2, random_state=0).fit(scaled, sample_weight=weight)
    assert pipeline[-1].lower_bounds_ == expected.lower_bounds_
    assert score == expected.score(scaled, sample_weight=weight)
    assert score == pytest.approx(expected.score(scaled[:90]), rel=1e-12)


def test_a_search_over_a_pipeline_finds_the_number_of_groups(X):
    grid = {"gaussianmixture__n_components": [1, 3], "gaussianmixture__covariance_type": ["full", "spherical"]}
    pipeline = make_pipeline(StandardScaler(), GaussianMixture(random_state=0))
    search = GridSearchCV(pipeline, grid, cv=3, error_score="raise").fit(X)
    assert search.best_params_["gaussianmixture__n_components"] == 3
    # A search by BIC, as scikit-learn's own example does it: a scorer of fitted estimator and rows.
    mixture, numbers = GaussianMixture(covariance_type="spherical", random_state=0), {"n_components": [1, 2, 3]}
    by_bic = GridSearchCV(mixture, numbers, scoring=lambda fit, rows, y=None: -fit.bic(rows))
    assert by_bic.fit(X).best_params_ == {"n_components": 3}


@pytest.mark.heavy
def test_searches_and_scores_run_in_other_processes(X):
    serial = cross_val_score(GaussianMixture(3, random_state=0), X, cv=2)
    assert (cross_val_score(GaussianMixture(3, random_state=0), X, cv=2, n_jobs=2) == serial).all()


def test_y_is_ignored(X):
    assert fitted(X).lower_bounds_ == GaussianMixture(3, random_state=0).fit(X, np.arange(len(X))).lower_bounds_
    labels = GaussianMixture(3, random_state=0).fit_predict(X, y="anything")
    assert (labels == fitted(X).predict(X)).all()


def test_it_is_a_density_estimator_and_no_transformer(X):
    assert sklearn.utils.get_tags(GaussianMixture()).estimator_type == "density_estimator"
    assert not hasattr(fitted(X), "set_output")
    assert repr(GaussianMixture(3, tol=1e-4)) == "GaussianMixture(n_components=3, tol=0.0001)"
