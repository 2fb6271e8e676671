"""Mass outside density levels agrees with mpmath in one feature, with chi-squared for one component, and with draws."""

import numpy as np
import pytest
from common import EPS, assert_close, families, univariate
from mpmath import mp
from scipy.special import ndtr
from scipy.stats import chi2

from gaussmix import FAMILIES, Estimate, Mixture
from gaussmix._src.mixture.levels import MAX_PEAKS, half_square, log_tail
from gaussmix._src.mixture.univariate.level_sets import extrema
from gaussmix.testing import PROBLEMS

MIXTURES = {
    "one": ([1.0], [3.0], [4.0]),
    "one mode": ([0.25, 0.5, 0.25], [0.0, 1.0, 1.5], [1.0, 0.25, 9.0]),
    "three modes": ([0.25, 0.5, 0.25], [0.0, 5.0, 9.0], [1.0, 2.25, 0.25]),
    "far apart": ([0.25, 0.75], [0.0, 100.0], [1.0, 4.0]),
    "a spike": ([0.5, 0.5], [0.1, 0.0], [1e-8, 1.0]),
    "unlike by 1e45": ([0.5, 0.5], [0.0, 3.0], [1e-60, 1e30]),
    "unlike on the left": ([0.5, 0.5], [-3.0, 0.0], [1e30, 1e-60]),
    "a weight of 0": ([0.5, 0.0, 0.5], [-2.0, 0.0, 2.0], [1.0, 100.0, 1.0]),
}
each_mixture = pytest.mark.parametrize("name", MIXTURES)


def two_distant_components(n_features):
    """Return two components so far apart that the mass below a level belongs to one of them."""
    means = np.zeros((2, n_features))
    means[1, 0] = 1e4
    return Mixture([0.5, 0.5], means, [1.0, 1.0], FAMILIES["spherical"])


def exact_tail(mixture, row):
    """Compute the mass below a row's density as mpf: crossings are found on a fine grid and by bisection."""
    parts = [
        (mp.mpf(float(w)), mp.mpf(float(m)), mp.sqrt(mp.mpf(float(v))))
        for w, m, v in zip(mixture.weights, mixture.means[:, 0], mixture.covariances, strict=True)
    ]

    def density(x):
        return mp.fsum(w * mp.npdf(x, m, s) for w, m, s in parts)

    level = density(mp.mpf(float(row)))
    grid = np.concatenate([np.linspace(float(m - 12 * s), float(m + 12 * s), 601) for _, m, s in parts])
    grid = np.unique(np.append(grid, row))
    below = mixture.log_density(grid[:, None]) < mixture.log_density([[row]])[0]
    below[grid == row] = not below[np.flatnonzero(grid == row)[0] - 1]  # the row itself is a crossing
    ends = [-mp.inf]
    for k in np.flatnonzero(below[1:] != below[:-1]):
        low, high = mp.mpf(float(grid[k])), mp.mpf(float(grid[k + 1]))
        if row in (grid[k], grid[k + 1]):
            ends.append(mp.mpf(float(row)))
            continue
        for _ in range(150):
            middle = (low + high) / 2
            low, high = (middle, high) if (density(middle) < level) == below[k] else (low, middle)
        ends.append(low)
    ends = [*dict.fromkeys(ends), mp.inf]
    return mp.fsum(
        w * (mp.ncdf((b - m) / s) - mp.ncdf((a - m) / s) if a < m else mp.ncdf((m - a) / s) - mp.ncdf((m - b) / s))
        for a, b in zip(ends[::2], ends[1::2], strict=True)
        for w, m, s in parts
    )


@pytest.mark.heavy(n_default=2)
@each_mixture
def test_density_p_value_of_one_feature_agrees_with_50_digits(name):
    """Check masses within the rounding |log p| ε of the level, which changes masses by this fraction or less."""
    mixture = univariate(*MIXTURES[name])
    rows = mixture.quantile([1e-30, 1e-8, 1e-3, 0.07, 0.2, 0.45, 0.6, 0.9, 0.999])
    actual = mixture.density_p_value(rows[:, None])
    with mp.workdps(50):
        exact = np.array([float(exact_tail(mixture, row)) for row in rows])
    np.testing.assert_allclose(actual, exact, rtol=1e-12)
    np.testing.assert_allclose(mixture.log_density_p_value(rows[:, None]), np.log(exact), rtol=1e-12, atol=1e-12)


