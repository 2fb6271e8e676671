"""`BayesianGaussianMixture` agrees with scikit-learn's if that is correct; also moves, sources, files and errors."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from scipy.special import gammaln
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
TO_THE_END = {"tol": 1e-9, "max_iter": 3000}
structures = pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical", "EEI", "EII"])
priors = pytest.mark.parametrize("prior", PRIORS)


@pytest.fixture(scope="module")
def three() -> np.ndarray:
    """Return three well-separated clusters in two features."""
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(place, 1.0, size=(150, 2)) for place in (0.0, 9.0, 18.0)])


@pytest.fixture(scope="module")
def near() -> np.ndarray:
    """Return two clusters that overlap, in three features."""
    rng = np.random.default_rng(1)
    return np.concatenate((rng.normal(size=(120, 3)), rng.normal(size=(80, 3)) + 1.5))


def n_used(found) -> int:
    """Count the components with rows, as tables do: a component with 1e-4 rows may raise the bound by 1e-4 nats."""
    return len(found.tidy())


def test_with_full_covariances_it_is_scikit_learn_s_posterior(three) -> None:
    """Compare with scikit-learn after convergence from one start. Its results are correct for Dirichlet priors."""
    settings = {"weight_concentration_prior_type": "dirichlet_distribution", "random_state": 0, **TO_THE_END}
    theirs = Theirs(n_components=3, reg_covar=0, **settings).fit(three)
    ours = BayesianGaussianMixture(3, **PLAIN_EM, **settings).fit(three)
    order, other = np.argsort(ours.means_[:, 0]), np.argsort(theirs.means_[:, 0])
    for name in "weights_", "means_", "covariances_", "mean_precision_", "degrees_of_freedom_", "weight_concentration_":
        np.testing.assert_allclose(getattr(ours, name)[order], getattr(theirs, name)[other], rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(ours.score_samples(three, how="plugin"), theirs.score_samples(three), atol=1e-5)
    np.testing.assert_allclose(ours.predict_proba(three)[:, order], theirs.predict_proba(three)[:, other], atol=1e-5)


def test_tied_rows_are_not_divided(near) -> None:
    found = BayesianGaussianMixture(2, covariance_type="tied", **PLAIN_EM, random_state=0).fit(near)
    assert found.degrees_of_freedom_ == pytest.approx(3 + 200)


@pytest.mark.heavy(but=1)
@structures
@priors
def test_moves_find_the_clusters(three, covariance_type, prior) -> None:
    settings = {"covariance_type": covariance_type, "weight_concentration_prior_type": prior, "random_state": 0}
    found = BayesianGaussianMixture(12, **settings).fit(three)
    assert n_used(found) == 3
    assert found.converged_
    assert len(found.weights_) == len(found.means_) == 12
    np.testing.assert_allclose(np.sort(found.mass_)[-3:], 150, atol=1)
    assert set(found.predict(three)) == set(np.flatnonzero(found.mass_))
    np.testing.assert_allclose(found.predict_proba(three).sum(axis=1), 1.0)
    kept = BayesianGaussianMixture(12, **settings, init_params="kmeans").fit(three)
    without = BayesianGaussianMixture(12, **settings, **PLAIN_EM, max_iter=500).fit(three)
    assert n_used(kept) == 3
    assert min(found.lower_bound_, kept.lower_bound_) > without.lower_bound_ - 1e-3  # the default of `tol`


@structures
def test_each_state_of_a_run_has_a_higher_bound(near, covariance_type) -> None:
    found = BayesianGaussianMixture(
        8, covariance_type=covariance_type, init_params="random", tol=1e-6, max_iter=400, random_state=0
    ).fit(near)
    assert (np.diff(found.lower_bounds_) > -1e-9).all()


def test_components_without_rows_are_the_prior_s(three) -> None:
    found = BayesianGaussianMixture(5, random_state=1).fit(three)
    empty = found.mass_ == 0
    assert empty.sum() == 2
    np.testing.assert_array_equal(found.mean_precision_[empty], 1.0)
    np.testing.assert_array_equal(found.degrees_of_freedom_[empty], 2.0)
    np.testing.assert_allclose(found.means_[empty], np.tile(three.mean(axis=0), (2, 1)))
    np.testing.assert_allclose(found.covariances_[empty], np.tile(np.cov(three.T) / 2, (2, 1, 1)))
    np.testing.assert_allclose(found.covariance_prior_, np.cov(three.T))


def test_a_process_does_not_know_its_limit(three) -> None:
    """Check that the bound does not depend on the limit, because components without rows are not in the model."""
    bounds = [
        BayesianGaussianMixture(limit, weight_concentration_prior=0.1, random_state=0, tol=1e-9).fit(three).lower_bound_
        for limit in (3, 30)
    ]
    assert bounds[0] == pytest.approx(bounds[1], abs=1e-8)


@priors
def test_weights_are_frequencies(near, prior) -> None:
    times = np.random.default_rng(2).integers(0, 4, len(near))
    settings = {"weight_concentration_prior_type": prior, "random_state": 0, **TO_THE_END}
    once = BayesianGaussianMixture(6, **settings).fit(near, sample_weight=times)
    each = BayesianGaussianMixture(6, **settings).fit(np.repeat(near, times, axis=0))
    assert once.lower_bound_ == pytest.approx(each.lower_bound_, abs=1e-6)
    large = BayesianGaussianMixture(6, **settings).fit(near, sample_weight=times * 2.0**40)
    assert large.mass_.sum() == times.sum() * 2.0**40


def test_a_column_has_its_heavy_tails_and_its_small_clusters() -> None:
    rng = np.random.default_rng(5)
    tails = BayesianGaussianMixture(10, weight_concentration_prior=0.001, random_state=0).fit(
        rng.standard_t(5, size=(20_000, 1))
    )
    assert (tails.mass_ > 0).sum() > 1
    assert tails.n_iter_ < 20  # further steps were made on subsamples, and do not count
    small = np.append(rng.normal(size=20_000), rng.normal(7, 0.1, size=60))[:, None]
    found = BayesianGaussianMixture(10, weight_concentration_prior=0.001, random_state=0).fit(small)
    of_small = np.abs(found.means_[:, 0] - 7) < 0.2
    assert found.mass_[of_small].sum() == pytest.approx(60, abs=2)


@pytest.mark.parametrize("seed", [6, 10])
def test_em_on_few_rows_goes_on_without_a_component_that_has_lost_its_rows(seed) -> None:
    skewed = np.random.default_rng(seed).gamma(2.0, size=(20_000, 1))
    found = BayesianGaussianMixture(10, weight_concentration_prior=0.001, random_state=0).fit(skewed)
    assert found.n_iter_ < 20


@pytest.mark.heavy(but=1)
@pytest.mark.parametrize("n_features", [1, 2])
def test_rows_of_negligible_weight_change_nothing(n_features) -> None:
    rng = np.random.default_rng(0)
    heavy = rng.normal(size=(6000, n_features)) + np.repeat([[0.0], [6.0], [20.0]], 2000, axis=0)
    rows = np.concatenate((heavy, rng.normal(100.0, 50.0, size=heavy.shape)))
    weight = np.repeat([1e3, 1e-12], len(heavy))
    estimator = BayesianGaussianMixture(10, random_state=0, max_iter=1000)
    found = clone(estimator).fit(rows, sample_weight=weight)
    alone = clone(estimator).fit(heavy, sample_weight=weight[: len(heavy)])
    assert found.lower_bound_ == pytest.approx(alone.lower_bound_, abs=0.1)


def test_missing_cells_are_no_reason_to_find_other_clusters(three) -> None:
    holes = np.where(np.random.default_rng(3).random(three.shape) < 0.15, np.nan, three)
    found = BayesianGaussianMixture(10, random_state=0).fit(holes)
    assert n_used(found) == 3
    assert (np.diff(found.lower_bounds_) > -1e-9).all()
    density = found.score_samples(holes)
    assert np.isfinite(density).all()
    assert (density[np.isnan(holes).all(axis=1)] == 0).all()


@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical"])
def test_the_bound_of_rows_whose_labels_are_known_is_their_evidence(near, covariance_type) -> None:
    """Compare with the product of the components' evidences and the labels' Dirichlet-multinomial probability."""
    labels, alpha = np.arange(len(near)) % 3 // 2, 0.7
    scale = {"full": np.eye(3), "diag": np.ones(3), "spherical": 1.0}[covariance_type]
    prior = {"mean_prior": np.zeros(3), "covariance_prior": scale, "weight_concentration_prior": alpha}
    settings = {"covariance_type": covariance_type, "weight_concentration_prior_type": PRIORS[1], **prior, **PLAIN_EM}
    found = BayesianGaussianMixture(2, **settings).fit(near, labels=labels)
    alone = [BayesianGaussianMixture(1, **settings).fit(near[labels == k]).lower_bound_ for k in (0, 1)]
    of_labels = gammaln(2 * alpha) - gammaln(2 * alpha + len(near))
    of_labels += (gammaln(alpha + np.bincount(labels)) - gammaln(alpha)).sum()
    assert found.lower_bound_ == pytest.approx(sum(alone) + of_labels, rel=1e-12)


def test_labels_hold_without_moves(near) -> None:
    labels = np.full(len(near), -1)
    labels[:10], labels[-10:] = 1, 0
    found = BayesianGaussianMixture(2, **PLAIN_EM, random_state=0).fit(near, labels=labels)
    assert (found.predict(near[:10]) == 1).mean() > 0.7
    with pytest.raises(ValueError, match=r"labels refer to components by number\. Set split_merge=False"):
        BayesianGaussianMixture(2).fit(near, labels=labels)
    for wrong, said in ((labels + 2, "labels use component 3; with n_components=2"), (np.eye(3)[labels], "has 3 ")):
        with pytest.raises(ValueError, match=said):
            BayesianGaussianMixture(2, **PLAIN_EM).fit(near, labels=wrong)


@pytest.mark.filterwarnings("ignore:.*did not converge")
def test_a_warm_start_goes_on(near, tmp_path) -> None:
    settings = {"random_state": 0, "max_iter": 5, "tol": 1e-12, **PLAIN_EM}
    found = BayesianGaussianMixture(4, warm_start=True, **settings)
    first = found.fit(near).lower_bound_
    assert found.outcome_.reason.startswith("max_iter steps were made before the bound converged")
    found.save(tmp_path / "half.gmm")
    second = found.fit(near).lower_bound_
    assert BayesianGaussianMixture.load(tmp_path / "half.gmm").fit(near).lower_bound_ == second
    whole = BayesianGaussianMixture(4, **settings | {"max_iter": 10}).fit(near).lower_bound_
    assert second > first
    assert second == pytest.approx(whole, abs=1e-9)


def test_a_warm_start_that_has_more_components_than_the_limit_starts_anew(three) -> None:
    found = BayesianGaussianMixture(3, warm_start=True, random_state=0, **PLAIN_EM).fit(three)
    assert n_used(found) == 3
    found.set_params(n_components=2).fit(three)
    new = BayesianGaussianMixture(2, random_state=0, **PLAIN_EM).fit(three)
    np.testing.assert_array_equal(found.means_, new.means_)


@pytest.mark.parametrize("split_merge", [True, False])
def test_a_warm_start_may_have_fewer_rows_than_components(near, split_merge) -> None:
    settings = {"init_params": "kmeans", "split_merge": split_merge, "max_iter": 1000, "random_state": 0}
    found = BayesianGaussianMixture(5, **settings, warm_start=True).fit(near)
    with pytest.warns(RuntimeWarning, match="X has 4 distinct rows"):
        assert found.fit(near[:4]).mass_.sum() == pytest.approx(4)
    with pytest.raises(ValueError, match=r'n_samples = 4\. Lower n_components, or set init_params="birth"'):
        found.set_params(covariance_type="diag").fit(near[:4])  # does not start from a fit of another structure


def test_shares_are_scaled_to_rows(three) -> None:
    shares = np.full(len(three), 1 / len(three))
    with pytest.warns(RuntimeWarning, match="sample_weight sums to less than 2"):
        found = BayesianGaussianMixture(6, random_state=0).fit(three, sample_weight=shares)
    assert found.mass_.sum() == pytest.approx(len(three))
    assert n_used(found) == 3


@pytest.mark.parametrize("values", [[1.0, 2.0], [1.0, 2.0, 5.0]])
def test_columns_of_few_values_are_split_too(values) -> None:
    repeated = np.repeat(values, 100)[:, None]
    few = len(values) + 1
    plain = BayesianGaussianMixture(few, random_state=0, **PLAIN_EM)
    with pytest.warns(RuntimeWarning, match=f"X has {len(values)} distinct rows"):
        plain.fit(repeated)
    found = BayesianGaussianMixture(few, random_state=0).fit(repeated)
    assert n_used(found) == len(values)
    assert found.lower_bound_ >= plain.lower_bound_ - 1e-4 * len(repeated)  # moves end at this tolerance


def test_values_that_many_rows_share_are_found() -> None:
    rng = np.random.default_rng(0)
    spikes = np.where(rng.random(5000) < 0.3, rng.choice([0.0, 40.0, 99.0], 5000), rng.normal(40, 12, 5000).round())
    found, plain = (BayesianGaussianMixture(10, random_state=0, **how) for how in ({}, PLAIN_EM | {"max_iter": 3000}))
    assert found.fit(spikes[:, None]).lower_bound_ > plain.fit(spikes[:, None]).lower_bound_


def test_a_limit_may_be_above_the_number_of_rows(three) -> None:
    few = three[::60]
    found = BayesianGaussianMixture(10, random_state=0).fit(few)
    assert "twice mean_precision_prior" in str(found.summary(few))
    assert len(few) < len(found.weights_) == 10
    many = gaussmix.fit_many({"few": few}, estimator=BayesianGaussianMixture(10, random_state=0))
    assert many.get_mixture("few") == found.mixture_


def test_the_score_is_the_mean_of_the_predictive_density(near) -> None:
    found = BayesianGaussianMixture(4, random_state=0).fit(near)
    weight = np.random.default_rng(4).random(len(near))
    assert found.score(near) == pytest.approx(found.score_samples(near).mean())
    assert found.score(near, sample_weight=weight) == pytest.approx(
        np.average(found.score_samples(near), weights=weight)
    )
    assert found.score_samples(near.astype(np.float32)).dtype == np.float32


def test_callbacks_follow_the_bound_and_may_end_the_fit(three, capsys) -> None:
    """Check that callbacks receive the part of the bound that is a sum over rows, and `verbose` prints all of it."""
    steps: list = []
    found = BayesianGaussianMixture(8, random_state=0, callbacks=[steps.append], verbose=2).fit(three)
    steps = [step for step in steps if step.start == np.argmax([trace[-1] for trace in found.outcome_.traces])]
    assert [step.iteration for step in steps] == [*range(1, found.n_iter_ + 1)]
    posterior = replace(found._approximation, counts=steps[-2].mixture.weights * len(three))
    before = replace(posterior, means=steps[-2].mixture.means, covariances=steps[-2].mixture._model.covariances)
    bound = len(three) * steps[-1].log_likelihood - before.divergence_from_prior
    assert bound == pytest.approx(found.lower_bound_, rel=1e-12)
    assert f"lower bound {found.lower_bound_:.5f}." in capsys.readouterr().out
    ended = BayesianGaussianMixture(8, random_state=0, callbacks=[lambda step: True]).fit(three)
    assert ended.outcome_.reason.startswith("A callback ended the fit.")
    assert ended.n_iter_ == 1


@pytest.mark.heavy
def test_the_default_ends_no_lower_than_from_kmeans() -> None:
    """Compare bounds of two peaks with 300 equal values between them, scikit-learn's sine, and a normal distribution.

    If X has one feature and each component its own variance, the start from k-means is not a run of its own.
    """
    rng = np.random.default_rng(0)
    column = np.concatenate((rng.normal(0, 1, 500), rng.normal(10, 2, 500), np.full(300, 5.0)))[:, None]
    x = np.arange(100) * np.pi / 25 - 6
    sine = np.column_stack((x + 0.1 * rng.normal(size=100), 3 * (np.sin(x) + 0.2 * rng.normal(size=100))))
    wide = {"weight_concentration_prior": 0.01, "mean_precision_prior": 0.01, "covariance_prior": np.eye(2)}
    equal = {"covariance_type": "tied", "weight_concentration_prior_type": PRIORS[1], "weight_concentration_prior": 1.0}
    cases = (column, {"weight_concentration_prior": 0.001}, 1), (sine, wide, 2), (rng.normal(size=(500, 1)), equal, 2)
    for rows, settings, n_starts in cases:
        for seed in range(4):
            fits = BayesianGaussianMixture(10, **settings, max_iter=1000, random_state=seed)
            bounds = [clone(fits).set_params(init_params=init).fit(rows).lower_bound_ for init in ("birth", "kmeans")]
            assert bounds[0] > bounds[1] - 0.01
            assert fits.fit(rows).outcome_.n_starts == n_starts


def test_the_clock_ends_a_fit_and_the_warning_names_the_bound(three) -> None:
    with (
        pytest.warns(ConvergenceWarning, match="max_time was reached before the bound converged"),
        pytest.warns(ConvergenceWarning, match="before the other starts were made"),
    ):
        found = BayesianGaussianMixture(8, random_state=0, max_time=1e-9, n_init=2).fit(three)
    assert found.outcome_.reason.startswith("max_time was reached before the bound converged")


@priors
def test_parameters_that_are_set_after_a_fit_change_no_posterior(near, tmp_path, prior) -> None:
    found = BayesianGaussianMixture(4, weight_concentration_prior_type=prior, random_state=0).fit(near)
    before = found.score(near)
    found.set_params(weight_concentration_prior_type=next(each for each in PRIORS if each != prior))
    assert found.score(near) == before
    found.save(tmp_path / "model.gmm")
    assert BayesianGaussianMixture.load(tmp_path / "model.gmm").score(near) == before


def test_reports_pictures_and_exports_leave_out_components_without_rows(three, tmp_path) -> None:
    found = BayesianGaussianMixture(6, random_state=0).fit(three)
    assert found.mixture_.n_components == 6
    found.save(tmp_path / "model.gmm")
    said = CliRunner().invoke(program, ["describe", str(tmp_path / "model.gmm"), "--json"])
    assert json.loads(said.stdout)["n_components"] == 3
    assert len(found.tidy()) == 3
    assert to_c(found).count("mean") == to_c(gaussmix.GaussianMixture(3, random_state=0).fit(three)).count("mean")


def test_a_file_whose_posterior_is_damaged_is_refused(near, tmp_path) -> None:
    found = BayesianGaussianMixture(5, random_state=0).fit(near)
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
        ({"tol": "auto"}, r'BayesianGaussianMixture needs a number as tol, not "auto"'),
        ({"reg_covar": "auto"}, r'reg_covar="auto" is not available here'),
        ({"n_components": 500, "init_params": "kmeans"}, "Expected n_samples >= n_components"),
    ],
)
def test_invalid_values_of_parameters_are_refused(near, settings, sentence) -> None:
    with pytest.raises(ValueError, match=sentence):
        BayesianGaussianMixture(**{"n_components": 2, **settings}).fit(near)


@pytest.mark.parametrize(
    "settings", [{"mean_precision_prior": "1"}, {"weight_concentration_prior": True}, {"split_merge": 1}]
)
def test_parameters_of_wrong_types_raise_type_error(near, settings) -> None:
    with pytest.raises(TypeError):
        BayesianGaussianMixture(2, **settings).fit(near)


@pytest.mark.heavy(but=1)
@structures
@pytest.mark.parametrize("number", [0.0, 0.1, 1e9 / 3])
def test_a_constant_column_changes_no_cluster(three, covariance_type, number) -> None:
    """Check constant columns, including 0.1, whose variance by sums of a hundred values would be 2e-34."""
    constant = np.insert(three, 1, number, axis=1)
    how = {"covariance_type": covariance_type, "random_state": 0}
    if covariance_type not in ("spherical", "EII"):
        with pytest.warns(RuntimeWarning, match="Column 1 .* is constant") as caught:
            found = BayesianGaussianMixture(5, **how).fit(constant)
        assert [each.filename for each in caught] == [__file__]
        assert found.mixture_._model.covariances.variances()[:, 1].max() < 1e-4
        assert [each.feature for each in found.outcome_.diagnostics] == [1]
    else:
        found = BayesianGaussianMixture(5, **how).fit(constant)
    assert adjusted_rand_score(found.predict(constant), np.arange(450) // 150) == 1
    np.testing.assert_allclose(found.means_[:, 1], number, rtol=1e-12)


@structures
def test_constant_columns_alone_are_one_component(covariance_type) -> None:
    with pytest.warns(RuntimeWarning, match="Columns 0, 1 .* are constant") as caught:
        found = BayesianGaussianMixture(3, covariance_type=covariance_type).fit(np.ones((20, 2)))
    assert len(caught) == 1
    np.testing.assert_array_equal(found.mass_, [20, 0, 0])
    np.testing.assert_array_equal(found.means_, 1.0)


@pytest.mark.parametrize("units", [[1.0, 1.0, 1.0], [1e9, 1e-9, 3.0]])
def test_columns_that_follow_from_others_keep_their_correlations(units, rng) -> None:
    first = np.concatenate([rng.normal(0, 1, 200), rng.normal(8, 1, 200)])
    X = np.column_stack([first, first / 3 + 7, first + rng.normal(size=400)]) * units
    how = {"random_state": 0, "init_params": "kmeans"}
    ours = BayesianGaussianMixture(2, split_merge=False, **how).fit(X)
    theirs = Theirs(n_components=1).fit(X / units).covariance_prior_
    # Only the diagonal is increased, by a millionth.
    np.testing.assert_allclose(ours.covariance_prior_, theirs * np.outer(units, units), rtol=1.1e-6)
    assert len(np.unique(ours.predict(X))) == 2
    away = X[:1] + np.array([0.0, 1.0, 0.0]) * X.std(axis=0)  # outside the line on which all rows lie
    assert np.diff(ours.score_samples([X[0], away[0]], how="plugin")) < -1e3


def test_a_ridge_of_ones_own_makes_a_singular_prior_positive_definite(rng) -> None:
    first = rng.normal(size=200)
    X = np.column_stack([first, 2 * first])
    prior = BayesianGaussianMixture(reg_covar=0.01).fit(X).covariance_prior_
    np.testing.assert_allclose(prior, np.cov(X.T) + 0.01 * np.eye(2), rtol=1e-9)
    few = BayesianGaussianMixture().fit(rng.normal(size=(3, 4))).covariance_prior_
    np.testing.assert_array_equal(few, np.diag(np.diag(few)))


@structures
@pytest.mark.parametrize("algorithm", [{}, PLAIN_EM], ids=["birth", "kmeans"])
def test_a_ridge_is_the_variance_of_a_constant_column(three, covariance_type, algorithm) -> None:
    """Check constant columns with scikit-learn's `reg_covar`, as CTGAN fits them; other columns keep their clusters."""
    settings = {"covariance_type": covariance_type, "reg_covar": 1e-6, "random_state": 0, **algorithm}
    alone = BayesianGaussianMixture(1 if algorithm else 10, **settings).fit(np.full((100, 2), 7.0))
    assert np.isfinite(alone.lower_bound_)
    np.testing.assert_allclose(alone.means_, 7.0)
    found = BayesianGaussianMixture(3, **settings).fit(np.insert(three, 1, 7.0, axis=1))
    np.testing.assert_allclose(np.sort(found.mass_), 150, atol=1)
    if covariance_type not in ("spherical", "EII"):
        prior = found.covariance_prior_
        assert (prior if prior.ndim == 1 else np.diag(prior))[1] == 1e-6
        assert (found.mixture_._model.covariances.variances()[:, 1] < 3e-6).all()


