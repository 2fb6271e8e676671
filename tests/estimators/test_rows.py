"""X of unusual layouts and types gives correct results and is never changed, and weights count rows."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from gaussmix import GaussianMixture

# A fit of ten steps on 180 rows of unit scale, with groups five standard deviations apart: the rounding of sums in
# another order is below 180 ε, and EM on clear groups reduces it.
ROUNDING = 200 * np.finfo(np.float64).eps


def fit(X, labels, covariance_type="full", sample_weight=None):
    """Make ten EM steps from given labels, without random numbers, so that only the rows matter."""
    mixture = GaussianMixture(3, covariance_type=covariance_type, init_params=labels, tol=0, max_iter=10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return mixture.fit(X, sample_weight=sample_weight)


@pytest.fixture
def labels(X):
    """Return labels that are nearly the groups."""
    return (X[:, 1] > 2.5).astype(int) + (X[:, 2] > 2.5)


class OnDevice:
    """An array on a GPU according to DLPack, which NumPy may not convert but may copy."""

    def __init__(self, values, has_copies=True, device=(2, 0)):
        self._values, self._has_copies, self._device = values, has_copies, device

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def __dlpack_device__(self):
        return self._device

    def __dlpack__(self, *, dl_device=None, copy=None, **how):
        if dl_device != (1, 0) or not copy or not self._has_copies:
            raise BufferError("not on this device")
        return self._values.__dlpack__(copy=True)


def test_arrays_on_other_devices_are_copied(X, labels):
    weight = np.arange(1.0, len(X) + 1)
    fit = GaussianMixture(2, random_state=0).fit(OnDevice(X), sample_weight=OnDevice(weight))
    same = GaussianMixture(2, random_state=0).fit(X, sample_weight=weight)
    np.testing.assert_array_equal(fit.means_, same.means_)
    np.testing.assert_array_equal(fit.predict(OnDevice(X)), same.predict(X))
    with pytest.raises(TypeError, match=r"can't be converted to NumPy .*Copy it first, for example by"):
        fit.predict(OnDevice(X, has_copies=False))


def test_an_array_of_numbers_that_numpy_lacks_is_refused(X):
    """Check arrays such as PyTorch tensors of bfloat16, which are in main memory but can't be converted to NumPy."""
    with pytest.raises(TypeError, match=r"can't be converted to NumPy .*to a dense array of a type that NumPy has"):
        GaussianMixture(2).fit(OnDevice(X, has_copies=False, device=(1, 0)))


def test_a_stride_of_zero_is_a_stride():
    column = np.arange(7.0)[:, None]
    mixture = GaussianMixture(1, reg_covar=0.5).fit(np.broadcast_to(column, (7, 3)))
    np.testing.assert_allclose(mixture.means_, [[3, 3, 3]], rtol=ROUNDING)
    np.testing.assert_allclose(mixture.covariances_, [4 + 0.5 * np.eye(3)], rtol=ROUNDING)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "score_samples", "score", "bic", "aic"])
def test_nothing_that_is_passed_is_changed(X, labels, method):
    weight, given = np.ones(len(X)), {"means_init": X[:3].copy(), "weights_init": np.array([0.2, 0.3, 0.5])}
    passed = [X, weight, labels, *given.values()]
    before = [array.copy() for array in passed]
    for array in passed:
        array.flags.writeable = False
    mixture = fit(X, labels, sample_weight=weight)
    getattr(mixture, method)(X)
    GaussianMixture(3, **given).fit(X, sample_weight=weight)
    assert all((array == kept).all() for array, kept in zip(passed, before, strict=True))


def test_weights_of_any_kind_and_unit(X, labels):
    count = np.arange(len(X)) % 3 + 1
    expected = fit(X, labels, sample_weight=count.astype(float))
    for weight in (count.tolist(), count.astype(np.uint8), count.astype(">f4"), np.repeat(count, 2)[::2]):
        assert fit(X, labels, sample_weight=weight).lower_bounds_ == expected.lower_bounds_
    doubled = fit(X, labels, sample_weight=2 * count)  # reg_covar="auto" counts rows, so that it differs by 1e-6 σ²
    np.testing.assert_allclose(doubled.means_, expected.means_, rtol=1e-5, atol=1e-5)
    assert (
        fit(X, labels, sample_weight=3.0).lower_bounds_ == fit(X, labels, sample_weight=np.full(180, 3)).lower_bounds_
    )


def test_a_field_of_packed_records_is_taken_as_it_is(X):
    records = np.zeros(len(X), dtype=[("flag", "u1"), ("x", "f8", (X.shape[1],)), ("w", "f8")])  # strides of odd bytes
    records["x"], records["w"] = X, 1 + np.arange(len(X)) % 3
    model = GaussianMixture(2, random_state=0)
    packed = model.fit(records["x"], sample_weight=records["w"]).means_
    np.testing.assert_array_equal(packed, model.fit(X, sample_weight=records["w"].copy()).means_)
    np.testing.assert_array_equal(model.mixture_.log_density(records["x"]), model.mixture_.log_density(X))


def test_rows_of_weight_0_count_as_absent_among_very_many_too(rng):
    """Check more rows than an initialisation reads, of which few have weight; samples must contain these."""
    X = rng.standard_normal((70_000, 2))
    weight = np.zeros(len(X))
    weight[rng.choice(len(X), size=60, replace=False)] = 1
    model = GaussianMixture(3, random_state=0)
    few = model.fit(X[weight > 0]).score_samples(X[:100])
    np.testing.assert_allclose(model.fit(X, sample_weight=weight).score_samples(X[:100]), few, rtol=1e-9)
