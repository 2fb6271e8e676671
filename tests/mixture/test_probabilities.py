"""Masses of rectangles agree with closed forms, one-dimensional integrals and mpmath."""

import numpy as np
import pytest
from common import EPS, assert_close
from mpmath import mp
from scipy.integrate import quad
from scipy.special import log_ndtr, logsumexp, ndtr

from gaussmix import FAMILIES, Mixture


def pair(correlation):
    """Return one component of two features with variances 1."""
    covariance = [[1.0, correlation], [correlation, 1.0]]
    return Mixture([1.0], [[0.0, 0.0]], [covariance], FAMILIES["full"])


def equicorrelated(n_features, correlation):
    covariance = np.full((n_features, n_features), correlation) + (1 - correlation) * np.eye(n_features)
    return Mixture([1.0], np.zeros((1, n_features)), covariance[None], FAMILIES["full"])


def exact_pair(lower, upper, correlation):
    """Compute ∫ φ(x) P(lower_2 < y < upper_2 | x) dx as mpf; pieces meet where the integrand bends."""
    rho = mp.mpf(correlation)
    rest = mp.sqrt(1 - rho**2)
    low, high = (mp.mpf(max(min(float(limit[0]), 40.0), -40.0)) for limit in (lower, upper))

    def integrand(x):
        z = sorted((mp.mpf(float(limit[1])) - rho * x) / rest for limit in (lower, upper))
        tail = mp.ncdf(-z[0]) - mp.ncdf(-z[1]) if z[0] > 0 else mp.ncdf(z[1]) - mp.ncdf(z[0])
        return mp.npdf(x) * tail

    bends = [(float(limit[1]) + step * float(rest)) / correlation for limit in (lower, upper) for step in (-4, 0, 4)]
    inner = [mp.mpf(x) for x in [*bends, *np.linspace(float(low), float(high), 30)[1:-1]] if low < x < high]
    return mp.quad(integrand, sorted({low, high, *inner}))


RECTANGLES = [
    ([-np.inf, -np.inf], [0.3, -0.7], 0.6),
    ([-np.inf, -np.inf], [0.5, 0.5], 0.999999),
    ([-np.inf, -np.inf], [1.0, -0.99], -0.9999),
    ([0.5, -1.0], [np.inf, 2.0], -0.4),
    ([-1.0, 0.25], [0.5, 0.75], 0.95),
    ([-np.inf, -np.inf], [-6.0, -7.0], 0.3),
    ([3.0, -9.0], [5.0, -6.0], 0.5),
    ([-np.inf, -np.inf], [-3.4, -3.5], 0.999),
    ([-1.0, -np.inf], [4.0, -3.5], -0.9999),
]


@pytest.mark.heavy
@pytest.mark.parametrize(("lower", "upper", "correlation"), RECTANGLES)
def test_probability_of_two_features_agrees_with_30_digits(lower, upper, correlation):
    """Check errors of 1e-12, also relative to small masses; ρ as a double changes masses by ε / (1 − ρ²)."""
    with mp.workdps(30):
        exact = exact_pair(lower, upper, correlation)
        mixture = pair(correlation)
        assert abs(float(mixture.probability(lower, upper) - exact)) < 1e-12
        assert abs(float(mixture.log_probability(lower, upper) - mp.log(exact))) < 1e-11


@pytest.mark.parametrize("correlation", [-0.99, -0.5, 0.0, 0.5, 1 - 1e-9])
def test_orthant_probabilities_equal_the_closed_form(correlation):
    quarter = 0.25 + np.arcsin(correlation) / (2 * np.pi)
    mixture = pair(correlation)
    assert mixture.cdf([[0.0, 0.0]]) == pytest.approx(quarter, abs=1e-12)
    assert mixture.probability(0.0, np.inf) == pytest.approx(quarter, abs=1e-12)


