"""Transformed, blurred, multiplied and concatenated mixtures: closed forms in 50 digits, densities, and laws."""

import numpy as np
import pytest
from common import EPS, assert_close, dense, families, transformed
from exact_mixtures import DIGITS, components, deviations, doubles, rounding
from mpmath import mp

from gaussmix import FAMILIES, Mixture, SingularCovarianceError
from gaussmix.testing import PROBLEMS

NAMES = ("a", "b", "c")
PLAIN = ["full", "tied", "diag", "EEI", "spherical", "EII"]
SINGULAR = Mixture([1.0], np.zeros((1, 2)), np.ones((1, 2, 2)), FAMILIES["full"])
FLAT = Mixture([1.0], [[0.0]], [1.0], FAMILIES["spherical"])
POINT = Mixture([0.5, 0.5], [[0.0], [1.0]], [0.0, 1.0], FAMILIES["spherical"])
pairs = pytest.mark.parametrize(("first", "second"), [(f, s) for f in PLAIN for s in PLAIN])


@pytest.fixture
def mixture(family):
    """Return three components of 3 features, with names."""
    return Mixture._from_model(PROBLEMS["overlapping"].start(family)).with_feature_names(NAMES)


def shifted(name, offset=0.7):
    """Return a mixture of the same features whose rows are shifted by `offset`."""
    return Mixture._from_model(transformed(PROBLEMS["overlapping"], lambda rows: rows + offset).start(FAMILIES[name]))


def matrix(values):
    return mp.matrix(np.asarray(values, dtype=np.float64).tolist())


def assert_same(actual, expected, tolerance):
    """Check that both are the same mixture, although their structures may differ."""
    units = np.sqrt(np.diagonal(dense(expected), axis1=1, axis2=2))
    assert_close(actual.weights, expected.weights, tolerance, 1.0, "weights")
    means = actual.means / units
    assert_close(means, expected.means / units, tolerance, 1 + np.abs(means).max(), "means")
    scale = units[:, :, None] * units[:, None, :]
    assert_close(dense(actual) / scale, dense(expected) / scale, tolerance, 1.0, "covariances")


@families
@pytest.mark.parametrize("n_new", [1, 2, 3])
def test_transform_agrees_with_50_digits(mixture, family, n_new, rng):
    A, b = rng.normal(size=(n_new, 3)), rng.normal(size=n_new)
    actual, tolerance = mixture.transform(A, b), rounding(mixture)
    assert actual.feature_names is None
    assert actual.family.is_shared is family.is_shared
    size = np.abs(A) @ deviations(mixture).max(axis=0)
    with mp.workdps(DIGITS):
        for k, (_, mean, covariance) in enumerate(components(mixture)):
            moved, turned = matrix(A) * mean + matrix(b), matrix(A) * covariance * matrix(A).T
            assert_close(
                actual.means[k], doubles(moved)[:, 0], 16 * EPS, np.abs(A) @ np.abs(mixture.means[k]) + 1, "mean"
            )
            assert_close(dense(actual)[k], doubles(turned), tolerance, np.outer(size, size), "covariance")


@pytest.mark.parametrize("name", PLAIN)
def test_transform_that_scales_and_drops_features_keeps_the_structure(name):
    mixture = shifted(name)
    scaled, same = mixture.transform([[0, 0, -2.0], [3.0, 0, 0]]), mixture.transform([[0, 0, -2.0], [2.0, 0, 0]])
    general = {"spherical": "diag", "EII": "EEI"}.get(name, name)
    assert (scaled.family.name, same.family.name) == (general, name)
    selected = dense(mixture)[:, [2, 0]][:, :, [2, 0]]
    np.testing.assert_allclose(dense(scaled), selected * [[4.0, -6.0], [-6.0, 9.0]], rtol=64 * EPS)
    np.testing.assert_allclose(dense(same), selected * [[4.0, -4.0], [-4.0, 4.0]], rtol=64 * EPS)
    with pytest.raises(ValueError, match="The rows of A"):
        mixture.transform([[1.0, 0, 0], [2.0, 0, 0]])
    mixed = mixture.transform([[1.0, 1.0, 0.0]])
    assert mixed.family.name == ("tied" if mixture.family.is_shared else "full")


