"""Reduction to fewer components with the same moments: a simple version of Runnalls' algorithm, and general laws."""

import itertools

import numpy as np
import pytest
from common import EPS, dense, families, overlapping

from gaussmix import FAMILIES, Mixture, SingularCovarianceError
from gaussmix._src.mixture.compare.gaussians import Gaussians
from gaussmix._src.mixture.compare.reduction import _refined


def moments(weights, means, covariances):
    """Return weight, mean and covariance of all components together, about the mean."""
    weight = sum(weights)
    mean = sum(w * m for w, m in zip(weights, means, strict=True)) / weight
    spread = sum(w * (c + np.outer(m - mean, m - mean)) for w, m, c in zip(weights, means, covariances, strict=True))
    return weight, mean, spread / weight


def runnalls(mixture, n_components):
    """Run the paper's algorithm literally: each step compares all pairs again."""
    parts = list(zip(mixture.weights, mixture.means, dense(mixture), strict=True))

    def cost(pair):
        (w, _, a), (v, _, b) = (parts[k] for k in pair)
        joint = moments(*zip(*(parts[k] for k in pair), strict=True))[2]
        log_dets = [np.linalg.slogdet(matrix)[1] for matrix in (joint, a, b)]
        return ((w + v) * log_dets[0] - w * log_dets[1] - v * log_dets[2]) / 2

    while len(parts) > n_components:
        i, j = min(itertools.combinations(range(len(parts)), 2), key=cost)
        parts[i] = moments(*zip(parts[i], parts[j], strict=True))
        del parts[j]
    return parts


