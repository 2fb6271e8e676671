"""Tests of extreme outliers: each distinct outlier gets a component, and the rest is initialised without them."""

import numpy as np
import pytest
from common import LEAF_ROWS, STARTS, ArraySource, Block, InitialMoments, Objective, distinct_rows, load_start

from gaussmix import FAMILIES
from gaussmix._src.em.initialisation.outliers import find_outliers
from gaussmix._src.engines.incomplete import IncompleteEngine

AT_RANDOM = ["random", "random_from_data"]
RIDGE = 1e-3
EPS = np.finfo(np.float64).eps
# Distant rows, and the number of distinct positions among them.
DISTANT_ROWS = {
    "one": ([[1e6, 1e6]], 1),
    "one, in one feature": ([[0.0, -1e15]], 1),
    "two": ([[1e6, 0.0], [-1e15, 1e6]], 2),
    "near each other": ([[1e9, 3.0], [1e9, 5.0], [1e9 + 50, 1.0]], 1),
    "twice": ([[1e6, 1e6], [1e6, 1e6]], 1),
}


def inliers(rng, n_rows=90):
    return rng.normal(size=(n_rows, 2)) + 4.0 * rng.integers(3, size=(n_rows, 1))


def started(name, engine, rows, n_components, family="diag", weight=None):
    source = ArraySource(rows, weight)
    partition = load_start(name)(distinct_rows(source), engine, n_components, np.random.default_rng(7))
    return InitialMoments(source, engine, n_components, partition).model(FAMILIES[family], Objective(np.full(2, RIDGE)))


@pytest.mark.pairwise
@pytest.mark.parametrize("family", ["full", "tied", "diag", "spherical"])  # others let an outlier affect all components
@pytest.mark.parametrize("far", DISTANT_ROWS)
@pytest.mark.parametrize("name", AT_RANDOM)
def test_the_others_start_as_without(name, far, family, engine, rng):
    rows, (wild, n_places) = inliers(rng), DISTANT_ROWS[far]
    weight, order = rng.integers(1, 9, size=len(rows)), rng.permutation(len(rows) + len(wild))
    all_rows, all_weight = np.vstack([rows, wild])[order], np.append(weight, np.ones(len(wild)))[order]
    without = started(name, engine, rows, 4 - n_places, family, weight.astype(np.float64))
    mixture = started(name, engine, all_rows, 4, family, all_weight)
    tolerance = 8 * len(rows) * EPS  # rounding of sums whose terms are added in another order
    kept, share = 4 - n_places, weight.sum() / all_weight.sum()
    np.testing.assert_allclose(mixture.weights[:kept], without.weights * share, rtol=tolerance)
    np.testing.assert_allclose(mixture.means[:kept], without.means, atol=tolerance * np.abs(rows).max())
    atol = tolerance * np.abs(rows).max() ** 2
    if family != "tied":
        np.testing.assert_allclose(mixture.covariances.array[:kept], without.covariances.array, atol=atol)
    elif len(np.unique(wild, axis=0)) == n_places:  # unequal outliers in one component add scatter
        ridge = RIDGE * np.eye(2)
        np.testing.assert_allclose(
            mixture.covariances.array - ridge, (without.covariances.array - ridge) * share, atol=atol
        )


@pytest.mark.parametrize("name", AT_RANDOM)
def test_a_gross_row_twice_is_one_of_weight_2_wherever_it_stands(name, engine, rng):
    rows, counts = np.vstack([inliers(rng), [[1e6, 0.0], [0.0, -1e8]]]), rng.integers(0, 4, size=92)
    counts[-2:] = 2, 1
    repeated = rng.permutation(rows.repeat(counts, axis=0))
    expected = started(name, engine, rows, 5, weight=counts.astype(np.float64))
    tolerance = 8 * len(repeated) * EPS  # rounding of sums whose terms are added in another order
    for found in (started(name, engine, repeated, 5), started(name, engine, rows, 5, weight=counts / 8)):
        np.testing.assert_allclose(found.weights, expected.weights, rtol=tolerance)
        np.testing.assert_allclose(found.means, expected.means, rtol=tolerance, atol=tolerance * 20)


