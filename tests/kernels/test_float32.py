"""Steps in single precision are their definition to the rounding of float32, or are taken in double."""

import itertools
from functools import partial

import numpy as np
import pytest

SPHERICAL, DIAGONAL, TRIANGULAR = FACTOR_SHAPES = range(3)
SOFT, FULL = 0, 3
SECONDS = 1, 2, 3  # trace, diagonal, full
EPS = float(np.finfo(np.float32).eps)
SINGLE = np.float32


@pytest.fixture
def make_single(make_problem):
    """Problems as `make_problem` makes them, in float32."""

    def make(n_rows, n_features, n_components=3, factor_shape=TRIANGULAR, second=FULL):
        return make_problem(n_rows, n_features, n_components, factor_shape, SOFT, second).single()

    return make


@pytest.mark.pairwise
@pytest.mark.parametrize("second", SECONDS)
@pytest.mark.parametrize("factor_shape", FACTOR_SHAPES)
@pytest.mark.parametrize("n_features", [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33, 64])
def test_step_is_its_definition(target, make_single, agrees_with_definition, n_features, factor_shape, second):
    problem = make_single(300, n_features, 5, factor_shape, second)
    for case in (problem, problem.but(row_weight=None)):
        agrees_with_definition(case, case.step(target, in_single=True), EPS)


@pytest.mark.parametrize("n_rows", [0, 1, 15, 16, 17, 47, 48, 49, 143, 144, 145, 4097])
def test_any_number_of_rows(target, make_single, agrees_with_definition, n_rows):
    for n_features in (2, 5, 9):
        problem = make_single(n_rows, n_features, 3)
        for case in (problem, problem.but(row_weight=None)):
            agrees_with_definition(case, case.step(target, in_single=True), EPS)


@pytest.mark.parametrize("n_components", [1, 2, 15, 16, 17, 33])
def test_any_number_of_components(target, make_single, agrees_with_definition, n_components):
    for n_features in (3, 10):
        problem = make_single(200, n_features, n_components)
        agrees_with_definition(problem, problem.step(target, in_single=True), EPS)


@pytest.mark.parametrize("n_features", [1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 17, 33, 64])
def test_instruction_sets_agree(agree, make_single, n_features):
    for factor_shape, second in itertools.product(FACTOR_SHAPES, SECONDS):
        problem = make_single(700, n_features, 6, factor_shape, second)
        problem.rows[500] *= 1e6  # a far row, whose tile is in double
        case = problem.but(row_weight=None if second == FULL else problem.row_weight)
        agree(partial(case.step, in_single=True))


def test_threads_agree(target, make_single, same_bits):
    problem = make_single(12_001, 16, 16)
    problem.rows[5000] *= 1e6
    expected = problem.step(target, 1, in_single=True)
    for n_threads in (2, 3, 8):
        same_bits(problem.step(target, n_threads, in_single=True), expected)


@pytest.mark.parametrize("factor_shape", FACTOR_SHAPES)
@pytest.mark.parametrize("n_features", [3, 7, 20])
@pytest.mark.parametrize("offset", [1e4, 1e6, -1e7])
def test_rounding_the_means_costs_nothing(
    target, make_single, agrees_with_definition, n_features, offset, factor_shape
):
    """Means that are not numbers of float32: up to half a deviation lies between them and what rows are taken about."""
    problem = make_single(300, n_features, 3, factor_shape)
    rows = (problem.rows + offset).astype(SINGLE)
    means = problem.means + offset
    anchor = means.astype(SINGLE).astype(float)
    case = problem.but(rows=rows, means=means, anchor=anchor)
    agrees_with_definition(case, case.step(target, in_single=True), EPS)


@pytest.mark.parametrize("n_features", [2, 4, 6, 12])
@pytest.mark.parametrize("far", [1e3, 1e6, 1e18, 3e38])
def test_tiles_with_far_rows_are_summed_in_double(target, make_single, same_bits, n_features, far):
    """A far row in every tile: float32 adds nothing."""
    for n_components, factor_shape in itertools.product((1, 3), FACTOR_SHAPES):
        problem = make_single(400, n_features, n_components, factor_shape).but(row_weight=None)
        problem.rows[[10, 200, 399], 0] = far
        same_bits(problem.step(target, in_single=True), problem.step(target))
        assert problem.full_step(target, in_single=True)[4:] == problem.full_step(target)[4:]


def test_far_rows_of_weight_zero_change_nothing(target, make_single, same_bits):
    problem = make_single(400, 6, 3)
    expected = problem.but(rows=problem.rows[:333], row_weight=problem.row_weight[:333]).step(target, in_single=True)
    problem.rows[333:] = 1e30
    problem.row_weight[333:] = 0
    same_bits(problem.step(target, in_single=True), expected)


