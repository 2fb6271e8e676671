"""Tests of drawn rows: accurate normal numbers, and the same bits for any number of rows and threads on any target."""

import mpmath
import numpy as np
import pytest
from common import EPS, invalid_arguments

KEY = 0x0123456789ABCDEF
SPHERICAL, TRIANGULAR = 0, 2  # codes of the shapes of factors
ONES = 0xFFFFFFFF
# Words of u and v: smallest and largest u; whole, half and eighth turns, and both neighbours of each.
EDGES = [(0, 0), (0, 1), (ONES, ONES), (ONES, ONES - 1), (1 << 31, 0), (ONES, 0)]
TURNS = [((eighth << 29) + step) % 2**32 for eighth in range(8) for step in (-1, 0, 1)]


def words_of(pairs):
    """Return random bits that consist of pairs of words of u and of v."""
    return np.array(pairs, np.uint32).reshape(-1, 4)


def box_muller(words):
    """Compute the normal numbers of one row of words, with 40 digits."""
    with mpmath.workdps(40):
        a, b, c, d = (int(word) for word in words)
        u, v = (mpmath.mpf((high << 21) + (low & 0x1FFFFF)) / 2**53 for high, low in ((a, b), (c, d)))
        radius = mpmath.sqrt(-2 * mpmath.log(u + mpmath.mpf(2) ** -53))
        return radius * mpmath.cospi(2 * v), radius * mpmath.sinpi(2 * v)


def relative_errors(target, words):
    """Return errors of both numbers of each row of words, in units of ε; 0 if both are 0."""
    found, exact = target.normals(words), [box_muller(row) for row in words]
    pairs = zip(found.ravel(), (number for both in exact for number in both), strict=True)
    return np.array([float(abs(f - e) / abs(e)) if e else abs(f) for f, e in pairs]) / EPS


def test_drawn_normal_numbers_are_accurate_to_the_last_bits(target, rng):
    """Check that the error is at most the logarithm's ε / 2, root's ε / 2, cosine's 0.85 ε and product's ε / 2."""
    assert relative_errors(target, rng.integers(2**32, size=(2000, 4), dtype=np.uint32)).max() <= 2.35


def test_drawn_normal_numbers_of_extreme_words_are_accurate(target):
    words = words_of([(*u, turn, low) for u in EDGES for turn in TURNS for low in (0, ONES)])
    assert relative_errors(target, words).max() <= 2.35


@pytest.mark.heavy(n_default=1)
def test_cosine_and_sine_of_drawn_normal_numbers_are_accurate(target, rng):
    """Check errors relative to the radius, the number for v = 0, so that only 0.85 ε and the product's ½ ε are left."""
    turns = rng.integers(2**32, size=(2000, 2), dtype=np.uint32)
    found = target.normals(np.hstack([np.zeros_like(turns), turns]))
    radius = target.normals(words_of([(0, 0, 0, 0)]))[0, 0]
    for (a, b), numbers in zip(turns, found, strict=True):
        with mpmath.workdps(40):
            v = mpmath.mpf((int(a) << 21) + (int(b) & 0x1FFFFF)) / 2**52
            for number, exact in zip(numbers, (radius * mpmath.cospi(v), radius * mpmath.sinpi(v)), strict=True):
                assert abs(number - exact) <= 1.35 * EPS * abs(exact)


def test_extreme_words_give_the_largest_and_the_smallest_normal_numbers(target):
    largest = target.normals(words_of([(0, 0, 0, 0)]))[0]
    assert largest[0] == pytest.approx(np.sqrt(2 * 53 * np.log(2)), rel=3 * EPS)
    assert largest[1] == 0
    np.testing.assert_array_equal(np.abs(target.normals(words_of([(ONES, ONES, 5, 5)]))), 0)


@pytest.fixture
def make_mixture(make_problem, rng):
    """Return a function that makes the arguments of a draw: cumulative weights, means, factor_shape, factors."""

    def make(n_features, n_components, factor_shape):
        cumulative = np.cumsum(rng.dirichlet(np.ones(n_components)))
        cumulative[-1] = np.inf
        problem = make_problem(0, n_features, n_components, factor_shape)
        return cumulative, problem.means, problem.factor_shape, problem.factors

    return make


