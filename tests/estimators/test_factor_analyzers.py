"""Factor analysers in the estimators: parameters, attributes, errors, model selection and files."""

import re
import tracemalloc

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from gaussmix import FactorAnalyzer, GaussianMixture, GaussianMixtureClassifier, GaussianMixtureIC, Mixture
from gaussmix._src.report.messages import SearchWarning

NAME = "factor_analyzer"


@pytest.fixture
def rows(rng):
    """Return two groups of rows with two factors each in six features."""
    centres = np.array([[0.0] * 6, [4.0] * 6])
    loadings = rng.normal(size=(2, 6, 2))
    return np.concatenate(
        [
            centre + rng.normal(size=(150, 2)) @ each.T + 0.4 * rng.normal(size=(150, 6))
            for centre, each in zip(centres, loadings, strict=True)
        ]
    )


@pytest.mark.parametrize("shared_noise", [False, True])
@pytest.mark.parametrize("shared_loadings", [False, True])
@pytest.mark.parametrize("noise", ["diagonal", "isotropic"])
def test_covariances_follow_from_loadings_and_noise_variances_for_all_options(
    noise, shared_loadings, shared_noise, rows, tmp_path
):
    options = {"n_factors": 2, "noise": noise, "shared_loadings": shared_loadings, "shared_noise": shared_noise}
    gm = GaussianMixture(2, covariance_type=FactorAnalyzer(**options), random_state=0).fit(rows)
    assert gm.loadings_.shape == (2, 6, 2)
    assert gm.noise_variances_.shape == (2, 6)
    assert gm.mixture_.family == FactorAnalyzer(**options)
    both = shared_loadings and shared_noise
    assert gm.covariances_.shape == gm.precisions_.shape == ((6, 6) if both else (2, 6, 6))
    dense = gm.loadings_ @ gm.loadings_.transpose(0, 2, 1) + gm.noise_variances_[:, :, None] * np.eye(6)
    np.testing.assert_allclose(dense, np.broadcast_to(gm.covariances_, dense.shape), rtol=1e-13, atol=1e-13)
    root = np.broadcast_to(gm.precisions_cholesky_, dense.shape)
    np.testing.assert_allclose(
        root @ root.transpose(0, 2, 1) @ dense, np.broadcast_to(np.eye(6), dense.shape), atol=1e-11
    )
    gm.save(tmp_path / "m.gmm")
    for read in GaussianMixture.load(tmp_path / "m.gmm").mixture_, Mixture.from_dict(gm.mixture_.to_dict()):
        assert read.family == gm.mixture_.family
        assert read.covariances.tobytes() == gm.mixture_.covariances.tobytes()


def test_other_structures_have_no_loadings(rows):
    gm = GaussianMixture(2, random_state=0).fit(rows)
    assert not hasattr(gm, "loadings_")
    with pytest.raises(AttributeError, match="covariance_type='full' has neither loadings nor noise variances"):
        _ = gm.noise_variances_


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"n_factors": 0}, ValueError, "n_factors=0 must be an integer ≥ 1"),
        ({"n_factors": 2.0}, TypeError, "n_factors must be an integer ≥ 1, not 2.0"),
        ({"n_factors": True}, TypeError, "n_factors must be an integer ≥ 1, not True"),
        ({"shared_loadings": 0}, TypeError, "shared_loadings must be True or False, not 0"),
        ({"noise": "isotropc"}, ValueError, "Did you mean 'isotropic'"),
        ({"shared_noise": 1}, TypeError, "shared_noise must be True or False, not 1"),
    ],
    ids=str,
)
def test_factor_analyzer_rejects_invalid_parameters(parameters, error, message):
    with pytest.raises(error, match=message):
        FactorAnalyzer(**parameters)


def test_fit_rejects_too_many_factors_and_precisions_init(rows):
    with pytest.raises(ValueError, match="n_factors=6 is not below n_features=6; lower n_factors"):
        GaussianMixture(2, covariance_type=FactorAnalyzer(6)).fit(rows)
    with pytest.raises(ValueError, match='n_features=1; set covariance_type="diag"'):
        GaussianMixture(2, covariance_type=FactorAnalyzer(1)).fit(rows[:, :1])
    with pytest.raises(ValueError, match="covariance_type='factor_analyzer' does not support precisions_init"):
        GaussianMixture(2, covariance_type=NAME, precisions_init=np.eye(6)).fit(rows)


def test_a_constant_column_needs_a_positive_reg_covar(rows):
    """Check that the covariance is singular without `reg_covar`, as for other structures, and not with it."""
    constant = np.column_stack([rows, np.full(len(rows), 3.0)])
    with pytest.raises(ValueError, match="ill-defined empirical covariance"):
        GaussianMixture(2, covariance_type=FactorAnalyzer(2), reg_covar=0, random_state=0).fit(constant)
    with pytest.warns(RuntimeWarning, match=r"Column . \(counted from 0\) of X is constant"):
        gm = GaussianMixture(2, covariance_type=FactorAnalyzer(2), random_state=0).fit(constant)
    assert np.isfinite(gm.score_samples(constant)).all()


