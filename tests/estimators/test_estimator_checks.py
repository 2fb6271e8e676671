"""scikit-learn's checks of estimators, each with its expected outcome, and scikit-learn's tools with an estimator."""

import numpy as np
import pytest
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_dataframe_column_names_consistency, check_estimator

from gaussmix import GaussianMixture

# Check → reason why scikit-learn itself skips it.
SKIPPED = {"check_array_api_input": "runs with SCIPY_ARRAY_API=1 and arrays of other libraries"}


@pytest.mark.heavy(but=4)
@pytest.mark.pairwise
@pytest.mark.parametrize("n_components", [1, 2, 5])
# Some checks leave random_state at None and fit four distinct rows, so that the fifth component may become empty.
@pytest.mark.filterwarnings("ignore:components? .* (lost its mass|collapsed):RuntimeWarning")
@pytest.mark.filterwarnings("ignore:.* distinct rows?, fewer than n_components:RuntimeWarning")
@pytest.mark.filterwarnings(f"ignore::{ConvergenceWarning.__module__}.ConvergenceWarning")
def test_every_check_passes(n_components, covariance_type):
    results = check_estimator(
        GaussianMixture(n_components, covariance_type=covariance_type), on_fail=None, on_skip=None
    )
    outcomes = {result["check_name"]: (result["status"], result["exception"]) for result in results}
    skipped = {name: outcomes.pop(name)[0] for name in SKIPPED}
    assert {name: what for name, what in outcomes.items() if what != ("passed", None)} == {}
    assert set(skipped.values()) <= {"skipped", "passed"}
    # This check can fail for estimators that are initialised by rows regardless of weights; it must run for several
    # components, too.
    assert "check_sample_weight_equivalence_on_dense_data" in outcomes


@pytest.mark.parametrize("n_components", [1, 3])
def test_column_names_are_kept_and_compared(n_components):
    check_dataframe_column_names_consistency("GaussianMixture", GaussianMixture(n_components))


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


def test_a_search_over_a_pipeline_finds_the_number_of_groups(X):
    grid = {"gaussianmixture__n_components": [1, 3], "gaussianmixture__covariance_type": ["full", "spherical"]}
    pipeline = make_pipeline(StandardScaler(), GaussianMixture(random_state=0))
    search = GridSearchCV(pipeline, grid, cv=3, error_score="raise").fit(X)
    assert search.best_params_["gaussianmixture__n_components"] == 3
    # A model selection by BIC as in scikit-learn's own example: a scorer receives the fitted estimator and rows.
    mixture, numbers = GaussianMixture(covariance_type="spherical", random_state=0), {"n_components": [1, 2, 3]}
    by_bic = GridSearchCV(mixture, numbers, scoring=lambda fit, rows, y=None: -fit.bic(rows))
    assert by_bic.fit(X).best_params_ == {"n_components": 3}


@pytest.mark.heavy
def test_searches_and_scores_run_in_other_processes(X):
    serial = cross_val_score(GaussianMixture(3, random_state=0), X, cv=2)
    assert (cross_val_score(GaussianMixture(3, random_state=0), X, cv=2, n_jobs=2) == serial).all()


def test_it_is_a_density_estimator_and_no_transformer(X):
    assert sklearn.utils.get_tags(GaussianMixture()).estimator_type == "density_estimator"
    assert not hasattr(fitted(X), "set_output")
    assert repr(GaussianMixture(3, tol=1e-4)) == "GaussianMixture(n_components=3, tol=0.0001)"