@pytest.mark.parametrize("sign", [-1, 1])
def test_cdf_of_two_features_is_exact_for_extreme_correlations_and_limits(sign):
    """Check that one feature determines the mass if ρ → ±1, and infinite limits leave only the other feature."""
    mixture, h = pair(sign * (1 - 1e-12)), np.array([-2.0, -0.5, 0.0, 1.0])
    rows = np.array([(a, b) for a in h for b in h])
    least = ndtr(rows.min(axis=1)) if sign > 0 else np.maximum(ndtr(rows).sum(axis=1) - 1, 0)
    np.testing.assert_allclose(mixture.cdf(rows), least, atol=1e-6)  # the tolerance is √(1 − ρ²)
    np.testing.assert_allclose(mixture.cdf(np.column_stack([h, np.full(4, np.inf)])), ndtr(h), atol=4 * EPS)
    np.testing.assert_array_equal(mixture.cdf([[-np.inf, 1.0], [np.inf, np.inf], [1.0, -np.inf]]), [0.0, 1.0, 0.0])


@pytest.mark.parametrize("correlation", [-0.99, 0.0, 0.6, 1 - 1e-6])
@pytest.mark.parametrize("corner", [-9.0, -5.0, 3.0, 12.0])
@pytest.mark.parametrize("side", [0.05, 0.4, 1.5, 6.0])
def test_probability_of_a_rectangle_is_the_sum_over_its_subrectangles(correlation, corner, side):
    """Check small and large rectangles at flat and steep densities, so that each integration method is used."""
    m = Mixture([1.0], [[0.0, 0.0]], [[[1.0, correlation], [correlation, 1.0]]], FAMILIES["full"])
    edges = corner + np.array([0.0, 0.1, 0.3, 0.35, 0.7, 1.0]) * side
    lower, upper = (np.stack(np.meshgrid(ends, ends), axis=-1).reshape(-1, 2) for ends in (edges[:-1], edges[1:]))
    whole = m.log_probability(edges[[0, 0]], edges[[-1, -1]])
    parts = logsumexp(m.log_probability(lower, upper))
    # The digits of a rounded limit, times the relative slope of the logarithm: the slope times the limit's size.
    steepness = (abs(corner) + side) ** 2 / (1 - correlation**2)
    np.testing.assert_allclose(parts, whole, rtol=0, atol=64 * EPS * (1 + steepness))


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("distance", [0.0, 4.0, 30.0])
def test_probability_is_the_weighted_sum_over_components(distance, rng):
    """Check that the mixture's mass is the weighted sum of its components' masses, also far from the means."""
    factors = rng.normal(size=(12, 2, 2))
    covariances, means = factors @ factors.transpose(0, 2, 1) + 0.1 * np.eye(2), rng.normal(size=(12, 2), scale=4)
    weights = np.append(rng.dirichlet(np.full(11, 0.3)), 1e-9)
    mixture = Mixture(weights / weights.sum(), means, covariances, FAMILIES["full"])
    lower = mixture.sample(100, rng)[0] - distance
    for upper in (lower + rng.exponential(size=lower.shape), np.full_like(lower, np.inf)):
        parts = [
            Mixture([1.0], mean[None], covariance[None], FAMILIES["full"]).log_probability(lower, upper)
            for mean, covariance in zip(means, covariances, strict=True)
        ]
        exact = logsumexp(np.array(parts) + np.log(mixture.weights)[:, None], axis=0)
        np.testing.assert_allclose(mixture.log_probability(lower, upper), exact, rtol=4 * EPS, atol=1e-11)
        np.testing.assert_allclose(mixture.probability(lower, upper), np.exp(exact), rtol=0, atol=1e-12)


