"""Marginal and conditional distributions agree with 50 digits, and have properties that hold for every structure."""

import numpy as np
import pytest
from common import EPS, assert_close, families
from exact_mixtures import conditional, deviations, rounding

from gaussmix import FAMILIES, Mixture, SingularCovarianceError
from gaussmix._src.interfaces.parameters import MAX_REGULAR_DISTANCE
from gaussmix.testing import PROBLEMS

NAMES = tuple("abcdefghi")
# Marginals and conditionals of these structures have the same structure; other structures become unconstrained.
CLOSED_STRUCTURES = ["full", "tied", "diag", "EEI", "spherical", "EII"]


@pytest.fixture
def mixture(family):
    """Return two components of 9 features, with names."""
    return Mixture._from_model(PROBLEMS["wide"].start(family)).with_feature_names(NAMES)


def ill_conditioned(correlation):
    """Return two components whose four features differ by 1 − correlation of their variance."""
    block = np.full((4, 4), correlation) + (1 - correlation) * np.eye(4)
    units = np.outer(*2 * [np.geomspace(1e-3, 1e3, 4)])
    means = np.array([np.zeros(4), np.sqrt(np.diag(units))])
    return Mixture([0.3, 0.7], means, np.array([block * units, 2 * block[::-1, ::-1] * units]), FAMILIES["full"])


def assert_exact(mixture, rows, known):
    """Check that all conditional results of rows with known features agree with 50 digits."""
    unknown = np.delete(np.arange(mixture.n_features), known)
    units, tolerance = deviations(mixture)[:, unknown].max(axis=0), rounding(mixture)
    assert tolerance < 0.1, "the case tests nothing"
    mean, covariance, conditional_weights = (
        getattr(mixture, f"conditional_{quantity}")(rows, known) for quantity in ("mean", "covariance", "weights")
    )
    for i, row in enumerate(rows):
        weights, means, covariances, squared = conditional(mixture, row, known)
        one = mixture.condition(dict(zip(known, row, strict=True)))
        reach = 1 + np.sqrt(squared) + np.abs(means / units).max()
        for actual, quantity in ((conditional_weights[i], "conditional_weights"), (one.weights, "condition: weights")):
            assert_close(actual, weights, tolerance, 1 + squared, quantity)
        assert_close(one.means, means, tolerance, reach * units, "condition: means")
        dense = one._model.covariances.dense()
        assert_close(dense, covariances, tolerance, np.outer(units, units), "condition: covariances")
        whole = weights @ means
        assert_close(mean[i], whole, tolerance * (1 + squared), reach * units, "conditional_mean")
        spread = np.einsum("k,kij->ij", weights, covariances)
        spread += np.einsum("k,ki,kj->ij", weights, means - whole, means - whole)
        assert_close(covariance[i], spread, tolerance * (1 + squared), reach**2 * np.outer(units, units), "covariance")


