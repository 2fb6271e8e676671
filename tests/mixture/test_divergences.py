"""Entropy and divergences: closed forms, quadrature with 30 digits, and laws over all structures.

Seeds are fixed, so that no test fails by chance; all but one in a billion seeds would satisfy the bounds on draws.
"""

import mpmath
import numpy as np
import pytest
from common import families, overlapping
from exact_mixtures import ONE, OTHER, integral
from scipy import stats

from gaussmix import FAMILIES, GaussianMixture, Mixture, SingularCovarianceError
from gaussmix._src.mixture.compare.divergences import mean_and_squared_error
from gaussmix._src.numerics.arrays import PIECE_VALUES

SIX_SIGMA = stats.norm.isf(5e-10)
LOG_2 = np.log(2.0)


def kl(p, q):
    return p * mpmath.log(p / q)


def js(p, q):
    return (kl(p, (p + q) / 2) + kl(q, (p + q) / 2)) / 2


def agree(estimate, expected):
    return abs(estimate.value - expected) < SIX_SIGMA * estimate.error


def test_entropy_equals_the_integral():
    exact = integral(lambda p: -p * mpmath.log(p), ONE)
    estimate = ONE.entropy()
    assert agree(estimate, exact)
    assert estimate.error < 5e-3
    lower, upper = ONE.entropy_bounds()
    assert lower < exact < upper


@pytest.mark.heavy
def test_kl_divergence_equals_the_integral():
    for p, q in (ONE, OTHER), (OTHER, ONE):
        exact = integral(kl, p, q)
        assert agree(p.kl_divergence(q), exact)
        lower, upper = p.kl_bounds(q)
        assert lower < exact < upper
        assert lower < p.kl_variational(q) < upper


@pytest.mark.heavy
def test_js_divergence_equals_the_integral():
    exact = integral(js, ONE, OTHER)
    assert agree(ONE.js_divergence(OTHER), exact)


def test_kl_variational_equals_the_formula_of_hershey_and_olsen():
    """Compare with the explicit eq. 20 of the paper, with the usual divergences between normal distributions."""

    def between(p, i, q, j):
        ratio = p.covariances[i] / q.covariances[j]
        return 0.5 * (ratio - 1 - np.log(ratio) + (p.means[i, 0] - q.means[j, 0]) ** 2 / q.covariances[j])

    def attained(i, q):
        return sum(q.weights[j] * np.exp(-between(ONE, i, q, j)) for j in range(q.n_components))

    expected = sum(ONE.weights[i] * np.log(attained(i, ONE) / attained(i, OTHER)) for i in range(2))
    assert ONE.kl_variational(OTHER) == pytest.approx(expected, rel=1e-13)


def test_divergences_and_entropies_of_single_gaussians_are_exact(rng):
    n_features = 4
    means, roots = rng.normal(size=(2, n_features)), rng.normal(size=(2, n_features, 9))
    p, q = (
        Mixture([1.0], mean[None], (root @ root.T)[None], FAMILIES["full"])
        for mean, root in zip(means, roots, strict=True)
    )
    a, b, offset = p.covariances[0], q.covariances[0], means[0] - means[1]
    log_dets = np.linalg.slogdet(b)[1] - np.linalg.slogdet(a)[1]
    exact = 0.5 * (np.trace(np.linalg.solve(b, a)) + offset @ np.linalg.solve(b, offset) - n_features + log_dets)
    assert tuple(p.kl_divergence(q)) == (pytest.approx(exact, rel=1e-12), 0.0)
    assert p.kl_variational(q) == pytest.approx(exact, rel=1e-12)
    assert p.kl_bounds(q)[1] == pytest.approx(exact, rel=1e-12)
    entropy = stats.multivariate_normal(means[0], a).entropy()
    assert tuple(p.entropy()) == (pytest.approx(entropy, rel=1e-13), 0.0)
    assert p.entropy_bounds() == pytest.approx((entropy, entropy), rel=1e-13)


