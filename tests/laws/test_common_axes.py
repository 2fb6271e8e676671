"""Tests of the building blocks of covariance structures: shared axes, initial axes, and matrix exponentials."""

from math import exp

import numpy as np
import pytest
from common import EPS

from gaussmix import FAMILIES, _core
from gaussmix._src.covariances.dense import composed
from gaussmix._src.numerics.axes import common_axes
from gaussmix._src.numerics.core import native_target
from gaussmix._src.numerics.elementary import exponential
from gaussmix._src.testing.check_family import GAIN, as_needed, expected_log_likelihood, random_scatters
from gaussmix.extend import Scatter, principal_axes
from gaussmix.testing import check_family


def spectra_along(scatters, axes):
    return np.einsum("ji,kjl,li->ki", axes, scatters, axes)


@pytest.mark.parametrize("importance", ["masses", "volumes"])
def test_no_sweep_raises_the_criterion_that_shared_axes_minimises(importance, rng):
    """Check Σ_k N_k log |diag(DᵀS_kD)| and Σ_k |diag(DᵀS_kD)|^(1/d) after each sweep from random axes."""
    mass, scatters = random_scatters(rng, 3, 5)
    weights, value = {
        "masses": (mass, lambda spectra: (mass * np.log(spectra).sum(axis=1)).sum()),
        "volumes": (None, lambda spectra: np.exp(np.log(spectra).mean(axis=1)).sum()),
    }[importance]
    axes = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    values = [value(spectra_along(scatters, axes))]
    for _ in range(30):
        axes = native_target().shared_axes(scatters, axes, weights, max_sweeps=1)
        values.append(value(spectra_along(scatters, axes)))
    np.testing.assert_allclose(axes.T @ axes, np.eye(5), atol=30 * 5 * 5 * EPS)  # a rotation adds ε to each entry
    assert np.diff(values).max() <= 25 * EPS * abs(values[0])  # rounding of sums of 5 × 5 products
    assert values[-1] < values[0] - 1e-3 * abs(values[0])


def test_an_update_of_common_axes_passes_saddle_points():
    """Check scatter matrices for which 155 sweeps are needed, because rotations pass a saddle point slowly."""
    check_family(FAMILIES["VVE"], np.random.default_rng(25))


@pytest.mark.parametrize("name", ["EVE", "VVE"])
def test_updates_with_many_features_rise_to_a_stationary_point(name, rng):
    """Check updates whose sweeps end early: after enough updates, Flury's (1984) equation for the axes holds.

    For `EVE`, the total weights in this equation are replaced by the volumes |diag(DᵀS_kD)|^(1/d).
    """
    family = FAMILIES[name]
    mass, start = random_scatters(rng, 12, 10)
    _, full = random_scatters(rng, 12, 10)
    current = family.update(as_needed(family, mass, start), None)
    scatter, objectives = as_needed(family, mass, full), []
    for _ in range(40):
        objectives.append(expected_log_likelihood(current.dense(), mass, full))
        current = family.update(scatter, current)
    gains = np.diff(objectives)
    assert gains.min() >= -GAIN * mass.sum() * 10
    assert gains[1] > 1e-6  # the first update of these scatter matrices has not found the maximum
    axes = common_axes(current.dense())
    turned = axes.T @ full @ axes
    variances = np.einsum("kii->ki", turned)
    weights = mass if name == "VVE" else np.exp(np.log(variances).mean(axis=1))
    slopes = np.einsum("k,kij,kij->ij", weights, 1 / variances[:, None] - 1 / variances[:, :, None], turned)
    assert np.abs(slopes).max() < 1e-6 * weights.sum()


@pytest.mark.parametrize("name", ["EVE", "VVE"])
@pytest.mark.parametrize("n_features", [5, 10])
def test_updates_of_common_axes_do_not_depend_on_the_order_of_components(name, n_features, rng):
    family = FAMILIES[name]
    (mass, start), (_, full) = (random_scatters(rng, 12, n_features) for _ in range(2))
    current, order = family.update(as_needed(family, mass, start), None), rng.permutation(12)
    expected = family.update(as_needed(family, mass, full), current).dense()[order]
    actual = family.update(as_needed(family, mass[order], full[order]), current.take(order)).dense()
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-9 * np.abs(expected).max())


