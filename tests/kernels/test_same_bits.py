"""No bit depends on the instruction set or on the number of threads."""

import itertools
from functools import partial
from operator import methodcaller

import numpy as np
import pytest

TRIANGULAR, LOW_RANK = 2, 4
FACTOR_SHAPES, SECONDS, RULES = range(5), range(5), range(3)


@pytest.mark.parametrize("n_features", [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 16, 17, 33, 64])
def test_instruction_sets_agree(agree, make_problem, n_features):
    for factor_shape, rule, second in itertools.product(FACTOR_SHAPES, RULES, SECONDS):
        agree(make_problem(333, n_features, 6, factor_shape, rule, second).step)


def test_instruction_sets_agree_in_evaluations(agree, make_problem):
    for factor_shape, n_features, output in itertools.product(FACTOR_SHAPES, [1, 3, 8, 10, 33], range(4)):
        agree(partial(make_problem(333, n_features, 9, factor_shape).evaluate, output=output))


def test_instruction_sets_agree_in_factors(agree, rng):
    for n_features in [1, 2, 7, 8, 9, 40]:
        roots = rng.normal(size=(3, n_features, n_features))
        covariances = roots @ roots.transpose(0, 2, 1)
        agree(methodcaller("factorise", covariances))


@pytest.mark.pairwise
@pytest.mark.parametrize("second", SECONDS)
@pytest.mark.parametrize(("n_rows", "n_features"), [(70_001, 2), (12_001, 16)])
def test_threads_agree(target, make_problem, same_bits, n_rows, n_features, second):
    """Enough rows for several spans and several threads, the last span cut short."""
    for factor_shape in (TRIANGULAR, LOW_RANK):
        problem = make_problem(n_rows, n_features, 16, factor_shape, second=second)
        expected = problem.step(target, 1)
        for n_threads in [2, 3, 8]:
            same_bits(problem.step(target, n_threads), expected)


@pytest.mark.parametrize("output", range(4))
def test_threads_agree_in_evaluations(target, make_problem, same_bits, output):
    problem = make_problem(30_001, 8, 12)
    expected = problem.evaluate(target, output, 1)
    for n_threads in [2, 3, 8]:
        same_bits(problem.evaluate(target, output, n_threads), expected)


def test_more_threads_than_spans(target, make_problem, same_bits):
    problem = make_problem(3000, 40, 16)
    same_bits(problem.step(target, 64), problem.step(target, 1))


def test_spans_are_merged_from_the_first(target, make_problem):
    """A span's sums do not depend on what follows it: rows of weight 0 add nothing, not a bit."""
    problem = make_problem(60_000, 4, 16)
    head = problem.but(rows=problem.rows[:30_000], row_weight=problem.row_weight[:30_000])
    tail_weight = np.where(np.arange(60_000) < 30_000, problem.row_weight, 0)
    for a, b in zip(head.step(target, 2), problem.but(row_weight=tail_weight).step(target, 2), strict=True):
        np.testing.assert_array_equal(a, b)
