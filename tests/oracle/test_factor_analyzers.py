"""Tests of factor analysers against scikit-learn, a closed form, SciPy's density, and arithmetic with 40 digits."""

import mpmath
import numpy as np
import pytest
from common import ArraySource, StopRule
from mclust_rule import run_from_labels
from scipy.stats import multivariate_normal
from sklearn.decomposition import FactorAnalysis

from gaussmix import FactorAnalyzer, GaussianMixture, Mixture


def rows_of_factors(rng, n_rows=1500, n_features=12, n_factors=3):
    """Draw rows of one factor analyser."""
    loadings, deviations = rng.normal(size=(n_features, n_factors)), rng.uniform(0.5, 1.5, n_features)
    noise = deviations * rng.normal(size=(n_rows, n_features))
    return 5.0 + rng.normal(size=(n_rows, n_factors)) @ loadings.T + noise


def fitted(rows, family, engine):
    """Fit one component without a ridge until it has converged completely."""
    source = ArraySource(rows, None, np.zeros(len(rows), np.int32))
    return run_from_labels(source, engine, 1, family, StopRule(1e-13, 5000))


def test_one_component_agrees_with_factor_analysis_of_scikit_learn(engine, rng):
    rows = rows_of_factors(rng)
    theirs = FactorAnalysis(3, tol=1e-12, max_iter=20_000, svd_method="lapack").fit(rows)
    mixture, trace, _ = fitted(rows, FactorAnalyzer(3), engine)
    assert trace.last_objective == pytest.approx(theirs.score(rows), rel=1e-11)
    # Because the likelihood is flat at its maximum, an error of 1e-12 in it allows an error of 1e-6 in a covariance.
    found = mixture.covariances.dense()[0]
    np.testing.assert_allclose(found, theirs.get_covariance(), atol=1e-5 * found.max())


def test_isotropic_noise_agrees_with_probabilistic_principal_components(engine, rng):
    """The noise is the mean of the d − q smallest eigenvalues, here with q = 3.

    See Tipping & Bishop (1999), Neural Computation 11, eq. 3.12.
    """
    rows = rows_of_factors(rng)
    _, trace, _ = fitted(rows, FactorAnalyzer(3, "isotropic"), engine)
    values = np.linalg.eigvalsh(np.cov(rows.T, bias=True))[::-1]
    noise = values[3:].mean()
    expected = -0.5 * (12 * np.log(2 * np.pi) + np.log(values[:3]).sum() + 9 * np.log(noise) + 12)
    assert trace.last_objective == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("n_factors", [1, 4, 19])
def test_densities_of_factor_analyzers_agree_with_scipy(n_factors, rng):
    family, covariances = FactorAnalyzer(n_factors), rng.uniform(0.2, 2.0, size=(3, 20, n_factors + 1))
    covariances[..., :-1] = rng.normal(size=(3, 20, n_factors))
    mixture = Mixture(np.full(3, 1 / 3), 3 * rng.normal(size=(3, 20)), covariances, family)
    rows, _ = mixture.sample(200, rng)
    dense = mixture._model.covariances.dense()
    each = [multivariate_normal(mean, matrix) for mean, matrix in zip(mixture.means, dense, strict=True)]
    expected = np.array([one.logpdf(rows) for one in each]).T
    # The tolerance is SciPy's error for a matrix with a condition of about 1e3 and squared distances up to 1e5.
    np.testing.assert_allclose(mixture.component_log_density(rows), expected, rtol=1e-10)


@pytest.mark.parametrize("noise", [1e-2, 1e-5, 1e-8])
def test_densities_of_factor_analyzers_with_little_noise_keep_their_digits(noise, rng):
    """The relative error of a squared distance is ε √(λ / ψ), because z − F Fᵀz has an error of ε times z.

    The difference of the squares of z and of its projection would have an error of ε λ / ψ: some nats at 1e-8².
    """
    n_features, n_factors = 20, 3
    covariances = np.concatenate(
        (rng.normal(size=(1, n_features, n_factors)), np.full((1, n_features, 1), noise)), axis=2
    )
    mixture = Mixture([1.0], np.zeros((1, n_features)), covariances, FactorAnalyzer(n_factors))
    rows, _ = mixture.sample(4, rng)
    found = mixture.log_density(rows)
    with mpmath.workdps(40):
        loadings, psi = mpmath.matrix(covariances[0, :, :-1].tolist()), mpmath.diag(covariances[0, :, -1].tolist())
        matrix = loadings * loadings.T + psi
        log_det = mpmath.log(mpmath.det(matrix))
        for row, density in zip(rows, found, strict=True):
            offset = mpmath.matrix(row.tolist())
            square = (offset.T * mpmath.lu_solve(matrix, offset))[0]
            exact = -(square + log_det + n_features * mpmath.log(2 * mpmath.pi)) / 2
            scale = 50 * np.finfo(np.float64).eps * n_features * np.sqrt(n_features / noise)
            assert abs(float(exact - density)) <= scale * float(square)


def test_factor_analyzers_find_groups_with_more_features_than_rows(rng):
    """Each group has 60 rows and 200 features; a full covariance has 20,100 parameters, a factor analyser 400."""
    groups = [
        rows_of_factors(np.random.default_rng(seed), 60, 200, 1) + 3.0 * rng.normal(size=200) for seed in range(3)
    ]
    labels = np.repeat([0, 1, 2], 60)
    gm = GaussianMixture(3, covariance_type="factor_analyzer", random_state=0).fit(np.vstack(groups))
    found = gm.predict(np.vstack(groups))
    assert len(set(zip(labels.tolist(), found.tolist(), strict=True))) == 3