@pytest.mark.parametrize("delta", [1e-3, 1e-6, 1e-9])
def test_kl_divergence_of_nearly_equal_gaussians_keeps_its_precision(delta):
    """Compare with log (1 + δ) − ½ + (1 + δ²) / (2 (1 + δ)²), about 1.5 δ², the KL of N(0, 1) and N(δ, (1 + δ)²)."""
    p = Mixture([1.0], [[0.0, 0.0]], [np.eye(2)], FAMILIES["full"])
    q = Mixture([1.0], [[delta, 0.0]], [np.diag([(1 + delta) ** 2, 1.0])], FAMILIES["full"])
    with mpmath.workdps(40):
        deviation = mpmath.sqrt(mpmath.mpf(q.covariances[0, 0, 0]))
        offset = mpmath.mpf(delta)
        exact = mpmath.log(deviation) - mpmath.mpf(0.5) + (1 + offset**2) / (2 * deviation**2)
    # The root of the variance is rounded, which is an error of ε in 1 + δ.
    assert p.kl_divergence(q).value == pytest.approx(float(exact), rel=2 * np.finfo(float).eps / delta + 1e-14)


def test_rounding_makes_no_kl_bound_negative(rng):
    for factor in rng.normal(size=(20, 3, 3)):
        one = Mixture([1.0], np.zeros((1, 3)), [factor @ factor.T + np.eye(3)], FAMILIES["full"])
        lower, upper = one.kl_bounds(one)
        assert 0.0 <= lower <= upper


@families
def test_divergences_of_a_mixture_from_itself_are_0(family):
    mixture = overlapping("p", family)
    for same in mixture, Mixture.from_dict(mixture.to_dict()):
        assert tuple(mixture.kl_divergence(same, n_draws=1000)) == (0.0, 0.0)
        assert mixture.kl_variational(same) == 0.0
        assert mixture.kl_bounds(same)[0] == 0.0
        assert tuple(mixture.js_divergence(same, n_draws=1000)) == (0.0, 0.0)


@families
def test_bounds_of_entropy_and_kl_enclose_the_monte_carlo_estimates(family):
    p, q = overlapping("p", family), overlapping("q", family, 2)
    entropy, divergence = p.entropy(), p.kl_divergence(q)
    for estimate, (lower, upper) in (entropy, p.entropy_bounds()), (divergence, p.kl_bounds(q)):
        assert lower - SIX_SIGMA * estimate.error < estimate.value < upper + SIX_SIGMA * estimate.error
        assert estimate.error < 0.05
    assert p.entropy_bounds()[1] - p.entropy_bounds()[0] < np.log(p.n_components)


@families
def test_js_divergence_is_symmetric_and_at_most_log_2(family):
    p, q = overlapping("p", family), overlapping("q", family, 2)
    forward, backward = p.js_divergence(q, n_draws=5000), q.js_divergence(p, n_draws=5000)
    # The tolerance is n_draws roundings of at most log 2, because the same numbers are summed.
    np.testing.assert_allclose(tuple(forward), tuple(backward), rtol=1e-12)
    assert 0 < forward.value <= LOG_2
    distant = Mixture(q.weights, q.means + 1e6, q.covariances, q.family)
    assert p.js_divergence(distant, n_draws=1000).value == pytest.approx(LOG_2, rel=1e-15)


def test_divergences_ignore_components_of_weight_0():
    with_none = Mixture(
        [0.0, 0.3, 0.7, 0.0], [[50.0], [0.0], [2.5], [-3.0]], [1.0, 1.0, 0.25, 9.0], FAMILIES["spherical"]
    )
    assert with_none.entropy_bounds() == ONE.entropy_bounds()
    assert with_none.kl_bounds(OTHER) == ONE.kl_bounds(OTHER)
    assert OTHER.kl_bounds(with_none) == OTHER.kl_bounds(ONE)
    assert with_none.kl_variational(ONE) == 0.0
    assert with_none.kl_divergence(OTHER, n_draws=1000).value == pytest.approx(
        ONE.kl_divergence(OTHER, n_draws=1000).value, rel=1e-12
    )
    alone = Mixture([0.0, 1.0], [[3.0], [0.0]], [1.0, 1.0], FAMILIES["spherical"])
    assert alone.entropy().error == 0.0


