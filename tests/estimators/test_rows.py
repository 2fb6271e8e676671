"""Tests of X and `sample_weight` of unusual layouts and types, which `fit` and predictions never change."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from gaussmix import GaussianMixture

# In ten steps on 180 rows of unit scale, sums in another order differ by less than 180 ε. EM reduces this difference,
# because the groups are five standard deviations from each other.
ROUNDING = 200 * np.finfo(np.float64).eps


def fit(X, labels, covariance_type="full", sample_weight=None):
    """Make ten EM steps from these labels. Because nothing is drawn at random, the result depends only on the rows."""
    mixture = GaussianMixture(3, covariance_type=covariance_type, init_params=labels, tol=0, max_iter=10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return mixture.fit(X, sample_weight=sample_weight)


@pytest.fixture
def labels(X):
    """Return labels that nearly equal the groups."""
    return (X[:, 1] > 2.5).astype(int) + (X[:, 2] > 2.5)


class OnDevice:
    """An array on a GPU according to DLPack, which NumPy may not convert but may copy."""

    def __init__(self, values, has_copies=True, device=(2, 0)):
        self._values, self._has_copies, self._device = values, has_copies, device

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def __dlpack_device__(self):
        return self._device

    def __dlpack__(self, *, dl_device=None, copy=None, **options):
        if dl_device != (1, 0) or not copy or not self._has_copies:
            raise BufferError("not on this device")
        return self._values.__dlpack__(copy=True)


def test_arrays_on_other_devices_are_copied(X):
    weight = np.arange(1.0, len(X) + 1)
    fit = GaussianMixture(2, random_state=0).fit(OnDevice(X), sample_weight=OnDevice(weight))
    expected = GaussianMixture(2, random_state=0).fit(X, sample_weight=weight)
    np.testing.assert_array_equal(fit.means_, expected.means_)
    np.testing.assert_array_equal(fit.predict(OnDevice(X)), expected.predict(X))
    with pytest.raises(TypeError, match=r"can't be converted to NumPy .*Copy it first, for example by"):
        fit.predict(OnDevice(X, has_copies=False))


def test_an_array_of_a_type_that_numpy_lacks_is_rejected(X):
    """Check arrays such as PyTorch tensors of bfloat16, which are in main memory but can't be converted to NumPy."""
    with pytest.raises(TypeError, match=r"can't be converted to NumPy .*to a dense array of a type that NumPy has"):
        GaussianMixture(2).fit(OnDevice(X, has_copies=False, device=(1, 0)))


def test_arrays_with_a_stride_of_0_are_fitted():
    column = np.arange(7.0)[:, None]
    mixture = GaussianMixture(1, reg_covar=0.5).fit(np.broadcast_to(column, (7, 3)))
    np.testing.assert_allclose(mixture.means_, [[3, 3, 3]], rtol=ROUNDING)
    np.testing.assert_allclose(mixture.covariances_, [4 + 0.5 * np.eye(3)], rtol=ROUNDING)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "score_samples", "score", "bic", "aic"])
def test_fit_and_predictions_do_not_change_their_arguments(X, labels, method):
    weight, initial = np.ones(len(X)), {"means_init": X[:3].copy(), "weights_init": np.array([0.2, 0.3, 0.5])}
    passed = [X, weight, labels, *initial.values()]
    before = [array.copy() for array in passed]
    for array in passed:
        array.flags.writeable = False
    mixture = fit(X, labels, sample_weight=weight)
    getattr(mixture, method)(X)
    GaussianMixture(3, **initial).fit(X, sample_weight=weight)
    assert all((array == original).all() for array, original in zip(passed, before, strict=True))


def test_sample_weight_may_be_a_list_a_number_or_an_array_of_any_type(X, labels):
    count = np.arange(len(X)) % 3 + 1
    expected = fit(X, labels, sample_weight=count.astype(float))
    for weight in (count.tolist(), count.astype(np.uint8), count.astype(">f4"), np.repeat(count, 2)[::2]):
        assert fit(X, labels, sample_weight=weight).lower_bounds_ == expected.lower_bounds_
    doubled = fit(X, labels, sample_weight=2 * count)  # the ridge, about 1e-6 σ², depends on the total weight
    np.testing.assert_allclose(doubled.means_, expected.means_, rtol=1e-5, atol=1e-5)
    assert (
        fit(X, labels, sample_weight=3.0).lower_bounds_ == fit(X, labels, sample_weight=np.full(180, 3)).lower_bounds_
    )


def test_a_field_of_packed_records_gives_the_same_bits_as_an_array(X):
    records = np.zeros(len(X), dtype=[("flag", "u1"), ("x", "f8", (X.shape[1],)), ("w", "f8")])  # strides of odd bytes
    records["x"], records["w"] = X, 1 + np.arange(len(X)) % 3
    model = GaussianMixture(2, random_state=0)
    packed = model.fit(records["x"], sample_weight=records["w"]).means_
    np.testing.assert_array_equal(packed, model.fit(X, sample_weight=records["w"].copy()).means_)
    np.testing.assert_array_equal(model.mixture_.log_density(records["x"]), model.mixture_.log_density(X))


def test_initialisation_with_very_many_rows_ignores_rows_of_weight_0(rng):
    """Check 70,000 rows, more than an initialisation reads, of which 60 have weight: samples must contain these 60."""
    X = rng.standard_normal((70_000, 2))
    weight = np.zeros(len(X))
    weight[rng.choice(len(X), size=60, replace=False)] = 1
    model = GaussianMixture(3, random_state=0)
    expected = model.fit(X[weight > 0]).score_samples(X[:100])
    np.testing.assert_allclose(model.fit(X, sample_weight=weight).score_samples(X[:100]), expected, rtol=1e-9)
