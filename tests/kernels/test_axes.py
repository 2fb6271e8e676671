"""Tests of the principal axes of one matrix, and of axes that several matrices share."""

import mpmath
import numpy as np
import pytest
from common import EPS

from gaussmix._src.testing.check_family import random_scatters

ROUNDING = 8 * EPS  # rounding of d sums, and of d rotations in each of about eight sweeps


def products(rng, n_features, n_terms, count=2):
    """Return positive semidefinite matrices, whose rank is the smaller of both numbers."""
    roots = rng.normal(size=(count, n_features, n_terms))
    matrices = roots @ roots.swapaxes(1, 2)
    return (matrices + matrices.swapaxes(1, 2)) / 2


def assert_axes(matrices, spectra, axes):
    """Check that A = U diag(v) Uᵀ with orthonormal U and sorted v ≥ 0."""
    rounding = ROUNDING * matrices.shape[1]
    assert (spectra >= 0).all()
    assert (np.diff(spectra, axis=1) <= 0).all()
    np.testing.assert_allclose(axes.swapaxes(1, 2) @ axes, [np.eye(len(axes[0]))] * len(axes), rtol=0, atol=rounding)
    back = (axes * spectra[:, None, :]) @ axes.swapaxes(1, 2)
    assert (np.abs(back - matrices).max(axis=(1, 2)) <= rounding * spectra[:, 0]).all()


@pytest.mark.parametrize("n_features", [1, 2, 3, 7, 8, 9, 16, 33, 100])
def test_principal_axes_and_variances_reproduce_the_matrix(target, rng, n_features):
    matrices = products(rng, n_features, 2 * n_features)
    spectra, axes = target.principal_axes(matrices)
    assert_axes(matrices, spectra, axes)
    expected = np.linalg.eigvalsh(matrices)[:, ::-1]
    np.testing.assert_allclose(spectra, expected, rtol=0, atol=ROUNDING * n_features * expected.max())


@pytest.mark.parametrize(("n_features", "rank"), [(2, 1), (5, 2), (9, 8), (30, 3), (4, 0)])
def test_principal_axes_of_a_singular_matrix_are_orthonormal(target, rng, n_features, rank):
    matrices = products(rng, n_features, rank)
    spectra, axes = target.principal_axes(matrices)
    assert_axes(matrices, spectra, axes)
    assert (spectra[:, rank:] <= ROUNDING * n_features * spectra[:, :1]).all()


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1], [1, 2, 0]])
def test_principal_axes_of_nearly_equal_features_keep_a_small_covariance(target, order):
    """Check y = x + δz, for which δ² is lost next to 1, but the covariance δ of y and z is not."""
    matrix = np.array([[1, 1, 0], [1, 1, 1e-8], [0, 1e-8, 1]])[np.ix_(order, order)]
    assert_axes(matrix[None], *target.principal_axes(matrix[None]))


@pytest.mark.parametrize("order", ["largest first", "smallest first", "mixed"])
def test_variances_along_principal_axes_keep_their_digits(target, rng, order):
    """Check A = DBD with features 10⁶ apart in size: eigenvalues have the digits that B determines."""
    root = rng.normal(size=(6, 12))
    correlations = root @ root.T
    sizes = 10.0 ** np.array(
        {
            "largest first": [0, -3, -6, -9, -12, -15],
            "smallest first": [-15, -12, -9, -6, -3, 0],
            "mixed": [-9, 0, -15, -3, -12, -6],
        }[order]
    )
    matrix = correlations * np.outer(sizes, sizes)
    with mpmath.workdps(80):
        values = mpmath.eigsy(mpmath.matrix(matrix.tolist()), eigvals_only=True)
        exact = sorted(map(float, values), reverse=True)
    spectra, axes = target.principal_axes(matrix[None])
    unit = np.diagonal(correlations) ** -0.5
    condition = np.linalg.cond(correlations * np.outer(unit, unit))
    np.testing.assert_allclose(spectra[0], exact, rtol=6 * ROUNDING * condition)
    assert_axes(matrix[None], spectra, axes)


@pytest.mark.parametrize("ratio", [1e-12, 1e-18, 1e-60])
@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_principal_axes_decorrelate_features_of_very_different_scales(target, rng, ratio, order):
    """Check A = DBD, where the axis of the smallest feature needs an entry below ε for the largest feature.

    Without this entry, the two features would remain correlated in UᵀAU, which structures with shared axes use.
    """
    root = rng.normal(size=(3, 9))
    sizes = np.array([1, ratio, ratio**2])[order]
    matrix = root @ root.T * np.outer(sizes, sizes)
    axes = target.principal_axes(matrix[None])[1]
    with mpmath.workdps(300):
        turned = mpmath.matrix(axes[0].tolist()).T * mpmath.matrix(matrix.tolist()) * mpmath.matrix(axes[0].tolist())
        unit = [1 / mpmath.sqrt(turned[j, j]) for j in range(3)]
        correlations = np.array([[float(turned[i, j] * unit[i] * unit[j]) for j in range(3)] for i in range(3)])
    np.testing.assert_allclose(correlations, np.eye(3), rtol=0, atol=6 * ROUNDING * np.linalg.cond(root @ root.T))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("index", [(0, 0), (1, 2)])
def test_principal_axes_treat_a_matrix_that_is_not_finite_as_zero(target, rng, value, index):
    matrices = products(rng, 3, 6, count=3)
    matrices[1][index] = value
    spectra, axes = target.principal_axes(matrices)
    np.testing.assert_array_equal(spectra[1], np.zeros(3))
    np.testing.assert_array_equal(axes[1], np.eye(3))
    assert_axes(matrices[::2], spectra[::2], axes[::2])


def test_axes_have_the_same_bits_on_every_target(targets, rng):
    matrices = products(rng, 13, 20, count=11)
    start = np.linalg.qr(rng.normal(size=(13, 13)))[0]
    first, *others = targets
    for target in others:
        for found, expected in zip(target.principal_axes(matrices), first.principal_axes(matrices), strict=True):
            np.testing.assert_array_equal(found, expected)
        for importance in (None, np.arange(1.0, 12)):
            expected = first.shared_axes(matrices, start, importance, 20)
            np.testing.assert_array_equal(target.shared_axes(matrices, start, importance, 20), expected)


@pytest.mark.parametrize("exponent", [-500, 500])
def test_shared_axes_do_not_depend_on_the_unit(target, rng, exponent):
    mass, scatters = random_scatters(rng, 3, 4)
    for importance in (mass, None):
        expected = target.shared_axes(scatters, np.eye(4), importance, 100)
        found = target.shared_axes(np.ldexp(scatters, exponent), np.eye(4), importance, 100)
        np.testing.assert_array_equal(found, expected)


def test_functions_for_axes_reject_arrays_of_wrong_shapes(target):
    with pytest.raises(ValueError, match="matrices must have shape"):
        target.principal_axes(np.zeros((1, 2, 3)))
    with pytest.raises(ValueError, match="scatters must have shape"):
        target.shared_axes(np.zeros((1, 2, 3)), np.eye(2), None, 1)
    with pytest.raises(ValueError, match="start must have shape"):
        target.shared_axes(np.zeros((1, 2, 2)), np.eye(3), None, 1)
    with pytest.raises(ValueError, match="importance must have shape"):
        target.shared_axes(np.zeros((1, 2, 2)), np.eye(2), np.ones(2), 1)