@pytest.mark.heavy(but=3)
@pytest.mark.parametrize("name", STARTS)
def test_a_row_beyond_the_sample_is_found(name, engine, rng):
    """Any distant row is found, because the row with the largest value of a feature is always in the sample."""
    numbers = np.arange(LEAF_ROWS + 10_000.0)[:, None]
    left_out = int(np.setdiff1d(numbers, ArraySource(numbers).sample(LEAF_ROWS).rows)[0])
    rows = inliers(rng, len(numbers))
    rows[left_out] = 1e15
    mixture = started(name, engine, rows, 3)
    alone = mixture.means[:, 0] == 1e15
    assert mixture.weights[alone] == pytest.approx([1 / len(rows)], rel=1e-12)
    assert np.abs(mixture.means[~alone]).max() < 20


@pytest.mark.parametrize("n_components", [0, 1, 2])
def test_places_are_at_most_as_many_as_are_asked_for(n_components, rng):
    rows = np.vstack([inliers(rng), [[1e15, 0.0], [1e9, 0.0], [-1e6, 0.0]]])
    gross = find_outliers(distinct_rows(ArraySource(rows)), n_components)
    assert (gross is None) == (n_components == 0)
    if gross is not None:
        assert gross.representatives[:, 0].tolist() == [1e15, 1e9][:n_components]
        assert gross.are_outliers(rows).nonzero()[0].tolist() == [90, 91, 92]
        assert gross.nearest_representative(rows[90:]).tolist() == {1: [0, 0, 0], 2: [0, 1, 1]}[n_components]


@pytest.mark.parametrize(
    ("far", "places"),
    [
        ([1001.0], []),
        ([1001.5], [1001.5]),
        ([1001.0, 5000.0], [5000.0]),
        ([5000.0, 6000.0], [6000.0]),
        ([5000.0, 6000.5], [6000.5, 5000.0]),
    ],
)
def test_the_reach_is_a_thousand_widths_of_the_middle_and_belongs_to_a_place(far, places):
    """The bulk of the rows spans the interval from 0 to 1."""
    rows = np.concatenate([np.arange(24) % 2.0, far])[:, None]
    gross = find_outliers(distinct_rows(ArraySource(rows)), 2)
    assert ([] if gross is None else gross.representatives[:, 0].tolist()) == places
    assert gross is None or gross.are_outliers(rows).tolist() == (rows[:, 0] > 1001).tolist()


def test_many_rows_are_no_outliers(rng):
    for n_distant, is_gross in ((5, True), (6, False)):  # outliers in each feature; at most an eighth of all rows
        far = np.repeat([[1e6, 0.0], [0.0, 1e6]], n_distant, axis=0)
        found = find_outliers(distinct_rows(ArraySource(np.vstack([inliers(rng, 75), far]))), 2)
        assert (found is not None) == is_gross


def test_a_feature_that_is_mostly_one_number_tells_nothing(rng):
    rows = inliers(rng)
    rows[:, 1] = 0.0
    rows[:5, 1] = 1e6
    assert find_outliers(distinct_rows(ArraySource(rows)), 2) is None


@pytest.mark.parametrize("n_rows", [3, 8, 30, 200])
def test_the_middle_takes_a_weight_for_a_number_of_rows(n_rows, rng):
    rows, counts = rng.normal(size=(n_rows, 2)), rng.integers(0, 4, size=n_rows)
    counts[0] = 1
    repeated = distinct_rows(ArraySource(rows.repeat(counts, axis=0))).central_range
    weighted = distinct_rows(ArraySource(rows, counts.astype(np.float64))).central_range
    expected = np.sort(rows.repeat(counts, axis=0), axis=0)[[counts.sum() // 8, -1 - counts.sum() // 8]]
    assert (np.array(weighted) == expected).all()
    assert (np.array(repeated) == expected).all()


def test_a_gross_row_drowns_no_distance_of_rows_with_holes(rng):
    """k-means may place a centre at the outlier. Spheres of this size would hide the distances of other centres."""
    rows = np.vstack([inliers(rng), [[1e15, 0.0]]])
    rows[:30, 0] = np.nan
    sample, holed = distinct_rows(with_holes(rows)), IncompleteEngine(2)
    partition = load_start("kmeans")(sample, holed, 4, np.random.default_rng(7)).with_scaled_spheres
    known = ~np.isnan(sample.rows)[:, None]
    distances = np.where(known, sample.rows[:, None] - partition.centres, 0.0) ** 2
    nearest = distances.sum(axis=2).argmin(axis=1)
    np.testing.assert_array_equal(holed.labels(Block(0, sample.rows), partition.parameters), nearest)


def with_holes(rows):
    source = ArraySource(rows)
    source.may_miss = True
    return source