@families
@pytest.mark.parametrize("noise", [0.0, 0.3, [0.1, 0.0, 2.0], [[2.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]])
def test_convolve_adds_the_noise_to_the_covariances(mixture, family, noise):
    actual = mixture.convolve(noise)
    added = noise * np.eye(3) if np.ndim(noise) < 2 else np.array(noise)
    np.testing.assert_allclose(dense(actual), dense(mixture) + added, rtol=2 * EPS)
    np.testing.assert_array_equal(actual.means, mixture.means)
    assert actual.feature_names == NAMES
    assert actual.family.is_shared is family.is_shared
    if family.name in PLAIN[2:]:
        assert dense(actual).shape == (3, 3, 3)
        assert actual.family.kind.is_matrix is (np.ndim(noise) == 2)
    np.testing.assert_allclose(dense(mixture.convolve(added)), dense(actual), rtol=2 * EPS)


@pytest.mark.parametrize("unit", [1e-10, 1.0, 1e10])
def test_convolve_distinguishes_rounding_errors_from_negative_variances_in_all_units(unit, rng):
    roots = rng.normal(size=(20, 3, 1))
    singular = unit**2 * roots @ roots.swapaxes(1, 2)
    assert (np.linalg.eigvalsh(singular)[:, 0] < 0).any()  # rounding makes some eigenvalues negative
    mixture = shifted("full")
    for covariance in singular:
        np.testing.assert_allclose(dense(mixture.convolve(covariance)), dense(mixture) + covariance, rtol=2 * EPS)
    with pytest.raises(ValueError, match="covariance is not positive semidefinite"):
        mixture.convolve(unit**2 * np.array([[1.0, 1.01, 0.0], [1.01, 1.0, 0.0], [0.0, 0.0, 1.0]]))


def exact_product(one, other):
    """Compute weights, means and covariances of all pairs: eq. 2.113–2.117 of Bishop (2006) with precisions."""
    logs, means, covariances = [], [], []
    with mp.workdps(DIGITS):
        for weight, mean, first in components(one):
            for other_weight, centre, second in components(other):
                total, offset = first + second, centre - mean
                squared = (offset.T * mp.lu_solve(total, offset))[0]
                logs.append(mp.log(weight * other_weight) - (mp.log(mp.det(total)) + squared) / 2)
                covariance = mp.inverse(mp.inverse(first) + mp.inverse(second))
                means.append(doubles(covariance * (mp.lu_solve(first, mean) + mp.lu_solve(second, centre)))[:, 0])
                covariances.append(doubles(covariance))
        weights = [mp.exp(each - max(logs)) for each in logs]
        weights = np.array([float(each / mp.fsum(weights)) for each in weights])
    return Mixture(weights, np.array(means), np.array(covariances), FAMILIES["full"])


@pairs
def test_product_agrees_with_50_digits(first, second):
    one, other = shifted(first, 0.0), shifted(second)
    actual = one.product(other)
    tolerance = rounding(one) + rounding(other)
    assert_same(actual, exact_product(one, other), tolerance)
    if first == second:
        assert actual.family.name == first
    rows = PROBLEMS["overlapping"].rows[:10]
    ratio = one.log_density(rows) + other.log_density(rows) - actual.log_density(rows)
    assert_close(ratio, np.full(10, ratio.mean()), tolerance, 100.0, "log p + log q − log product")


@pytest.mark.parametrize("name", ["EII", "EEI", "tied"])
@pytest.mark.parametrize("single_family", ["full", "tied", "spherical", "EII"])
@pytest.mark.parametrize("is_first", [True, False])
def test_product_of_shared_covariances_and_a_single_component_is_exact(name, single_family, is_first):
    shared = shifted(name, 0.0)
    first = shifted(single_family)._model.take([0])
    alone = Mixture([1.0], first.means, first.covariances.array, first.family)
    one, other = (shared, alone) if is_first else (alone, shared)
    assert_same(one.product(other), exact_product(one, other), rounding(one) + rounding(other))


@pytest.mark.parametrize("name", ["full", "tied", "diag", "spherical"])
def test_product_and_gradient_ignore_a_distant_component_of_weight_0(name):
    """Check a component 1e310 deviations away, which is beyond the range of float64."""
    family = FAMILIES[name]
    covariances = 1e-20 * np.broadcast_to(np.eye(2) if family.kind.is_matrix else 1.0, family.shape(2, 2))
    mixture = Mixture([0.0, 1.0], [[1e300, 1e300], [0.0, 0.0]], covariances, family)
    product = mixture.product(mixture)
    np.testing.assert_array_equal(product.weights, [0.0, 0.0, 0.0, 1.0])
    np.testing.assert_allclose(product.means, np.outer([1e300, 5e299, 5e299, 0.0], [1, 1]), rtol=8 * EPS)
    np.testing.assert_allclose(mixture.gradient([[1e-10, 0.0]]), [[-1e10, 0.0]], rtol=8 * EPS)


def test_product_of_narrow_and_wide_components_keeps_its_precision():
    one = Mixture([1.0], [[1.0, 2.0]], [np.diag([1e-12, 1e-12])], FAMILIES["full"])
    other = Mixture([0.4, 0.6], np.zeros((2, 2)), 1e12 * np.array([np.eye(2), np.eye(2)]), FAMILIES["full"])
    actual = one.product(other)
    np.testing.assert_allclose(actual.covariances, 1e-12 * np.array(2 * [np.eye(2)]), rtol=16 * EPS)
    np.testing.assert_allclose(actual.means, [[1.0, 2.0]] * 2, rtol=4 * EPS)
    np.testing.assert_allclose(actual.weights, [0.4, 0.6], rtol=64 * EPS)


def test_product_accepts_weights_of_0_and_distant_single_components():
    one = Mixture([0.0, 1.0], [[0.0], [1.0]], [1.0, 1.0], FAMILIES["spherical"])
    assert one.product(one).weights.tolist() == [0.0, 0.0, 0.0, 1.0]
    alone = [Mixture([1.0], [[mean]], [1.0], FAMILIES["spherical"]) for mean in (0.0, 1e200)]
    assert alone[0].product(alone[1]).means.tolist() == [[5e199]]
    distant = one.transform([[1.0]], [1e5])
    with pytest.raises(ValueError, match=r"7.07e\+04 standard deviations apart"):
        one.product(distant)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["diag", "diag"], "diag"),
        (["tied", "tied"], "full"),
        (["EII", "spherical"], "spherical"),
        (["EEI", "spherical"], "diag"),
        (["VEE", "EII"], "full"),
    ],
)
def test_concatenate_gives_the_weighted_sum_of_densities(names, expected):
    mixtures = [shifted(name, size) for name, size in zip(names, (0.0, 1.0), strict=True)]
    actual = Mixture.concatenate(mixtures, [0.3, 0.7])
    assert actual.family.name == expected
    rows = PROBLEMS["overlapping"].rows[:20]
    density = 0.3 * np.exp(mixtures[0].log_density(rows)) + 0.7 * np.exp(mixtures[1].log_density(rows))
    np.testing.assert_allclose(actual.log_density(rows), np.log(density), rtol=1e-12)
    np.testing.assert_array_equal(dense(actual), np.concatenate([dense(m) for m in mixtures]))


