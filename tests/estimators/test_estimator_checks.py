"""scikit-learn's own checks of an estimator, each known by name and outcome."""

import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import check_dataframe_column_names_consistency, check_estimator

from gaussmix import GaussianMixture

# Check → why it is skipped, by scikit-learn itself.
SKIPPED = {"check_array_api_input": "runs with SCIPY_ARRAY_API=1 and arrays of other libraries"}


@pytest.mark.heavy(but=4)
@pytest.mark.pairwise
@pytest.mark.parametrize("n_components", [1, 2, 5])
# Some checks leave random_state at None and fit four distinct rows: the fifth component may be lost, rightly.
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
    # The one that starts depend on weights, not on rows, for; it is run, and on more than one component too.
    assert "check_sample_weight_equivalence_on_dense_data" in outcomes


@pytest.mark.parametrize("n_components", [1, 3])
def test_column_names_are_kept_and_compared(n_components):
    check_dataframe_column_names_consistency("GaussianMixture", GaussianMixture(n_components))