@pytest.mark.heavy(but=1)
@pytest.mark.parametrize("structure", ["full", "diag", "spherical"])
@pytest.mark.parametrize("distance", [1e2, 1e4])
def test_a_few_rows_far_away_get_a_component(structure, distance) -> None:
    rows = np.random.default_rng(0).normal(size=(2000, 2))
    rows[:5] += distance
    found = BayesianGaussianMixture(10, covariance_type=structure, random_state=0).fit(rows)
    np.testing.assert_allclose(found.mass_[:2], [1995, 5], atol=0.1)
    assert not found.mass_[2:].any()


@pytest.mark.heavy(but=1)
@pytest.mark.parametrize("distance", [500, 1e4])
@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_a_few_rows_far_away_hide_no_clusters_if_the_prior_does_not(distance, missing, rng) -> None:
    rows = rng.normal(size=(3000, 3)) + np.repeat([0.0, 6.0, 12.0], 1000)[:, None]
    rows[:3] += distance
    rows[rng.random(rows.shape) < missing] = np.nan
    found = BayesianGaussianMixture(10, covariance_prior=np.eye(3), random_state=0).fit(rows)
    np.testing.assert_allclose(found.mass_[:4], [1000, 1000, 997, 3], atol=2)


def test_a_row_that_stands_for_most_gets_a_component(near) -> None:
    weight = np.ones(len(near))
    weight[0] = 1e6
    found = BayesianGaussianMixture(10, random_state=0).fit(near, sample_weight=weight)
    np.testing.assert_allclose(found.mass_[0], 1e6, atol=1)
    assert (found.mass_ > 0).sum() > 1