@families
def test_concatenating_a_mixture_with_itself_keeps_its_density(mixture, family, rng):
    twice = Mixture.concatenate((mixture for _ in range(2)), [0.25, 0.75])
    assert twice.family.is_shared is family.is_shared
    assert twice.feature_names == NAMES
    rows = rng.normal(size=(10, 3))
    np.testing.assert_allclose(twice.log_density(rows), mixture.log_density(rows), rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: m.transform([[1.0, 2.0]]), ValueError, r"A must have shape \(n_new_features, 3\), not \(1, 2\)"),
        (lambda m: m.transform([1.0, 2.0, 0.0]), ValueError, r"A must have 2 axes, but has shape \(3,\)"),
        (lambda m: m.transform(np.eye(3), [1.0]), ValueError, r"b must have shape \(3,\), not \(1,\)"),
        (lambda m: m.transform(np.eye(3), "x"), TypeError, "b must be real numbers"),
        (lambda m: m.transform([[1.0, np.nan, 0.0]]), ValueError, "A contains NaN"),
        (lambda m: m.transform([[1.0, 2.0, 0.0], [2.0, 4.0, 0.0]]), ValueError, "The rows of A, 2 for"),
        (lambda m: m.transform(np.ones((4, 3)) + np.eye(4, 3)), ValueError, "The rows of A, 4 for 3 features, are"),
        (lambda m: m.transform(np.zeros((1, 3))), ValueError, "The rows of A"),
        (lambda m: m.transform(np.empty((0, 3))), ValueError, "A must have shape"),
        (lambda m: SINGULAR.transform([[1.0, 1.0]]), SingularCovarianceError, "component 0"),
        (lambda m: m.convolve(-1.0), ValueError, "covariance is not positive"),
        (lambda m: m.convolve([[1, 2, 0], [2, 1, 0], [0, 0, 1]]), ValueError, "covariance is not positive"),
        (lambda m: m.convolve([[1, 2, 0], [0, 1, 0], [0, 0, 1]]), ValueError, "covariance is not symmetric"),
        (lambda m: m.convolve(np.eye(2)), ValueError, r"covariance must be a number, or of shape \(3,\) or \(3, 3\)"),
        (lambda m: m.convolve(np.inf), ValueError, "covariance contains NaN or infinity"),
        (lambda m: m.convolve("1"), TypeError, "covariance must be real numbers"),
        (lambda m: m.product(m.marginal([0, 1])), ValueError, "have 2 and 3 features. They need the same"),
        (lambda m: SINGULAR.product(SINGULAR), SingularCovarianceError, "component 0"),
        (lambda m: POINT.product(POINT), SingularCovarianceError, "component 0"),
        (lambda m: m.transform(1e154 * np.eye(3)).convolve(1.7e308), ValueError, "`covariance` are beyond the"),
        (lambda m: m.transform(1e160 * np.eye(3)), ValueError, "A x \\+ b is beyond the range of float64: rescale A"),
        (lambda m: m.transform(1e-170 * np.eye(3)), ValueError, "beyond the range of float64"),
        (lambda m: FLAT.transform([[1e200]]), ValueError, "beyond the range of float64"),
        (lambda m: m.transform(np.eye(3), [1.7e308] * 3).transform(2 * np.eye(3)), ValueError, "beyond the range"),
        (lambda m: Mixture.concatenate([], []), ValueError, "at least one mixture"),
        (lambda m: Mixture.concatenate(3.5, [1.0]), TypeError, r"A mixture is needed, not 3\.5\."),
        (lambda m: Mixture.concatenate([m, m], [1.0]), ValueError, "one number for each of 2 mixtures, not 1"),
        (lambda m: Mixture.concatenate([m, m], [1.5, -0.5]), ValueError, "≥ 0 and sum to 1, not .1.5, -0.5."),
        (lambda m: Mixture.concatenate([m, FLAT], [0.5, 0.5]), ValueError, "have 1 and 3 features"),
    ],
)
def test_invalid_combinations_are_rejected(call, error, message):
    mixture = shifted("full").with_feature_names(NAMES)
    with pytest.raises(error, match=message):
        call(mixture)
