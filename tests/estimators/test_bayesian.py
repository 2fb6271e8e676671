"""`BayesianGaussianMixture` agrees with scikit-learn's class if that is correct; moves, weights, files and errors."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from common import assert_same_bits, assert_same_fit
from scipy.special import gammaln, logsumexp
from scipy.stats import multivariate_t
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import BayesianGaussianMixture as Theirs

import gaussmix
from gaussmix import BayesianGaussianMixture
from gaussmix._src.cli.program import program
from gaussmix.export import to_c

PRIORS = ["dirichlet_process", "dirichlet_distribution"]
PLAIN_EM = {"init_params": "kmeans", "split_merge": False}  # settings of scikit-learn's algorithm
UNTIL_CONVERGENCE = {"tol": 1e-9, "max_iter": 3000}
structures = pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical", "EEI", "EII"])
priors = pytest.mark.parametrize("prior", PRIORS)


@pytest.fixture(scope="module")
def blobs() -> np.ndarray:
    """Return three well-separated clusters in two features."""
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(centre, 1.0, size=(150, 2)) for centre in (0.0, 9.0, 18.0)])


@pytest.fixture(scope="module")
def overlap() -> np.ndarray:
    """Return two clusters that overlap, in three features."""
    rng = np.random.default_rng(1)
    return np.concatenate((rng.normal(size=(120, 3)), rng.normal(size=(80, 3)) + 1.5))


def count_nonempty(found) -> int:
    """Count components as tables do, because a component with 1e-4 rows may raise the bound by 1e-4 nats."""
    return len(found.tidy())


def test_the_posterior_with_full_covariances_equals_that_of_scikit_learn(blobs) -> None:
    """Compare after convergence from the same initialisation. scikit-learn is correct for Dirichlet distributions."""
    settings = {"weight_concentration_prior_type": "dirichlet_distribution", "random_state": 0, **UNTIL_CONVERGENCE}
    theirs = Theirs(n_components=3, reg_covar=0, **settings).fit(blobs)
    ours = BayesianGaussianMixture(3, **PLAIN_EM, **settings).fit(blobs)
    order, other = np.argsort(ours.means_[:, 0]), np.argsort(theirs.means_[:, 0])
    for name in "weights_", "means_", "covariances_", "mean_precision_", "degrees_of_freedom_", "weight_concentration_":
        np.testing.assert_allclose(getattr(ours, name)[order], getattr(theirs, name)[other], rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(ours.score_samples(blobs, how="plugin"), theirs.score_samples(blobs), atol=1e-5)
    np.testing.assert_allclose(ours.predict_proba(blobs)[:, order], theirs.predict_proba(blobs)[:, other], atol=1e-5)


def test_degrees_of_freedom_of_tied_covariances_count_all_rows(overlap) -> None:
    found = BayesianGaussianMixture(2, covariance_type="tied", **PLAIN_EM, random_state=0).fit(overlap)
    assert found.degrees_of_freedom_ == pytest.approx(3 + 200)


@pytest.mark.heavy(n_default=1)
@structures
@priors
def test_split_and_merge_moves_find_the_number_of_clusters(blobs, covariance_type, prior) -> None:
    settings = {"covariance_type": covariance_type, "weight_concentration_prior_type": prior, "random_state": 0}
    found = BayesianGaussianMixture(12, **settings).fit(blobs)
    assert count_nonempty(found) == 3
    assert found.converged_
    assert len(found.weights_) == len(found.means_) == 12
    np.testing.assert_allclose(np.sort(found.mass_)[-3:], 150, atol=1)
    assert set(found.predict(blobs)) == set(np.flatnonzero(found.mass_))
    np.testing.assert_allclose(found.predict_proba(blobs).sum(axis=1), 1.0)
    from_kmeans = BayesianGaussianMixture(12, **settings, init_params="kmeans").fit(blobs)
    without_moves = BayesianGaussianMixture(12, **settings, **PLAIN_EM, max_iter=500).fit(blobs)
    assert count_nonempty(from_kmeans) == 3
    assert min(found.lower_bound_, from_kmeans.lower_bound_) > without_moves.lower_bound_ - 1e-3  # the default of `tol`


@structures
def test_a_step_never_lowers_the_bound(overlap, covariance_type) -> None:
    found = BayesianGaussianMixture(
        8, covariance_type=covariance_type, init_params="random", tol=1e-6, max_iter=400, random_state=0
    ).fit(overlap)
    assert (np.diff(found.lower_bounds_) > -1e-9).all()


def test_components_without_rows_have_the_parameters_of_the_prior(blobs) -> None:
    found = BayesianGaussianMixture(5, random_state=1).fit(blobs)
    empty = found.mass_ == 0
    assert empty.sum() == 2
    np.testing.assert_array_equal(found.mean_precision_[empty], 1.0)
    np.testing.assert_array_equal(found.degrees_of_freedom_[empty], 2.0)
    np.testing.assert_allclose(found.means_[empty], np.tile(blobs.mean(axis=0), (2, 1)))
    np.testing.assert_allclose(found.covariances_[empty], np.tile(np.cov(blobs.T) / 2, (2, 1, 1)))
    np.testing.assert_allclose(found.covariance_prior_, np.cov(blobs.T))


def test_the_bound_of_a_dirichlet_process_does_not_depend_on_n_components(blobs) -> None:
    """Check that the bound does not depend on the limit, because components without rows are not in the model."""
    bounds = [
        BayesianGaussianMixture(limit, weight_concentration_prior=0.1, random_state=0, tol=1e-9).fit(blobs).lower_bound_
        for limit in (3, 30)
    ]
    assert bounds[0] == pytest.approx(bounds[1], abs=1e-8)


@priors
def test_a_sample_weight_counts_as_repeated_rows(overlap, prior) -> None:
    counts = np.random.default_rng(2).integers(0, 4, len(overlap))
    settings = {"weight_concentration_prior_type": prior, "random_state": 0, **UNTIL_CONVERGENCE}
    weighted = BayesianGaussianMixture(6, **settings).fit(overlap, sample_weight=counts)
    repeated = BayesianGaussianMixture(6, **settings).fit(np.repeat(overlap, counts, axis=0))
    assert weighted.lower_bound_ == pytest.approx(repeated.lower_bound_, abs=1e-6)
    large = BayesianGaussianMixture(6, **settings).fit(overlap, sample_weight=counts * 2.0**40)
    assert large.mass_.sum() == pytest.approx(counts.sum() * 2.0**40, rel=1e-15)  # rounding of six masses


def test_heavy_tails_and_small_clusters_of_one_feature_get_components() -> None:
    rng = np.random.default_rng(5)
    tails = BayesianGaussianMixture(10, weight_concentration_prior=0.001, random_state=0).fit(
        rng.standard_t(5, size=(20_000, 1))
    )
    assert (tails.mass_ > 0).sum() > 1
    assert tails.n_iter_ < 20  # further steps ran on subsamples, and do not count
    small = np.append(rng.normal(size=20_000), rng.normal(7, 0.1, size=60))[:, None]
    found = BayesianGaussianMixture(10, weight_concentration_prior=0.001, random_state=0).fit(small)
    is_small = np.abs(found.means_[:, 0] - 7) < 0.2
    assert found.mass_[is_small].sum() == pytest.approx(60, abs=2)


@pytest.mark.parametrize("seed", [6, 10])
def test_em_on_a_subsample_continues_after_a_component_has_become_empty(seed) -> None:
    skewed = np.random.default_rng(seed).gamma(2.0, size=(20_000, 1))
    found = BayesianGaussianMixture(10, weight_concentration_prior=0.001, random_state=0).fit(skewed)
    assert found.n_iter_ < 20


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("n_features", [1, 2])
def test_rows_of_negligible_weight_do_not_change_the_bound(n_features) -> None:
    rng = np.random.default_rng(0)
    heavy = rng.normal(size=(6000, n_features)) + np.repeat([[0.0], [6.0], [20.0]], 2000, axis=0)
    rows = np.concatenate((heavy, rng.normal(100.0, 50.0, size=heavy.shape)))
    weight = np.repeat([1e3, 1e-12], len(heavy))
    estimator = BayesianGaussianMixture(10, random_state=0, max_iter=1000)
    found = clone(estimator).fit(rows, sample_weight=weight)
    alone = clone(estimator).fit(heavy, sample_weight=weight[: len(heavy)])
    assert found.lower_bound_ == pytest.approx(alone.lower_bound_, abs=0.1)


@pytest.mark.parametrize("structure", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("has_weights", [False, True])
def test_rows_without_values_change_no_bit_of_a_fit(structure, has_weights, blobs) -> None:
    rows, weight, indices = blobs.copy(), np.full(len(blobs), 2.0), [0, 9, 9, *[30] * 5000]
    rows[::7, 0] = np.nan
    more_weight = np.insert(weight, indices, [1.0, 3.0, 0.0, *[2.0] * 5000])
    estimator = BayesianGaussianMixture(4, covariance_type=structure, random_state=0)
    one = clone(estimator).fit(rows, sample_weight=weight if has_weights else None)
    other = clone(estimator).fit(
        np.insert(rows, indices, np.nan, axis=0), sample_weight=more_weight if has_weights else None
    )
    assert_same_fit(other, one)
    assert_same_bits(other.degrees_of_freedom_, one.degrees_of_freedom_, "degrees of freedom")


def test_missing_values_do_not_change_the_number_of_clusters(blobs) -> None:
    incomplete = np.where(np.random.default_rng(3).random(blobs.shape) < 0.15, np.nan, blobs)
    found = BayesianGaussianMixture(10, random_state=0).fit(incomplete)
    assert count_nonempty(found) == 3
    assert (np.diff(found.lower_bounds_) > -1e-9).all()
    density = found.score_samples(incomplete)
    assert np.isfinite(density).all()
    assert (density[np.isnan(incomplete).all(axis=1)] == 0).all()


@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical"])
def test_the_bound_of_labelled_rows_equals_their_log_evidence(overlap, covariance_type) -> None:
    """Compare with the product of the components' evidences and the labels' Dirichlet-multinomial probability."""
    labels, alpha = np.arange(len(overlap)) % 3 // 2, 0.7
    scale = {"full": np.eye(3), "diag": np.ones(3), "spherical": 1.0}[covariance_type]
    prior = {"mean_prior": np.zeros(3), "covariance_prior": scale, "weight_concentration_prior": alpha}
    settings = {"covariance_type": covariance_type, "weight_concentration_prior_type": PRIORS[1], **prior, **PLAIN_EM}
    found = BayesianGaussianMixture(2, **settings).fit(overlap, labels=labels)
    alone = [BayesianGaussianMixture(1, **settings).fit(overlap[labels == k]).lower_bound_ for k in (0, 1)]
    log_probability = gammaln(2 * alpha) - gammaln(2 * alpha + len(overlap))
    log_probability += (gammaln(alpha + np.bincount(labels)) - gammaln(alpha)).sum()
    assert found.lower_bound_ == pytest.approx(sum(alone) + log_probability, rel=1e-12)


def test_labels_require_split_merge_false(overlap) -> None:
    labels = np.full(len(overlap), -1)
    labels[:10], labels[-10:] = 1, 0
    found = BayesianGaussianMixture(2, **PLAIN_EM, random_state=0).fit(overlap, labels=labels)
    assert (found.predict(overlap[:10]) == 1).mean() > 0.7
    with pytest.raises(ValueError, match=r"which split-and-merge moves change\. Set split_merge=False"):
        BayesianGaussianMixture(2).fit(overlap, labels=labels)
    for wrong, message in ((labels + 2, "labels use component 3; with n_components=2"), (np.eye(3)[labels], "has 3 ")):
        with pytest.raises(ValueError, match=message):
            BayesianGaussianMixture(2, **PLAIN_EM).fit(overlap, labels=wrong)


@pytest.mark.filterwarnings("ignore:.*did not converge")
def test_a_warm_start_continues_the_fit(overlap, tmp_path) -> None:
    settings = {"random_state": 0, "max_iter": 5, "tol": 1e-12, **PLAIN_EM}
    found = BayesianGaussianMixture(4, warm_start=True, **settings)
    first = found.fit(overlap).lower_bound_
    assert found.outcome_.reason.startswith("max_iter was reached before the bound converged")
    found.save(tmp_path / "half.gmm")
    second = found.fit(overlap).lower_bound_
    assert BayesianGaussianMixture.load(tmp_path / "half.gmm").fit(overlap).lower_bound_ == second
    whole = BayesianGaussianMixture(4, **settings | {"max_iter": 10}).fit(overlap).lower_bound_
    assert second > first
    assert second == pytest.approx(whole, abs=1e-9)


def test_a_warm_start_with_more_components_than_the_limit_is_initialised_anew(blobs) -> None:
    found = BayesianGaussianMixture(3, warm_start=True, random_state=0, **PLAIN_EM).fit(blobs)
    assert count_nonempty(found) == 3
    found.set_params(n_components=2).fit(blobs)
    new = BayesianGaussianMixture(2, random_state=0, **PLAIN_EM).fit(blobs)
    np.testing.assert_array_equal(found.means_, new.means_)


@pytest.mark.parametrize("split_merge", [True, False])
def test_a_warm_start_may_have_fewer_rows_than_components(overlap, split_merge) -> None:
    settings = {"init_params": "kmeans", "split_merge": split_merge, "max_iter": 1000, "random_state": 0}
    found = BayesianGaussianMixture(5, **settings, warm_start=True).fit(overlap)
    with pytest.warns(RuntimeWarning, match="X has 4 distinct rows"):
        assert found.fit(overlap[:4]).mass_.sum() == pytest.approx(4)
    with pytest.raises(ValueError, match=r'n_samples = 4\. Lower n_components, or set init_params="birth"'):
        found.set_params(covariance_type="diag").fit(overlap[:4])  # does not start from a fit of another structure


def test_weights_that_sum_to_1_are_scaled_to_the_number_of_rows(blobs) -> None:
    weights = np.full(len(blobs), 1 / len(blobs))
    with pytest.warns(RuntimeWarning, match="sample_weight sums to less than 2"):
        found = BayesianGaussianMixture(6, random_state=0).fit(blobs, sample_weight=weights)
    assert found.mass_.sum() == pytest.approx(len(blobs))
    assert count_nonempty(found) == 3


@pytest.mark.parametrize("values", [[1.0, 2.0], [1.0, 2.0, 5.0]])
def test_each_distinct_value_of_a_column_gets_a_component(values) -> None:
    repeated = np.repeat(values, 100)[:, None]
    n_components = len(values) + 1
    plain = BayesianGaussianMixture(n_components, random_state=0, **PLAIN_EM)
    with pytest.warns(RuntimeWarning, match=f"X has {len(values)} distinct rows"):
        plain.fit(repeated)
    found = BayesianGaussianMixture(n_components, random_state=0).fit(repeated)
    assert count_nonempty(found) == len(values)
    assert found.lower_bound_ >= plain.lower_bound_ - 1e-4 * len(repeated)  # moves end at this tolerance


def test_moves_raise_the_bound_if_many_rows_share_a_value() -> None:
    rng = np.random.default_rng(0)
    spikes = np.where(rng.random(5000) < 0.3, rng.choice([0.0, 40.0, 99.0], 5000), rng.normal(40, 12, 5000).round())
    found, plain = (BayesianGaussianMixture(10, random_state=0, **each) for each in ({}, PLAIN_EM | {"max_iter": 3000}))
    assert found.fit(spikes[:, None]).lower_bound_ > plain.fit(spikes[:, None]).lower_bound_


def test_n_components_may_exceed_the_number_of_rows(blobs) -> None:
    few = blobs[::60]
    found = BayesianGaussianMixture(10, random_state=0).fit(few)
    assert "twice mean_precision_prior" in str(found.summary(few))
    assert len(few) < len(found.weights_) == 10
    many = gaussmix.fit_many({"few": few}, estimator=BayesianGaussianMixture(10, random_state=0))
    assert many.get_mixture("few") == found.mixture_


def test_score_is_the_mean_log_predictive_density(overlap) -> None:
    found = BayesianGaussianMixture(4, random_state=0).fit(overlap)
    weight = np.random.default_rng(4).random(len(overlap))
    assert found.score(overlap) == pytest.approx(found.score_samples(overlap).mean())
    assert found.score(overlap, sample_weight=weight) == pytest.approx(
        np.average(found.score_samples(overlap), weights=weight)
    )
    assert found.score_samples(overlap.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize(("n_components", "concentration"), [(2, 0.3), (5, 0.1), (6, 0.1), (8, 1.0)])
def test_predictive_density_of_far_rows_ignores_rounding_errors_of_weights(n_components, concentration, blobs) -> None:
    """Check that a Dirichlet prior, which omits no component, adds no wide component to the predictive density."""
    settings = {"weight_concentration_prior_type": "dirichlet_distribution", **PLAIN_EM}
    wide = {"mean_precision_prior": 1e-9, "degrees_of_freedom_prior": 1e4, "weight_concentration_prior": concentration}
    found = BayesianGaussianMixture(n_components, random_state=0, **settings, **wide).fit(blobs)
    factors = (1 + 1 / found.mean_precision_) * found.degrees_of_freedom_ / (found.degrees_of_freedom_ - 1)
    far = blobs[:1] + np.linspace(0, 300, 31)[:, None]
    terms = [
        multivariate_t(mean, factor * covariance, df=dof - 1).logpdf(far)
        for mean, factor, covariance, dof in zip(
            found.means_, factors, found.covariances_, found.degrees_of_freedom_, strict=True
        )
    ]
    expected = logsumexp(np.array(terms).T + np.log(found.weights_), axis=1)
    np.testing.assert_allclose(found.score_samples(far), expected, rtol=1e-9)


def test_an_empty_component_between_others_keeps_its_weight(overlap) -> None:
    """Check responsibilities, predictive density and draws if a stick before the last nonempty component is empty."""
    prior = {"mean_precision_prior": 0.01, "degrees_of_freedom_prior": 10.0, "weight_concentration_prior": 0.1}
    limits = {"tol": 1e-12, "max_iter": 1000}
    found = BayesianGaussianMixture(5, random_state=2, **prior, **limits, **PLAIN_EM).fit(overlap)
    assert (found.mass_ == 0).tolist() == [False, False, False, True, False]
    np.testing.assert_allclose(found.predict_proba(overlap).sum(axis=0), found.mass_, atol=1e-5)

    taken, left = found.weight_concentration_
    fractions = np.append(taken / (taken + left), 1.0)
    weights = fractions * np.append(1.0, np.cumprod(1 - fractions[:-1]))
    # The last term stands for the omitted components, which have the parameters of the empty component.
    dof, covariances = found.degrees_of_freedom_ - 2, found.covariances_
    factors = (1 + 1 / found.mean_precision_) * found.degrees_of_freedom_ / dof
    far = overlap[:1] + np.linspace(0, 1000, 31)[:, None]
    terms = [
        multivariate_t(found.means_[k], factors[k] * covariances[k], df=dof[k]).logpdf(far) for k in [0, 1, 2, 3, 4, 3]
    ]
    expected = logsumexp(np.array(terms).T + np.log(weights), axis=1)
    np.testing.assert_allclose(found.score_samples(far), expected, rtol=1e-9)

    draws = found.posterior_.sample(400, rng=0)
    kept = weights[[0, 1, 2, 4]]
    last_weight = np.array([each.weights[3] for each in draws])
    assert abs(last_weight.mean() - kept[3] / kept.sum()) < 6 * last_weight.std() / np.sqrt(400)

    bound, mass = found.lower_bound_, found.mass_
    found.set_params(warm_start=True, tol=1e-9).fit(overlap)
    np.testing.assert_allclose(found.lower_bound_, bound, rtol=1e-12)
    np.testing.assert_allclose(found.mass_, mass, atol=1e-5)
    assert found.set_params(n_components=4, tol=1e-3).fit(overlap).n_iter_ < 10  # continues without the empty component


def test_draws_leave_out_empty_components_whose_prior_is_nearly_improper(overlap) -> None:
    """Check draws if a covariance drawn from the prior, as for an empty component, would be singular."""
    prior = {"mean_precision_prior": 0.01, "degrees_of_freedom_prior": 2.001, "weight_concentration_prior": 0.1}
    found = BayesianGaussianMixture(6, random_state=4, max_iter=1000, **prior, **PLAIN_EM).fit(overlap)
    last = np.flatnonzero(found.mass_)[-1]
    assert (found.mass_[:last] == 0).any()
    for each in found.posterior_.sample(100, rng=0):
        assert each.n_components == np.count_nonzero(found.mass_)
        assert np.isfinite(each.log_density(overlap)).all()


def test_callbacks_receive_the_bound_and_may_end_the_fit(blobs, capsys) -> None:
    """Check that callbacks receive the part of the bound that is a sum over rows, and `verbose` prints all of it."""
    steps: list = []
    found = BayesianGaussianMixture(8, random_state=0, callbacks=[steps.append], verbose=2).fit(blobs)
    steps = [step for step in steps if step.start == np.argmax([trace[-1] for trace in found.outcome_.traces])]
    assert [step.iteration for step in steps] == [*range(1, found.n_iter_ + 1)]
    posterior = replace(found._approximation, counts=steps[-2].mixture.weights * len(blobs))
    before = replace(posterior, means=steps[-2].mixture.means, covariances=steps[-2].mixture._model.covariances)
    bound = len(blobs) * steps[-1].log_likelihood - before.divergence_from_prior
    assert bound == pytest.approx(found.lower_bound_, rel=1e-12)
    assert f"lower bound {found.lower_bound_:.5f}." in capsys.readouterr().out
    ended = BayesianGaussianMixture(8, random_state=0, callbacks=[lambda step: True]).fit(blobs)
    assert ended.outcome_.reason.startswith("A callback ended the fit.")
    assert ended.n_iter_ == 1


@pytest.mark.heavy
def test_the_default_initialisation_reaches_the_lower_bound_of_fits_from_k_means() -> None:
    """Check two peaks with equal values between them, scikit-learn's sine example, and a normal distribution."""
    rng = np.random.default_rng(0)
    column = np.concatenate((rng.normal(0, 1, 500), rng.normal(10, 2, 500), np.full(300, 5.0)))[:, None]
    x = np.arange(100) * np.pi / 25 - 6
    sine = np.column_stack((x + 0.1 * rng.normal(size=100), 3 * (np.sin(x) + 0.2 * rng.normal(size=100))))
    wide = {"weight_concentration_prior": 0.01, "mean_precision_prior": 0.01, "covariance_prior": np.eye(2)}
    equal = {"covariance_type": "tied", "weight_concentration_prior_type": PRIORS[1], "weight_concentration_prior": 1.0}
    sparse = {"weight_concentration_prior": 0.001}
    for rows, settings in (column, sparse), (sine, wide), (rng.normal(size=(500, 1)), equal):
        for seed in range(4):
            fits = BayesianGaussianMixture(10, **settings, max_iter=1000, random_state=seed)
            bounds = [clone(fits).set_params(init_params=init).fit(rows).lower_bound_ for init in ("birth", "kmeans")]
            assert bounds[0] > bounds[1] - 0.01
            assert fits.fit(rows).outcome_.n_starts == 1  # the compared fits are parts of one run