@pytest.mark.parametrize("unit", [2.0**-500, 2.0**500])
def test_a_change_of_units_shifts_the_entropy_but_not_the_divergences(unit):
    p, q = (Mixture(m.weights, m.means * unit, m.covariances * unit * unit, m.family) for m in (ONE, OTHER))
    assert p.kl_bounds(q) == pytest.approx(ONE.kl_bounds(OTHER), rel=1e-12)
    assert tuple(p.kl_divergence(q)) == pytest.approx(tuple(ONE.kl_divergence(OTHER)), rel=1e-9)
    assert tuple(p.js_divergence(q)) == pytest.approx(tuple(ONE.js_divergence(OTHER)), rel=1e-9)
    assert p.entropy().value - np.log(unit) == pytest.approx(ONE.entropy().value, abs=1e-12)
    assert p.entropy_bounds()[0] - np.log(unit) == pytest.approx(ONE.entropy_bounds()[0], abs=1e-12)


def test_no_lower_bound_of_the_entropy_exceeds_the_upper_bound(rng):
    """Check equal components, for which both bounds are the entropy of the components, up to rounding."""
    for n_components in rng.integers(2, 6, size=50):
        variances = np.full(n_components, rng.uniform(0.1, 2))
        mixture = Mixture(rng.dirichlet(np.ones(n_components)), np.ones((n_components, 3)), variances, ONE.family)
        lower, upper = mixture.entropy_bounds()
        assert lower <= upper
        assert lower == pytest.approx(upper, abs=1e-14)


