"""Laws of factor analysers of every kind; those with one factor of each component's own are in the registry's laws."""

import copy
import pickle
from itertools import product

import numpy as np
import pytest

from gaussmix.families.factor_analyzer import NOISES, FactorAnalyzer
from gaussmix.testing import PROBLEMS, check_equivariance, check_family, check_monotone, check_relabelling
from gaussmix.testing.check_family import SHAPES, as_needed, check_n_parameters, random_scatters, updated
from gaussmix.testing.closeness import EPS

KINDS = list(product(NOISES, (False, True), (False, True)))
kinds = pytest.mark.parametrize("kind", KINDS, ids=str)


@kinds
def test_every_kind_keeps_the_laws_of_families(kind, rng):
    check_family(FactorAnalyzer(1, *kind), rng)


@pytest.mark.parametrize("n_factors", [2, 3])
@kinds
def test_parameters_are_counted_without_the_rotations_of_factors(kind, n_factors, rng):
    for n_components, n_features in [shape for shape in SHAPES if shape[1] >= n_factors]:
        check_n_parameters(FactorAnalyzer(n_factors, *kind), n_components, n_features, rng)


@pytest.mark.parametrize("problem", [name for name, problem in PROBLEMS.items() if problem.rows.shape[1] > 1])
@pytest.mark.parametrize("n_factors", [1, 2])
@kinds
def test_no_kind_lowers_the_likelihood_or_tells_components_by_their_number(kind, n_factors, problem, engine):
    check_monotone(FactorAnalyzer(n_factors, *kind), engine, problem)
    check_relabelling(FactorAnalyzer(n_factors, *kind), engine, problem)


@kinds
def test_fits_move_along_with_the_data(kind, engine, rng):
    check_equivariance(FactorAnalyzer(2, *kind), engine, rng)


@pytest.mark.parametrize("n_factors", [1, 2, 4])
def test_variances_are_those_of_the_rows_after_any_step(n_factors, rng):
    """With the factors' covariance as an extra parameter; Liu, Rubin & Wu (1998)."""
    family = FactorAnalyzer(n_factors)
    mass, full = random_scatters(rng, 3, 6)
    expected = np.diagonal(full, axis1=1, axis2=2) / mass[:, None]
    covariances = updated(family, mass, full)
    for _ in range(5):
        covariances = family.update(as_needed(family, mass, full, covariances), covariances)
        # A sum of at most 4 squares that is taken away and added again.
        np.testing.assert_allclose(family.variances(covariances, 3, 6), expected, rtol=8 * EPS)


def test_what_is_shared_is_the_same_to_the_bit(rng):
    mass, full = random_scatters(rng, 3, 5)
    for noise, shared_loadings, shared_noise in KINDS:
        family = FactorAnalyzer(2, noise, shared_loadings, shared_noise)
        loadings, variances = family.split(updated(family, mass, full))
        assert (loadings == loadings[:1]).all() == shared_loadings
        assert (variances == variances[:1]).all() == shared_noise
        assert (variances == variances[:, :1]).all() == (noise == NOISES[1])


@kinds
def test_a_family_is_a_value(kind):
    family = FactorAnalyzer(2, *kind)
    assert family == FactorAnalyzer(2, *kind) != FactorAnalyzer(3, *kind)
    for other in pickle.loads(pickle.dumps(family)), copy.deepcopy(family), FactorAnalyzer(**family.options):
        assert other == family