@pytest.mark.parametrize("seed", [5, 11])
def test_columns_with_long_tails_get_components(seed) -> None:
    column = np.random.default_rng(seed).standard_cauchy((2000, 1))
    found = BayesianGaussianMixture(10, random_state=0).fit(column)
    other = BayesianGaussianMixture(10, init_params="kmeans", random_state=0).fit(column)
    assert found.lower_bound_ > other.lower_bound_ - 10
    assert (found.mass_ > 0).sum() > 2


def test_arrays_cannot_be_set(near) -> None:
    found = BayesianGaussianMixture(2, random_state=0).fit(near)
    with pytest.raises(ValueError, match="can't be set, because they do not determine the posterior"):
        found.mixture_ = found.mixture_
    with pytest.raises(ValueError, match=r"no formula for X_error\. Use score_samples or score with"):
        found.score_samples(near, X_error=[0.1, 0.1, 0.1])
    plugin = found.score_samples(near, X_error=[0.1, 0.1, 0.1], how="plugin")
    assert found.score(near, X_error=[0.1, 0.1, 0.1], how="plugin") == pytest.approx(plugin.mean())
    assert found.score_samples(near, X_error=[0.1, 0.1, 0.1], how="plugin").shape == (200,)
    with pytest.raises(ValueError, match="how"):
        found.score_samples(near, how="mean")
    for name in ("bic", "aic", "inference", "bootstrap"):
        assert not hasattr(found, name)
    with pytest.raises(AttributeError, match=r"no bic_\. Use lower_bound_"):
        _ = found.bic_
    np.testing.assert_array_equal(found.labels_, found.predict(near))


