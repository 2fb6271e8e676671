"""Tests of the covariances ΛΛᵀ + Ψ of factor analysers in the C++ core, against 40 digits and NumPy."""

import mpmath
import numpy as np
import pytest
from common import EPS, assert_same_bits


def covariances(rng, n, n_features, n_factors):
    """Draw covariances [Λ | ψ] whose factors differ in size by up to a factor of 1,000."""
    loadings = rng.normal(size=(n, n_features, n_factors)) * 10 ** rng.uniform(-1.5, 1.5, (n, 1, n_factors))
    return np.concatenate((loadings, rng.uniform(0.5, 2.0, (n, n_features, 1))), axis=2)


@pytest.mark.parametrize(("n_features", "n_factors"), [(1, 1), (2, 1), (3, 2), (9, 4), (15, 14), (2, 5)])
def test_low_rank_factors_agree_with_forty_digits(target, n_features, n_factors, rng):
    each = covariances(rng, 3, n_features, n_factors)
    factors, log_abs_det, projections, posterior, failed = target.factorise_low_rank(each)
    assert not failed.any()
    with mpmath.workdps(40):
        for k, one in enumerate(each):
            loadings, noise = mpmath.matrix(one[:, :-1].tolist()), mpmath.diag(one[:, -1].tolist())
            precision = (loadings * loadings.T + noise) ** -1
            narrow = mpmath.eye(n_features) - mpmath.matrix((factors[k, :, :-1] @ factors[k, :, :-1].T).tolist())
            whitening = narrow * mpmath.diag(factors[k, :, -1].tolist())
            # Squared distances have a relative error of a few ε √(λ/ψ); see docs/develop/numerics.md.
            ratio = np.sqrt(1 + (one[:, :-1] ** 2 / one[:, -1:]).sum())
            expected = {
                "precision": (whitening.T * whitening, precision),
                "projection": (mpmath.matrix(projections[k].tolist()), loadings.T * precision),
                "posterior": (
                    mpmath.matrix(posterior[k].tolist()),
                    (mpmath.eye(n_factors) + loadings.T * noise**-1 * loadings) ** -1,
                ),
            }
            for name, (found, exact) in expected.items():
                error, size = mpmath.mnorm(found - exact, "f"), mpmath.mnorm(exact, "f")
                assert error <= 20 * n_features * EPS * (ratio if name == "precision" else 1.0) * size, name
            log_det = mpmath.log(mpmath.det(precision)) / 2
            assert abs(log_abs_det[k] - log_det) <= 20 * n_features * EPS * (1 + abs(log_det))


@pytest.mark.parametrize("kind", ["loadings of very different sizes", "nearly parallel loadings"])
def test_factors_of_nearly_dependent_loadings_are_accurate_and_orthogonal(target, kind, rng):
    """The error of a squared distance is a few ε √(λ/ψ); see docs/develop/numerics.md."""
    loadings, noise = rng.normal(size=(12, 6)), rng.uniform(0.5, 2.0, 12)
    if kind == "nearly parallel loadings":
        loadings = 1e3 * (loadings[:, :1] + 1e-5 * loadings)
    else:
        loadings *= 10.0 ** np.linspace(-6, 6, 6)
    factors, *_, failed = target.factorise_low_rank(np.concatenate((loadings, noise[:, None]), axis=1)[None])
    assert not failed.any()
    directions = factors[0, :, :-1] / np.linalg.norm(factors[0, :, :-1], axis=0)
    np.testing.assert_allclose(directions.T @ directions, np.eye(6), atol=8 * EPS)
    row = loadings @ rng.normal(size=6) + np.sqrt(noise) * rng.normal(size=12)
    scaled = factors[0, :, -1] * row
    whitened = scaled - factors[0, :, :-1] @ (factors[0, :, :-1].T @ scaled)
    with mpmath.workdps(40):
        left = mpmath.matrix(loadings.tolist())
        exact = mpmath.lu_solve(left * left.T + mpmath.diag(noise.tolist()), mpmath.matrix(row.tolist()))
        square = float((mpmath.matrix(row.tolist()).T * exact)[0])
    ratio = np.sqrt((loadings**2 / noise[:, None]).sum())
    assert abs(whitened @ whitened - square) <= 20 * EPS * ratio * square


@pytest.mark.parametrize("noise", [0.0, -1.0, np.nan, np.inf, 1e-310], ids=str)
def test_covariances_with_invalid_noise_variances_fail(target, noise, rng):
    each = covariances(rng, 3, 4, 2)
    each[1, 2, -1] = noise
    *results, failed = target.factorise_low_rank(each)
    np.testing.assert_array_equal(failed, [False, True, False])
    assert all(np.isfinite(values[[0, 2]]).all() for values in results)


@pytest.mark.parametrize(("n_without_noise", "is_singular"), [(2, False), (3, True)])
def test_more_features_without_noise_than_factors_fail(target, n_without_noise, is_singular, rng):
    """Two factors determine two features exactly, so that a third feature without noise depends on these features."""
    each = covariances(rng, 1, 5, 2)
    each[0, :n_without_noise, -1] = 1e-16 * (each[0, :n_without_noise, :-1] ** 2).sum(axis=1)
    *_, failed = target.factorise_low_rank(each)
    assert failed.all() == is_singular