@pytest.mark.heavy(n_default=3)
@each_mixture
def test_highest_density_level_of_one_feature_inverts_the_p_value(name):
    mixture, p = univariate(*MIXTURES[name]), np.array([0.0, 0.1, 0.5, 0.9, 0.95, 0.999, 1 - 1e-12, 1.0])
    levels = mixture.highest_density_level(p)
    assert levels[0] == pytest.approx(mixture.log_density(mixture.modes().locations[:1])[0], rel=8 * EPS)
    assert levels[-1] == -np.inf
    outside = np.exp(mixture._levels(1, None).log_mass_below(levels[:-1])[0])
    np.testing.assert_allclose(outside, 1 - p[:-1], rtol=1e-10, atol=0)
    inside = mixture.in_highest_density_region(mixture.means, 0.9)
    np.testing.assert_array_equal(inside, mixture.log_density(mixture.means) >= levels[3])


@families
def test_density_p_value_of_one_component_is_a_chi_squared_tail(family, rng):
    """Compare the mass outside an ellipsoid with a tail of the chi-squared distribution."""
    shape = family.shape(1, 3)
    covariances = 4.0 * np.broadcast_to(
        np.eye(3) if family.kind.is_matrix else np.ones(3)[: shape[-1] if shape else 1], shape or (1,)
    )
    if family.non_default_params:  # factor analysers: zero loadings, and noise variances
        covariances = np.stack((np.zeros((1, 3)), np.full((1, 3), 4.0)), axis=2)
    mixture = Mixture([1.0], np.ones((1, 3)), covariances.reshape(shape), family)
    rows = 1 + rng.normal(size=(50, 3)) * rng.uniform(0, 20, size=(50, 1))
    squares = ((rows - 1) ** 2).sum(axis=1) / 4
    error = mixture.density_p_value(rows, return_error=True).error
    # Heights cancel if a row is near the mean: the error is ε of the peak's log density, some nats.
    np.testing.assert_allclose(mixture.log_density_p_value(rows), chi2.logsf(squares, 3), rtol=64 * EPS, atol=64 * EPS)
    assert not error.any()
    p = np.array([0.0, 0.2, 0.95, 1 - 1e-9])
    peak = mixture.log_density(mixture.means)[0]
    np.testing.assert_allclose(mixture.highest_density_level(p), peak - chi2.ppf(p, 3) / 2, rtol=1e-12)


def test_highest_density_level_of_a_small_mass_is_accurate():
    """Check a component whose density at the mean is 1, so that levels of small masses are near 0."""
    mixture, p = Mixture([1.0], np.zeros((1, 3)), [0.5 / np.pi], FAMILIES["spherical"]), 1e-9
    peak = mixture.log_density(mixture.means)[0]
    assert mixture.highest_density_level(p) == pytest.approx(peak - chi2.ppf(p, 3) / 2, rel=1e-9, abs=0)


@pytest.mark.parametrize("n_features", [1, 2, 7, 40])
def test_log_tail_and_half_square_agree_with_50_digits(n_features):
    squares = np.array([0.0, 1e-3, 1.0, 50.0, 600.0, 1e4, 1e7])
    with mp.workdps(50):
        exact = np.array([float(mp.log(mp.gammainc(mp.mpf(n_features) / 2, s, regularized=True))) for s in squares])
    actual = log_tail(squares, n_features)
    assert_close(actual, exact, 128 * EPS, 1 + np.abs(exact), "log_tail")
    clear = actual < -1e-3  # nearer to 0, the logarithm is not precise enough
    assert_close(half_square(actual, n_features)[clear], squares[clear], 1e-12, 1 + squares[clear], "half_square")
    np.testing.assert_array_equal(half_square(np.array([0.0, -np.inf]), n_features), [0.0, np.inf])


@pytest.mark.parametrize("n_features", [2, 5])
def test_density_p_value_of_several_features_is_within_the_reported_error(n_features):
    """Check that results are within the stated error, which is small for masses down to 1e-17."""
    mixture = two_distant_components(n_features)
    rows = np.zeros((6, n_features))
    rows[:, 1] = [0.5, 1.0, 2.0, 4.0, 6.0, 8.0]
    tail, error = mixture.density_p_value(rows, return_error=True)
    exact = chi2.sf(rows[:, 1] ** 2, n_features)
    # error from 8 scrambles: by Student's t, a draw in 2000 exceeds the bound
    assert (np.abs(tail - exact) <= 6 * error).all()
    assert (error < 0.05 * exact).all()
    p = np.array([0.1, 0.5, 0.95, 0.9999])
    level, error = mixture.highest_density_level(p, return_error=True)
    peak = mixture.log_density(mixture.means[:1])[0]
    assert (np.abs(level - (peak - chi2.ppf(p, n_features) / 2)) <= 6 * error).all()


