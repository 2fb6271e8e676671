"""Tests of the hierarchical initialisation: Ward's tree, cut for any number of components."""

import numpy as np
import pytest
from common import ArraySource, Block, distinct_rows, load_start
from scipy.cluster.hierarchy import fcluster, ward

from gaussmix._src.em.initialisation.hierarchical import MAX_LEAVES, build_hierarchy


def scaled(rows):
    """Scale rows as mclust's `hc(use = "SVD")` does, implemented from its documentation."""
    standard = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    _, singular, axes = np.linalg.svd(standard, full_matrices=False)
    is_positive = singular > 1e-8 * singular[0]  # centring removes one direction if there are few rows
    return standard @ axes[is_positive].T / np.sqrt(singular[is_positive])


def joint_labels(rows, n_components, engine, weight=None):
    """Return the component of each row according to the initialisation."""
    partition = load_start("hierarchical")(distinct_rows(ArraySource(rows, weight)), engine, n_components, None)
    block = Block(0, rows)
    if partition.responsibilities is None:
        return engine.labels(block, partition.parameters)
    return partition.responsibilities(block).argmax(1)


def same_partition(first, second):
    return len(set(zip(first.tolist(), second.tolist(), strict=True))) == len(set(first)) == len(set(second))


@pytest.mark.parametrize("n_features", [3, 59, 60, 61, 200])
@pytest.mark.parametrize("n_components", [1, 2, 3, 7, 60])
def test_the_hierarchical_initialisation_equals_wards_tree_of_scipy(n_components, n_features, engine, rng):
    rows = rng.normal(size=(60, n_features)) @ rng.normal(size=(n_features, n_features)) + 50
    expected = fcluster(ward(scaled(rows)), n_components, "maxclust")
    found = joint_labels(rows, n_components, engine)
    assert same_partition(found, expected)
    sizes = np.bincount(found)
    assert (np.diff(sizes) <= 0).all()  # components are sorted by size, with the largest first


@pytest.mark.parametrize("n_features", [3, 50])
def test_build_hierarchy_whitens_rows_as_mclust_scales_them(n_features, rng):
    rows = rng.normal(size=(40, n_features)) @ rng.normal(size=(n_features, n_features))
    whitening = build_hierarchy(distinct_rows(ArraySource(rows))).scaling.whitening
    whitened = whitening.whiten(0, rows), scaled(rows)
    found, expected = (np.linalg.norm(values[:20] - values[20:], axis=1) for values in whitened)
    ratio = found / expected
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-12)
    assert (np.triu(whitening.factors[0], 1) == 0).all()


def test_the_hierarchical_initialisation_treats_weights_as_repeated_rows(engine, rng):
    rows = rng.normal(size=(60, 2))
    counts = rng.integers(1, 9, size=60)
    weighted = joint_labels(rows, 12, engine, counts.astype(float))
    expected = fcluster(ward(scaled(rows.repeat(counts, axis=0))), 12, "maxclust")
    assert same_partition(weighted.repeat(counts), expected)
    assert not same_partition(weighted, joint_labels(rows, 12, engine))


def test_the_hierarchical_initialisation_supports_more_rows_than_max_leaves(engine, rng):
    centres = np.array([[0.0, 0.0], [30.0, 0.0], [0.0, 30.0]])
    label = rng.integers(3, size=3 * MAX_LEAVES)
    rows = centres[label] + rng.normal(size=(len(label), 2))
    assert same_partition(joint_labels(rows, 3, engine), label)


def test_the_hierarchical_initialisation_keeps_equal_rows_together(engine):
    assert len(set(joint_labels(np.full((5, 2), 3.0), 2, engine))) == 1


@pytest.mark.parametrize("n_components", [2, 4])
def test_the_hierarchical_initialisation_ignores_constant_columns(n_components, engine, rng):
    rows = rng.normal(size=(50, 2))
    wide = np.column_stack([rows, np.full(50, 3.0)])
    assert same_partition(joint_labels(wide, n_components, engine), joint_labels(rows, n_components, engine))
    again = np.column_stack([wide, rows[:, 0]])
    assert len(set(joint_labels(again, n_components, engine))) == n_components