@pytest.mark.parametrize(("n_factors", "is_determined"), [(1, True), (3, False)])
def test_columns_that_are_never_observed_together_need_few_factors(n_factors, is_determined, rng):
    """With 3 factors, 4 features may have any covariance, so the likelihood does not depend on one correlation."""
    X = rng.normal(size=(300, 1)) * [1.0, 2.0, 1.5, 1.0] + 0.1 * rng.normal(size=(300, 4))
    X[::2, 0] = X[1::2, 1] = np.nan
    gm = GaussianMixture(1, covariance_type=FactorAnalyzer(n_factors), tol=1e-6, max_iter=1000)
    if is_determined:
        correlations = gm.fit(X).covariances_[0] / np.sqrt(np.multiply.outer(*2 * [np.diagonal(gm.covariances_[0])]))
        assert correlations[0, 1] > 0.98
    else:
        with pytest.raises(ValueError, match=r"No row of X has values both in column 0 .* and column 1"):
            gm.fit(X)


@pytest.mark.parametrize("n_factors", [1, 2])
def test_separate_fits_with_shared_noise_do_not_share_it_after_joining(n_factors, rng):
    """With 2 factors, 3 features may have any covariance, so shared noise does not reduce the number of parameters."""
    X, y = rng.normal(size=(400, 3)), np.repeat([0.0, 1.0], 200)
    X[y == 1] *= 3
    classifier = GaussianMixtureClassifier(1, covariance_type=FactorAnalyzer(n_factors, shared_noise=True))
    assert classifier.fit(X, y).mixture_._model.family.name == "full"
    with pytest.raises(ValueError, match="covariance_type"):
        classifier.fit(X, np.where(np.arange(400) % 5 == 0, np.nan, y))


def test_two_equal_columns_are_reported_as_a_collapse(rows):
    """Check that two equal columns, which make a factor without noise and an unbounded likelihood, raise an error."""
    twice = np.column_stack([rows, rows[:, 0]])
    search = GaussianMixtureIC([1, 2], covariance_type=[FactorAnalyzer(2), "diag"], max_iter=300, random_state=0)
    with pytest.warns(SearchWarning, match="Column 6 follows from column 0"):
        best = search.fit(twice)
    failures = dict(zip(best.results_["structure"], best.results_["failure"], strict=True))
    assert "collapsed" in failures[NAME]
    assert best.covariance_type_ == "diag"
    with pytest.warns((RuntimeWarning, ConvergenceWarning)) as caught:
        single = GaussianMixture(2, covariance_type=NAME, reg_covar=0, tol="auto", random_state=0).fit(twice)
    cause = (
        r"collapsed in .*: mean and covariance were frozen before that\. Column 6 follows from column 0 \(.* Leave out"
    )
    assert re.match(f"components? .* {cause}", str(caught[0].message))
    assert "distinct" not in single.outcome_.reason


@pytest.mark.heavy
def test_gaussian_mixture_ic_selects_and_reports_the_number_of_factors(rows):
    search = GaussianMixtureIC(
        range(1, 4), covariance_type=[*map(FactorAnalyzer, [1, 2, 3, 7]), "diag"], random_state=0, max_iter=300
    )
    with pytest.warns(SearchWarning, match="3 × too many factors. Lower n_factors"):
        best = search.fit(rows)
    table = best.results_
    assert table["n_factors"] == [1] * 3 + [2] * 3 + [3] * 3 + [7] * 3 + [None] * 3
    assert set(table["failure"][9:12]) == {"too many factors: n_factors=7 is not below n_features=6"}
    assert (best.covariance_type_, best.n_components_, best.n_factors_) == (FactorAnalyzer(2), 2, 2)
    assert best.loadings_.shape == (2, 6, 2)
    alone = GaussianMixtureIC(2, covariance_type="diag", random_state=0).fit(rows)
    assert "n_factors" not in alone.results_
    assert alone.n_factors_ is None


def test_the_default_candidates_do_not_include_factor_analyzers(rows):
    table = GaussianMixtureIC(1, max_iter=5, random_state=0).fit(rows).results_
    assert len(table["structure"]) == 14


def test_fits_of_factor_analyzers_need_no_dense_covariance(rng):
    """Check memory with 2,000 features, for which a single matrix would take 32 MB, but the rows take 3.2 MB."""
    rows = rng.normal(size=(200, 2000)) + 5.0 * rng.integers(2, size=(200, 1))
    gm = GaussianMixture(2, covariance_type=FactorAnalyzer(2), random_state=0, max_iter=3, tol=10.0, n_jobs=1)
    tracemalloc.start()
    gm.fit(rows)
    gm.predict_proba(rows)
    gm.score(rows)
    gm.sample(200)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2000**2 * 8