@pytest.mark.parametrize("n_features", [3, 5, 8])
@pytest.mark.parametrize(("limit", "precision"), [(-7.0, 0.05), (-1.0, 1e-3), (0.5, 1e-3)])
def test_cdf_of_several_features_is_within_the_reported_error(n_features, limit, precision):
    """Compare with ∫ φ(t) Φ((h − √ρ t) / √(1 − ρ))^d dt, for equal correlations ρ, within the reported error."""
    rho = 0.4

    def integrand(t):
        return np.exp(n_features * log_ndtr((limit - np.sqrt(rho) * t) / np.sqrt(1 - rho)) - 0.5 * t**2)

    exact = quad(integrand, -40, 40, points=[limit], limit=500, epsabs=0, epsrel=1e-11)[0] / np.sqrt(2 * np.pi)
    mixture, row = equicorrelated(n_features, rho), np.full((1, n_features), limit)
    value, error = mixture.cdf(row, return_error=True)
    # error from 8 scrambles: by Student's t, a draw in 2000 exceeds the bound
    assert abs(value[0] - exact) < 6 * error[0]
    assert error[0] < precision * exact
    assert mixture.log_cdf(row)[0] == pytest.approx(np.log(value[0]), rel=1e-12)


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize(("n_features", "rest"), [(4, 1e-8), (10, 1e-6), (10, 1e-4)])
def test_cdf_is_within_the_reported_error_for_correlations_near_1(n_features, rest):
    """Check correlations near 1, for which conditional masses are 1 except next to the limit."""
    mixture = equicorrelated(n_features, 1 - rest)
    with mp.workdps(30):
        rho = mp.mpf(float(mixture.covariances[0, 0, 1]))
        bend, width = 3 / mp.sqrt(rho), mp.sqrt((1 - rho) / rho)
        inner = [bend + step * width for step in range(-14, 15, 2)]
        ends = [*(mp.mpf(end) for end in range(-20, 3, 2)), *inner, mp.mpf(20)]
        exact = mp.quad(
            lambda t: mp.npdf(t) * mp.ncdf((3 - mp.sqrt(rho) * t) / mp.sqrt(1 - rho)) ** n_features, sorted(ends)
        )
    for seed in range(5):
        value, error = mixture.cdf(np.full((1, n_features), 3.0), rng=seed, return_error=True)
        assert abs(value[0] - float(exact)) < 6 * error[0] < 1e-3


def test_error_of_cdf_is_0_if_one_feature_determines_the_result():
    rows = [[0.3, np.inf, np.inf], [np.inf, -2.0, np.inf], [np.inf, np.inf, np.inf], [0.0, -np.inf, 0.0]]
    value, error = equicorrelated(3, 0.4).cdf(rows, return_error=True)
    assert_close(value, ndtr([0.3, -2.0, np.inf, -np.inf]), 4 * EPS, 1.0, "cdf")
    assert not error.any()
    assert not equicorrelated(3, 0.0).cdf([[0.3, 1.0, -0.5]], return_error=True).error.any()


def test_cdf_draws_the_feature_with_the_smallest_mass_first(rng):
    """Check that the order of the features does not matter, with a case whose error is 0 only in one order.

    Feature 2 has the smallest mass, and the other limits are 20 standard deviations away. If feature 2 is drawn first,
    all points give the same masses: feature 2 is above −9 standard deviations at all points, so that the other masses
    are above Φ(11), which rounds to 1. If another feature is drawn first, the mass of feature 2 differs between points
    by more than 1e-5.
    """
    factor = rng.normal(size=(6, 6))
    covariance, upper = factor @ factor.T + np.eye(6), np.array([2.0, 1.0, -6.0, 3.0, 0.0, 4.0])
    distant = np.where(upper == -6.0, upper, 20 * np.sqrt(np.diagonal(covariance)))
    estimates = []
    for order in (np.arange(6), rng.permutation(6)):
        mixture = Mixture([1.0], np.zeros((1, 6)), covariance[None][:, order[:, None], order], FAMILIES["full"])
        estimates.append(mixture.cdf(upper[None, order], return_error=True))
        assert mixture.cdf(distant[None, order], return_error=True).error == 0
    assert estimates[0].value == pytest.approx(estimates[1].value, rel=1e-10)


