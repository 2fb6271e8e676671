"""Orders of components that do not depend on their initial order."""

import itertools

import numpy as np
import pytest
from common import families, groups, overlapping

from gaussmix import FAMILIES, GaussianMixture, Mixture

PEOPLE = Mixture(
    [0.2, 0.5, 0.3], [[3.0, 1.0], [2.0, 9.0], [2.0, 5.0]], [1.0, 0.5, 4.0], FAMILIES["spherical"], ["height", "weight"]
)


def reordered(mixture, order):
    """Return the same distribution with its components in another order."""
    shared = mixture.family.is_shared
    covariances = mixture.covariances if shared else mixture.covariances[order]
    return Mixture(mixture.weights[order], mixture.means[order], covariances, mixture.family, mixture.feature_names)


def assert_same(mixture, other):
    for name in ("weights", "means", "covariances"):
        np.testing.assert_array_equal(getattr(mixture, name), getattr(other, name))
    assert (mixture.family, mixture.feature_names) == (other.family, other.feature_names)


@pytest.mark.parametrize(
    ("by", "feature", "order"),
    [
        ("weight", None, [1, 2, 0]),
        ("mean", None, [2, 1, 0]),  # at 2, the component with the smaller second mean comes first
        ("mean", "weight", [0, 2, 1]),
        ("mean", 0, [2, 1, 0]),
        ("size", None, [2, 0, 1]),
    ],
)
def test_sorted_orders_components_by_weight_mean_or_size(by, feature, order):
    assert_same(PEOPLE.sorted(by, feature=feature), reordered(PEOPLE, order))
    assert_same(PEOPLE.sorted(by, feature=feature, reverse=True), reordered(PEOPLE, order[::-1]))


@families
@pytest.mark.parametrize("by", ["weight", "mean", "size"])
def test_sorted_does_not_depend_on_the_initial_order(family, by, rng):
    mixture = overlapping("p", family, 4)
    expected = mixture.sorted(by)
    for order in itertools.permutations(range(4)):
        assert_same(reordered(mixture, np.array(order)).sorted(by), expected)
    rows = rng.normal(size=(20, 3))
    np.testing.assert_allclose(expected.log_density(rows), mixture.log_density(rows), rtol=1e-13)


@pytest.mark.parametrize("unit", [1.0, 3.0, 0.1])
@pytest.mark.parametrize("name", ["EVI", "EEV"])
def test_sorted_by_size_breaks_ties_by_means(name, unit, rng):
    axes, matrices = rng.normal(size=(5, 3)), rng.normal(size=(5, 3, 3))
    variances = np.exp(axes - axes.mean(axis=1, keepdims=True))
    turns = np.linalg.qr(matrices)[0]
    covariances = variances if name == "EVI" else np.einsum("kij,j,klj->kil", turns, variances[0], turns)
    means = unit * rng.normal(size=(5, 3))
    ordered = Mixture(np.full(5, 0.2), means, unit**2 * covariances, FAMILIES[name]).sorted("size")
    np.testing.assert_array_equal(ordered.means, means[np.lexsort(means.T[::-1])])


def test_sorted_breaks_ties_by_covariances():
    mixture = Mixture(np.full(3, 1 / 3), np.zeros((3, 1)), [2.0, 3.0, 1.0], FAMILIES["spherical"])
    for order in itertools.permutations(range(3)):
        np.testing.assert_array_equal(reordered(mixture, np.array(order)).sorted().covariances, [1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"by": "wieght"}, ValueError, "by='wieght' is not one of 'weight', 'mean', 'size'. Did you mean 'weight'"),
        ({"by": "mean", "feature": "hight"}, ValueError, "Did you mean 'height'"),
        ({"by": "size", "feature": "height"}, ValueError, "feature='height' requires by='mean', but by='size'"),
        ({"by": "mean", "feature": 1.5}, TypeError, "index or the name"),
        ({"by": "mean", "feature": ["height", "weight"]}, TypeError, "one feature"),
    ],
)
def test_sorted_rejects_invalid_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        PEOPLE.sorted(**arguments)


@families
def test_match_to_restores_the_order_of_permuted_components(family):
    mixture = overlapping("p", family, 4)
    for order in itertools.permutations(range(4)):
        assert_same(reordered(mixture, np.array(order)).match_to(mixture), mixture)