@pytest.mark.parametrize("narrow", [0.97, 0.03])
def test_density_p_value_is_accurate_for_components_of_different_widths(narrow):
    """Check mixtures with most weight on a narrow component, or on a wide one that has most of the mass outside."""
    mixture = Mixture([narrow, 1 - narrow], [[0.0, 0.0, 0.0], [1e4, 0.0, 0.0]], [1.0, 1e4], FAMILIES["spherical"])
    rows = np.array([[1e4, step, 0.0] for step in (50.0, 100.0, 200.0, 400.0, 600.0)])
    heights = mixture.parameters.log_scale[:, None] - mixture.log_density(rows)
    exact = mixture.weights @ chi2.sf(2 * np.maximum(heights, 0), 3)
    tail, error = mixture.density_p_value(rows, return_error=True)
    assert (np.abs(tail - exact) <= 6 * error).all()
    assert (error < 0.05 * exact).all()


def test_highest_density_level_of_mass_1_is_minus_infinity():
    level, error = two_distant_components(2).highest_density_level([0.5, 1.0], return_error=True)
    assert (level[1], error[1]) == (-np.inf, 0.0)
    assert np.isfinite(level[0])
    assert two_distant_components(2).in_highest_density_region([[1e150, 0.0]], 1.0).all()


def test_density_p_value_is_within_its_error_even_if_all_scrambles_agree():
    """Check a density that depends so little on directions that every scramble has equally many points outside."""
    mixture, rows = two_distant_components(8), np.zeros((300, 8))
    rows[:, 1] = np.linspace(0.5, 7, 300)
    tail, error = mixture.density_p_value(rows, return_error=True)
    assert (np.abs(tail - chi2.sf(rows[:, 1] ** 2, 8)) <= 6 * error + 1e-14).all()


def test_density_p_values_in_far_tails_are_positive_and_bounded():
    mixture = two_distant_components(3)
    rows = np.array([[0.0, 30.0, 0.0], [0.0, 300.0, 0.0], [0.0, 1e200, 0.0]])
    log_tail = mixture.log_density_p_value(rows)
    np.testing.assert_allclose(log_tail[:2], chi2.logsf(30.0**2, 3) * np.array([1, 0]) + [0, -45_000 + 6.2], rtol=1e-2)
    tail, error = mixture.density_p_value(rows, return_error=True)
    assert tail[0] > 0
    assert error[0] == tail[0]
    assert log_tail[2] < -1e300  # near the limit of float64


def test_density_p_value_of_a_row_does_not_depend_on_other_rows():
    mixture = Mixture._from_model(PROBLEMS["separate"].start(FAMILIES["full"]))
    rows = np.vstack([mixture.means, mixture.means + 50.0])
    together = mixture.density_p_value(rows)
    alone = [mixture.density_p_value(row[None])[0] for row in rows]
    np.testing.assert_allclose(together, alone, rtol=8 * EPS)  # NumPy rounds vectors and single numbers differently
    many = np.tile(rows, (400, 1)) + np.linspace(0, 5, 400 * len(rows))[:, None]  # more rows than `_MAX_DIRECT`
    levels, samples = mixture.log_density(many), mixture._usual_levels
    each = [samples.log_mass_below(level[None])[0][0] for level in levels]
    np.testing.assert_array_equal(samples.log_mass_below(levels)[0], each)
    assert (samples._steps[0] <= samples._log_bound(samples._levels)).all()
    other = mixture.density_p_value(rows[:2], n_points=4096, rng=np.random.default_rng(3))
    assert (other != together[:2]).any()
    np.testing.assert_allclose(other, together[:2], atol=0.05)


def test_the_bound_of_p_values_with_many_components_is_not_below_that_of_each_component(rng):
    """Check the bound for groups of similar components, which replaces the bound for each component."""
    n_components = MAX_PEAKS + 100
    weights, variances = rng.dirichlet(np.ones(n_components)), rng.uniform(0.1, 10, n_components)
    mixture = Mixture(weights, rng.normal(size=(n_components, 3)), variances, FAMILIES["spherical"])
    peaks, levels = mixture.parameters.log_scale, np.linspace(-40.0, 0.0, 50)
    exact = chi2.sf(2 * np.maximum(peaks - levels[:, None], 0), 3) @ weights
    bound = np.exp(mixture._usual_levels._log_bound(levels))
    assert (bound >= exact * (1 - 1e-12)).all()
    assert (bound < 1.2 * exact).all()  # groups contain similar components only


