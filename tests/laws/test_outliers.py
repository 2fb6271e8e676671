"""Tests of extreme outliers: each distinct outlier gets a component, and does not affect other initial components."""

import numpy as np
import pytest
from common import EPS, LEAF_ROWS, STARTS, ArraySource, Block, InitialMoments, Objective, distinct_rows, load_start

from gaussmix import FAMILIES
from gaussmix._src.em.initialisation.outliers import find_outliers
from gaussmix._src.engines.incomplete import IncompleteEngine

RANDOM_INITIALISATIONS = ["random", "random_from_data"]
RIDGE = 1e-3
# Distant rows, and the number of distinct positions among these rows.
DISTANT_ROWS = {
    "one": ([[1e6, 1e6]], 1),
    "one, in one feature": ([[0.0, -1e15]], 1),
    "two": ([[1e6, 0.0], [-1e15, 1e6]], 2),
    "near each other": ([[1e9, 3.0], [1e9, 5.0], [1e9 + 50, 1.0]], 1),
    "twice": ([[1e6, 1e6], [1e6, 1e6]], 1),
}


def inliers(rng, n_rows=90):
    return rng.normal(size=(n_rows, 2)) + 4.0 * rng.integers(3, size=(n_rows, 1))


def model_of(name, engine, rows, n_components, family="diag", weight=None):
    source = ArraySource(rows, weight)
    partition = load_start(name)(distinct_rows(source), engine, n_components, np.random.default_rng(7))
    return InitialMoments(source, engine, n_components, partition).model(FAMILIES[family], Objective(np.full(2, RIDGE)))


