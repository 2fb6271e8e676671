"""Tests of structures with `max_condition`: the clamping of eigenvalues is optimal, and fits keep the bound."""

import numpy as np
import pytest
from common import family_named

from gaussmix import FAMILIES
from gaussmix._src.families.bounded import clamp_to_ratio
from gaussmix._src.testing import check_family as laws
from gaussmix._src.testing.check_fit import fit
from gaussmix.testing import PROBLEMS, check_equivariance, check_family, check_monotone, check_relabelling

NAMES = [name for name, family in FAMILIES.items() if "max_condition" in family.get_params()]
BOUNDS = [1.0, 1.7, 20.0]
WIDE_BOUND = 1e9  # a bound that no scatter matrix in these tests reaches
names = pytest.mark.parametrize("name", NAMES)
bounds = pytest.mark.parametrize("bound", BOUNDS)


def loss(clamps, values, degrees):
    return (degrees[:, None] * (np.log(clamps) + values / clamps)).sum()


def test_max_condition_is_a_parameter_of_six_structures():
    assert set(NAMES) == {"full", "tied", "diag", "spherical", "EEI", "EII"}


@pytest.mark.parametrize("bound", [1.0, 1.01, 3.0, 50.0, 1e6])
@pytest.mark.parametrize("shape", [(1, 2), (4, 1), (3, 4)])
def test_clamped_eigenvalues_maximise_the_likelihood(shape, bound, rng):
    """No other clamp on a fine grid is better, for any scales and for ties and zeros among the eigenvalues."""
    for _ in range(8):
        values, degrees = 10 ** rng.uniform(-3, 3, size=shape), rng.uniform(0.1, 50, size=shape[0])
        if rng.random() < 0.3:
            values.flat[0] = 0.0
        if rng.random() < 0.3:
            values.flat[-1] = values.max()
        found = clamp_to_ratio(values, degrees, bound)
        assert found.max() <= bound * found.min() * (1 + 1e-15)
        if values.max() <= bound * values.min():
            assert found is values
            continue
        grid = np.geomspace(values[values > 0].min() / bound / 2, values.max(), 500)
        best = min(loss(np.clip(values, m, bound * m), values, degrees) for m in grid)
        assert loss(found, values, degrees) <= best + 1e-12 * np.abs(best)


def test_clamped_eigenvalues_equal_the_closed_form():
    """For variances 1 and 9 of equal weight the clamp is their mean at c = 1, and m = (1 + 9 / 3) / 2 at c = 3."""
    values, degrees = np.array([[1.0], [9.0]]), np.array([5.0, 5.0])
    np.testing.assert_allclose(clamp_to_ratio(values, degrees, 1.0), [[5.0], [5.0]], rtol=1e-15)
    np.testing.assert_allclose(clamp_to_ratio(values, degrees, 3.0), [[2.0], [6.0]], rtol=1e-15)
    np.testing.assert_allclose(clamp_to_ratio(values, np.array([15.0, 5.0]), 3.0), [[1.5], [4.5]], rtol=1e-15)
    assert clamp_to_ratio(values, degrees, 9.0) is values


@pytest.mark.heavy(n_default=2)
@names
def test_structures_with_a_bound_that_is_not_reached_pass_check_family(name, rng):
    check_family(family_named(name, max_condition=WIDE_BOUND), rng)


@bounds
@names
def test_an_update_with_eigenvalues_at_the_bound_maximises_the_likelihood(name, bound, rng):
    family = family_named(name, max_condition=bound)
    for n_components, n_features in [(1, 3), (3, 1), (3, 4)]:
        laws.check_update_is_a_maximum(family, n_components, n_features, rng)
        laws.check_exact_moments(family, n_components, n_features, rng)
        laws.check_warm_start(family, n_components, n_features, rng)
        laws.check_singular(family, n_components, n_features, rng)


@names
def test_no_random_covariances_within_the_bound_have_a_higher_likelihood(name, rng):
    """Compare with random covariances of the structure, clamped to a random interval."""
    family, free = family_named(name, max_condition=3.0), FAMILIES[name]
    mass, full = laws.random_scatters(rng, 3, 4)
    best = laws.expected_log_likelihood(family.update(laws.as_needed(family, mass, full), None).dense(), mass, full)
    for _ in range(50):
        _, other = laws.random_scatters(rng, 3, 4)
        mixed = (1 - (fraction := rng.random())) * full + fraction * other
        values, axes = np.linalg.eigh(free.update(laws.as_needed(free, mass, mixed), None).dense())
        least = rng.uniform(values.min() / 3, values.max())
        clamps = np.clip(values, least, 3 * least)
        dense = np.einsum("kij,kj,klj->kil", axes, clamps, axes)
        assert laws.expected_log_likelihood(dense, mass, full) <= best + 1e-12 * abs(best)


@pytest.mark.heavy(n_default=1)
@names
def test_fits_with_max_condition_are_monotone_equivariant_and_keep_the_bound(name, engine, rng):
    bound = 1.7
    family = family_named(name, max_condition=bound)
    check_equivariance(family, engine, rng)
    for problem in ["overlapping", "wide"]:
        check_monotone(family, engine, problem)
        check_relabelling(family, engine, problem)
        values = np.linalg.eigvalsh(fit(PROBLEMS[problem], family, engine)[0].covariances.dense())
        assert values.max() <= bound * values.min() * (1 + 1e-9)


@names
def test_max_condition_1_gives_a_single_spherical_covariance(name, rng):
    family, mass, full = family_named(name, max_condition=1), *laws.random_scatters(rng, 3, 4)
    found = family.update(laws.as_needed(family, mass, full), None).dense()
    variance = np.trace(full, axis1=1, axis2=2).sum() / (4 * mass.sum())
    np.testing.assert_allclose(found, np.broadcast_to(variance * np.eye(4), found.shape), rtol=1e-14, atol=1e-14)
    assert family.n_parameters(3, 4) == 1