def test_shared_axes_diagonalises_commuting_covariances(rng):
    """Commuting covariances have axes that diagonalise all of them, even if two axes have equal total variances."""
    axes = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    spectra = np.array([[1.0, 2.0, 3.0, 4.0], [2.0, 1.0, 5.0, 4.0], [3.0, 3.0, 1.0, 4.0]])
    matrices = composed(axes[None], spectra)
    found = native_target().shared_axes(matrices, np.linalg.qr(rng.normal(size=(4, 4)))[0], np.ones(3), max_sweeps=1000)
    off = found.T @ matrices @ found
    off[:, range(4), range(4)] = 0.0
    assert np.abs(off).max() < 1e-6  # at this distance from the optimum the criterion is flat within 4 ε


def test_principal_axes_are_sorted_and_a_matrix_with_infinity_becomes_zero(rng):
    _, matrices = random_scatters(rng, 3, 4)
    matrices[1, 0, 0] = np.inf
    spectra, axes = principal_axes(matrices)
    assert (np.diff(spectra, axis=1) <= 0).all()
    assert (spectra[1] == 0).all()
    back = composed(axes, spectra)[[0, 2]]
    np.testing.assert_allclose(back, matrices[[0, 2]], atol=16 * EPS * spectra.max())
    assert (back == back.swapaxes(1, 2)).all()


def test_vve_tries_the_axes_of_the_largest_components(rng):
    """Check ten components with different axes that are not sorted by mass."""
    degrees = np.array([5.0, 60.0, 20.0, 90.0, 1.0, 30.0, 80.0, 10.0, 70.0, 40.0])
    axes = np.linalg.qr(rng.normal(size=(10, 3, 3)))[0]
    second = degrees[:, None, None] * composed(axes, np.tile([9.0, 4.0, 1.0], (10, 1)))
    scatter = Scatter(degrees, second, 3, FAMILIES["VVE"].moment_spec(None))
    candidates = [each.each for each in FAMILIES["VVE"].other_initial_covariances(scatter)]
    assert len(candidates) == 1 + _core.MAX_AXES_COMPONENTS
    for k, own in enumerate(second / degrees[:, None, None]):  # a component's covariance along its own axes
        errors = [np.abs(each[k] / _core.OWN_AXES_FACTOR - own).max() for each in candidates]
        assert (min(errors) < 1e-9) == (degrees[k] > 5.0)
    pooled = np.linalg.eigh(second.sum(axis=0))[1]
    off = pooled.T @ (candidates[0] / _core.POOLED_AXES_FACTOR) @ pooled
    np.testing.assert_allclose(np.einsum("kii->ki", off), spectra_along(second, pooled) / degrees[:, None], rtol=1e-9)


@pytest.mark.parametrize(("n_components", "n_features", "expected"), [(1, 3, 0), (3, 1, 0), (2, 3, 3), (3, 2, 4)])
def test_vve_tries_other_axes_only_if_components_can_differ_in_axes(n_components, n_features, expected, rng):
    degrees, second = random_scatters(rng, n_components, n_features)
    scatter = Scatter(degrees, second, n_features, FAMILIES["VVE"].moment_spec(None))
    assert len(FAMILIES["VVE"].other_initial_covariances(scatter)) == expected


def test_exponential_is_accurate_to_two_units_in_the_last_place(rng):
    numbers = np.concatenate([rng.uniform(-700, 700, 2000), rng.normal(size=2000), [0.0]])
    expected = np.array([exp(x) for x in numbers])
    assert (np.abs(exponential(numbers) - expected) <= 2 * np.spacing(expected)).all()
    assert exponential(np.array([0.0, -np.inf])).tolist() == [1.0, 0.0]


def test_exponential_gives_the_same_bits_for_one_row_and_many(rng):
    numbers = rng.normal(size=(300, 90))[::2].T
    alone = [exponential(row) for row in numbers]
    np.testing.assert_array_equal(exponential(numbers), alone)
