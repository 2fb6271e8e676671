"""Fitted attributes are read off the mixture, and nothing can make them disagree with it."""

import pickle

import numpy as np
import pytest

from gaussmix import GaussianMixture

ATTRIBUTES = ["weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"]


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_an_attribute_is_not_there_before_fit_and_not_to_be_set_after(X, name):
    assert not hasattr(GaussianMixture(), name)
    fitted = GaussianMixture(2, random_state=0).fit(X)
    with pytest.raises(AttributeError, match=rf"no {name} to set: fit it from weights_init.*max_iter=0"):
        setattr(fitted, name, getattr(fitted, name))


@pytest.mark.parametrize("name", ["weights_", "means_", "covariances_"])
def test_writing_into_an_attribute_fails_rather_than_being_lost(X, name):
    with pytest.raises(ValueError, match="read-only"):
        getattr(GaussianMixture(2, random_state=0).fit(X), name)[0] = 99


def test_a_mixture_is_read_only_when_it_wakes(X):
    fitted = GaussianMixture(2, random_state=0).fit(X)
    woken = pickle.loads(pickle.dumps(fitted))
    assert not woken.mixture_.means.flags.writeable
    np.testing.assert_array_equal(woken.predict_proba(X), fitted.predict_proba(X))


@pytest.mark.parametrize("name", ATTRIBUTES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_attribute_can_be_written_into(X, name, dtype):
    fitted = GaussianMixture(2, random_state=0).fit(X.astype(dtype))
    assert getattr(fitted, name).dtype == dtype
    assert not getattr(fitted, name).flags.writeable


def test_an_attribute_before_fit_says_so():
    with pytest.raises(AttributeError, match="This GaussianMixture is not fitted yet: means_ comes with fit"):
        _ = GaussianMixture().means_


def test_an_asymmetric_covariance_is_seen_in_small_units_too(X):
    given = {"means_init": np.zeros((1, 2)), "weights_init": [1.0], "max_iter": 0}
    wrong = np.array([[[1e-10, 5e-11], [0, 1e-10]]])
    with pytest.raises(ValueError, match="not symmetric"):
        GaussianMixture(1, covariances_init=wrong, **given).fit(X[:, :2])
    nearly = np.array([[[1.0, 0.5], [0.500001, 1.0]]])  # a user's rounding
    kept = GaussianMixture(1, covariances_init=nearly, **given).fit(X[:, :2]).covariances_
    np.testing.assert_array_equal(kept, kept.transpose(0, 2, 1))
