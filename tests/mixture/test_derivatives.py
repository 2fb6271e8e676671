"""Gradient and Hessian of the log density agree with differences of densities in mpmath."""

import numpy as np
import pytest
from common import assert_close, families
from exact_mixtures import deviations, log_density, rounding
from mpmath import mp

from gaussmix import FAMILIES, Mixture
from gaussmix.testing import PROBLEMS

STEP = mp.mpf(10) ** -30  # in standard deviations: errors are its square, and second differences keep 60 of 120 digits


def differences(mixture, row, units):
    """Compute ∇ log p and its second derivatives by central differences in 120 digits, in units of the features."""
    n_features = len(row)
    with mp.workdps(120):
        density = log_density(mixture)
        row = [mp.mpf(float(x)) for x in row]
        steps = [STEP * mp.mpf(float(unit)) for unit in units]

        def at(*moves):
            moved = list(row)
            for j, sign in moves:
                moved[j] += sign * steps[j]
            return density(moved)

        gradient = [(at((j, 1)) - at((j, -1))) / (2 * STEP) for j in range(n_features)]
        hessian = np.empty((n_features, n_features))
        for i in range(n_features):
            for j in range(i + 1):
                corners = at((i, 1), (j, 1)) - at((i, 1), (j, -1)) - at((i, -1), (j, 1)) + at((i, -1), (j, -1))
                hessian[i, j] = hessian[j, i] = float(corners / (4 * STEP**2))
        return np.array([float(g) for g in gradient]), hessian


def assert_exact(mixture, rows):
    """Check both up to rounding, relative to D = ‖W(x − μ)‖ of the farthest component that matters."""
    units, tolerance = deviations(mixture).max(axis=0), rounding(mixture)
    gradient, hessian = mixture.gradient(rows), mixture.hessian(rows)
    assert np.isfinite(gradient).all()
    assert np.isfinite(hessian).all()
    for i, row in enumerate(rows):
        expected, second = differences(mixture, row, units)
        size = 1.0 + np.abs(expected).max()
        assert_close(gradient[i] * units, expected, tolerance, size, "gradient")
        size = max(size, np.abs(second).max())
        assert_close(hessian[i] * np.outer(units, units), second, tolerance * size, size, "hessian")
        np.testing.assert_array_equal(hessian[i], hessian[i].T)


@families
@pytest.mark.parametrize("problem", ["overlapping", "unlike units", "far from 0"])
def test_gradient_and_hessian_agree_with_exact_differences(family, problem):
    mixture = Mixture._from_model(PROBLEMS[problem].start(family))
    assert_exact(mixture, np.vstack([PROBLEMS[problem].rows[:3], mixture.means[:1], mixture.mean]))


@families
@pytest.mark.parametrize("distance", [1e2, 1e6, 1e8])
def test_gradient_and_hessian_of_distant_rows_are_exact(family, distance):
    mixture = Mixture._from_model(PROBLEMS["separate"].start(family))
    assert_exact(mixture, distance * np.array([[1.0, 0.3], [-0.2, 1.0], [1.0, 0.0]]))


def test_hessian_is_exact_at_a_distant_row_midway_between_two_components():
    """Check a row midway between two components, 1e8 standard deviations out, where errors of ε · 1e8 would show."""
    precision = np.linalg.inv([[1.0, 0.3], [0.3, 1.0]])
    mixture = Mixture([0.5, 0.5], [[-1.5, 0.0], [1.5, 0.0]], [[1.0, 0.3], [0.3, 1.0]], FAMILIES["tied"])
    pull = precision @ [1.5, 0.0]
    np.testing.assert_allclose(mixture.hessian([[3e7, 1e8]])[0], np.outer(pull, pull) - precision, rtol=1e-13)


def test_derivatives_accept_weights_of_0_and_enormous_rows():
    mixture = Mixture([0.0, 1.0], [[9.0], [1.0]], [4.0, 4.0], FAMILIES["spherical"])
    np.testing.assert_array_equal(mixture.gradient([[9.0], [-1e200]]), [[-2.0], [2.5e199]])
    np.testing.assert_array_equal(mixture.hessian([[9.0], [-1e200]]), [[[-0.25]]] * 2)
    assert mixture.hessian(np.empty((0, 1))).shape == (0, 1, 1)
    assert mixture.gradient(np.empty((0, 1))).shape == (0, 1)


@pytest.mark.parametrize("rows", [[[1.0]], [[np.nan, 0.0, 0.0]]])
def test_derivatives_reject_invalid_rows(rows):
    mixture = Mixture._from_model(PROBLEMS["overlapping"].start(FAMILIES["full"]))
    for derivative in (mixture.gradient, mixture.hessian):
        with pytest.raises(ValueError, match="rows"):
            derivative(rows)