def test_max_time_ends_a_fit_and_the_warning_names_the_bound(blobs) -> None:
    with (
        pytest.warns(ConvergenceWarning, match="max_time was reached before the bound converged"),
        pytest.warns(ConvergenceWarning, match="before the other starts were run"),
    ):
        found = BayesianGaussianMixture(8, random_state=0, max_time=1e-9, n_init=2).fit(blobs)
    assert found.outcome_.reason.startswith("max_time was reached before the bound converged")


@priors
def test_parameters_set_after_a_fit_do_not_change_the_posterior(overlap, tmp_path, prior) -> None:
    found = BayesianGaussianMixture(4, weight_concentration_prior_type=prior, random_state=0).fit(overlap)
    before = found.score(overlap)
    found.set_params(weight_concentration_prior_type=next(each for each in PRIORS if each != prior))
    assert found.score(overlap) == before
    found.save(tmp_path / "model.gmm")
    assert BayesianGaussianMixture.load(tmp_path / "model.gmm").score(overlap) == before


def test_reports_and_exports_leave_out_components_without_rows(blobs, tmp_path) -> None:
    found = BayesianGaussianMixture(6, random_state=0).fit(blobs)
    assert found.mixture_.n_components == 6
    found.save(tmp_path / "model.gmm")
    result = CliRunner().invoke(program, ["describe", str(tmp_path / "model.gmm"), "--json"])
    assert json.loads(result.stdout)["n_components"] == 3
    assert len(found.tidy()) == 3
    assert to_c(found).count("mean") == to_c(gaussmix.GaussianMixture(3, random_state=0).fit(blobs)).count("mean")