def test_only_tiles_with_far_rows_are_in_double(target, make_single, same_bits):
    """The first of two tiles has the bits of float32, and the sums of both are merged."""
    problem = make_single(288, 5, 3).but(row_weight=None)
    problem.rows[200, 0] = 1e6
    parts = [
        problem.but(rows=problem.rows[:144]).step(target, in_single=True),
        problem.but(rows=problem.rows[144:]).step(target),
    ]
    same_bits(problem.step(target, in_single=True), [a + b for a, b in zip(*parts, strict=True)])


@pytest.mark.parametrize("exponent", [-1020, -332, -127, 127, 332, 900])
def test_any_scale_of_weights(target, make_single, same_bits, exponent):
    """Weights times 2^e give the sums times 2^e, bit for bit, as long as those are numbers of double.

    The core multiplies weights by `weight_scale` and divides their sums by it.
    """
    problem, scale = make_single(500, 6, 3), np.ldexp(1.0, -exponent)
    heavy = problem.but(row_weight=np.ldexp(problem.row_weight, exponent))
    scaled = heavy.step(target, in_single=True, weight_scale=scale)
    expected = problem.step(target, in_single=True)
    if exponent > -1000:
        same_bits(scaled, [np.ldexp(a, exponent) for a in expected])
    else:  # subnormal numbers round
        np.testing.assert_allclose(scaled[1], np.ldexp(expected[1], exponent), rtol=0, atol=5e-324)


def test_weights_of_very_different_size(target, make_single, agrees_with_definition):
    problem = make_single(500, 6, 3)
    problem.row_weight[::2] *= 1e-60
    agrees_with_definition(problem, problem.step(target, in_single=True), EPS)


@pytest.mark.parametrize("n_features", [1, 2, 4, 5, 8, 9, 20])
def test_a_hopeless_component_changes_no_bit(target, make_single, same_bits, n_features):
    problem = make_single(500, n_features, 4)
    for far, place in itertools.product([40, 1e4, 1e15], [0, 2, 4]):
        crowd = problem.with_component(place, np.full(n_features, float(SINGLE(far))))
        log_likelihood, *sums = crowd.step(target, in_single=True)
        assert sums[0][place] == 0
        same_bits((log_likelihood, *(np.delete(a, place, axis=0) for a in sums)), problem.step(target, in_single=True))


def at_the_mean(target, log_scale, n_rows=1):
    """Log-likelihood and mass of rows at the mean of components that differ in log scale only."""
    log_scale = np.asarray(log_scale, float)
    means, factors = np.zeros((len(log_scale), 1)), np.ones((len(log_scale), 1, 1))
    rows = np.zeros((n_rows, 1), SINGLE)
    return target.step(
        rows, None, None, None, log_scale, means, TRIANGULAR, factors, means, SOFT, FULL, 1, in_single=True
    )[:2]


def test_exponentials_are_good_to_a_few_units(target, rng):
    """e/(1 + e): the exponential's unit, that of the sum, of the division and of the product."""
    gaps = -np.concatenate([rng.uniform(0, 41.5, 2000), 2.0 ** rng.uniform(-30, 0, 300)]).astype(SINGLE).astype(float)
    got = np.array([at_the_mean(target, [0, gap])[1][1] for gap in gaps])
    exponential = np.exp(gaps.astype(np.longdouble))
    np.testing.assert_allclose(got, (exponential / (1 + exponential)).astype(float), rtol=2 * EPS)


def test_logarithms_are_good_to_a_unit(target, rng):
    """log(1 + e), where 1 + e is rounded before, and log K."""
    gaps = -rng.uniform(0, 41.5, 2000).astype(SINGLE).astype(float)
    got = np.array([at_the_mean(target, [0, gap])[0] for gap in gaps])
    np.testing.assert_allclose(got, np.log1p(np.exp(gaps.astype(np.longdouble))).astype(float), rtol=EPS, atol=EPS)
    for n_components in (1, 2, 3, 7, 100, 1000, 16384, 40_000):  # a tile multiplies 9 normalisers: 40,000^9 overflows
        got = at_the_mean(target, np.zeros(n_components), 144)[0] / 144
        np.testing.assert_allclose(got, np.log(n_components), rtol=EPS)


def test_what_float32_cannot_do_is_refused(target, make_single):
    problem = make_single(20, 3, 2)
    for case in (
        problem.but(rows=problem.rows.astype(float)),
        problem.but(rule=1),
        problem.but(factors=problem.factors[:1]),
        problem.but(second=0, anchor=None),
    ):
        with pytest.raises(ValueError, match="in_single goes with float32 rows"):
            case.step(target, in_single=True)