def test_density_levels_accept_weights_of_0_and_no_rows():
    means = np.array([[0.0, 0.0], [3.0, 3.0], [1.0, 0.0]])
    with_zero = Mixture([0.5, 0.0, 0.5], means, [1.0, 2.0, 1.0], FAMILIES["spherical"])
    without = Mixture([0.5, 0.5], means[[0, 2]], [1.0, 1.0], FAMILIES["spherical"])
    np.testing.assert_allclose(with_zero.density_p_value(means), without.density_p_value(means), rtol=8 * EPS)
    assert with_zero.density_p_value(np.empty((0, 2))).shape == (0,)
    assert isinstance(with_zero.highest_density_level(0.5), float)
    assert isinstance(with_zero.highest_density_level(0.5, return_error=True), Estimate)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.highest_density_level(1.5), "p contains 1.5, but probabilities"),
        (lambda m: m.in_highest_density_region([[0.0, 0.0]], -1), "p=-1 must be a number from 0"),
        (lambda m: m.in_highest_density_region([[0.0, 0.0]], "a"), "p must be a number from 0 to 1, not 'a'"),
        (lambda m: m.density_p_value([[0.0, np.nan]]), "contains NaN: row 0, column 1"),
        (lambda m: m.density_p_value([[0.0]]), r"must have shape \(n_rows, 2\)"),
        (lambda m: m.density_p_value([[0.0, 0.0]], n_points=0), "n_points=0 must be an integer ≥ 1"),
    ],
)
def test_density_levels_reject_invalid_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call(two_distant_components(2))


@pytest.mark.parametrize("first", [0.0, 0.7])
@pytest.mark.parametrize(("distance", "n_extrema"), [(1.9999, 1), (2.0, 1), (2.0001, 3), (60.0, 3)])
def test_extrema_of_a_nearly_flat_top_are_exact(first, distance, n_extrema):
    """Check that equal components more than two deviations apart have two modes, although 0.7 is rounded."""
    mixture = Mixture([0.5, 0.5], [[first], [first + distance]], [1.0, 1.0], FAMILIES["spherical"])
    actual = extrema(mixture._line)
    assert len(actual) == n_extrema
    assert actual[n_extrema // 2] == pytest.approx(first + distance / 2, abs=1e-4)


@pytest.mark.parametrize("distance", [1e4, 1e8, 1e12])
def test_extrema_of_distant_components_are_exact(distance):
    """Check that the search between two equal components needs few intervals, because derivatives do not underflow."""
    mixture = Mixture([0.5, 0.5], [[0.0], [distance]], [1.0, 1.0], FAMILIES["spherical"])
    np.testing.assert_allclose(extrema(mixture._line), [0.0, 0.5 * distance, distance], rtol=4 * EPS, atol=EPS)
    actual = mixture.density_p_value([[0.0], [2.0], [0.5 * distance]])
    np.testing.assert_allclose(actual, [1.0, 2 * ndtr(-2.0), 0.0], rtol=4 * EPS * distance, atol=0)


@pytest.mark.parametrize(("variance", "distance"), [(1.0, r"1e\+200"), (1e-240, "inf")])
def test_modes_and_p_values_reject_components_too_distant_for_float64(variance, distance):
    mixture = Mixture([0.5, 0.5], [[0.0], [1e200]], [variance, variance], FAMILIES["spherical"])
    for call in (mixture.modes, lambda: mixture.density_p_value([[0.0]])):
        with pytest.raises(ValueError, match=rf"0 and 1e\+200, are {distance} standard deviations apart.*one by one"):
            call()


def test_highest_density_level_of_mass_0_is_the_density_of_the_highest_mode(rng):
    """Check several features, with quasi-Monte Carlo points close to the highest mode; other levels do not change."""
    mixture = Mixture([0.3, 0.3, 0.4], 1.5 * rng.normal(size=(3, 2)), np.ones(3), FAMILIES["spherical"])
    level, error = mixture.highest_density_level([0.0, 0.5], return_error=True)
    assert level[0] == mixture.modes().log_density[0] > mixture._usual_levels.log_levels.max()
    assert error[0] == 0 < error[1]
    assert level[1] == pytest.approx(mixture.highest_density_level(0.5), rel=8 * EPS)
    assert mixture.in_highest_density_region(mixture.modes().locations[:1], 0.0).all()
