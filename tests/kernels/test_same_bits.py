"""Tests that no bit depends on the instruction set, on the number of threads, or on the memory layout of rows."""

import itertools
from functools import partial
from operator import methodcaller

import numpy as np
import pytest

TRIANGULAR, LOW_RANK = 2, 4
FACTOR_SHAPES, SECOND_MOMENTS, RULES = range(5), range(5), range(3)


@pytest.mark.heavy(n_default=6)
@pytest.mark.parametrize("n_features", [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 16, 17, 33, 64])
def test_a_step_has_the_same_bits_on_every_instruction_set(check_targets, make_problem, n_features):
    for factor_shape, rule, second in itertools.product(FACTOR_SHAPES, RULES, SECOND_MOMENTS):
        check_targets(make_problem(333, n_features, 6, factor_shape, rule, second).step)


def test_evaluate_has_the_same_bits_on_every_instruction_set(check_targets, make_problem):
    for factor_shape, n_features, output in itertools.product(FACTOR_SHAPES, [1, 3, 8, 10, 33], range(4)):
        check_targets(partial(make_problem(333, n_features, 9, factor_shape).evaluate, output=output))


def test_factorise_has_the_same_bits_on_every_instruction_set(check_targets, rng):
    for n_features in [1, 2, 7, 8, 9, 40]:
        roots = rng.normal(size=(3, n_features, n_features))
        covariances = roots @ roots.transpose(0, 2, 1)
        check_targets(methodcaller("factorise", covariances))


@pytest.mark.heavy(n_default=5)
@pytest.mark.pairwise
@pytest.mark.parametrize("second", SECOND_MOMENTS)
@pytest.mark.parametrize(("n_rows", "n_features"), [(70_001, 2), (12_001, 16)])
def test_threads_change_no_bit_of_a_step(target, make_problem, same_bits, n_rows, n_features, second):
    """Check several spans and several threads, with a shorter last span."""
    for factor_shape in (TRIANGULAR, LOW_RANK):
        problem = make_problem(n_rows, n_features, 16, factor_shape, second=second)
        expected = problem.step(target, 1)
        for n_threads in [2, 7]:
            same_bits(problem.step(target, n_threads), expected)


@pytest.mark.heavy(n_default=2)
@pytest.mark.parametrize("output", range(4))
def test_threads_change_no_bit_of_evaluate(target, make_problem, same_bits, output):
    problem = make_problem(30_001, 8, 12)
    expected = problem.evaluate(target, output, 1)
    for n_threads in [2, 3, 8]:
        same_bits(problem.evaluate(target, output, n_threads), expected)


@pytest.mark.heavy(n_default=1)
def test_a_step_has_the_same_bits_with_more_threads_than_spans(target, make_problem, same_bits):
    problem = make_problem(3000, 40, 16)
    same_bits(problem.step(target, 64), problem.step(target, 1))


def test_appended_rows_of_weight_0_change_no_bit(target, make_problem):
    """Check that a span's sums do not depend on the rows after it: rows of weight 0 change no bit."""
    problem = make_problem(60_000, 4, 16)
    head = problem.replace(rows=problem.rows[:30_000], row_weight=problem.row_weight[:30_000])
    tail_weight = np.where(np.arange(60_000) < 30_000, problem.row_weight, 0)
    for a, b in zip(head.step(target, 2), problem.replace(row_weight=tail_weight).step(target, 2), strict=True):
        np.testing.assert_array_equal(a, b)


def misaligned(rows):
    """Return the same values at an odd address."""
    data = np.zeros(rows.nbytes + 1, np.uint8)
    view = data[1:].view(rows.dtype).reshape(rows.shape)
    view[...] = rows
    assert not view.flags.aligned or rows.size == 0
    return view


def every_other(rows):
    wide = np.full((2 * rows.shape[0], 3 * rows.shape[1]), np.nan, rows.dtype)
    wide[::2, 1::3] = rows
    return wide[::2, 1::3]


LAYOUTS = {
    "fortran": np.asfortranarray,
    "rows reversed": lambda rows: rows[::-1].copy()[::-1],
    "features reversed": lambda rows: rows[:, ::-1].copy()[:, ::-1],
    "fortran, rows reversed": lambda rows: np.asfortranarray(rows[::-1])[::-1],
    "part of wider rows": lambda rows: np.pad(rows, ((0, 0), (2, 3)), constant_values=np.nan)[:, 2 : 2 + rows.shape[1]],
    "part of longer columns": lambda rows: np.asfortranarray(np.pad(rows, ((1, 2), (0, 0))))[1 : 1 + len(rows)],
    "every other": every_other,
    "misaligned": misaligned,
}


@pytest.mark.pairwise
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
@pytest.mark.parametrize("n_features", [1, 2, 3, 5, 8, 9, 17])
def test_the_layout_and_the_dtype_of_rows_change_no_bit(target, make_problem, same_bits, n_features, layout, dtype):
    for n_rows in [1, 7, 31, 150]:
        problem = make_problem(n_rows, n_features)
        rows = problem.rows.astype(dtype)
        expected = problem.replace(rows=rows.astype(float)).step(target)
        same_bits(problem.replace(rows=layout(rows)).step(target), expected)


def test_strides_of_weights_and_responsibilities_change_no_bit(target, make_problem, same_bits):
    problem = make_problem(100, 4, 3, rule=2)
    wide = np.repeat(problem.row_weight, 3)[::3]
    for layout in (np.asfortranarray, every_other, LAYOUTS["features reversed"]):
        strided = problem.replace(assignment=layout(problem.assignment), row_weight=wide)
        same_bits(strided.step(target), problem.step(target))
    labels = np.arange(100, dtype=np.int32) % 3
    strided = problem.replace(assignment=np.repeat(labels, 2)[::2])
    same_bits(strided.step(target), problem.replace(assignment=labels).step(target))
