"""Tests of `posterior`, which truncates responsibilities, and of the estimated loss, `outcome_.posterior_gap`."""

import re

import numpy as np
import pandas as pd
import pytest
from common import LEAF_ROWS, assert_same_fit, reloaded
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning

from gaussmix import GaussianMixture, Restrictions, fit_many
from gaussmix._src.engines.truncated import TruncatedEngine

pytestmark = pytest.mark.filterwarnings(f"ignore::{ConvergenceWarning.__module__}.ConvergenceWarning")


@pytest.fixture
def rows(rng):
    """Return one group, so that many components overlap."""
    return rng.normal(size=(2000, 2))


def fitted(rows, posterior, n_components=20, **more):
    parameters = {"random_state": 0, "max_iter": 20, "posterior": posterior} | more
    return GaussianMixture(n_components, **parameters).fit(rows)


def test_the_default_posterior_is_exact_with_few_components_or_rows(rows):
    """Check that the default is exact with 1024 components, too, if there are few rows."""
    for K in (20, 1024):
        by_default = GaussianMixture(K, random_state=0, max_iter=2, reg_covar=1e-2).fit(rows)
        assert_same_fit(fitted(rows, "exact", K, max_iter=2, reg_covar=1e-2), by_default)
        assert (by_default.outcome_.n_candidates, by_default.outcome_.posterior_gap) == (None, None)


WITH_MISSING = np.array([[np.nan, 1.0], *np.eye(2)] * 9)
NEED_ALL = {"trim": {"trim": 0.1}, "tol='auto'": {"tol": "auto"}, "X_error": {}, "missing values": {}}


@pytest.mark.one_block
@pytest.mark.parametrize("name", NEED_ALL)
def test_options_that_need_all_components_reject_truncated_responsibilities(name, rows):
    X, error = WITH_MISSING if name == "missing values" else rows, np.full(2, 0.1) if name == "X_error" else None
    with pytest.raises(ValueError, match=rf'^posterior.* does not support {name}\. Set posterior="exact"\.$'):
        GaussianMixture(3, posterior=2, **NEED_ALL[name]).fit(X, X_error=error)
    GaussianMixture(3, posterior="exact", max_iter=1, **NEED_ALL[name]).fit(X, X_error=error)


def test_partial_fit_and_fit_many_reject_truncated_responsibilities(rows):
    with pytest.raises(ValueError, match="partial_fit does not support posterior"):
        GaussianMixture(3, posterior=2).partial_fit(rows)
    groups = pd.DataFrame(rows).assign(group=np.arange(len(rows)) % 2)
    with pytest.raises(ValueError, match="fit_many does not support posterior"):
        fit_many(groups, by="group", n_components=3, posterior=2)


def test_more_candidates_than_fit_in_memory_are_rejected(monkeypatch, rows):
    monkeypatch.setattr("gaussmix._src.fit.options.posterior.physical_memory", lambda: 23_999)
    needed = r"posterior=3 needs 0 GB for the candidate components of 2,000 rows\. Lower posterior"
    with pytest.raises(ValueError, match=needed):
        fitted(rows, 3)
    fitted(rows[:-1], 3)


def test_posterior_has_no_effect_on_tied_covariances(rows):
    with pytest.warns(RuntimeWarning, match="posterior=2 has no effect, because all components have one covariance"):
        truncated = fitted(rows, 2, 4, covariance_type="tied")
    assert_same_fit(truncated, fitted(rows, "exact", 4, covariance_type="tied"))
    assert truncated.outcome_.n_candidates is None


@pytest.mark.heavy(n_default=3)
@pytest.mark.parametrize("n_rows", [2000, 3 * LEAF_ROWS])
@pytest.mark.parametrize("name", ["full", "diag", "factor_analyzer"])
def test_posterior_gap_estimates_the_difference_from_the_exact_log_likelihood(name, n_rows, rng):
    """Compare with the log-likelihood minus the last bound, because the last step, after this bound, changes little."""
    X, weight = rng.normal(size=(n_rows, 2)), rng.integers(0, 4, n_rows) / 2
    parameters = {"covariance_type": name, "tol": 0, "init_params": "tree", "max_iter": 40}
    truncated = GaussianMixture(20, posterior=2, **parameters).fit(X, sample_weight=weight)
    outcome, expected = truncated.outcome_, truncated.score(X, sample_weight=weight) - truncated.lower_bound_
    assert outcome.n_candidates == 2
    assert abs(outcome.posterior_gap - expected) < 4 * outcome.posterior_gap_error + 2 * np.diff(outcome.traces[0])[-1]
    assert outcome.posterior_gap > 10 * outcome.posterior_gap_error > 0
    assert reloaded(truncated).outcome_ == outcome
    exact = GaussianMixture(20, posterior=20, **parameters | {"max_iter": 2}).fit(X, sample_weight=weight).outcome_
    assert (exact.n_candidates, exact.posterior_gap) == (20, pytest.approx(0, abs=1e-12))