@families
def test_reduce_equals_runnalls_algorithm(family):
    mixture = overlapping("p", family, 12)
    reduced, expected = mixture.reduce(4), runnalls(mixture, 4)
    for weight, mean, covariance, (w, m, c) in zip(
        reduced.weights, reduced.means, reduced.covariances, expected, strict=True
    ):
        assert weight == pytest.approx(w, rel=1e-13)
        np.testing.assert_allclose(mean, m, rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(covariance, c, rtol=1e-11, atol=1e-12)


def test_refinement_of_reduce_leaves_no_component_empty():
    """Check that one part of the middle component stays, although both parts are nearer to other components."""
    means = np.array([[-4.0], [-3.0], [3.0], [4.0]])
    parts = Gaussians(np.full(4, 0.25), means, np.full((4, 1, 1), 4.0))
    merged = _refined(parts, np.array([0, 1, 1, 2]))
    np.testing.assert_allclose(np.sort(merged.weights), [0.25, 0.25, 0.5])


def test_reduce_from_three_to_two_components_equals_the_closed_form():
    """Check N(0, 1), N(2, 1), N(9, 1) of weight ¼, ¼, ½: merging the first two costs ¼ log 2, other pairs more."""
    mixture = Mixture([0.25, 0.25, 0.5], [[0.0], [2.0], [9.0]], np.ones(3), FAMILIES["spherical"])
    reduced = mixture.reduce(2)
    np.testing.assert_allclose(reduced.weights, [0.5, 0.5])
    np.testing.assert_allclose(reduced.means, [[1.0], [9.0]])
    np.testing.assert_allclose(reduced.covariances, [[[2.0]], [[1.0]]])
    assert mixture.kl_bounds(reduced)[0] <= 0.25 * np.log(2.0)


@families
@pytest.mark.parametrize("refine", [False, True])
@pytest.mark.parametrize("n_components", [1, 3, 11])
def test_reduce_conserves_mean_and_covariance(family, refine, n_components):
    mixture = overlapping("p", family, 12).with_feature_names(list("abc"))
    reduced = mixture.reduce(n_components, refine=refine)
    assert reduced.n_components == n_components
    assert reduced.feature_names == ("a", "b", "c")
    before = moments(mixture.weights, mixture.means, dense(mixture))
    after = moments(reduced.weights, reduced.means, reduced.covariances)
    assert after[0] == pytest.approx(1, rel=4 * EPS)
    size = np.abs(mixture.means).max() + np.sqrt(np.diagonal(before[2]))  # sums of 12 parts, rounded on both sides
    assert (np.abs(after[1] - before[1]) < 50 * EPS * size).all()
    assert (np.abs(after[2] - before[2]) < 50 * EPS * np.outer(size, size)).all()
    np.testing.assert_array_equal(reduced.covariances, reduced.covariances.swapaxes(1, 2))


def test_refinement_of_reduce_never_increases_the_divergence():
    """Check that refinement never increases `divergence`, and reduces it for some mixtures."""

    def divergence(merged):
        return merged.weights @ np.linalg.slogdet(merged.covariances)[1]

    gains = []
    for name in "pqrstu":
        mixture = overlapping(name, FAMILIES["full"], 40)
        gains.append(divergence(mixture.reduce(6)) - divergence(mixture.reduce(6, refine=True)))
    assert min(gains) >= -1e-12
    assert max(gains) > 0.01


@pytest.mark.parametrize("scale", [2.0**-450, 1e-9, 1e9, 2.0**450])
def test_reduce_does_not_depend_on_units(scale):
    mixture = overlapping("p", FAMILIES["full"], 12)
    units = np.array([scale, 1.0, 1.0 / scale])
    scaled = Mixture(
        mixture.weights, mixture.means * units, mixture.covariances * units[:, None] * units, FAMILIES["full"]
    )
    reduced, expected = scaled.reduce(4), mixture.reduce(4)
    np.testing.assert_allclose(reduced.weights, expected.weights, rtol=1e-13)
    np.testing.assert_allclose(reduced.means / units, expected.means, rtol=1e-9, atol=1e-12)


def test_reduce_removes_components_of_weight_0_first():
    mixture = Mixture(
        [0.0, 0.5, 0.0, 0.2, 0.3, 0.0], np.arange(6.0)[:, None], np.arange(1.0, 7.0), FAMILIES["spherical"]
    )
    for n_components, left in [(5, [0, 1, 2, 3, 4]), (4, [0, 1, 3, 4]), (3, [1, 3, 4])]:
        reduced = mixture.reduce(n_components)
        np.testing.assert_array_equal(reduced.means[:, 0], left)
        np.testing.assert_array_equal(reduced.covariances, mixture.covariances[left])
    without = Mixture([0.5, 0.2, 0.3], [[1.0], [3.0], [4.0]], [2.0, 4.0, 5.0], FAMILIES["spherical"])
    for reduced, expected in (mixture.reduce(2), without.reduce(2)), (mixture.reduce(1), without.reduce(1)):
        np.testing.assert_array_equal(reduced.covariances, expected.covariances)
    assert mixture.reduce(6) is mixture


def test_reduce_accepts_tiny_weights_and_equal_components():
    mixture = Mixture([1.0 - 1e-16, 1e-300, 5e-324], [[0.0], [1.0], [1.0]], np.ones(3), FAMILIES["spherical"])
    np.testing.assert_array_equal(mixture.reduce(1).covariances, [[[1.0]]])
    same = Mixture(np.full(50, 0.02), np.full((50, 2), 1e5), np.full(50, 3.0), FAMILIES["spherical"])
    np.testing.assert_allclose(same.reduce(1).covariances, 3 * np.eye(2)[None], rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("n_components", [0, -1, 13])
def test_reduce_rejects_n_components_out_of_range(n_components):
    with pytest.raises(ValueError, match=rf"n_components={n_components} must be an integer"):
        overlapping("p", FAMILIES["full"], 12).reduce(n_components)


@pytest.mark.parametrize("n_components", [2.0, True, "few", None])
def test_reduce_rejects_n_components_that_is_not_an_integer(n_components):
    with pytest.raises(TypeError, match="n_components must be an integer ≥ 1, not"):
        overlapping("p", FAMILIES["full"], 12).reduce(n_components)


def test_reduce_reports_the_component_with_a_singular_covariance():
    with pytest.raises(SingularCovarianceError, match="component 1"):
        Mixture([0.5, 0.5], np.zeros((2, 2)), [np.eye(2), np.ones((2, 2))], FAMILIES["full"]).reduce(1)


@pytest.mark.parametrize("distance", [1e9, 1e120])
def test_reduce_merges_close_components_and_rejects_merging_distant_ones(distance):
    means = np.array([[0.0, 0.0], [distance, distance], [1.0, 0.0], [distance * (1 + 1e-9), distance]])
    mixture = Mixture(np.full(4, 0.25), means, [1.0, distance**2 * 1e-18] * 2, FAMILIES["spherical"])
    np.testing.assert_allclose(mixture.reduce(2).means[:, 1], [0.0, distance])
    with pytest.raises(ValueError, match=r"n_components=1 is too small: .* so far apart .*The smallest"):
        mixture.reduce(1)


def test_reduce_keeps_components_whose_squared_distance_overflows():
    mixture = Mixture(np.full(3, 1 / 3), [[0.0], [1e160], [1.0]], np.ones(3), FAMILIES["spherical"])
    np.testing.assert_allclose(mixture.reduce(2).means, [[0.5], [1e160]])
    with pytest.raises(ValueError, match=r"float64 cannot .*\. The smallest possible n_components is 2\."):
        mixture.reduce(1)