def draw(target, mixture, n_rows, n_threads=1, key=KEY):
    """Draw rows and labels."""
    rows, labels = np.full((n_rows, mixture[1].shape[1]), np.nan), np.full(n_rows, -1)
    target.draw(*mixture, key, rows, labels, n_threads)
    return rows, labels


@pytest.mark.parametrize("factor_shape", range(4))
@pytest.mark.parametrize("n_features", [1, 2, 3, 7, 8, 9, 16, 17, 33])
def test_a_drawn_row_depends_only_on_its_index(targets, make_mixture, same_bits, n_features, factor_shape):
    """Check sizes on both sides of lanes, groups and blocks, and components with one row or many, on all targets."""
    for n_components in (1, 3, 300):
        mixture = make_mixture(n_features, n_components, factor_shape)
        rows, labels = draw(targets[0], mixture, 8_300)
        assert np.isfinite(rows).all()
        for target in targets:
            for n_rows in (0, 1, 7, 8, 9, 31, 32, 33, 8_191, 8_193):
                same_bits(draw(target, mixture, n_rows), (rows[:n_rows], labels[:n_rows]))


def test_drawn_rows_are_means_plus_unwhitened_normal_numbers(target, make_mixture):
    """Compare with normal numbers of the same key, which are computed from the unit mixture."""
    for n_features in (1, 6, 20):
        cumulative, means, factor_shape, factors = make_mixture(n_features, 4, TRIANGULAR)
        rows, labels = draw(target, (cumulative, means, factor_shape, factors), 500)
        normals, _ = draw(target, (cumulative, np.zeros_like(means), SPHERICAL, np.ones(4)), 500)
        whitened = np.einsum("nij,nj->ni", factors[labels], rows - means[labels])
        np.testing.assert_allclose(whitened, normals, rtol=0, atol=100 * n_features * EPS)


INVALID = {
    "the last cumulative weight must exceed 1": [{"cumulative": np.array([0.5, 1.0])}],
    "cumulative and means must have the same number of components": [
        {"cumulative": np.array([0.5, 0.7, np.inf])}, {"means": np.zeros((3, 3))}
    ],
    "triangular factors must have shape": [{"means": np.zeros((2, 4))}],
    "means must have features": [{"means": np.zeros((2, 0))}],
    "factor_shape must be 0, 1, 2 or 3": [{"factor_shape": 4}],
    "factors must have 1, 2, 3 or 3 dimensions": [{"factors": np.ones(2)}],
    "rows must have shape (n_rows, n_features), and labels (n_rows,)": [
        {"rows": np.zeros((10, 2))}, {"rows": np.zeros((9, 3))}, {"labels": np.zeros(9, np.int64)}
    ],
    "n_threads must be at least 1": [{"n_threads": 0}],
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), invalid_arguments(INVALID))
def test_draw_rejects_invalid_arguments(target, change, message):
    arguments = {
        "cumulative": np.array([0.5, np.inf]),
        "means": np.zeros((2, 3)),
        "factor_shape": TRIANGULAR,
        "factors": np.ones((2, 3, 3)),
        "key": 1,
        "rows": np.zeros((10, 3)),
        "labels": np.zeros(10, np.int64),
        "n_threads": 1,
    }
    target.draw(*arguments.values())
    with pytest.raises(ValueError, match=message):
        target.draw(*(arguments | change).values())


@pytest.mark.parametrize(
    ("rows", "labels"),
    [
        (np.zeros((4, 6))[:, ::2], np.zeros(4, np.int64)),
        (np.zeros((4, 3), np.float32), np.zeros(4, np.int64)),
        (np.zeros((4, 3)), np.zeros(4, np.int32)),
        (np.broadcast_to(np.zeros(3), (4, 3)), np.zeros(4, np.int64)),
        (None, np.zeros(4, np.int64)),
    ],
)
def test_draw_rejects_output_arrays_that_cannot_be_written(target, rows, labels):
    with pytest.raises(TypeError):
        target.draw(np.array([np.inf]), np.zeros((1, 3)), SPHERICAL, np.ones(1), 1, rows, labels, 1)


def test_normals_requires_four_words_per_row(target):
    assert target.normals(np.zeros((0, 4), np.uint32)).shape == (0, 2)
    with pytest.raises(ValueError, match="words"):
        target.normals(np.zeros((4, 3), np.uint32))