def test_posterior_gap_includes_rows_far_from_all_of_their_candidates():
    """Check narrow components, for which two in 10,000 rows have wrong candidates, so that samples miss such rows."""
    rng = np.random.default_rng(0)
    means, widths = rng.uniform(0, 100, size=(1000, 20)), rng.gamma(2, 0.4, size=(1000, 20))
    group = rng.integers(1000, size=30_000)
    X, mixtures = means[group] + widths[group] * rng.normal(size=(30_000, 20)), []
    parameters = {"covariance_type": "diag", "posterior": 8, "init_params": "tree"}
    truncated = GaussianMixture(1000, callbacks=[lambda step: mixtures.append(step.mixture)], **parameters).fit(X)
    outcome, before = truncated.outcome_, mixtures[-2].log_density(X).mean()
    assert before - truncated.lower_bound_ > 0.005
    assert outcome.posterior_gap == pytest.approx(before - truncated.lower_bound_, rel=1e-9)
    assert outcome.posterior_gap_error < 1e-9


def test_posterior_gap_includes_labels_and_noise(rows, rng):
    """Compare with the likelihood of exact EM, which continues from the fitted mixture."""
    labels = np.where(rng.random(len(rows)) < 0.3, rng.integers(20, size=len(rows)), -1)
    options = {"noise": True, "tol": 0, "init_params": "tree", "max_iter": 60, "random_state": 0}
    gm = GaussianMixture(20, posterior=2, **options).fit(rows, labels=labels)
    gap, bounds = gm.outcome_.posterior_gap, gm.lower_bounds_
    gm.set_params(posterior="exact", warm_start=True, max_iter=1).fit(rows, labels=labels)
    assert gm.lower_bound_ - bounds[-1] == pytest.approx(gap, abs=2 * (bounds[-1] - bounds[-2]))


def test_posterior_gap_of_distant_rows_is_0_if_all_components_are_candidates(rows):
    initial = {"means_init": rows[:3], "covariances_init": [np.eye(2)] * 3, "weights_init": [0.2, 0.3, 0.5]}
    initial["restrictions"] = Restrictions(fixed_means=[0, 1, 2], fixed_covariances=[0, 1, 2])
    assert fitted(1e8 * rows, 3, 3, **initial).outcome_.posterior_gap == 0


