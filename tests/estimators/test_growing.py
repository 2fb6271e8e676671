"""Large tables: EM settles on the sample of the starts, and then on all rows."""

import numpy as np
import pytest
from common import LEAF_ROWS
from same_fit import assert_same_fit

from gaussmix import GaussianMixture, open
from gaussmix.fit import fit

N_ROWS = 2 * LEAF_ROWS


@pytest.fixture(scope="module")
def rows():
    """Overlapping components, which take EM many steps."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(N_ROWS, 2)) + 2.0 * rng.normal(size=(5, 2))[rng.integers(5, size=N_ROWS)]


@pytest.fixture
def grown(monkeypatch):
    """An estimator for which the rows are many."""
    monkeypatch.setattr(fit, "MANY", LEAF_ROWS)
    return GaussianMixture(5, tol=1e-4, init_params="kmeans", random_state=0)


@pytest.fixture
def plain():
    return GaussianMixture(5, tol=1e-4, init_params="kmeans", random_state=0)


@pytest.mark.parametrize("family", ["full", "tied", "VVI"])
def test_few_passes_over_all_rows_are_left(rows, grown, plain, family, monkeypatch):
    grown.set_params(covariance_type=family).fit(rows)
    monkeypatch.setattr(fit, "MANY", N_ROWS)
    plain.set_params(covariance_type=family).fit(rows)
    assert grown.converged_
    assert grown.n_iter_ < plain.n_iter_ / 3
    assert grown.lower_bound_ > plain.lower_bound_ - 10 * plain.tol  # what EM had still to gain at this tolerance


def test_a_file_ends_where_its_rows_in_memory_do(rows, grown, tmp_path):
    np.save(tmp_path / "rows.npy", rows)
    in_memory = GaussianMixture(5, tol=1e-4, init_params="kmeans", random_state=0).fit(rows)
    assert_same_fit(grown.fit(open(tmp_path / "rows.npy", memory="3 MB")), in_memory)


@pytest.mark.parametrize("given", [{"means_init": np.zeros((5, 2)) + np.arange(5)[:, None]}, {"max_iter": 0}])
def test_a_given_start_and_no_steps_stay_what_they_are(rows, grown, plain, given, monkeypatch):
    grown.set_params(**given).fit(rows)
    monkeypatch.setattr(fit, "MANY", N_ROWS)
    assert_same_fit(grown, plain.set_params(**given).fit(rows))


def test_what_has_no_covariance_is_refused_as_without_a_sample(rows, grown):
    rows = rows.copy()
    rows[:1_000] = 50.0  # one distinct row
    with pytest.raises(ValueError, match="increase reg_covar"):
        grown.set_params(reg_covar=0).fit(rows)