@families
@pytest.mark.parametrize("problem", ["wide", "unlike units", "far from 0", "overlapping"])
def test_conditional_distributions_agree_with_50_digits(family, problem, rng):
    mixture = Mixture._from_model(PROBLEMS[problem].start(family))
    known = rng.permutation(mixture.n_features)[: mixture.n_features // 2 + 1]
    known = known[: mixture.n_features - 1].tolist()
    rows = PROBLEMS[problem].rows[:4][:, known]
    assert_exact(mixture, np.vstack([rows, mixture.means[0, known]]), known)


@pytest.mark.parametrize("gap", [1e-4, 1e-8, 1e-11])
def test_conditionals_of_nearly_singular_covariances_agree_up_to_conditioning(gap):
    mixture = ill_conditioned(1 - gap)
    assert_exact(mixture, np.array([[0.0, 0.0], [1e-3, 0.1], [5e-4, 0.05]]), [0, 1])
    assert_exact(mixture, np.array([[0.0], [2000.0]]), [3])


def test_condition_rejects_singular_covariances():
    matrices = np.array([np.eye(3), np.ones((3, 3))])
    mixture = Mixture([0.5, 0.5], np.zeros((2, 3)), matrices, FAMILIES["full"])
    with pytest.raises(SingularCovarianceError, match="component 1"):
        mixture.condition({0: 1.0})


@pytest.mark.parametrize("distance", [1e3, 1e6, 1e9, 1e150])
def test_conditional_weights_of_a_distant_row_are_exact(distance):
    """Check a distant row, whose weights depend on differences smaller than ε times its squared distance."""
    covariances = np.array([[[1.0, 0.3], [0.3, 1.0]], [[1.0, 0.3], [0.3, 2.0]], [[0.5, 0.0], [0.0, 1.0]]])
    mixture = Mixture([0.2, 0.3, 0.5], [[0.0, 0.0], [1 / distance, 1.0], [0.0, 0.0]], covariances, FAMILIES["full"])
    weights = conditional(mixture, [distance], [0], digits=350)[0]
    assert 0.1 < weights[0] < 0.9
    actual = mixture.conditional_weights([[distance], [-distance]], [0])
    # At smaller distances, engines subtract squared distances.
    tolerance = 64 * EPS if distance > MAX_REGULAR_DISTANCE else 4 * EPS * distance**2
    np.testing.assert_allclose(actual[0], weights, rtol=0, atol=tolerance)
    np.testing.assert_allclose(actual.sum(axis=1), 1.0, rtol=0, atol=4 * EPS)
    np.testing.assert_array_equal(mixture.condition({0: distance}).weights, actual[0])


def test_conditionals_that_overflow_float64_are_rejected(rng):
    steep = Mixture([1.0], [[0.0, 0.0]], [[[1.0, 1e5], [1e5, 2e10]]], FAMILIES["full"])
    rows = [[0.0], [1e305]]
    for call in (steep.conditional_mean, steep.conditional_covariance):
        with pytest.raises(ValueError, match="Row 1 is so far from the means"):
            call(rows, [0])
    with pytest.raises(ValueError, match="Row 1 is so far from the means"):
        steep.sample_conditional(rows, [0], rng)
    with pytest.raises(ValueError, match="These values are so far from the means"):
        steep.condition({0: 1e305})


def test_conditional_mean_is_exact_for_distant_components():
    """Check components whose distance to a common centre, 1e9 standard deviations, would leave only 7 digits."""
    covariances = np.array([[[1.0, 0.4], [0.4, 1.0]], [[1.0, -0.4], [-0.4, 1.0]]])
    mixture = Mixture([0.5, 0.5], [[0.0, 0.0], [1e9, 1.0]], covariances, FAMILIES["full"])
    np.testing.assert_allclose(mixture.conditional_mean([[0.3]], [0]), [[0.12]], rtol=4 * EPS)


@families
def test_marginal_selects_means_and_covariances(mixture, family):
    indices = [4, 0, 7]
    marginal = mixture.marginal(indices)
    dense, part = (m._model.covariances.dense() for m in (mixture, marginal))
    np.testing.assert_array_equal(part, dense[:, indices][:, :, indices])
    np.testing.assert_array_equal(marginal.means, mixture.means[:, indices])
    np.testing.assert_array_equal(marginal.weights, mixture.weights)
    assert marginal.feature_names == mixture.marginal(["e", "a", "h"]).feature_names == ("e", "a", "h")
    assert mixture.marginal("i").feature_names == ("i",)
    if family.name in CLOSED_STRUCTURES:
        assert marginal.family is mixture.condition({2: 0.0}).family is family


@families
def test_joint_density_is_marginal_times_conditional(mixture, rng):
    known, unknown = [3, 0, 8], [1, 2, 4, 5, 6, 7]
    row = mixture.sample(1, rng)[0]
    conditional = mixture.condition({j: row[0, j] for j in known})
    both = mixture.marginal(known).log_density(row[:, known]) + conditional.log_density(row[:, unknown])
    assert_close(both, mixture.log_density(row), rounding(mixture), 100.0, "log p(x) + log p(u | x)")
    assert conditional.feature_names == tuple(NAMES[j] for j in unknown)


@families
def test_conditionals_of_many_rows_equal_those_of_single_rows(mixture, monkeypatch, rng):
    for name, size in {"MAX_ROWS_PER_CALL": 17, "MIN_PRODUCT_ROWS": 1, "MAX_VALUES_AT_ONCE": 100}.items():
        monkeypatch.setattr(f"gaussmix._src.mixture.parts.expectations.{name}", size)
    known, rows = ["c", "a", "i"], rng.normal(size=(40, 3))
    mean, covariance, weights = (
        getattr(mixture, f"conditional_{quantity}")(rows, known) for quantity in ("mean", "covariance", "weights")
    )
    for i, row in enumerate(rows):
        one = mixture.condition(dict(zip(known, row, strict=True)))
        tolerance = 64 * rounding(mixture)
        assert_close(weights[i], one.weights, tolerance, 1.0, "weights")
        assert_close(mean[i], one.weights @ one.means, tolerance, np.abs(one.means).max(), "mean")
        np.testing.assert_array_equal(covariance[i], covariance[i].T)
        assert (np.linalg.eigvalsh(covariance[i]) > 0).all()


@families
def test_sample_conditional_has_the_conditional_mean_and_covariance(mixture, rng):
    """Check that draws have the conditional mean and covariance within 6 standard errors."""
    known, n_rows = [1, 5, 6], 20_000
    row = mixture.means[0, known] + 0.5
    drawn = mixture.sample_conditional(np.tile(row, (n_rows, 1)), known, rng)
    mean, covariance = mixture.conditional_mean([row], known)[0], mixture.conditional_covariance([row], known)[0]
    error = 6 * np.sqrt(np.diag(covariance) / n_rows)
    assert (np.abs(drawn.mean(axis=0) - mean) < error).all()
    units = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    assert (np.abs(np.cov(drawn.T) - covariance) < 6 * units * np.sqrt(3 / n_rows)).all()


def test_sample_conditional_draws_components_by_their_conditional_weights(rng):
    """Check each weight within 6 standard errors, because the known feature does not change the weights."""
    mixture = Mixture([0.25, 0.0, 0.75], [[0.0, -9.0], [0.0, 0.0], [0.0, 9.0]], 0.1 * np.ones(3), FAMILIES["spherical"])
    drawn = mixture.sample_conditional(np.zeros((40_000, 1)), [0], rng)[:, 0]
    assert (np.abs(drawn) > 5).all()
    assert abs((drawn < 0).mean() - 0.25) < 6 * np.sqrt(0.25 * 0.75 / 40_000)


def test_sample_conditional_is_repeatable(rng):
    mixture = Mixture._from_model(PROBLEMS["wide"].start(FAMILIES["full"]))
    rows = rng.normal(size=(50, 2))
    drawn = mixture.sample_conditional(rows, [0, 1], np.random.default_rng(1))
    first = mixture.sample_conditional(rows[:20], [0, 1], np.random.default_rng(1))
    np.testing.assert_array_equal(drawn[:20], first)


def test_conditionals_accept_weights_of_0_and_single_components():
    covariances = np.array([[[1.0, 0.5], [0.5, 1.0]], [[2.0, 0.0], [0.0, 1.0]]])
    mixture = Mixture([0.0, 1.0], [[5.0, 5.0], [0.0, 1.0]], covariances, FAMILIES["full"])
    np.testing.assert_array_equal(mixture.conditional_weights([[5.0], [1e200]], [0]), [[0.0, 1.0]] * 2)
    np.testing.assert_array_equal(mixture.conditional_mean([[5.0]], [0]), [[1.0]])
    assert mixture.condition({0: 5.0}).weights.tolist() == [0.0, 1.0]
    alone = Mixture([1.0], [[0.0, 1.0]], covariances[:1], FAMILIES["full"])
    np.testing.assert_allclose(alone.conditional_mean([[2.0]], 0), [[2.0]], rtol=4 * EPS)
    assert alone.conditional_covariance(np.empty((0, 1)), [0]).shape == (0, 1, 1)


def test_conditional_mean_accepts_float32_and_integers(rng):
    mixture = Mixture._from_model(PROBLEMS["wide"].start(FAMILIES["full"]))
    rows = rng.integers(-3, 3, size=(5, 2))
    expected = mixture.conditional_mean(rows.astype(np.float64), [2, 3])
    for dtype in (np.float32, np.int64):
        actual = mixture.conditional_mean(rows.astype(dtype), [2, 3])
        assert actual.dtype == np.float64
        np.testing.assert_allclose(actual, expected, rtol=1e-12)


def test_condition_keeps_names_from_with_feature_names():
    mixture = Mixture._from_model(PROBLEMS["wide"].start(FAMILIES["full"]))
    assert mixture.condition({0: 1.0}).feature_names is None
    assert mixture.with_feature_names(NAMES).condition({"a": 1.0}).feature_names == NAMES[1:]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: m.condition({"bb": 1.0}), ValueError, "Did you mean 'b'"),
        (lambda m: m.condition(dict.fromkeys(range(9), 1.0)), ValueError, "All features are known"),
        (lambda m: m.condition({}), ValueError, "No feature is known"),
        (lambda m: m.condition({0: "1"}), TypeError, "The value of feature 0 must be a number, not '1'"),
        (lambda m: m.condition({"a": [1.0]}), TypeError, "feature 'a' must be a number"),
        (lambda m: m.condition({"a": np.nan}), ValueError, "feature 'a' is nan: pass a finite number or omit"),
        (lambda m: m.condition([1.0]), TypeError, "needs a dictionary"),
        (lambda m: m.marginal([]), ValueError, "at least one feature"),
        (lambda m: m.conditional_mean([[1.0]], [0, 1]), ValueError, r"X_known must have shape \(n_rows, 2\), not"),
        (lambda m: m.conditional_mean([[np.inf]], [0]), ValueError, "X_known contains infinity: row 0, column 0"),
        (lambda m: m.conditional_weights([["x"]], [0]), TypeError, "X_known must be real numbers"),
        (lambda m: m.conditional_covariance([[1.0]], range(9)), ValueError, "All features are known"),
    ],
)
def test_invalid_conditions_and_marginals_are_rejected(call, error, message):
    mixture = Mixture._from_model(PROBLEMS["wide"].start(FAMILIES["full"])).with_feature_names(NAMES)
    with pytest.raises(error, match=message):
        call(mixture)