def test_loadings_whose_squares_overflow_fail(target):
    each = np.array([[[1e160, 1.0, 1.0], [1.0, 1e160, 1.0]], [[1e160, 1e160, 1.0], [1e160, -1e160, 1.0]]])
    *_, failed = target.factorise_low_rank(each)
    assert failed.all()


def em_step(mass, second, current, projections, posterior, is_pooled):
    """Compute loadings Λ up to rotation, as ΛΛᵀ, and noise from moments; McNicholas & Murphy (2008), section 3."""
    crossed, variances = second[..., :-1] / mass[:, None, None], second[..., -1] / mass[:, None]
    factors = projections @ crossed + posterior
    factors = (factors + factors.swapaxes(1, 2)) / 2
    if not is_pooled:
        products = crossed @ np.linalg.solve(factors, crossed.swapaxes(1, 2))
        return products, variances - np.diagonal(products, axis1=1, axis2=2)
    weights = mass[:, None] / current[..., -1]
    left, right = np.einsum("kd,kqr->dqr", weights, factors), np.einsum("kd,kdq->dq", weights, crossed)
    loadings = np.linalg.solve(left, right[..., None])[..., 0]
    explained = np.einsum("dq,kdq->kd", loadings, 2 * crossed - np.einsum("dr,krq->kdq", loadings, factors))
    products = loadings @ np.tensordot(mass, factors, 1) @ loadings.T / mass.sum()
    return np.broadcast_to(products, (len(mass), *products.shape)), variances - explained


@pytest.mark.parametrize("is_pooled", [False, True])
@pytest.mark.parametrize(("n_features", "n_factors"), [(2, 1), (5, 2), (12, 7)])
def test_an_update_of_factor_analyzers_is_the_em_step_of_the_factors(target, n_features, n_factors, is_pooled, rng):
    current, mass = covariances(rng, 3, n_features, n_factors), rng.uniform(5.0, 50.0, 3)
    _, _, projections, posterior, _ = target.factorise_low_rank(current)
    roots = rng.normal(size=(3, n_features, 2 * n_features))
    scatter = mass[:, None, None] * (roots @ roots.swapaxes(1, 2))
    second = np.concatenate((scatter @ projections.swapaxes(1, 2), np.einsum("kii->ki", scatter)[..., None]), axis=2)
    found = target.update_factors(is_pooled, mass, second, current, projections, posterior)
    products, noise = em_step(mass, second, current, projections, posterior, is_pooled)
    loadings = found[..., :-1]
    size = np.abs(products).max()
    np.testing.assert_allclose(loadings @ loadings.swapaxes(1, 2), products, atol=1e-11 * size)
    np.testing.assert_allclose(found[..., -1], noise, atol=1e-11 * size)


@pytest.mark.parametrize("is_pooled", [False, True])
def test_a_feature_that_a_factor_explains_keeps_a_noise_variance_above_rounding(target, is_pooled):
    """In this Heywood case, the factor equals feature 0."""
    scatter = np.array([[1.0, 0.5, 0.2], [0.5, 1.0, 0.1], [0.2, 0.1, 1.0]])
    current = np.array([[[1.0, 1e-30], [0.5, 0.75], [0.2, 0.96]]])
    _, _, projections, posterior, _ = target.factorise_low_rank(current)
    second = np.concatenate((scatter @ projections[0].T, np.diag(scatter)[:, None]), axis=1)[None]
    found = target.update_factors(is_pooled, np.ones(1), second, current, projections, posterior)
    assert found[0, 0, -1] == 4 * EPS
    np.testing.assert_allclose(found[0, 1:, -1], [0.75, 0.96], rtol=1e-14)


@pytest.mark.parametrize("is_pooled", [False, True])
def test_factors_without_second_moments_give_zeros_that_count_as_singular(target, is_pooled, rng):
    current = covariances(rng, 2, 3, 2)
    _, _, projections, posterior, _ = target.factorise_low_rank(current)
    second = 3.0 * np.concatenate((projections.swapaxes(1, 2), np.ones((2, 3, 1))), axis=2)  # the scatter 3 I
    second[1] = np.nan
    found = target.update_factors(is_pooled, np.full(2, 3.0), second, current, projections, posterior)
    failed = [is_pooled, True]
    np.testing.assert_array_equal((found == 0).all(axis=(1, 2)), failed)
    np.testing.assert_array_equal(target.factorise_low_rank(found)[-1], failed)


def test_all_targets_give_the_same_bits(targets, rng):
    each, mass, second = covariances(rng, 5, 9, 3), rng.uniform(5.0, 50.0, 5), rng.normal(size=(5, 9, 4))
    expected = targets[0].factorise_low_rank(each)
    _, _, projections, posterior, _ = expected
    for other in targets[1:]:
        for name, one, found in zip("FlBPf", expected, other.factorise_low_rank(each), strict=True):
            assert_same_bits(one, found, name)
        for is_pooled in (False, True):
            one, found = (
                each_target.update_factors(is_pooled, mass, second, each, projections, posterior)
                for each_target in (targets[0], other)
            )
            assert_same_bits(one, found, "covariances")
