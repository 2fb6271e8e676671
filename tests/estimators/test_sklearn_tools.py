"""Tests of scikit-learn's tools with an estimator: pipelines, grid search, cross-validation and metadata routing."""

import numpy as np
import pytest
import sklearn
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gaussmix import GaussianMixture


def fitted(X, **parameters):
    return GaussianMixture(3, random_state=0, **parameters).fit(X)


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


def test_grid_search_finds_the_number_of_groups(X):
    grid = {"gaussianmixture__n_components": [1, 3], "gaussianmixture__covariance_type": ["full", "spherical"]}
    pipeline = make_pipeline(StandardScaler(), GaussianMixture(random_state=0))
    search = GridSearchCV(pipeline, grid, cv=3, error_score="raise").fit(X)
    assert search.best_params_["gaussianmixture__n_components"] == 3
    # A model selection by BIC as in scikit-learn's own example: a scorer receives the fitted estimator and rows.
    mixture, sizes = GaussianMixture(covariance_type="spherical", random_state=0), {"n_components": [1, 2, 3]}
    by_bic = GridSearchCV(mixture, sizes, scoring=lambda fit, rows, y=None: -fit.bic(rows))
    assert by_bic.fit(X).best_params_ == {"n_components": 3}


@pytest.mark.heavy
def test_cross_validation_in_other_processes_gives_the_same_scores(X):
    serial = cross_val_score(GaussianMixture(3, random_state=0), X, cv=2)
    assert (cross_val_score(GaussianMixture(3, random_state=0), X, cv=2, n_jobs=2) == serial).all()


def test_gaussian_mixture_is_a_density_estimator_and_not_a_transformer(X):
    assert sklearn.utils.get_tags(GaussianMixture()).estimator_type == "density_estimator"
    assert not hasattr(fitted(X), "set_output")
    assert repr(GaussianMixture(3, tol=1e-4)) == "GaussianMixture(n_components=3, tol=0.0001)"
