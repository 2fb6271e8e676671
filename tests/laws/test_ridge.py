"""Tests of `reg_covar="auto"` against its definition in docs/develop/numerics.md, "The automatic ridge"."""

import math

import numpy as np
import pytest
from common import ArraySource, automatic_ridge, distinct_rows

N = 1000


def ridge_of(rows, weight=None):
    return automatic_ridge(distinct_rows(ArraySource(np.asarray(rows, dtype=np.float64), weight)))


def trimmed_variance(column):
    """Compute the variance without the ceil(1 %) + 1 smallest and largest values, or of all if this is 0."""
    dropped = math.ceil(0.01 * len(column)) + 1
    remaining = sorted(column)[dropped : len(column) - dropped]
    return np.var(remaining) if remaining and np.var(remaining) > 0 else np.var(column)


@pytest.mark.parametrize("n_rows", [2, 3, 4, 5, 9, 99, 100, 101, 400])
def test_the_automatic_ridge_is_proportional_to_the_trimmed_variance(n_rows, rng):
    rows = rng.standard_t(2, size=(n_rows, 3))
    expected = [1e-6 * trimmed_variance(column) for column in rows.T]
    assert ridge_of(rows) == pytest.approx(expected, rel=1e-12, abs=0)


@pytest.mark.parametrize("n_rows", [4, 30, 200])
def test_the_automatic_ridge_treats_weights_as_repeated_rows(n_rows, rng):
    rows, counts = rng.standard_t(2, size=(n_rows, 2)), rng.integers(0, 4, size=n_rows)
    repeated = ridge_of(rows.repeat(counts, axis=0))
    assert ridge_of(rows, counts.astype(np.float64)) == pytest.approx(repeated, rel=1e-12, abs=0)


def test_the_automatic_ridge_ignores_outliers(rng):
    rows = rng.normal(size=(N, 1))
    with_outliers = rows.copy()
    with_outliers[np.argsort(rows[:, 0])[-11:]] = 1e30  # 1 % of the rows and one more
    assert ridge_of(with_outliers) == pytest.approx(ridge_of(rows), rel=1e-12, abs=0)


def test_the_automatic_ridge_of_mostly_equal_values_uses_the_whole_variance():
    column = np.full(N, 7.0)
    column[:10] += np.arange(10)
    assert ridge_of(column[:, None]) == pytest.approx([1e-6 * column.var()], rel=1e-12, abs=0)


@pytest.mark.parametrize(
    ("value", "variance"),
    [
        pytest.param(-3.0, (3.0 * 2.0**-10) ** 2, id="the upper limit"),
        pytest.param(1e6, 4.0, id="the median of the others"),
        pytest.param(1e15, (1e15 * 2.0**-40) ** 2, id="the lower limit"),
        pytest.param(1e-160, 4.0, id="too small to square"),
    ],
)
def test_the_automatic_ridge_of_a_constant_column_is_the_median_within_limits(value, variance):
    others = [np.tile([-size, size], N // 2) for size in (1.0, 2.0, 30.0)]
    rows = np.stack([np.full(N, value), *others], axis=1)
    assert ridge_of(rows)[0] == pytest.approx(1e-6 * variance, rel=1e-12, abs=0)


def test_the_automatic_ridge_of_a_constant_column_exceeds_float32_rounding(rng):
    rows = np.column_stack([rng.normal(size=(N, 2)), np.full(N, 0.1)])
    spread = float(np.sqrt(ridge_of(rows)[2]))
    assert abs(np.float64(np.float32(0.1)) - 0.1) < 0.1 * spread


def test_the_automatic_ridge_of_a_column_of_zeros_is_the_median_of_the_others():
    rows = np.stack([np.zeros(N), *(np.linspace(0, size, N) for size in (1.0, 10.0, 100.0))], axis=1)
    found = ridge_of(rows)
    assert found[0] == pytest.approx(np.median(found[1:]), rel=1e-14, abs=0)


def test_the_automatic_ridge_of_zeros_is_a_millionth():
    assert ridge_of(np.zeros((N, 2))) == pytest.approx([1e-6, 1e-6], rel=1e-15, abs=0)


def test_the_automatic_ridge_does_not_depend_on_the_origin(rng):
    rows = np.round(rng.normal(size=(N, 2)) * 2.0**10) * 2.0**-10
    assert ridge_of(rows + 2.0**30) == pytest.approx(ridge_of(rows), rel=1e-12, abs=0)