def test_many_groups_have_the_bits_of_one(three, near) -> None:
    columns = {"a": three[:, :1], "b": near[:, :1], "few": near[:1, :1]}
    estimator = BayesianGaussianMixture(4, random_state=0)
    with pytest.warns(RuntimeWarning, match="could not be fitted"):
        found = gaussmix.fit_many(columns, estimator=estimator)
    for place, key in enumerate("ab"):
        alone = BayesianGaussianMixture(4, random_state=0).fit(columns[key])
        assert found.get_mixture(key) == alone.mixture_
        assert found.lower_bound[place] == alone.lower_bound_
    assert list(found.errors) == ["few"]
    with pytest.raises(ValueError, match="either an estimator or parameters"):
        gaussmix.fit_many(columns, 3, estimator=estimator)
    with pytest.raises(ValueError, match="does not support warm_start"):
        gaussmix.fit_many(columns, estimator=BayesianGaussianMixture(warm_start=True))
    with pytest.raises(TypeError, match="estimator must be a GaussianMixture"):
        gaussmix.fit_many(columns, estimator=three)


@pytest.mark.heavy(but=1)
@structures
@priors
@pytest.mark.filterwarnings("ignore:.*did not converge")
def test_merge_augment_and_explain_agree_with_predict(near, covariance_type, prior) -> None:
    """Check that `merge`, `augment` and `explain` agree with the posterior, and report only components with rows."""
    settings = {"covariance_type": covariance_type, "weight_concentration_prior_type": prior, "random_state": 0}
    found = BayesianGaussianMixture(6, **settings, **PLAIN_EM, max_iter=3).fit(near)
    found.mass_[1] = 0.0  # an empty component between others, which a fit may produce
    rows = np.where(np.random.default_rng(5).random(near.shape) < 0.1, np.nan, near)
    last = int(np.flatnonzero(found.mass_)[-1]) + 1
    shares = found.predict_proba(rows)
    np.testing.assert_array_equal(shares[:, last:], 0.0)
    table = found.augment(rows)
    np.testing.assert_array_equal(np.asarray(table["component"]), found.predict(rows))
    np.testing.assert_allclose(table["uncertainty"], 1 - shares.max(axis=1), atol=1e-12)
    np.testing.assert_array_equal(table["log_density"], found.score_samples(rows))
    why = found.explain(rows)
    np.testing.assert_array_equal(why.component, found.predict(rows))
    np.testing.assert_allclose(why.responsibilities, shares[:, :last], atol=1e-12)
    each = np.arange(len(rows))
    assert np.isfinite(why.log_ratio).all()
    told = np.log(shares[each, why.component]) - np.log(shares[each, why.second_component])
    np.testing.assert_allclose(why.log_ratio, told, atol=1e-8)
    merging = found.merge(rows)
    assert merging.mixture.n_components == last
    np.testing.assert_allclose(merging.responsibilities(near, last), found.predict_proba(near)[:, :last], atol=1e-12)


