"""Distribution function and quantiles of one feature agree with 50 digits."""

import numpy as np
import pytest
from common import EPS, assert_close, univariate
from mpmath import mp

from gaussmix import FAMILIES, Mixture, SingularCovarianceError

# Weights are sums of powers of 2, so that partial sums have no rounding.
MIXTURES = {
    "one": ([1.0], [3.0], [4.0]),
    "overlapping": ([0.25, 0.5, 0.25], [0.0, 1.0, 1.5], [1.0, 0.25, 9.0]),
    "far apart": ([0.25, 0.75], [0.0, 100.0], [1.0, 1.0]),
    "unlike widths": ([0.5, 0.375, 0.125], [0.0, 1e-3, 1e3], [1e-8, 1.0, 1e4]),
    "a weight of 0": ([0.5, 0.0, 0.5], [-2.0, 0.0, 2.0], [1.0, 100.0, 1.0]),
    "the same twice": ([0.25, 0.25, 0.5], [1.0, 1.0, 4.0], [1.0, 1.0, 1.0]),
}
each_mixture = pytest.mark.parametrize("name", MIXTURES)


def exact_masses(mixture, x):
    """Return the masses below and above x, as mpf."""
    below = above = mp.mpf(0)
    for weight, mean, variance in zip(mixture.weights, mixture.means[:, 0], mixture.covariances, strict=True):
        z = (x - mp.mpf(float(mean))) / mp.sqrt(2 * mp.mpf(float(variance)))
        below += mp.mpf(float(weight)) * mp.erfc(-z) / 2
        above += mp.mpf(float(weight)) * mp.erfc(z) / 2
    return below, above


@each_mixture
def test_cdf_of_one_feature_agrees_with_50_digits(name):
    mixture = univariate(*MIXTURES[name])
    deviation = np.sqrt(max(mixture.covariances))
    x = np.concatenate([mixture.means[:, 0] + step * deviation for step in (-1e3, -40, -9, -1, 0, 0.5, 9, 40)])
    cdf, log_cdf = mixture.cdf(x[:, None]), mixture.log_cdf(x[:, None])
    with mp.workdps(50):
        for point, cdf_at_point, log_cdf_at_point in zip(x, cdf, log_cdf, strict=True):
            below, above = exact_masses(mixture, mp.mpf(float(point)))
            log_below, lesser = (mp.log1p(-above), above) if above < below else (mp.log(below), below)
            # A relative rounding of z changes log Φ by the factor z² ≈ 2 |log Φ|, and Φ by this factor times log Φ.
            tail = 1 + abs(float(mp.log(lesser)))
            size = tail * float(lesser if above < below else 1)
            assert_close(log_cdf_at_point, float(log_below), 8 * EPS, size, "log_cdf")
            assert_close(cdf_at_point, float(below), 8 * EPS, tail * float(lesser) + float(below), "cdf")


@pytest.mark.heavy(n_default=2)
@each_mixture
def test_quantile_inverts_the_exact_cdf(name):
    mixture = univariate(*MIXTURES[name])
    p = np.array([1e-300, 1e-20, 1e-3, 0.125, 0.25, 0.3, 0.5, 0.625, 0.8, 0.999, 1 - 1e-15])
    deviation = np.sqrt(max(mixture.covariances))
    with mp.workdps(400):  # between components that are far apart, 1e-300 matters
        for probability, quantile in zip(p, mixture.quantile(p), strict=True):
            margin = 1e-12 * (abs(float(quantile)) + float(deviation))
            low, high = (exact_masses(mixture, mp.mpf(float(quantile)) + side * margin)[0] for side in (-1, 1))
            assert low <= mp.mpf(float(probability)) <= high, probability


def test_quantiles_have_the_shape_of_p_and_are_infinite_at_0_and_1():
    mixture = univariate(*MIXTURES["overlapping"])
    np.testing.assert_array_equal(mixture.quantile([0.0, 1.0]), [-np.inf, np.inf])
    assert mixture.quantile([[0.1, 0.2], [0.3, 0.4]]).shape == (2, 2)
    assert isinstance(mixture.quantile(0.5), float)
    assert mixture.quantile([]).shape == (0,)
    np.testing.assert_array_equal(mixture.cdf([[-np.inf], [np.inf]]), [0.0, 1.0])


def test_quantiles_near_the_largest_double_are_numbers():
    mixture = Mixture([1.0], [[-1.7e308]], [1.0], FAMILIES["spherical"])
    assert mixture.quantile([0.1, 0.9]).tolist() == [-1.7e308, -1.7e308]


def test_quantiles_of_many_probabilities_equal_those_of_small_subsets(rng):
    """Check that many quantiles, which are bracketed by some of them, do not differ from quantiles of small subsets."""
    mixture = univariate(*MIXTURES["overlapping"])
    p = np.concatenate([rng.random(5000), 10.0 ** -rng.uniform(0, 300, 5000), [0, 1]])
    subsets = np.concatenate([mixture.quantile(part) for part in np.array_split(p, 50)])
    finite = np.isfinite(subsets)
    assert_close(mixture.quantile(p)[finite], subsets[finite], 64 * EPS, np.abs(subsets[finite]) + 3.0, "quantile")


@pytest.mark.parametrize("p", [-0.1, 1.1, np.nan, [0.5, 2.0]])
def test_quantile_rejects_probabilities_outside_0_to_1(p):
    with pytest.raises(ValueError, match=r"p contains .*, but probabilities must be from 0 to 1"):
        univariate(*MIXTURES["one"]).quantile(p)


def test_quantile_rejects_text():
    with pytest.raises(TypeError, match="p must be real numbers, not text"):
        univariate(*MIXTURES["one"]).quantile(["half"])


def test_quantile_rejects_mixtures_of_several_features():
    with pytest.raises(ValueError, match="quantile needs one feature, but this mixture has 2"):
        Mixture([1.0], [[0.0, 0.0]], [1.0], FAMILIES["spherical"]).quantile(0.5)


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.cdf([[0.0]]),
        lambda m: m.log_cdf([[0.0]]),
        lambda m: m.probability([0.0], [1.0]),
        lambda m: m.quantile(0.5),
        lambda m: m.interval(0.5),
        lambda m: m.modes(),
        lambda m: m.highest_density_level(0.5),
    ],
)
def test_a_variance_of_0_is_rejected(call):
    with pytest.raises(SingularCovarianceError, match="component 0"):
        call(univariate([0.5, 0.5], [0.0, 1.0], [0.0, 1.0]))
