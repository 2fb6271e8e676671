"""Methods with SciPy's names behave as in SciPy."""

import numpy as np
import pandas as pd
import pytest
from common import NoiseComponent
from scipy import stats

from gaussmix import FAMILIES, Mixture

COVARIANCES = [[[1.0, 0.5], [0.5, 2.0]], [[4.0, 0.0], [0.0, 1.0]]]
TWO = Mixture([0.25, 0.75], [[0.0, 0.0], [6.0, 2.0]], COVARIANCES, FAMILIES["full"], ["a", "b"])
THEIRS = [stats.multivariate_normal(mean, cov) for mean, cov in zip(TWO.means, TWO.covariances, strict=True)]
NORMAL = Mixture([1.0], [[3.0]], [4.0], FAMILIES["spherical"])
NOISY = Mixture([0.4, 0.5], TWO.means, TWO.covariances, TWO.family, noise=NoiseComponent(0.1, 3.0))


@pytest.mark.parametrize("shape", [(2,), (5, 2), (3, 4, 2)])
def test_pdf_and_logpdf_take_features_on_the_last_axis(shape, rng):
    x = rng.normal(3, 3, size=shape)
    expected = sum(weight * theirs.pdf(x) for weight, theirs in zip(TWO.weights, THEIRS, strict=True))
    np.testing.assert_allclose(TWO.pdf(x), expected, rtol=1e-12)
    np.testing.assert_allclose(TWO.logpdf(x), np.log(expected), rtol=1e-12)
    assert np.shape(TWO.pdf(x)) == shape[:-1]


@pytest.mark.parametrize("x", [1.5, [1.5, 2.0], np.ones((3, 1)), np.ones((2, 3, 1))], ids=repr)
def test_pdf_of_one_feature_accepts_scalars(x):
    expected = stats.norm(3, 2).pdf(np.reshape(x, np.shape(x)[:-1] if np.ndim(x) > 1 else np.shape(x)))
    np.testing.assert_allclose(NORMAL.pdf(x), expected, rtol=1e-13)


@pytest.mark.parametrize(("x", "row"), [([0.0] * 3, 0), ([[1.0] * 3, [0.0] * 3], 1), (np.zeros((2, 2, 3)), 0)])
def test_pdf_raises_if_the_density_overflows_float64(x, row):
    narrow = Mixture([1.0], [[0.0] * 3], [[1e-300] * 3], FAMILIES["diag"])
    assert narrow.pdf([1.0] * 3) == 0
    with pytest.raises(ValueError, match=f"density of row {row} is beyond the range of float64: .* or use logpdf"):
        narrow.pdf(x)


def test_pdf_rejects_data_frame_columns_in_another_order():
    frame = pd.DataFrame({"b": [1.0], "a": [2.0]})
    assert TWO.pdf(frame[["a", "b"]]) == TWO.pdf([2.0, 1.0])
    with pytest.raises(ValueError, match="the columns must be"):
        TWO.pdf(frame)


def test_pdf_and_probability_reject_the_labels_of_a_series_in_another_order():
    one = pd.Series({"b": 1.0, "a": 2.0})
    assert TWO.pdf(one[["a", "b"]]) == TWO.pdf(pd.Series([2.0, 1.0])) == TWO.pdf([2.0, 1.0])
    for call in (TWO.pdf, TWO.logpdf, lambda row: TWO.probability(row, 9.0), lambda row: TWO.probability(0.0, row)):
        with pytest.raises(ValueError, match=r"has 'b' in column 0, but the columns must be \['a', 'b'\]"):
            call(one)


def test_the_labels_of_a_series_of_points_of_one_feature_are_not_names_of_features():
    points = pd.Series([2.0, 1.0], ["b", "a"])
    np.testing.assert_array_equal(TWO.marginal(["a"]).logpdf(points), TWO.marginal(["a"]).logpdf([2.0, 1.0]))


@pytest.mark.parametrize("x", [1.0, [1.0, 2.0, 3.0], np.ones((2, 3, 3))], ids=repr)
def test_logpdf_rejects_points_of_another_shape(x):
    with pytest.raises(ValueError, match="x must have shape"):
        TWO.logpdf(x)


def test_rvs_draws_the_same_rows_as_sample():
    rows, _ = TWO.sample(6, 0)
    np.testing.assert_array_equal(TWO.rvs(6, 0), rows)
    np.testing.assert_array_equal(TWO.rvs((2, 3), random_state=0), rows.reshape(2, 3, 2))
    np.testing.assert_array_equal(TWO.rvs(random_state=np.random.default_rng(0)), rows[0])
    old = [TWO.rvs(2, np.random.RandomState(seed)) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(old[0], old[1])
    assert (old[0] != old[2]).all()
    with pytest.raises(TypeError, match=r"^random_state must be"):
        TWO.rvs(2, "seed")


@pytest.mark.parametrize(
    ("size", "error", "message"),
    [
        (-2, ValueError, "^size=-2 must be an integer ≥ 0"),
        ((-1, -2), ValueError, "^size=-1 must be an integer ≥ 0"),
        ((2, 1.5), TypeError, "^size must be an integer ≥ 0, not 1.5"),
        (None, TypeError, "^size must be an integer ≥ 0 or a tuple of such integers, not None"),
        ([2, 3], TypeError, r"^size must be an integer ≥ 0 or a tuple of such integers, not \[2, 3\]"),
    ],
)
def test_rvs_rejects_invalid_sizes(size, error, message):
    with pytest.raises(error, match=message):
        TWO.rvs(size)


def test_std_and_interval_agree_with_the_marginals():
    np.testing.assert_allclose(NORMAL.std(), [2.0], rtol=1e-15)
    np.testing.assert_allclose(np.ravel(NORMAL.interval(0.9)), stats.norm(3, 2).interval(0.9), rtol=1e-12)
    lower, upper = TWO.interval(0.8)
    for feature, (low, high) in enumerate(zip(lower, upper, strict=True)):
        marginal = TWO.marginal(feature)
        np.testing.assert_allclose(marginal.cdf([[low], [high]]), [0.1, 0.9], rtol=1e-10)
        np.testing.assert_allclose(TWO.std()[feature] ** 2, marginal.covariance[0, 0], rtol=1e-14)
    with pytest.raises(ValueError, match=r"confidence contains 1\.5"):
        TWO.interval(1.5)
    with pytest.raises(TypeError, match="one number"):
        TWO.interval([0.5, 0.9])


def test_std_interval_and_rvs_reject_noise_without_bounds():
    assert np.isfinite(NOISY.logpdf([0.0, 0.0]))
    for call, message in (
        (lambda: NOISY.std(), "std does not support noise"),
        (lambda: NOISY.interval(0.5), "interval does not support noise"),
        (lambda: NOISY.rvs(3), "rvs needs the box of the noise"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