@pytest.mark.heavy(but=1)
@structures
@priors
def test_draws_of_mixtures_have_the_predictive_density(three, covariance_type, prior) -> None:
    """Check that the draws' mean density is the predictive density, within six standard errors of the draws."""
    settings = {"covariance_type": covariance_type, "weight_concentration_prior_type": prior, "random_state": 0}
    found = BayesianGaussianMixture(5, weight_concentration_prior=1e-3, **settings).fit(three[::3])
    rows = three[[0, 100, 200, 300, 400]]
    density = np.array([np.exp(each.log_density(rows)) for each in found.posterior_.sample(300, rng=0)])
    error = density.std(axis=0) / np.sqrt(300)
    assert (np.abs(density.mean(axis=0) - np.exp(found.score_samples(rows))) < 6 * error).all()


def test_credible_intervals(three) -> None:
    """Check that credible intervals lie between quantiles of draws, in the format and order of `inference`."""
    found = BayesianGaussianMixture(5, random_state=0).fit(pd.DataFrame(three, columns=["a", "b"]))
    posterior = found.posterior_
    assert repr(posterior) == "<MixturePosterior: 3 components, full, 450 rows>"
    sure = posterior.estimates(500, rng=0)
    weights = np.array([mixture.weights for mixture in posterior.sample(500, rng=0)])
    np.testing.assert_array_equal(sure.conf_int(0.1)[:3].T, np.quantile(weights, [0.05, 0.95], axis=0))
    np.testing.assert_allclose(sure.params[:3], found.weights_[:3] / found.weights_[:3].sum())
    np.testing.assert_allclose(sure.params[3:9], found.means_[:3].ravel())
    assert sure.names[3:5] == ("mean[0, a]", "mean[0, b]")
    # The mean has a t distribution with ν + 1 − d degrees of freedom and scale C / β ν / (ν + 1 − d); Bishop (2006) eq.
    # B.68.
    df = found.degrees_of_freedom_[0] - 1
    variance = found.covariances_[0, 0, 0] / found.mean_precision_[0] * (df + 1) / (df - 2)
    assert sure.bse[3] == pytest.approx(np.sqrt(variance), rel=0.1)
    assert list(sure.tidy()["term"]) == list(sure.names)
    table = found.tidy(sure)
    np.testing.assert_array_equal(table[["mean_a_conf_low", "mean_a_conf_high"]], sure.conf_int()[[3, 5, 7]])
    at = posterior.estimate(lambda mixture: mixture.log_density(three[:4]), "height", n_samples=50, rng=0)
    np.testing.assert_array_equal(at.params, posterior._mixture.log_density(three[:4]))
    assert at.conf_int().shape == (4, 2)
    assert str(at).startswith("Estimates by 50 draws from the posterior")
    with pytest.raises(TypeError, match="posterior_ for all parameters, not ParameterEstimates"):
        found.tidy(at)
    with pytest.raises(TypeError, match="Pass a function that takes a mixture and returns numbers, not 'means'"):
        posterior.estimate("means")
    with pytest.raises(ValueError, match="n_samples=1 must be an integer ≥ 2"):
        posterior.estimates(1)
    for function in (lambda mixture: None, lambda mixture: "a", lambda mixture: np.nan):
        with pytest.raises(ValueError, match="The function must return finite numbers for mixtures"):
            posterior.estimate(function, n_samples=2)


