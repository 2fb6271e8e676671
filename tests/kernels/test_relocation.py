"""Tests of relocations, which correct misplaced centres of k-means."""

import numpy as np
import pytest
from common import assert_same_bits
from sklearn.cluster import KMeans

from gaussmix import GaussianMixture

LIMITS = 1e-12, 100, np.inf, 1  # tolerance, number of passes, seconds and threads


def relocated(target, rows, centres, weight=None):
    """Return the centres after relocations."""
    centres = np.array(centres)
    target.relocate_centres(rows, np.ones(len(rows)) if weight is None else weight, centres, *LIMITS)
    return centres


def sum_of_squares(rows, centres):
    return ((rows[:, None] - centres) ** 2).sum(axis=2).min(axis=1).sum()


def clusters(rng, n_features):
    """Return rows of six clusters at corners of a cube, their labels, and the means of the clusters."""
    labels = rng.integers(6, size=1_500)
    axes = np.linalg.qr(rng.normal(size=(n_features, 3)))[0]
    corners = 12 * np.indices((2, 2, 2)).reshape(3, 8).T
    rows = corners[labels] @ axes.T + rng.normal(50, 1, size=(1_500, n_features))
    return rows, labels, np.array([rows[labels == k].mean(axis=0) for k in range(6)])


def misplaced(rows, labels, means, pairs):
    """For each (a, b, c), merge the clusters a and b, and give cluster c the second centre."""
    centres = means.copy()
    for one, other, divided in pairs:
        centres[one] = rows[(labels == one) | (labels == other)].mean(axis=0)
        upper = rows[:, 0] > means[divided, 0]
        for k, is_half in ((divided, upper), (other, ~upper)):
            centres[k] = rows[(labels == divided) & is_half].mean(axis=0)
    return centres


@pytest.mark.parametrize("pairs", [[(0, 1, 2)], [(4, 0, 5)], [(0, 1, 2), (3, 4, 5)]])
@pytest.mark.parametrize("n_features", [3, 10, 60])
def test_misplaced_centres_move_to_the_clusters_without_a_centre(target, rng, n_features, pairs):
    rows, labels, means = clusters(rng, n_features)
    start = misplaced(rows, labels, means, pairs)
    stuck = KMeans(6, init=start, n_init=1, tol=0).fit(rows)  # k-means does not correct the centres
    best = KMeans(6, init=means, n_init=1, tol=0).fit(rows)
    assert stuck.inertia_ > 1.1 * best.inertia_
    found = relocated(target, rows, stuck.cluster_centers_)
    assert sum_of_squares(rows, found) == pytest.approx(best.inertia_, rel=1e-12)


def test_relocated_centres_are_weighted_means_and_do_not_depend_on_units(target, rng):
    rows, labels, means = clusters(rng, 4)
    start = misplaced(rows, labels, means, [(0, 1, 2)])
    weight = rng.integers(1, 4, size=len(rows)).astype(float)
    found = relocated(target, rows, start, weight)
    assert not np.array_equal(found, start)
    np.testing.assert_array_equal(relocated(target, rows, start, 8 * weight), found)
    np.testing.assert_array_equal(relocated(target, 2.0**300 * rows, 2.0**300 * start, weight), 2.0**300 * found)
    nearest = ((rows[:, None] - found) ** 2).sum(axis=2).argmin(axis=1)
    expected = [np.average(rows[nearest == k], axis=0, weights=weight[nearest == k]) for k in range(6)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_centres_stay_if_no_cluster_has_a_gap(target, rng):
    """Check a normal distribution, and a long or small cluster whose division would lower the sum of squares."""
    normal, (small, long) = rng.normal(size=(1_000, 5)), ((30, [10] * 100), (900, [30] + [1] * 99))
    near = rng.normal(size=(600, 100)) + np.repeat([np.full(100, 8.0), np.full(100, 8.4)], 300, axis=0)
    tables = [np.concatenate([rng.normal(size=(n_rows, 100)) * scale, near]) for n_rows, scale in (small, long)]
    for rows, start in [(normal, normal[:8]), *((rows, rows[[0, -301, -1]]) for rows in tables)]:
        centres = KMeans(len(start), init=start, n_init=1).fit(rows).cluster_centers_
        np.testing.assert_array_equal(relocated(target, rows, centres), centres)


def test_relocate_centres_moves_no_centre_if_there_is_no_time(target, rng):
    rows, labels, means = clusters(rng, 4)
    start = misplaced(rows, labels, means, [(0, 1, 2)])
    centres = start.copy()
    target.relocate_centres(rows, np.ones(len(rows)), centres, 1e-12, 100, 0.0, 2)
    np.testing.assert_array_equal(centres, start)


def test_relocate_centres_checks_shapes(target):
    rows, centres = np.zeros((9, 2)), np.zeros((3, 2))
    with pytest.raises(ValueError, match="row_weight must have shape"):
        target.relocate_centres(rows, np.ones(8), centres, *LIMITS)
    with pytest.raises(ValueError, match="centres must have shape"):
        target.relocate_centres(rows, np.ones(9), np.zeros((3, 3)), *LIMITS)


@pytest.mark.parametrize("structure", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("n_features", [25, 60])
def test_default_fits_find_separate_clusters_with_many_features(rng, structure, n_features):
    """Check tables in which k-means merges clusters, and in which the search's limit on work permits few moves."""
    for _ in range(4):
        labels = rng.integers(15, size=3_000)
        rows = 2 * rng.normal(size=(15, n_features))[labels] + rng.normal(size=(3_000, n_features))
        found = GaussianMixture(15, covariance_type=structure, random_state=0).fit(rows)
        expected = GaussianMixture(15, covariance_type=structure, init_params=labels).fit(rows)
        assert found.lower_bound_ > expected.lower_bound_ - 1e-6
        in_python = GaussianMixture(15, covariance_type=structure, random_state=0, max_time=1e6).fit(rows)
        assert_same_bits(in_python.means_, found.means_, "means")