@pytest.mark.parametrize("name", ["q", "r", "s", "t", "u", "v"])
def test_match_to_minimises_the_divergence_over_all_orders(name):
    """Compare with the best of all orders according to the explicit divergence of labelled distributions."""
    reference, mixture = overlapping("p", FAMILIES["full"], 4), overlapping(name, FAMILIES["full"], 4)
    weights = np.array([0.05, 0.6, 0.25, 0.1])  # weights that influence the result
    reference = Mixture(weights, reference.means, reference.covariances, reference.family)
    mixture = Mixture(weights[::-1], 0.3 * mixture.means, mixture.covariances, mixture.family)

    def one(values, k):
        return Mixture([1.0], values.means[[k]], values.covariances[[k]], values.family)

    def divergence(order):
        return sum(
            w * (np.log(w / mixture.weights[j]) + one(reference, i).kl_divergence(one(mixture, j)).value)
            for i, (w, j) in enumerate(zip(reference.weights, order, strict=True))
        )

    best = min(itertools.permutations(range(4)), key=divergence)
    assert_same(mixture.match_to(reference), reordered(mixture, np.array(best)))
    assert divergence(best) > reference.kl_divergence(mixture).value  # the inequality of Do (2003)


def test_match_to_aligns_the_labels_of_fits_from_different_seeds():
    """Check two fits of the same three clusters, from different seeds."""
    rows = groups("p", 600, 2, 3, distance=8.0, mislabelled=0.0)
    fits = [GaussianMixture(3, random_state=seed).fit(rows.rows).mixture_ for seed in range(6)]
    labels = [fit.match_to(fits[0]).predict(rows.rows) for fit in fits]
    assert any((fit.predict(rows.rows) != labels[0]).any() for fit in fits)
    for aligned in labels[1:]:
        np.testing.assert_array_equal(aligned, labels[0])


def test_match_to_does_not_depend_on_units():
    reference, mixture = overlapping("p", FAMILIES["full"], 4), overlapping("q", FAMILIES["full"], 4)
    scale = np.array([1e-8, 1.0, 1e8])

    def scaled(m):
        return Mixture(m.weights, m.means * scale, m.covariances * scale[:, None] * scale, m.family)

    np.testing.assert_allclose(
        scaled(mixture).match_to(scaled(reference)).means, mixture.match_to(reference).means * scale, rtol=1e-15
    )


def test_match_to_sorts_unmatched_components_by_weight():
    reference = Mixture([0.5, 0.5], [[100.0], [0.0]], [1.0, 1.0], FAMILIES["spherical"])
    mixture = Mixture(
        [0.1, 0.0, 0.3, 0.2, 0.4], [[50.0], [100.0], [0.1], [60.0], [99.0]], np.ones(5), FAMILIES["spherical"]
    )
    assert_same(mixture.match_to(reference), reordered(mixture, [4, 2, 3, 0, 1]))
    with pytest.raises(ValueError, match="The reference has 5 components, but this mixture has only 2"):
        reference.match_to(mixture)


def test_match_to_matches_components_of_weight_0_last():
    reference = Mixture([0.0, 1.0], [[5.0], [0.0]], [1.0, 1.0], FAMILIES["spherical"])
    mixture = Mixture([1.0, 0.0], [[0.2], [4.0]], [1.0, 1.0], FAMILIES["spherical"])
    assert_same(mixture.match_to(reference), reordered(mixture, [1, 0]))
    distant = Mixture([0.5, 0.5], [[1e200], [0.0]], [1.0, 1.0], FAMILIES["spherical"])
    assert_same(reordered(distant, [1, 0]).match_to(distant), distant)


def test_sorted_and_match_to_keep_a_single_component():
    alone = Mixture([1.0], [[0.0]], [1.0], FAMILIES["spherical"])
    assert_same(alone.sorted(), alone)
    assert_same(alone.match_to(alone), alone)


def test_match_to_distinguishes_equal_components_by_weight():
    reference = Mixture([0.3, 0.7], [[0.0], [0.0]], [1.0, 1.0], FAMILIES["spherical"])
    assert_same(reordered(reference, [1, 0]).match_to(reference), reference)