def test_credible_intervals_need_a_unit_in_which_squares_of_variances_are_numbers(rng) -> None:
    posterior = BayesianGaussianMixture().fit(1e100 * rng.normal(size=(30, 2))).posterior_
    with pytest.raises(ValueError, match="Standard errors need variances from 1e-140 to"):
        posterior.estimates(10, rng=0)


def test_a_summary_says_what_the_prior_does(three) -> None:
    found = BayesianGaussianMixture(6, random_state=0).fit(three)
    assert "3 of at most 6 have rows" in str(found.summary())
    text = str(found.summary(three))
    assert "half weight_concentration_prior  3 of at most 6 have rows, bound -" in text
    assert "twice mean_precision_prior" in text
    assert "BIC" not in text
    assert len(found.tidy()) == 3
    at_a_glance = found.glance(three)
    assert at_a_glance["n_components"][0] == 3
    assert at_a_glance["lower_bound"][0] == found.lower_bound_
    assert not {"bic", "log_likelihood"} & set(at_a_glance)


def test_components_with_next_to_no_row_are_not_told() -> None:
    """Check that texts omit nearly empty components, which can remain without moves that would delete them."""
    shares = np.array([[1 - 1e-5, 1e-5]] * 2)
    found = BayesianGaussianMixture(2, init_params=shares, split_merge=False, max_iter=0).fit([[0.0], [1.0]])
    assert (found.mass_ > 0).all()
    assert "1 of at most 2 have rows" in str(found.summary())
    assert len(found.tidy()) == 1
    assert found.posterior_.estimates(10, rng=0).names == ("weight[0]", "mean[0, x0]", "variance[0, x0]")
    assert len(found.tidy(found.posterior_.estimates(10, rng=0))) == 1