@pytest.mark.parametrize("name", ["diag", "spherical", "EEI"])
def test_probability_of_independent_features_is_a_product(name):
    """Compare with a product, for any number of features, and with the quasi-Monte Carlo result of "full"."""
    family, means = FAMILIES[name], np.array([[0.0, 1.0, 2.0], [1.0, -1.0, 0.0]])
    variances = np.full(family.shape(2, 3), 1.5)
    mixture = Mixture([0.25, 0.75], means, variances, family)
    lower, upper = np.array([-1.0, -np.inf, 0.5]), np.array([0.5, 2.0, np.inf])
    scale = np.sqrt(1.5)
    parts = np.prod(ndtr((upper - means) / scale) - ndtr((lower - means) / scale), axis=1)
    assert mixture.probability(lower, upper) == pytest.approx(parts @ [0.25, 0.75], rel=16 * EPS)
    dense = Mixture([0.25, 0.75], means, mixture._model.covariances.dense(), FAMILIES["full"])
    value, error = dense.probability(lower, upper, return_error=True)
    assert abs(value - mixture.probability(lower, upper)) <= 6 * error + 16 * EPS
    distant = np.full((1, 3), -60.0)
    expected = np.logaddexp(*(log_ndtr((distant - means) / scale).sum(axis=1) + np.log([0.25, 0.75])))
    assert mixture.log_cdf(distant)[0] == pytest.approx(expected, rel=16 * EPS)


@pytest.mark.parametrize("middle", [0.0, 0.3, 5.0, 38.0])
@pytest.mark.parametrize("length", [1e-12, 1e-3, 0.1, 3.0, np.inf])
def test_log_probability_of_intervals_agrees_with_50_digits(middle, length):
    """Check short or long, near or far intervals on both sides; z is exact, so that only log Φ is rounded."""
    lower, upper = middle, middle + length
    with mp.workdps(50):
        exact = float(mp.log(mp.ncdf(-mp.mpf(lower)) - mp.ncdf(-mp.mpf(upper))))
    normal = Mixture([1.0], [[0.0]], [1.0], FAMILIES["spherical"])
    actual = normal.log_probability([lower], [upper])
    assert_close(actual, exact, 32 * EPS, 1 + abs(exact), "log_probability")
    assert normal.log_probability([-upper], [-lower]) == actual


@pytest.mark.parametrize("width", [1e-4, 1e-9, 1e-14])
@pytest.mark.parametrize("n_features", [1, 2])
def test_probability_of_narrow_rectangles_keeps_its_precision(n_features, width):
    """Check limits that are not exact in standard deviations: only the difference of the limits is exact."""
    mean, variances = [0.3, 1.0][:n_features], [1.7, 0.3][:n_features]
    lower = np.array([1.3, 0.7][:n_features])
    upper = lower + width
    mixture = Mixture([1.0], [mean], [variances], FAMILIES["diag"])
    exact = mp.mpf(1)
    with mp.workdps(50):
        for low, high, mu, variance in zip(lower, upper, mean, variances, strict=True):
            ends = [(mp.mpf(limit) - mp.mpf(mu)) / mp.sqrt(mp.mpf(variance)) for limit in (low, high)]
            exact *= mp.ncdf(ends[1]) - mp.ncdf(ends[0])
    assert mixture.probability(lower, upper) == pytest.approx(float(exact), rel=64 * EPS)


@pytest.mark.parametrize("name", ["full", "tied", "diag", "spherical"])
def test_probabilities_accept_weights_of_0_and_no_rows(name):
    family = FAMILIES[name]
    covariances = np.broadcast_to(np.eye(3) if family.kind.is_matrix else 1.0, family.shape(2, 3))
    mixture = Mixture([0.0, 1.0], [[0.0] * 3, [1.0] * 3], covariances, family)
    assert mixture.cdf([[1.0, 1.0, 1.0]])[0] == pytest.approx(0.125, abs=1e-12)
    assert mixture.cdf(np.empty((0, 3))).shape == (0,)
    assert mixture.probability(1.0, 1.0) == 0
    assert mixture.log_probability(1.0, 1.0) == -np.inf