@pytest.mark.pairwise
# In other structures, an outlier affects all components.
@pytest.mark.parametrize("family", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("case", DISTANT_ROWS)
@pytest.mark.parametrize("name", RANDOM_INITIALISATIONS)
def test_inliers_are_initialised_as_without_the_outliers(name, case, family, engine, rng):
    rows, (outliers, n_positions) = inliers(rng), DISTANT_ROWS[case]
    weight, order = rng.integers(1, 9, size=len(rows)), rng.permutation(len(rows) + len(outliers))
    all_rows, all_weight = np.vstack([rows, outliers])[order], np.append(weight, np.ones(len(outliers)))[order]
    without = model_of(name, engine, rows, 4 - n_positions, family, weight.astype(np.float64))
    mixture = model_of(name, engine, all_rows, 4, family, all_weight)
    tolerance = 8 * len(rows) * EPS  # rounding of sums whose terms are added in another order
    n_other, fraction = 4 - n_positions, weight.sum() / all_weight.sum()
    np.testing.assert_allclose(mixture.weights[:n_other], without.weights * fraction, rtol=tolerance)
    np.testing.assert_allclose(mixture.means[:n_other], without.means, atol=tolerance * np.abs(rows).max())
    atol = tolerance * np.abs(rows).max() ** 2
    if family != "tied":
        np.testing.assert_allclose(mixture.covariances.array[:n_other], without.covariances.array, atol=atol)
    elif len(np.unique(outliers, axis=0)) == n_positions:  # unequal outliers in one component add scatter
        ridge = RIDGE * np.eye(2)
        np.testing.assert_allclose(
            mixture.covariances.array - ridge, (without.covariances.array - ridge) * fraction, atol=atol
        )


@pytest.mark.parametrize("name", RANDOM_INITIALISATIONS)
def test_a_repeated_outlier_is_initialised_as_a_weighted_outlier(name, engine, rng):
    rows, counts = np.vstack([inliers(rng), [[1e6, 0.0], [0.0, -1e8]]]), rng.integers(0, 4, size=92)
    counts[-2:] = 2, 1
    repeated = rng.permutation(rows.repeat(counts, axis=0))
    expected = model_of(name, engine, rows, 5, weight=counts.astype(np.float64))
    tolerance = 8 * len(repeated) * EPS  # rounding of sums whose terms are added in another order
    for found in (model_of(name, engine, repeated, 5), model_of(name, engine, rows, 5, weight=counts / 8)):
        np.testing.assert_allclose(found.weights, expected.weights, rtol=tolerance)
        np.testing.assert_allclose(found.means, expected.means, rtol=tolerance, atol=tolerance * 20)


@pytest.mark.heavy(n_default=3)
@pytest.mark.parametrize("name", STARTS)
def test_an_outlier_outside_the_sample_gets_its_own_component(name, engine, rng):
    """Any distant row is found, because the row with the largest value of a feature is always in the sample."""
    values = np.arange(LEAF_ROWS + 10_000.0)[:, None]
    left_out = int(np.setdiff1d(values, ArraySource(values).sample(LEAF_ROWS).rows)[0])
    rows = inliers(rng, len(values))
    rows[left_out] = 1e15
    mixture = model_of(name, engine, rows, 3)
    alone = mixture.means[:, 0] == 1e15
    assert mixture.weights[alone] == pytest.approx([1 / len(rows)], rel=1e-12)
    assert np.abs(mixture.means[~alone]).max() < 20


@pytest.mark.parametrize("n_components", [0, 1, 2])
def test_find_outliers_returns_at_most_n_components_representatives(n_components, rng):
    rows = np.vstack([inliers(rng), [[1e15, 0.0], [1e9, 0.0], [-1e6, 0.0]]])
    outliers = find_outliers(distinct_rows(ArraySource(rows)), n_components)
    assert (outliers is None) == (n_components == 0)
    if outliers is not None:
        assert outliers.representatives[:, 0].tolist() == [1e15, 1e9][:n_components]
        assert outliers.are_outliers(rows).nonzero()[0].tolist() == [90, 91, 92]
        assert outliers.nearest_representative(rows[90:]).tolist() == {1: [0, 0, 0], 2: [0, 1, 1]}[n_components]


@pytest.mark.parametrize(
    ("values", "representatives"),
    [
        ([1001.0], []),
        ([1001.5], [1001.5]),
        ([1001.0, 5000.0], [5000.0]),
        ([5000.0, 6000.0], [6000.0]),
        ([5000.0, 6000.5], [6000.5, 5000.0]),
    ],
)
def test_an_outlier_is_more_than_a_thousand_central_ranges_from_all_other_rows(values, representatives):
    """The bulk of the rows spans the interval from 0 to 1."""
    rows = np.concatenate([np.arange(24) % 2.0, values])[:, None]
    outliers = find_outliers(distinct_rows(ArraySource(rows)), 2)
    assert ([] if outliers is None else outliers.representatives[:, 0].tolist()) == representatives
    assert outliers is None or outliers.are_outliers(rows).tolist() == (rows[:, 0] > 1001).tolist()


def test_more_than_an_eighth_of_the_rows_are_not_outliers(rng):
    for n_distant, are_outliers in ((5, True), (6, False)):  # outliers in each feature; at most an eighth of all rows
        distant = np.repeat([[1e6, 0.0], [0.0, 1e6]], n_distant, axis=0)
        found = find_outliers(distinct_rows(ArraySource(np.vstack([inliers(rng, 75), distant]))), 2)
        assert (found is not None) == are_outliers


def test_find_outliers_ignores_a_feature_that_is_mostly_one_value(rng):
    rows = inliers(rng)
    rows[:, 1] = 0.0
    rows[:5, 1] = 1e6
    assert find_outliers(distinct_rows(ArraySource(rows)), 2) is None


@pytest.mark.parametrize("n_rows", [3, 8, 30, 200])
def test_the_central_range_treats_weights_as_repeated_rows(n_rows, rng):
    rows, counts = rng.normal(size=(n_rows, 2)), rng.integers(0, 4, size=n_rows)
    counts[0] = 1
    repeated = distinct_rows(ArraySource(rows.repeat(counts, axis=0))).central_range
    weighted = distinct_rows(ArraySource(rows, counts.astype(np.float64))).central_range
    expected = np.sort(rows.repeat(counts, axis=0), axis=0)[[counts.sum() // 8, -1 - counts.sum() // 8]]
    assert (np.array(weighted) == expected).all()
    assert (np.array(repeated) == expected).all()


def test_an_outlier_does_not_hide_distances_of_rows_with_missing_values(rng):
    """k-means may place a centre at the outlier. Spheres of this size would hide the distances of other centres."""
    rows = np.vstack([inliers(rng), [[1e15, 0.0]]])
    rows[:30, 0] = np.nan
    sample, engine = distinct_rows(with_missing_values(rows)), IncompleteEngine(2)
    partition = load_start("kmeans")(sample, engine, 4, np.random.default_rng(7)).with_scaled_spheres
    observed = ~np.isnan(sample.rows)[:, None]
    distances = np.where(observed, sample.rows[:, None] - partition.centres, 0.0) ** 2
    nearest = distances.sum(axis=2).argmin(axis=1)
    np.testing.assert_array_equal(engine.labels(Block(0, sample.rows), partition.parameters), nearest)


def test_a_row_with_missing_values_may_be_an_outlier(rng):
    rows = np.vstack([inliers(rng), [[np.nan, 1e9]]])
    outliers = find_outliers(distinct_rows(with_missing_values(rows)), 1)
    assert outliers.are_outliers(rows).nonzero()[0].tolist() == [len(rows) - 1]


def with_missing_values(rows):
    source = ArraySource(rows)
    source.may_miss = True
    return source
