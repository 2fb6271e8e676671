"""Tests of `reg_covar="auto"` against its definition in docs/develop/numerics.md, "The automatic ridge"."""

import math

import numpy as np
import pytest
from common import ArraySource, automatic_ridge, distinct_rows

N = 1000


def ridge(rows, weight=None):
    return automatic_ridge(distinct_rows(ArraySource(np.asarray(rows, dtype=np.float64), weight)))


def spelled_out(column):
    """Compute the variance without the ceil(1 %) + 1 smallest and largest values, or of all if this is 0."""
    dropped = math.ceil(0.01 * len(column)) + 1
    kept = sorted(column)[dropped : len(column) - dropped]
    return np.var(kept) if kept and np.var(kept) > 0 else np.var(column)


@pytest.mark.parametrize("n_rows", [2, 3, 4, 5, 9, 99, 100, 101, 400])
def test_the_variance_without_the_ends(n_rows, rng):
    rows = rng.standard_t(2, size=(n_rows, 3))
    expected = [1e-6 * spelled_out(column) for column in rows.T]
    assert ridge(rows) == pytest.approx(expected, rel=1e-12, abs=0)


@pytest.mark.parametrize("n_rows", [4, 30, 200])
def test_a_weight_is_a_number_of_rows(n_rows, rng):
    rows, counts = rng.standard_t(2, size=(n_rows, 2)), rng.integers(0, 4, size=n_rows)
    repeated = ridge(rows.repeat(counts, axis=0))
    assert ridge(rows, counts.astype(np.float64)) == pytest.approx(repeated, rel=1e-12, abs=0)


def test_outliers_leave_it_alone(rng):
    rows = rng.normal(size=(N, 1))
    wild = rows.copy()
    wild[np.argsort(rows[:, 0])[-11:]] = 1e30  # 1 % of the rows and one more
    assert ridge(wild) == pytest.approx(ridge(rows), rel=1e-12, abs=0)


def test_99_percent_equal_values_fall_back_on_the_whole_variance():
    column = np.full(N, 7.0)
    column[:10] += np.arange(10)
    assert ridge(column[:, None]) == pytest.approx([1e-6 * column.var()], rel=1e-12, abs=0)


@pytest.mark.parametrize(
    ("value", "variance"),
    [
        pytest.param(-3.0, (3.0 * 2.0**-10) ** 2, id="the largest"),
        pytest.param(1e6, 4.0, id="that of the others"),
        pytest.param(1e15, (1e15 * 2.0**-40) ** 2, id="the least"),
        pytest.param(1e-160, 4.0, id="too small to square"),
    ],
)
def test_a_constant_column_gets_the_median_of_the_others_within_limits(value, variance):
    others = [np.tile([-size, size], N // 2) for size in (1.0, 2.0, 30.0)]
    rows = np.stack([np.full(N, value), *others], axis=1)
    assert ridge(rows)[0] == pytest.approx(1e-6 * variance, rel=1e-12, abs=0)


def test_digits_that_float32_lacks_cost_little_in_a_constant_column(rng):
    rows = np.column_stack([rng.normal(size=(N, 2)), np.full(N, 0.1)])
    spread = float(np.sqrt(ridge(rows)[2]))
    assert abs(np.float64(np.float32(0.1)) - 0.1) < 0.1 * spread


def test_a_column_of_zeros_gets_the_median_of_the_others():
    rows = np.stack([np.zeros(N), *(np.linspace(0, size, N) for size in (1.0, 10.0, 100.0))], axis=1)
    found = ridge(rows)
    assert found[0] == pytest.approx(np.median(found[1:]), rel=1e-14, abs=0)


def test_zeros_only_get_a_millionth():
    assert ridge(np.zeros((N, 2))) == pytest.approx([1e-6, 1e-6], rel=1e-15, abs=0)


def test_far_from_zero_the_spread_is_still_seen(rng):
    rows = np.round(rng.normal(size=(N, 2)) * 2.0**10) * 2.0**-10
    assert ridge(rows + 2.0**30) == pytest.approx(ridge(rows), rel=1e-12, abs=0)