@pytest.mark.parametrize("name", ["full", "diag"])
@pytest.mark.parametrize("n_features", [1, 2, 3])
def test_the_probability_of_everything_is_1_although_weights_do_not_sum_to_1_exactly(name, n_features):
    covariances = np.broadcast_to(np.eye(n_features) if name == "full" else 1.0, FAMILIES[name].shape(2, n_features))
    mixture = Mixture([0.3, 0.7 - 9e-7], np.zeros((2, n_features)), covariances, FAMILIES[name])
    assert mixture.cdf(np.full((1, n_features), np.inf))[0] == pytest.approx(1.0, abs=4 * EPS)


@pytest.mark.parametrize("n_features", [2, 3])
def test_log_cdf_far_from_the_mean_is_close_to_the_log_density(n_features):
    """Check that the log mass of a distant corner equals the log density there up to 2 d log a; Savage (1962)."""
    covariance = np.eye(n_features) + 0.5
    mixture, a = Mixture([1.0], np.zeros((1, n_features)), [covariance], FAMILIES["full"]), 10.0 ** np.arange(5, 16)
    height = -0.5 * a**2 * np.linalg.solve(covariance, np.ones(n_features)).sum()
    actual = mixture.log_cdf(np.tile(-a[:, None], n_features))
    assert (np.abs(actual - height) <= 2 * n_features * np.log(a) + 8 * EPS * np.abs(height)).all()


@pytest.mark.parametrize("name", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("n_features", [1, 2, 3])
def test_log_cdf_of_extreme_rows_is_accurate_or_infinite(name, n_features):
    """Check a row 1e7 deviations away, whose log mass is below −½ 1e14, and one at 1e160, whose log exceeds float64."""
    family = FAMILIES[name]
    covariances = np.broadcast_to(np.eye(n_features) if family.kind.is_matrix else 1.0, family.shape(2, n_features))
    mixture = Mixture([0.5, 0.5], [[0.0] * n_features, [1.0] * n_features], covariances, family)
    rows = np.zeros((3, n_features))
    rows[:, 0] = [-1e7, -1e160, -1e308]
    np.testing.assert_allclose(mixture.log_cdf(rows), [-0.5e14, -np.inf, -np.inf], rtol=1e-6)
    np.testing.assert_array_equal(mixture.cdf(rows), 0)
    rest = np.logaddexp(*((n_features - 1) * log_ndtr([0.0, -1.0]))) + np.log(0.5)
    np.testing.assert_allclose(mixture.log_cdf(-rows), rest, atol=1e-12)
    assert (mixture.log_density_p_value(rows) < -0.4e14).all()
    assert not mixture.density_p_value(rows).any()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: m.cdf([[np.nan, 0.0]]), ValueError, r"rows contains NaN at \(0, 0\)"),
        (lambda m: m.cdf([0.0, 1.0]), ValueError, r"rows must have shape \(n_rows, 2\), not \(2,\)"),
        (lambda m: m.cdf([["a", "b"]]), TypeError, "rows must be real numbers"),
        (lambda m: m.cdf([[0.0, 1.0]], n_points=0), ValueError, "n_points=0 must be an integer ≥ 1"),
        (lambda m: m.probability(0.0, [1.0, np.nan]), ValueError, r"upper contains NaN at \(1,\)"),
        (
            lambda m: m.probability([0.0, 2.0], 1.0),
            ValueError,
            r"lower is 2.0 but upper is 1.0 in column 1 \(counted from 0\): exchange the two limits",
        ),
        (
            lambda m: m.with_feature_names(["a", "b"]).probability([[0.0, 0.0], [0.0, 2.0]], 1.0),
            ValueError,
            r"lower is 2.0 but upper is 1.0 in row 1 \(counted from 0\), column 'b': exchange the two limits",
        ),
        (lambda m: m.probability([0.0, 1.0, 2.0], 3.0), ValueError, r"must have shape \(n_rows, 2\), not \(3,\) and"),
        (lambda m: m.probability(0.0, "b"), TypeError, "upper must be real numbers"),
    ],
)
def test_probabilities_reject_invalid_limits(call, error, message):
    with pytest.raises(error, match=message):
        call(pair(0.5))