def test_mean_and_squared_error_join_blocks_of_draws(rng):
    blocks, drawn = [], rng.normal(np.linspace(0, 30, 1000))

    def draw(n):
        blocks.append(n)
        return drawn[sum(blocks[:-1]) : sum(blocks)]

    joined = mean_and_squared_error(draw, 1000, PIECE_VALUES // 300)
    assert len(blocks) > 2
    assert joined == pytest.approx((drawn.mean(), drawn.var(ddof=1) / 1000), rel=1e-12)


@pytest.mark.heavy
def test_the_reported_error_of_kl_divergence_matches_its_spread_over_seeds():
    """Check that deviations in units of the error have variance 1 over seeds, estimated with an error of √(2 / n)."""
    exact, n_seeds = integral(kl, ONE, OTHER), 300
    estimates = [ONE.kl_divergence(OTHER, n_draws=1000, rng=np.random.default_rng(seed)) for seed in range(n_seeds)]
    assert len({value for value, _ in estimates}) == n_seeds
    squares = [((value - exact) / error) ** 2 for value, error in estimates]
    assert abs(np.mean(squares) - 1) < SIX_SIGMA * np.sqrt(2 / n_seeds)


def test_estimates_of_kl_divergence_are_never_negative():
    near = Mixture(ONE.weights, ONE.means + 1e-3, ONE.covariances, ONE.family)
    estimates = [ONE.kl_divergence(near, n_draws=100, rng=np.random.default_rng(seed)) for seed in range(20)]
    assert min(value for value, _ in estimates) == 0
    assert max(value for value, _ in estimates) > 0
    assert min(error for _, error in estimates) > 0


def test_kl_variational_is_exact_for_any_ratio_of_variances():
    """Check that KL of N(0, 1) and N(0, σ²) is log σ − ½ + 1 / (2 σ²), even if σ is 1e100 or 1e-60."""
    one = Mixture([1.0], [[0.0]], [1.0], FAMILIES["spherical"])
    for sigma in (1e100, 1e-60):
        other = Mixture([1.0], [[0.0]], [sigma**2], FAMILIES["spherical"])
        exact = np.log(sigma) - 0.5 + 0.5 / sigma**2
        assert one.kl_variational(other) == pytest.approx(exact, rel=1e-14)


def test_kl_divergence_includes_a_rare_distant_component():
    """Check a component of weight ε at 1e6, far from N(0, 1): KL is ε 1e12 / 2 minus the entropy of the labels."""
    rare = 1e-6
    p = Mixture([1 - rare, rare], [[0.0], [1e6]], [1.0, 1.0], FAMILIES["spherical"])
    estimate = p.kl_divergence(Mixture([1.0], [[0.0]], [1.0], FAMILIES["spherical"]), n_draws=1000)
    assert agree(estimate, rare * 0.5e12 + (1 - rare) * np.log1p(-rare) + rare * np.log(rare))
    assert estimate.error < 2.0


COMPARISONS = [
    lambda mixture, other: mixture.kl_divergence(other),
    lambda mixture, other: mixture.kl_bounds(other),
    lambda mixture, other: mixture.kl_variational(other),
    lambda mixture, other: mixture.js_divergence(other),
    lambda mixture, other: mixture.distance(other),
    lambda mixture, other: mixture.match_to(other),
]


@pytest.mark.parametrize("call", COMPARISONS)
def test_comparisons_reject_other_objects_and_other_features(call):
    with pytest.raises(ValueError, match=r"These mixtures have 1 and 3 features\. They need the same"):
        call(ONE, overlapping("p", FAMILIES["full"]))
    with pytest.raises(TypeError, match=r"A mixture is needed, not \[1.0\]"):
        call(ONE, [1.0])
    with pytest.raises(TypeError, match=r"A mixture is needed, not GaussianMixture.*: pass its attribute mixture_\.$"):
        call(ONE, GaussianMixture().fit([[0.0], [1.0], [2.0]]))
    plane = overlapping("p", FAMILIES["full"])
    with pytest.raises(ValueError, match=r"different features: feature 0 is 'a' and 'b'\. Use marginal"):
        call(plane.with_feature_names(list("abc")), plane.with_feature_names(list("bac")))
    call(plane, plane.with_feature_names(list("abc")))


@pytest.mark.parametrize("call", [*COMPARISONS, lambda mixture, other: other.entropy_bounds()])
def test_comparisons_report_the_component_with_a_singular_covariance(call):
    flat = Mixture([0.0, 0.5, 0.5], np.zeros((3, 2)), [np.eye(2), np.eye(2), np.ones((2, 2))], FAMILIES["full"])
    round_one = Mixture([0.2, 0.3, 0.5], np.zeros((3, 2)), np.ones(3), FAMILIES["spherical"])
    with pytest.raises(SingularCovarianceError, match="component 2"):
        call(round_one, flat)


@pytest.mark.parametrize("n_draws", [1, 0, -5, 10.0, True, "many"])
def test_invalid_n_draws_is_rejected(n_draws):
    for call in (lambda: ONE.kl_divergence(OTHER, n_draws=n_draws), lambda: ONE.entropy(n_draws=n_draws)):
        with pytest.raises((TypeError, ValueError), match=r"n_draws.* must be an integer ≥ 2"):
            call()


@pytest.mark.parametrize("distance", [1e100, 1e200])
@pytest.mark.parametrize("n_components", [1, 2])
def test_divergences_that_overflow_float64_are_rejected(distance, n_components):
    weights, means = np.full(n_components, 1 / n_components), distance * np.arange(1, n_components + 1)
    distant = Mixture(weights, means[:, None], np.ones(n_components), FAMILIES["spherical"])
    near = Mixture([1.0], [[0.0]], [1.0], FAMILIES["spherical"])
    for call in (near.kl_divergence, near.kl_bounds, near.kl_variational):
        with pytest.raises(ValueError, match="too far apart for float64"):
            call(distant)
    with pytest.raises(ValueError, match="too far apart for float64"):
        near.distance(distant, "cauchy_schwarz")
    assert near.js_divergence(distant, n_draws=1000).value == pytest.approx(LOG_2, rel=1e-15)


def test_kl_divergence_is_exact_if_one_component_is_unreachable():
    """Check that an unreachable component adds log (1 / 0.9), because only the other weights count."""
    distant = Mixture([0.45, 0.45, 0.1], [[0.0], [2.5], [1e200]], [1.0, 0.25, 1.0], FAMILIES["spherical"])
    near = Mixture([0.5, 0.5], [[0.0], [2.5]], [1.0, 0.25], FAMILIES["spherical"])
    lower, upper = near.kl_bounds(distant)
    assert lower < np.log(1 / 0.9) <= upper * (1 + 1e-12)
    assert near.kl_variational(distant) == pytest.approx(np.log(1 / 0.9), rel=1e-12)
    assert near.kl_divergence(distant, n_draws=1000).value == pytest.approx(np.log(1 / 0.9), rel=1e-12)


@pytest.mark.parametrize("distance", [0.5, 2.0, 6.0])
def test_bounds_of_entropy_and_kl_equal_the_formulas_of_the_papers(distance):
    """Compare two equal weights at distance δ: KL is δ²/2, Bhattacharyya δ²/8, and ∫ p_i p_j = e^(−δ²/4) / √(4π)."""
    p = Mixture([0.5, 0.5], [[0.0], [distance]], [1.0, 1.0], FAMILIES["spherical"])
    q = Mixture([1.0], [[0.0]], [1.0], FAMILIES["spherical"])
    own = 0.5 * np.log(2 * np.pi * np.e)
    lower, upper = (own + LOG_2 - np.log1p(np.exp(-(distance**2) / part)) for part in (8, 2))
    assert p.entropy_bounds() == pytest.approx((lower, upper), rel=1e-14)
    # −∫ p log q is at most own + δ²/4, and at least the mean of −log ∫ p_i q = log √(4π) + (0, δ²/4).
    crossed = own + distance**2 / 4, 0.5 * np.log(4 * np.pi) + distance**2 / 8
    durrieu = max(crossed[1] - upper, 0.0), crossed[0] - lower
    # With one component in q, the variational bound is Σ π_i KL(p_i ‖ q), a mean of 0 and δ²/2.
    variational = distance**2 / 4
    assert p.kl_bounds(q) == pytest.approx((durrieu[0], min(durrieu[1], variational)), rel=1e-13)
    assert p.kl_variational(q) == pytest.approx(crossed[0] - upper, rel=1e-13)


@pytest.mark.parametrize("distance", [1.0, 3.0, 10.0])
def test_upper_kl_bound_for_the_same_components_is_the_divergence_of_the_weights(distance):
    """Check section 8 of Hershey & Olsen (2007). The bound of Durrieu et al. (2012) is up to 18 times as large."""
    p, q = (Mixture([w, 1 - w], [[0.0], [distance]], [1.0, 1.0], FAMILIES["spherical"]) for w in (0.5, 0.6))
    of_weights = 0.5 * np.log(0.5 / 0.6) + 0.5 * np.log(0.5 / 0.4)
    upper = p.kl_bounds(q)[1]
    # The bound is found iteratively; the last step lowers it by a fraction of 1e-6.
    assert upper == pytest.approx(of_weights, rel=1e-4)
    assert upper >= p.kl_divergence(q, n_draws=1000).value


@pytest.mark.parametrize("name", ["spherical", "full"])
@pytest.mark.parametrize("distance", [1e3, 1e17, 1e300])
def test_divergences_keep_their_precision_far_from_the_origin(name, distance):
    """Check that results depend on parameters, not on rows, even if a deviation is below the spacing of float64."""
    family = FAMILIES[name]
    covariances = (np.reshape(variances, family.shape(2, 1)) for variances in ([1, 1], [4, 4]))
    one, two = (Mixture([0.5, 0.5], [[0.0], [distance]], each, family) for each in covariances)
    lower, upper = one.entropy_bounds()  # both are equal, because the components are separated
    entropy, kl = one.entropy(n_draws=10_000), one.kl_divergence(two, n_draws=10_000)
    assert lower - 5 * entropy.error <= entropy.value <= upper + 5 * entropy.error
    assert abs(kl.value - (LOG_2 + 1 / 8 - 1 / 2)) <= 5 * kl.error
    near = [Mixture([1.0], [[0.0]], [variance], FAMILIES["spherical"]) for variance in (1.0, 4.0)]
    expected, actual = near[0].js_divergence(near[1], n_draws=10_000), one.js_divergence(two, n_draws=10_000)
    assert abs(actual.value - expected.value) <= 5 * (actual.error + expected.error)
