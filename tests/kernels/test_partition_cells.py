"""Tests of `partition_cells`: cells equal their definition for any origin, unit and order of the rows."""

import numpy as np
import pytest


def labels_by_definition(rows, weight, n_cells):
    """Compute the labels by their definition, in long double."""
    labels = np.zeros(len(rows), int)
    for n in range(1, n_cells):
        cells = [np.flatnonzero(labels == label) for label in range(n)]
        means = [np.average(rows[cell].astype(np.longdouble), axis=0, weights=weight[cell]) for cell in cells]
        each = [weight[cell] @ (rows[cell] - mean) ** 2 for cell, mean in zip(cells, means, strict=True)]
        label = int(np.argmax([weight[cell].sum() * squares.any() for cell, squares in zip(cells, each, strict=True)]))
        feature = each[label].argmax()
        labels += (labels > label) | (labels == label) & (rows[:, feature] > means[label][feature])
    return labels


@pytest.mark.parametrize(("size", "n_cells"), [((1, 1), 1), ((2, 3), 2), ((40, 1), 40), ((300, 2), 80), ((99, 7), 9)])
def test_partition_cells_equals_its_definition(size, n_cells, target, rng):
    rows, weight = rng.normal(size=size) * rng.uniform(0.5, 2, size[1]), rng.integers(1, 5, size[0]) / 2
    labels = target.partition_cells(rows, weight, n_cells)
    np.testing.assert_array_equal(labels, labels_by_definition(rows, weight, n_cells))


@pytest.mark.parametrize(("factor", "shift"), [(2.0**-20, 0.0), (1.0, 2.0**20), (0.5, -(2.0**15))])
def test_partition_cells_does_not_depend_on_order_unit_and_origin(factor, shift, target, rng):
    """Check rows of 20 bits, which move exactly, so that their order changes sums only by rounding."""
    rows = np.round(rng.normal(size=(2000, 3)) * 2.0**10) * 2.0**-10
    order, weight = rng.permutation(2000), rng.integers(4, size=2000) / 2
    labels = target.partition_cells(rows, weight, 150)
    np.testing.assert_array_equal(target.partition_cells(rows * factor + shift, weight, 150), labels)
    np.testing.assert_array_equal(target.partition_cells(rows[order].copy(), weight[order], 150), labels[order])


@pytest.mark.parametrize("values", [[3.0, 3.0, -1.0, 0.1, 0.1, 0.1], [1 + 2.0**-52, 1.0, 1.0], [0.7] * 9])
def test_partition_cells_ends_with_one_cell_per_distinct_row(values, target):
    labels = target.partition_cells(np.array(values)[:, None], np.full(len(values), 0.1), 100)
    np.testing.assert_array_equal(labels, np.unique(values, return_inverse=True)[1])


@pytest.mark.parametrize(
    ("values", "weight", "expected"),
    [
        ([11.0, 0.0, 1.0, 10.0], [1.0] * 4, [2, 0, 1, 2]),  # the lower of two equal cells is split
        ([0.0, 1.0, 2.0], [1e-20, 1.0, 0.0], [0, 1, 1]),  # the mean is rounded to one of the values
        ([8.0, 0.7, 0.7, 0.7], [0.0, 0.1, 0.1, 0.1], [0] * 4),  # rows without weight are not separated from others
        ([5.0, 2.0], [0.0, 0.0], [0, 0]),
    ],
)
def test_partition_cells_handles_ties_rounding_and_zero_weights(values, weight, expected, target):
    np.testing.assert_array_equal(target.partition_cells(np.array(values)[:, None], np.array(weight), 3), expected)
