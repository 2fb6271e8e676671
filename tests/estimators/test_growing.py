"""Large tables: EM settles on the sample of the starts, and then on all rows."""

import numpy as np
import pytest
from common import LEAF_ROWS
from same_fit import assert_same_fit

from gaussmix import GaussianMixture, open

N_ROWS = 2 * LEAF_ROWS


@pytest.fixture(scope="module")
def rows():
    """Overlapping components, which take EM many steps."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(N_ROWS, 2)) + 2.0 * rng.normal(size=(5, 2))[rng.integers(5, size=N_ROWS)]


def plain(**parameters):
    return GaussianMixture(5, **{"tol": 1e-4, "init_params": "kmeans", "random_state": 0} | parameters)


def fitted_as_many(rows, **parameters):
    """A fit for which the rows are many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gaussmix.fit.fit.MANY", LEAF_ROWS)
        return plain(**parameters).fit(rows)


@pytest.mark.parametrize("family", ["full", "tied", "VVI"])
def test_few_passes_over_all_rows_are_left(rows, family):
    grown, slow = fitted_as_many(rows, covariance_type=family), plain(covariance_type=family).fit(rows)
    assert grown.converged_
    assert grown.n_iter_ < slow.n_iter_ / 3
    assert grown.lower_bound_ > slow.lower_bound_ - 10 * slow.tol  # what EM had still to gain at this tolerance


def test_a_file_ends_where_its_rows_in_memory_do(rows, tmp_path):
    np.save(tmp_path / "rows.npy", rows)
    assert_same_fit(fitted_as_many(open(tmp_path / "rows.npy", memory="3 MB")), fitted_as_many(rows))


@pytest.mark.parametrize("given", [{"means_init": np.zeros((5, 2)) + np.arange(5)[:, None]}, {"max_iter": 0}])
def test_a_given_start_and_no_steps_stay_what_they_are(rows, given):
    assert_same_fit(fitted_as_many(rows, **given), plain(**given).fit(rows))


def test_what_has_no_covariance_is_refused_as_without_a_sample(rows):
    rows = rows.copy()
    rows[:1_000] = 50.0  # one distinct row
    with pytest.raises(ValueError, match="increase reg_covar"):
        fitted_as_many(rows, reg_covar=0)
