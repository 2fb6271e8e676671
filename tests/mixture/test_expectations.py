"""Mean, covariance and joint moments agree with formulas in mpmath, with SciPy, and with draws."""

from itertools import permutations, product
from math import prod

import numpy as np
import pytest
from common import EPS, assert_close, families
from exact_mixtures import DIGITS, components, deviations, doubles
from mpmath import mp
from scipy import stats

from gaussmix import FAMILIES, Mixture
from gaussmix.testing import PROBLEMS


def pairings(indices):
    """Yield all ways to leave some indices single and pair the others: (singles, pairs)."""
    if not indices:
        yield (), ()
        return
    first, *rest = indices
    for singles, pairs in pairings(rest):
        yield (first, *singles), pairs
    for j in range(len(rest)):
        for singles, pairs in pairings(rest[:j] + rest[j + 1 :]):
            yield singles, ((first, rest[j]), *pairs)


def exact_moment(mixture, indices, about):
    """Compute E[Π_j (x_j − a_j)] as a sum over all pairings: Isserlis (1918), with means."""
    total = mp.mpf(0)
    for weight, mean, covariance in components(mixture):
        terms = (
            mp.fprod([mean[j] - about[j] for j in singles]) * mp.fprod([covariance[i, j] for i, j in pairs])
            for singles, pairs in pairings(list(indices))
        )
        total += weight * mp.fsum(terms)
    return total / mp.fsum(weight for weight, _, _ in components(mixture))


def exact_mean(mixture):
    parts = list(components(mixture))
    total = mp.fsum(weight for weight, _, _ in parts)
    return [mp.fsum(weight * mean[j] for weight, mean, _ in parts) / total for j in range(mixture.n_features)]


@families
@pytest.mark.parametrize("problem", ["overlapping", "unlike units", "far from 0"])
def test_mean_and_covariance_agree_with_50_digits(family, problem):
    mixture = Mixture._from_model(PROBLEMS[problem].start(family))
    n_features, spread = mixture.n_features, np.sqrt(np.diag(mixture.covariance))
    size = np.abs(mixture.means).max(axis=0) + spread
    with mp.workdps(DIGITS):
        mean = exact_mean(mixture)
        covariance = mp.matrix(n_features)
        for i, j in product(range(n_features), repeat=2):
            covariance[i, j] = exact_moment(mixture, (i, j), mean)
        assert_close(mixture.mean, doubles(mp.matrix(mean))[:, 0], 8 * EPS, size, "mean")
        assert_close(mixture.covariance, doubles(covariance), 8 * EPS, np.outer(spread, size), "covariance")
    np.testing.assert_array_equal(mixture.covariance, mixture.covariance.T)
    assert not mixture.mean.flags.writeable


@pytest.mark.heavy(n_default=49)
@pytest.mark.pairwise
@families
@pytest.mark.parametrize("order", range(5))
@pytest.mark.parametrize("raw", [False, True])
def test_moments_agree_with_50_digits(family, order, raw):
    """Check errors of c ε times the summed terms: (order)! pairings of numbers as large as deviations or offsets."""
    mixture = Mixture._from_model(PROBLEMS["overlapping"].start(family))
    actual = mixture.moments(order, center=np.zeros(3) if raw else None)
    assert actual.shape == order * (3,)
    offset = np.abs(mixture.means - (0 if raw else mixture.mean)).max()
    size = prod(range(1, order + 1)) * (offset + deviations(mixture).max()) ** order
    with mp.workdps(DIGITS):
        about = [0] * 3 if raw else exact_mean(mixture)
        for indices in product(range(3), repeat=order):
            expected = float(exact_moment(mixture, indices, about))
            assert abs(actual[indices] - expected) <= 8 * order * EPS * size
    if order == 1 and not raw:
        assert np.abs(actual).max() <= 8 * EPS * size
    for axes in permutations(range(order)):
        np.testing.assert_allclose(actual.transpose(axes), actual, rtol=0, atol=8 * order * EPS * size)


def test_moments_that_overflow_float64_are_rejected():
    distant = Mixture([0.5, 0.5], [[0.0], [1e200]], [1.0, 1.0], FAMILIES["spherical"])
    message = "beyond the range of float64: rescale the features"
    for call in (lambda: distant.covariance, lambda: distant.moments(2), lambda: distant.moments(4)):
        with pytest.raises(ValueError, match=message):
            call()
    assert distant.mean == 0.5e200
    near = Mixture([0.0, 1.0], [[1e200], [1.0]], [1.0, 1.0], FAMILIES["spherical"])
    np.testing.assert_array_equal(near.moments(4), [[[[3.0]]]])


def test_moments_of_one_gaussian_equal_those_of_scipy():
    mixture = Mixture([1.0], [[0.7]], [2.25], FAMILIES["spherical"])
    for order in range(1, 8):
        expected = stats.norm(0.7, 1.5).moment(order)
        np.testing.assert_allclose(mixture.moments(order, center=[0.0]).item(), expected, rtol=64 * EPS)


def test_moments_of_one_feature_have_at_most_as_many_axes_as_numpy_allows():
    mixture = Mixture([1.0], [[0.0]], [0.25], FAMILIES["spherical"])
    assert mixture.moments(64).ndim == 64
    with pytest.raises(ValueError, match="order=65 must be at most 64, the maximum number of axes"):
        mixture.moments(65)


def test_mean_normalises_weights_that_sum_to_nearly_1():
    """Check that weights with seven digits do not shift the mean by 1e-7 of its distance from 0."""
    mixture = Mixture([0.3333333, 0.6666666], [[1e6], [1e6 + 3]], [1.0, 1.0], FAMILIES["spherical"])
    np.testing.assert_allclose(mixture.mean - 1e6, [2.0], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((-1,), ValueError, "order=-1 must be an integer ≥ 0"),
        ((2.0,), TypeError, "order must be an integer ≥ 0, not 2.0"),
        ((True,), TypeError, "order must be an integer"),
        ((18,), ValueError, "Moments of order 18 of 3 features are 3.18 numbers, which are too many. Take the"),
        ((2, [0.0]), ValueError, r"center must have shape \(3,\), not \(1,\)"),
        ((2, [0.0, np.nan, 0.0]), ValueError, "center contains NaN"),
        ((2, np.ma.array(np.zeros(3), mask=[0, 1, 0])), ValueError, "center contains NaN"),
        ((2, ["a", "b", "c"]), TypeError, "center must be real numbers"),
    ],
)
def test_moments_rejects_invalid_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        Mixture._from_model(PROBLEMS["overlapping"].start(FAMILIES["full"])).moments(*arguments)