def test_a_summary_compares_no_fits_to_different_rows(near) -> None:
    labels = np.full(len(near), -1)
    labels[:10], labels[-10:] = 1, 0
    found = BayesianGaussianMixture(3, **PLAIN_EM, random_state=0).fit(near)
    labelled = BayesianGaussianMixture(2, **PLAIN_EM, random_state=0).fit(near, labels=labels)
    assert "twice mean_precision_prior" in str(found.summary(near))
    for summary in (
        found.summary(near[:150]),
        found.summary(near, sample_weight=np.linspace(0.5, 1.5, len(near))),
        found.summary(near, X_error=[0.5, 0.5, 0.5]),
        labelled.summary(near),
    ):
        assert "twice" not in str(summary)
        assert "rows, weights, errors or parameters have changed, or the fit had labels" in summary.warnings[-1]
    assert not found.summary().warnings
    with pytest.raises(ValueError, match="X has 2 features, but BayesianGaussianMixture is expecting 3"):
        found.summary(near[:, :2])


def test_the_default_prior_takes_a_weight_as_a_number_of_rows(rng):
    rows = rng.normal(size=(4, 6))  # fewer rows than columns, although their weights are large
    weighted = BayesianGaussianMixture(2, random_state=0).fit(rows, sample_weight=np.full(4, 50))
    repeated = BayesianGaussianMixture(2, random_state=0).fit(np.repeat(rows, 50, axis=0))
    np.testing.assert_allclose(weighted.covariance_prior_, repeated.covariance_prior_, rtol=1e-13, atol=1e-15)
    assert weighted.lower_bound_ == pytest.approx(repeated.lower_bound_, rel=1e-10)


@pytest.mark.filterwarnings("ignore:component 0. nearly singular")
@pytest.mark.parametrize("distance", [1e-4, 1e-5])
def test_a_default_prior_that_is_nearly_singular_is_the_covariance(distance, rng):
    x = rng.normal(size=(300, 1))
    rows = np.hstack([x, x + distance * rng.normal(size=(300, 1))])
    found, expected = BayesianGaussianMixture(1).fit(rows).covariance_prior_, np.cov(rows.T)
    assert np.linalg.eigvalsh(found)[0] == pytest.approx(np.linalg.eigvalsh(expected)[0], rel=0.01)
