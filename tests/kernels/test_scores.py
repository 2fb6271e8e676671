"""Tests that products of scores equal their definition, and have the same bits on every target."""

import numpy as np
import pytest

TRACE, DIAGONAL, FULL = 1, 2, 3
SOFT, TRIANGULAR = 0, 2
PANEL = 4


def padded(columns):
    """Fill up the last panel with columns of 0."""
    return np.pad(columns, ((0, 0), (0, -columns.shape[1] % PANEL)))


class Case:
    """A problem of the core, with the whitening factors and the form of second moments of `score_products`."""

    def __init__(self, make_problem, rng, n_rows, n_features, n_components, second, is_shared):
        problem = make_problem(n_rows, n_features, n_components, TRIANGULAR, SOFT, FULL)
        self.problem = problem.replace(rows=problem.rows - 5, origin=None)
        shape = 1 if is_shared else n_components, n_features if second == FULL else 1, n_features
        self.whitening, self.second = rng.normal(size=shape), second
        self.order = None

    def products(self, target, n_threads=1):
        p = self.problem
        density = p.rows, p.row_weight, p.log_scale, p.means, p.factor_shape, p.factors, None, None, -np.inf
        return target.score_products(*density, self.whitening, self.second, self.order, n_threads)

    def expected(self):
        """Compute the sums of products over rows by their definition, in long double.

        A component has the scores z (whitened offsets from its mean) and second-order scores, which are scaled to a
        variance of 1. The first result has the products of all scores times responsibilities, and the second has the
        products of each component's own scores. Whole panels hold scores, and the rest of a panel is 0.
        """
        p, d = self.problem, self.problem.rows.shape[1]
        responsibilities = p.exact_responsibilities()[0]
        weight = np.ones(len(p.rows)) if p.row_weight is None else p.row_weight
        columns, shared, within = [], 0, []
        for k, mean in enumerate(p.means):
            whitening = self.whitening[k if len(self.whitening) > 1 else 0].astype(np.longdouble)
            offsets = p.rows.astype(np.longdouble) - mean
            z = offsets @ whitening.T if self.second == FULL else offsets * whitening[0]
            if self.second == TRACE:
                second_order = ((z**2).sum(axis=1, keepdims=True) - d) / np.sqrt(np.longdouble(2 * d))
            else:
                second_order = (z**2 - 1) / np.sqrt(np.longdouble(2))
            if self.second == FULL:
                i, j = np.tril_indices(d, -1)
                second_order = np.concatenate((second_order, z[:, i] * z[:, j]), axis=1)
            responsibility, scores = responsibilities[:, k, None], padded(np.concatenate((z, second_order), axis=1))
            with_ones = np.concatenate((scores, padded(np.ones((len(z), 1)))), axis=1)
            within.append((with_ones * responsibility * weight[:, None]).T @ with_ones)
            columns.append(responsibility * (padded(z) if len(self.whitening) == 1 else scores))
            shared = shared + responsibility * padded(second_order)
        columns += [shared] if len(self.whitening) == 1 else []
        scores = np.concatenate((*columns, padded(responsibilities)), axis=1)
        return (scores * weight[:, None]).T @ scores, np.array(within)


@pytest.fixture
def make_case(make_problem, rng):
    return lambda *arguments: Case(make_problem, rng, *arguments)


@pytest.mark.parametrize("is_shared", [False, True], ids=["own", "shared"])
@pytest.mark.parametrize("second", [TRACE, DIAGONAL, FULL])
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (2, 4), (3, 9), (5, 2), (8, 3)])
def test_score_products_equal_their_definition(target, make_case, shape, second, is_shared):
    for n_rows in (0, 1, 25, 151, 2000):
        case = make_case(n_rows, *shape, second, is_shared)
        for found, expected in zip(case.products(target), case.expected(), strict=True):
            np.testing.assert_allclose(found, expected.astype(float), rtol=1e-12, atol=1e-12 * np.abs(expected).max())


def test_score_products_of_separate_clusters_are_right_in_any_row_order(target, make_case, rng):
    case = make_case(700, 3, 6, FULL, False)
    means = 20 * rng.normal(size=(6, 3))
    rows = means[np.arange(700) % 6] + rng.normal(size=(700, 3))
    case.problem = case.problem.replace(rows=rows, means=means, row_weight=None)
    expected = case.expected()
    for order in None, np.argsort(np.arange(700) % 6, kind="stable").astype(np.uint16):
        case.order = order
        for found, exact in zip(case.products(target), expected, strict=True):
            np.testing.assert_allclose(found, exact.astype(float), rtol=1e-11, atol=1e-12 * np.abs(exact).max())


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("second", [TRACE, DIAGONAL, FULL])
def test_score_products_have_the_same_bits_for_any_target_and_number_of_threads(targets, make_case, same_bits, second):
    for n_features, is_shared in ((1, False), (4, True), (7, False)):
        case = make_case(30_001, n_features, 5, second, is_shared)
        expected = case.products(targets[0])
        for target in targets:
            same_bits(case.products(target, 3), expected)


@pytest.mark.parametrize(
    ("shape", "second"), [((2, 1, 3), FULL), ((5, 3, 3), FULL), ((3, 3, 3), DIAGONAL), ((3, 3, 3), 4)]
)
def test_score_products_reject_whitening_of_wrong_shape(targets, make_case, shape, second):
    case = make_case(10, 3, 3, FULL, False)
    case.whitening, case.second = np.ones(shape), second
    with pytest.raises(ValueError, match=r"whitening must have shape|second must be"):
        case.products(targets[0])