def test_load_rejects_a_file_with_an_invalid_posterior(overlap, tmp_path) -> None:
    found = BayesianGaussianMixture(5, random_state=0).fit(overlap)
    found.mass_ = found.mass_[:2]
    found.save(tmp_path / "short.gmm")
    with pytest.raises(gaussmix.InvalidModelFileError, match="'mass_' must have a number of rows ≥ 0 for"):
        BayesianGaussianMixture.load(tmp_path / "short.gmm")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"covariance_type": "VEI"}, r"'VEI' has no conjugate prior.*use prior= in GaussianMixture"),
        ({"covariance_type": gaussmix.Full(max_condition=10)}, "has no conjugate prior"),
        ({"weight_concentration_prior": 0.0}, "weight_concentration_prior=0.0 must be a finite number above 0"),
        ({"mean_precision_prior": -1}, "mean_precision_prior=-1 must be a finite number above 0"),
        ({"weight_concentration_prior_type": "sticks"}, "weight_concentration_prior_type"),
        ({"mean_prior": [0.0, 1e200, 0.0]}, r"mean_prior must be within ±1e\+150, because squares"),
        ({"weight_concentration_prior": 1e12}, r"weight_concentration_prior=1e\+12 must be at most 1e\+09"),
        ({"degrees_of_freedom_prior": 1e12}, r"degrees_of_freedom_prior=1e\+12 must be at most 1e\+09"),
        ({"degrees_of_freedom_prior": 2.0}, "'degrees_of_freedom_prior' should be greater than 2, but got 2.000"),
        ({"mean_prior": [0.0]}, r"mean_prior has shape \(1,\), but covariance_type and X need shape \(3,\)"),
        ({"mean_prior": [0.0, np.nan, 1.0]}, "mean_prior contains NaN or infinity"),
        ({"covariance_prior": 1.0}, r"covariance_prior has shape \(\), but covariance_type and X need shape \(3, 3\)"),
        ({"covariance_prior": -np.eye(3)}, "covariance_prior must be positive definite"),
        ({"covariance_prior": [[1, 2, 0], [0, 1, 0], [0, 0, 1]]}, "covariance_prior must be symmetric"),
        ({"covariance_prior": [1, 1, 0], "covariance_type": "diag"}, "covariance_prior must be positive definite"),
        ({"init_params": "birth", "split_merge": False}, r'init_params="birth" needs split_merge=True'),
        ({"init_params": "births"}, r"'tree', 'birth'\. Did you mean 'birth'\?"),
        ({"init_params": ["birth", "kmeans"]}, r"init_params='birth' cannot be in a list\."),
        ({"tol": -1}, r"tol=-1 must be a finite number ≥ 0\.$"),
        ({"tol": "small"}, r"tol must be a finite number ≥ 0, not 'small'\.$"),
        ({"tol": "auto"}, r'BayesianGaussianMixture needs a number as tol, not "auto"'),
        ({"reg_covar": "auto"}, r'reg_covar="auto" is not available here'),
        ({"reg_covar": -1}, r"reg_covar=-1 must be a finite number ≥ 0\.$"),
        ({"n_components": 500, "init_params": "kmeans"}, "Expected n_samples >= n_components"),
    ],
)
def test_fit_rejects_invalid_values_of_parameters(overlap, settings, sentence) -> None:
    with pytest.raises(ValueError, match=sentence):
        BayesianGaussianMixture(**{"n_components": 2, **settings}).fit(overlap)


