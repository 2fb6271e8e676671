"""scikit-learn's checks of each estimator, with expected outcomes by name."""

import pytest
from predictive_estimators import ESTIMATORS
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import check_dataframe_column_names_consistency, check_estimator

from gaussmix import BayesianGaussianMixture, GaussianMixture, GaussianMixtureDimensionReducer, GaussianMixtureIC

STRUCTURES = "full", "tied", "diag", "spherical"
MIXTURES = {
    "choice": GaussianMixtureIC([1, 2, 3], covariance_type=STRUCTURES, n_jobs=2),
    **{f"{n} {name}": GaussianMixture(n, covariance_type=name) for n in (1, 2, 5) for name in STRUCTURES},
    **{f"Bayesian {name}": BayesianGaussianMixture(3, covariance_type=name) for name in STRUCTURES},
    "Bayesian of 1": BayesianGaussianMixture(1),
}
ALL = ESTIMATORS | MIXTURES | {"reducer": GaussianMixtureDimensionReducer(2, random_state=0)}
# Check → reason why scikit-learn itself skips it.
SKIPPED = {"check_array_api_input": "runs with SCIPY_ARRAY_API=1 and arrays of other libraries"}
# Estimator → check → reason why the estimator raises an error in this check.
EXPECTED_FAILURES = {
    "classifier of mixtures": {
        "check_sample_weight_equivalence_on_dense_data": "leaves a class with one row, for two components"
    }
}


@pytest.mark.heavy(n_default=2)
@pytest.mark.parametrize("name", ALL)
@pytest.mark.filterwarnings("ignore:Class .* rests on reg_covar:RuntimeWarning")  # one check fits a single row
@pytest.mark.filterwarnings("ignore:.*components? .* (became empty|collapsed|nearly singular):RuntimeWarning")
@pytest.mark.filterwarnings("ignore:.*constant, so that the variance there is only:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:The mixture has (.* parameters, but X|one component):RuntimeWarning")
@pytest.mark.filterwarnings("ignore:.* distinct rows?, fewer than n_components:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:.* candidates could not be fitted:RuntimeWarning")  # some checks have equal rows
@pytest.mark.filterwarnings(f"ignore::{ConvergenceWarning.__module__}.ConvergenceWarning")
def test_estimators_pass_the_checks_of_sklearn(name):
    expected = EXPECTED_FAILURES.get(name, {})
    results = check_estimator(ALL[name], expected_failed_checks=expected, on_fail=None, on_skip=None)
    outcomes = {result["check_name"]: (result["status"], str(result["exception"])) for result in results}
    assert {check for check, (status, _) in outcomes.items() if status not in ("passed", "skipped")} == set(expected)
    assert {check for check, (status, _) in outcomes.items() if status == "skipped"} <= set(SKIPPED)
    assert all("Expected at least n_components=2 rows" in outcomes[check][1] for check in expected)
    assert len(outcomes) > 40


@pytest.mark.heavy(n_default=7)
@pytest.mark.parametrize("name", ALL)
def test_estimators_pass_the_column_name_check_of_sklearn(name):
    check_dataframe_column_names_consistency(type(ALL[name]).__name__, ALL[name])