def test_posterior_gap_is_computed_after_the_ridge_is_dropped():
    """Check that the ridge does not count in the gap, which would be 0.038 nats with it."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(5000, 3)) + np.arange(5000)[:, None] % 4
    X[:, 2] = X[:, 0] + 1e-3 * rng.normal(size=5000)
    truncated = fitted(X, 2, 4, max_iter=3000)
    assert truncated.outcome_.is_ridge_dropped
    assert abs(truncated.outcome_.posterior_gap - truncated.score(X) + truncated.lower_bound_) < 1e-4


@pytest.mark.usefixtures("auto_truncates_50_components")
def test_posterior_auto_doubles_the_candidates_while_the_gap_is_large(rows):
    """Check that 8 candidates are doubled if all components overlap, and suffice if components are separated."""
    overlapping = fitted(rows, "auto", 60, covariance_type="spherical", init_params="random", tol=0.01, max_iter=1000)
    assert overlapping.outcome_.n_candidates in (16, 32, 60)
    assert overlapping.outcome_.posterior_gap <= 2e-3
    assert (np.diff(overlapping.outcome_.traces[0]) >= -1e-13).all()
    separated = fitted(50 * np.arange(60)[np.arange(2000) % 60, None] + rows, "auto", 60)
    assert separated.outcome_.n_candidates == 8
    assert separated.outcome_.posterior_gap < 1e-12
    records = []
    options = {"covariance_type": "spherical", "init_params": "random", "tol": 0, "callbacks": [records.append]}
    # The gap is checked after steps 8 and 16. Before the number of candidates is doubled, more neighbours are tried.
    stopped_early = fitted(rows, "auto", 60, max_iter=17, **options)
    assert (stopped_early.converged_, stopped_early.outcome_.n_candidates) == (False, 16)
    assert [record.iteration for record in records] == list(range(1, 18))


@pytest.mark.usefixtures("auto_truncates_50_components")
def test_posterior_auto_tries_random_neighbours_once_the_gap_is_large(monkeypatch, rows):
    """Check that only the last four of 12 steps try drawn neighbours, because the gap is checked after step 8."""
    n_drawn, step = [], TruncatedEngine.step

    def recording_step(engine, *arguments):
        n_drawn.append(engine.n_drawn)
        return step(engine, *arguments)

    monkeypatch.setattr(TruncatedEngine, "step", recording_step)
    fitted(rows, "auto", 60, covariance_type="spherical", init_params="random", tol=0, max_iter=12)
    assert n_drawn == [0] * (len(n_drawn) - 4) + [2] * 4


def test_candidates_of_rows_in_a_wide_component_include_narrow_components():
    """Check the gap, which is 0.024 nats if only the narrow components list the wide component as a neighbour."""
    rng = np.random.default_rng(0)
    means, scales = rng.normal(size=(400, 4)), np.where(np.arange(400) % 8, 0.1, 1.0)[:, None]
    group = rng.integers(400, size=20_000)
    X = means[group] + scales[group] * rng.normal(size=(20_000, 4))
    truncated = fitted(X, 4, 400, means_init=means, covariance_type="spherical", tol=0, max_iter=24)
    assert 0 < truncated.outcome_.posterior_gap < 0.01


@pytest.mark.heavy
def test_truncated_em_ignores_acceleration(rng):
    """Check that EM with few candidates is not accelerated, because a rejected proposal worsens the candidates."""
    X, parameters = rng.normal(size=(6000, 3)) ** 3, {"init_params": "tree", "tol": 1e-10, "max_iter": 250}
    accelerated, plain = (fitted(X, 5, acceleration=method, reg_covar=0, **parameters) for method in ("auto", None))
    assert accelerated.outcome_.traces == plain.outcome_.traces


@pytest.mark.parametrize("verbose", [0, 1])
def test_posterior_gap_is_that_of_the_mixture_at_which_a_callback_stops(rows, verbose):
    options = {"tol": 0, "init_params": "random_from_data", "verbose": verbose, "verbose_interval": 3}
    complete, stopped = (
        fitted(rows, 2, **options, **stop)
        for stop in ({"max_iter": 8}, {"callbacks": [lambda step: step.iteration == 8]})
    )
    names = "posterior_gap", "posterior_gap_error", "n_candidates"
    assert [getattr(stopped.outcome_, name) for name in names] == [getattr(complete.outcome_, name) for name in names]


@pytest.mark.parametrize("init_params", ["random", "kmeans", "tree"])
def test_posterior_gap_without_a_step_is_at_least_the_exact_gap(rows, init_params):
    initial = fitted(rows, 3, max_iter=0, init_params=init_params)
    log_joint = np.sort(initial.mixture_.component_log_density(rows) + np.log(initial.weights_), axis=1)
    gaps = logsumexp(log_joint, axis=1) - logsumexp(log_joint[:, -3:], axis=1)
    assert initial.outcome_.posterior_gap >= gaps.mean() * (1 - 1e-9)
    if init_params == "random":  # other initialisations leave candidates behind
        assert initial.outcome_.posterior_gap == pytest.approx(gaps.mean(), rel=1e-9)


def test_posterior_gap_is_valid_after_the_last_step_dropped_components(rng):
    dropped = fitted(rng.normal(size=(400, 2)), 1, 17, init_params="random", degenerate="drop", max_iter=1)
    assert 1 < dropped.mixture_.n_components < 17
    assert 0 < dropped.outcome_.posterior_gap < np.log(17)
    one = fitted(np.repeat(np.eye(2), 50, axis=0), 6, 6, degenerate="drop", reg_covar=1e-3)
    assert one.outcome_.n_candidates == one.mixture_.n_components


def test_inference_recognises_the_rows_of_a_truncated_fit(rng):
    X = rng.normal(size=(1000, 2)) + 2.5 * (np.arange(1000) % 2)[:, None]
    truncated = fitted(X, 1, 2, max_iter=500)
    assert truncated.outcome_.posterior_gap > 0.01
    with pytest.warns(RuntimeWarning, match="standard errors from the fit"):
        assert not any("errors differ" in note for note in truncated.inference(X, kind="hessian").notes)
    with pytest.warns(RuntimeWarning, match="errors differ"):
        truncated.inference(np.add(X, [[1.0, 0.0]]), kind="hessian")


def test_verbose_prints_the_posterior_gap(rows, capsys):
    outcome = fitted(rows, 2, max_iter=4, tol=0, verbose=1, verbose_interval=2).outcome_
    gaps = re.findall(r"With 2 candidates, the bound is (\S+) ± \S+ nats per row", capsys.readouterr().out)
    assert len(gaps) == 2
    assert float(gaps[-1]) == pytest.approx(outcome.posterior_gap, abs=1e-5)


def test_truncated_fits_from_several_initialisations_are_independent(rows):
    both, alone = (fitted(rows, 3, init_params=names).outcome_ for names in (["tree", "random"], "random"))
    assert both.traces[1:] == alone.traces


def test_dropping_components_does_not_lower_the_bound_of_truncated_em():
    """Check that dropping a component does not worsen the candidates of other rows, which would lower the bound."""
    X, options = np.random.default_rng(3).normal(size=(1500, 3)) ** 3, {"degenerate": "drop", "reg_covar": 1e-9}
    dropped = fitted(X, 3, 80, init_params="random_from_data", random_state=3, tol=0, **options)
    assert len(dropped.weights_) < 80
    assert (np.diff(dropped.outcome_.traces[0]) >= 0).all()


def test_truncated_fits_can_be_stopped_and_continued_by_warm_start(rows):
    stopped = fitted(rows, 3, callbacks=[lambda step: step.iteration == 3])
    assert (stopped.n_iter_, stopped.outcome_.n_candidates) == (3, 3)
    continued = fitted(rows, 3, warm_start=True, max_iter=3, tol=0)
    assert continued.lower_bound_ < continued.set_params(max_iter=20).fit(rows).lower_bound_
    assert fitted(rows, 3, max_time=1e-9, max_iter=10**6).outcome_.n_candidates == 3