def test_priors_reject_labels_of_features_in_another_order(overlap) -> None:
    frame = pd.DataFrame(overlap, columns=["a", "b", "c"])
    BayesianGaussianMixture(2, random_state=0, mean_prior=frame.mean()).fit(frame)
    with pytest.raises(ValueError, match="columns of mean_prior are 'c', 'b', 'a', but X has 'a', 'b', 'c'"):
        BayesianGaussianMixture(2, mean_prior=frame.mean()[::-1]).fit(frame)
    with pytest.raises(ValueError, match="columns of covariance_prior are 'c', 'b', 'a', but X has 'a', 'b', 'c'"):
        BayesianGaussianMixture(2, covariance_prior=frame.cov().iloc[::-1, ::-1]).fit(frame)


@pytest.mark.parametrize(
    "settings", [{"mean_precision_prior": "1"}, {"weight_concentration_prior": True}, {"split_merge": 1}]
)
def test_parameters_of_the_wrong_type_raise_type_error(overlap, settings) -> None:
    with pytest.raises(TypeError):
        BayesianGaussianMixture(2, **settings).fit(overlap)


@pytest.mark.heavy(n_default=1)
@structures
@pytest.mark.parametrize("value", [0.0, 0.1, 1e9 / 3])
def test_a_constant_column_does_not_change_the_clusters(blobs, covariance_type, value) -> None:
    """Check constant columns, including 0.1, whose variance by sums of a hundred values would be 2e-34."""
    constant = np.insert(blobs, 1, value, axis=1)
    settings = {"covariance_type": covariance_type, "random_state": 0}
    if covariance_type not in ("spherical", "EII"):
        with pytest.warns(RuntimeWarning, match="Column 1 .* is constant") as caught:
            found = BayesianGaussianMixture(5, **settings).fit(constant)
        assert [each.filename for each in caught] == [__file__]
        assert found.mixture_._model.covariances.variances()[:, 1].max() < 1e-4
        assert [each.feature for each in found.outcome_.diagnostics] == [1]
    else:
        found = BayesianGaussianMixture(5, **settings).fit(constant)
    assert adjusted_rand_score(found.predict(constant), np.arange(450) // 150) == 1
    np.testing.assert_allclose(found.means_[:, 1], value, rtol=1e-12)


@structures
def test_rows_of_constant_columns_get_one_component(covariance_type) -> None:
    with pytest.warns(RuntimeWarning, match="Columns 0, 1 .* are constant") as caught:
        found = BayesianGaussianMixture(3, covariance_type=covariance_type).fit(np.ones((20, 2)))
    assert len(caught) == 1
    np.testing.assert_array_equal(found.mass_, [20, 0, 0])
    np.testing.assert_array_equal(found.means_, 1.0)


@pytest.mark.parametrize("units", [[1.0, 1.0, 1.0], [1e9, 1e-9, 3.0]])
def test_the_default_prior_keeps_correlations_of_linearly_dependent_columns(units, rng) -> None:
    first = np.concatenate([rng.normal(0, 1, 200), rng.normal(8, 1, 200)])
    X = np.column_stack([first, first / 3 + 7, first + rng.normal(size=400)]) * units
    settings = {"random_state": 0, "init_params": "kmeans"}
    ours = BayesianGaussianMixture(2, split_merge=False, **settings).fit(X)
    theirs = Theirs(n_components=1).fit(X / units).covariance_prior_
    # Only the diagonal is increased, by a millionth.
    np.testing.assert_allclose(ours.covariance_prior_, theirs * np.outer(units, units), rtol=1.1e-6)
    assert len(np.unique(ours.predict(X))) == 2
    off_the_line = X[:1] + np.array([0.0, 1.0, 0.0]) * X.std(axis=0)  # all other rows lie on a line
    assert np.diff(ours.score_samples([X[0], off_the_line[0]], how="plugin")) < -1e3


def test_a_singular_default_prior_adds_reg_covar_or_becomes_diagonal(rng) -> None:
    first = rng.normal(size=200)
    X = np.column_stack([first, 2 * first])
    prior = BayesianGaussianMixture(reg_covar=0.01).fit(X).covariance_prior_
    np.testing.assert_allclose(prior, np.cov(X.T) + 0.01 * np.eye(2), rtol=1e-9)
    prior_of_few_rows = BayesianGaussianMixture().fit(rng.normal(size=(3, 4))).covariance_prior_
    np.testing.assert_array_equal(prior_of_few_rows, np.diag(np.diag(prior_of_few_rows)))


@structures
@pytest.mark.parametrize("algorithm", [{}, PLAIN_EM], ids=["birth", "kmeans"])
def test_reg_covar_is_the_prior_variance_of_a_constant_column(blobs, covariance_type, algorithm) -> None:
    """Check constant columns with scikit-learn's `reg_covar`, as CTGAN fits them; other columns keep their clusters."""
    settings = {"covariance_type": covariance_type, "reg_covar": 1e-6, "random_state": 0, **algorithm}
    alone = BayesianGaussianMixture(1 if algorithm else 10, **settings).fit(np.full((100, 2), 7.0))
    assert np.isfinite(alone.lower_bound_)
    np.testing.assert_allclose(alone.means_, 7.0)
    found = BayesianGaussianMixture(3, **settings).fit(np.insert(blobs, 1, 7.0, axis=1))
    np.testing.assert_allclose(np.sort(found.mass_), 150, atol=1)
    if covariance_type not in ("spherical", "EII"):
        prior = found.covariance_prior_
        assert (prior if prior.ndim == 1 else np.diag(prior))[1] == 1e-6
        assert (found.mixture_._model.covariances.variances()[:, 1] < 3e-6).all()


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("structure", ["full", "diag", "spherical"])
@pytest.mark.parametrize("distance", [1e2, 1e4])
def test_a_few_remote_rows_get_a_component(structure, distance) -> None:
    rows = np.random.default_rng(0).normal(size=(2000, 2))
    rows[:5] += distance
    found = BayesianGaussianMixture(10, covariance_type=structure, random_state=0).fit(rows)
    np.testing.assert_allclose(found.mass_[:2], [1995, 5], atol=0.1)
    assert not found.mass_[2:].any()


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("distance", [500, 1e4])
@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_remote_rows_do_not_hide_clusters_if_covariance_prior_is_set(distance, missing, rng) -> None:
    rows = rng.normal(size=(3000, 3)) + np.repeat([0.0, 6.0, 12.0], 1000)[:, None]
    rows[:3] += distance
    rows[rng.random(rows.shape) < missing] = np.nan
    found = BayesianGaussianMixture(10, covariance_prior=np.eye(3), random_state=0).fit(rows)
    np.testing.assert_allclose(found.mass_[:4], [1000, 1000, 997, 3], atol=2)


def test_a_row_with_most_of_the_weight_gets_a_component(overlap) -> None:
    weight = np.ones(len(overlap))
    weight[0] = 1e6
    found = BayesianGaussianMixture(10, random_state=0).fit(overlap, sample_weight=weight)
    np.testing.assert_allclose(found.mass_[0], 1e6, atol=1)
    assert (found.mass_ > 0).sum() > 1


@pytest.mark.parametrize("seed", [5, 11])
def test_a_column_with_long_tails_gets_several_components(seed) -> None:
    column = np.random.default_rng(seed).standard_cauchy((2000, 1))
    found = BayesianGaussianMixture(10, random_state=0).fit(column)
    other = BayesianGaussianMixture(10, init_params="kmeans", random_state=0).fit(column)
    assert found.lower_bound_ > other.lower_bound_ - 10
    assert (found.mass_ > 0).sum() > 2


def test_methods_that_the_posterior_does_not_support_raise_or_are_absent(overlap) -> None:
    found = BayesianGaussianMixture(2, random_state=0).fit(overlap)
    with pytest.raises(ValueError, match="can't be set, because they do not determine the posterior"):
        found.mixture_ = found.mixture_
    with pytest.raises(ValueError, match=r"no formula for X_error\. Use score_samples or score with"):
        found.score_samples(overlap, X_error=[0.1, 0.1, 0.1])
    plugin = found.score_samples(overlap, X_error=[0.1, 0.1, 0.1], how="plugin")
    assert found.score(overlap, X_error=[0.1, 0.1, 0.1], how="plugin") == pytest.approx(plugin.mean())
    assert found.score_samples(overlap, X_error=[0.1, 0.1, 0.1], how="plugin").shape == (200,)
    with pytest.raises(ValueError, match="how"):
        found.score_samples(overlap, how="mean")
    for name in ("bic", "aic", "inference", "bootstrap"):
        assert not hasattr(found, name)
    with pytest.raises(AttributeError, match=r"no bic_\. Use lower_bound_"):
        _ = found.bic_
    np.testing.assert_array_equal(found.labels_, found.predict(overlap))


def test_fit_many_equals_the_fits_of_single_groups_bit_for_bit(blobs, overlap) -> None:
    columns = {"a": blobs[:, :1], "b": overlap[:, :1], "few": overlap[:1, :1]}
    estimator = BayesianGaussianMixture(4, random_state=0)
    with pytest.warns(RuntimeWarning, match="could not be fitted"):
        found = gaussmix.fit_many(columns, estimator=estimator)
    for index, key in enumerate("ab"):
        alone = BayesianGaussianMixture(4, random_state=0).fit(columns[key])
        assert found.get_mixture(key) == alone.mixture_
        assert found.lower_bound[index] == alone.lower_bound_
    assert list(found.errors) == ["few"]
    with pytest.raises(ValueError, match="an estimator or parameters, not both"):
        gaussmix.fit_many(columns, 3, estimator=estimator)
    with pytest.raises(ValueError, match="does not support warm_start"):
        gaussmix.fit_many(columns, estimator=BayesianGaussianMixture(warm_start=True))
    with pytest.raises(TypeError, match="estimator must be a GaussianMixture"):
        gaussmix.fit_many(columns, estimator=blobs)


@pytest.mark.heavy(n_default=1)
@structures
@priors
@pytest.mark.filterwarnings("ignore:.*did not converge")
def test_merge_augment_and_explain_agree_with_predict(overlap, covariance_type, prior) -> None:
    """Check that `merge`, `augment` and `explain` agree with the posterior, and report only components with rows."""
    settings = {"covariance_type": covariance_type, "weight_concentration_prior_type": prior, "random_state": 0}
    found = BayesianGaussianMixture(6, **settings, **PLAIN_EM, max_iter=3).fit(overlap)
    found.mass_[1] = 0.0  # an empty component between others, which a fit may produce
    rows = np.where(np.random.default_rng(5).random(overlap.shape) < 0.1, np.nan, overlap)
    last = int(np.flatnonzero(found.mass_)[-1]) + 1
    proba = found.predict_proba(rows)
    np.testing.assert_array_equal(proba[:, last:], 0.0)
    table = found.augment(rows)
    np.testing.assert_array_equal(np.asarray(table["component"]), found.predict(rows))
    np.testing.assert_allclose(table["uncertainty"], 1 - proba.max(axis=1), atol=1e-12)
    np.testing.assert_array_equal(table["log_density"], found.score_samples(rows))
    explanation = found.explain(rows)
    np.testing.assert_array_equal(explanation.component, found.predict(rows))
    np.testing.assert_allclose(explanation.responsibilities, proba[:, :last], atol=1e-12)
    each = np.arange(len(rows))
    assert np.isfinite(explanation.log_ratio).all()
    ratio = np.log(proba[each, explanation.component]) - np.log(proba[each, explanation.second_component])
    np.testing.assert_allclose(explanation.log_ratio, ratio, atol=1e-8)
    merged = found.merge(rows)
    assert merged.mixture.n_components == last
    expected = found.predict_proba(overlap)[:, :last]
    np.testing.assert_allclose(merged.responsibilities(overlap, last), expected, atol=1e-12)


@pytest.mark.heavy(n_default=1)
@structures
@priors
def test_the_mean_density_of_posterior_draws_is_the_predictive_density(blobs, covariance_type, prior) -> None:
    """Check that the draws' mean density is the predictive density, within six standard errors of the draws."""
    settings = {"covariance_type": covariance_type, "weight_concentration_prior_type": prior, "random_state": 0}
    found = BayesianGaussianMixture(5, weight_concentration_prior=1e-3, **settings).fit(blobs[::3])
    rows = blobs[[0, 100, 200, 300, 400]]
    density = np.array([np.exp(each.log_density(rows)) for each in found.posterior_.sample(300, rng=0)])
    error = density.std(axis=0) / np.sqrt(300)
    assert (np.abs(density.mean(axis=0) - np.exp(found.score_samples(rows))) < 6 * error).all()


def test_credible_intervals_are_quantiles_of_posterior_draws(blobs) -> None:
    """Check the draws, errors, and that the estimates have the format and the order of `inference`."""
    found = BayesianGaussianMixture(5, random_state=0).fit(pd.DataFrame(blobs, columns=["a", "b"]))
    posterior = found.posterior_
    assert repr(posterior) == "<MixturePosterior: 3 components, full, 450 rows>"
    estimates = posterior.estimates(500, rng=0)
    weights = np.array([mixture.weights for mixture in posterior.sample(500, rng=0)])
    np.testing.assert_array_equal(estimates.conf_int(0.1)[:3].T, np.quantile(weights, [0.05, 0.95], axis=0))
    np.testing.assert_allclose(estimates.params[:3], found.weights_[:3] / found.weights_[:3].sum())
    np.testing.assert_allclose(estimates.params[3:9], found.means_[:3].ravel())
    assert estimates.names[3:5] == ("mean[0, a]", "mean[0, b]")
    # The mean has a t distribution with ν + 1 − d degrees of freedom and scale C / β ν / (ν + 1 − d); Bishop (2006) eq.
    # B.68.
    df = found.degrees_of_freedom_[0] - 1
    variance = found.covariances_[0, 0, 0] / found.mean_precision_[0] * (df + 1) / (df - 2)
    assert estimates.bse[3] == pytest.approx(np.sqrt(variance), rel=0.1)
    assert list(estimates.tidy()["term"]) == list(estimates.names)
    table = found.tidy(estimates)
    np.testing.assert_array_equal(table[["mean_a_conf_low", "mean_a_conf_high"]], estimates.conf_int()[[3, 5, 7]])
    heights = posterior.estimate(lambda mixture: mixture.log_density(blobs[:4]), "height", n_samples=50, rng=0)
    np.testing.assert_array_equal(heights.params, posterior._mixture.log_density(blobs[:4]))
    assert heights.conf_int().shape == (4, 2)
    assert str(heights).startswith("Estimates by 50 draws from the posterior")
    with pytest.raises(TypeError, match="posterior_ for all parameters, not ParameterEstimates"):
        found.tidy(heights)
    with pytest.raises(TypeError, match="Pass a function that takes a mixture and returns numbers, not 'means'"):
        posterior.estimate("means")
    with pytest.raises(ValueError, match="n_samples=1 must be an integer ≥ 2"):
        posterior.estimates(1)
    for function in (lambda mixture: None, lambda mixture: "a", lambda mixture: np.nan):
        with pytest.raises(ValueError, match="The function must return finite numbers for mixtures"):
            posterior.estimate(function, n_samples=2)


def test_credible_intervals_are_rejected_if_squares_of_variances_overflow(rng) -> None:
    posterior = BayesianGaussianMixture().fit(1e100 * rng.normal(size=(30, 2))).posterior_
    with pytest.raises(ValueError, match="Standard errors need variances from 1e-140 to"):
        posterior.estimates(10, rng=0)


def test_a_summary_reports_the_sensitivity_to_the_prior(blobs) -> None:
    found = BayesianGaussianMixture(6, random_state=0).fit(blobs)
    assert "3 of at most 6 have rows" in str(found.summary())
    text = str(found.summary(blobs))
    assert "half weight_concentration_prior  3 of at most 6 have rows, bound -" in text
    assert "twice mean_precision_prior" in text
    assert "BIC" not in text
    assert len(found.tidy()) == 3
    glance = found.glance(blobs)
    assert glance["n_components"][0] == 3
    assert glance["lower_bound"][0] == found.lower_bound_
    assert not {"bic", "log_likelihood"} & set(glance)


def test_reports_leave_out_components_with_almost_no_rows() -> None:
    """Check that texts omit nearly empty components, which can remain without moves that would delete them."""
    responsibilities = np.array([[1 - 1e-5, 1e-5]] * 2)
    found = BayesianGaussianMixture(2, init_params=responsibilities, split_merge=False, max_iter=0).fit([[0.0], [1.0]])
    assert (found.mass_ > 0).all()
    assert "1 of at most 2 have rows" in str(found.summary())
    assert len(found.tidy()) == 1
    assert found.posterior_.estimates(10, rng=0).names == ("weight[0]", "mean[0, x0]", "variance[0, x0]")
    assert len(found.tidy(found.posterior_.estimates(10, rng=0))) == 1


def test_a_summary_of_other_rows_leaves_out_the_sensitivity_to_the_prior(overlap) -> None:
    labels = np.full(len(overlap), -1)
    labels[:10], labels[-10:] = 1, 0
    found = BayesianGaussianMixture(3, **PLAIN_EM, random_state=0).fit(overlap)
    labelled = BayesianGaussianMixture(2, **PLAIN_EM, random_state=0).fit(overlap, labels=labels)
    assert "twice mean_precision_prior" in str(found.summary(overlap))
    for summary in (
        found.summary(overlap[:150]),
        found.summary(overlap, sample_weight=np.linspace(0.5, 1.5, len(overlap))),
        found.summary(overlap, X_error=[0.5, 0.5, 0.5]),
        labelled.summary(overlap),
    ):
        assert "twice" not in str(summary)
        assert "rows, weights, errors or parameters have changed, or the fit had labels" in summary.warnings[-1]
    assert not found.summary().warnings
    with pytest.raises(ValueError, match="X has 2 features, but BayesianGaussianMixture is expecting 3"):
        found.summary(overlap[:, :2])


def test_the_default_prior_counts_a_sample_weight_as_repeated_rows(rng):
    rows = rng.normal(size=(4, 6))  # fewer rows than columns, although their weights are large
    weighted = BayesianGaussianMixture(2, random_state=0).fit(rows, sample_weight=np.full(4, 50))
    repeated = BayesianGaussianMixture(2, random_state=0).fit(np.repeat(rows, 50, axis=0))
    np.testing.assert_allclose(weighted.covariance_prior_, repeated.covariance_prior_, rtol=1e-13, atol=1e-15)
    assert weighted.lower_bound_ == pytest.approx(repeated.lower_bound_, rel=1e-10)


@pytest.mark.filterwarnings("ignore:component 0. nearly singular")
@pytest.mark.parametrize("distance", [1e-4, 1e-5])
def test_a_nearly_singular_default_prior_equals_the_covariance_of_the_rows(distance, rng):
    x = rng.normal(size=(300, 1))
    rows = np.hstack([x, x + distance * rng.normal(size=(300, 1))])
    found, expected = BayesianGaussianMixture(1).fit(rows).covariance_prior_, np.cov(rows.T)
    assert np.linalg.eigvalsh(found)[0] == pytest.approx(np.linalg.eigvalsh(expected)[0], rel=0.01)
