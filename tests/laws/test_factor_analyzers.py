"""Tests of all kinds of factor analysers; other tests check the kind with a single factor for each component."""

from itertools import product

import numpy as np
import pytest
from common import EPS, InitialMoments, assert_same_bits

from gaussmix import FactorAnalyzer, SingularCovarianceError
from gaussmix._src.em.step.maximise import initial_models
from gaussmix._src.families.factor_analyzer import NOISES
from gaussmix._src.testing.check_family import SHAPES, as_needed, check_n_parameters, random_scatters, updated
from gaussmix.extend import LowRank, Partition
from gaussmix.testing import (
    PROBLEMS,
    Problem,
    check_equivariance,
    check_family,
    check_monotone,
    check_relabelling,
    check_whitening,
)

KINDS = list(product(NOISES, (False, True), (False, True)))
kinds = pytest.mark.parametrize("kind", KINDS, ids=str)


@pytest.mark.heavy(n_default=1)
@kinds
def test_every_kind_of_factor_analyzer_passes_check_family(kind, rng):
    check_family(FactorAnalyzer(1, *kind), rng)


@pytest.mark.parametrize("n_factors", [2, 3])
@kinds
def test_n_parameters_does_not_count_rotations_of_factors(kind, n_factors, rng):
    for n_components, n_features in [shape for shape in SHAPES if shape[1] >= n_factors]:
        check_n_parameters(FactorAnalyzer(n_factors, *kind), n_components, n_features, rng)


@pytest.mark.heavy(n_default=5)
@pytest.mark.pairwise
@pytest.mark.parametrize("problem", [name for name, problem in PROBLEMS.items() if problem.rows.shape[1] > 1])
@pytest.mark.parametrize("n_factors", [1, 2])
@kinds
def test_em_of_factor_analyzers_is_monotone_and_permutes_with_labels(kind, n_factors, problem, engine):
    check_monotone(FactorAnalyzer(n_factors, *kind), engine, problem)
    check_relabelling(FactorAnalyzer(n_factors, *kind), engine, problem)


@pytest.mark.heavy(n_default=3)
@kinds
def test_fits_of_factor_analyzers_are_equivariant(kind, engine, rng):
    check_equivariance(FactorAnalyzer(2, *kind), engine, rng)


@pytest.mark.parametrize("n_factors", [1, 2, 4])
def test_variances_of_a_factor_analyzer_equal_those_of_the_rows_after_any_step(n_factors, rng):
    """Variances are exact, because EM has the factors' covariance as an extra parameter; Liu, Rubin & Wu (1998)."""
    family = FactorAnalyzer(n_factors)
    mass, full = random_scatters(rng, 3, 6)
    expected = np.diagonal(full, axis1=1, axis2=2) / mass[:, None]
    covariances = updated(family, mass, full)
    for _ in range(5):
        covariances = family.update(as_needed(family, mass, full, covariances), covariances)
        # The rounding comes from a sum of at most 4 squares that is subtracted and added again.
        np.testing.assert_allclose(covariances.variances(), expected, rtol=8 * EPS)


def test_shared_loadings_and_noise_have_the_same_bits_in_all_components(rng):
    mass, full = random_scatters(rng, 3, 5)
    for noise, shared_loadings, shared_noise in KINDS:
        family = FactorAnalyzer(2, noise, shared_loadings, shared_noise)
        covariances = updated(family, mass, full)
        loadings, variances = covariances.loadings, covariances.noise
        assert (loadings == loadings[:1]).all() == shared_loadings
        assert (variances == variances[:1]).all() == shared_noise
        assert (variances == variances[:, :1]).all() == (noise == NOISES[1])


@pytest.mark.parametrize("noise", NOISES)
def test_shared_noise_is_the_weighted_mean_of_the_noise_of_each_component(noise, rng):
    mass, full = random_scatters(rng, 3, 5)
    own, shared = (FactorAnalyzer(2, noise, shared_noise=is_shared) for is_shared in (False, True))
    current = updated(shared, mass, full)
    scatter = as_needed(shared, mass, full, current)
    expected, found = (family.update(scatter, current) for family in (own, shared))
    each, one = expected.noise, found.noise
    np.testing.assert_array_equal(found.loadings, expected.loadings)
    np.testing.assert_allclose(one, np.broadcast_to(mass @ each / mass.sum(), one.shape), rtol=1e-13)


@pytest.mark.parametrize("is_cached", [False, True])
def test_selected_components_have_the_posterior_of_their_loadings(is_cached, rng):
    covariances = LowRank.from_loadings(rng.normal(size=(5, 4, 2)), rng.uniform(0.1, 1.0, (5, 4)), 5, False)
    taken = [3, 0, 4]
    expected = LowRank.from_loadings(covariances.loadings[taken], covariances.noise[taken], 3, False).posterior
    assert not is_cached or covariances.posterior  # the property stores its value
    for found, each in zip(covariances.take(taken).posterior, expected, strict=True):
        assert_same_bits(found, each, "posterior")


def test_n_parameters_with_fewer_features_than_factors_counts_a_full_covariance():
    assert [FactorAnalyzer(5).n_parameters(3, n_features) for n_features in (1, 2, 3)] == [3, 9, 18]


@kinds
def test_a_ridge_is_added_to_the_noise_of_a_factor_analyzer(kind, rng):
    """The ridge is added as it is, or as its mean if all features share one noise variance; loadings do not change."""
    family, ridge = FactorAnalyzer(2, *kind), rng.uniform(0.1, 1.0, 5)
    mass, full = random_scatters(rng, 3, 5)
    scatter = as_needed(family, mass, full, current := updated(family, mass, full))
    before, after = (family.update(each, current) for each in (scatter, scatter.with_ridge(ridge)))
    added = np.full(5, ridge.mean()) if kind[0] == NOISES[1] else ridge
    np.testing.assert_allclose(after.loadings, before.loadings, rtol=1e-14)
    np.testing.assert_allclose(after.noise, before.noise + added, rtol=1e-13)


@kinds
def test_slightly_negative_sums_of_squares_raise_a_singular_covariance_error(kind):
    """Sums of squares may become slightly negative when they are moved to the new means."""
    family = FactorAnalyzer(1, *kind)
    scatter = as_needed(family, np.ones(2), np.broadcast_to(-1e-18 * np.eye(3), (2, 3, 3)))
    with pytest.raises(SingularCovarianceError):
        _ = family.update(scatter, None).whitening


@pytest.mark.parametrize("shared_loadings", [False, True])
def test_an_empty_component_keeps_its_initial_loadings(shared_loadings, engine):
    """An empty component keeps its initial loadings, from the variances of all rows, because it has no scatter."""
    given = PROBLEMS["wide"]
    problem = Problem(given.rows, None, np.where(given.labels == 1, 2, 0).astype(np.int32))
    family = FactorAnalyzer(2, shared_loadings=shared_loadings)
    first = InitialMoments(problem.source, engine, 3, Partition())
    mixture = first.model(family, problem.objective)
    moments, means = first.sum_about_means(family.moment_spec(None))
    (start,) = initial_models(moments, family, problem.objective, means)
    assert_same_bits(mixture.covariances.loadings[1], start.covariances.loadings[1], "loadings")
    assert np.isfinite(mixture.covariances.each).all()
    loadings, noise = mixture.covariances.loadings, mixture.covariances.noise
    assert (np.abs(loadings[1]) > 0).all()
    assert (noise[1] > 0).all()
    check_whitening(mixture.whitening, mixture.covariances.dense())
