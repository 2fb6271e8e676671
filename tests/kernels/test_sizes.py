"""No rows, very many components, and labels of components that do not exist: nothing is read or written beyond."""

import numpy as np
import pytest

I32 = np.iinfo(np.int32)


@pytest.mark.parametrize("second", range(4))
def test_labels_out_of_range_count_for_nothing(target, make_problem, same_bits, second):
    problem = make_problem(200, 5, 3, rule=2, second=second)
    labels = np.arange(200, dtype=np.int32) % 3
    outside = np.resize(np.array([-1, 3, 1000, I32.min, I32.max], np.int32), 200)
    is_outside = np.arange(200) % 7 == 0
    given = np.where(is_outside, outside, labels).astype(np.int32)
    weight = np.where(is_outside, 0, problem.row_weight)
    got = problem.but(given=given).step(target)
    want = problem.but(given=labels, row_weight=weight).step(target)
    same_bits([value for value in got if value is not None], [value for value in want if value is not None])


@pytest.mark.parametrize("factor_shape", range(4))
@pytest.mark.parametrize("rule", range(3))
def test_no_rows(target, make_problem, factor_shape, rule):
    log_likelihood, mass, first, second = make_problem(0, 9, 3, factor_shape, rule).step(target, 4)
    assert log_likelihood == 0
    for sums in (mass, first, second):
        assert not sums.any()


@pytest.mark.parametrize("factor_shape", range(4))
def test_ten_thousand_components(target, make_problem, factor_shape):
    problem = make_problem(30, 9, 10_000, factor_shape, second=2)
    _, mass, _, _ = problem.step(target, 2)
    assert mass.sum() == pytest.approx(problem.row_weight.sum(), rel=1e-12)
    shared = problem.evaluate(target, 1)
    assert shared.shape == (30, 10_000)
    np.testing.assert_allclose(shared.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_array_equal(problem.evaluate(target, 3), shared.argmax(axis=1))
